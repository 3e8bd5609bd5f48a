# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a plain Dovecot left in the cache is purged at the first unlocked
visit, however that ends; a rotation purges what the old key has sealed."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from harness import cachefile, canary, everyuse
from harness.cached import COUNT, fill, visit
from harness.config import Setup
from harness.doveadm import seal_user
from harness.seal import enrolled
from harness.wire import Imap, lmtp

NAMES = ("subject", "fromaddress", "toaddress", "id", "headervalue", "text")
MAILBOXES = ("INBOX", "Other")
READS = ("FETCH 1:* (ENVELOPE BODYSTRUCTURE PREVIEW)",
         "FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-%s Subject To Message-ID)]",
         "SORT (SUBJECT) UTF-8 ALL", "THREAD REFS UTF-8 ALL")
# Seconds after the command that follows SELECT was sent.
MOMENTS = (0, 0.003, 0.03)


@pytest.fixture(scope="module")
def before(serve, storage):
    """(home, words) of a user of a plain Dovecot with its own cache."""
    plain = serve(Setup(storage=storage, plugin="", never_cache=False))
    words = canary.words(everyuse.NAMES)
    user = plain.user()
    with Imap(plain, user) as imap:
        imap.ok("CREATE Other")
        for mailbox in MAILBOXES:
            for _ in range(3):
                imap.append(everyuse.message(words, 500), mailbox)
            imap.select(mailbox)
            for _ in range(2):
                for command in READS:
                    imap.ok(command.replace("%s", words["headername"]))
        imap.ok("LOGOUT")
    assert {words[name] for name in NAMES if name != "text"} <= \
        {word for word, _ in left(user, words)}
    return user.home, words


def left(user, words):
    """[(word, path), …] in any file that isn't a message."""
    return [(word, path) for path, word, _ in
            canary.find(user.home, words.values())
            if os.path.basename(path).startswith("dovecot")]


@pytest.fixture
def moved(sealed, before):
    """(user, words): the plain user's mail in the home of a sealed one."""
    home, words = before
    user = enrolled(sealed)
    shutil.rmtree(f"{user.home}/mail", ignore_errors=True)
    subprocess.run(["cp", "-a", f"{home}/mail", user.home], check=True)
    assert left(user, words)
    return user, words


def select_all(server, user):
    with Imap(server, user) as imap:
        for mailbox in MAILBOXES:
            imap.select(mailbox)
        imap.ok("LOGOUT")


def left_in(user, mailbox, words):
    path = os.path.dirname(cachefile.path(user, mailbox))
    return [word for word, where in left(user, words)
            if os.path.dirname(where) == path]


def test_first_visit(sealed, moved):
    user, words = moved
    select_all(sealed, user)
    assert left(user, words) == []


def test_only_what_is_visited(sealed, moved):
    user, words = moved
    with Imap(sealed, user) as imap:
        imap.select("Other")
        imap.ok("LOGOUT")
    assert left_in(user, "Other", words) == []
    assert left_in(user, "INBOX", words) != []


def test_other_ends_of_a_visit(sealed, moved):
    """UNSELECT, another SELECT, and a client that just goes away."""
    user, words = moved
    with Imap(sealed, user) as imap:
        imap.select("Other")
        imap.ok("UNSELECT")
        assert left_in(user, "Other", words) == []
        imap.select()
        imap.ok("NOOP")
    end = time.monotonic() + 60
    while left(user, words) and time.monotonic() < end:
        time.sleep(0.05)
    assert left(user, words) == []


def test_visit_that_reads(sealed, moved):
    """The first answers are right, with the plain cache and without it."""
    user, words = moved
    answers = []
    for _ in range(3):
        with Imap(sealed, user) as imap:
            imap.select()
            answers.append([imap.ok(command.replace(
                "%s", words["headername"])).raw for command in READS])
            imap.ok("LOGOUT")
        assert left_in(user, "INBOX", words) == []
    assert answers[0] == answers[1] == answers[2]
    assert words["subject"].encode() in answers[0][0]


