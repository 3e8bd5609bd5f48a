# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk that fails at calls of each change of a keyring, a process that is
killed there, and disks that are full: the keyring opens with the old or the new
secret, every message can be read, and the next change works. harness/sample.py
says at which calls."""

import contextlib
import glob
import hashlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field

import pytest

from harness import age, keyring
from harness.config import Setup
from harness.disk import small_disk
from harness.doveadm import NOTFOUND, seal_user
from harness.faults import Faults
from harness.sample import part
from harness.seal import enrolled, open_all
from harness.wire import Imap, lmtp

MESSAGE = b"Subject: hello\r\n\r\n" + b"body\r\n" * 2000
COUNT = 2
# Of the calls, one in so many. An odd number: EIO and ENOSPC take turns.
STEP = 11
NEW = "a new password"
FAILED = "Input/output error|No space left"


@pytest.fixture(scope="module")
def faults():
    faults = Faults()
    yield faults
    faults.remove()


@pytest.fixture(scope="module")
def server(serve, faults):
    return serve(Setup(**faults.configuration()))


@dataclass
class Change:
    """One change, and a home as it was before it, to be put back."""

    server: object
    user: object
    verb: str
    words: tuple = ()
    secrets: dict = field(default_factory=dict)
    opens: tuple = ()           # passwords of which one opens afterwards
    before: str = ""            # the keyring; "": there is none
    failed = FAILED

    def __post_init__(self):
        self.kept = f"{self.user.home}.kept"
        subprocess.run(["cp", "-a", self.user.home, self.kept], check=True)

    def restore(self):
        subprocess.run(f"rm -rf {self.user.home}/* {self.user.home}/.[!.]*; "
                       f"cp -a {self.kept}/. {self.user.home}", shell=True,
                       check=True)

    def run(self, faults=None):
        return seal_user(self.server, self.user, self.verb, *self.words,
                         check=False, env=faults and faults.environment,
                         **self.secrets)

    @property
    def faulty(self):
        return self.user.home

    @property
    def left(self):
        """What lies beside the keyring."""
        return set(glob.glob(f"{keyring.path(self.user)}.*"))

    @property
    def left_open(self):
        """Others are removed after an hour."""
        return {path for path in self.left if ".tmp." not in path}

    def opening(self):
        for password in self.opens:
            with contextlib.suppress(keyring.WrongPassword):
                return password, keyring.identity(self.user, password)
        raise AssertionError("no password opens the keyring:\n" +
                             keyring.read(self.user))

    def assert_readable(self):
        """The keyring opens; what it and the mail were for is there."""
        _, identity = self.opening()
        assert len(open_all(self.server, self.user, identity)) == COUNT

    def assert_done(self):
        """What the command said it has done."""
        text = keyring.read(self.user)
        assert text != self.before
        self.assert_readable()
        if self.verb == "rotate":
            assert keyring.recipient(text) != keyring.recipient(self.before)
        elif self.secrets["password"][-1] == NEW:
            assert keyring.identity(self.user, NEW)

    def assert_sound(self):
        self.assert_readable()

    def assert_next_change_works(self):
        password, _ = self.opening()
        seal_user(self.server, self.user, "password",
                  password=[password, "yet another"])
        assert not self.left_open
        identity = keyring.identity(self.user, "yet another")
        assert len(open_all(self.server, self.user, identity)) == COUNT


class Enroll(Change):
    def assert_done(self):
        assert keyring.identity(self.user, NEW)

    def assert_sound(self):
        if os.path.exists(keyring.path(self.user)):
            self.assert_done()

    def assert_next_change_works(self):
        seal_user(self.server, self.user, "enroll", "--if-needed",
                  password=NEW)
        self.assert_done()
        lmtp(self.server, [self.user], MESSAGE)
        identity = keyring.identity(self.user, NEW)
        assert len(open_all(self.server, self.user, identity)) == 1


class Destroy(Change):
    def assert_done(self):
        # The lock is that on the file, not the file.
        assert not os.path.exists(keyring.path(self.user))
        assert self.left <= {f"{keyring.path(self.user)}.lock"}

    def assert_sound(self):
        """A keyring that doesn't open is one that nothing brings back."""
        with contextlib.suppress(FileNotFoundError):
            if keyring.read(self.user).strip("\0"):
                self.assert_readable()
                return
        assert not {path for path in self.left
                    if not path.endswith(".lock") and
                    open(path, "rb").read().strip(b"\0")}

    def assert_next_change_works(self):
        assert self.run().code in (0, NOTFOUND)
        assert not glob.glob(f"{keyring.path(self.user)}*")


class Reseal(Change):
    failed = f"{FAILED}|could not be rewritten"

    @property
    def faulty(self):
        """The keyring itself is as for "rotate"."""
        return f"{self.user.home}/mail"

    def assert_next_change_works(self):
        seal_user(self.server, self.user, "reseal",
                  password=self.user.password)
        super().assert_next_change_works()
        assert len(mail_files(self.user)) == COUNT


def mail_files(user):
    return [path for path in glob.glob(f"{user.home}/mail/**", recursive=True,
                                       include_hidden=True)
            if os.path.isfile(path) and "dovecot" not in path]


def make_enroll(server):
    return Enroll(server, server.user(), "enroll",
                  secrets={"password": [NEW]}, opens=(NEW,))


