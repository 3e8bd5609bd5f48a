# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL at any moment of a change: afterwards the keyring opens with the old
or the new secret, and every message can be read."""

import os
import random
import signal
import subprocess
import time

import pytest

from harness import keyring, sanitizer
from harness.config import Setup
from harness.doveadm import command, seal_user
from harness.seal import enrolled, open_all
from harness.wire import Imap, lmtp

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"
COUNT = 3
KILLS = 20


@pytest.fixture(scope="module")
def server(serve):
    return serve(Setup())


def killed(server, seconds, user, verb, *words, **secrets):
    """Start it and kill it; TRUE if it wasn't over by then."""
    line, fds = command(server, *verb.split(), "-u", user.name, *words,
                        **secrets)
    process = subprocess.Popen(line, pass_fds=fds, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL,
                               env=sanitizer.environment(),
                               start_new_session=True)
    for fd in fds:
        os.close(fd)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def how_long(server, user, verb, *words, **secrets):
    began = time.monotonic()
    seal_user(server, user, verb, *words, **secrets)
    return time.monotonic() - began


def moments(seconds):
    """Most of them in the second half, where the work is done."""
    rng = random.Random(4)
    return [seconds * rng.uniform(0.2, 1.2) for _ in range(KILLS)]


def opening(user, passwords):
    """The password that opens the keyring, and the identities."""
    for password in passwords:
        try:
            return password, keyring.identity(user, password)
        except keyring.WrongPassword:
            pass
    raise AssertionError("no password opens the keyring:\n" +
                         keyring.read(user))


def assert_all_readable(server, user, passwords):
    password, identity = opening(user, passwords)
    assert len(open_all(server, user, identity)) == COUNT
    return password


def assert_tidy(server, user, password):
    """The next change removes what killed ones left."""
    seal_user(server, user, "password", password=[password, user.password])
    left = set(os.listdir(user.home))
    assert not {name for name in left if name.endswith(".bak")}
    with Imap(server, user) as imap:
        imap.select()
        for number in range(1, COUNT + 1):
            assert imap.body(number).endswith(MESSAGE)


@pytest.fixture
def user(server):
    user = enrolled(server)
    for _ in range(COUNT):
        lmtp(server, [user], MESSAGE)
    return user


def test_enroll(server):
    seconds = how_long(server, server.user(), "enroll", password="password 0")
    interrupted = 0
    for number, moment in enumerate(moments(seconds)):
        user = server.user(f"killed{number}")
        interrupted += killed(server, moment, user, "enroll",
                              password=user.password)
        if os.path.exists(keyring.path(user)):
            assert keyring.identity(user)
        seal_user(server, user, "enroll", "--if-needed",
                  password=user.password)
        lmtp(server, [user], MESSAGE)
        assert len(open_all(server, user)) == 1
    assert interrupted > KILLS / 4


def test_password(server, user):
    seconds = how_long(server, user, "password",
                       password=[user.password, "password 0"])
    now, interrupted = "password 0", 0
    for number, moment in enumerate(moments(seconds)):
        new = f"password {number + 1}"
        interrupted += killed(server, moment, user, "password",
                              password=[now, new])
        now = assert_all_readable(server, user, [now, new])
    assert interrupted > KILLS / 4
    assert_tidy(server, user, now)


def test_recovery_and_slots(server, user):
    seconds = how_long(server, user, "recovery new", password=user.password)
    code = seal_user(server, user, "recovery new", "--label", "kept",
                     password=user.password).row["recovery_code"]
    labels, interrupted = [], 0
    for number, moment in enumerate(moments(seconds)):
        if number % 3 == 0:
            words, more = ["recovery new", "--keep"], user.password
        elif number % 3 == 1 or not labels:
            words = ["slot add", "--label", f"label {number}"]
            more = [user.password, f"password {number}"]
        else:
            words, more = ["slot remove", labels[-1]], user.password
        interrupted += killed(server, moment, user, *words, password=more)
        assert_all_readable(server, user, [user.password])
        labels = [row["label"] for row in
                  seal_user(server, user, "slot list").rows
                  if row["label"].startswith("label")]
    assert interrupted > KILLS / 4
    seal_user(server, user, "recover", code=code, password="by the code")
    assert_tidy(server, user, "by the code")


def test_rotate_and_reseal(server, user):
    seconds = how_long(server, user, "rotate", "--reseal",
                       password=user.password)
    interrupted = 0
    for moment in moments(seconds):
        interrupted += killed(server, moment, user, "rotate", "--reseal",
                              password=user.password)
        assert_all_readable(server, user, [user.password])
    assert interrupted > KILLS / 4
    seal_user(server, user, "reseal", password=user.password)
    row = seal_user(server, user, "slot remove", "--forget-old",
                    password=user.password).row
    assert "forgotten" in row["result"] or row["result"] == \
        "nothing to change"
    assert_tidy(server, user, user.password)


def test_recover(server, user):
    code = seal_user(server, user, "recovery new",
                     password=user.password).row["recovery_code"]
    seconds = how_long(server, user, "recover", code=code,
                       password="password 0")
    now, interrupted = "password 0", 0
    for number, moment in enumerate(moments(seconds)):
        new = f"password {number + 1}"
        interrupted += killed(server, moment, user, "recover", code=code,
                              password=new)
        now = assert_all_readable(server, user, [now, new])
    assert interrupted > KILLS / 4
    assert_tidy(server, user, now)
