# SPDX-License-Identifier: LGPL-2.1-or-later
"""Unlocking at login, enrolment, and sessions that stay locked."""

import os
import stat
import subprocess
import threading

import pytest

from harness import age, disk, keyring
from harness.config import MAIL_UID, Setup
from harness.seal import enrolled, open_all
from harness.wire import Imap, Pop3, lmtp

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"


@pytest.fixture(scope="module")
def server(serve):
    return serve(Setup())


def other_password(server, user, password="battery staple", **userdb):
    """The passdb's password is changed behind the keyring's back."""
    return server.user(user.name, password, **userdb)


def assert_locked(server, user):
    """Nothing is shown, nothing is lost, nothing ends."""
    with Imap(server, user) as imap:
        greeting = imap.login_reply.raw + imap.cmd("NOOP").raw
        assert b"* OK [ALERT] " in greeting
        for command in ("SELECT INBOX", "EXAMINE INBOX",
                        "STATUS INBOX (MESSAGES)"):
            reply = imap.cmd(command)
            assert reply.status == "NO", command
            assert b"[UNAVAILABLE]" in reply.text
            assert user.home.encode() not in reply.text
        imap.append(MESSAGE)
        assert b"INBOX" in imap.ok('LIST "" *').raw
        imap.ok("NOOP")
        imap.ok("LOGOUT")


# Enrolment


def test_first_login_makes_a_keyring(server):
    user = server.user()
    assert not os.path.exists(keyring.path(user))
    with Imap(server, user) as imap:
        assert imap.select().raw.count(b"* 0 EXISTS") == 1
    found = os.stat(keyring.path(user))
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert (found.st_uid, found.st_gid) == (MAIL_UID, MAIL_UID)
    text = keyring.read(user)
    assert text.startswith("mail-seal keyring 1\n")
    identity = keyring.identity(user)
    derived = subprocess.run(["age-keygen", "-y"], input=identity, text=True,
                             capture_output=True, check=True).stdout
    assert derived.strip() == keyring.recipient(text)
    with pytest.raises(keyring.WrongPassword):
        keyring.identity(user, "wrong")


def test_later_logins_leave_the_keyring_alone(server):
    user = enrolled(server)
    before = keyring.read(user), os.stat(keyring.path(user)).st_mtime_ns
    for _ in range(3):
        with Imap(server, user) as imap:
            imap.select()
    assert before == (keyring.read(user),
                      os.stat(keyring.path(user)).st_mtime_ns)


def test_first_login_may_be_pop3(server):
    user = server.user()
    with Pop3(server, user) as pop3:
        assert pop3.ok("STAT").startswith(b"+OK 0 0")
    assert keyring.identity(user)


@pytest.mark.parametrize("again", range(5))
def test_two_first_logins_make_one_keyring(server, again):
    user = server.user()
    # Dovecot itself may panic when several sessions create a first INBOX.
    server.doveadm("mailbox", "create", "-u", user.name, "INBOX")
    assert not os.path.exists(keyring.path(user))
    count = 6
    together = threading.Barrier(count)
    results = []

    def first_login():
        together.wait()
        try:
            with Imap(server, user) as imap:
                imap.append(MESSAGE)
                imap.select()
                results.append(imap.body(1))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=first_login) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [MESSAGE] * count
    assert open_all(server, user) == [MESSAGE.replace(b"\r\n", b"\n")] * count
    left = set(os.listdir(user.home)) - {"mail", "mail-seal.keyring"}
    assert not left


def test_default_costs(serve):
    server = serve(Setup(settings=(("mail_seal_argon2_memory", "64M"),
                                   ("mail_seal_argon2_passes", "2"))))
    user = enrolled(server)
    assert keyring.slot_costs(keyring.read(user)) == [(2, 64 * 1024)]


def test_costs_of_an_old_keyring_are_its_own(server, serve):
    """Settings say what new keyrings cost, not what old ones may."""
    user = enrolled(server)
    other = serve(Setup(settings=(("mail_seal_argon2_memory", "16M"),
                                  ("mail_seal_argon2_passes", "3"))))
    moved = other.user(user.name)
    os.rename(keyring.path(user), keyring.path(moved))
    with Imap(other, moved) as imap:
        imap.select()


def test_no_enrolment_if_not_wanted(serve):
    server = serve(Setup(settings=(("mail_seal_enroll", "no"),)))
    user = server.user()
    server.allow_log("keyring")
    with Imap(server, user) as imap:
        assert b"* OK [ALERT] " in imap.login_reply.raw + imap.cmd("NOOP").raw
        assert imap.cmd("SELECT INBOX").status == "NO"
    assert not os.path.exists(keyring.path(user))