def make(verb, *words, kind=Change, new=True):
    def make_change(server):
        user = enrolled(server)
        for _ in range(COUNT):
            lmtp(server, [user], MESSAGE)
        secrets = {"password": [user.password, NEW] if new else
                   [user.password]}
        if verb == "recover":
            code = seal_user(server, user, "recovery new",
                             password=user.password).row["recovery_code"]
            secrets = {"code": code, "password": [NEW]}
        elif verb == "destroy":
            secrets = {}
        return kind(server, user, verb,
                    (*words, *(["--confirm", user.name]
                               if verb == "destroy" else [])),
                    secrets, (NEW, user.password), keyring.read(user))
    return make_change


CHANGES = {
    "enroll": make_enroll,
    "password": make("password"),
    "recovery new": make("recovery new", new=False),
    "slot add": make("slot add", "--label", "phone"),
    "recover": make("recover"),
    "rotate": make("rotate", new=False),
    "rotate --reseal": make("rotate", "--reseal", kind=Reseal, new=False),
    "destroy": make("destroy", kind=Destroy),
}


@pytest.fixture(params=CHANGES)
def change(server, request):
    return CHANGES[request.param](server)


def steps(change, faults, mode):
    """Run it with its calls chosen in turn: (call, how it ended). As another
    call may follow one that has failed, their number isn't known."""
    name = " ".join((mode, change.verb, *change.words[:1]))
    for at in part(STEP, 1000, name):
        change.restore()
        faults.plan(change.faulty, mode, at)
        try:
            done = change.run(faults)
            calls = faults.calls()
        finally:
            faults.end()
        if len(calls) < at:
            assert at > 6 and done.code == 0, done.err
            return
        yield calls[at - 1], done
    raise AssertionError("no end")


def assert_told(change, call, done):
    """An error with its reason; or it was done, and so it is."""
    if done.code == 0:
        change.assert_done()
    else:
        assert re.search(change.failed, done.err), (call, done.err)
    assert done.code >= 0 and "Panic" not in done.err, (call, done)


@pytest.mark.parametrize("mode", ["once", "dead"])
def test_a_call_that_fails(change, faults, mode):
    for call, done in steps(change, faults, mode):
        assert_told(change, call, done)
        change.assert_sound()
        if mode == "once" and call[0] != "unlink":
            assert not {path for path in change.left if ".tmp." in path}
        change.assert_next_change_works()


def test_killed_at_a_call(change, faults):
    for call, done in steps(change, faults, "kill"):
        assert done.code == -signal.SIGKILL, call
        change.assert_sound()
        change.assert_next_change_works()


# Full disks


def test_full_disk(change):
    with small_disk(change.user, "2M") as fill:
        for number in part(2, 7):
            pages = number - 1
            change.restore()
            fill(pages * 4096)
            done = change.run()
            assert_told(change, pages, done)
            # What destroys needs no room.
            assert (done.code == 0) == (change.verb == "destroy") or pages
            os.unlink(f"{change.user.home}/filler")
            change.assert_sound()
            change.assert_next_change_works()


# What a login changes


@dataclass
class Login(Change):
    escrow: bool = False

    def assert_done(self):
        identity = keyring.identity(self.user, NEW)
        # The lock is that on the file, not the file.
        assert self.left_open <= {f"{keyring.path(self.user)}.lock"}
        assert len(open_all(self.server, self.user, identity)) == COUNT
        assert self.escrow == ("\nslot: escrow " in keyring.read(self.user))

    def log_in(self, faults=None):
        """Which calls there were, and whether the session is open."""
        calls = []
        with Imap(self.server, self.user) as imap:
            opened = imap.cmd("SELECT INBOX").status == "OK"
            if faults:
                calls = faults.calls()
                faults.end()
            if opened:
                assert [imap.body(uid) for uid in imap.uids()][-1].endswith(
                    MESSAGE)
            imap.ok("LOGOUT")
        return calls, opened


def make_login(server, kind):
    user = enrolled(server)
    for _ in range(COUNT):
        lmtp(server, [user], MESSAGE)
    with Imap(server, user) as imap:
        imap.select()
    old = hashlib.sha256(user.password.encode()).hexdigest()
    fields = {"mail_seal_old_password": old}
    if kind == "escrow":
        seal_user(server, user, "password", password=[user.password, NEW])
        fields = {"mail_seal_escrow_recipients": age.keygen().recipient}
    return Login(server, server.user(user.name, NEW, **fields), "login",
                 opens=(NEW, user.password), before=keyring.read(user),
                 escrow=kind == "escrow")


def logged(server, seen):
    """The log lags behind."""
    end = time.monotonic() + 60
    while not re.search(FAILED, server.new_log()[seen:]):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("mode", ["once", "dead"])
@pytest.mark.parametrize("kind", ["old password", "escrow"])
def test_login(server, faults, kind, mode):
    login = make_login(server, kind)
    server.allow_log(FAILED)
    for at in part(STEP, 1000, f"{kind} {mode}"):
        login.restore()
        seen = len(server.new_log())
        faults.plan(login.user.home, mode, at)
        try:
            calls, opened = login.log_in(faults)
        finally:
            faults.end()
        # Before, the keyring can't be read, and there is nothing to open.
        # Behind it, mail-seal.unsealing is looked at.
        changing = "create" in [name for name, _ in calls[:at]]
        if len(calls) < at:
            break
        name = calls[at - 1][0]
        assert opened or not changing, (at, calls)
        assert name == "unlink" or logged(server, seen), (at, calls)
        login.assert_sound()
        assert login.log_in() == ([], True)
        login.assert_done()
        login.assert_next_change_works()
    assert changing and at > 20 and opened
