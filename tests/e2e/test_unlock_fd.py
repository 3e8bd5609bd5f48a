# SPDX-License-Identifier: LGPL-2.1-or-later
"""doveadm's own commands on sealed mail: with a key through a file descriptor,
and without one."""

import os
import pty
import re
import subprocess

import pytest

from harness import age, disk, keyring, sanitizer
from harness.config import Setup
from harness.dict import wait_until
from harness.doveadm import Done, seal_user, unlocked
from harness.seal import enrolled, open_all
from harness.wire import Imap, lmtp

MESSAGE = (b"From: ada@example.com\r\nTo: grace@example.com\r\n"
           b"Subject: hello word\r\n\r\nbody word\r\n")
NO_KEY = r"mail is sealed: give the key with -o (plugin/)?mail_seal_unlock_fd=N"


@pytest.fixture(scope="module")
def server(serve):
    return serve(Setup())


@pytest.fixture(scope="module")
def user(server):
    user = enrolled(server)
    for _ in range(2):
        lmtp(server, [user], MESSAGE)
    return user


def locked(server, *words):
    """doveadm without a key, as it is run for a person."""
    done = server.doveadm(*words, check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


# Words for a user, and what is in their output if they can open the mail.
CONTENT = [
    (("fetch", "text", "all"), "body word"),
    (("fetch", "hdr", "all"), "hello word"),
    (("fetch", "hdr.subject", "all"), "hello word"),
    (("fetch", "body", "uid", "1"), "body word"),
    (("fetch", "body.preview", "all"), "body word"),
    (("fetch", "body.snippet", "all"), "body word"),
    (("fetch", "imap.envelope", "all"), "hello word"),
    (("fetch", "imap.bodystructure", "all"), "plain"),
    (("fetch", "date.sent", "all"), "date.sent"),
    (("search", "body", "word"), " 1\n"),
    (("search", "subject", "word"), " 2\n"),
    (("search", "text", "word"), " 1\n"),
    (("search", "from", "ada"), " 1\n"),
    (("search", "header", "x-nothing", "x"), ""),
    (("search", "sentbefore", "2001-01-01"), ""),
    (("index", "INBOX"), ""),
]
# What needs no content, and must not ask for a key.
NO_CONTENT = [
    ("fetch", "uid guid flags size.physical size.virtual date.received",
     "all"),
    ("search", "all"),
    ("search", "unseen"),
    ("search", "larger", "1"),
    ("mailbox", "status", "all", "*"),
    ("mailbox", "list"),
    ("mailbox", "create", "made"),
    ("flags", "add", r"\Flagged", "mailbox", "INBOX", "all"),
    ("copy", "made", "mailbox", "INBOX", "uid", "1"),
    ("move", "made", "mailbox", "INBOX", "uid", "2"),
    ("force-resync", "*"),
    ("expunge", "mailbox", "made", "all"),
    ("purge",),
    ("quota", "get"),
]


def for_user(words, user):
    """-u stands behind the command's name, of one word or of two."""
    count = 2 if words[0] in ("mailbox", "flags", "quota") else 1
    return (*words[:count], "-u", user.name, *words[count:])


def known(server, words):
    """Dovecot 2.4 indexes for full text search alone."""
    return words[0] != "index" or server.version < (2, 4)


@pytest.mark.parametrize("words, wanted", CONTENT,
                         ids=lambda value: " ".join(value)
                         if isinstance(value, tuple) else "")
def test_content(server, user, words, wanted):
    if not known(server, words):
        pytest.skip("this version does nothing")
    # First without: what was read once may be in the index's cache.
    done = locked(server, *for_user(words, user))
    assert done.code != 0 and not done.out, (words, done)
    assert re.search(NO_KEY, done.err), done.err
    done = unlocked(server, *for_user(words, user), key=user.password)
    assert done.code == 0 and not done.err, done
    assert wanted in done.out


def test_what_needs_no_content(server):
    user = enrolled(server)
    for _ in range(2):
        lmtp(server, [user], MESSAGE)
    for words in NO_CONTENT:
        done = locked(server, *for_user(words, user))
        if words[0] == "quota":
            continue
        assert done.code == 0, (words, done)
        assert "Error" not in done.err
    assert len(disk.stored(server, user)) == 1


# Keys


def recovery_code(server, user):
    done = seal_user(server, user, "recovery new", password=user.password)
    return re.search(r"AGE-SECRET-KEY-1[A-Z0-9]+", done.out).group()


def subject(server, user, key, **options):
    return unlocked(server, "fetch", "-u", user.name, "hdr.subject", "uid",
                    "1", key=key, **options)


@pytest.mark.parametrize("end", ["\n", "\r\n", "", "\nmore\n"])
def test_password_line(server, user, end):
    done = subject(server, user, (user.password + end).encode())
    assert (done.code, done.err) == (0, "")
    assert "hello word" in done.out


def test_identities(server, user):
    for key in recovery_code(server, user), current_identity(user):
        done = subject(server, user, key)
        assert (done.code, done.err) == (0, "")
        assert "hello word" in done.out


def current_identity(user):
    return re.search(r"AGE-SECRET-KEY-1\S+", keyring.identity(user)).group()


def test_escrow_identity(server, serve):
    escrow = age.keygen()
    server = serve(Setup(settings=(
        ("mail_seal_escrow_recipients", escrow.recipient),)))
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    assert "hello word" in subject(server, user, escrow.identity).out


def test_standard_input(server, user):
    done = subject(server, user, "unused", fd=0,
                   stdin=user.password.encode() + b"\n")
    assert (done.code, done.err) == (0, "")
    assert "hello word" in done.out


@pytest.mark.parametrize("key", ["battery staple", age.keygen().identity],
                         ids=["password", "identity"])
def test_wrong_keys(server, user, key):
    before = keyring.read(user)
    done = subject(server, user, key)
    assert done.code != 0 and not done.out
    assert "the key given with" in done.err and key not in done.err
    assert keyring.read(user) == before


BAD = [
    (b"", "has no line"),
    (b"\n", "has no line"),
    (b"x" * 1025 + b"\n", "has a line of more than 1024 bytes"),
    (b"a\0b\n", "has control characters"),
    (b"\x1b[A\n", "has control characters"),
    (b"AGE-SECRET-KEY-1QQQQ\n", "isn't one"),
    (age.keygen().identity[:-1].encode() + b"Q\n", "isn't one"),
]


@pytest.mark.parametrize("key, error", BAD, ids=range(len(BAD)))
def test_bad_keys(server, user, key, error):
    done = subject(server, user, key)
    assert done.code != 0 and not done.out
    assert "mail_seal_unlock_fd = " in done.err and error in done.err
    assert len(key) < 5 or key.decode().strip() not in done.err


@pytest.mark.parametrize("fd, error", [
    *((fd, "is not open") for fd in range(4, 12)), (999, "is not open"),
    (1, "is the standard output"), (2, "is the standard output"),
    (-1, "must be the number"), ("x", "must be the number"),
])
def test_bad_descriptors(server, user, fd, error):
    """Dovecot's own descriptors are neither read nor closed."""
    done = subject(server, user, user.password, fd=fd)
    if isinstance(fd, int) and done.code == 0:
        pytest.skip("it is the one that the test has passed")
    assert done.code not in (0, -6) and not done.out
    assert error in done.err and "Panic" not in done.err


def test_terminal(server, user):
    master, slave = pty.openpty()
    name = "mail_seal_unlock_fd"
    if server.version < (2, 4):
        name = f"plugin/{name}"
    done = subprocess.run(
        ["doveadm", "-c", server.config_file, "-o", f"{name}={slave}",
         "fetch", "-u", user.name, "text", "all"],
        stdin=subprocess.DEVNULL, capture_output=True, pass_fds=[slave],
        env=sanitizer.environment(), timeout=120)
    os.close(master)
    os.close(slave)
    assert done.returncode != 0
    assert b"is a terminal" in done.stderr


def test_many_users(server, tmp_path):
    """The same key is tried for each, and read once."""
    same = [enrolled(server) for _ in range(3)]
    other = server.user(password="something else")
    with Imap(server, other) as imap:
        imap.ok("LOGOUT")
    for user in (*same, other):
        lmtp(server, [user], MESSAGE)
    names = tmp_path / "users"
    # -F asks the passwd-file for a list, too, and goes on without.
    server.allow_log("User iteration isn't currently supported")
    names.write_text("".join(f"{user.name}\n" for user in (*same, other)))
    done = unlocked(server, "fetch", "-F", str(names), "hdr.subject", "all",
                    key=same[0].password)
    assert done.out.count("hello word") == 3
    assert done.code != 0
    assert re.search(rf"doveadm\({other.name}\).*Session is locked", done.err)


def test_a_key_makes_no_keyring(server):
    user = server.user()
    done = unlocked(server, "fetch", "-u", user.name, "text", "all",
                    key="a typo")
    assert not os.path.exists(keyring.path(user))
    assert done.code == 0, done


def test_a_login_does_not_take_it(own_server):
    name = "mail_seal_unlock_fd"
    server = own_server(Setup(settings=((name, "0"),)))
    user = server.user()
    with pytest.raises((AssertionError, EOFError, OSError)):
        with Imap(server, user) as imap:
            imap.select()
    server.expect_log(r"Error: .*mail_seal_unlock_fd is for doveadm")


# Copying to other places


def test_to_another_user(server, user):
    for words in (("copy", "-u", "@", "INBOX", "user", user.name, "mailbox",
                   "INBOX", "all"),
                  ("import", "-u", "@", "-U", user.name,
                   f"sdbox:{user.home}/mail", "", "mailbox", "INBOX", "all"),
                  ):
        other = enrolled(server)
        words = [other.name if word == "@" else word for word in words]
        if words[0] == "import":
            words[words.index("")] = "got"
        done = locked(server, *words)
        assert done.code != 0 and re.search(NO_KEY, done.err), done
        assert not disk.stored(server, other)
        done = unlocked(server, *words, key=user.password)
        assert done.code == 0, done
        opened = open_all(server, other)
        assert len(opened) == 2 and all(b"body word" in one for one in opened)


@pytest.mark.parametrize("command", ["backup", "sync"])
def test_dsync(server, user, command, tmp_path_factory):
    dest = f"{user.home}/{command}"
    words = (command, "-u", user.name, f"maildir:{dest}")
    done = locked(server, *words)
    assert done.code != 0 and re.search(NO_KEY, done.err), done
    done = unlocked(server, *words, key=user.password)
    assert done.code == 0, done
    found = [name for top, _, names in os.walk(dest) for name in names
             if top.endswith(("/cur", "/new"))]
    assert len(found) == 2


def test_save(server, user):
    """No key is needed, as for any delivery."""
    other = enrolled(server)
    done = locked_with_input(server, "save", "-u", other.name)
    assert done.code == 0, done
    assert open_all(server, other) == [MESSAGE.replace(b"\r\n", b"\n")]


def locked_with_input(server, *words):
    done = server.doveadm(*words, stdin=MESSAGE, check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("command", ["backup", "sync"])
def test_the_other_side_does_not_inherit_it(server, user, command, tmp_path):
    """It is started before there is a user, and could read the key first."""
    script = tmp_path / "remote"
    listed = tmp_path / "descriptors"
    script.write_text("#!/bin/sh\n"
                      f"ls -l /proc/self/fd >{listed}.new\n"
                      f"mv {listed}.new {listed}\n")
    script.chmod(0o755)
    read_end, write_end = os.pipe()
    os.write(write_end, f"{user.password}\n".encode())
    name = ("plugin/" if server.version < (2, 4) else "") + \
        "mail_seal_unlock_fd"
    # sync would wait for half a minute for the other side to come.
    process = subprocess.Popen(
        ["doveadm", "-c", server.config_file, "-o", f"{name}={read_end}",
         command, "-u", user.name, str(script)],
        pass_fds=[read_end], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=sanitizer.environment())
    try:
        wait_until(listed.exists, "the other side")
    finally:
        process.kill()
        process.wait()
    inode = os.fstat(read_end).st_ino
    os.close(read_end)
    os.close(write_end)
    found = listed.read_text()
    assert "pipe:" in found and f"pipe:[{inode}]" not in found, found