@pytest.mark.parametrize("password", [
    "%{user}", "%u %% %", "a\\b", 'a"b', "ünïcödé", "x" * 200,
    " leading", "0" * 64])
def test_odd_passwords(server, password):
    user = server.user(password=password)
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(1) == MESSAGE
    assert keyring.identity(user)
    assert password not in server.new_log()


# Locked sessions


def test_wrong_password_locks(server):
    user = enrolled(server)
    before = keyring.read(user)
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
    changed = other_password(server, user)
    assert_locked(server, changed)
    lmtp(server, [user], MESSAGE)
    server.expect_log(r"wrong password")
    assert keyring.read(user) == before
    with Imap(server, server.user(user.name)) as imap:
        imap.select()
        assert len(imap.uids()) == 3
        assert imap.body(1) == MESSAGE
    assert all(message.is_sealed for message in disk.stored(server, user))


def test_wrong_password_and_pop3(server):
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
    changed = other_password(server, user)
    server.allow_log("Couldn't open INBOX|mail_seal: ")
    with pytest.raises((AssertionError, EOFError)):
        with Pop3(server, changed) as pop3:
            pop3.ok("RETR 1", multiline=True)
    server.expect_log(r"wrong password")


@pytest.mark.parametrize("secret", [
    "", "abc", "0" * 63, "0" * 65, "g" * 64, "A" * 64])
def test_malformed_secret_locks(own_server, secret):
    server = own_server(Setup(secret=secret))
    user = server.user()
    assert_locked_without_keyring(server, user)
    server.allow_log("locked")
    server.expect_log(r"mail_seal_password.*64")
    assert not os.path.exists(keyring.path(user))
    assert not secret or secret not in server.new_log()


def test_all_modules_may_be_named(serve):
    server = serve(Setup(name_all_modules=True))
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
        assert imap.select().raw.count(b"* 1 EXISTS") == 1
    with Pop3(server, user) as pop3:
        assert MESSAGE in pop3.ok("RETR 1", True)
    assert_locked(server, other_password(server, user))
    server.allow_log("locked")


def assert_locked_without_keyring(server, user):
    with Imap(server, user) as imap:
        assert b"* OK [ALERT] " in imap.login_reply.raw + imap.cmd("NOOP").raw
        assert imap.cmd("SELECT INBOX").status == "NO"
        imap.ok("LOGOUT")


def damage_cut(text):
    return text[:len(text) * 2 // 3]


def damage_version(text):
    return text.replace("keyring 1\n", "keyring 2\n", 1)


def damage_recipient(text):
    return text.replace(keyring.recipient(text), age.keygen().recipient)


def damage_empty(_):
    return ""


def damage_noise(_):
    return "\0" * 5000


@pytest.mark.parametrize("damage", [
    damage_cut, damage_version, damage_recipient, damage_empty, damage_noise],
    ids=lambda function: function.__name__)
def test_damaged_keyring_locks(server, damage):
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
    whole = keyring.read(user)
    damaged = damage(whole)
    with open(keyring.path(user), "w", encoding="ascii") as file:
        file.write(damaged)
    with Imap(server, user) as imap:
        assert b"* OK [ALERT] " in imap.login_reply.raw + imap.cmd("NOOP").raw
        assert imap.cmd("SELECT INBOX").status == "NO"
        imap.ok("NOOP")
    server.expect_log(r"mail-seal\.keyring")
    assert keyring.read(user) == damaged
    with open(keyring.path(user), "w", encoding="ascii") as file:
        file.write(whole)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(1) == MESSAGE


# Keys from the userdb


def test_identity_from_the_userdb(server):
    key = age.keygen()
    user = server.user(mail_seal_recipient=key.recipient,
                       mail_seal_identity=key.identity)
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
        imap.select()
        assert imap.body(1) == MESSAGE
    assert not os.path.exists(keyring.path(user))
    assert open_all(server, user, key.identity) == \
        [MESSAGE.replace(b"\r\n", b"\n")]


def test_recipient_from_the_userdb_is_enough_to_save(server):
    key = age.keygen()
    user = server.user(mail_seal_recipient=key.recipient)
    lmtp(server, [user], MESSAGE)
    assert len(open_all(server, user, key.identity)) == 1


@pytest.mark.parametrize("field", ["mail_seal_recipient",
                                   "mail_seal_identity"])
def test_bad_keys_in_the_userdb_are_named(server, field):
    user = server.user(**{field: "age1nonsense"})
    server.allow_log("mail_seal: ")
    with Imap(server, user) as imap:
        assert imap.append_cmd(MESSAGE).status == "NO"
        imap.cmd("SELECT INBOX")
    server.expect_log(field)
    assert not disk.stored(server, user)
