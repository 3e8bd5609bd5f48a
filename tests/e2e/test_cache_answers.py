# SPDX-License-Identifier: LGPL-2.1-or-later
"""Byte for byte the answers of plain Dovecot: cold, warm, warm in a new
session, in any order, and with several sessions at once."""

import glob
import itertools
import os
import random
from dataclasses import replace

import pytest

from harness import corpus, oddheaders
from harness.compare import Pair, assert_same
from harness.config import Setup
from harness.wire import Imap


NAMES = ("Subject From To Cc", "sUbJeCt fRoM", "Message-ID References",
         "Received", "X-Many x-fold", "X-Absent", "Subject X-Absent Subject",
         "Date From To Cc Bcc Reply-To Sender Message-ID In-Reply-To",
         "Content-Type Content-Transfer-Encoding MIME-Version",
         "X-Number-7 X-Number-499 X-Number-500 X-1 X-2999",
         "X" * 255, "X" * 256, '"X Name" From', "X-Nul X-Cr X-Long", "X-Cut")
# What clients ask for after SELECT, each in its own words.
CLIENTS = (
    "UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject "
    "Date Message-ID Priority X-Priority References Newsgroups In-Reply-To "
    "Content-Type Reply-To)]",
    "INTERNALDATE UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (date subject "
    "from to cc message-id in-reply-to references x-priority "
    "x-uniform-type-identifier x-universally-unique-identifier list-id "
    "list-unsubscribe bimi-indicator content-type)]",
    "UID RFC822.SIZE FLAGS INTERNALDATE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS "
    "(DATE FROM TO SUBJECT CONTENT-TYPE CC REPLY-TO LIST-POST "
    "DISPOSITION-NOTIFICATION-TO X-PRIORITY SENDER)]")
ITEMS = ("ENVELOPE", "BODY", "BODYSTRUCTURE", "RFC822.SIZE", "INTERNALDATE",
         "BODY.PEEK[HEADER]", "RFC822.HEADER", "BODY.PEEK[1.HEADER]",
         "BODY.PEEK[2.HEADER]", "BODY.PEEK[1.MIME]", "BODY.PEEK[2.MIME]",
         "BODY.PEEK[HEADER]<10.50>", "BODY.PEEK[TEXT]<0.100>", "BODY.PEEK[1]",
         *(f"BODY.PEEK[HEADER.FIELDS{no} ({names})]"
           for names in NAMES for no in ("", ".NOT")))
# Alone: not all of them exist in both versions, or for each message.
# Not PREVIEW (LAZY), which tells what is cached.
LONE = ("PREVIEW", "SNIPPET", "BINARY.SIZE[1]",
        "BINARY.SIZE[]", "BINARY.PEEK[1]<0.50>", "ALL", "FULL",
        "BODY.PEEK[HEADER.FIELDS ()]", "BODY.PEEK[2.2.HEADER]",
        "BODY.PEEK[1.HEADER.FIELDS (Subject X-Inner)]")
SEARCHES = ("SUBJECT odd", "SUBJECT inner", "FROM example", 'FROM ""',
            "TO j@example.com", "CC example", "BCC a", "HEADER x-many two",
            'HEADER X-Absent ""', 'HEADER X-Fold ""', "HEADER Received by",
            "HEADER X-Long word", "SENTSINCE 17-Jul-2026", "SENTON 1-Jan-1970",
            "SENTBEFORE 1-Jan-2000", "TEXT innermost", "BODY body",
            "LARGER 5000", "NOT SUBJECT odd", "OR SUBJECT odd FROM inner",
            'HEADER Message-ID "one@"', "INTHREAD REFS SUBJECT odd",
            "INTHREAD REFERENCES HEADER Message-ID one@")
KEYS = ("ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO",
        "DISPLAYFROM", "DISPLAYTO")
ORDERS = (*(f"SORT ({key}) UTF-8 ALL" for key in KEYS),
          *(f"SORT (REVERSE {key} SUBJECT) UTF-8 ALL" for key in KEYS),
          "SORT (DATE) UTF-8 SUBJECT odd",
          *(f"THREAD {name} UTF-8 {search}" for name in
            ("REFERENCES", "REFS", "ORDEREDSUBJECT")
            for search in ("ALL", "SUBJECT odd")))
# Plain Dovecot 2.3 panics on it in a mailbox of mdbox that grows.
SAFE_ORDERS = [order for order in ORDERS if "ORDEREDSUBJECT" not in order]
WHOLE = (*(f"FETCH 1:* {item}" for item in ITEMS),
         *(f"FETCH 1:* ({items})" for items in CLIENTS),
         *(f"SEARCH {search}" for search in SEARCHES), *ORDERS)

