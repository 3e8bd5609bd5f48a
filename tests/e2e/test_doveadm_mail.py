# SPDX-License-Identifier: LGPL-2.1-or-later
"""doveadm seal mail, unseal and verify: what is there already is sealed where it
lies, checked, and opened again."""

import os
import re
import shutil
import subprocess
import time

import pytest

from harness import (age, canary, corpus, disk, everything, everyuse, keyring,
                     sanitizer, terminal)
from harness.config import FORMATS, Setup
from harness.doveadm import (DATAERR, NOTFOUND, TEMPFAIL, USAGE, command,
                             seal, seal_user, unlocked)
from harness.mbsync import mbsync
from harness.seal import enrolled, open_all
from harness.wire import Imap, lmtp


MAILBOXES = ("INBOX", "Other", "Work")
SIZES = (400, 1000, 65535, 65536, 65537, 200000)
SUM = len(SIZES) + 6


@pytest.fixture(scope="module")
def plain(serve, storage):
    return serve(Setup(storage=storage, plugin="", never_cache=False))


@pytest.fixture(scope="module")
def sealed(serve, storage):
    return serve(Setup(storage=storage))


@pytest.fixture(scope="module")
def before(plain):
    """(user, words, what is seen) of a plain Dovecot's mail of some time."""
    words = canary.words(everyuse.NAMES)
    user = plain.user()
    with Imap(plain, user) as imap:
        for mailbox in MAILBOXES[1:]:
            imap.ok(f"CREATE {mailbox}")
        for i, size in enumerate(SIZES):
            imap.append(corpus.of_size(size), flags=r"\Flagged $Word"
                        if i % 2 else "", date="17-Jul-2024 02:44:25 +0000")
        imap.append(everyuse.message(words, 500))
        imap.append(everyuse.message(words, 900), "Work")
        imap.append(b"Subject: will go\r\n\r\nbody\r\n")
        imap.select()
        imap.ok(r"STORE 2:3 +FLAGS (\Seen Another)")
        imap.ok("COPY 1:4 Other")
        imap.ok(rf"STORE {imap.uids()[-1]} +FLAGS \Deleted")
        imap.ok("EXPUNGE")
        for mailbox in MAILBOXES:
            imap.select(mailbox)
            for _ in range(2):
                imap.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE PREVIEW)")
                imap.ok("SORT (SUBJECT) UTF-8 ALL")
                imap.ok("THREAD REFS UTF-8 ALL")
    return user, words, seen(plain, user)


def seen(server, user):
    """The log of changes begins anew with some of the ways to copy a store."""
    return everything.seen(server, user, MAILBOXES)


@pytest.fixture
def moved(sealed, before):
    """A sealed user who has the plain one's mail, and never logged in."""
    user = sealed.user()
    seal_user(sealed, user, "enroll", password=user.password)
    put(before[0].home, user.home)
    return user


def put(source, home):
    shutil.rmtree(f"{home}/mail", ignore_errors=True)
    subprocess.run(["cp", "-a", f"{source}/mail", home], check=True)


def sums(done):
    return {key: int(value) for key, value in done.row.items()
            if key not in ("result", "sealed_bytes", "unsealed_bytes",
                           "username")}


def counts(**given):
    return {"unchanged": 0, "foreign": 0, "damaged": 0, "gone": 0,
            "failed": 0, **given}


def messages(server, user):
    """How many there are for us: with mdbox copies are one."""
    return len(disk.stored(server, user))


# The way there and back


@pytest.mark.all_storages
def test_there_and_back(plain, sealed, before, moved):
    source, words, as_before = before
    # mdbox drops what was expunged.
    texts = sorted(content for content in disk.contents(sealed, moved)
                   if b"will go" not in content)
    time.sleep(1.1)     # dates of inodes would show
    done = seal_user(sealed, moved, "mail")
    assert done.row["result"] == "sealed"
    assert sums(done) == counts(sealed=SUM) or sealed.setup.storage == "mdbox"
    assert sorted(open_all(sealed, moved)) == texts
    # Nobody has logged in yet.
    assert not canary.find(f"{moved.home}/mail", words.values())
    assert seen(sealed, moved) == as_before
    assert not canary.find(f"{moved.home}/mail", words.values())
    assert not canary.find_in(sealed.all_log().encode(),
                              list(words.values()))
    again = seal_user(sealed, moved, "mail")
    assert sums(again) == counts(sealed=0, unchanged=SUM)

    done = seal_user(sealed, moved, "unseal", password=moved.password)
    assert done.row["result"] == "unsealed"
    assert "New mail goes on being sealed" in done.err
    assert sorted(disk.contents(sealed, moved)) == texts
    assert seen(sealed, moved) == as_before
    put(moved.home, source.home)
    assert seen(plain, source) == as_before


