# SPDX-License-Identifier: LGPL-2.1-or-later
"""A login brings the keyring up to date: changed passwords, escrow."""

import hashlib
import os
import re

import pytest

from harness import age, keyring
from harness.config import Setup
from harness.seal import enrolled, open_all
from harness.wire import Imap, Pop3, lmtp

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
    server.expect_log(r"Info: mail_seal: Keyring changed: new password "
                      r"\(password\)")
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
