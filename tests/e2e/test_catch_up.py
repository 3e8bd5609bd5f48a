# SPDX-License-Identifier: LGPL-2.1-or-later
"""mail_seal_unenrolled = plaintext: what arrives before the first login is sealed
by the sessions that follow, while their clients notice nothing."""

import glob
import os
import shutil
import signal
import subprocess
import time

import pytest

from harness import corpus, disk, keyring
from harness.config import Setup
from harness.doveadm import seal_user
from harness.seal import open_all
from harness.wire import Imap, Pop3, lmtp


COUNT = 30


@pytest.fixture(scope="module")
def server(serve, storage):
    return serve(Setup(storage=storage, settings=(
        ("mail_seal_unenrolled", "plaintext"),)))


def message(number):
    return corpus.of_size(500 + 977 * number, seed=number)


@pytest.fixture
def user(server):
    """Has plain mail, and no keyring."""
    new = server.user()
    for number in range(COUNT):
        lmtp(server, [new], message(number))
    assert not any(stored.is_sealed for stored in disk.stored(server, new))
    assert not os.path.exists(keyring.path(new))
    return new


def plain_left(server, user):
    # A file may be renamed while it is looked for.
    for _ in range(20):
        try:
            return sum(not stored.is_sealed
                       for stored in disk.stored(server, user))
        except (FileNotFoundError, AssertionError):
            time.sleep(0.05)
    raise AssertionError("messages keep moving")


def wait_until_sealed(server, user, seconds=60):
    end = time.monotonic() + seconds
    while plain_left(server, user):
        assert time.monotonic() < end, "still plain"
        time.sleep(0.05)


def none_left(user):
    """What the note says: it is written after the last round."""
    path = f"{user.home}/mail/mail-seal.plain"
    if not os.path.exists(path):
        return False
    with open(path, "rb") as file:
        return file.read()[8:9] == b"\1"


def wait_for_note(user):
    end = time.monotonic() + 60
    while not none_left(user):
        assert time.monotonic() < end, "not finished"
        time.sleep(0.05)


def test_while_the_client_waits(server, user):
    with Imap(server, user) as imap:
        imap.select()
        uids = imap.uids()
        bodies = [imap.body(uid) for uid in uids]
        seen = imap.ok("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)").raw
        wait_until_sealed(server, user)
        assert imap.uids() == uids
        assert imap.ok("FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)"
                       ).raw == seen
        assert [imap.body(uid) for uid in uids] == bodies
        wait_for_note(user)
    assert len(open_all(server, user)) == COUNT
    server.expect_log(rf"{COUNT} messages that were stored before there was")


def test_while_it_idles(server, user):
    with Imap(server, user) as imap:
        imap.select()
        tag = imap.start("IDLE")
        wait_until_sealed(server, user)
        wait_for_note(user)
        imap.send(b"DONE\r\n")
        reply = imap.finish(tag)
        assert b"EXISTS" not in reply.raw and b"EXPUNGE" not in reply.raw


def test_after_it_has_gone(server, user):
    with Imap(server, user) as imap:
        imap.ok("LOGOUT")
    wait_until_sealed(server, user)
    wait_for_note(user)


def test_pop3(server, user):
    with Pop3(server, user) as pop3:
        first = pop3.ok("UIDL", True)
        sizes = pop3.ok("LIST", True)
        wait_until_sealed(server, user)
        assert pop3.ok("UIDL", True) == first
        assert pop3.ok("LIST", True) == sizes
        pop3.ok("RETR 1", True)
        pop3.ok("QUIT")
    with Pop3(server, user) as pop3:
        assert pop3.ok("UIDL", True) == first
    wait_for_note(user)


def test_all_mailboxes(server, user):
    """Also what is copied and moved meanwhile."""
    with Imap(server, user) as imap:
        # Sealed while this goes on, or not yet.
        for name in ("A", "A/b", "C", "None/d"):
            imap.ok(f'CREATE "{name}"')
        imap.select()
        imap.ok("COPY 1:5 A/b")
        imap.ok("MOVE 6:8 C")
    wait_until_sealed(server, user)
    wait_for_note(user)
    with Imap(server, user) as imap:
        for name, count in (("INBOX", COUNT - 3), ("A/b", 5), ("C", 3)):
            imap.select(name)
            assert len(imap.uids()) == count


