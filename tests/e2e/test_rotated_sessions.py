# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sessions that are open while another process changes the user's keys."""

import os
import re

import pytest

from harness import age, disk, keyring
from harness.config import FORMATS, Setup
from harness.dict import wait_until
from harness.doveadm import seal_user, unlocked
from harness.seal import enrolled, open_all
from harness.wire import Imap, Lmtp, Pop3, lmtp

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"
STORED = MESSAGE.replace(b"\r\n", b"\n")


@pytest.fixture(scope="module", params=FORMATS)
def server(request, serve):
    return serve(Setup(storage=request.param))


@pytest.fixture(scope="module")
def sdbox(serve):
    return serve(Setup())


def rotate(server, user):
    seal_user(server, user, "rotate", password=user.password)


def identities(user):
    """The current one first."""
    return re.findall(r"^AGE-SECRET-KEY-1\S+", keyring.identity(user), re.M)


def opened_by(server, user, identity):
    """How many of the stored messages this identity opens alone."""
    count = 0
    for content in disk.contents(server, user):
        try:
            age.open_(identity, content)
            count += 1
        except age.AgeFailed:
            pass
    return count


# Saving


def test_append_takes_the_new_recipient(server):
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.select()
        imap.append(MESSAGE)
        rotate(server, user)
        imap.append(MESSAGE)
        new, old = identities(user)
        assert opened_by(server, user, new) == 1
        assert opened_by(server, user, old) == 1
        # What the session has written itself it can read.
        assert imap.body(2) == MESSAGE
    with Imap(server, user) as imap:
        imap.select()
        assert [imap.body(uid) for uid in (1, 2)] == [MESSAGE] * 2


def begin_append(imap, sent):
    """The literal has begun, and so has the saving."""
    tag = imap.start(b"APPEND INBOX {%d}" % len(MESSAGE))
    assert imap.line().startswith(b"+ ")
    imap.send(MESSAGE[:sent])
    return tag


def test_append_across_a_rotation_is_refused(server):
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.select()
        tag = begin_append(imap, 10)
        # The server has read it: another command's answer comes after.
        wait_until(lambda: has_temp_mail(server, user), "the message")
        rotate(server, user)
        imap.send(MESSAGE[10:] + b"\r\n")
        reply = imap.finish(tag)
        assert reply.status == "NO" and b"changed" in reply.text
        server.expect_log("Warning: .*mail_seal: Message is refused: another "
                          "process has changed the keyring")
        imap.append(MESSAGE)
    assert open_all(server, user, identities(user)[0]) == [STORED]


def has_temp_mail(server, user):
    for top, _, names in os.walk(f"{user.home}/mail"):
        for name in names:
            if top.endswith("/tmp") or name.startswith((".temp.", "m.")):
                return True
    return False


def test_destroyed_keyring(server):
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.select()
        imap.append(MESSAGE)
        os.unlink(keyring.path(user))
        server.allow_log("mail_seal: Message is refused")
        assert imap.append_cmd(MESSAGE).status == "NO"
        server.allow_log("has no keyring yet|does not exist")
        with Lmtp(server) as client:
            (code, _), = client.deliver([user], MESSAGE)
        assert code == 451
        assert len(disk.stored(server, user)) == 1
        # The keys that it has are still good for what there is.
        assert imap.body(1) == MESSAGE


def test_changed_password_disturbs_nobody(server):
    user = enrolled(server)
    with Imap(server, user) as imap, Imap(server, user) as other:
        imap.append(MESSAGE)
        seal_user(server, user, "password",
                  password=[user.password, "battery staple"])
        lmtp(server, [user], MESSAGE)
        for session in imap, other:
            session.append(MESSAGE)
            session.select()
            assert session.body(2).endswith(MESSAGE)
    user = server.user(user.name, "battery staple")
    assert len(open_all(server, user)) == 4


# Copying


