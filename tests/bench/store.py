# SPDX-License-Identifier: LGPL-2.1-or-later
"""The servers that are compared, and the mailboxes that the rows work on."""

import collections
import contextlib
import glob
import os
from dataclasses import replace

from harness.config import Setup
from harness.server import Server
from harness.wire import Imap, Lmtp, append_part, quoted

from letters import letter
from messages import KIB, MIB, message
from process import logged_process

# Plain Dovecot as it comes is what the others are compared with; "nocache" is
# plain Dovecot without its index cache. mail_seal has one of its own. mail_crypt
# is set up as its documentation has it, with a key for each user that is
# encrypted by the user's password, and with Dovecot's index cache, in which it
# leaves headers in clear text.
VARIANTS = {
    "plain": {"plugin": "", "never_cache": False},
    "nocache": {"plugin": "", "never_cache": True},
    "seal": {"plugin": "mail_seal"},
    "crypt": {"plugin": "mail_crypt", "never_cache": False},
}

DEFAULT_COSTS = (("mail_seal_argon2_memory", "64M"),
                 ("mail_seal_argon2_passes", "2"))

_BATCH = 100
# Dovecot 2.3 and 2.4 word it differently.
_LOGIN_LINE = r"imap-login: Info: (?:Login|Logged in): user=<%s>.*mpid=(\d+)"
_LMTP_LINE = r"lmtp\((\d+)\).*: Info: Connect from"


class Session(Imap):
    """A client that doesn't look at what it gets, so as not to be measured."""

    def __init__(self, store, user):
        server = store.server
        offset = os.path.getsize(f"{server.base}/log")
        super().__init__(server, user)
        self.process = logged_process(server, offset, _LOGIN_LINE % user.name)
        self._buffer = bytearray(MIB)

    def __exit__(self, *_):
        # The next session begins when the process of this one has ended.
        with contextlib.suppress(EOFError, OSError):
            self.ok("LOGOUT")
            # It closes mailboxes, and with them caches, before the connection.
            while self.sock.recv(4096):
                pass
        self.close()

    def drain(self, command):
        """The size of the answer to a command, which must be OK."""
        tag = self.start(command)
        done = b"\r\n" + tag + b" OK "
        size, tail = 0, b"\r\n"
        while True:
            count = self.sock.recv_into(self._buffer)
            if count == 0:
                raise EOFError(f"connection closed in {command!r}")
            size += count
            tail = (tail + self._buffer[max(0, count - 200):count])[-200:]
            if tail.endswith(b"\r\n"):
                last = tail[tail.rfind(b"\r\n", 0, -2):]
                if last.startswith(done):
                    return size - len(last) + 2
                if last.startswith(done[:-3]):
                    raise AssertionError(f"{command!r}: {last!r}")


class Deliveries(Lmtp):
    def __init__(self, store):
        server = store.server
        offset = os.path.getsize(f"{server.base}/log")
        super().__init__(server)
        self.user = store.user
        self.process = logged_process(server, offset, _LMTP_LINE)

    def add(self, mail):
        (code, text), = self.deliver([self.user], mail)
        if code != 250:
            raise AssertionError(f"LMTP: {code} {text}")

    def pipe(self, user, mail):
        """As an MTA does it, with as few packets as there can be. The mail has
        CRLF, and no line that begins with a dot."""
        self.send(b"MAIL FROM:<sender@example.com>\r\nRCPT TO:<%s>\r\n"
                  b"DATA\r\n" % user.name.encode())
        codes = [self._answer()[0] for _ in range(3)]
        self.send(mail + b"\r\n.\r\n")
        codes.append(self._answer()[0])
        if codes != [250, 250, 354, 250]:
            raise AssertionError(f"LMTP: {codes}")


class Store:
    """One server with one user, or more for rows of several clients. Mailboxes
    are filled when first wanted."""

    def __init__(self, setup):
        self.server = Server(setup)
        try:
            self.server.start()
            self.user = self._make_user("bench")
        except BaseException:
            self.close()
            raise
        self._users = [self.user]
        self._filled = set()
        self._seen = set()
        # How often rows were run here that do other things each time.
        self.runs = collections.Counter()

    def _make_user(self, name):
        user = self.server.user(name)
        # Makes keys, where there are any; mail_crypt's with the first message.
        with self.session(user) as session:
            session.append(message(4 * KIB))
            session.select()
        return user

    def close(self):
        self.server.stop()
        self.server.remove()

    def users(self, count):
        """So many, of whom the first is .user."""
        while len(self._users) < count:
            self._users.append(self._make_user(f"bench{len(self._users)}"))
        return self._users[:count]

    def session(self, user=None):
        return Session(self, user or self.user)

    def deliveries(self):
        return Deliveries(self)

    def small(self, count):
        """The name of a mailbox with messages of 4 KiB."""
        return self._fill(f"small{count}", count,
                          lambda number: message(4 * KIB, number))

    def large(self, size):
        """The name of a mailbox with one message."""
        return self._fill(f"large{size}", 1, lambda _: message(size))

    def letters(self, count, user=None):
        """The name of a mailbox with messages of all kinds."""
        return self._fill(f"letters{count}", count, letter, user)

    def empty(self):
        """The name of a mailbox without messages."""
        return self._fill("empty", 0, letter)

    def copies(self, mailbox, count):
        """The name of a mailbox with copies of another one's messages."""
        name = f"{count} of {mailbox}"
        if name not in self._filled:
            with self.session() as session:
                session.ok(b"CREATE " + quoted(name))
                session.select(mailbox)
                for _ in range(count):
                    session.drain(b"COPY 1:* " + quoted(name))
            self._filled.add(name)
        return name

    def _fill(self, name, count, make, user=None):
        user = user or self.user
        if (name, user) not in self._filled:
            with self.session(user) as session:
                session.ok(b"CREATE " + quoted(name))
                for first in range(0, count, _BATCH):
                    last = min(count, first + _BATCH)
                    session.ok(b"APPEND " + quoted(name) + b"".join(
                        append_part(make(number))
                        for number in range(first, last)))
            self._filled.add((name, user))
        return name

    def show(self, mailbox, *commands):
        """In a session of their own, unless they were given before: what they
        leave in caches is there from now on."""
        new = [command for command in commands
               if (mailbox, command) not in self._seen]
        if not new:
            return
        with self.session() as session:
            session.select(mailbox)
            for command in new:
                session.drain(command)
                self._seen.add((mailbox, command))

    def forget(self, mailbox):
        """As if nobody had looked at it: without the file of the cache."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._cache(mailbox))
        self._seen = {seen for seen in self._seen if seen[0] != mailbox}

    def cached_bytes(self, mailbox):
        try:
            return os.path.getsize(self._cache(mailbox))
        except FileNotFoundError:
            return 0

    def _cache(self, mailbox):
        # The folder is the one that has a log; maildir puts a dot before it.
        logs = glob.iglob(f"{self.user.home}/**/dovecot.index.log",
                          recursive=True, include_hidden=True)
        folder, = (os.path.dirname(log) for log in logs
                   if mailbox in log.replace("/.", "/").split("/"))
        return f"{folder}/dovecot.index.cache"

    def errors(self):
        return [line for line in self.server.bad_log_lines()]


def setup(variant, storage, settings=(), **options):
    setup = Setup(storage=storage, **VARIANTS[variant], **options)
    return replace(setup, settings=settings) if setup.sealed else setup
