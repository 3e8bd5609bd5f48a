# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages rewritten in place: nothing but their stored bytes changes."""

import contextlib
import glob
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from harness import age, corpus, disk, everything
from harness.config import FORMATS, MAIL_UID, Setup
from harness.rewrite import Store, finish
from harness.sample import part
from harness.server import dovecot_version
from harness.wire import Imap, Lmtp

IS_2_3 = dovecot_version() < (2, 4)
MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
SIZES = (400, 1000, 65535, 65536, 65537, 131072, 400000)

QUOTA_23 = """
plugin {
  quota = count:User quota
  quota_rule = *:storage=1G
  quota_vsizes = yes
}
"""
QUOTA_24 = """
quota "User quota" {
  driver = count
  storage_size = 1G
}
"""


def setup(storage, more_23="", more_24="", **options):
    """A quota counts."""
    return Setup(storage=storage, plugins=("quota",),
                 imap_plugins=("imap_quota",), extra_23=more_23 + QUOTA_23,
                 extra_24=more_24 + QUOTA_24, name="rewrite", **options)


@pytest.fixture(scope="module")
def server(serve, storage):
    return serve(setup(storage))


@pytest.fixture
def store(server):
    return Store(server)


def fill(store, count=6, size=700):
    """Messages of the old key; returns their bodies."""
    bodies = [corpus.of_size(size + 37 * i, seed=i) for i in range(count)]
    with Imap(store.server, store.writer) as imap:
        for body in bodies:
            imap.append(body)
    return bodies


def bodies_of(store, mailbox="INBOX", user=None):
    with Imap(store.server, user or store.user) as imap:
        imap.select(mailbox)
        return [imap.body(uid) for uid in imap.uids()]


def leftovers(store):
    return [path for path in glob.glob(f"{store.home}/**", recursive=True,
                                       include_hidden=True)
            if "mail-seal-rewrite" in path or "/temp." in path]


def opened(store, key):
    return [age.open_(key.identity, content)
            for content in disk.contents(store.server, store.writer)]


# What is kept


def snapshot(store, user):
    return everything.seen(store.server, user)


def make_store_with_everything(store):
    with Imap(store.server, store.writer) as imap:
        imap.ok("CREATE Other")
        for i, size in enumerate(SIZES):
            imap.append(corpus.of_size(size), flags=r"\Flagged $Word"
                        if i % 2 else "", date="17-Jul-2024 02:44:25 +0000")
        imap.select()
        imap.ok(r"STORE 2:3 +FLAGS (\Seen Another)")
        imap.ok("COPY 1:5 Other")
        imap.ok("UID EXPUNGE 1")
        imap.ok(r"STORE 2 +FLAGS \Deleted")
        imap.ok("EXPUNGE")
        imap.append(corpus.of_size(5000))


def test_everything_is_kept(store):
    make_store_with_everything(store)
    before = snapshot(store, store.writer)
    texts = sorted(opened(store, store.old))
    # The inode's time of change is what would become the saved date.
    time.sleep(1.1)
    done = store.ok("reseal")["done"]
    assert snapshot(store, store.user) == before
    assert sorted(opened(store, store.new)) == texts
    store.ok("reseal").only(already=12)
    assert store.ok("unseal")["done"] == done
    assert sorted(disk.contents(store.server, store.user)) == texts
    assert snapshot(store, store.user) == before
    store.ok("unseal").only(already=12)
    assert store.ok("seal")["done"] == done
    assert snapshot(store, store.user) == before
    assert sorted(opened(store, store.new)) == texts
    store.ok("seal").only(already=12)
    assert store.ok("scan").only(sealed=12, current=12)
    assert leftovers(store) == []


def test_without_index_and_cache(store):
    """All but the cache's own (saved dates) is in the files themselves."""
    make_store_with_everything(store)
    before = snapshot(store, store.writer)
    for mode in ("reseal", "unseal", "seal"):
        store.ok(mode)
        for path in glob.glob(f"{store.home}/mail/**/dovecot.index.cache",
                              recursive=True, include_hidden=True):
            os.unlink(path)
        after = snapshot(store, store.user)
        assert without_saved(after) == without_saved(before)