def test_copies_are_sealed_to_the_new_recipient(server):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    rotate(server, user)
    lmtp(server, [user], MESSAGE)
    new, old = identities(user)
    with Imap(server, user) as imap:
        imap.ok("CREATE Other")
        imap.select()
        before = disk.contents(server, user)
        imap.ok("UID COPY 1:2 Other")
        imap.ok("UID MOVE 1 Other")
        imap.select("Other")
        assert all(imap.body(uid).endswith(MESSAGE) for uid in (1, 2, 3))
    server.doveadm("purge", "-u", user.name)
    assert opened_by(server, user, old) == 0
    after = disk.contents(server, user)
    assert opened_by(server, user, new) == len(after)
    # That which was sealed to it already has kept its bytes.
    assert before[1] in after


def test_copies_of_users_who_never_rotated_keep_their_bytes(server):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    with Imap(server, user) as imap:
        imap.ok("CREATE Other")
        imap.select()
        imap.ok("COPY 1 Other")
    assert len(set(disk.contents(server, user))) == 1


def test_move_without_a_key(sdbox):
    """Of a user who has rotated, what needs sealing anew needs a key."""
    user = enrolled(sdbox)
    lmtp(sdbox, [user], MESSAGE)
    rotate(sdbox, user)
    sdbox.doveadm("mailbox", "create", "-u", user.name, "Other")
    words = ("move", "-u", user.name, "Other", "mailbox", "INBOX", "all")
    done = sdbox.doveadm(*words, check=False)
    assert done.returncode != 0 and b"mail_seal_unlock_fd" in done.stderr
    assert opened_by(sdbox, user, identities(user)[1]) == 1
    done = unlocked(sdbox, *words, key=user.password)
    assert done.code == 0, done
    assert opened_by(sdbox, user, identities(user)[0]) == 1


# Reading


def test_link_slot_gives_the_new_identity(server):
    """Where the rotation left a way, the session takes it."""
    user = enrolled(server)
    seal_user(server, user, "slot add", "--label", "phone",
              identity=identities(user)[0], password="phone password")
    with Imap(server, user) as imap:
        imap.select()
        seal_user(server, user, "rotate", password="phone password")
        lmtp(server, [user], MESSAGE)
        imap.ok("NOOP")
        assert imap.body(1).endswith(MESSAGE)
        imap.append(MESSAGE)
        assert imap.body(2) == MESSAGE


def test_session_without_the_new_identity_is_ended(server):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    with Imap(server, user) as imap:
        imap.select()
        rotate(server, user)
        lmtp(server, [user], MESSAGE)
        imap.ok("NOOP")
        # The earlier mail can be read as before.
        assert imap.body(1).endswith(MESSAGE)
        server.allow_log("cannot open .*sealed to none of the 1 identities")
        reply = imap.cmd("UID FETCH 2 BODY.PEEK[]")
        assert reply.status == "NO" and b"log in again" in reply.text
        assert imap.line().startswith(b"* BYE The keys of your mailbox")
        with pytest.raises((EOFError, OSError)):
            imap.line()
    server.expect_log("Info: mail_seal: Another process has changed the keys")
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(2).endswith(MESSAGE)


def test_pop3_session_without_the_new_identity(sdbox):
    user = enrolled(sdbox)
    for _ in range(2):
        lmtp(sdbox, [user], MESSAGE)
    with Pop3(sdbox, user) as pop3:
        assert b"body" in pop3.ok("RETR 1", multiline=True)
        rotate(sdbox, user)
        seal_user(sdbox, user, "reseal", password=user.password)
        sdbox.allow_log("cannot open .*sealed to none of the 1 identities|"
                        "Failed to read|failed")
        assert pop3.cmd("RETR 2", multiline=True).startswith(b"-ERR")
    with Pop3(sdbox, user) as pop3:
        for number in 1, 2:
            assert b"body" in pop3.ok(f"RETR {number}", multiline=True)


# Beside damage


def test_never_enrolled_over_what_cannot_be_read(sdbox):
    user = enrolled(sdbox)
    before = keyring.read(user)
    sdbox.allow_log("mail_seal|keyring")
    os.chmod(keyring.path(user), 0)
    try:
        for _ in range(3):
            with Imap(sdbox, user) as imap:
                assert imap.cmd("SELECT INBOX").status == "NO"
            with Lmtp(sdbox) as client:
                (code, _), = client.deliver([user], MESSAGE)
            assert code == 451
    finally:
        os.chmod(keyring.path(user), 0o600)
    assert keyring.read(user) == before
