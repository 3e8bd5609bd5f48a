# SPDX-License-Identifier: LGPL-2.1-or-later
"""A damaged message is a clear NO, and nothing else is disturbed by it."""

import re

import pytest

from harness import age, corpus, disk, keyring
from harness.config import Setup
from harness.seal import enrolled
from harness.wire import Imap, Pop3, append_part

CHUNK = corpus.CHUNK + 16

# A word of each damaged message's content: it must never leave.
SECRET = b"xylophagous"
SMALL = (b"From: a@example.com\r\nSubject: %s subject\r\n\r\n%s body\r\n" %
         (SECRET, SECRET))
GOOD = b"From: b@example.com\r\nSubject: good\r\n\r\nall is well\r\n"

# Any of our log lines on a message.
DAMAGE_LOG = r"mail_seal: .*UID=?\s?\d+"

# Each message alone in its file, so that its size may be changed.
EXTRA = "mdbox_rotate_size = 1\n"


# Ways to damage a file: functions from the file to [(name, file), …].


def header_size(sealed):
    """With the payload's nonce."""
    return sealed.index(b"\n", sealed.index(b"\n--- ") + 1) + 1 + 16


def cuts(sealed):
    return [(f"cut at {size}", sealed[:size]) for size in range(len(sealed))]


def flip(sealed, at):
    bit = 1 << at % 8
    return sealed[:at] + bytes([sealed[at] ^ bit]) + sealed[at + 1:]


def flips(sealed):
    return [(f"bit of byte {at} flipped", flip(sealed, at))
            for at in range(len(sealed))]


def chunks(sealed):
    start = header_size(sealed)
    head, rest = sealed[:start], sealed[start:]
    return head, [rest[i:i + CHUNK] for i in range(0, len(rest), CHUNK)]


def rows(sealed):
    """Chunks in other rows than the right one."""
    head, (a, b, c) = chunks(sealed)
    table = {
        "none": [], "first alone": [a], "last alone": [c],
        "without last": [a, b], "without first": [b, c],
        "without middle": [a, c], "first twice": [a, a, b, c],
        "middle twice": [a, b, b, c], "last twice": [a, b, c, c],
        "first and middle swapped": [b, a, c],
        "middle and last swapped": [a, c, b], "reversed": [c, b, a],
        "appended": [a, b, c, a], "the file twice": [a, b, c, head, a, b, c],
        "an empty chunk": [a, b, c, b""[:0] + bytes(16)],
        "a byte more": [a, b, c, b"\0"],
    }
    return [(name, head + b"".join(row)) for name, row in table.items()]


def at_borders(sealed):
    start = header_size(sealed)
    borders = [start + CHUNK * n for n in range(3)] + [len(sealed)]
    near = [border + d for border in borders for d in range(-17, 18)]
    return [variant for at in near if start <= at < len(sealed)
            for variant in ((f"cut at {at}", sealed[:at]),
                            (f"bit of byte {at} flipped", flip(sealed, at)))]


def odd_files(sealed):
    """Headers that no honest program writes, and files that are none."""
    start = sealed.index(b"\n") + 1
    version, stanza_on = sealed[:start], sealed[start:]
    share = stanza_on.split(b" ")[2][:43]
    body = b"A" * 43 + b"\n"
    tail = b"--- " + b"A" * 43 + b"\n" + bytes(100)
    lone = b"-> X25519 " + share + b"\n" + body
    return [
        ("empty", b""),
        ("the version alone", version),
        ("a later version", b"age-encryption.org/v2\n" + stanza_on),
        ("CRLF", version.replace(b"\n", b"\r\n") + stanza_on),
        ("1 MiB of arguments", version + b"-> X25519" + b" a" * (1 << 19) +
         b"\n" + body + tail),
        ("2 MiB in one line", version + b"-> " + b"a" * (2 << 20)),
        ("1 MiB of stanzas", version + lone * 10000 + tail),
        ("2 MiB of body", version + b"-> X25519 " + share + b"\n" +
         (b"A" * 64 + b"\n") * 32768 + tail),
        ("scrypt of 2^30", version + b"-> scrypt " + b"A" * 22 + b" 30\n" +
         body + tail),
        ("scrypt of 2^99", version + b"-> scrypt " + b"A" * 22 + b" 99\n" +
         body + tail),
        ("Argon2id of 4 TiB", version + b"-> mail-seal/argon2id " + b"A" * 22 +
         b" 4294967295 4294967295\n" + body + tail),
        ("a low-order point", version + b"-> X25519 " + b"A" * 43 + b"\n" +
         body + tail),
        ("no stanza", version + tail),
        ("another key's stanza", age.seal(age.keygen().recipient, SMALL)),
        ("a passphrase would open it", version + b"-> scrypt " + b"A" * 22 +
         b" 18\n" + body + lone + tail),
        ("its header, another payload", sealed[:header_size(sealed)] +
         bytes(len(sealed))),
    ]