# A part that can't be decoded is a NO, and not the end of the connection.
ON = "protocol imap {\n  imap_fetch_failure = no-after\n}"

_numbers = itertools.count(1)


def fill(pair, without=()):
    """INBOX and Large."""
    pair.same_ok("CREATE Large")
    for mailbox, rows in (("INBOX", oddheaders.small()),
                          ("Large", oddheaders.large())):
        for name, message, binary in rows:
            if name not in without:
                pair.append(message, mailbox, date=corpus.DATE, binary=binary)
    pair.select()


def without_blank_line():
    return [name for name, message, _ in oddheaders.everything()
            if b"\n\n" not in message.replace(b"\r", b"")]


def long_names():
    return [name for name, _, _ in oddheaders.everything()
            if name.startswith("name of")]


def count():
    return len(oddheaders.small())


def chill(pair):
    """No session, and no cache file: as if nothing was ever read."""
    pair.close()
    for user in pair.users:
        for path in glob.glob(f"{user.home}/mail/**/dovecot.index.cache",
                              recursive=True, include_hidden=True):
            os.unlink(path)
    pair.reconnect()
    pair.select()


def compare(pair, commands):
    for command in commands:
        pair.same(command)


def ask_lone(pair, command):
    """BINARY of what isn't base64 ends the session of a plain Dovecot, even
    where imap_fetch_failure says otherwise. The plugin's goes on, mostly."""
    plain, sealed = pair.each(lambda session: answer_or_end(session, command))
    if plain == b"end":
        assert "BINARY" in command, command
        assert sealed == b"end" or b"NO [SERVERBUG]" in sealed, command
        pair.reconnect()
        pair.select()
        return
    assert_same(plain, sealed, command)


def answer_or_end(session, command):
    try:
        return session.cmd(command).comparable()
    except (EOFError, OSError):
        return b"end"


def shuffled(seed, commands):
    commands = list(commands)
    random.Random(seed).shuffle(commands)
    return commands


def lone_commands(pair):
    """NO for one message must not hide the next."""
    # Each BAD counts; after twenty Dovecot ends the session.
    offered = [item for item in LONE
               if pair.same(f"FETCH 1 {item}").status != "BAD"]
    return [f"FETCH {number} {item}" for item in offered
            for number in range(1, count() + 1)]


def random_commands(seed, number):
    """Of a client that jumps: few messages, items in any order."""
    rng = random.Random(seed)
    for _ in range(number):
        first = rng.randint(1, count())
        last = min(count(), first + rng.choice((0, 0, 0, 1, 5, 30)))
        items = rng.sample(ITEMS, rng.randint(1, 6))
        yield rng.choice((
            f"FETCH {first}:{last} ({' '.join(items)})",
            f"UID FETCH {first}:{last} ({' '.join(items)})",
            f"FETCH {first} PREVIEW",
            f"FETCH {first} BODY.PEEK[]",
            f"SEARCH {first}:{last} {rng.choice(SEARCHES)}",
            rng.choice(ORDERS)))


@pytest.fixture(scope="module")
def filled(make_pair, storage):
    pair = make_pair(plain_cache=False, storage=storage, extra=ON)
    fill(pair)
    return pair


def test_cold_then_warm(filled):
    """In one session, and in the next one."""
    chill(filled)
    for _ in range(2):
        compare(filled, WHOLE)
    filled.reconnect()
    filled.select()
    compare(filled, WHOLE)


@pytest.mark.parametrize("number", range(2))
def test_each_first_when_cold(filled, number):
    """What one command leaves in the cache must serve all the others."""
    chill(filled)
    compare(filled, shuffled(number, WHOLE))
    filled.reconnect()
    filled.select()
    compare(filled, shuffled(number + 100, WHOLE))


def test_lone_items(filled):
    """With parts that can't be decoded, and items that aren't offered."""
    filled.allow_log(r"read\(<binary stream|Base64|Quoted-printable")
    chill(filled)
    for seed in (7, 8):
        for command in shuffled(seed, lone_commands(filled)):
            ask_lone(filled, command)
        filled.reconnect()
        filled.select()


def test_a_session_for_each_command(filled):
    """Each finds what the one before it has left."""
    chill(filled)
    for command in shuffled(9, WHOLE)[:40]:
        filled.reconnect()
        filled.select()
        filled.same(command)


def test_all_items_together(filled):
    for seed in range(4):
        items = shuffled(seed, ITEMS + ("UID", "FLAGS"))
        if seed < 2:
            chill(filled)
        filled.same_ok(f"FETCH 1:* ({' '.join(items)})")
        filled.same_ok(f"FETCH 1:* ({' '.join(reversed(items))})")


