# SPDX-License-Identifier: LGPL-2.1-or-later
"""A login brings the keyring up to date: changed passwords, escrow."""

import hashlib
import os
import re
import threading

import pytest

from harness import age, keyring
from harness.config import MAIL_UID, Setup
from harness.doveadm import seal_user
from harness.events import EXPORTED, audit, exported
from harness.seal import enrol, enrolled, open_all
from harness.wire import Imap, Lmtp, Pop3, lmtp

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"
NEW = "battery staple"


@pytest.fixture(scope="module")
def server(serve):
    return serve(Setup())


def secret(password):
    return hashlib.sha256(password.encode()).hexdigest()


def changed(server, user, **userdb):
    """The passdb's password is another one now."""
    return server.user(user.name, NEW, **userdb)


def with_old(server, user, old):
    return changed(server, user, mail_seal_old_password=secret(old))


def is_locked(server, user):
    with Imap(server, user) as imap:
        alert = b"* OK [ALERT] " in (imap.login_reply.raw +
                                     imap.cmd("NOOP").raw)
        assert alert == (imap.cmd("SELECT INBOX").status == "NO")
        imap.ok("LOGOUT")
    return alert


def state(user):
    return keyring.read(user), os.stat(keyring.path(user)).st_mtime_ns


# A changed password


@pytest.mark.parametrize("session", [Imap, Pop3])
def test_the_earlier_secret_opens_once_and_is_replaced(server, session):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    assert is_locked(server, changed(server, user))
    server.expect_log("Session is locked: .*: wrong password for 1 slot")
    old = keyring.read(user)
    user = with_old(server, user, user.password)
    with session(server, user) as client:
        if session is Imap:
            client.select()
            assert client.body(1).startswith(b"Return-Path")
    server.expect_log(audit(user, "new password", "password"))
    assert keyring.identity(user) == keyring.identity(user, NEW)
    with pytest.raises(keyring.WrongPassword):
        keyring.identity(user, "correct horse")
    assert keyring.recipient(old) == keyring.recipient(keyring.read(user))
    # The field may stay where it is, or go.
    before = state(user)
    assert not is_locked(server, user)
    assert not is_locked(server, changed(server, user))
    assert state(user) == before


def test_no_secret_is_logged(server):
    user = enrolled(server)
    old = secret(user.password)
    user = with_old(server, user, user.password)
    assert not is_locked(server, user)
    log = server.new_log()
    assert old not in log and secret(NEW) not in log


def test_neither_secret(server):
    user = with_old(server, enrolled(server), "a third one")
    before = state(user)
    assert is_locked(server, user)
    server.expect_log(
        r"Session is locked: .*wrong password for 1 slot "
        r"\(mail_seal_password\); wrong password for 1 slot "
        r"\(mail_seal_old_password\)")
    assert state(user) == before


@pytest.mark.parametrize("old", ["", "x", "g" * 64])
def test_an_earlier_secret_of_wrong_form(server, old):
    user = changed(server, enrolled(server), mail_seal_old_password=old)
    before = state(user)
    assert is_locked(server, user)
    server.expect_log("Session is locked: .*" + (
        "mail_seal_old_password must be 64 lower-case hex digits" if old else
        "wrong password"))
    assert state(user) == before


