# SPDX-License-Identifier: LGPL-2.1-or-later
"""SORT and THREAD answer as plain Dovecot does, and leave no file that tells
how messages rank by their headers, or who answers whom."""

import contextlib
import os
import re
import signal
import subprocess
from dataclasses import replace

import pytest

from harness import corpus, sanitizer
from harness.compare import Pair, assert_same
from harness.config import MAIL_UID, Setup
from harness.faults import Faults
from harness.seal import enrolled
from harness.wire import Imap

SUBJECTS = (
    b"Lunch", b"Re: Lunch", b"RE: re: Fwd: Lunch", b"[list] Lunch",
    b"Re: [list] Re[2]: Lunch (fwd)", b"Apples", b"apples", b"Zebra", b"",
    b"=?utf-8?q?=C3=84pfel?=", b"Re: =?utf-8?b?w4RwZmVs?=", b"raw \xe4\xf6",
    b"=?utf-8?q?broken", b"Re:", b"a folded\r\n subject", b"x" * 300, None)
PEOPLE = (
    b"Ada <ada@example.com>", b"\"Zoe Z\" <a@example.com>", b"bob@example.com",
    b"=?utf-8?q?=C3=84rger?= <u@example.com>", b"team: a@b.c, d@e.f;",
    b"<nobody>", b"ada@example.com, Bob <b@example.org>", b"", None)
DATES = (b"Fri, 17 Jul 2026 02:44:25 +0000", b"Fri, 17 Jul 2026 01:00 -0700",
         b"17 Jul 2025 23:59:59 +0000", b"not a date", None)

KEYS = ("ARRIVAL", "CC", "DATE", "DISPLAYFROM", "DISPLAYTO", "FROM", "SIZE",
        "SUBJECT", "TO")
SORTS = tuple(f"SORT ({keys}) UTF-8 ALL" for key in KEYS
              for keys in (key, f"REVERSE {key}")) + (
    "SORT (SUBJECT REVERSE DATE FROM) UTF-8 ALL",
    "SORT (REVERSE FROM REVERSE SUBJECT SIZE) UTF-8 2:40",
    "SORT (TO CC SUBJECT) UTF-8 NOT SUBJECT lunch",
    "UID SORT (SUBJECT) UTF-8 ALL", "UID SORT (CC ARRIVAL) UTF-8 3:50",
    "SORT RETURN (ALL COUNT MIN MAX) (SUBJECT) UTF-8 ALL",
    "SORT RETURN (PARTIAL 3:12) (REVERSE FROM) UTF-8 ALL",
    "SORT RETURN (PARTIAL 3:12) (DISPLAYTO DATE) UTF-8 ALL")
THREADS = tuple(f"{uid}THREAD {kind} UTF-8 {search}"
                for kind in ("REFERENCES", "REFS", "ORDEREDSUBJECT")
                for uid, search in (("", "ALL"), ("UID ", "2:30"),
                                    ("", "NOT SUBJECT lunch"))) + tuple(
    f"SEARCH INTHREAD {kind} SUBJECT {word}"
    for kind in ("REFERENCES", "REFS") for word in ("lunch", "pfel"))


def references(number):
    """Headers of a few threads, with answers before what they answer."""
    if number % 7 == 6:
        return b""
    own = b"Message-ID: <%d@example.com>\r\n" % (number % 50)
    if number % 3 == 0:
        return own
    if number % 3 == 1:
        return own + b"In-Reply-To: <%d@example.com>\r\n" % (number - 1)
    return own + b"References: <%d@example.com>\r\n <%d@example.com>\r\n" % (
        (number * 5) % 60, number - 2)


def message(number):
    """One of many, with all sorts of headers."""
    fields = ((b"Subject", SUBJECTS[number % len(SUBJECTS)]),
              (b"From", PEOPLE[number % len(PEOPLE)]),
              (b"To", PEOPLE[number * 2 % len(PEOPLE)]),
              (b"Cc", PEOPLE[number * 4 % len(PEOPLE)]),
              (b"Date", DATES[number * 3 % len(DATES)]))
    head = b"".join(name + b": " + value + b"\r\n"
                    for name, value in fields if value is not None)
    return (head + references(number) + b"\r\n" +
            b"body\r\n" * (number * 7 % 11))


def date(number):
    return f"{number * 11 % 28 + 1:02}-Jul-2026 02:44:25 +0000"