@pytest.mark.parametrize("seed", range(2))
def test_random_order(filled, seed):
    chill(filled)
    compare(filled, random_commands(seed, 120))
    filled.reconnect()
    filled.select()
    compare(filled, random_commands(seed, 120))


def ask(sessions, commands):
    """Each its own command, all sent before an answer is read."""
    tags = [session.start(command)
            for session, command in zip(sessions, commands)]
    return [session.finish(tag).comparable()
            for session, tag in zip(sessions, tags)]


def test_sessions_at_once(filled):
    """Three of one user ask different things at the same time."""
    chill(filled)
    plain = [filled.sessions[0]]
    sealed = [Imap(filled.servers[1], filled.users[1]) for _ in range(3)]
    for session in sealed:
        session.select()
    for commands in zip(*(random_commands(seed, 60) for seed in range(3))):
        expected = [answer for command in commands
                    for answer in ask(plain, [command])]
        for one, other, command in zip(expected, ask(sealed, commands),
                                       commands):
            assert_same(one, other, command)
    for session in sealed:
        session.close()


def test_copies_and_moves(filled):
    """Other mailboxes have caches of their own; COPY brings no answers."""
    name = f"New{next(_numbers)}"
    filled.same_ok(f"CREATE {name}")
    filled.same_ok(f"COPY 1:* {name}")
    for _ in range(2):
        filled.each(lambda session: session.select(name))
        compare(filled, [*(f"FETCH 1:* ({items})" for items in CLIENTS),
                         "FETCH 1:* (ENVELOPE BODYSTRUCTURE)", *ORDERS])
        filled.reconnect()
    filled.select()


def test_large_messages(filled):
    """Headers of 100 kB, names of 100000 letters, thousands of lines."""
    chill(filled)
    for seed in range(2):
        filled.each(lambda session: session.select("Large"))
        compare(filled, shuffled(seed, WHOLE))
        filled.reconnect()
    filled.select()


def test_new_and_expunged_messages(make_pair, storage):
    """The cache of a mailbox that changes under its readers.

    Not in the order of two strings: from ranks that were stored before, plain
    puts messages that are equal in both in any order.
    """
    pair = make_pair(plain_cache=False, storage=storage)
    orders = [order for order in SAFE_ORDERS if "REVERSE" not in order]
    messages = oddheaders.small()
    rng = random.Random(5)
    pair.select()
    for number in range(60):
        _, message, binary = rng.choice(messages)
        pair.append(message, date=corpus.DATE, binary=binary)
        if number % 7 == 6:
            pair.same_ok(rf"STORE {rng.randint(1, 4)} +FLAGS (\Deleted)")
            pair.same_ok("EXPUNGE")
        if number % 20 == 19:
            pair.reconnect()
            pair.select()
        items = " ".join(rng.sample(ITEMS, 3))
        pair.same_ok(f"FETCH 1:* (UID {items})")
        pair.same_ok(rng.choice(orders))


def fresh_pair(serve, plain_setup, sealed_setup):
    plain, sealed = serve(plain_setup), serve(sealed_setup)
    return Pair(plain, sealed, plain.user(), sealed.user())


def test_as_plain_with_its_own_cache(serve, storage):
    """A plain Dovecot that caches what it likes gives the same answers.

    But for three kinds of messages, of which it tells from its cache something
    else than without one: "text" "plain" where the message has TEXT/PLAIN, no
    blank line after header fields of a message that has none, and in 2.4 a
    header field whose name has 255 letters or more.
    """
    setup = Setup(storage=storage)
    pair = fresh_pair(serve, replace(setup, plugin="", never_cache=False),
                      setup)
    fill(pair, without=["odd case", *long_names(), *without_blank_line()])
    for seed in range(2):
        compare(pair, shuffled(seed, WHOLE))
        pair.reconnect()
        pair.select()
    pair.close()


@pytest.mark.parametrize("options", [
    {"crlf": True, "storage": "maildir"}, {"compress": "gz"},
    {"extra": "mail_prefetch_count = 8\n"}, {"extra": "mmap_disable = yes\n"},
    {"extra": "mail_cache_min_mail_count = 20\n"}], ids=str)
def test_other_settings(serve, options):
    setup = Setup(**options)
    pair = fresh_pair(serve, replace(setup, plugin=""), setup)
    # Of two CRs before an LF, one is lost in every cache.
    fill(pair, without=["CR before CRLF"])
    for seed in range(2):
        compare(pair, shuffled(seed, WHOLE))
        pair.reconnect()
        pair.select()
    pair.close()
