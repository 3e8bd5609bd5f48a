# SPDX-License-Identifier: LGPL-2.1-or-later
"""Sessions that leave their process, and processes that serve several users."""

import os
import re
import shutil
import time

import pytest

from harness import age, corpus, disk, keyring, memory
from harness.config import Setup
from harness.seal import enrolled
from harness.wire import Imap, Pop3, lmtp


MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
BIG = corpus.of_size(100000)
OUR_LOG = "mail_seal|keyring"


def last_process(server, user):
    """The process that the user's latest login was given to."""
    pids = re.findall(rf"(?:Login|Logged in): user=<{user.name}>.* mpid=(\d+)",
                      server.all_log())
    return int(pids[-1])


def holder(server):
    """A user whose identity doveadm has too."""
    key = age.keygen()
    return server.user(mail_seal_recipient=key.recipient,
                       mail_seal_identity=key.identity)


def fill(server, user, *messages):
    with Imap(server, user) as imap:
        for message in messages or (MESSAGE, BIG):
            imap.append(message)


# Hibernation

HIBERNATE = """
imap_hibernate_timeout = 1s
service imap {
  unix_listener imap-master {
    user = dovecot
  }
}
service imap-hibernate {
  unix_listener imap-hibernate {
    mode = 0666
  }
}
"""


@pytest.fixture
def hibernating(serve, storage):
    return serve(Setup(storage=storage, extra=HIBERNATE))


def hibernate(server, user, imap):
    """IDLE until the session's process has given it away."""
    tag = imap.start("IDLE")
    assert imap.answer().startswith(b"+ ")
    pid = last_process(server, user)
    end = time.monotonic() + 60
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < end, "the session does not hibernate"
        time.sleep(0.02)
    return tag


def wake(imap, tag):
    imap.send(b"DONE\r\n")
    return imap.finish(tag)


def test_hibernated_sessions_come_back_unlocked(hibernating):
    server = hibernating
    user, other = enrolled(server), enrolled(server)
    fill(server, user)
    fill(server, other)
    sessions = Imap(server, user), Imap(server, other)
    for imap in sessions:
        imap.select()
    tags = [hibernate(server, *both) for both in zip((user, other), sessions)]
    lmtp(server, [user], MESSAGE)
    while b"3 EXISTS" not in sessions[0].answer():
        pass
    for imap, tag in zip(sessions, tags):
        assert wake(imap, tag).status == "OK"
        assert (imap.body(1), imap.body(2)) == (MESSAGE, BIG)
    assert sessions[0].body(3).endswith(MESSAGE)
    for imap in sessions:
        imap.close()


def test_locked_sessions_come_back_locked(serve, hibernating):
    server = hibernating
    user, other = enrolled(server), enrolled(server)
    fill(server, user)
    server.allow_log(OUR_LOG)
    with Imap(server, user) as imap:
        imap.select()
        tag = hibernate(server, user, imap)
        shutil.copyfile(keyring.path(other), keyring.path(user))
        with open(keyring.path(user), "a", encoding="ascii") as file:
            file.truncate(30)
        assert wake(imap, tag).status == "OK"
        reply = imap.cmd("FETCH 1 BODY.PEEK[]")
        assert reply.status == "NO" and b"body" not in reply.raw
        assert imap.cmd("SELECT INBOX").status == "NO"


# One process for several users

SHARED = "".join(f"""
service {name} {{
  {{count}}
  process_limit = 1
  client_limit = {limit}
}}
""" for name, limit in (("imap", 20), ("pop3", 20), ("lmtp", 1)))


@pytest.fixture
def shared(serve, storage):
    return one_process(serve, storage)


def one_process(serve, storage, more=""):
    return serve(Setup(
        storage=storage, extra=more,
        extra_23=SHARED.replace("{count}", "service_count = 0"),
        extra_24=SHARED.replace("{count}", "restart_request_count = 1000")))


def give(server, user, thief):
    """The thief's only message is now the user's ciphertext."""
    mine, = disk.stored(server, thief)
    theirs, *_ = disk.stored(server, user)
    disk.replace(mine, theirs.content)


def test_sessions_of_one_process_have_their_own_keys(shared):
    """Even for a message whose file key the process has for somebody else."""
    server = shared
    user, thief = enrolled(server), enrolled(server)
    fill(server, user, MESSAGE)
    fill(server, thief, MESSAGE)
    give(server, user, thief)
    server.allow_log(OUR_LOG)
    with Imap(server, user) as imap, Imap(server, thief) as other:
        assert last_process(server, user) == last_process(server, thief)
        imap.select()
        other.select()
        for _ in range(2):
            assert imap.body(1) == MESSAGE
            reply = other.cmd("FETCH 1 BODY.PEEK[]")
            assert reply.status == "NO" and b"body" not in reply.raw
        fill(server, user, BIG)
        imap.ok("NOOP")
        assert imap.body(2) == BIG
    with Imap(server, thief) as other:
        other.select()
        assert other.cmd("FETCH 1 BODY.PEEK[]").status == "NO"
    pop3, other = Pop3(server, user), Pop3(server, thief)
    assert pop3.ok("RETR 1", True).endswith(b"body\r\n.\r\n")
    assert b"body" not in other.cmd("RETR 1")
    assert last_process(server, user) == last_process(server, thief)
    other.close()
    pop3.close()


