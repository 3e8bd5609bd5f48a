# SPDX-License-Identifier: LGPL-2.1-or-later
"""doveadm seal rotate, reseal, slot remove --forget-old, escrow and destroy,
and what seal status counts."""

import os
import re
import subprocess
import time

import pytest

from harness import age, disk, keyring, sanitizer
from harness.config import FORMATS, Setup
from harness.doveadm import (DATAERR, NOPERM, NOTFOUND, TEMPFAIL, USAGE,
                             command, seal, seal_user)
from harness.seal import enrolled, open_all
from harness.wire import Imap, lmtp

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"
NEW = "battery staple"


@pytest.fixture(scope="module", params=FORMATS)
def server(request, serve):
    return serve(Setup(storage=request.param))


@pytest.fixture(scope="module")
def sdbox(serve):
    return serve(Setup())


def deliver(server, user, count=3):
    for _ in range(count):
        lmtp(server, [user], MESSAGE)


def assert_readable(server, user, count):
    with Imap(server, user) as imap:
        imap.select()
        for number in range(1, count + 1):
            assert imap.body(number).endswith(MESSAGE)


def current_identity(user, password=None):
    """The first identity of the password slot."""
    return re.findall("AGE-SECRET-KEY-1[A-Z0-9]+",
                      keyring.identity(user, password))[0]


# counting


def test_count(server):
    user = server.user()
    [row] = seal_user(server, user, "status", "--count").rows
    assert row["enrolled"] == "no" and row["sealed"] == 0
    user = enrolled(server)
    deliver(server, user)
    with Imap(server, user) as imap:
        imap.ok("CREATE Other")
        imap.ok("CREATE Empty")
        imap.append(MESSAGE, "Other")
    rows = {row["mailbox"]: row for row in
            seal_user(server, user, "status", "--count").rows}
    assert set(rows) == {"INBOX", "Other", "Empty"}
    assert [rows[name]["sealed"] for name in ("INBOX", "Other", "Empty")] == \
        [3, 1, 0]
    assert all(row["plain"] == row["damaged"] == 0 for row in rows.values())
    [status] = seal_user(server, user, "status").rows
    assert all(row | status == row for row in rows.values())
    sizes = sum(len(message.content) for message in
                disk.stored(server, user))
    assert sum(row["sealed_bytes"] for row in rows.values()) == sizes


# rotating


def test_rotate_and_reseal(server):
    user = enrolled(server)
    deliver(server, user)
    before = current_identity(user)
    row = seal_user(server, user, "rotate", password=user.password).row
    assert row["result"] == "rotated"
    assert row["recipient"] == keyring.recipient(keyring.read(user))
    after = current_identity(user)
    assert after != before
    deliver(server, user, 1)
    assert_readable(server, user, 4)
    row = seal_user(server, user, "reseal", password=user.password).row
    assert (row["resealed"], row["unchanged"], row["failed"]) == (3, 1, 0)
    assert_readable(server, user, 4)
    assert len(open_all(server, user, after)) == 4


def test_forget_old(sdbox):
    """Not before all mail is resealed, nor 10 s after the rotation."""
    user = enrolled(sdbox)
    deliver(sdbox, user)
    seal_user(sdbox, user, "rotate", password=user.password)
    rotated = time.monotonic()
    forget = "slot", "remove", "--forget-old", "-u", user.name
    done = seal(sdbox, *forget, password=user.password, check=False)
    assert time.monotonic() - rotated > 8
    assert done.code == DATAERR
    assert "INBOX: 3" in done.err and "seal reseal" in done.err
    assert seal_user(sdbox, user, "status").row["earlier"] != ""
    seal_user(sdbox, user, "reseal", password=user.password)
    row = seal(sdbox, *forget, password=user.password).row
    assert row["result"] == "1 earlier identities forgotten"
    assert seal_user(sdbox, user, "status").row["earlier"] == ""
    assert keyring.identity(user).count("AGE-SECRET-KEY-1") == 1
    assert_readable(sdbox, user, 3)