def test_once_is_enough(server, user):
    with Imap(server, user) as imap:
        imap.ok("LOGOUT")
    wait_for_note(user)
    lmtp(server, [user], message(50))
    assert none_left(user)
    # Nobody looks for what was put there by hand.
    seal_user(server, user, "unseal", password=user.password)
    with Imap(server, user) as imap:
        imap.select()
        time.sleep(0.5)
    assert plain_left(server, user) == COUNT + 1


def imap_processes(server):
    return subprocess.run(["pgrep", "-P", str(server.process.pid), "imap$"],
                          capture_output=True, text=True).stdout.split()


def test_killed(server, user):
    """The next session goes on."""
    kills = 0
    server.allow_log("killed with signal 9|terminated abnormally")
    for moment in (0.1, 0.12, 0.14):
        before = set(imap_processes(server))
        with Imap(server, user) as imap:
            imap.select()
            time.sleep(moment)
            for pid in set(imap_processes(server)) - before:
                os.kill(int(pid), signal.SIGKILL)
                kills += 1
    assert kills >= 3
    with Imap(server, user) as imap:
        imap.select()
        wait_until_sealed(server, user)
        wait_for_note(user)
        assert len(imap.uids()) == COUNT
    assert len(open_all(server, user)) == COUNT


def test_a_locked_session_seals_nothing(server, user):
    seal_user(server, user, "enroll", password="another password")
    server.allow_log("Session is locked")
    with Imap(server, user) as imap:
        time.sleep(0.5)
        assert imap.cmd("SELECT INBOX").status == "NO"
    time.sleep(0.5)
    assert plain_left(server, user) == COUNT


@pytest.mark.parametrize("setting", [("mail_seal_save", "no"),
                                     ("mail_seal_unenrolled", "tempfail")])
def test_not_by_these_settings(serve, server, storage, user, setting):
    settings = {"mail_seal_unenrolled": "plaintext", setting[0]: setting[1]}
    other = serve(Setup(storage=storage, settings=tuple(settings.items())))
    same = other.user()
    shutil.rmtree(same.home)
    subprocess.run(["cp", "-a", user.home, same.home], check=True)
    with Imap(other, same) as imap:
        imap.select()
        time.sleep(0.5)
    time.sleep(0.3)
    assert plain_left(other, same) == COUNT


def test_no_cache_of_plain_mail_stays(serve, server, storage):
    """Of mailboxes that no client has opened."""
    plain = serve(Setup(storage=storage, plugin="", never_cache=False))
    source = plain.user()
    with Imap(plain, source) as imap:
        imap.ok("CREATE Other")
        imap.append(b"Subject: telltale\r\n\r\nbody\r\n", "Other")
        imap.select("Other")
        for _ in range(2):
            imap.ok("FETCH 1 ENVELOPE")
    user = server.user()
    subprocess.run(["cp", "-a", f"{source.home}/mail", user.home], check=True)
    assert b"telltale" in indexes(user)
    with Imap(server, user) as imap:
        imap.ok("NOOP")
    wait_for_note(user)
    assert b"telltale" not in indexes(user)


def indexes(user):
    found = b""
    for path in glob.glob(f"{user.home}/mail/**/dovecot*", recursive=True,
                          include_hidden=True):
        with open(path, "rb") as file:
            found += file.read()
    return found


def test_full_disk(server):
    """It is left for another session, and said."""
    user = server.user()
    server.allow_log("No space left|Error|Warning")
    with disk.small_disk(user, "4M") as fill:
        for number in range(5):
            lmtp(server, [user], message(10 + number))
        seal_user(server, user, "enroll", password=user.password)
        fill(4096)
        with Imap(server, user) as imap:
            imap.cmd("SELECT INBOX")
            time.sleep(0.5)
        server.expect_log("mail_seal: .*No space left")
        assert plain_left(server, user) > 0
        assert not none_left(user)
        os.unlink(f"{user.home}/filler")
        with Imap(server, user) as imap:
            imap.select()
            wait_until_sealed(server, user)
            wait_for_note(user)
            assert len(imap.uids()) == 5
