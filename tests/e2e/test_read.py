# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything a client may ask is answered as plain Dovecot answers it."""

import re

import pytest

from harness import corpus, keyring
from harness.compare import assert_same
from harness.config import Setup
from harness.wire import Imap, Pop3

FETCHES = """
    ALL
    FULL
    FAST
    (FLAGS INTERNALDATE RFC822.SIZE UID)
    ENVELOPE
    BODY
    BODYSTRUCTURE
    (RFC822.SIZE)
    BODY.PEEK[]
    BODY.PEEK[]<0.1>
    BODY.PEEK[]<0.100>
    BODY.PEEK[]<1.65535>
    BODY.PEEK[]<65500.100>
    BODY.PEEK[]<65536.65536>
    BODY.PEEK[]<131000.200>
    BODY.PEEK[]<199999.100>
    BODY.PEEK[]<10000000.10>
    BODY.PEEK[HEADER]
    BODY.PEEK[HEADER]<10.20>
    BODY.PEEK[HEADER.FIELDS (Subject From X-None)]
    BODY.PEEK[HEADER.FIELDS (Received)]
    BODY.PEEK[HEADER.FIELDS.NOT (Subject From)]
    BODY.PEEK[HEADER.FIELDS (Subject)]<3.9>
    BODY.PEEK[TEXT]
    BODY.PEEK[TEXT]<1.100>
    BODY.PEEK[TEXT]<65530.70000>
    BODY.PEEK[1]
    BODY.PEEK[1]<2.50>
    BODY.PEEK[1.MIME]
    BODY.PEEK[1.HEADER]
    BODY.PEEK[1.TEXT]
    BODY.PEEK[1.1]
    BODY.PEEK[1.1.1]
    BODY.PEEK[1.1.MIME]
    BODY.PEEK[2]
    BODY.PEEK[2.MIME]
    BODY.PEEK[2.HEADER]
    BODY.PEEK[2.TEXT]
    BODY.PEEK[2.1]
    BODY.PEEK[2.2]
    BODY.PEEK[2.1.HEADER.FIELDS (Subject)]
    BODY.PEEK[3]
    BODY.PEEK[9]
    BINARY.PEEK[]
    BINARY.PEEK[1]
    BINARY.PEEK[2]
    BINARY.PEEK[2]<0.100>
    BINARY.PEEK[2]<65530.100>
    BINARY.SIZE[]
    BINARY.SIZE[1]
    BINARY.SIZE[2]
    (BODY.PEEK[HEADER] BODY.PEEK[TEXT] ENVELOPE BODYSTRUCTURE RFC822.SIZE)
    (BODY.PEEK[2] BODY.PEEK[1] BODY.PEEK[])
    RFC822
    RFC822.HEADER
    RFC822.TEXT
    BODY[]
    BODY[TEXT]
    PREVIEW
    PREVIEW (LAZY)
    SNIPPET
    SNIPPET (LAZY=FUZZY)
"""

SEARCHES = """
    ALL
    SUBJECT "test"
    SUBJECT "no such words"
    FROM "example"
    TO "barry"
    CC "a"
    HEADER Message-ID ""
    HEADER Content-Type "multipart"
    BODY "the"
    BODY "deep"
    TEXT "mime"
    NOT TEXT "the"
    OR BODY "file" SUBJECT "nested"
    CHARSET UTF-8 TEXT {6+}\r\n\u00e4\u00f6\u00fc
    LARGER 65535
    SMALLER 1000
    SENTSINCE 1-Jan-2000
    SENTBEFORE 1-Jan-2002
    SENTON 20-Apr-2001
    RETURN (MIN MAX COUNT ALL) TEXT "a"
    RETURN (PARTIAL 1:5) BODY "a"
    UNSEEN 1:20 BODY "e"
"""

SORTS = """
    (ARRIVAL) UTF-8 ALL
    (SUBJECT) UTF-8 ALL
    (FROM) UTF-8 ALL
    (TO) UTF-8 ALL
    (CC) UTF-8 ALL
    (DATE) UTF-8 ALL
    (SIZE) UTF-8 ALL
    (DISPLAYFROM) UTF-8 ALL
    (REVERSE SUBJECT DATE) UTF-8 TEXT "a"
"""

THREADS = """
    REFERENCES UTF-8 ALL
    REFS UTF-8 ALL
    ORDEREDSUBJECT UTF-8 ALL
"""


def lines(text):
    return [line.strip(" ") for line in text.split("\n") if line.strip()]


# "\r\n" within a literal is part of its line.
SEARCHES = lines(SEARCHES.replace("\r\n", "\0"))


# A message that can't be decoded is a NO, and not the end of the connection.
ON = "protocol imap {\n  imap_fetch_failure = no-after\n}"

# Dovecot pulls \r\r\n together, so this one isn't read as it was sent.
CHANGED = ["bare CR"]


@pytest.fixture(scope="module")
def named(storage):
    sized = [(f"{size}", corpus.of_size(size, "\n"))
             for size in (65536, 131072, 200000)]
    return corpus.everything() + sized


@pytest.fixture(scope="module")
def messages(named):
    return [message for _, message in named]


@pytest.fixture(scope="module")
def mailbox(make_pair, storage, messages):
    """A Pair with the corpus in INBOX, and nothing in memory of it."""
    pair = make_pair(storage=storage, extra=ON)
    for message in messages:
        pair.append(message, date=corpus.DATE)
    pair.reconnect()
    return pair


@pytest.fixture
def filled(mailbox):
    mailbox.select()
    return mailbox