def without_saved(seen):
    return [re.sub(rb"date.saved: .*", b"", line) for line in seen]


@pytest.mark.parametrize("storage", FORMATS)
def test_compressed_mail_stays_compressed(serve, storage):
    server = serve(setup(storage, compress="gz"))
    store = Store(server)
    bodies = fill(store, size=80000)
    texts = opened(store, store.old)
    assert all(text[:2] == b"\x1f\x8b" for text in texts)
    sizes = [message.size_field for message in
             disk.stored(server, store.user)]
    for mode, key in (("reseal", store.new), ("unseal", None),
                      ("seal", store.new)):
        store.ok(mode).only(done=6)
        assert texts == (opened(store, key) if key else
                         disk.contents(server, store.user))
        assert bodies_of(store) == bodies
        assert [message.size_field for message in
                disk.stored(server, store.user)] == sizes


def test_mbsync_would_transfer_nothing(store):
    """As mbsync sees it: UIDVALIDITY, UIDs and flags."""
    fill(store)

    def view(user):
        with Imap(store.server, user) as imap:
            return (imap.ok("EXAMINE INBOX").raw.split(b"[UIDVALIDITY")[1][:15],
                    imap.ok("UID FETCH 1:* (UID FLAGS RFC822.SIZE)").raw)
    before = view(store.writer)
    store.ok("reseal")
    assert view(store.user) == before


# Copies


def test_copies_stay_one_file(store):
    bodies = fill(store)
    with Imap(store.server, store.writer) as imap:
        imap.ok("CREATE Second")
        imap.ok("CREATE Third")
        imap.select()
        imap.ok("COPY 1:* Second")
        imap.ok("COPY 2:3 Third")
    macs = header_macs(store)
    store.ok("reseal")
    if store.server.setup.storage == "mdbox":
        assert len(disk.stored(store.server, store.user)) == 6
    else:
        inodes = {os.stat(message.path).st_ino
                  for message in disk.stored(store.server, store.user)}
        assert len(inodes) == 6
    for mailbox, expected in (("INBOX", bodies), ("Second", bodies),
                              ("Third", bodies[1:3])):
        assert bodies_of(store, mailbox) == expected
    # The old ciphertext is nowhere.
    assert not macs & header_macs(store)
    for path in glob.glob(f"{store.home}/mail/**", recursive=True,
                          include_hidden=True):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                content = file.read()
            assert not [mac for mac in macs if mac in content], path
    assert leftovers(store) == []


def header_macs(store):
    return {re.search(rb"\n--- (\S+)", content).group(1)
            for content in disk.contents(store.server, store.user)}


# What can't be rewritten


def stored_for(store, body):
    return next(message for message in disk.stored(store.server, store.user)
                if body in age.open_(store.old.identity, message.content))


def test_damaged_foreign_and_plain_are_left(store):
    other = age.keygen()
    sizes = [150000 + 1000 * i for i in range(6)]
    with Imap(store.server, store.writer) as imap:
        for size in sizes:
            imap.append(corpus.of_size(size))
    messages = disk.stored(store.server, store.user)
    flipped = bytearray(messages[0].content)
    flipped[-100] ^= 1
    disk.replace(messages[0], bytes(flipped))
    middle = bytearray(messages[1].content)
    middle[70000] ^= 1
    disk.replace(messages[1], bytes(middle))
    foreign = age.seal(other.recipient,
                       age.open_(store.old.identity, messages[2].content))
    disk.replace(messages[2], foreign)
    header = bytearray(messages[3].content)
    header[header.index(b"\n--- ") + 10] ^= 1
    disk.replace(messages[3], bytes(header))
    before = {message.content for message in
              disk.stored(store.server, store.user)[:4]}
    scan = store.run("scan")
    scan.only(sealed=5, earlier1=4, foreign=1, damaged=1)
    for done, already in ((2, 0), (0, 2)):
        counts = store.run("reseal")
        assert counts.code == 0
        assert counts["done"] == done
        assert counts["foreign"] == 1 and counts["damaged"] == 3
        assert already <= counts["already"] <= 2
        for uid in range(1, 5):
            assert re.search(rf"INBOX: mail_seal: UID {uid} is left as it is",
                             counts.err), counts.err
        assert "UID 5" not in counts.err
        assert before <= set(disk.contents(store.server, store.user))
    assert leftovers(store) == []


