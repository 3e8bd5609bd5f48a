# SPDX-License-Identifier: LGPL-2.1-or-later
"""The rows of the table: what is done, and how it is measured.

A row is a function of a Store and a Scale that returns a Sample. It is called
once for each variant in each round, and leaves the store as it found it but for
messages added to INBOX.
"""

import ctypes
import time
from dataclasses import dataclass, replace
from statistics import mean

from harness.wire import quoted

from messages import KIB, MIB, message
from process import Sample
from store import DEFAULT_COSTS


@dataclass(frozen=True)
class Scale:
    """How much of it."""

    large: int          # bytes
    pieces: tuple       # bytes
    small_count: int
    again_count: int
    letter_count: int
    session_count: int  # in one sample of a command that takes little time
    copy_count: int
    append_count: int
    append_large_count: int
    deliver_count: int
    login_count: int
    mta_count: int
    crowd_count: int    # messages of a mailbox that many look at
    command_count: int  # of each client
    heavy_count: int

    def text(self, title):
        """A title with the amounts of this scale."""
        pieces = {f"piece{number}": _size(size)
                  for number, size in enumerate(self.pieces)}
        return title.format(large=_size(self.large), small=self.small_count,
                            again=self.again_count,
                            letters=self.letter_count,
                            copied=self.copy_count, appended=self.append_count,
                            appended_large=self.append_large_count,
                            delivered=self.deliver_count,
                            heavy=self.heavy_count,
                            rewritten=self.again_count, **pieces)


def _size(size):
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


FULL = Scale(large=25 * MIB, pieces=(5 * MIB, 25 * MIB, 50 * MIB),
             small_count=2000, again_count=1000, letter_count=5000,
             session_count=3, copy_count=1000, append_count=50,
             append_large_count=2, deliver_count=100, login_count=5,
             mta_count=400, crowd_count=300, command_count=100,
             heavy_count=16)
QUICK = replace(FULL, small_count=500, again_count=250, letter_count=1000,
                copy_count=250, append_count=20, append_large_count=1,
                deliver_count=30, login_count=3, mta_count=100,
                command_count=40)
SMOKE = Scale(large=256 * KIB, pieces=(64 * KIB, 128 * KIB, 256 * KIB),
              small_count=10, again_count=5, letter_count=20, session_count=1,
              copy_count=5, append_count=2, append_large_count=1,
              deliver_count=2, login_count=1, mta_count=8, crowd_count=60,
              command_count=10, heavy_count=2)

PIECE = 64 * KIB


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    run: callable
    # CPU time at most, as a ratio to plain Dovecot; or of several clients at
    # once, how much is done in a second at least.
    goal: float = None
    # The variants that can do it at all.
    only: tuple = ()
    # Where plain Dovecot without its index cache tells something too.
    cache: bool = False
    # Options of the Setup, for servers of its own.
    options: tuple = ()
    storage: str = None


ROWS = {}


def row(name, title, **options):
    def add(run):
        ROWS[name] = Row(name, title, run, **options)
        return run
    return add


def first_command(store, mailbox, command):
    """One command, the first of a session."""
    with store.session() as session:
        session.select(mailbox)
        return session.process.measure(lambda: session.drain(command))


@row("fetch-large", "FETCH {large}", goal=1.3)
def fetch_large(store, scale):
    return first_command(store, store.large(scale.large),
                         "FETCH 1 BODY.PEEK[]")


@row("fetch-small", "FETCH {small} x 4 KiB, opened anew", goal=4, cache=True)
def fetch_small(store, scale):
    mailbox = store.small(scale.small_count)
    # Its cache would have the key of each message. Plain's may stay.
    if store.server.setup.sealed:
        store.forget(mailbox)
    return first_command(store, mailbox, "FETCH 1:* BODY.PEEK[]")


def _pieces(index):
    def run(store, scale):
        size = scale.pieces[index]

        def download():
            return sum(session.drain(f"FETCH 1 BODY.PEEK[]<{offset}.{PIECE}>")
                       for offset in range(0, size, PIECE))

        with store.session() as session:
            session.select(store.large(size))
            return session.process.measure(download)
    return run


row("pieces-5", "{piece0} in pieces of 64 KiB", goal=1.3)(_pieces(0))
row("pieces-25", "{piece1} in pieces of 64 KiB", goal=1.3)(_pieces(1))
row("pieces-50", "{piece2} in pieces of 64 KiB", goal=1.3)(_pieces(2))


def _tail(store, size):
    mailbox = store.large(size)
    with store.session() as session:
        session.select(mailbox)
        before = session.process.bytes_read()
        sample = session.process.measure(lambda: session.drain(
            f"FETCH 1 BODY.PEEK[]<{size - 1000}.1000>"))
        read = session.process.bytes_read() - before
    sample.notes = {"bytes read": read,
                    "chunks' worth": round(read / (PIECE + 16), 2)}
    return sample