def fill(session, numbers, mailbox="INBOX"):
    for number in numbers:
        session.append(message(number), mailbox, date=date(number))


def ask_all(session):
    for command in SORTS + THREADS:
        session.ok(command)


def same_all(pair):
    for command in SORTS + THREADS:
        pair.same_ok(command)


def numbers(reply):
    """Of a SORT, in no order."""
    [answer] = [answer for answer in reply.untagged
                if answer.startswith(b"* SORT")]
    return tuple(sorted(int(number) for number in answer.split()[2:]))


def files(folder):
    return [path for top, _, names in os.walk(folder)
            for path in (os.path.join(top, name) for name in names)
            if os.path.isfile(path)]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def traces(folder):
    """{"sort", "thread"}: what Dovecot left of them below a folder."""
    found = set()
    for path in files(folder):
        if path.endswith(".thread"):
            found.add("thread")
        if b"sort-" in read(path):
            found.add("sort")
    return found


def assert_no_traces(pair):
    plain, sealed = pair.users
    assert traces(plain.home) == {"sort", "thread"}
    assert not traces(sealed.home)
    for folder in ("run", "state", "tmp"):
        assert not traces(f"{pair.servers[1].base}/{folder}")


@pytest.fixture
def new_pair(serve):
    """new_pair(Setup(…)): both servers, with a new user each.

    The plain one has Dovecot's cache: without, 2.3 panics in THREAD on mdbox.
    """
    pairs = []

    def make(setup):
        plain = serve(replace(setup, plugin="", never_cache=False))
        sealed = serve(setup)
        plain.allow_log("Broken sort-[a-z]+ indexes")
        pairs.append(Pair(plain, sealed, plain.user(), enrolled(sealed)))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()


@pytest.fixture
def pair(new_pair, storage):
    return new_pair(Setup(storage=storage))


def test_same_answers(pair):
    pair.each(lambda session: fill(session, range(60)))
    pair.select()
    same_all(pair)
    assert_no_traces(pair)
    same_all(pair)
    pair.reconnect()
    pair.select()
    same_all(pair)
    pair.same_ok("LOGOUT")
    pair.reconnect()
    assert_no_traces(pair)


def test_more_and_fewer_messages(pair):
    """Within a session, and in the next."""
    pair.each(lambda session: fill(session, range(40)))
    pair.select()
    same_all(pair)
    pair.each(lambda session: fill(session, range(40, 70)))
    pair.same_ok("NOOP")
    same_all(pair)
    pair.same_ok(r"STORE 1:5,11,20:45 +FLAGS.SILENT (\Deleted)")
    pair.same_ok("EXPUNGE")
    same_all(pair)
    pair.each(lambda session: fill(session, range(70, 90)))
    pair.reconnect()
    pair.select()
    same_all(pair)
    assert_no_traces(pair)


def test_closed_and_opened_again(pair):
    pair.each(lambda session: fill(session, range(20)))
    pair.same_ok("CREATE Work")
    pair.each(lambda session: fill(session, range(30, 50), "Work"))
    for command in ("SELECT INBOX", *THREADS, "CLOSE", "SELECT Work",
                    *THREADS, "EXAMINE INBOX", *THREADS, "UNSELECT",
                    "SELECT INBOX", "DELETE Work", *SORTS,
                    "SELECT Work"):
        pair.same(command)
    assert_no_traces(pair)


def test_two_sessions(pair):
    """Each sees what the other one does to the mailbox."""
    first = pair.sessions
    pair.each(lambda session: fill(session, range(30)))
    pair.select()
    with Imap(pair.servers[0], pair.users[0]) as plain, \
            Imap(pair.servers[1], pair.users[1]) as sealed:
        for session in (plain, sealed):
            session.select()
            ask_all(session)
        same_all(pair)
        for session in (plain, sealed):
            fill(session, range(30, 45))
            session.ok(r"STORE 2:9 +FLAGS.SILENT (\Deleted)")
            session.ok("EXPUNGE")
        # Before it's told, the headers of what is gone are gone with it,
        # unless they're cached: the order may differ.
        for command in SORTS[:20]:
            replies = pair.each(lambda session: session.ok(command))
            assert len({numbers(reply) for reply in replies}) == 1
        pair.same_ok("NOOP")
        same_all(pair)
        for command in SORTS + THREADS:
            assert_same(plain.cmd(command).comparable(),
                        sealed.cmd(command).comparable(), command)
    assert pair.sessions == first
    assert_no_traces(pair)


