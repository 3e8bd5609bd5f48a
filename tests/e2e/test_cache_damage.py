# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever is done to the cache file: right answers, from the messages if need
be, no crash, and one line in the log. Without a key nothing is written."""

import os
import random
import shutil

import pytest

from harness import cachefile, everyuse
from harness.cached import COUNT, Ward, fill, message, visit
from harness.config import MAIL_UID
from harness.disk import small_disk
from harness.sample import THOROUGH
from harness.seal import enrolled
from harness.wire import Imap, lmtp


# Each a copy of the user's mail and two sessions.
FLIPS, FLIPS_ELSEWHERE, CUTS, SWAPS = (100, 40, 30, 20) if THOROUGH else \
    (30, 20, 10, 8)


@pytest.fixture(scope="module")
def ward(sealed):
    return Ward(sealed)


@pytest.fixture
def damaged(sealed, ward):
    """The ward with its files as they were, and errors of Dovecot's own."""
    sealed.allow_log(r"[Cc]ache|mail_seal: .*slot")
    ward.restore()
    yield ward
    ward.restore()


def assert_few_complaints(ward):
    for lines in ward.complaints().values():
        assert len(lines) <= 1, lines


def flip(cache, at, bit):
    cache.data[at] ^= 1 << bit


def test_there_is_something_to_damage(ward):
    """Every message has a sealed record, and nothing else holds content."""
    cache = ward.cache
    assert len({field.record for field in cache.sealed()}) >= COUNT
    names = {field.name for field in cache.fields()
             if not field.is_sealed}
    assert not [name for name in names if name.lower().startswith(
        ("hdr.", "body", "imap.env", "imap.body", "date.sent"))], names


