# SPDX-License-Identifier: LGPL-2.1-or-later
"""SIGKILL at any moment of a change: afterwards the keyring opens with the old
or the new secret, and every message can be read. Here it is time that decides;
test_doveadm_faults.py kills at each call that the disk sees."""

import glob
import itertools
import os
import random
import signal
import subprocess
import time

import pytest

from harness import keyring, sanitizer
from harness.config import MAIL_UID, Setup
from harness.doveadm import NOTFOUND, command, seal_user
from harness.sample import part
from harness.seal import enrolled, open_all
from harness.wire import Imap, lmtp

pytestmark = pytest.mark.no_asan

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"
COUNT = 3
# For each of eight commands. With each version of Dovecot it is every other one,
# so 320 in build-aux/check.
KILLS = 40


@pytest.fixture(scope="module")
def server(serve):
    return serve(Setup())


class Kills:
    """Iterates until a command was killed so many times, at moments that lie
    evenly between its start and its end. run() is it, run to its end."""

    def __init__(self, run, count=KILLS):
        took = []
        for _ in range(3):
            began = time.monotonic()
            run()
            took.append(time.monotonic() - began)
        self.seconds = sorted(took)[1]
        self.parts = [number / count for number in part(2, count + 1)]
        random.Random(4).shuffle(self.parts)
        self.tries = 3 * count

    def __iter__(self):
        for number in range(self.tries):
            if not self.parts:
                return
            yield number
        raise AssertionError("it was nearly always over before the kill")

    def start(self, server, user, verb, *words, **secrets):
        line, fds = command(server, *verb.split(), "-u", user.name, *words,
                            **secrets)
        process = subprocess.Popen(
            line, pass_fds=fds, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=sanitizer.environment(), start_new_session=True)
        for fd in fds:
            os.close(fd)
        time.sleep(self.seconds * self.parts[-1])
        os.killpg(process.pid, signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            self.parts.pop()
        else:
            # It is faster than it was.
            self.seconds *= 0.95


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
    assert not glob.glob(f"{keyring.path(user)}.[!t]*")
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
    kills = Kills(lambda: seal_user(
        server, server.user(), "enroll", password="password 0"))
    for number in kills:
        user = server.user(f"killed{number}")
        kills.start(server, user, "enroll", password=user.password)
        if os.path.exists(keyring.path(user)):
            assert keyring.identity(user)
        seal_user(server, user, "enroll", "--if-needed",
                  password=user.password)
        lmtp(server, [user], MESSAGE)
        assert len(open_all(server, user)) == 1


def test_password(server, user):
    passwords = [user.password, *(f"password {i}" for i in range(3))]
    pairs = iter(zip(passwords, passwords[1:]))
    kills = Kills(lambda: seal_user(
        server, user, "password", password=next(pairs)))
    now = passwords[-1]
    for number in kills:
        new = f"new password {number}"
        kills.start(server, user, "password", password=[now, new])
        now = assert_all_readable(server, user, [now, new])
    assert_tidy(server, user, now)


def labels_of(server, user, beginning):
    return [row["label"] for row in seal_user(server, user, "slot list").rows
            if row["label"].startswith(beginning)]


def test_recovery(server, user):
    kills = Kills(lambda: seal_user(
        server, user, "recovery new", password=user.password))
    code = seal_user(server, user, "recovery new", "--label", "kept",
                     password=user.password).row["recovery_code"]
    for number in kills:
        labels = labels_of(server, user, "label")
        words = ["recovery remove", labels[-1]] if number % 2 and labels \
            else ["recovery new", "--keep", "--label", f"label {number}"]
        kills.start(server, user, *words, password=user.password)
        assert_all_readable(server, user, [user.password])
    seal_user(server, user, "recover", code=code, password="by the code")
    assert_tidy(server, user, "by the code")


def test_slots(server, user):
    labels = itertools.count()
    kills = Kills(lambda: seal_user(
        server, user, "slot add", "--label", f"other {next(labels)}",
        password=[user.password, "other password"]))
    for number in kills:
        there = labels_of(server, user, "label")
        if number % 2 and there:
            words, more = ["slot remove", there[-1]], user.password
        else:
            words = ["slot add", "--label", f"label {number}"]
            more = [user.password, f"password {number}"]
        kills.start(server, user, *words, password=more)
        assert_all_readable(server, user, [user.password])
    assert_all_readable(server, user, ["other password"])
    assert_tidy(server, user, user.password)


def test_recover(server, user):
    code = seal_user(server, user, "recovery new",
                     password=user.password).row["recovery_code"]
    kills = Kills(lambda: seal_user(
        server, user, "recover", code=code, password="password 0"))
    now = "password 0"
    for number in kills:
        new = f"password {number + 1}"
        kills.start(server, user, "recover", code=code, password=new)
        now = assert_all_readable(server, user, [now, new])
    assert_tidy(server, user, now)


@pytest.mark.parametrize("words", [["rotate"], ["rotate", "--reseal"]],
                         ids=" ".join)
def test_rotate(server, user, words):
    kills = Kills(lambda: seal_user(
        server, user, *words, password=user.password))
    for _ in kills:
        kills.start(server, user, *words, password=user.password)
        assert_all_readable(server, user, [user.password])
    seal_user(server, user, "reseal", password=user.password)
    row = seal_user(server, user, "slot remove", "--forget-old",
                    password=user.password).row
    assert "forgotten" in row["result"] or row["result"] == \
        "nothing to change"
    assert_tidy(server, user, user.password)


# Destruction


def enroll_again(user, text):
    """With what killed changes may leave beside a keyring."""
    for end in ("", ".bak", ".tmp.0123456789abcdef", ".damaged"):
        path = keyring.path(user) + end
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, 0o600)
        os.chown(path, MAIL_UID, MAIL_UID)


def assert_whole_or_gone(server, user):
    """A keyring that doesn't open is one that nothing brings back."""
    try:
        assert len(open_all(server, user)) == COUNT
        return True
    except FileNotFoundError:
        pass
    except keyring.WrongPassword:
        assert not keyring.read(user).strip("\0")
    left = set(glob.glob(f"{keyring.path(user)}*"))
    assert left <= {keyring.path(user), f"{keyring.path(user)}.lock"}
    status = seal_user(server, user, "status", check=False)
    assert status.code != 0 or status.row["enrolled"] == "no"
    return False


def test_destroy(server, user):
    text = keyring.read(user)
    words = "destroy", "--confirm", user.name

    def destroy():
        enroll_again(user, text)
        seal_user(server, user, *words)
    kills = Kills(destroy)
    for _ in kills:
        enroll_again(user, text)
        kills.start(server, user, *words)
        whole = assert_whole_or_gone(server, user)
        again = seal_user(server, user, *words, check=False)
        assert again.code == 0 or again.code == NOTFOUND and not whole, \
            again.err
        assert not glob.glob(f"{keyring.path(user)}*")
