# SPDX-License-Identifier: LGPL-2.1-or-later
"""doveadm seal status, enroll and password: what they do."""

import json
import os

import pytest

from harness import keyring
from harness.config import Setup
from harness.doveadm import (DATAERR, NOPERM, NOTFOUND, NOUSER, TEMPFAIL, USAGE,
                             seal, seal_user)
from harness.seal import enrolled, open_all
from harness.wire import Imap, lmtp

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"
NEW = "battery staple"


@pytest.fixture(scope="module")
def server(serve):
    return serve(Setup())


def text(user):
    return keyring.read(user)


def changed_password(server, user, password=NEW):
    """The passdb has another password from now on."""
    return server.user(user.name, password)


def assert_readable(server, user, count=1):
    with Imap(server, user) as imap:
        imap.select()
        for number in range(1, count + 1):
            assert imap.body(number).endswith(MESSAGE)


# status


def test_status_of_who_is_not_enrolled(server):
    user = server.user()
    row = seal_user(server, user, "status").row
    assert row["enrolled"] == "no"
    assert row["recipient"] == ""
    assert keyring.path(user) in row["keyring"]
    assert not os.path.exists(keyring.path(user))


def test_status_of_an_enrolled_user(server):
    user = enrolled(server)
    row = seal_user(server, user, "status").row
    assert row["enrolled"] == "yes"
    assert row["recipient"] == keyring.recipient(text(user))
    assert row["password_slots"] == 1
    assert row["recovery_slots"] == row["unlisted_slots"] == 0
    assert row["earlier"] == ""
    assert row["slots"].startswith("1 password argon2id 20")
    assert row["slots"].endswith(" memory=8M passes=1")


def test_status_of_unknown_user(server):
    assert seal(server, "status", "-u", "nobody", check=False).code == NOUSER


@pytest.mark.parametrize("given", ["recipient", "identity"])
def test_status_of_keys_from_the_userdb(server, given):
    from harness import age
    key = age.keygen()
    user = server.user(**{f"mail_seal_{given}": getattr(key, given)})
    done = seal_user(server, user, "status")
    assert done.row["enrolled"] == "userdb"
    assert f"mail_seal_{given}" in done.row["keyring"]
    assert key.identity not in done.out + done.err


@pytest.mark.parametrize("formatter", ["table", "tab", "json", "flow",
                                       "pager"])
def test_status_formatters(server, formatter):
    user = enrolled(server)
    done = server.doveadm("-f", formatter, "seal", "status", "-u", user.name)
    out = done.stdout.decode()
    assert keyring.recipient(text(user)) in out
    if formatter == "tab":
        head, row = (line.split("\t") for line in out.splitlines())
        assert dict(zip(head, row))["enrolled"] == "yes"
    if formatter == "json":
        assert json.loads(out)[0]["enrolled"] == "yes"


# enroll


def test_enroll_with_a_password(server):
    user = server.user()
    row = seal_user(server, user, "enroll", password=user.password).row
    assert row["result"] == "enrolled"
    assert row["recipient"] == keyring.recipient(text(user))
    lmtp(server, [user], MESSAGE)
    assert_readable(server, user)
    assert len(open_all(server, user)) == 1


def test_enroll_with_recovery_alone(server):
    user = server.user()
    done = seal_user(server, user, "enroll", "--recovery")
    code = done.row["recovery_code"]
    assert code.startswith("AGE-SECRET-KEY-1")
    assert code in done.row["print_this"] and user.name in \
        done.row["print_this"]
    assert code not in done.err
    assert code not in server.all_log()
    seal_user(server, user, "password", identity=code, password=user.password)
    with Imap(server, user) as imap:
        imap.select()


def test_enroll_needs_a_slot(server):
    user = server.user()
    done = seal_user(server, user, "enroll", check=False)
    assert done.code == DATAERR
    assert "at least one slot" in done.err
    assert not os.path.exists(keyring.path(user))