def test_plain_mail_is_not_resealed(serve, storage):
    off = serve(setup(storage, settings=(("mail_seal_save", "no"),)))
    store = Store(off)
    bodies = fill(store)
    contents = disk.contents(off, store.user)
    store.ok("reseal").only(other=6)
    store.ok("scan").only(plain=6)
    assert disk.contents(off, store.user) == contents
    # Sealing needs no identity.
    store.ok("seal", identities="-").only(done=6)
    assert bodies_of(store) == bodies


def test_a_message_that_looks_sealed_stays_sealed(store):
    looks = b"age-encryption.org/v1\r\n-> X25519 nonsense\r\n\r\nbody\r\n"
    with Imap(store.server, store.user) as imap:
        imap.append(looks)
        imap.append(MESSAGE)
    counts = store.run("unseal")
    counts.only(done=1, failed=1)
    assert "would be taken for a sealed message" in counts.err
    assert bodies_of(store) == [looks, MESSAGE]


def test_an_identity_is_needed(store):
    fill(store)
    before = disk.contents(store.server, store.user)
    counts = store.run("reseal", user=store.writer, identities="-")
    counts.only(already=6)
    # With the old recipient in force, resealing to it would never end.
    counts = store.run("reseal", user=store.writer)
    assert counts.code != 0 and "current identity" in counts.err
    plain = store.server.user()
    store.server.allow_log("Session is locked")
    counts = store.run("reseal", user=plain, identities="-")
    assert counts.code != 0 and "there is no identity" in counts.err
    assert disk.contents(store.server, store.user) == before


PUBLIC_23 = """
namespace public {
  type = public
  prefix = Public/
  separator = /
  location = %s:@base@/tmp/public
  list = yes
}
"""
PUBLIC_24 = """
namespace public {
  type = public
  prefix = Public/
  separator = /
  mail_driver = %s
  mail_path = @base@/tmp/public
  list = yes
}
"""


def test_a_public_mailbox_is_refused(serve, storage):
    server = serve(Setup(
        storage=storage, name="public", extra_23=PUBLIC_23 % storage,
        extra_24=PUBLIC_24 % storage,
        settings=(("mail_seal_unenrolled", "plaintext"),)))
    store = Store(server)
    fill(store)
    with Imap(server, store.user) as imap:
        imap.cmd("CREATE Public/box")
        imap.append(MESSAGE, "Public/box")
    counts = store.run("reseal")
    assert counts.code != 0 and counts["done"] == 6
    assert "Public/box: refused: it belongs to nobody" in counts.err


# Maildir alone


@pytest.fixture
def maildir(serve):
    """Its files are in cur/."""
    store = Store(serve(setup("maildir")))
    store.bodies = fill(store)
    with Imap(store.server, store.writer) as imap:
        imap.select()
    return store


def test_dangling_and_other_symlinks(maildir):
    cur = f"{maildir.home}/mail/cur"
    first, second = sorted(os.listdir(cur))[:2]
    os.rename(f"{cur}/{first}", f"{maildir.home}/elsewhere")
    os.symlink(f"{maildir.home}/elsewhere", f"{cur}/{first}")
    os.unlink(f"{cur}/{second}")
    os.symlink(f"{maildir.home}/nowhere", f"{cur}/{second}")
    counts = maildir.run("reseal")
    assert counts.code == 0, counts.err
    counts.only(done=4, failed=2)
    assert os.readlink(f"{cur}/{first}") == f"{maildir.home}/elsewhere"
    maildir.run("scan").only(sealed=5, current=4, earlier1=1, damaged=1)


def test_a_file_without_sizes_in_its_name(maildir):
    cur = f"{maildir.home}/mail/cur"
    for name in os.listdir(cur):
        os.rename(f"{cur}/{name}", f"{cur}/" + re.sub(",.*:", ":", name))

    def sizes(user):
        with Imap(maildir.server, user) as imap:
            imap.select()
            return imap.ok("UID FETCH 1:* (UID RFC822.SIZE X-GUID)").raw
    before = sizes(maildir.writer)
    for mode in ("reseal", "unseal", "seal"):
        maildir.ok(mode).only(done=6)
        assert sizes(maildir.user) == before
    assert bodies_of(maildir) == maildir.bodies