def test_by_doveadm_with_the_key(sealed, moved):
    user, words = moved
    everyuse.doveadm(sealed, user, "fetch", "-u", user.name, "hdr.subject",
                     "mailbox", "*", "all")
    assert left(user, words) == []


def test_delivery_adds_nothing(sealed, moved):
    """LMTP and LDA have no key: they purge nothing, and write nothing."""
    user, words = moved
    other = canary.words(everyuse.NAMES)
    lmtp(sealed, [user], everyuse.message(other))
    sealed.lda(user, everyuse.message(other))
    assert left(user, other) == []
    select_all(sealed, user)
    assert left(user, {**words, **{f"{name} later": word for name, word in
                                   other.items()}}) == []


# Killed


def pid_of(server, user):
    """Of the session that logged in last."""
    pattern = rf"user=<{user.name}>.*mpid=(\d+)"
    server.expect_log(pattern)
    return int(re.findall(pattern, server.new_log())[-1])


def visit_and_kill(server, user, command, seconds):
    with Imap(server, user) as imap:
        imap.ok("NOOP")
        pid = pid_of(server, user)
        imap.select("Other")
        imap.start(command)
        time.sleep(seconds)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            # LOGOUT was faster.
            pass


@pytest.mark.no_asan
@pytest.mark.parametrize("command", ["NOOP", "LOGOUT", "SELECT INBOX",
                                     "FETCH 1:* ENVELOPE"])
@pytest.mark.parametrize("seconds", MOMENTS)
def test_killed_in_between(sealed, moved, command, seconds):
    """The next visit does it."""
    user, words = moved
    sealed.allow_log("killed with signal 9|[Cc]ache")
    visit_and_kill(sealed, user, command, seconds)
    with Imap(sealed, user) as imap:
        for mailbox in MAILBOXES:
            imap.select(mailbox)
            imap.ok("FETCH 1:* ENVELOPE")
        imap.ok("LOGOUT")
    assert left(user, words) == []


def test_killed_several_times(sealed, moved):
    user, words = moved
    sealed.allow_log("killed with signal 9|[Cc]ache")
    for seconds in (0, 0.001, 0.002, 0.005, 0.01, 0.02):
        visit_and_kill(sealed, user, "FETCH 1:* ENVELOPE", seconds)
    select_all(sealed, user)
    assert left(user, words) == []


# Rotation


def test_rotation_drops_old_slots(sealed):
    user = enrolled(sealed)
    fill(sealed, user)
    right = visit(sealed, user)
    visit(sealed, user)
    old = cachefile.seal_keys(user)
    assert len(old) == 1
    seal_user(sealed, user, "rotate", password=user.password)
    for _ in range(3):
        assert visit(sealed, user) == right
    new = cachefile.seal_keys(user)
    assert len(new) == 1 and new != old
    fields = cachefile.sealed_fields(user)
    assert len({field.record for field in fields}) >= COUNT


def test_rotation_with_resealing(sealed):
    user = enrolled(sealed)
    fill(sealed, user)
    right = visit(sealed, user)
    old = cachefile.seal_keys(user)
    for _ in range(2):
        seal_user(sealed, user, "rotate", "--reseal", password=user.password)
        for _ in range(3):
            assert visit(sealed, user) == right
        new = cachefile.seal_keys(user)
        assert len(new) == 1 and new != old
        old = new


def test_mailboxes_have_names_of_their_own(sealed):
    user = enrolled(sealed)
    with Imap(sealed, user) as imap:
        imap.ok("CREATE Other")
    for mailbox in MAILBOXES:
        fill(sealed, user, mailbox=mailbox)
        visit(sealed, user, mailbox)
    ids = [{cachefile.SEAL.match(field.name).group(1) for field in
            cachefile.CacheFile(cachefile.path(user, mailbox)).sealed()}
           for mailbox in MAILBOXES]
    assert len(ids[0]) == len(ids[1]) == 1 and ids[0] != ids[1]