def test_enroll_twice(server):
    user = enrolled(server)
    before = text(user)
    done = seal_user(server, user, "enroll", password=NEW, check=False)
    assert done.code == DATAERR
    assert "enrolled already" in done.err and user.name in done.err
    row = seal_user(server, user, "enroll", "--if-needed", password=NEW).row
    assert row["result"] == "already enrolled"
    assert text(user) == before
    assert not os.path.exists(keyring.path(user) + ".bak")


# password


def test_password_change(server):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    seal_user(server, user, "password", password=[user.password, NEW])
    with pytest.raises(keyring.WrongPassword):
        keyring.identity(user)
    assert_readable(server, changed_password(server, user))


def test_password_change_with_descriptors_of_their_own(server):
    user = enrolled(server)
    seal_user(server, user, "password", old_password=user.password,
              new_password=NEW)
    seal_user(server, user, "password", old_password=NEW,
              password="third one")
    assert keyring.identity(user, "third one")


def test_password_change_while_sessions_are_open(server):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    with Imap(server, user) as imap:
        imap.select()
        seal_user(server, user, "password", password=[user.password, NEW])
        imap.append(MESSAGE)
        lmtp(server, [user], MESSAGE)
        imap.ok("NOOP")
        for number in (1, 2, 3):
            assert imap.body(number).endswith(MESSAGE)


def test_wrong_old_password(server):
    user = enrolled(server)
    before = text(user)
    done = seal_user(server, user, "password", password=["wrong one", NEW],
                     check=False)
    assert done.code == NOPERM
    assert "wrong password for 1 slot" in done.err
    assert text(user) == before


def test_password_of_who_is_not_enrolled(server):
    user = server.user()
    done = seal_user(server, user, "password", password=["any one", NEW],
                     check=False)
    assert done.code == NOTFOUND
    assert "not enrolled" in done.err


@pytest.mark.parametrize("password, why", [
    ("short77", "fewer than 8 characters"),
    ("é" * 7, "fewer than 8 characters"),
    ("aaaaaaaaaaaa", "repeats one character"),
    ("Somebody@Example.org", "the user's name"),
    ("SOMEBODY", "the user's name"),
    ("Password123", "most common passwords"),
])
def test_weak_passwords(server, password, why):
    user = enrolled(server, name="somebody@example.org")
    before = text(user)
    done = seal_user(server, user, "password",
                     password=[user.password, password], check=False)
    assert done.code == DATAERR
    assert why in done.err and "--allow-weak" in done.err
    assert password not in done.err
    assert text(user) == before
    seal_user(server, user, "password", "--allow-weak",
              password=[user.password, password])
    assert keyring.identity(user, password)
    os.unlink(keyring.path(user))


# recovery and recover


def test_recovery_code(server):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    row = seal_user(server, user, "recovery new", password=user.password).row
    code = row["recovery_code"]
    seal_user(server, user, "recover", code=code, password=NEW)
    with pytest.raises(keyring.WrongPassword):
        keyring.identity(user)
    assert_readable(server, changed_password(server, user))
    status = seal_user(server, user, "status").row
    assert (status["password_slots"], status["recovery_slots"]) == (1, 1)
    for where in (row["slots"] if "slots" in row else "", text(user),
                  server.all_log()):
        assert code not in where


def test_new_recovery_code_replaces_the_old_one(server):
    user = enrolled(server)
    first, second, third = (
        seal_user(server, user, "recovery new", *words,
                  password=user.password).row["recovery_code"]
        for words in ((), (), ("--keep", "--label", "safe")))
    assert seal_user(server, user, "status").row["recovery_slots"] == 2
    assert seal_user(server, user, "recover", code=first, password=NEW,
                     check=False).code == NOPERM
    for code in (second, third):
        seal_user(server, user, "recover", identity=code, password=NEW)