def test_owner_mode_and_time_are_kept(maildir):
    cur = f"{maildir.home}/mail/cur"
    for i, name in enumerate(sorted(os.listdir(cur))):
        os.chmod(f"{cur}/{name}", 0o640 if i % 2 else 0o600)
        os.utime(f"{cur}/{name}", ns=(10**18, 10**18 + i))

    def attributes():
        return {name: (stat.st_mode, stat.st_uid, stat.st_gid,
                       stat.st_mtime_ns)
                for name in os.listdir(cur)
                for stat in [os.stat(f"{cur}/{name}")]}
    before = attributes()
    maildir.ok("reseal").only(done=6)
    assert attributes() == before


NO_EXCHANGE = """
#define _GNU_SOURCE
#include <errno.h>
int renameat2(int a, const char *b, int c, const char *d, unsigned int e)
{
	errno = EINVAL;
	return -1;
}
"""


def preloaded(storage, folder, source):
    """A server where doveadm and Dovecot have these functions."""
    if os.environ.get("MAIL_SEAL_ASAN"):
        pytest.skip("the sanitizer needs LD_PRELOAD for itself")
    # The configuration of 2.4 can't have a variable that isn't set.
    os.environ.setdefault("KILL_AT", "0")
    library = folder / "preload.so"
    subprocess.run(["gcc", "-Wall", "-shared", "-fPIC", "-x", "c", "-",
                    "-o", library], input=source.encode(), check=True)
    for path in (library, folder, folder.parent, folder.parent.parent):
        os.chmod(path, 0o755)
    return setup(
        storage,
        more_23=f"import_environment = TZ LD_PRELOAD={library} KILL_AT\n",
        more_24=f"import_environment {{\n  LD_PRELOAD = {library}\n"
        "  KILL_AT = %{env:KILL_AT}\n}\n")


@pytest.mark.parametrize("storage", ["maildir", "sdbox"])
def test_filesystem_without_exchange(own_server, storage, tmp_path):
    store = Store(own_server(preloaded(storage, tmp_path, NO_EXCHANGE)))
    make_store_with_everything(store)
    before = snapshot(store, store.writer)
    time.sleep(1.1)
    for mode in ("reseal", "unseal", "seal"):
        store.ok(mode)
        assert snapshot(store, store.user) == before
    assert leftovers(store) == []


# Alternative storage


@pytest.mark.parametrize("storage", ["sdbox", "mdbox"])
def test_alternative_storage(serve, storage):
    store = Store(serve(setup(
        storage, more_23=f"mail_location = {storage}:~/mail:ALT=~/alt\n",
        more_24="mail_alt_path = ~/alt\n")))
    bodies = fill(store)
    store.server.doveadm("altmove", "-u", store.writer.name, "mailbox", "INBOX",
                         "uid", "1:3")
    if storage == "mdbox":
        store.server.doveadm("purge", "-u", store.writer.name)

    def moved():
        return len(glob.glob(f"{store.home}/alt/**/[um].*", recursive=True))
    before = moved()
    assert before > 0
    for mode in ("reseal", "unseal", "seal"):
        assert store.ok(mode)["done"] == 6
        assert moved() == before
    assert bodies_of(store) == bodies
    assert leftovers(store) == []


# Beside other sessions


def messages_by_subject(store, mailboxes, user=None):
    """{subject: (mailbox, flags)}, and fails if a message is there twice."""
    found = {}
    with Imap(store.server, user or store.user) as imap:
        for mailbox in mailboxes:
            imap.select(mailbox)
            reply = imap.cmd("FETCH 1:* (FLAGS BODY.PEEK[])")
            for answer in reply.untagged:
                if b"BODY[]" not in answer:
                    continue
                subject = int(re.search(rb"Subject: (\d+)", answer).group(1))
                flags = re.search(rb"FLAGS \(([^)]*)\)", answer).group(1)
                assert subject not in found, f"{subject} is there twice"
                assert b"content of %d\r\n" % subject in answer
                found[subject] = (mailbox, b"Flagged" in flags)
    return found


