# SPDX-License-Identifier: LGPL-2.1-or-later
"""mail-seal export: stores of real Dovecots, read without one."""

import hashlib
import os
import re
import shutil
import subprocess

import pytest

from harness import age, corpus, disk, keyring, sanitizer
from harness.config import FORMATS, MAIL_UID, Setup
from harness.doveadm import seal_user
from harness.seal import enrol
from harness.wire import Imap, lmtp


COMPRESSION = ["gz", "zstd", "bz2", "lz4"]
FOLDERS = ["INBOX", "Work", "Work/2026", "a_b/c", "Entw&APw-rfe", "Empty"]


def mail_seal(*args, stdin=b"", secret=None):
    """Run the tool; secret goes through a pipe to the descriptor that "FD" in args becomes."""
    fds = []
    if secret is not None:
        read_end, write_end = os.pipe()
        os.write(write_end, secret.encode() + b"\n")
        os.close(write_end)
        fds = [read_end]
        args = [str(read_end) if arg == "FD" else arg for arg in args]
    try:
        return subprocess.run(["mail-seal", *args], input=stdin, capture_output=True, pass_fds=fds, timeout=300,
                              env=sanitizer.environment())
    finally:
        for fd in fds:
            os.close(fd)


def export(user, out, *args, source=None, code=0):
    done = mail_seal("export", "--keyring", keyring.path(user), "--password-fd", "FD", *args,
                     source or f"{user.home}/mail", *([out] if out else []), secret=user.password)
    assert done.returncode == code, done.stderr.decode()
    return done.stderr.decode()


def fill(server, user):
    """Mail in several folders, with flags, keywords, dates, and copies."""
    with Imap(server, user) as imap:
        for folder in FOLDERS[1:]:
            imap.ok(f'CREATE "{folder}"')
        imap.ok('SUBSCRIBE "Work"')
        for name, message in corpus.cpython()[:12]:
            imap.append(message, flags="\\Seen" if len(name) % 2 else "", date=corpus.DATE)
        for size in (corpus.CHUNK - 1, corpus.CHUNK + 1, 300000):
            imap.append(corpus.of_size(size, server.setup.stored_ends), flags="\\Answered \\Flagged important $Forwarded")
            imap.append(corpus.of_size(size, server.setup.stored_ends, seed=2), "Work/2026", flags="\\Draft later")
        imap.select()
        imap.ok('COPY 1:5 "Work"')
        imap.ok('COPY 2:4 "a_b/c"')
        imap.ok("COPY 3 INBOX")
        imap.ok('COPY 6 "Entw&APw-rfe"')
        imap.ok("STORE 1 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
        imap.ok("STORE 2 +FLAGS (\\Deleted)")
        imap.ok("LOGOUT")
    lmtp(server, [user], b"Subject: delivered\r\n\r\nbody\r\n")


def read(server, user):
    """{folder: [UIDVALIDITY, (UID, body's hash, flags, date), …]} as IMAP shows it, and what is subscribed."""
    shown = {}
    with Imap(server, user) as imap:
        for folder in FOLDERS:
            examined = imap.ok(f'EXAMINE "{folder}"').raw
            found = [re.search(rb"UIDVALIDITY \d+", examined).group()]
            for answer in imap.ok("UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])").untagged:
                head = re.match(rb'\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\) INTERNALDATE "([^"]*)" BODY\[\] \{\d+\}\r\n', answer)
                if head:
                    flags = sorted(set(head.group(2).split()) - {b"\\Recent"})
                    found.append((head.group(1), hashlib.sha256(answer[head.end():]).hexdigest(), flags, head.group(3)))
            shown[folder] = found
        lsub = sorted(imap.ok('LSUB "" "*"').untagged)
    return shown, lsub


def check_plain(out):
    for folder, _, files in os.walk(out):
        for name in files:
            with open(f"{folder}/{name}", "rb") as file:
                assert b"age-encryption.org" not in file.read(100), name


def snapshot(folder):
    """All that is there, to see that nothing was written."""
    seen = {}
    for where, dirs, files in os.walk(folder):
        for name in [*dirs, *files]:
            st = os.lstat(f"{where}/{name}")
            seen[f"{where}/{name}"] = (st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino)
    return seen


def serve_export(serve, out, name):
    """A Dovecot without the plugin that has the export as a user's mail."""
    server = serve(Setup(storage="maildir", plugin="", name="exported"))
    user = server.user(name)
    shutil.copytree(out, f"{user.home}/mail")
    for folder, _, files in os.walk(user.home):
        for path in (folder, *(f"{folder}/{file}" for file in files)):
            os.chown(path, MAIL_UID, MAIL_UID)
    return server, user


@pytest.mark.parametrize("storage", FORMATS)
@pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])
def test_same_as_imap(own_server, serve, tmp_path, storage, crlf):
    """A Dovecot that knows nothing of seals shows the export as the other one showed the store."""
    server = own_server(Setup(storage=storage, crlf=crlf))
    user = enrol(server, server.user())
    fill(server, user)
    shown, lsub = read(server, user)
    server.stop()
    before = snapshot(user.home)
    out = str(tmp_path / "out")
    said = export(user, out)
    assert snapshot(user.home) == before
    check_plain(out)
    count = sum(map(len, shown.values())) - len(FOLDERS)
    assert f"{count} messages of 6 folders exported" in said and "; 0 could not be opened" in said
    again = export(user, out)
    assert f"0 messages of 6 folders exported, {count} were there already" in again
    plain, plain_user = serve_export(serve, out, f"same{storage}{'crlf' if crlf else 'lf'}")
    assert read(plain, plain_user) == (shown, lsub)