@row("tail", "last 1000 bytes of {large}")
def tail(store, scale):
    return _tail(store, scale.large)


@row("tail-crlf", "the same, mail_save_crlf, maildir", storage="maildir",
     options=(("crlf", True),))
def tail_crlf(store, scale):
    return _tail(store, scale.large)


def _append(store, mail, count):
    with store.session() as session:
        session.ok("CREATE appended")

        def append_all():
            for _ in range(count):
                session.append(mail, "appended")

        # The first one creates files and loads libraries.
        session.append(message(4 * KIB), "appended")
        sample = session.process.measure(append_all)
        session.ok("DELETE appended")
    return sample


@row("append-small", "APPEND 4 KiB, {appended} times", goal=1.3)
def append_small(store, scale):
    return _append(store, message(4 * KIB), scale.append_count)


@row("append-large", "APPEND {large}, {appended_large} times", goal=1.3)
def append_large(store, scale):
    return _append(store, message(scale.large), scale.append_large_count)


def _copy(store, scale, command):
    count = scale.copy_count
    with store.session() as session:
        session.ok("CREATE source")
        session.ok("CREATE target")
        session.select(store.small(scale.small_count))
        session.drain(f"COPY 1:{count} source")
        session.select("source")
        sample = session.process.measure(
            lambda: session.drain(f"{command} 1:{count} target"))
        session.ok("CLOSE")
        session.ok("DELETE source")
        session.ok("DELETE target")
    sample.size = None
    return sample


@row("copy", "COPY of {copied}", goal=1.1)
def copy(store, scale):
    return _copy(store, scale, "COPY")


@row("move", "MOVE of {copied}", goal=1.1)
def move(store, scale):
    return _copy(store, scale, "MOVE")


@row("search", "SEARCH BODY in {small}", goal=2, cache=True)
def search(store, scale):
    return first_command(store, store.small(scale.small_count),
                         "SEARCH BODY nowhere")


@row("lmtp", "LMTP, {delivered} x 4 KiB", goal=1.2)
def lmtp(store, scale):
    mails = [message(4 * KIB, number)
             for number in range(scale.deliver_count + 1)]

    def deliver_all():
        for mail in mails[1:]:
            client.add(mail)

    with store.deliveries() as client:
        client.add(mails[0])
        sample = client.process.measure(deliver_all)
    sample.notes = {
        "messages per second": round(scale.deliver_count / sample.wall * 1e3)}
    return sample


def _login(store):
    start = time.monotonic()
    with store.session() as session:
        session.select()
        wall = time.monotonic() - start
        # Since the process began; Argon2id's memory is gone again.
        return Sample(session.process.cpu(), wall * 1e3,
                      session.process.resident())


def _logins(store, count):
    taken = [_login(store) for _ in range(count)]
    return Sample(mean(sample.cpu for sample in taken),
                  mean(sample.wall for sample in taken),
                  max(sample.peak for sample in taken))


_sodium = None


def _argon2id(memory_kib, passes):
    """Milliseconds of CPU time that Argon2id alone takes here and now."""
    global _sodium
    if _sodium is None:
        _sodium = ctypes.CDLL("libsodium.so.23")
        # Chooses the fast implementation.
        assert _sodium.sodium_init() >= 0
    out = ctypes.create_string_buffer(32)
    start = time.thread_time_ns()
    failed = _sodium.crypto_pwhash(
        out, ctypes.c_ulonglong(32), bytes(64), ctypes.c_ulonglong(64),
        bytes(16), ctypes.c_ulonglong(passes),
        ctypes.c_size_t(memory_kib * KIB), 2)
    assert not failed
    return (time.thread_time_ns() - start) / 1e6


@row("login", "LOGIN and SELECT but for Argon2id", goal=1.1)
def login(store, scale):
    sample = _logins(store, scale.login_count)
    if store.server.setup.sealed:
        argon2id = mean(_argon2id(8 * KIB, 1)
                        for _ in range(scale.login_count))
        sample.notes = {"ms with Argon2id (8 MiB, 1 pass)":
                        round(sample.cpu, 2)}
        sample.cpu -= argon2id
        sample.wall -= argon2id
    return sample


@row("unlock", "LOGIN and SELECT, default costs",
     options=(("settings", DEFAULT_COSTS),))
def unlock(store, _):
    sample = _login(store)
    if store.server.setup.sealed:
        sample.notes = {"ms of Argon2id alone (64 MiB, 2 passes)":
                        round(_argon2id(64 * KIB, 2), 1)}
    return sample