@pytest.mark.parametrize("items", lines(FETCHES))
def test_fetch(filled, items):
    filled.allow_log("prematurely|Invalid")
    filled.same(f"FETCH 1:* {items}")


@pytest.mark.parametrize("items", [
    item for item in lines(FETCHES) if "BINARY" in item])
def test_fetch_one_by_one(filled, messages, items):
    """BINARY ends at the first message that it can't decode."""
    filled.allow_log("prematurely|Invalid")
    for number in range(1, len(messages) + 1):
        filled.same(f"FETCH {number} {items}")


def test_what_was_appended_is_read(filled, named):
    """Not only the same as plain: the same as was sent."""
    sealed = filled.sessions[1]
    for uid, (name, message) in enumerate(named, 1):
        if name not in CHANGED:
            assert_same(corpus.crlf(message), sealed.body(uid), name)


@pytest.mark.parametrize("search", SEARCHES)
def test_search(filled, search):
    search = search.replace("\0", "\r\n").encode()
    filled.same_ok(b"SEARCH " + search)
    filled.same_ok(b"UID SEARCH " + search)


@pytest.mark.parametrize("sort", lines(SORTS))
def test_sort(filled, sort):
    filled.same_ok(f"UID SORT {sort}")


@pytest.mark.parametrize("thread", lines(THREADS))
def test_thread(filled, thread):
    filled.same_ok(f"UID THREAD {thread}")


def test_sequential_download_in_pieces(filled):
    """As some clients do: 10 KiB after 10 KiB, in one session."""
    number = len(filled.sessions[1].uids())
    pieces = [filled.same_ok(f"FETCH {number} BODY.PEEK[]<{start}.10240>")
              for start in range(0, 210000, 10240)]
    assert sum(int(re.search(rb"\{(\d+)\}", piece.raw).group(1))
               for piece in pieces if b"{" in piece.raw) >= 200000


def test_pieces_from_the_end(filled):
    """Backwards, so that the stream has to seek."""
    number = len(filled.sessions[1].uids())
    for start in range(200000, -1, -30011):
        filled.same_ok(f"FETCH {number} BODY.PEEK[]<{start}.100>")


def test_fetch_without_cache_gives_the_same_again(filled):
    first = filled.same_ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)")
    filled.reconnect()
    filled.select()
    again = filled.same_ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE)")
    assert_same(first.raw, again.raw)


# POP3


@pytest.fixture(scope="module")
def pop3_pair(mailbox):
    sessions = [Pop3(server, user)
                for server, user in zip(mailbox.servers, mailbox.users)]
    yield sessions
    for session in sessions:
        session.close()


@pytest.mark.parametrize("command", ["LIST", "STAT", "CAPA"])
def test_pop3_lists(pop3_pair, command):
    multiline = command != "STAT"
    plain, sealed = (session.ok(command, multiline) for session in pop3_pair)
    assert_same(plain, sealed, command)


def test_pop3_uidl_has_all(pop3_pair, messages):
    """UIDLs differ by UIDVALIDITY, their number doesn't."""
    for session in pop3_pair:
        assert session.ok("UIDL", True).count(b"\r\n") == len(messages) + 2


@pytest.mark.parametrize("command", ["LIST {}", "RETR {}", "TOP {} 0",
                                     "TOP {} 10", "TOP {} 100000"])
def test_pop3_each(pop3_pair, messages, command):
    multiline = not command.startswith("LIST")
    for number in range(1, len(messages) + 1):
        line = command.format(number)
        plain, sealed = (session.cmd(line, multiline)
                         for session in pop3_pair)
        assert_same(plain, sealed, line)


# doveadm


@pytest.fixture(scope="module")
def readable(mailbox):
    """doveadm has no password: the userdb hands it the identity."""
    plain, sealed = mailbox.servers
    plain_user, sealed_user = mailbox.users
    identity, = re.findall("AGE-SECRET-KEY-1[0-9A-Z]+",
                           keyring.identity(sealed_user))
    sealed_user = sealed.user(sealed_user.name, mail_seal_identity=identity)
    return (plain, plain_user), (sealed, sealed_user)


@pytest.mark.parametrize("field", [
    "text", "hdr", "body", "size.physical", "size.virtual", "imap.envelope",
    "imap.bodystructure", "body.snippet", "hdr.subject"])
def test_doveadm_fetch(readable, field):
    plain, sealed = (
        server.doveadm("fetch", "-u", user.name, field, "mailbox", "INBOX")
        for server, user in readable)
    assert_same(plain.stdout, sealed.stdout, field)
    assert len(plain.stdout) > 100


# Large messages


@pytest.mark.no_asan
def test_large(make_pair):
    size = 50 << 20
    pair = make_pair(storage="sdbox")
    message = corpus.of_size(size)
    pair.append(message)
    pair.select()
    for items in ("RFC822.SIZE", "BODY.PEEK[]<0.100>",
                  f"BODY.PEEK[]<{size - 100}.100>", "BODY.PEEK[]",
                  "BODYSTRUCTURE"):
        pair.same_ok(f"FETCH 1 {items}")


def test_plain_and_sealed_in_one_mailbox(serve, storage, messages):
    server = serve(Setup(storage=storage, settings=(
        ("mail_seal_unenrolled", "plaintext"),)))
    user = server.user()
    for message in messages[:3]:
        server.doveadm("save", "-u", user.name, stdin=message)
    with Imap(server, user) as imap:
        for message in messages[:3]:
            imap.append(message)
        imap.select()
        bodies = [imap.body(uid) for uid in range(1, 7)]
    assert bodies[:3] == bodies[3:]