def exported(out):
    """All messages, with the line ends of IMAP."""
    found = []
    for folder, _, files in os.walk(out):
        if os.path.basename(folder) in ("cur", "new"):
            for name in files:
                with open(f"{folder}/{name}", "rb") as file:
                    found.append(corpus.crlf(file.read()))
    return sorted(found)


@pytest.mark.parametrize("method", COMPRESSION)
def test_compressed(own_server, tmp_path, method):
    """Compressed under the seal in each format: what comes out is plain."""
    messages = [corpus.of_size(size) for size in (500, 70000, 300000)]
    for storage in FORMATS:
        server = own_server(Setup(storage=storage, compress=method))
        user = enrol(server, server.user())
        with Imap(server, user) as imap:
            for message in messages:
                imap.append(message)
        server.stop()
        assert len(disk.contents(server, user)[2]) < 290000
        out = str(tmp_path / storage)
        export(user, out)
        assert exported(out) == sorted(messages)


def damage(server, user):
    """Break three messages of five in three ways; returns the two that are left."""
    messages = [corpus.of_size(size) for size in (1000, 2000, 70000, 3000, 4000)]
    with Imap(server, user) as imap:
        for message in messages:
            imap.append(message)
            # mdbox: each in a file of its own would make it too easy.
    server.stop()
    stored = disk.stored(server, user)
    stranger = age.seal(age.keygen().recipient, b"x" * 100)
    content = stored[0].content
    disk.replace(stored[0], content[:500] + bytes([content[500] ^ 1]) + content[501:])
    content = stored[2].content
    disk.replace(stored[2], content[:-1] + bytes([content[-1] ^ 1]))
    content = stored[3].content
    disk.replace(stored[3], (stranger + bytes(3000))[:len(content)])
    return sorted([messages[1], messages[4]])


def test_damage(own_server, storage, tmp_path):
    server = own_server(Setup(storage=storage))
    user = enrol(server, server.user())
    left = damage(server, user)
    out = str(tmp_path / "out")
    said = export(user, out, code=5)
    assert exported(out) == left
    assert "2 messages of 1 folder exported; 3 could not be opened" in said
    assert len(said.splitlines()) == 4
    assert f"{user.home}/mail" in said.splitlines()[0]
    said = export(user, None, "-n", code=5)
    assert "2 messages of 1 folder can be opened; 3 could not be opened" in said


def test_frames_are_damaged(own_server, tmp_path):
    """What dbox puts around messages is broken: the others are there."""
    for storage in "sdbox", "mdbox":
        server = own_server(Setup(storage=storage))
        user = enrol(server, server.user())
        messages = [corpus.of_size(size) for size in (1000, 2000, 3000, 4000)]
        with Imap(server, user) as imap:
            for message in messages:
                imap.append(message)
        server.stop()
        first, second, third, last = disk.stored(server, user)
        for message, offset in ((first, -10), (third, len(third.content) + 1)):
            with open(message.path, "r+b") as file:
                # A digit of the size; the mark of the metadata, without which the seal still vouches for it.
                file.seek(message.offset + offset)
                file.write(b"?")
        out = str(tmp_path / storage)
        export(user, out, code=5)
        assert exported(out) == sorted(messages[1:])


