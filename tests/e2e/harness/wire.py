# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that keep every byte of an answer: IMAP, POP3 and LMTP.

Python's own clients tidy answers up; comparing with a plain Dovecot needs them
as they came.
"""

import re
import socket
from dataclasses import dataclass

TIMEOUT = 120
_LITERAL = re.compile(rb"\{(\d+)\}\r\n$")
# Dovecot makes it of the time.
_UIDVALIDITY = re.compile(rb"(\[(?:UIDVALIDITY|APPENDUID|COPYUID) )\d+")
# "Fetch completed (0.001 + 0.000 secs).", "Internal error occurred. Refer to
# server log for more information. [2026-11-28 22:43:35]"
_TIMES = re.compile(rb" \([0-9. +]+ (?:in locks )?secs\)|"
                    rb" \[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]")
_TAG = re.compile(rb'(?<=^\* ESEARCH \(TAG ")t\d+')


class Failed(AssertionError):
    """An answer other than OK, and no test asked for one."""


@dataclass
class Reply:
    untagged: list      # each answer in whole, with its literals
    status: str         # OK, NO, BAD
    text: bytes         # what follows the status

    @property
    def raw(self):
        return b"".join(self.untagged)

    def comparable(self):
        """All of it but what differs between any two runs."""
        raw = b"".join(_TAG.sub(b"", answer) for answer in self.untagged)
        answer = raw + self.status.encode() + b" " + \
            _TIMES.sub(b"", self.text)
        return _UIDVALIDITY.sub(rb"\1", answer)


class _Connection:
    def __init__(self, sock):
        sock.settimeout(TIMEOUT)
        self.sock = sock
        self.file = sock.makefile("rb", buffering=1 << 20)

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise EOFError(f"connection closed after {line!r}")
        return line

    def exactly(self, size):
        data = self.file.read(size)
        if len(data) != size:
            raise EOFError(f"connection closed within a literal of {size}")
        return data

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _tcp(server, port, tls):
    sock = socket.create_connection(("127.0.0.1", server.ports[port]), TIMEOUT)
    if tls:
        sock = server.tls_context().wrap_socket(sock,
                                                server_hostname="127.0.0.1")
    return sock


def quoted(text):
    """An IMAP quoted string."""
    text = text.encode() if isinstance(text, str) else text
    return b'"' + text.replace(b"\\", rb"\\").replace(b'"', rb"\"") + b'"'


class Imap(_Connection):
    """with Imap(server, user) as imap: imap.ok("SELECT INBOX")"""

    def __init__(self, server, user=None, tls=False):
        super().__init__(_tcp(server, "imaps" if tls else "imap", tls))
        self._count = 0
        self.greeting = self.answer()
        self.login_reply = None
        if user is not None:
            self.login(user)

    def login(self, user, password=None):
        password = user.password if password is None else password
        self.login_reply = self.ok(b"LOGIN " + quoted(user.name) + b" " +
                                   quoted(password))
        return self.login_reply

    def answer(self):
        """One line with its literals; b"" is never returned."""
        answer = line = self.line()
        while match := _LITERAL.search(line):
            answer += self.exactly(int(match.group(1)))
            line = self.line()
            answer += line
        return answer

    def start(self, command):
        """Send a command without waiting; returns its tag."""
        self._count += 1
        tag = b"t%d" % self._count
        command = command.encode() if isinstance(command, str) else command
        self.send(tag + b" " + command + b"\r\n")
        return tag

    def finish(self, tag):
        untagged = []
        while True:
            answer = self.answer()
            if answer.startswith(tag + b" "):
                status, _, text = answer[len(tag) + 1:].partition(b" ")
                return Reply(untagged, status.decode(), text)
            untagged.append(answer)

    def cmd(self, command):
        """Send a command and return its Reply, whatever its status."""
        return self.finish(self.start(command))

    def ok(self, command):
        reply = self.cmd(command)
        if reply.status != "OK":
            raise Failed(f"{command!r}: {reply.status} {reply.text!r}")
        return reply

    def select(self, mailbox="INBOX"):
        return self.ok(b"SELECT " + quoted(mailbox))

    def append_cmd(self, message, mailbox="INBOX", flags="", date=None,
                   binary=False):
        """Reply to APPEND, sent with a non-synchronizing literal."""
        return self.cmd(b"APPEND " + quoted(mailbox) +
                        append_part(message, flags, date, binary))

    def append(self, message, mailbox="INBOX", **options):
        reply = self.append_cmd(message, mailbox, **options)
        if reply.status != "OK":
            raise Failed(f"APPEND: {reply.status} {reply.text!r}")
        return reply

    def body(self, uid):
        """The whole message with this UID."""
        reply = self.ok(f"UID FETCH {uid} BODY.PEEK[]")
        for answer in reply.untagged:
            match = re.search(rb"BODY\[\] \{(\d+)\}\r\n", answer)
            if match:
                size = int(match.group(1))
                return answer[match.end():match.end() + size]
        raise Failed(f"no BODY[] for UID {uid}: {reply.raw[:200]!r}")

    def uids(self, search="ALL"):
        for answer in self.ok(f"UID SEARCH {search}").untagged:
            if answer.startswith(b"* SEARCH"):
                return [int(uid) for uid in answer.split()[2:]]
        return []


def append_part(message, flags="", date=None, binary=False):
    """What follows the mailbox in APPEND; repeat it for MULTIAPPEND."""
    part = b" (" + flags.encode() + b")" if flags else b""
    if date is not None:
        part += b' "' + date.encode() + b'"'
    return part + b" %s{%d+}\r\n" % (b"~" if binary else b"",
                                     len(message)) + message


class Pop3(_Connection):
    def __init__(self, server, user):
        super().__init__(_tcp(server, "pop3", False))
        self.greeting = self.line()
        self.ok(f"USER {user.name}")
        self.ok(f"PASS {user.password}")

    def cmd(self, command, multiline=False):
        self.send(command.encode() + b"\r\n")
        answer = line = self.line()
        if multiline and line.startswith(b"+OK"):
            lines = [line]
            while line != b".\r\n":
                line = self.line()
                lines.append(line)
            answer = b"".join(lines)
        return answer

    def ok(self, command, multiline=False):
        answer = self.cmd(command, multiline)
        if not answer.startswith(b"+OK"):
            raise Failed(f"{command.split()[0]}: {answer!r}")
        return answer


class Lmtp(_Connection):
    """LMTP as RFC 2033 has it: an answer for each recipient."""

    def __init__(self, server, path=None):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path or f"{server.base}/run/lmtp")
        super().__init__(sock)
        self._answer()
        self._cmd(b"LHLO localhost")

    def _answer(self):
        text = b""
        while True:
            line = self.line()
            text += line[4:]
            if line[3:4] == b" ":
                return int(line[:3]), text.decode(errors="replace").strip()

    def _cmd(self, line):
        self.send(line + b"\r\n")
        return self._answer()

    def deliver(self, users, message, sender="sender@example.com"):
        """[(code, text), …], one for each user."""
        code, text = self._cmd(b"MAIL FROM:<" + sender.encode() + b">")
        assert code == 250, text
        answers = {}
        accepted = []
        for user in users:
            answer = self._cmd(b"RCPT TO:<" + user.name.encode() + b">")
            answers[user.name] = answer
            if answer[0] == 250:
                accepted.append(user)
        if accepted:
            code, text = self._cmd(b"DATA")
            assert code == 354, text
            message = re.sub(rb"\r?\n", b"\r\n", message)
            if not message.endswith(b"\r\n"):
                message += b"\r\n"
            self.send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
            for user in accepted:
                answers[user.name] = self._answer()
        return [answers[user.name] for user in users]


def lmtp(server, users, message, **options):
    """Deliver to every user, and fail unless all accept."""
    with Lmtp(server) as client:
        answers = client.deliver(users, message, **options)
    for code, text in answers:
        if code != 250:
            raise Failed(f"LMTP: {code} {text}")