def numbered(number):
    return (b"From: a@example.com\r\nSubject: %d\r\n\r\ncontent of %d\r\n" %
            (number, number)) + b"x" * 70 * (number % 40) + b"\r\n"


class Storm(threading.Thread):
    """Clients that change flags, expunge, move and deliver."""

    def __init__(self, store, expected, seed):
        super().__init__()
        self.store = store
        self.expected = expected
        self.numbers = [n for n in expected if n % 2 == seed % 2]
        self.rng = random.Random(seed)
        self.seed = seed
        self.stop = False
        self.failed = None
        self.actions = 0

    def run(self):
        try:
            self._run()
        except Exception as error:      # shown by the test
            self.failed = error

    def _run(self):
        with Imap(self.store.server, self.store.user) as imap:
            while not self.stop:
                self._act(imap)
                self.actions += 1

    def _act(self, imap):
        what = self.rng.choice(["flag"] * 6 + ["expunge", "move", "deliver"])
        if what == "deliver":
            number = 1000 + self.actions * 2 + self.seed % 2
            imap.append(numbered(number))
            self.expected[number] = ("INBOX", False)
            return
        number = self.rng.choice(self.numbers)
        mailbox, flagged = self.expected[number]
        imap.select(mailbox)
        uids = imap.uids(f"SUBJECT {number} SUBJECT {number}")
        uid = next((uid for uid in uids if
                    b"Subject: %d\r" % number in imap.ok(
                        f"UID FETCH {uid} BODY.PEEK[HEADER]").raw), None)
        assert uid is not None, f"{number} is lost"
        if what == "flag":
            imap.ok(f"UID STORE {uid} {'-' if flagged else '+'}FLAGS "
                    r"(\Flagged)")
            self.expected[number] = (mailbox, not flagged)
        elif what == "move":
            other = "Other" if mailbox == "INBOX" else "INBOX"
            imap.ok(f"UID MOVE {uid} {other}")
            self.expected[number] = (other, flagged)
        elif len(self.numbers) > 20:
            imap.ok(rf"UID STORE {uid} +FLAGS (\Deleted)")
            imap.ok(f"UID EXPUNGE {uid}")
            del self.expected[number]
            self.numbers.remove(number)