def lost_index(own_server, storage, remove, tmp_path):
    server = own_server(Setup(storage=storage))
    user = enrol(server, server.user())
    with Imap(server, user) as imap:
        imap.ok('CREATE "Work"')
        imap.append(corpus.of_size(1000))
        imap.append(corpus.of_size(2000), "Work", flags="\\Seen")
        imap.append(corpus.of_size(3000), "Work", flags="\\Seen")
    server.stop()
    for path in remove(f"{user.home}/mail"):
        if os.path.exists(path):
            os.unlink(path)
    out = str(tmp_path / "out")
    said = export(user, out, code=5)
    assert exported(out) == sorted(map(corpus.of_size, (1000, 2000, 3000)))
    return out, said


def names(out, folder):
    return sorted(os.listdir(f"{out}/{folder}/cur"))


def index_of(folder, prefix="dovecot.index"):
    return [f"{folder}/{prefix}{suffix}" for suffix in ("", ".log", ".log.2", ".cache")]


def test_no_index_sdbox(own_server, tmp_path):
    out, said = lost_index(own_server, "sdbox", lambda mail: index_of(f"{mail}/mailboxes/Work/dbox-Mails"), tmp_path)
    assert "has no index" in said and "1 could not be opened" in said
    assert len(names(out, ".Work")) == 2 and len(names(out, "")) == 1


def test_no_index_mdbox(own_server, tmp_path):
    """The map still counts the messages that no mailbox names: they go where they were first saved."""
    out, said = lost_index(own_server, "mdbox", lambda mail: index_of(f"{mail}/mailboxes/Work/dbox-Mails"), tmp_path)
    assert "has no index" in said
    assert len(names(out, ".Work")) == 2 and len(names(out, "")) == 1


def test_no_map(own_server, tmp_path):
    out, said = lost_index(own_server, "mdbox", lambda mail: index_of(f"{mail}/storage", "dovecot.map.index"), tmp_path)
    assert "there is no map" in said
    assert len(names(out, ".Work")) == 2 and len(names(out, "")) == 1


