# SPDX-License-Identifier: LGPL-2.1-or-later
"""Full disks, bad keyrings and wrong settings: nothing is lost or shown."""

import contextlib
import glob
import os
import re
import signal
import subprocess
import threading

import pytest

from harness import age, canary, config, corpus, disk, keyring
from harness.config import MAIL_UID, Setup
from harness.seal import enrol, enrolled, open_all
from harness.server import dovecot_version
from harness.wire import Imap, Lmtp, lmtp

MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
LF = MESSAGE.replace(b"\r\n", b"\n")
OUR_LOG = "mail_seal|keyring"


@pytest.fixture(scope="module")
def server(serve):
    return serve(Setup())


def deliver(server, user, message=MESSAGE):
    with Lmtp(server) as client:
        (code, _), = client.deliver([user], message)
    return code


def greeting(imap):
    return imap.login_reply.raw + imap.cmd("NOOP").raw


def is_locked(server, user):
    """Logged in, warned, and shown nothing."""
    with Imap(server, user) as imap:
        warned = b"* OK [ALERT] " in greeting(imap)
        refused = imap.cmd("SELECT INBOX").status == "NO"
        imap.ok("LOGOUT")
    assert warned == refused
    return warned


# Full and read-only disks


@contextlib.contextmanager
def small_disk(user, size="3M"):
    """The user's home is a disk of its own; yields a function to fill it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o",
                    f"size={size},mode=700,uid={MAIL_UID},gid={MAIL_UID}",
                    "tmpfs", user.home], check=True)

    def fill(leave):
        """Leave so many bytes."""
        with open(f"{user.home}/filler", "wb") as file:
            left = os.statvfs(user.home)
            file.write(bytes(left.f_bavail * left.f_bsize - leave))

    try:
        yield fill
    finally:
        subprocess.run(["umount", "-l", user.home], check=True)


def files_of(user):
    return {path for path in glob.glob(f"{user.home}/**", recursive=True,
                                       include_hidden=True)
            if os.path.isfile(path) and "dovecot" not in path}


def make_mailboxes(server, user):
    """So that later only mail is written."""
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
        imap.select()
        imap.ok("LOGOUT")


def test_disk_full_while_saving(sealed):
    word = canary.word()
    large = corpus.with_attachment(word, word, word, word.encode() * 50000)
    user = sealed.user()
    sealed.allow_log("No space left|disk")
    with small_disk(user) as fill:
        make_mailboxes(sealed, user)
        fill(200000)
        before = files_of(user)
        with Imap(sealed, user) as imap:
            reply = imap.append_cmd(large)
            assert reply.status == "NO"
            imap.ok("NOOP")
        assert deliver(sealed, user, large) == 451
        assert sealed.lda(user, large, check=False).returncode != 0
        assert sealed.doveadm("save", "-u", user.name, stdin=large,
                              check=False).returncode != 0
        assert files_of(user) == before
        assert canary.find(user.home, [word]) == []
        assert open_all(sealed, user) == [LF]
        os.unlink(f"{user.home}/filler")
        assert deliver(sealed, user, large) == 250
        with Imap(sealed, user) as imap:
            imap.append(large)
            imap.select()
            assert imap.body(3) == large


def test_disk_full_while_saving_is_answered_as_by_plain_dovecot(make_pair,
                                                                storage):
    pair = make_pair(storage=storage)
    large = corpus.of_size(900000)
    with contextlib.ExitStack() as stack:
        codes = []
        for server, user in zip(pair.servers, pair.users):
            server.allow_log("No space left|disk")
            fill = stack.enter_context(small_disk(user))
            make_mailboxes(server, user)
            fill(200000)
            codes.append(deliver(server, user, large))
        assert codes[0] == codes[1]
        pair.reconnect()
        plain, sealed = pair.each(lambda session: session.append_cmd(large))
        assert plain.comparable() == sealed.comparable()
        pair.close()


def test_disk_full_while_enrolling(server):
    """No half keyring: the next login makes a whole one."""
    user = server.user()
    server.allow_log("No space left|mail_seal")
    with small_disk(user, "64k") as fill:
        fill(0)
        assert is_locked(server, user)
        assert not glob.glob(f"{user.home}/mail-seal*")
        assert deliver(server, user) == 451
        server.expect_log(r"mail_seal: .*mail-seal\.keyring.*No space")
        os.unlink(f"{user.home}/filler")
        enrol(server, user)
        assert keyring.identity(user)


def test_home_that_cannot_be_written(server):
    user = server.user()
    os.mkdir(f"{user.home}/mail", 0o700)
    os.chown(f"{user.home}/mail", MAIL_UID, MAIL_UID)
    os.chmod(user.home, 0o500)
    server.allow_log("mail_seal")
    assert is_locked(server, user)
    server.expect_log(r"mail_seal: .*mail-seal\.keyring.*ermission")
    assert deliver(server, user) == 451
    assert os.listdir(user.home) == ["mail"]
    os.chmod(user.home, 0o700)
    assert not is_locked(server, user)


def test_killed_while_saving(sealed):
    """A crash in the middle of APPEND leaves no word on disk."""
    word = canary.word()
    user = enrolled(sealed)
    sealed.allow_log("killed with signal 9")
    message = corpus.with_attachment(word, word, word, word.encode() * 50000)
    with Imap(sealed, user) as imap:
        imap.select()
        pids = re.findall(rf"user=<{user.name}>.*mpid=(\d+)",
                          sealed.new_log())
        imap.send(b"x APPEND INBOX {%d+}\r\n" % len(message))
        imap.send(message[:-1000])
        imap.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            imap.sock.recv(1)
        os.kill(int(pids[-1]), signal.SIGKILL)
    sealed.expect_log("killed with signal 9")
    assert canary.find(f"{sealed.base}/home", [word]) == []
    assert canary.find(f"{sealed.base}/tmp", [word]) == []
    with Imap(sealed, user) as imap:
        imap.select()
        assert imap.uids() == []


# Keyrings


def truncated(text):
    return [(f"cut at {size}", text[:size])
            for size in range(0, len(text) - 1, 23)]


def altered(text):
    other = age.keygen().recipient
    return [
        ("a later version", text.replace("keyring 1\n", "keyring 2\n", 1)),
        ("no version", text.partition("\n")[2]),
        ("another recipient", text.replace(keyring.recipient(text), other)),
        ("one recipient more", text.replace(
            "recipient: ", f"recipient: {other}\nrecipient: ", 1)),
        ("1 MiB of letters", "x" * (1 << 20)),
        ("1 MiB of NULs", "\0" * (1 << 20)),
        ("1 MiB of slots", text + "slot: password argon2id x\n" * 40000),
        ("CRLF", text.replace("\n", "\r\n")),
        ("a message", "Subject: x\n\nbody\n"),
        ("Argon2id of 4 TiB", re.sub(
            r"(?s)-----BEGIN.*-----END", "-----BEGIN AGE ENCRYPTED FILE-----\n"
            "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IG1haWwtc2VhbC9hcmdvbjJpZCBBQUFB\n"
            "-----END", text)),
    ]


@pytest.mark.parametrize("damage", [truncated, altered],
                         ids=lambda function: function.__name__)
def test_damaged_keyrings_lock_and_stay_as_they_are(server, damage):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    whole = keyring.read(user)
    server.allow_log(OUR_LOG)
    for name, text in damage(whole):
        with open(keyring.path(user), "w", encoding="ascii",
                  newline="") as file:
            file.write(text)
        before = os.stat(keyring.path(user))
        assert is_locked(server, user), name
        assert deliver(server, user) in (250, 451), name
        after = os.stat(keyring.path(user))
        assert (before.st_mtime_ns, before.st_ino, before.st_size) == \
            (after.st_mtime_ns, after.st_ino, after.st_size), name
    server.expect_log(r"mail_seal: .*keyring file .*mail-seal\.keyring")
    # A reader of the log learns no key from it.
    assert "AGE-SECRET" not in server.new_log()
    assert all(stored.is_sealed for stored in disk.stored(server, user))
    with open(keyring.path(user), "w", encoding="ascii") as file:
        file.write(whole)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(1).endswith(MESSAGE)


def as_directory(path):
    os.rename(path, f"{path}.saved")
    os.mkdir(path)


def as_fifo(path):
    os.rename(path, f"{path}.saved")
    os.mkfifo(path)
    os.chown(path, MAIL_UID, MAIL_UID)


def as_link_to_nothing(path):
    os.rename(path, f"{path}.saved")
    os.symlink("/nowhere/keyring", path)


def unreadable(path):
    os.chmod(path, 0)


@pytest.mark.parametrize("change", [
    as_directory, as_fifo, as_link_to_nothing, unreadable],
    ids=lambda function: function.__name__)
def test_keyrings_that_cannot_be_read(server, change):
    """They are not taken for missing: no other is made."""
    user = enrolled(server)
    path = keyring.path(user)
    change(path)
    before = os.lstat(path)
    server.allow_log(OUR_LOG)
    assert is_locked(server, user)
    assert deliver(server, user) == 451
    server.expect_log(r"mail_seal: .*mail-seal\.keyring")
    after = os.lstat(path)
    assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)
    assert not glob.glob(f"{path}.tmp*")


def test_missing_keyring_of_one_who_had_one(serve, server):
    """Where nobody is enrolled by logging in, none is made in its place."""
    strict = serve(Setup(settings=(("mail_seal_enroll", "no"),)))
    user = enrolled(server)
    moved = strict.user(user.name)
    os.rmdir(moved.home)
    os.rename(user.home, moved.home)
    assert not is_locked(strict, moved)
    os.rename(keyring.path(moved), f"{moved.home}/saved")
    strict.allow_log(OUR_LOG)
    assert is_locked(strict, moved)
    assert deliver(strict, moved) == 451
    strict.expect_log(r"mail_seal: .*does not exist")
    assert not os.path.exists(keyring.path(moved))


def test_twenty_first_logins_at_once(server):
    user = server.user()
    barrier = threading.Barrier(20)
    results = []

    def first_login():
        barrier.wait()
        try:
            results.append(is_locked(server, user))
        except (AssertionError, EOFError, OSError) as error:
            results.append(error)

    threads = [threading.Thread(target=first_login) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [False] * 20
    assert len(re.findall("Enrolled: ", server.new_log())) == 1
    assert not glob.glob(f"{user.home}/mail-seal.keyring.*")


# Settings


WRONG = [
    ("mail_seal_keyring", "keyring", "absolute"),
    ("mail_seal_keyring", "~/", "absolute"),
    ("mail_seal_enroll", "maybe", "yes or no"),
    ("mail_seal_save", "2", "yes or no"),
    ("mail_seal_unenrolled", "plain", "tempfail or plaintext"),
    ("mail_seal_argon2_memory", "4M", "8M to 1G"),
    ("mail_seal_argon2_memory", "2G", "8M to 1G"),
    ("mail_seal_argon2_memory", "64X", "8M to 1G"),
    ("mail_seal_argon2_memory", "-64M", "8M to 1G"),
    ("mail_seal_argon2_memory", "99999999999999999999G", "8M to 1G"),
    ("mail_seal_argon2_passes", "0", "1 to 16"),
    ("mail_seal_argon2_passes", "17", "1 to 16"),
    ("mail_seal_argon2_passes", "two", "1 to 16"),
]


@pytest.mark.parametrize("name, value, allowed", WRONG)
def test_wrong_settings_of_the_userdb(server, name, value, allowed):
    """The log names setting, value and what is allowed; mail waits."""
    user = server.user(**{name: value})
    server.allow_log("mail_seal|Fatal|Failed")
    assert deliver(server, user) == 451
    server.expect_log(rf"{name} ?= ?{re.escape(value)}: .*{allowed}")
    assert not os.path.exists(f"{user.home}/mail")
    assert not os.path.exists(keyring.path(user))


@pytest.mark.parametrize("name, value, allowed", WRONG)
def test_wrong_settings_of_the_configuration(server, tmp_path, name, value,
                                             allowed):
    """Dovecot 2.4 finds them when it reads the configuration."""
    path = tmp_path / "dovecot.conf"
    path.write_text(config.text(Setup(settings=((name, value),)), server,
                                dovecot_version()))
    done = subprocess.run(["doveconf", "-c", path, "-n"], text=True,
                          capture_output=True)
    if dovecot_version() < (2, 4):
        # It takes anything in plugin { }; logins and deliveries complain.
        assert done.returncode == 0
    else:
        assert done.returncode != 0
        assert re.search(rf"{name} ?= ?{re.escape(value)}: .*{allowed}",
                         done.stderr)


@pytest.mark.parametrize("name, value", [
    ("mail_seal_argon2_memory", "8M"), ("mail_seal_argon2_memory", "8192k"),
    ("mail_seal_argon2_memory", "16777216"), ("mail_seal_enroll", "YES"),
    ("mail_seal_save", "true"), ("mail_seal_keyring", "~/deep/down/key"),
    ("mail_seal_unenrolled", "plaintext"), ("mail_seal_argon2_passes", "16"),
])
def test_right_settings_of_the_userdb(server, name, value):
    user = server.user(**{name: value})
    assert not is_locked(server, user)
    found, = glob.glob(f"{user.home}/deep/down/key" if "deep" in value
                       else keyring.path(user))
    assert os.stat(found).st_uid == MAIL_UID


# Stores that can't be sealed


ATTACHMENTS_23 = "mail_attachment_dir = @base@/home/attachments\n"
ATTACHMENTS_24 = """
mail_ext_attachment_path = @base@/home/attachments
mail_ext_attachment {
  fs posix {
  }
}
"""


@pytest.mark.parametrize("options, advice", [
    ({"storage": "mbox"}, "maildir, sdbox or mdbox"),
    ({"extra_23": ATTACHMENTS_23, "extra_24": ATTACHMENTS_24},
     "attachment.*remove the setting"),
], ids=["mbox", "attachments"])
def test_unsealable_stores_are_refused(serve, options, advice):
    server = serve(Setup(**options))
    user = server.user()
    word = canary.word()
    server.allow_log("mail_seal|Fatal|Failed|BYE")
    with pytest.raises((AssertionError, EOFError, OSError)):
        with Imap(server, user) as imap:
            imap.append(b"Subject: %s\r\n\r\n" % word.encode())
    server.expect_log(rf"mail_seal: .*{advice}")
    assert deliver(server, user, b"Subject: %s\n\n" % word.encode()) == 451
    assert canary.find(f"{server.base}/home", [word]) == []