def test_without_message_ids(pair):
    """Core then numbers its strings anew again and again."""
    for number in range(12):
        pair.append(b"Subject: %d\r\n\r\nbody\r\n" % number,
                    date=corpus.DATE)
    pair.append(message(1), date=corpus.DATE)
    pair.select()
    for number in range(6):
        for command in THREADS:
            pair.same_ok(command)
        pair.append(b"Subject: new\r\n\r\nbody\r\n", date=corpus.DATE)
        pair.same_ok(f"STORE {number + 2} +FLAGS.SILENT (\\Deleted)")
        pair.same_ok("EXPUNGE")
    for session in pair.sessions:
        session.ok("SORT (SUBJECT) UTF-8 ALL")
    assert_no_traces(pair)


VIRTUAL = {
    "plugins": ("virtual",),
    "extra_23": "namespace virtual {\n  prefix = virtual/\n  separator = /\n"
                "  location = virtual:~/virtual\n}\n",
    "extra_24": "namespace virtual {\n  prefix = virtual/\n  separator = /\n"
                "  mail_driver = virtual\n  mail_path = ~/virtual\n}\n"}


def make_virtual(user):
    folder = f"{user.home}/virtual/All"
    os.makedirs(folder)
    with open(f"{folder}/dovecot-virtual", "w", encoding="ascii") as file:
        file.write("Work\nINBOX\n  all\n")
    for path in (f"{user.home}/virtual", folder):
        os.chown(path, MAIL_UID, MAIL_UID)


def test_virtual(new_pair, storage):
    """A virtual mailbox has indexes of its own."""
    pair = new_pair(Setup(storage=storage, **VIRTUAL))
    for user in pair.users:
        make_virtual(user)
    pair.same_ok("CREATE Work")
    pair.each(lambda session: fill(session, range(0, 40, 2)))
    pair.each(lambda session: fill(session, range(1, 40, 2), "Work"))
    pair.reconnect()
    for _ in range(2):
        pair.same_ok("SELECT virtual/All")
        same_all(pair)
        pair.reconnect()
    assert traces(f"{pair.users[0].home}/virtual") == {"sort", "thread"}
    assert_no_traces(pair)


# Mailboxes that were sorted before the plugin came


# Small logs: ranks lie in dovecot.index, in both logs and in dbox's backup.
SMALL = """
mail_index_rewrite_min_log_bytes = 512
mail_index_rewrite_max_log_bytes = 1024
mail_index_log_rotate_min_size = 1024
mail_index_log_rotate_max_size = 3072
"""
RANK = re.compile(rb"sort-\w+ *: +\d+ \(([0-9a-f]{8})\)")


def indexes(user):
    return [path for path in files(user.home)
            if os.path.basename(path) == "dovecot.index.log"]


def ranks(user):
    """All ranks that doveadm finds in dovecot.index, as they're stored."""
    found = set()
    for log in indexes(user):
        dump = subprocess.run(["doveadm", "dump", "-t", "index",
                               log.removesuffix(".log")],
                              capture_output=True, check=True,
                              env=sanitizer.environment()).stdout
        found |= {bytes.fromhex(rank.decode()) for rank in RANK.findall(dump)}
    return found - {bytes(4)}


def with_ranks(user, wanted):
    """Files that have some of these; one alone may stand anywhere."""
    return {os.path.basename(path) for path in files(user.home)
            if "dovecot.index" in path and
            sum(rank in read(path) for rank in wanted) > 2}


def sorted_before(plain):
    """A user of a plain server, and all the ranks on disk."""
    user = plain.user()
    with Imap(plain, user) as imap:
        fill(imap, range(40))
        imap.select()
        ask_all(imap)
        imap.ok(r"STORE 3:5 +FLAGS (\Flagged seen)")
        fill(imap, range(40, 60))
        imap.ok("NOOP")
        ask_all(imap)
        imap.ok("NOOP")
        imap.ok("STORE 7 +FLAGS (old)")
        imap.ok("LOGOUT")
    return user, ranks(user)


def put(user, home):
    """Give a user the mail of another home."""
    subprocess.run(f"rm -rf {user.home}/mail {user.home}/virtual; "
                   f"cp -a {home}/mail {user.home}", shell=True, check=True)


