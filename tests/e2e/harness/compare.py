# SPDX-License-Identifier: LGPL-2.1-or-later
"""A sealed server beside a plain one: the same words to both."""

from .wire import Imap


def assert_same(plain, sealed, what=""):
    """As ==, with a failure that shows the place and not megabytes."""
    if plain == sealed:
        return
    at = next((i for i, (a, b) in enumerate(zip(plain, sealed)) if a != b),
              min(len(plain), len(sealed)))
    start = max(0, at - 60)
    raise AssertionError(
        f"{what}: answers differ at byte {at} "
        f"(plain has {len(plain)}, sealed {len(sealed)})\n"
        f"plain:  {plain[start:at + 100]!r}\n"
        f"sealed: {sealed[start:at + 100]!r}")


class Pair:
    """Two IMAP sessions that get the same commands.

    pair.same("FETCH 1:* BODY[]") sends it to both, fails if the answers differ
    in a byte, and returns the answer. pair.each(function) calls
    function(session) for both and returns both results.
    """

    def __init__(self, plain, sealed, plain_user, sealed_user):
        self.servers = (plain, sealed)
        self.users = (plain_user, sealed_user)
        self.sessions = ()
        self.reconnect()

    def reconnect(self):
        """New sessions: nothing that Dovecot keeps in a session is left."""
        self.close()
        self.sessions = tuple(map(Imap, self.servers, self.users))

    def close(self):
        for session in self.sessions:
            session.close()
        self.sessions = ()

    def select(self):
        """INBOX in both, with new sessions if one has ended."""
        try:
            self.each(lambda session: session.select())
        except (EOFError, OSError):
            self.reconnect()
            self.each(lambda session: session.select())

    def allow_log(self, pattern):
        for server in self.servers:
            server.allow_log(pattern)

    def each(self, function):
        return tuple(function(session) for session in self.sessions)

    def same(self, command):
        plain, sealed = self.each(lambda session: session.cmd(command))
        assert_same(plain.comparable(), sealed.comparable(), command)
        return sealed

    def same_ok(self, command):
        reply = self.same(command)
        assert reply.status == "OK", f"{command}: {reply.text!r}"
        return reply

    def append(self, message, mailbox="INBOX", **options):
        for session in self.sessions:
            session.append(message, mailbox, **options)