def test_recovery_remove(server):
    user = enrolled(server)
    code = seal_user(server, user, "recovery new",
                     password=user.password).row["recovery_code"]
    done = seal_user(server, user, "recovery remove", "--label", "none",
                     password=user.password, check=False)
    assert done.code == NOTFOUND
    seal_user(server, user, "recovery remove", password=user.password)
    assert seal_user(server, user, "recover", code=code, password=NEW,
                     check=False).code == NOPERM
    assert seal_user(server, user, "recovery remove", password=user.password,
                     check=False).code == NOTFOUND


def test_recover_leaves_labelled_slots(server):
    user = enrolled(server)
    code = seal_user(server, user, "recovery new",
                     password=user.password).row["recovery_code"]
    seal_user(server, user, "slot add", "--label", "phone",
              password=[user.password, "phone's own"])
    seal_user(server, user, "recover", code=code, password=NEW)
    assert keyring.identity(user, "phone's own")
    assert keyring.identity(user, NEW)
    with pytest.raises(keyring.WrongPassword):
        keyring.identity(user)


# slots


def test_slots(server):
    user = enrolled(server)
    seal_user(server, user, "slot add", "--label", "phone",
              password=[user.password, "phone's own"])
    rows = seal_user(server, user, "slot list").rows
    assert [(row["slot"], row["kind"], row["label"], row["memory"],
             row["passes"], row["state"]) for row in rows] == [
        (1, "password", "", "8M", "1", "good"),
        (2, "password", "phone", "8M", "1", "good")]
    seal_user(server, user, "slot remove", "phone", password="phone's own")
    with pytest.raises(keyring.WrongPassword):
        keyring.identity(user, "phone's own")
    assert len(seal_user(server, user, "slot list").rows) == 1
    seal_user(server, user, "slot add", "--label", "phone",
              password=[user.password, "phone's own"])
    seal_user(server, user, "slot remove", "--label", "phone",
              password=user.password)
    assert len(seal_user(server, user, "slot list").rows) == 1


def test_slot_by_number(server):
    user = enrolled(server)
    seal_user(server, user, "slot add", "--label", "2nd",
              password=[user.password, NEW])
    seal_user(server, user, "slot remove", "1", password=user.password)
    assert keyring.identity(user, NEW)
    with pytest.raises(keyring.WrongPassword):
        keyring.identity(user)


@pytest.mark.parametrize("slot", ["0", "2", "phone", "-1", "1x", ""])
def test_unknown_slot(server, slot):
    user = enrolled(server)
    before = text(user)
    done = seal_user(server, user, "slot remove", "--slot", slot,
                     password=user.password, check=False)
    assert done.code == NOTFOUND
    assert "a label or a number from 1 to 1" in done.err
    assert text(user) == before


def test_label_twice(server):
    user = enrolled(server)
    seal_user(server, user, "slot add", "--label", "phone",
              password=[user.password, NEW])
    before = text(user)
    done = seal_user(server, user, "slot add", "--label", "phone",
                     password=[user.password, "third one"], check=False)
    assert done.code == DATAERR and "phone" in done.err
    assert text(user) == before


def test_last_slot(server):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    lost = "(1 sealed messages, "
    before = text(user)
    done = seal_user(server, user, "slot remove", "1", password=user.password,
                     check=False)
    assert done.code == DATAERR
    assert "last slot" in done.err and "--force" in done.err
    assert lost in done.err
    assert text(user) == before
    row = seal_user(server, user, "slot remove", "--force", "1",
                    password=user.password).row
    assert row["result"].startswith(
        "password slot removed: no slot opens the keyring any more " + lost)
    assert seal_user(server, user, "slot list").rows == []


def test_password_of_a_labelled_slot(server):
    user = enrolled(server)
    seal_user(server, user, "slot add", "--label", "phone",
              password=[user.password, NEW])
    seal_user(server, user, "password", "--label", "phone",
              password=[user.password, "third one"])
    assert keyring.identity(user, "third one")
    seal_user(server, user, "password", password=["third one", "fourth one"])
    rows = seal_user(server, user, "slot list").rows
    assert [row["label"] for row in rows] == ["", "phone"]
    assert keyring.identity(user) and keyring.identity(user, "fourth one")