def test_bits_of_sealed_records(damaged):
    rng = random.Random(1)
    fields = damaged.cache.sealed()
    for _ in range(FLIPS):
        damaged.restore()
        cache = damaged.cache
        field = rng.choice(fields)
        at = field.offset + rng.randrange(len(field.data))
        flip(cache, at, rng.randrange(8))
        cache.write()
        damaged.assert_right(f"bit of byte {at}, {field.name}")
    assert_few_complaints(damaged)
    # Each was noticed, but for what an earlier slot had told already.
    assert len(damaged.complaints(FLIPS // 2 + 1)) > FLIPS / 2


def test_bits_anywhere(damaged):
    rng = random.Random(2)
    size = len(damaged.cache.data)
    first = [rng.randrange(400) for _ in range(FLIPS_ELSEWHERE // 2)]
    for at in first + [rng.randrange(size) for _ in first]:
        damaged.restore()
        cache = damaged.cache
        flip(cache, at, rng.randrange(8))
        cache.write()
        damaged.assert_right(f"bit of byte {at}")
    assert_few_complaints(damaged)


def test_records_of_each_other(damaged):
    """A slot under another UID, or in the place of another slot."""
    rng = random.Random(3)
    cache = damaged.cache
    fields = cache.sealed()
    pairs = [(one, other) for i, one in enumerate(fields)
             for other in fields[:i] if len(one.data) == len(other.data)]
    assert pairs
    for one, other in rng.sample(pairs, min(SWAPS, len(pairs))):
        damaged.restore()
        cache = damaged.cache
        cache.put(one, other.data)
        cache.put(other, one.data)
        cache.write()
        damaged.assert_right(f"{one.offset} and {other.offset} swapped")
    assert_few_complaints(damaged)
    assert damaged.complaints(1)


def test_one_record_for_all(damaged):
    cache = damaged.cache
    fields = cache.sealed()
    for field in fields:
        if len(field.data) == len(fields[0].data):
            cache.put(field, fields[0].data)
    cache.write()
    damaged.assert_right("the first record in the place of all")
    assert_few_complaints(damaged)
    assert damaged.complaints(1)


def test_cut(damaged):
    rng = random.Random(4)
    size = len(damaged.cache.data)
    cuts = [0, 1, 31, 32, 33, size - 1] + \
        [rng.randrange(size) for _ in range(CUTS)]
    for cut in cuts:
        damaged.restore()
        os.truncate(damaged.path, cut)
        damaged.assert_right(f"cut at {cut}")
    assert_few_complaints(damaged)


def test_other_content(damaged):
    rng = random.Random(5)
    size = len(damaged.cache.data)
    for what, content in (
            ("noise", rng.randbytes(size)), ("zeros", bytes(size)),
            ("text", b"hello\n" * 100), ("twice", damaged.cache.data * 2),
            ("noise after the header",
             damaged.cache.data[:32] + rng.randbytes(size - 32))):
        damaged.restore()
        with open(damaged.path, "r+b") as file:
            file.write(content)
            file.truncate()
        damaged.assert_right(what)
    assert_few_complaints(damaged)


def test_no_right_to_the_file(damaged):
    for mode in (0, 0o400, 0o444):
        damaged.restore()
        os.chown(damaged.path, 0, 0)
        os.chmod(damaged.path, mode)
        damaged.assert_right(f"mode {mode:o}")
    assert_few_complaints(damaged)


def test_a_folder_in_its_place(damaged, sealed):
    sealed.allow_log("Is a directory|unlink")
    os.unlink(damaged.path)
    os.mkdir(damaged.path)
    os.chown(damaged.path, MAIL_UID, MAIL_UID)
    damaged.assert_right("a folder")
    assert_few_complaints(damaged)


# Files of others, made to look like the right one


def exchange(target, other):
    """The file of another mailbox, under this one's identity and names."""
    cache = cachefile.CacheFile(other)
    cache.adopt(cachefile.CacheFile(target))
    cache.write(target)


def test_cache_of_another_mailbox(sealed):
    sealed.allow_log("[Cc]ache|mail_seal: .*slot")
    user = enrolled(sealed)
    with Imap(sealed, user) as imap:
        for mailbox in ("One", "Two"):
            imap.ok(f"CREATE {mailbox}")
    # As often read, so that records lie at the same places.
    for mailbox in ("One", "Two"):
        fill(sealed, user, mailbox.lower(), mailbox)
        answers = [visit(sealed, user, mailbox) for _ in range(3)]
    exchange(cachefile.path(user, "Two"), cachefile.path(user, "One"))
    for _ in range(2):
        assert visit(sealed, user, "Two") == answers[0]
    sealed.expect_log("Warning: .*mail_seal: A record of")


def test_cache_of_another_user(damaged, sealed):
    other = Ward(sealed, kind="other")
    exchange(damaged.path, other.path)
    damaged.assert_right("the cache of another user")
    assert_few_complaints(damaged)
    assert damaged.complaints(1)


def test_cache_as_it_lies(damaged, sealed):
    """Without any disguise."""
    other = Ward(sealed, kind="other")
    shutil.copyfile(other.path, damaged.path)
    damaged.assert_right("the cache of another user")
    assert_few_complaints(damaged)


def test_cache_of_an_earlier_mailbox(sealed):
    """The same name, deleted and made again: other messages, same UIDs."""
    sealed.allow_log("[Cc]ache|mail_seal: .*slot")
    user = enrolled(sealed)
    caches = []
    for kind in ("other", "first"):
        with Imap(sealed, user) as imap:
            imap.cmd("DELETE Again")
            imap.ok("CREATE Again")
        fill(sealed, user, kind, "Again")
        right = visit(sealed, user, "Again")
        caches.append(cachefile.CacheFile(cachefile.path(user, "Again")))
    caches[0].adopt(caches[1])
    caches[0].write()
    for _ in range(2):
        assert visit(sealed, user, "Again") == right


# No place to write


@pytest.mark.parametrize("left", [0, 1, 4096, 3 * 4096])
def test_disk_full(sealed, left):
    sealed.allow_log("No space left|disk|[Cc]ache")
    user = sealed.user()
    with small_disk(user) as fill_up:
        fill(sealed, user)
        with Imap(sealed, user) as imap:
            imap.select()
            imap.ok("LOGOUT")
        fill_up(left)
        full = visit(sealed, user)
        assert visit(sealed, user) == full
        os.unlink(f"{user.home}/filler")
        for _ in range(2):
            assert visit(sealed, user) == full
    assert b"subject 03 of the first" in full[0]


# No key


def count(user):
    return len(cachefile.sealed_fields(user))


def use_without_key(server, user):
    """What needs no key, and what is refused without one."""
    lmtp(server, [user], message(3, "later"))
    server.lda(user, message(4, "later"))
    server.doveadm("save", "-u", user.name, stdin=message(5, "later"))
    # Dovecot 2.4 indexes for full text search alone, and has nothing to do.
    assert (server.doveadm("index", "-u", user.name, "*",
                           check=False).returncode == 0) == \
        (server.version >= (2, 4))
    for words in (("fetch", "-u", user.name, "hdr body", "all"),
                  ("fetch", "-u", user.name, "imap.envelope", "all"),
                  ("search", "-u", user.name, "subject", "later")):
        assert server.doveadm(*words, check=False).returncode != 0
    server.doveadm("fetch", "-u", user.name, "uid flags size.virtual", "all")


def test_without_a_key(sealed):
    user = enrolled(sealed)
    sealed.allow_log("mail_seal|sealed")
    use_without_key(sealed, user)
    assert count(user) == 0
    visit(sealed, user)
    warm = count(user)
    assert warm >= 3
    use_without_key(sealed, user)
    assert count(user) == warm
    everyuse.doveadm(sealed, user, "fetch", "-u", user.name, "hdr.subject",
                     "all")
    visit(sealed, user)
    assert count(user) >= warm + 3


def test_locked_session(sealed):
    user = enrolled(sealed)
    sealed.allow_log("Session is locked")
    fill(sealed, user)
    locked = sealed.user(user.name, password="another one")
    with Imap(sealed, locked) as imap:
        assert imap.cmd("SELECT INBOX").status == "NO"
        imap.append(message(1, "later"))
        imap.ok("LOGOUT")
    assert count(user) == 0
    user = sealed.user(user.name)
    visit(sealed, user)
    assert count(user) > COUNT
