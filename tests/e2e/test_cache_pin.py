# SPDX-License-Identifier: LGPL-2.1-or-later
"""A message that was seen once and whose file then holds another one, or an
older copy, is refused; what the plugin itself has written anew is not."""

import os
import re
import signal
import subprocess
import time

import pytest

from harness import age, disk, keyring, sanitizer
from harness.cached import COMMANDS, COUNT, fill, message, visit
from harness.config import Setup
from harness.doveadm import command, seal_user
from harness.events import EXPORTED, exported
from harness.seal import enrolled
from harness.wire import Imap


EVENT = "mail_seal_message_exchanged"
LINE = "mail_seal: .*exchanged"
LOG = rf"{LINE}|UID[= ]\d+: read\("
# Written by someone who has the recipient: of the size that number 3 has.
FORGED = message(3, "forge")


@pytest.fixture(scope="module")
def server(serve, storage):
    # Each message alone in its file, so that its size may be changed.
    extra = "mdbox_rotate_size = 1\n" if storage == "mdbox" else ""
    return serve(Setup(storage=storage, extra=extra, **EXPORTED))


@pytest.fixture
def user(server):
    """Who has read all of the mail, more than once."""
    user = enrolled(server)
    fill(server, user)
    for _ in range(2):
        visit(server, user)
    return user


def lf(text):
    return text.replace(b"\r\n", b"\n")


# Ways of exchanging number 3: functions from all files and the user to bytes


def with_another(stored, _user):
    return stored[3].content


def with_a_new_one(_stored, user):
    return age.seal(keyring.recipient(keyring.read(user)), lf(FORGED))


def with_itself_sealed_again(_stored, user):
    return age.seal(keyring.recipient(keyring.read(user)), lf(message(3)))


def with_a_plain_one(_stored, _user):
    return lf(FORGED)


WAYS = [with_another, with_a_new_one, with_itself_sealed_again,
        with_a_plain_one]


def exchange(server, user, way):
    stored = disk.stored(server, user)
    original = stored[2].content
    content = way(stored, user)
    disk.replace(stored[2], content)
    return original


def refused(reply):
    assert reply.status == "NO", reply
    assert b"{" not in reply.raw and b"/" not in reply.text, reply
    assert re.search(rb"[a-z]+ [a-z]+ [a-z]+", reply.text), reply.text


@pytest.mark.parametrize("way", WAYS)
def test_exchanged(server, user, way):
    server.allow_log(LOG)
    original = exchange(server, user, way)
    with Imap(server, user) as imap:
        imap.select()
        for items in ("BODY.PEEK[]", "BODY.PEEK[TEXT]", "RFC822",
                      "BODY.PEEK[1]", "BINARY.PEEK[1]"):
            refused(imap.cmd(f"FETCH 3 {items}"))
        assert_others_go_on(imap)
        imap.ok("LOGOUT")
    event = exported(server, EVENT, user)
    assert str(event["uid"]) == "3"
    disk.replace(disk.stored(server, user)[2], original)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(3) == message(3)


def assert_others_go_on(imap):
    reply = imap.cmd("FETCH 1:* BODY.PEEK[]")
    assert reply.status == "NO"
    for number in range(1, COUNT + 1):
        assert (message(number) in reply.raw) == (number != 3), number
    assert b"forge" not in reply.raw
    assert imap.ok("FETCH 1:* (FLAGS UID)").raw.count(b"UID") == COUNT
    imap.ok(r"STORE 3 +FLAGS (\Flagged)")
    imap.ok(r"STORE 3 -FLAGS (\Flagged)")
    for number in (1, 4, COUNT):
        assert imap.body(number) == message(number)


@pytest.mark.parametrize("way", WAYS)
def test_one_line_in_the_log(server, user, way):
    server.allow_log(LOG)
    exchange(server, user, way)
    with Imap(server, user) as imap:
        imap.select()
        for items in ("3 BODY.PEEK[]", "3 BODY.PEEK[TEXT]", "1:* BODY.PEEK[]"):
            assert imap.cmd(f"FETCH {items}").status == "NO"
        imap.ok("LOGOUT")
    server.expect_log(LINE)
    time.sleep(0.2)
    lines = [line for line in server.new_log().splitlines()
             if re.search(LINE, line) and f"imap({user.name})" in line]
    assert len(lines) == 1 and re.search(r"UID[= ]3\b", lines[0]), lines


@pytest.mark.parametrize("way", [with_another, with_a_new_one,
                                 with_a_plain_one])