def test_by_recovery_code_and_escrow(serve, storage, before):
    """Unsealing needs no password of the user."""
    escrow = age.keygen()
    server = serve(Setup(storage=storage, settings=(
        ("mail_seal_escrow_recipients", escrow.recipient),)))
    user = server.user()
    code = seal_user(server, user, "enroll", "--recovery",
                     password=user.password).row["recovery_code"]
    put(before[0].home, user.home)
    for identity in (code, escrow.identity):
        assert sums(seal_user(server, user, "mail"))["failed"] == 0
        assert all(message.is_sealed for message in disk.stored(server, user))
        seal_user(server, user, "unseal", identity=identity)
        assert not any(message.is_sealed
                       for message in disk.stored(server, user))
    seal_user(server, user, "mail")
    done = unlocked(server, "seal", "unseal", "-u", user.name,
                    key=user.password)
    assert done.code == 0, done.err
    done = seal_user(server, user, "unseal", password="not the password",
                     check=False)
    assert done.code == 77
    done = seal_user(server, user, "unseal", check=False)
    assert done.code != 0 and "--password-fd" in done.err


def test_several_users(sealed, before, tmp_path):
    users = [sealed.user() for _ in range(3)]
    for user in users[:2]:
        seal_user(sealed, user, "enroll", password=user.password)
    for user in users:
        put(before[0].home, user.home)
    listed = "".join(f"{user.name}\n" for user in users)
    path = tmp_path / "users"
    path.write_text(listed)
    sealed.allow_log("User iteration isn't currently supported")
    done = seal(sealed, "mail", "-F", str(path), check=False)
    assert done.code == NOTFOUND
    assert f"doveadm({users[2].name})" in done.err
    assert "not enrolled" in done.err
    for user in users[:2]:
        assert open_all(sealed, user)
    assert not disk.stored(sealed, users[2])[0].is_sealed


# What is asked


def test_masks(sealed, moved):
    for mask, word in (("Wor*", "Work"), ("Other", "Other")):
        done = seal_user(sealed, moved, "mail", mask)
        if sealed.setup.storage != "mdbox":     # where files are of all
            assert f"mailbox {word}: " in done.err
            assert "mailbox INBOX" not in done.err
    with Imap(sealed, moved) as imap:
        imap.select("Work")
    done = seal_user(sealed, moved, "mail", "Nothing*", check=False)
    assert done.code == NOTFOUND
    assert "no mailbox that matches Nothing*" in done.err
    done = seal_user(sealed, moved, "mail", "INBOX", "Other", "Work")
    assert sums(done)["failed"] == 0
    assert open_all(sealed, moved)


def test_dry_run(sealed, moved):
    stored = sorted(disk.contents(sealed, moved))
    done = seal_user(sealed, moved, "mail", "--dry-run")
    assert done.row["result"] == "dry run"
    assert sums(done) == counts(sealed=SUM)
    assert int(done.row["sealed_bytes"]) > sum(SIZES)
    assert sorted(disk.contents(sealed, moved)) == stored
    seal_user(sealed, moved, "mail")
    stored = sorted(disk.contents(sealed, moved))
    done = seal_user(sealed, moved, "unseal", "--dry-run",
                     password=moved.password)
    assert sums(done) == counts(unsealed=SUM)
    assert sorted(disk.contents(sealed, moved)) == stored


def test_max_rate(sealed, moved):
    started = time.monotonic()
    done = seal_user(sealed, moved, "mail", "--max-rate", "300k")
    size = int(done.row["sealed_bytes"])
    # The last one is written before it is waited.
    assert time.monotonic() - started >= (size - max(SIZES) * 1.1) / 307200
    for wrong in ("fast", "0", "-1", "10 apples"):
        done = seal_user(sealed, moved, "mail", "--max-rate", wrong,
                         check=False)
        assert done.code == USAGE and "bytes a second" in done.err, done
    seal_user(sealed, moved, "mail", "--max-rate", "1000G")


def test_progress(sealed, moved):
    """A bar for a person, lines for a log, and the summary apart."""
    line, _ = command(sealed, "mail", "-u", moved.name, "--max-rate", "300k")
    shown, status = terminal.talk(line, [])
    assert status == 0, shown
    assert re.search(r"\[[#.]{20}\] \d+/%d messages, [\d.]+ \w+, "
                     r"[\d.]+ \w+/s, \d+:\d\d left" % SUM, shown), shown
    assert '"sealed"' in shown
    done = seal_user(sealed, moved, "unseal", password=moved.password)
    assert re.search(r"Info: seal unseal: mailbox \w+: \d+ messages "
                     r"unsealed, [\d.]+ KiB", done.err), done.err
    assert "\r" not in done.err and "\r" not in done.out