@pytest.mark.parametrize("storage", ["sdbox", "mdbox"])
def test_damaged_index(own_server, storage, tmp_path):
    """An index of which little is left doesn't end the export, and mail isn't lost."""
    server = own_server(Setup(storage=storage))
    user = enrol(server, server.user())
    with Imap(server, user) as imap:
        for size in 1000, 2000:
            imap.append(corpus.of_size(size))
        imap.append(corpus.of_size(3000), flags="word")
    server.stop()
    path = f"{user.home}/mail/mailboxes/INBOX/dbox-Mails/dovecot.index.log"
    with open(path, "rb") as file:
        whole = file.read()
    for number, broken in enumerate([whole[:100], whole[:30], bytes(len(whole)), whole[:60] + bytes(len(whole) - 60),
                                     whole[:len(whole) // 2], whole[:200] + b"\xff" * 100 + whole[300:]]):
        with open(path, "wb") as file:
            file.write(broken)
        out = str(tmp_path / f"out{number}")
        done = mail_seal("export", "--keyring", keyring.path(user), "--password-fd", "FD", f"{user.home}/mail", out,
                         secret=user.password)
        assert done.returncode in (0, 5), (number, done.stderr)
        assert b"Panic" not in done.stderr and b"Error:" not in done.stderr, done.stderr
        assert exported(out) == sorted(map(corpus.of_size, (1000, 2000, 3000))), (number, done.stderr)


@pytest.mark.parametrize("storage", ["sdbox", "mdbox"])
def test_deleted(own_server, storage, tmp_path):
    """Messages that wait to be purged are not brought back."""
    server = own_server(Setup(storage=storage))
    user = enrol(server, server.user())
    with Imap(server, user) as imap:
        for size in 1000, 2000, 3000:
            imap.append(corpus.of_size(size))
        imap.select()
        imap.ok("STORE 2 +FLAGS (\\Deleted)")
        imap.ok("EXPUNGE")
    server.stop()
    out = str(tmp_path / "out")
    said = export(user, out)
    assert exported(out) == sorted(map(corpus.of_size, (1000, 3000)))
    assert ("1 deleted ones left out" in said) == (storage == "mdbox")


def test_mixed(own_server, tmp_path, storage):
    """Mail from before the plugin came is copied."""
    server = own_server(Setup(storage=storage))
    user = enrol(server, server.user())
    with Imap(server, user) as imap:
        imap.append(corpus.of_size(1000))
        imap.append(corpus.of_size(2000))
    server.stop()
    plain = disk.stored(server, user)[0]
    text = corpus.of_size(len(plain.content), "\n").replace(b"\r\n", b"\n")
    disk.replace(plain, text)
    out = str(tmp_path / "out")
    export(user, out)
    assert exported(out) == sorted([corpus.crlf(text), corpus.of_size(2000)])


def test_alternative_storage(own_server, tmp_path):
    """Messages that doveadm altmove has moved away."""
    for storage in "sdbox", "mdbox":
        server = own_server(Setup(
            storage=storage, extra_24="mail_alt_path = @base@/home/alt",
            extra_23=f"mail_location = {storage}:~/mail:ALT=@base@/home/alt"))
        alt = f"{server.base}/home/alt"
        user = enrol(server, server.user())
        with Imap(server, user) as imap:
            for size in 1000, 2000, 3000:
                imap.append(corpus.of_size(size), flags="\\Seen" if size == 2000 else "")
        server.doveadm("altmove", "-u", user.name, "seen")
        server.stop()
        assert any(files for _, _, files in os.walk(alt)), "nothing was moved"
        out = str(tmp_path / storage)
        export(user, out)
        assert exported(out) == sorted(map(corpus.of_size, (1000, 2000, 3000)))


def test_running(own_server, storage, tmp_path):
    """Without stopping Dovecot first, and while mail comes in: what was there is exported."""
    server = own_server(Setup(storage=storage))
    user = enrol(server, server.user())
    with Imap(server, user) as imap:
        for size in range(1000, 1020):
            imap.append(corpus.of_size(size))
        out = str(tmp_path / "out")
        export(user, out)
        imap.append(corpus.of_size(2000))
        export(user, out)
        assert exported(out) == sorted(map(corpus.of_size, [*range(1000, 1020), 2000]))


def test_every_key(own_server, storage, tmp_path):
    """The password, a recovery code and an escrow identity each read all mail, also that from before a rotation."""
    escrow = age.keygen()
    server = own_server(Setup(storage=storage, settings=(("mail_seal_escrow_recipients", escrow.recipient),)))
    user = enrol(server, server.user())
    code = seal_user(server, user, "recovery new", password=user.password).row["recovery_code"]
    sizes = (1000, 2000, 70000, 3000)
    with Imap(server, user) as imap:
        for size in sizes[:2]:
            imap.append(corpus.of_size(size))
    seal_user(server, user, "rotate", password=user.password)
    with Imap(server, user) as imap:
        for size in sizes[2:]:
            imap.append(corpus.of_size(size))
    server.stop()
    for number, (option, secret) in enumerate([("--password-fd", user.password), ("--password-fd", code),
                                               ("--identity-fd", code), ("--identity-fd", escrow.identity)]):
        out = str(tmp_path / f"out{number}")
        done = mail_seal("export", "--keyring", keyring.path(user), option, "FD", f"{user.home}/mail", out, secret=secret)
        assert done.returncode == 0, done.stderr
        assert exported(out) == sorted(map(corpus.of_size, sizes))
    # The stock age takes what keyring open gives.
    done = mail_seal("keyring", "open", "--identity-fd", "FD", keyring.path(user), secret=escrow.identity)
    assert done.returncode == 0, done.stderr
    for message in disk.stored(server, user):
        assert corpus.crlf(age.open_(done.stdout.decode(), message.content)) in map(corpus.of_size, sizes)
    shown = mail_seal("keyring", "show", keyring.path(user)).stdout.decode()
    assert escrow.recipient in shown and "recovery x25519" in shown and "earlier:" in shown


def test_under_valgrind(own_server, storage, tmp_path):
    """Nothing is read that isn't there, and nothing leaks, also where things are damaged."""
    if sanitizer.environment() or not shutil.which("valgrind"):
        pytest.skip("watched already, or no valgrind")
    server = own_server(Setup(storage=storage))
    user = enrol(server, server.user())
    left = damage(server, user)
    key = tmp_path / "key"
    key.write_text(keyring.identity(user))
    out = str(tmp_path / "out")
    done = subprocess.run(["valgrind", "-q", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite",
                           "--errors-for-leak-kinds=definite", "mail-seal", "export", "-i", key, f"{user.home}/mail", out],
                          capture_output=True)
    assert done.returncode == 5, done.stderr.decode()
    assert exported(out) == left
