# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows of several clients at once, about how much is done in a second.

CPU time is that of all imap (lmtp) processes together.
"""

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor

from letters import letter
from messages import KIB, message
from process import measure_all
from rows import row

# Of what arrives, in KiB, and how many in a hundred have that size.
_SIZES = ((4, 25), (12, 30), (30, 25), (100, 15), (500, 5))
_CONNECTION_COUNT = 4
_USER_COUNT = 4
_CLIENT_COUNT = 8
_LIST = 50              # messages in a list on the screen

_HEADER_LIST = ("(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS "
                "(From To Cc Subject Date Message-ID References)])")
_STRUCTURE_LIST = "(UID FLAGS ENVELOPE BODYSTRUCTURE)"
_KEYS = ("UNSEEN", "SUBJECT nowhere", "FROM nobody", "BODY nowhere")
_KEY_WEIGHTS = (4, 3, 2, 1)


def _at_once(works):
    """Each in a thread; an exception of one of them is ours."""
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()


def _per_second(sample, what):
    sample.notes = {f"{what} per second":
                    round(sample.count / sample.wall * 1e3, 1)}
    return sample


def _arriving(run, count):
    """[(number of the user, message), …]"""
    rng = random.Random(f"arriving {run}")
    sizes = rng.choices([size for size, _ in _SIZES],
                        [weight for _, weight in _SIZES], k=count)
    return [(number % _USER_COUNT, message(size * KIB, number))
            for number, size in enumerate(sizes)]


@row("lmtp-mta", "LMTP, 4 connections, all sizes", goal=0.9)
def lmtp_mta(store, scale):
    users = store.users(_USER_COUNT)
    store.runs["lmtp-mta"] += 1
    mails = _arriving(store.runs["lmtp-mta"], scale.mta_count)

    def deliver(client, first):
        for user, mail in mails[first::_CONNECTION_COUNT]:
            client.pipe(users[user], mail)

    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(store.deliveries())
                   for _ in range(_CONNECTION_COUNT)]
        for client, user in zip(clients, users):
            client.pipe(user, message(4 * KIB))
        works = [lambda i=i, client=client: deliver(client, i)
                 for i, client in enumerate(clients)]
        return _per_second(measure_all([client.process for client in clients],
                                       lambda: _at_once(works), len(mails)),
                           "deliveries")


class _Client:
    """Gives commands as people's clients do, the same for each variant."""

    def __init__(self, session, mailbox, size, name):
        self._session = session
        self._mailbox = mailbox
        self._size = size
        self._rng = random.Random(name)
        self._ways = {self._select: 10, self._list: 20, self._read: 35,
                      self._store: 15, self._append: 10, self._search: 10}
        self._select()

    def work(self, count):
        for way in self._rng.choices(list(self._ways), self._ways.values(),
                                     k=count):
            way()

    def _one(self):
        return self._rng.randrange(1, self._size + 1)

    def _select(self):
        self._session.select(self._mailbox)

    def _list(self):
        first = self._rng.randrange(1, self._size + 2 - _LIST)
        items = self._rng.choice((_HEADER_LIST, _STRUCTURE_LIST))
        self._session.drain(f"FETCH {first}:{first + _LIST - 1} {items}")

    def _read(self):
        self._session.drain(f"FETCH {self._one()} BODY[]")

    def _store(self):
        sign = self._rng.choice("+-")
        flag = self._rng.choice((r"\Seen", r"\Flagged", r"\Answered"))
        self._session.drain(f"STORE {self._one()} {sign}FLAGS ({flag})")

    def _append(self):
        self._session.append(letter(self._one()))

    def _search(self):
        key, = self._rng.choices(_KEYS, _KEY_WEIGHTS)
        self._session.drain(f"SEARCH {key}")


@row("mixed", "8 clients, all kinds of commands", goal=0.85)
def mixed(store, scale):
    users = store.users(_USER_COUNT)
    store.runs["mixed"] += 1
    with contextlib.ExitStack() as stack:
        clients, processes = [], []
        for number in range(_CLIENT_COUNT):
            user = users[number % _USER_COUNT]
            mailbox = store.letters(scale.crowd_count, user)
            session = stack.enter_context(store.session(user))
            processes.append(session.process)
            clients.append(_Client(session, mailbox, scale.crowd_count,
                                   f"{store.runs['mixed']} {number}"))
        works = [lambda client=client: client.work(scale.command_count)
                 for client in clients]
        return _per_second(measure_all(processes, lambda: _at_once(works),
                                       _CLIENT_COUNT * scale.command_count),
                           "commands")