def test_no_item_tells_of_the_other(server, user, way):
    """Each is refused, or is of the message that was seen first."""
    server.allow_log(LOG)
    exchange(server, user, way)
    with Imap(server, user) as imap:
        imap.select()
        for items in ("ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[HEADER]",
                      "BODY.PEEK[HEADER.FIELDS (Subject From X-Other)]",
                      "PREVIEW", "BODY.PEEK[1.MIME]", "RFC822.SIZE"):
            reply = imap.cmd(f"FETCH 3 {items}")
            assert b"forge" not in reply.raw and b"04" not in reply.raw, reply
        for search in ("SUBJECT forge", "BODY \"body 04\" 3", "TEXT forge"):
            raw = imap.cmd(f"SEARCH {search}").raw
            assert b" 3" not in raw, f"{search}: {raw}"


def test_exchanged_for_each_other(server, user):
    server.allow_log(LOG)
    stored = disk.stored(server, user)
    third, fourth = stored[2].content, stored[3].content
    disk.replace(stored[2], fourth)
    disk.replace(disk.stored(server, user)[3], third)
    with Imap(server, user) as imap:
        imap.select()
        for number in (3, 4):
            refused(imap.cmd(f"FETCH {number} BODY.PEEK[]"))
        assert imap.body(5) == message(5)


def test_exchanged_below_an_open_session(server, user):
    """It may have the one that it saw in its memory, but never shows both."""
    server.allow_log(LOG)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(3) == message(3)
        imap.body(5)
        exchange(server, user, with_a_new_one)
        reply = imap.cmd("FETCH 3 BODY.PEEK[]")
        assert message(3) in reply.raw or reply.status == "NO"
        assert b"forge" not in reply.raw
        assert imap.body(5) == message(5)


# What the plugin writes anew


def assert_never_called_exchanged(server, user):
    """Lines of other users, of tests before, may come late."""
    log = server.new_log()
    assert not re.search(rf"\({user.name}\).*{LINE}", log), log


def right(server, user):
    """As fill() wrote them."""
    bodies = visit(server, user, commands=COMMANDS[-1:])[0]
    return all(message(number) in bodies for number in range(1, COUNT + 1))


@pytest.mark.parametrize("words", [["rotate", "--reseal"],
                                   ["rotate", "reseal"]], ids=" ".join)
def test_resealed(server, user, words):
    before = visit(server, user)
    if "--reseal" in words:
        seal_user(server, user, *words, password=user.password)
    else:
        for verb in words:
            seal_user(server, user, verb, password=user.password)
    for _ in range(3):
        assert visit(server, user) == before
    assert_never_called_exchanged(server, user)
    # The pins are those of the new files.
    server.allow_log(LOG)
    exchange(server, user, with_another)
    with Imap(server, user) as imap:
        imap.select()
        refused(imap.cmd("FETCH 3 BODY.PEEK[]"))


def test_copy_of_before_the_resealing(server, user):
    server.allow_log(LOG)
    old = disk.stored(server, user)[2].content
    seal_user(server, user, "rotate", "--reseal", password=user.password)
    assert right(server, user)
    new = exchange(server, user, lambda _stored, _user: old)
    assert new != old
    with Imap(server, user) as imap:
        imap.select()
        refused(imap.cmd("FETCH 3 BODY.PEEK[]"))


def test_resealed_below_an_open_session(server, user):
    """It follows, or ends so that the client logs in again."""
    server.allow_log("mail_seal: .*(identit|keyring)")
    with Imap(server, user) as imap:
        imap.select()
        imap.ok(COMMANDS[-1])
        seal_user(server, user, "rotate", "--reseal", password=user.password)
        for _ in range(2):
            try:
                reply = imap.cmd(COMMANDS[-1])
            except (EOFError, OSError):
                break
            assert reply.status == "NO" or message(3) in reply.raw, reply
    for _ in range(2):
        assert right(server, user)
    assert_never_called_exchanged(server, user)


@pytest.mark.no_asan
@pytest.mark.parametrize("part", range(1, 9))
def test_resealing_killed(server, user, part):
    """When so many messages are sealed anew."""
    seal_user(server, user, "rotate", password=user.password)
    line, fds = command(server, "reseal", "-u", user.name,
                        password=user.password)
    process = subprocess.Popen(line, pass_fds=fds, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL,
                               env=sanitizer.environment(),
                               start_new_session=True)
    os.close(fds[0])
    wait_for_resealed(server, user, part)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for _ in range(2):
        assert right(server, user)
    seal_user(server, user, "reseal", password=user.password)
    for _ in range(2):
        assert right(server, user)
    assert_never_called_exchanged(server, user)


def wait_for_resealed(server, user, count, seconds=60):
    """Until so many files are sealed anew."""
    before = set(disk.contents(server, user))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if len(set(disk.contents(server, user)) - before) >= count:
                return
        except (AssertionError, FileNotFoundError, ValueError):
            # In the middle of a change.
            continue