def test_forget_old_beside_damaged_mail(sdbox):
    """Nobody knows what a message needs that can't be read."""
    user = enrolled(sdbox)
    deliver(sdbox, user)
    stored = disk.stored(sdbox, user)[1]
    stored_content = stored.content
    disk.replace(stored, b"age-encryption.org/v1\n-> X25519 broken\n")
    seal_user(sdbox, user, "rotate", password=user.password)
    assert seal_user(sdbox, user, "reseal", password=user.password,
                     check=False).code != 0
    before = keyring.read(user)
    done = seal_user(sdbox, user, "slot remove", "--forget-old",
                     password=user.password, check=False)
    assert done.code == DATAERR
    assert "INBOX: 1" in done.err and "--force" in done.err
    assert keyring.read(user) == before
    disk.replace(stored, stored_content)
    seal_user(sdbox, user, "reseal", password=user.password)
    disk.replace(disk.stored(sdbox, user)[1],
                 b"age-encryption.org/v1\n-> X25519 broken\n")
    seal_user(sdbox, user, "slot remove", "--forget-old", "--force",
              password=user.password)
    assert seal_user(sdbox, user, "status").row["earlier"] == ""


def test_rotate_with_reseal_goes_on(server):
    user = enrolled(server)
    deliver(server, user)
    seal_user(server, user, "rotate", password=user.password)
    current = current_identity(user)
    row = seal_user(server, user, "rotate", "--reseal",
                    password=user.password).row
    assert row["result"] == "earlier rotation goes on"
    assert current_identity(user) == current
    row = seal_user(server, user, "rotate", "--reseal",
                    password=user.password).row
    assert (row["result"], row["resealed"]) == ("rotated", 3)
    assert current_identity(user) != current
    assert_readable(server, user, 3)


def test_rotate_by_code(sdbox):
    """The password isn't known: the next login writes its slot anew."""
    user = enrolled(sdbox)
    deliver(sdbox, user)
    code = seal_user(sdbox, user, "recovery new",
                     password=user.password).row["recovery_code"]
    seal_user(sdbox, user, "rotate", identity=code)
    row = seal_user(sdbox, user, "status").row
    assert row["outdated_slots"] == 1 and row["other_slots"] == 1
    assert " outdated" in row["slots"]
    assert_readable(sdbox, user, 3)
    assert seal_user(sdbox, user, "status").row["outdated_slots"] == 0
    seal_user(sdbox, user, "recover", code=code, password=NEW)


def test_rotate_with_the_wrong_password(sdbox):
    user = enrolled(sdbox)
    before = keyring.read(user)
    for verb in ("rotate", "reseal"):
        assert seal_user(sdbox, user, verb, password="wrong one",
                         check=False).code == NOPERM
    assert keyring.read(user) == before


def test_forget_is_ended(sdbox):
    """While it waits: nothing is forgotten."""
    user = enrolled(sdbox)
    seal_user(sdbox, user, "rotate", password=user.password)
    before = keyring.read(user)
    line, fds = command(sdbox, "slot", "remove", "--forget-old", "-u",
                        user.name, password=user.password)
    process = subprocess.Popen(line, pass_fds=fds, stderr=subprocess.PIPE,
                               stdout=subprocess.DEVNULL,
                               env=sanitizer.environment())
    os.close(fds[0])
    time.sleep(3)
    process.terminate()
    assert b"nothing was changed" in process.communicate(timeout=120)[1]
    assert process.returncode == TEMPFAIL
    assert keyring.read(user) == before


