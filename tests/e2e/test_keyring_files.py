# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keyrings that are damaged or out of reach: locked, and left as they are."""

import glob
import os
import re
import threading

import pytest

from harness import age, disk, keyring
from harness.config import MAIL_UID, Setup
from harness.doveadm import seal
from harness.seal import enrolled
from harness.wire import Imap, Lmtp, lmtp

MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
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
            "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IG1haWwtc2VhbC9hcmdvbjJp\n"
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
    assert len(re.findall("audit: enroll: ", server.new_log())) == 1
    assert not glob.glob(f"{user.home}/mail-seal.keyring.*")


@pytest.mark.parametrize("several", [False, True])
def test_root_leaves_the_owner_all_files(serve, several):
    """A keyring that only root can read would lock its user out."""
    server = serve(Setup(settings=(("mail_seal_keyring", "~/a/b/key"),)))
    user = server.user()
    # Asked for all users, as several are served.
    server.allow_log("User iteration isn't currently supported")
    listed = f"{server.base}/users.list"
    with open(listed, "w", encoding="ascii") as file:
        file.write(f"{user.name}\n")
    changes = [(["enroll", "-F", listed, "--recovery"], {})] \
        if several else [
        (["enroll", "-u", user.name], {"password": user.password}),
        (["slot", "add", "--label", "x", "-u", user.name],
         {"password": [user.password, "the phone's"]}),
        (["slot", "remove", "x", "-u", user.name],
         {"password": user.password})]
    for words, secrets in changes:
        seal(server, *words, **secrets)
        names = {}
        for path in glob.glob(f"{user.home}/a/**", recursive=True,
                              include_hidden=True):
            found = os.stat(path)
            names[os.path.basename(path.rstrip("/"))] = oct(found.st_mode)
            assert (found.st_uid, found.st_gid) == (MAIL_UID, MAIL_UID)
        assert names == {"a": "0o40700", "b": "0o40700", "key": "0o100600"}
    assert deliver(server, user) == 250


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