@contextlib.contextmanager
def storm(store, expected):
    threads = [Storm(store, expected, seed) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.stop = True
        for thread in threads:
            thread.join()
    for thread in threads:
        if thread.failed:
            raise thread.failed
        assert thread.actions > 3


def fill_numbered(store, count):
    with Imap(store.server, store.user) as imap:
        imap.ok("CREATE Other")
        for number in range(count):
            imap.append(numbered(number))
    return {number: ("INBOX", False) for number in range(count)}


def test_beside_a_storm(store):
    """Sealed and plain by turns, by two at once, while clients work."""
    expected = fill_numbered(store, 60)
    with storm(store, expected):
        for mode in ("unseal", "seal", "unseal"):
            rewriters = [store.start(mode, sleep=1000) for _ in range(2)]
            if store.server.setup.storage == "mdbox":
                store.server.doveadm("purge", "-u", store.user.name)
            for rewriter in rewriters:
                counts = finish(rewriter)
                assert counts.code == 0, counts.err
                assert counts["damaged"] == counts["foreign"] == 0
    assert messages_by_subject(store, ("INBOX", "Other")) == expected
    # Nobody else is there: now it comes to an end.
    done = store.ok("seal")
    assert done["failed"] == done["gone"] == 0
    assert store.ok("scan")["plain"] == 0
    assert messages_by_subject(store, ("INBOX", "Other")) == expected
    assert leftovers(store) == []


def test_a_reader_keeps_the_message_it_reads(store):
    large = corpus.of_size(900000)
    with Imap(store.server, store.user) as imap:
        imap.append(large)
        imap.append(MESSAGE)
        imap.select()

        def piece(start):
            raw = imap.ok(f"UID FETCH 1 BODY.PEEK[]<{start}.100000>").raw
            return raw[raw.index(b"}\r\n") + 3:][:100000]
        for i, mode in enumerate(("unseal", "seal", "unseal")):
            start = i * 250000
            assert piece(start) == large[start:start + 100000]
            store.ok(mode).only(done=2)
            start += 100000
            assert piece(start) == large[start:start + 100000]
            assert imap.body(2) == MESSAGE


def test_progress_stops_it(store):
    fill(store, 6)
    counts = store.ok("reseal", stop=2)
    assert counts["done"] == (6 if store.server.setup.storage == "mdbox" else 2)
    counts = store.ok("reseal")
    assert counts["done"] + counts["already"] == 6


def test_a_mailbox_that_is_deleted_meanwhile(store):
    with Imap(store.server, store.writer) as imap:
        imap.ok("CREATE Doomed")
        for i in range(40):
            imap.append(numbered(i), "Doomed")
            imap.append(numbered(i))
        rewriter = store.start("reseal", sleep=20000)
        time.sleep(0.3)
        imap.ok("DELETE Doomed")
    counts = finish(rewriter)
    assert counts["done"] >= 40 and not counts["damaged"]
    assert len(counts.err.splitlines()) < 10, counts.err
    assert len(bodies_of(store)) == 40


# Full and read-only disks


@contextlib.contextmanager
def small_disk(store, size):
    subprocess.run(["mount", "-t", "tmpfs", "-o",
                    f"size={size},mode=700,uid={MAIL_UID},gid={MAIL_UID}",
                    "tmpfs", store.home], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", store.home], check=True)


def test_full_disk(store):
    with small_disk(store, "4m"):
        bodies = [corpus.of_size(300000 + i) for i in range(4)]
        with Imap(store.server, store.writer) as imap:
            for body in bodies:
                imap.append(body)
        before = disk.contents(store.server, store.user)
        with open(f"{store.home}/filler", "wb") as file:
            left = os.statvfs(store.home)
            file.write(bytes(left.f_bavail * left.f_bsize - 150000))
        counts = store.run("reseal")
        assert counts["done"] == 0 and counts["failed"] == 4
        assert "No space left" in counts.err
        assert disk.contents(store.server, store.user) == before
        assert leftovers(store) == []
        os.unlink(f"{store.home}/filler")
        store.ok("reseal").only(done=4)
        assert bodies_of(store) == bodies


def make_read_only(path):
    # Busy until the last session has closed its files.
    for _ in range(100):
        done = subprocess.run(["mount", "-o", "remount,ro", path])
        if done.returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} can't be made read-only")


def test_read_only_disk(store):
    with small_disk(store, "4m"):
        fill(store)
        before = disk.contents(store.server, store.user)
        make_read_only(store.home)
        counts = store.run("reseal")
        assert counts.code != 0 or counts["failed"] == 6
        assert "Read-only" in counts.err
        assert len(counts.err.splitlines()) < 15, counts.err
        assert disk.contents(store.server, store.user) == before


# Killed


# Random moments, besides each call that changes something on disk: with two
# storage formats on each version of Dovecot, 320 in build-aux/check.
KILLS = 80
# Of those calls, one in so many. The mode changes with each: an odd number, so
# that each call may be in either.
STEP = 3

KILL_AT = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
static void step(void)
{
	static int at = -1;
	if (at < 0) {
		const char *value = getenv("KILL_AT");
		at = value == NULL ? 0 : atoi(value);
	}
	if (at > 0 && --at == 0)
		kill(getpid(), SIGKILL);
}
#define CALL(type, name, params, args) \
	type name params { \
		static type (*real) params; \
		if (real == NULL) real = dlsym(RTLD_NEXT, #name); \
		step(); \
		return real args; \
	}
CALL(int, rename, (const char *a, const char *b), (a, b))
CALL(int, renameat2, (int a, const char *b, int c, const char *d,
		      unsigned int e), (a, b, c, d, e))
CALL(int, link, (const char *a, const char *b), (a, b))
CALL(int, unlink, (const char *a), (a))
CALL(int, fsync, (int a), (a))
CALL(int, fdatasync, (int a), (a))
CALL(int, ftruncate, (int a, off_t b), (a, b))
CALL(ssize_t, pwrite, (int a, const void *b, size_t c, off_t d), (a, b, c, d))
CALL(ssize_t, pwrite64, (int a, const void *b, size_t c, off_t d),
     (a, b, c, d))
CALL(ssize_t, write, (int a, const void *b, size_t c), (a, b, c))
CALL(int, ftruncate64, (int a, off_t b), (a, b))
CALL(ssize_t, writev, (int a, const struct iovec *b, int c), (a, b, c))
CALL(int, mkdir, (const char *a, mode_t b), (a, b))
CALL(int, futimens, (int a, const struct timespec *b), (a, b))
"""


def check_after_kill(store, expected):
    """Each message once, in the one or the other form."""
    if store.server.setup.storage == "mdbox":
        # Its map may have forgotten what is in the files still.
        text = store.server.doveadm("fetch", "-u", store.user.name, "text",
                                    "all").stdout
        plain = [digest(body) for body in text.split(b"text:\n")[1:]]
        assert sorted(plain) == sorted(expected)
        return
    # Sealed ones are read in the end.
    messages = disk.stored(store.server, store.user)
    plain = {digest(message.content) for message in messages
             if not message.is_sealed}
    sealed = sum(message.is_sealed for message in messages)
    assert len(messages) == len(plain) + sealed == len(expected)
    assert plain <= expected


def remove_dotlocks(store):
    """Dovecot would wait for a lock of maildir's whose process is dead."""
    for path in glob.glob(f"{store.home}/mail/**/*.lock", recursive=True,
                          include_hidden=True):
        os.unlink(path)


def digest(content):
    return hashlib.sha256(content.rstrip()).digest()


@pytest.mark.no_asan
def test_killed_at_any_moment(store):
    bodies = fill(store, 6, size=30000)
    rng = random.Random(store.server.setup.storage)
    store.ok("reseal")
    store.ok("unseal")
    expected = set(map(digest, disk.contents(store.server, store.user)))
    modes, kills, took = ["seal mail", "seal unseal"], 0, 0.3
    while kills < KILLS:
        started = time.monotonic()
        process = store.start(modes[0])
        try:
            process.wait(timeout=rng.uniform(0.3, 1) * took)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        counts = finish(process)
        if counts.code == -signal.SIGKILL:
            kills += 1
            remove_dotlocks(store)
        else:
            assert counts.code == 0, counts.err
            took = time.monotonic() - started
            modes.reverse()
        check_after_kill(store, expected)
    complete_after_kills(store, bodies, expected)


def complete_after_kills(store, bodies, expected):
    if store.server.setup.storage == "mdbox":
        # A file that has none but expunged messages isn't touched.
        store.server.doveadm("purge", "-u", store.user.name)
    store.ok("unseal")
    assert set(map(digest,
                   disk.contents(store.server, store.user))) == expected
    assert bodies_of(store) == bodies
    store.ok("seal")
    assert bodies_of(store) == bodies
    assert len(disk.contents(store.server, store.user)) == len(bodies)
    assert leftovers(store) == []


def come_and_go(store):
    """Saving goes on after a crash, and what comes goes again."""
    with Imap(store.server, store.user) as imap:
        imap.append(MESSAGE)
        imap.select()
        uid = imap.uids()[-1]
        assert imap.body(uid) == MESSAGE
        imap.ok(rf"UID STORE {uid} +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")


def test_killed_at_each_step(own_server, storage, tmp_path):
    store = Store(own_server(preloaded(storage, tmp_path, KILL_AT)))
    bodies = fill(store, 3, size=70000)
    store.ok("reseal")
    store.ok("unseal")
    expected = set(map(digest, disk.contents(store.server, store.user)))
    # A number that mdbox wanted to give is taken: it looks at all files anew.
    store.server.allow_log("already exists|rebuilding|ebuil")
    mode = "seal"
    for number, step in enumerate(part(STEP, 1000, storage)):
        environment = dict(os.environ, KILL_AT=str(step))
        counts = finish(store.start(mode, env=environment))
        killed = counts.code == -signal.SIGKILL
        assert killed or counts.code == 0, counts.err
        remove_dotlocks(store)
        check_after_kill(store, expected)
        if number % 3 == 0:
            come_and_go(store)
        store.ok(mode)
        check_after_kill(store, expected)
        assert leftovers(store) == []
        mode = "unseal" if mode == "seal" else "seal"
        if not killed:
            break
    assert step > 20
    complete_after_kills(store, bodies, expected)