def test_unlock_fd(sdbox):
    """What opens mail for other commands serves here as well."""
    user = enrolled(sdbox)
    deliver(sdbox, user)
    name = "mail_seal_unlock_fd"
    if sdbox.version < (2, 4):
        name = "plugin/" + name
    for words in (["rotate", "--reseal"], ["recovery", "new"],
                  ["reseal"]):
        read_end, write_end = os.pipe()
        os.write(write_end, user.password.encode() + b"\n")
        os.close(write_end)
        done = subprocess.run(
            ["doveadm", "-c", sdbox.config_file, "-o",
             f"{name}={read_end}", "seal", *words, "-u", user.name],
            pass_fds=[read_end], capture_output=True, stdin=subprocess.DEVNULL,
            start_new_session=True, timeout=120, env=sanitizer.environment())
        os.close(read_end)
        assert done.returncode == 0, done.stderr
    assert seal_user(sdbox, user, "status").row["recovery_slots"] == 1
    assert_readable(sdbox, user, 3)


def test_nothing_to_forget(sdbox):
    user = enrolled(sdbox)
    row = seal_user(sdbox, user, "slot remove", "--forget-old",
                    password=user.password).row
    assert row["result"] == "nothing to change"


# escrow


def test_escrow(serve):
    first, second = age.keygen(), age.keygen()
    server = serve(Setup(settings=(("mail_seal_escrow_recipients",
                                    f"{first.recipient}"),)))
    other = serve(Setup(settings=(("mail_seal_escrow_recipients",
                                   f"{first.recipient} {second.recipient}"),)))
    user = server.user()
    row = seal_user(server, user, "enroll").row
    assert first.recipient in row["slots"]
    assert seal_user(server, user, "escrow sync",
                     identity=first.identity).row["result"] == \
        "nothing to change"
    moved = other.user(user.name)
    os.rename(keyring.path(user), keyring.path(moved))
    assert seal_user(other, moved, "escrow sync", identity=second.identity,
                     check=False).code == NOPERM
    assert seal_user(other, moved, "escrow sync",
                     identity=first.identity).row["result"] == \
        "escrow slots changed"
    assert seal_user(other, moved, "status").row["escrow_slots"] == 2
    seal_user(other, moved, "password", identity=second.identity,
              password=moved.password)
    deliver(other, moved)
    assert_readable(other, moved, 3)
    os.rename(keyring.path(moved), keyring.path(user))
    seal_user(server, user, "escrow sync", password=user.password)
    recipients = {row["recipient"] for row in
                  seal_user(server, user, "slot list").rows}
    assert recipients == {"", first.recipient}


# destroying


def test_destroy(server):
    user = enrolled(server)
    deliver(server, user)
    done = seal_user(server, user, "destroy", "--confirm", user.name)
    row = done.row
    assert row["sealed"] == 3
    assert re.search(r"Info: mail_seal: .*destroy", done.err)
    assert "can't be read" in row["result"]
    assert os.listdir(user.home) == ["mail"]
    assert seal_user(server, user, "status").row["enrolled"] == "no"
    assert seal_user(server, user, "destroy", "--confirm", user.name,
                     check=False).code == NOTFOUND


def test_destroy_of_a_damaged_keyring(sdbox):
    user = enrolled(sdbox)
    with open(keyring.path(user), "w", encoding="ascii") as file:
        file.write("nonsense")
    seal_user(sdbox, user, "destroy", "--confirm", user.name)
    assert not os.path.exists(keyring.path(user))


@pytest.mark.parametrize("words, code", [
    ((), USAGE),
    (("--confirm", "somebody"), USAGE),
    (("--confirm", ""), USAGE),
])
def test_destroy_unconfirmed(sdbox, words, code):
    user = enrolled(sdbox)
    before = keyring.read(user)
    done = seal_user(sdbox, user, "destroy", *words, check=False)
    assert done.code == code and "not confirmed" in done.err
    assert keyring.read(user) == before


def test_destroy_is_for_one_user(sdbox):
    user = enrolled(sdbox)
    done = seal(sdbox, "destroy", "-A", "--confirm", user.name, check=False)
    assert done.code == USAGE and "one by one" in done.err
    assert os.path.exists(keyring.path(user))