@pytest.fixture(scope="module")
def before(serve, storage):
    """(plain server, sealed server, plain user, ranks)"""
    plain = serve(Setup(storage=storage, plugin="", never_cache=False,
                        extra=SMALL))
    sealed = serve(Setup(storage=storage))
    user, wanted = sorted_before(plain)
    places = with_ranks(user, wanted)
    assert len(wanted) > 30 and "dovecot.index" in places
    assert "thread" in traces(user.home)
    return plain, sealed, user, wanted


def assert_cleared(user, wanted):
    assert not with_ranks(user, wanted)
    assert not ranks(user)
    assert "thread" not in traces(user.home)


def test_cleared_at_the_first_visit(before):
    plain, sealed, old, wanted = before
    user = enrolled(sealed)
    put(user, old.home)
    assert with_ranks(user, wanted)
    with Imap(sealed, user) as imap:
        imap.select()
        assert_cleared(user, wanted)
    pair = Pair(plain, sealed, old, user)
    pair.select()
    same_all(pair)
    pair.same_ok("FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE)")
    assert_cleared(user, wanted)
    pair.close()


def test_cleared_once(before):
    """Not at each visit: the log of the second one goes on."""
    _, sealed, old, _ = before
    user = enrolled(sealed)
    put(user, old.home)
    made = []
    for _ in range(2):
        with Imap(sealed, user) as imap:
            imap.select()
            imap.ok("SORT (SUBJECT) UTF-8 ALL")
            imap.ok("NOOP")
        made.append({os.stat(path).st_ino for path in files(user.home)
                     if os.path.basename(path).startswith("dovecot.index")})
    assert made[0] == made[1]


def test_cleared_again(before):
    """The plugin was out of use for a while."""
    plain, sealed, *_ = before
    user = enrolled(sealed)
    first, second = plain.user(), plain.user()
    with Imap(plain, first) as imap:
        fill(imap, range(30))
        imap.select()
        imap.ok("SORT (SUBJECT) UTF-8 ALL")
    put(user, first.home)
    with Imap(sealed, user) as imap:
        imap.select()
    put(second, user.home)
    with Imap(plain, second) as imap:
        imap.select()
        ask_all(imap)
    wanted = ranks(first) | ranks(second)
    assert len(ranks(second)) > 20
    put(user, second.home)
    with Imap(sealed, user) as imap:
        imap.select()
        assert_cleared(user, wanted)


def test_cleared_beside_a_session(before):
    """One that had the mailbox open, and its ranks in mind, goes on."""
    plain, sealed, old, wanted = before
    user = enrolled(sealed)
    put(user, old.home)
    with Imap(sealed, user) as first, Imap(sealed, user) as second:
        first.select()
        put_back = sealed.doveadm("search", "-u", user.name, "all")
        assert len(put_back.stdout.splitlines()) == 60
        second.select()
        for session in (first, second, first):
            fill(session, range(60, 64))
            ask_all(session)
            session.ok("NOOP")
    assert_cleared(user, wanted)


@pytest.fixture(scope="module")
def faults():
    faults = Faults()
    yield faults
    faults.remove()


def visit(server, user, faults=None):
    return subprocess.run(
        ["doveadm", "-c", server.config_file, "search", "-u", user.name,
         "mailbox", "INBOX", "all"], capture_output=True, timeout=120,
        env=faults.environment if faults else sanitizer.environment()
    ).returncode


def kept(server, user):
    with Imap(server, user) as imap:
        imap.select()
        return imap.ok("FETCH 1:* (UID FLAGS RFC822.SIZE)").raw


@pytest.mark.no_asan
def test_killed_while_clearing(before, faults, serve, storage):
    """At each call that changes an index; the next visit begins anew."""
    plain, _, old, wanted = before
    sealed = serve(Setup(storage=storage, **faults.configuration()))
    user = enrolled(sealed)
    expected = kept(plain, old)
    ended = None
    count = 0
    while ended != 0:
        put(user, old.home)
        index, = [log.removesuffix(".log") for log in indexes(user)
                  if "map.index" not in log and "list.index" not in log]
        count += 1
        faults.plan(index, "kill", count)
        ended = visit(sealed, user, faults)
        faults.end()
        assert ended in (0, -signal.SIGKILL)
        # Core itself would wait two minutes before it takes this lock over.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{index}.log.newlock")
        assert_same(expected, kept(sealed, user), f"killed at {count}")
        assert_cleared(user, wanted)
    assert count > 12