# A mailbox full of them


class Ward:
    """A user with a whole message, then damaged ones, then a whole one."""

    def __init__(self, server, message, *ways):
        self.server = server
        self.user = enrolled(server)
        self._append([GOOD, message])
        sample = disk.stored(server, self.user)[1].content
        damaged = [variant for way in ways for variant in way(sample)]
        self.names = [name for name, _ in damaged]
        self._append([message] * (len(damaged) - 1) + [GOOD])
        self.stored = disk.stored(server, self.user)
        self.paths = [stored.path for stored in self.stored]
        self.whole = [stored.content for stored in self.stored]
        assert len(self.stored) == len(damaged) + 2
        for stored, (_, content) in zip(self.stored[1:], damaged):
            disk.replace(stored, content)
        self.first, self.last = 2, len(damaged) + 1

    def _append(self, messages):
        with Imap(self.server, self.user) as imap:
            imap.ok(b"APPEND INBOX" + b"".join(map(append_part, messages)))

    def restore(self):
        for stored, content in zip(self.stored, self.whole):
            disk.replace(stored, content)

    def session(self):
        self.server.allow_log(DAMAGE_LOG)
        imap = Imap(self.server, self.user)
        imap.select()
        return imap

    def each(self):
        return zip(range(self.first, self.last + 1), self.names)


@pytest.fixture(scope="module")
def server(serve, storage):
    return serve(Setup(storage=storage, extra=EXTRA
                       if storage == "mdbox" else ""))


LONG = corpus.of_size(2 * corpus.CHUNK + 1000, "\n").replace(b"Sized", SECRET)


@pytest.fixture(scope="module", params=["small", "long"])
def ward(server, request):
    server.allow_log(DAMAGE_LOG)
    if request.param == "small":
        return Ward(server, SMALL, cuts, flips, odd_files)
    return Ward(server, LONG, rows, at_borders)


def refused(reply, name):
    assert reply.status == "NO", f"{name}: {reply.status} {reply.text!r}"
    assert b"damaged" in reply.text or b"does not have" in reply.text, \
        f"{name}: {reply.text!r}"
    assert not re.search(rb"\{\d+\}", reply.raw), f"{name}: a literal"
    assert SECRET not in reply.raw, name


@pytest.mark.parametrize("items", [
    "BODY.PEEK[]", "BODY.PEEK[]<0.20>", "BODY.PEEK[TEXT]", "RFC822",
    "BINARY.PEEK[]", "BINARY.PEEK[1]"])
def test_each_is_refused(ward, items):
    with ward.session() as imap:
        for number, name in ward.each():
            refused(imap.cmd(f"FETCH {number} {items}"), name)
        imap.ok("NOOP")


def test_the_others_are_delivered(ward):
    """In the same command, after the damaged ones and before them."""
    with ward.session() as imap:
        reply = imap.cmd("FETCH 1:* BODY.PEEK[]")
        assert reply.status == "NO"
        assert reply.raw.count(GOOD) == reply.raw.count(b"{") == 2
        assert SECRET not in reply.raw
        assert imap.body(1) == GOOD
