# SPDX-License-Identifier: LGPL-2.1-or-later
"""A user with a sealed cache that may be damaged and put back."""

import re
import subprocess
import time

from . import cachefile
from .seal import enrolled
from .wire import Imap

COUNT = 12
# What is answered from the cache, and the messages themselves.
COMMANDS = ("FETCH 1:* (ENVELOPE)", "FETCH 1:* (BODYSTRUCTURE RFC822.SIZE)",
            "FETCH 1:* BODY.PEEK[HEADER.FIELDS (Subject From X-Number Date)]",
            "FETCH 1:* PREVIEW", "SORT (SUBJECT) UTF-8 ALL",
            "THREAD REFS UTF-8 ALL", "SEARCH HEADER X-Number number3",
            "FETCH 1:* BODY.PEEK[]")


def message(number, kind="first"):
    """All of one kind have the same size, but for the last few."""
    return (b"From: person%02d <%s%02d@example.com>\r\nTo: b@example.org\r\n"
            b"Subject: subject %02d of the %s\r\nX-Number: number%02d\r\n"
            b"Message-ID: <%02d@%s.example.com>\r\n"
            b"Date: Fri, %02d Jul 2026 02:44:25 +0000\r\n"
            b"Content-Type: multipart/mixed; boundary=b%02d\r\n\r\n"
            b"--b%02d\r\n\r\nbody %02d\r\n%s--b%02d--\r\n" % (
                number, kind.encode(), number, number, kind.encode(), number,
                number, kind.encode(), number, number, number, number,
                b"line\r\n" * max(0, number - 9), number))


def answers(session, commands=COMMANDS):
    return [session.ok(command).raw for command in commands]


def fill(server, user, kind="first", mailbox="INBOX"):
    with Imap(server, user) as imap:
        for number in range(1, COUNT + 1):
            imap.append(message(number, kind), mailbox,
                        date="17-Jul-2026 02:44:25 +0000")
        imap.ok("LOGOUT")


def visit(server, user, mailbox="INBOX", commands=COMMANDS):
    """The answers of a session of its own."""
    with Imap(server, user) as imap:
        imap.select(mailbox)
        found = answers(imap, commands)
        imap.ok("LOGOUT")
    return found


class Ward:
    """.right are the answers as they were before there was a cache."""

    def __init__(self, server, user=None, kind="first"):
        self.server = server
        self.user = user or enrolled(server)
        fill(server, self.user, kind)
        self.right = visit(server, self.user)
        for _ in range(2):
            assert visit(server, self.user) == self.right
        self.keep()

    def keep(self):
        self._run("rm", "-rf", f"{self.user.home}.kept")
        self._run("cp", "-a", self.user.home, f"{self.user.home}.kept")

    def restore(self):
        """All of the user's files, and no session."""
        self._run("rm", "-rf", f"{self.user.home}/mail")
        self._run("cp", "-a", f"{self.user.home}.kept/mail", self.user.home)

    @staticmethod
    def _run(*command):
        subprocess.run(command, check=True)

    @property
    def path(self):
        return cachefile.path(self.user)

    @property
    def cache(self):
        return cachefile.CacheFile(self.path)

    def assert_right(self, what):
        """In two sessions, as the first one may write a new cache."""
        for session in ("", " in the next session"):
            assert visit(self.server, self.user) == self.right, \
                f"{what}{session}"

    def complaints(self, at_least=0):
        """{session: its lines of ours, but for what is mere information}, once
        there are so many: the log lags behind."""
        end = time.monotonic() + 60
        while len(found := self._complaints()) < at_least and \
                time.monotonic() < end:
            time.sleep(0.05)
        return found

    def _complaints(self):
        sessions = {}
        for line in self.server.new_log().splitlines():
            match = re.search(rf"imap\({self.user.name}\)<\d+><([^>]+)>: "
                              r"(Warning|Error): .*mail_seal: "
                              r"(?!mail_temp_dir)", line)
            if match:
                sessions.setdefault(match.group(1), []).append(line)
        return sessions