@pytest.mark.parametrize("again", range(3))
def test_two_logins_replace_one_slot(server, again):
    user = with_old(server, enrolled(server), "correct horse")
    together = threading.Barrier(4)
    results = []

    def login():
        together.wait()
        results.append(is_locked(server, user))

    threads = [threading.Thread(target=login) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [False] * 4
    assert len(keyring.slot_costs(keyring.read(user))) == 1
    assert keyring.identity(user, NEW)


def test_oauth_and_master_logins_replace_nothing(server):
    """As for the password itself: the field must not be of another person."""
    user = enrolled(server)
    user = server.user(user.name, NEW, mail_seal_old_password=secret(
        "correct horse"), master_user="admin")
    before = state(user)
    assert is_locked(server, user)
    server.expect_log("Session is locked: there is no userdb field")
    assert state(user) == before


# Slots that a rotation could not write


def test_outdated_slot_is_renewed(server):
    user = enrolled(server)
    seal_user(server, user, "slot add", "--label", "phone",
              identity=identities(user)[0], password="phone password")
    lmtp(server, [user], MESSAGE)
    seal_user(server, user, "rotate", password="phone password")
    assert re.search(r'^slot: password .*identity="age1', keyring.read(user),
                     re.M)
    lmtp(server, [user], MESSAGE)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(1).endswith(MESSAGE)
        assert imap.body(2).endswith(MESSAGE)
    server.expect_log(audit(user, "renew", "password"))
    text = keyring.read(user)
    assert 'identity="age1' not in text and "slot: link" not in text
    assert len(identities(user)) == 2
    before = state(user)
    assert not is_locked(server, user)
    assert state(user) == before


def identities(user, password=None):
    return re.findall(r"^AGE-SECRET-KEY-1\S+",
                      keyring.identity(user, password), re.M)


def test_a_keyring_that_cannot_be_written_opens(server):
    """What can't be brought up to date is a warning."""
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    user = with_old(server, user, "correct horse")
    before = state(user)
    os.chown(user.home, 0, 0)
    os.chmod(user.home, 0o755)
    try:
        assert not is_locked(server, user)
        server.expect_log("Warning: mail_seal: .*Cannot be brought up to date")
    finally:
        os.chown(user.home, MAIL_UID, MAIL_UID)
    assert state(user) == before
    assert not is_locked(server, user)
    assert keyring.identity(user, NEW)


# Escrow


@pytest.fixture(scope="module")
def keys():
    return [age.keygen() for _ in range(3)]


@pytest.fixture(scope="module")
def escrow_servers(serve, keys):
    """By how many of the keys are configured."""
    return [serve(Setup(name="escrow", settings=(
        ("mail_seal_escrow_recipients", ", ".join(
            key.recipient for key in keys[:count])),) if count else ()))
        for count in range(3)]


def escrow_slots(user):
    """{recipient: armored age file} of the escrow slots."""
    return dict(re.findall(
        r'^slot: escrow x25519 \S+ recipient="(age1[^"]+)"\n'
        r"(-----BEGIN AGE ENCRYPTED FILE-----\n.*?"
        r"-----END AGE ENCRYPTED FILE-----\n)", keyring.read(user),
        re.M | re.S))


def read_by_escrow(server, user, key):
    """With the stock age alone, as one would without us."""
    slot = escrow_slots(user)[key.recipient]
    identity = age.open_(key.identity, slot.encode()).decode()
    return open_all(server, user, identity)


def test_enrolment_adds_escrow(escrow_servers, keys):
    server = escrow_servers[2]
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    assert set(escrow_slots(user)) == {key.recipient for key in keys[:2]}
    for key in keys[:2]:
        [opened] = read_by_escrow(server, user, key)
        assert opened.endswith(b"body\n")
    with pytest.raises(age.AgeFailed):
        age.open_(keys[2].identity,
                  escrow_slots(user)[keys[0].recipient].encode())


def test_login_syncs_escrow(escrow_servers, keys):
    """The same user on servers whose setting differs."""
    home = enrol(escrow_servers[0], escrow_servers[0].user("escrow-synced"))
    users = [adopt(server, home) for server in escrow_servers]
    for count in (1, 2, 1, 0, 2, 0):
        server = escrow_servers[count]
        assert not is_locked(server, users[count])
        assert set(escrow_slots(home)) == {
            key.recipient for key in keys[:count]}
        server.expect_log(audit(users[count], "escrow sync", "escrow"))
        before = state(home)
        server.begin_test()
        assert not is_locked(server, users[count])
        assert state(home) == before
        assert "audit: escrow" not in server.new_log()
    assert keyring.identity(home)


def adopt(server, user):
    """A user of another server, with the same home."""
    line = (f"{user.name}:{{PLAIN}}{user.password}:{MAIL_UID}:{MAIL_UID}"
            f"::{user.home}::\n")
    path = f"{server.base}/users/{user.name}"
    with open(path, "w", encoding="ascii") as file:
        file.write(line)
    os.chmod(path, 0o644)
    return user


def test_password_and_escrow_in_one_change(escrow_servers, keys):
    home = enrol(escrow_servers[0], escrow_servers[0].user("escrow-once"))
    server = escrow_servers[2]
    user = server.user(home.name, NEW,
                       mail_seal_old_password=secret(home.password))
    os.rmdir(user.home)
    os.symlink(home.home, user.home)
    before = os.stat(keyring.path(home)).st_ino
    assert not is_locked(server, user)
    server.expect_log(audit(user, "new password", "password"))
    server.expect_log(audit(user, "escrow sync", "escrow"))
    assert keyring.identity(home, NEW) and len(escrow_slots(home)) == 2
    assert os.stat(keyring.path(home)).st_ino != before


def test_own_recipient_as_escrow_is_a_warning(own_server, server):
    user = enrol(server, server.user("own-escrow"))
    own = own_server(Setup(settings=(
        ("mail_seal_escrow_recipients",
         keyring.recipient(keyring.read(user))),)))
    before = state(user)
    assert not is_locked(own, adopt(own, user))
    own.expect_log("Warning: mail_seal: .*mail_seal_escrow_recipients: "
                   ".*is the keyring's own recipient")
    assert state(user) == before


GOOD = age.keygen()


@pytest.mark.parametrize("value, error", [
    (GOOD.recipient[:-1] + ("q" if GOOD.recipient[-1] != "q" else "p"),
     "checksum"),
    ("age1", "must be recipients"),
    ("somebody", "must be recipients"),
    (f"{GOOD.recipient} {GOOD.recipient}", "given twice"),
    (GOOD.identity, "must be its recipient"),
], ids=["checksum", "short", "word", "twice", "identity"])
def test_wrong_escrow_settings(own_server, server, value, error):
    """Nothing is stored plain and nothing is lost."""
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    if server.version >= (2, 4):
        with pytest.raises(RuntimeError) as failed:
            own_server(Setup(settings=(
                ("mail_seal_escrow_recipients", value),)))
        text = str(failed.value)
    else:
        own = own_server(Setup(settings=(
            ("mail_seal_escrow_recipients", value),)))
        with Lmtp(own) as client:
            (code, _), = client.deliver([adopt(own, user)], MESSAGE)
        assert code == 451
        with pytest.raises((AssertionError, EOFError, OSError)):
            with Imap(own, user) as imap:
                imap.select()
        text = own.expect_log("mail_seal: mail_seal_escrow_recipients.*"
                              ).group()
    assert "mail_seal_escrow_recipients" in text and error in text
    assert GOOD.identity not in text
    assert len(open_all(server, user)) == 1


# Events


def test_events(serve):
    server = serve(Setup(**EXPORTED))
    user = enrolled(server)
    event = exported(server, "mail_seal_enrolled", user)
    assert event["slot_kind"] == "password" and event["duration"] > 0
    assert not is_locked(server, user)
    event = exported(server, "mail_seal_unlocked", user)
    assert event["slot_kind"] == "password" and event["duration"] > 0
    user = changed(server, user)
    assert is_locked(server, user)
    event = exported(server, "mail_seal_unlock_failed", user)
    server.allow_log("Session is locked")
    assert "wrong password for 1 slot" in event["reason"]
    user = with_old(server, user, "correct horse")
    assert not is_locked(server, user)
    event = exported(server, "mail_seal_keyring_changed", user)
    assert (event["slot_kind"], event["action"]) == \
        ("password", "new password")
    log = server.new_log()
    for password in (NEW, "correct horse"):
        assert secret(password) not in log and password not in log
    assert "AGE-SECRET-KEY" not in log