def test_formatters_and_server(sealed, moved):
    socket = f"{sealed.base}/run/doveadm-server"
    words = ["doveadm", "-c", sealed.config_file]
    done = sealed.doveadm("-f", "tab", "seal", "mail", "-u", moved.name)
    assert done.stdout.startswith(b"result\tsealed\tsealed_bytes\t"), done
    assert os.path.exists(socket), words
    done = sealed.doveadm("-f", "tab", "seal", "verify", "-S", socket, "-u",
                          moved.name, "INBOX", "Work")
    assert done.stdout.count(b"\n") == 3, done.stdout
    done = sealed.doveadm("-f", "tab", "seal", "mail", "-S", socket, "-u",
                          moved.name, "--dry-run", "Work")
    assert b"dry run\t0\t0\t1\t" in done.stdout


# Clients


def local_files(folder):
    return {path: path.stat().st_ino for path in folder.rglob("*")
            if path.parent.name in ("cur", "new")}


def test_mbsync_transfers_nothing(plain, sealed, before, moved, tmp_path):
    source, _, _ = before
    mbsync(plain, source, tmp_path)
    files = local_files(tmp_path)
    assert len(files) >= SUM - 1
    for change in ({}, {"password": moved.password}):
        seal_user(sealed, moved, "unseal" if change else "mail", **change)
        said = mbsync(sealed, moved, tmp_path)
        assert local_files(tmp_path) == files
        assert not re.search(r"[+*#][1-9]", said), said


def test_users_stay_logged_in(sealed, moved):
    """A client that has a mailbox open, and deliveries, meanwhile."""
    with Imap(sealed, moved) as imap:
        imap.select()
        uids = imap.uids()
        bodies = [imap.body(uid) for uid in uids]
        line, _ = command(sealed, "mail", "-u", moved.name, "--max-rate",
                          "300k")
        process = subprocess.Popen(line, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE,
                                   env=sanitizer.environment())
        delivered = 0
        while process.poll() is None:
            lmtp(sealed, [moved], b"Subject: new\r\n\r\nbody\r\n")
            delivered += 1
            imap.ok(rf"UID STORE {uids[0]} +FLAGS (Step{delivered})")
            assert [imap.body(uid) for uid in uids] == bodies
        assert process.returncode == 0, process.stderr.read()
        process.communicate()
        imap.ok("NOOP")
        assert len(imap.uids()) == len(uids) + delivered
        assert f"Step{delivered}".encode() in imap.ok(
            f"UID FETCH {uids[0]} FLAGS").raw
    assert delivered > 1
    assert open_all(sealed, moved)


# Verify


def states(done):
    """{(mailbox, state): (messages, UIDs)}"""
    return {(row["mailbox"], row["state"]): (int(row["messages"]), row["uids"])
            for row in done.rows}


def test_verify(sealed, moved):
    done = seal_user(sealed, moved, "verify", check=False)
    assert done.code == DATAERR and f"{SUM} are plain" in done.err
    assert states(done)["Work", "plain"] == (1, "1")
    seal_user(sealed, moved, "verify", "--allow-plain")
    seal_user(sealed, moved, "mail", "INBOX", "Work")
    done = seal_user(sealed, moved, "verify", "--allow-plain")
    assert states(done) == {("INBOX", "sealed"): (7, "1:7"),
                            ("Work", "sealed"): (1, "1"),
                            ("Other", "plain"): (4, "1:4")} or \
        sealed.setup.storage == "mdbox"
    seal_user(sealed, moved, "mail")
    for secret in ({}, {"password": moved.password}):
        done = seal_user(sealed, moved, "verify", **secret)
        assert states(done) == {("INBOX", "sealed"): (7, "1:7"),
                                ("Work", "sealed"): (1, "1"),
                                ("Other", "sealed"): (4, "1:4")}
    row = next(row for row in done.rows if row["mailbox"] == "INBOX")
    assert row["checked"] == "content"
    assert row["recipient"] == keyring.recipient(keyring.read(moved))
    assert row["oldest"].startswith("2024-07-17T02:44:25")
    assert int(row["bytes"]) > sum(SIZES) * 0.9


def test_verify_json(sealed, moved):
    seal_user(sealed, moved, "mail")
    done = sealed.doveadm("seal", "verify", "--json", "-u", moved.name)
    assert b'"mailbox":"INBOX"' in done.stdout.replace(b" ", b"")
    done = sealed.doveadm("-f", "tab", "seal", "verify", "--json", "-u",
                          moved.name)
    assert done.stdout.startswith(b"mailbox\tstate\tmessages\tbytes\t")


def first_of(server, user, size):
    return next(message for message in disk.stored(server, user)
                if len(message.content) > size)


