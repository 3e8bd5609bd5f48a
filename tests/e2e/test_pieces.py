# SPDX-License-Identifier: LGPL-2.1-or-later
"""Large messages fetched piece by piece, for which chunks are remembered."""

import os

import pytest

from harness import corpus, disk
from harness.config import MAIL_UID, Setup
from harness.seal import enrolled
from harness.wire import Imap

MIB = 1024 * 1024
PIECE = 64 * 1024
# Too large to be authenticated whole before the first byte of it goes out.
LARGE = corpus.of_size(5 * MIB, "\n")
CHUNK = corpus.CHUNK + 16
EXTRA = "mdbox_rotate_size = 1\n"


def download(imap, sequence, step=PIECE):
    """Piece by piece until nothing comes."""
    parts = []
    while not parts or parts[-1]:
        parts.append(piece(imap, sequence, len(parts) * step, step))
    return b"".join(parts)


def piece(imap, sequence, offset, size):
    answer = imap.ok(f"FETCH {sequence} BODY.PEEK[]<{offset}.{size}>").raw
    head, _, rest = answer.partition(b"\r\n")
    return rest[:int(head[head.rindex(b"{") + 1:-1])]


@pytest.mark.parametrize("step", [PIECE, 10000, 65536 + 1, 300000])
def test_all_pieces_make_the_message(sealed, step):
    user = enrolled(sealed)
    with Imap(sealed, user) as imap:
        imap.append(LARGE)
        imap.select()
        assert download(imap, 1, step) == LARGE


def test_pieces_are_plain_dovecots(pair):
    """Also backwards, across the end, and of two messages in turn."""
    pair.append(LARGE)
    pair.append(corpus.of_size(5 * MIB, "\n", seed=2))
    pair.select()
    size = len(LARGE)
    for offset in (0, PIECE, PIECE - 1, 3 * PIECE, 2 * PIECE, size - PIECE,
                   size - 1, size, size + 1, 0, size // 2):
        for sequence in ("1", "2", "1:2"):
            pair.same_ok(f"FETCH {sequence} BODY.PEEK[]<{offset}.{PIECE}>")
            pair.same_ok(f"FETCH {sequence} BODY.PEEK[TEXT]<{offset}.100>")


def rewrite(path, content):
    """A new file, so that another link to the old one stays as it is."""
    with open(path + ".new", "wb") as file:
        file.write(content)
    os.chown(path + ".new", MAIL_UID, MAIL_UID)
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)


def damage_chunk(message, index):
    """The stored file with a bit of this chunk flipped."""
    with open(message.path, "rb") as file:
        whole = bytearray(file.read())
    whole[message.offset + index * CHUNK + CHUNK // 2] ^= 1
    return bytes(whole)


def test_damaged_copy_of_a_good_message(own_server):
    """Header and UID both tell which message a remembered chunk belongs to."""
    server = own_server(Setup(storage="sdbox", extra=EXTRA))
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.append(LARGE)
        imap.select()
        imap.ok("COPY 1 INBOX")
    message = disk.stored(server, user)[1]
    rewrite(message.path, damage_chunk(message, 20))
    server.allow_log(r"Mailbox INBOX: UID[= ]\d+: (mail_seal|read\()")
    server.allow_log("FETCH.*failed")
    with Imap(server, user) as imap:
        imap.select()
        for offset in range(0, 30 * PIECE, PIECE):
            assert piece(imap, 1, offset, PIECE) == \
                LARGE[offset:offset + PIECE]
        got = b""
        with pytest.raises((EOFError, AssertionError)):
            for offset in range(0, 30 * PIECE, PIECE):
                assert piece(imap, 1, offset, PIECE) == \
                    LARGE[offset:offset + PIECE]
                got += piece(imap, 2, offset, PIECE)
        assert got == LARGE[:len(got)]
        assert 18 * PIECE <= len(got) <= 22 * PIECE


def test_message_damaged_between_two_pieces(own_server, storage):
    server = own_server(Setup(storage=storage, extra=EXTRA))
    user = enrolled(server)
    server.allow_log(r"Mailbox INBOX: UID[= ]\d+: (mail_seal|read\()")
    server.allow_log("FETCH.*failed")
    with Imap(server, user) as imap:
        imap.append(LARGE)
        imap.select()
        assert piece(imap, 1, 0, PIECE) == LARGE[:PIECE]
        message = disk.stored(server, user)[0]
        damaged = damage_chunk(message, 40)
        # In place: mdbox keeps the file open.
        with open(message.path, "r+b") as file:
            file.write(damaged)
        with pytest.raises((EOFError, AssertionError)):
            download(imap, 1)
    with Imap(server, user) as imap:
        imap.select()
        assert piece(imap, 1, 0, PIECE) == LARGE[:PIECE]
