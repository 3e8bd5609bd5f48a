# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the clients of a soak do: deliver, log in, fetch, and compare all that
they get with what was sent."""

import collections
import queue
import random
import threading
import time
from dataclasses import dataclass

from harness import canary
from harness.wire import Failed, Imap, Lmtp

from mails import message, number_of

# LMTP connections at a time, and how many messages each of them takes.
_LMTP_COUNT = 4
_LMTP_MESSAGES = 25
# What delivery puts before a message.
_MOST_ADDED = 1000
_PIECE = 20000
_FLAGS = (r"\Seen", r"\Flagged", r"\Answered", "$Soaked")


@dataclass(frozen=True)
class Amounts:
    logins: int
    deliveries: int
    fetches: int
    clients: int = 20
    users: int = 20
    seconds: float = 3600


@dataclass(frozen=True)
class _Known:
    """A message that a client has seen in whole."""

    number: int
    added: int      # bytes that delivery put before it


class _Account:
    def __init__(self, user):
        self.user = user
        self.sent = set()
        self.known = {}     # by UID


def _share(total, index, parts):
    """Which of the numbers below total belong to one of the parts."""
    return range(total * index // parts, total * (index + 1) // parts)


class Load:
    def __init__(self, server, amounts):
        self.server = server
        self.amounts = amounts
        self.word = canary.word()
        self.fetched = self.logged_in = 0
        self._deadline = time.monotonic() + amounts.seconds
        self._lock = threading.Lock()
        self._connections = queue.SimpleQueue()
        self._accounts = [_Account(server.user())
                          for _ in range(amounts.users)]
        self._failures = []
        self._warm_up()

    @property
    def delivered(self):
        return sum(len(account.sent) for account in self._accounts) - \
            self.amounts.users

    def _warm_up(self):
        """Keys, and a message for each to fetch. They count for nothing."""
        for index, account in enumerate(self._accounts):
            with Imap(self.server, account.user) as imap:
                imap.ok("LOGOUT")
            account.sent.add(self.amounts.deliveries + index)
        for _ in range(_LMTP_COUNT):
            self._connections.put(None)
        for index, account in enumerate(self._accounts):
            self._send(account, self.amounts.deliveries + index)
        self._disconnect()

    # All clients

    def run(self, sessions):
        """Those sessions (a range of numbers), by all clients at once."""
        waiting = queue.SimpleQueue()
        for session in sessions:
            waiting.put(session)
        threads = [threading.Thread(target=self._client, args=(waiting,))
                   for _ in range(self.amounts.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._disconnect()
        if self._failures:
            raise self._failures[0]

    def _client(self, waiting):
        try:
            while not self._failures:
                if time.monotonic() > self._deadline:
                    raise TimeoutError(
                        f"not done after {self.amounts.seconds} seconds")
                self._session(waiting.get_nowait())
        except queue.Empty:
            pass
        except Exception as error:      # told by run()
            self._failures.append(error)

    def _session(self, index):
        rng = random.Random(index)
        amounts = self.amounts
        for number in _share(amounts.deliveries, index, amounts.logins):
            account = rng.choice(self._accounts)
            account.sent.add(number)
            self._send(account, number)
        account = rng.choice(self._accounts)
        fetches = len(_share(amounts.fetches, index, amounts.logins))
        with Imap(self.server, account.user) as imap:
            Reader(self, account, imap, rng).read(fetches)
            imap.ok("LOGOUT")
        with self._lock:
            self.logged_in += 1
            self.fetched += fetches

    # Deliveries

    def _send(self, account, number):
        taken = self._connections.get()
        client, left = taken or (Lmtp(self.server), _LMTP_MESSAGES)
        try:
            (code, text), = client.deliver([account.user],
                                           message(number, self.word))
            if code != 250:
                raise Failed(f"LMTP: {code} {text}")
        finally:
            if left == 1:
                client.close()
            self._connections.put((client, left - 1) if left > 1 else None)

    def _disconnect(self):
        for _ in range(_LMTP_COUNT):
            taken = self._connections.get()
            if taken:
                taken[0].close()
            self._connections.put(None)

    # The end

    def check_all(self):
        """Each message is there once, where it was sent to, and is equal."""
        for account in self._accounts:
            with Imap(self.server, account.user) as imap:
                imap.select()
                reader = Reader(self, account, imap, random.Random())
                found = [reader.whole(uid) for uid in imap.uids()]
                imap.ok("LOGOUT")
            twice = [number for number, count in
                     collections.Counter(found).items() if count > 1]
            lost = account.sent - set(found)
            if twice or lost:
                raise Failed(f"{account.user.name}: {len(lost)} messages are "
                             f"lost, {len(twice)} there more than once")


class Reader:
    """One session of a client that knows what it has to get."""

    def __init__(self, load, account, imap, rng):
        self._load = load
        self._account = account
        self._imap = imap
        self._rng = rng

    def read(self, fetches):
        self._imap.select()
        uids = self._imap.uids()
        for _ in range(fetches):
            uid = self._rng.choice(uids)
            known = self._account.known.get(uid)
            ways = (self._whole, self._piece, self._fields, self._envelope)
            way = self._rng.choices(ways, (4, 2, 2, 2))[0] if known \
                else self._whole
            way(uid, known)
        self._imap.ok(f"UID STORE {self._rng.choice(uids)} +FLAGS.SILENT "
                      f"({self._rng.choice(_FLAGS)})")

    def whole(self, uid):
        """Fetch and compare a message; returns its number."""
        return self._whole(uid, None)

    def _message(self, number):
        return message(number, self._load.word)

    def _whole(self, uid, _):
        body = self._imap.body(uid)
        number = number_of(body[:_MOST_ADDED + 1000])
        if number not in self._account.sent:
            raise Failed(f"UID {uid}: message {number} was not sent to "
                         f"{self._account.user.name}")
        sent = self._message(number)
        added = len(body) - len(sent)
        if not body.endswith(sent) or added > _MOST_ADDED or \
                not body.startswith(b"Return-Path: <sender@example.com>\r\n"):
            raise Failed(f"UID {uid}: message {number} is not as it was sent")
        self._account.known.setdefault(uid, _Known(number, added))
        return number

    def _fetch(self, uid, items):
        return self._imap.ok(f"UID FETCH {uid} ({items})").raw

    def _expect(self, uid, answer, wanted):
        if wanted not in answer:
            raise Failed(f"UID {uid}: not in the answer: {wanted[:80]!r}")

    def _piece(self, uid, known):
        sent = self._message(known.number)
        first = self._rng.randrange(len(sent))
        piece = sent[first:first + _PIECE]
        answer = self._fetch(
            uid, f"BODY.PEEK[]<{known.added + first}.{_PIECE}>")
        self._expect(uid, answer, b"{%d}\r\n%s" % (len(piece), piece))

    def _fields(self, uid, known):
        answer = self._fetch(
            uid, "BODY.PEEK[HEADER.FIELDS (Subject Message-ID X-Soak)]")
        self._expect(uid, answer, b"\r\nX-Soak: %d\r\n" % known.number)

    def _envelope(self, uid, known):
        answer = self._fetch(uid, "ENVELOPE BODYSTRUCTURE RFC822.SIZE")
        self._expect(uid, answer, f'"{self._load.word} {known.number}" '
                     .encode())