@pytest.mark.parametrize("at", ["header", "mac", "middle", "tag", "cut"])
def test_verify_finds_damage(sealed, moved, at):
    seal_user(sealed, moved, "mail")
    message = first_of(sealed, moved, 150000)
    content = bytearray(message.content)
    if at == "cut":
        if sealed.setup.storage == "mdbox":
            pytest.skip("what follows in the file would be lost, too")
        disk.replace(message, bytes(content[:-10]))
    else:
        place = {"header": 60, "mac": content.index(b"\n--- ") + 12,
                 "middle": 150000, "tag": len(content) - 1}[at]
        content[place] ^= 1
        disk.replace(message, bytes(content))
    done = seal_user(sealed, moved, "verify", password=moved.password,
                     check=False)
    assert done.code == DATAERR, done
    found = states(done)
    if at == "header" and ("INBOX", "foreign") in found:
        # The wrapped key is what tells whose it is.
        assert found["INBOX", "foreign"] == (1, "6")
    else:
        assert found["INBOX", "damaged"] == (1, "6")
        assert re.search(r"mailbox INBOX: UID 6: \w", done.err)
    done = seal_user(sealed, moved, "verify", check=False)
    assert done.code in (0, DATAERR)
    # Without a key a flipped bit is not seen, a cut may be.
    assert done.code == 0 or at in ("header", "mac", "cut")


def test_verify_finds_foreign(sealed, moved):
    seal_user(sealed, moved, "mail")
    message = first_of(sealed, moved, 150000)
    # mdbox: of the same size.
    other = age.seal(age.keygen().recipient, age.open_(
        keyring.identity(moved), message.content))
    assert len(other) == len(message.content)
    disk.replace(message, other)
    done = seal_user(sealed, moved, "verify", password=moved.password,
                     check=False)
    assert done.code == DATAERR
    assert states(done)["INBOX", "foreign"] == (1, "6")
    done = seal_user(sealed, moved, "unseal", password=moved.password,
                     check=False)
    assert done.code == DATAERR and sums(done)["foreign"] >= 1
    assert "open with none of the identities" in done.err


def test_verify_after_rotation(sealed, moved):
    """A row for each identity."""
    seal_user(sealed, moved, "mail")
    seal_user(sealed, moved, "rotate", password=moved.password)
    lmtp(sealed, [moved], b"Subject: new\r\n\r\nbody\r\n")
    done = seal_user(sealed, moved, "verify", "INBOX",
                     password=moved.password)
    rows = {row["recipient"]: int(row["messages"]) for row in done.rows}
    text = keyring.read(moved)
    assert rows[keyring.recipient(text)] == 1
    assert sorted(rows.values()) == [1, 7]


# What gets in the way


def is_begun(server, user):
    try:
        return any(message.is_sealed for message in disk.stored(server, user))
    except (FileNotFoundError, AssertionError):
        return False        # it is being renamed


def test_signal_ends_it(sealed, moved):
    line, _ = command(sealed, "mail", "-u", moved.name, "--max-rate", "10k")
    process = subprocess.Popen(line, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True,
                               env=sanitizer.environment())
    end = time.monotonic() + 60
    while not is_begun(sealed, moved) and time.monotonic() < end:
        time.sleep(0.05)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == TEMPFAIL, (out, err)
    assert "run it again to go on" in err
    seal_user(sealed, moved, "mail")
    assert open_all(sealed, moved)


def test_not_for_this_user(serve, storage):
    bare = serve(Setup(storage=storage, settings=(
        ("mail_seal_unenrolled", "plaintext"),)))
    user = bare.user()
    lmtp(bare, [user], b"Subject: plain\r\n\r\nbody\r\n")
    done = seal_user(bare, user, "mail", check=False)
    assert done.code == NOTFOUND and "not enrolled" in done.err
    assert not disk.stored(bare, user)[0].is_sealed
    done = seal_user(bare, user, "unseal", check=False)
    assert done.code != 0


def test_leaving_with_save_off(serve, storage):
    off = serve(Setup(storage=storage, settings=(("mail_seal_save", "no"),)))
    user = enrolled(off)
    with Imap(off, user) as imap:
        imap.append(corpus.of_size(3000))
    seal_user(off, user, "mail")
    assert open_all(off, user)
    done = seal_user(off, user, "unseal", password=user.password)
    assert "New mail goes on" not in done.err
    assert not disk.stored(off, user)[0].is_sealed


@pytest.mark.parametrize("storage", [FORMATS[0]])
def test_compressed_mail(serve, storage):
    server = serve(Setup(storage=storage, compress="gz", settings=(
        ("mail_seal_save", "no"),)))
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.append(corpus.of_size(30000))
    before, = disk.contents(server, user)
    seal_user(server, user, "mail")
    assert open_all(server, user) == [before]
    seal_user(server, user, "unseal", password=user.password)
    assert disk.contents(server, user) == [before]