def test_later_sessions_begin_locked(shared):
    """What an earlier one of the same user has unlocked is gone."""
    server = shared
    user = enrolled(server)
    fill(server, user)
    with Imap(server, user) as imap:
        first = last_process(server, user)
        imap.select()
        assert imap.body(2) == BIG
    user = server.user(user.name, "another password")
    server.allow_log(OUR_LOG)
    with Imap(server, user) as imap:
        assert last_process(server, user) == first
        reply = imap.cmd("SELECT INBOX")
        assert reply.status == "NO" and b"[UNAVAILABLE]" in reply.text


def identity_of(user):
    return re.search(r"AGE-SECRET-KEY-1\w+", keyring.identity(user)).group()


def secrets_of(server, user):
    """The identity as a number, what opens the cache of INBOX, and what opens
    the second message."""
    identity = identity_of(user)
    sealed = disk.contents(server, user)[1]
    guid = server.doveadm("-f", "flow", "mailbox", "status", "-u", user.name,
                          "guid", "INBOX").stdout
    return (memory.identity_bytes(identity),
            memory.cache_key(identity,
                             guid.decode().strip().rpartition("=")[2]),
            memory.file_key(identity, sealed),
            memory.payload_key(identity, sealed))


def in_use(pid, secrets):
    """The message's keys only while it is being opened, or some time after."""
    return all(memory.holds(pid, *secrets[:2]))


def wiped(pid, secrets):
    return not any(memory.holds(pid, *secrets))


def test_no_key_stays_in_the_process(shared):
    """It goes on to serve others, without what it knew of the first."""
    server = shared
    user = enrolled(server)
    fill(server, user)
    secrets = secrets_of(server, user)
    text = identity_of(user).encode()
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(2) == BIG
        pid = last_process(server, user)
        assert in_use(pid, secrets)
        assert memory.holds(pid, text, secrets[2]) == [False, True]
        imap.ok("LOGOUT")
    with Imap(server, enrolled(server)) as imap:
        imap.ok("NOOP")
        assert wiped(pid, secrets)
    pop3 = Pop3(server, user)
    pop3.ok("RETR 2", True)
    pid = last_process(server, user)
    assert in_use(pid, secrets[:1])
    pop3.ok("QUIT")
    pop3.close()
    other = Pop3(server, enrolled(server))
    assert last_process(server, user) == pid and wiped(pid, secrets)
    other.close()
    lmtp(server, [user], MESSAGE)
    stored = disk.contents(server, user)[-1]
    pid = int(re.findall(r"lmtp\((\d+)\)", server.new_log())[-1])
    assert os.path.exists(f"/proc/{pid}")
    assert memory.holds(pid, memory.file_key(identity_of(user), stored)) == \
        [False]


def test_a_session_that_hibernates_leaves_no_key(serve, storage):
    """In a process that goes on for others, and to which it comes back."""
    server = one_process(serve, storage, HIBERNATE)
    user, thief = enrolled(server), enrolled(server)
    fill(server, user)
    fill(server, thief, MESSAGE)
    give(server, user, thief)
    secrets = secrets_of(server, user)
    server.allow_log(OUR_LOG)
    with Imap(server, user) as imap, Imap(server, thief) as other:
        imap.select()
        assert imap.body(2) == BIG
        pid = last_process(server, user)
        assert pid == last_process(server, thief) and in_use(pid, secrets)
        tag = imap.start("IDLE")
        assert imap.answer().startswith(b"+ ")
        end = time.monotonic() + 60
        while not wiped(pid, secrets):
            assert time.monotonic() < end, "keys stay in the process"
            time.sleep(0.1)
        other.select()
        assert other.cmd("FETCH 1 BODY.PEEK[]").status == "NO"
        assert wake(imap, tag).status == "OK"
        assert imap.body(2) == BIG and in_use(pid, secrets)
        assert other.cmd("FETCH 1 BODY.PEEK[]").status == "NO"


def test_doveadm_keeps_users_apart(sealed, tmp_path):
    """One command for several: each has the keys of its own."""
    server = sealed
    users = [holder(server) for _ in range(3)]
    for user in users:
        fill(server, user, MESSAGE)
    give(server, users[0], users[1])
    names = tmp_path / "users"
    server.allow_log("auth-worker")     # which cannot list its users
    names.write_text("".join(f"{user.name}\n" for user in users))
    done = server.doveadm("fetch", "-F", str(names), "user text", "all",
                          check=False)
    assert done.returncode != 0
    assert b"sealed to none" in done.stderr
    assert done.stdout.count(b"Subject: hello") == 2
