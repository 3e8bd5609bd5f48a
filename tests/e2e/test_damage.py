# SPDX-License-Identifier: LGPL-2.1-or-later
"""A damaged message is a clear NO, and nothing else is disturbed by it."""

import glob
import os
import re
import time

import pytest

from harness import age, corpus, disk
from harness.config import MAIL_UID, Setup
from harness.sample import part
from harness.seal import enrolled
from harness.wire import Imap, Pop3, append_part

CHUNK = corpus.CHUNK + 16

# A word of each damaged message's content: it must never leave.
SECRET = b"xylophagous"
SMALL = (b"From: a@example.com\r\nSubject: %s subject\r\n\r\n%s body\r\n" %
         (SECRET, SECRET))
GOOD = b"From: b@example.com\r\nSubject: good\r\n\r\nall is well\r\n"

# What came to light when a message was opened, or when Dovecot read on.
DAMAGE_LOG = r"Mailbox \w+: UID[= ]\d+: (mail_seal: cannot open|read\()"

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
        "an empty chunk": [a, b, c, bytes(16)],
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
    other = age.seal(age.keygen().recipient, SMALL)
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
        ("another's message", other),
        ("another's header, this payload",
         other[:header_size(other)] + sealed[header_size(sealed):]),
        ("this header, another's payload",
         sealed[:header_size(sealed)] + other[header_size(other):]),
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
        self.message = message
        self.is_long = len(message) > corpus.CHUNK
        self.subject = re.search(rb"Subject: ([^\r]*)", message).group(1)
        # doveadm needs the userdb's identity, as it has no password.
        key = age.keygen()
        self.user = server.user(mail_seal_recipient=key.recipient,
                                mail_seal_identity=key.identity)
        self._append([GOOD, message])
        sample = disk.stored(server, self.user)[1].content
        damaged = [variant for way in ways for variant in way(sample)]
        self.names = [name for name, _ in damaged]
        self._append([message] * (len(damaged) - 1) + [GOOD])
        self.stored = disk.stored(server, self.user)
        # Those between are copies of one file: with the header of another
        # message, a damaged one would be an exchanged one.
        self.whole = [stored.content for stored in self.stored]
        self.whole[1:-1] = [sample] * len(damaged)
        assert len(self.stored) == len(damaged) + 2
        for stored, (_, content) in zip(self.stored[1:], damaged):
            disk.replace(stored, content)
        self.first, self.last = 2, len(damaged) + 1

    def _append(self, messages):
        with Imap(self.server, self.user) as imap:
            imap.ok(b"APPEND INBOX" + b"".join(map(append_part, messages)))

    def session(self):
        self.server.allow_log(DAMAGE_LOG)
        imap = Imap(self.server, self.user)
        imap.select()
        return imap

    def each(self):
        return zip(range(self.first, self.last + 1), self.names)

    def some(self, items):
        """Others for other items."""
        each = list(self.each())
        return [each[at - 1] for at in part(3, len(each) + 1, items)]


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


def own_session(server, seconds=60):
    """The session of this test: it logged in and out since the test began. Its
    lines may come in any order, and those of sessions before it still come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        log = server.new_log()
        came = re.findall(r"(?:Login|Logged in): .*session=<([^>]+)>", log)
        for session in reversed(came):
            if re.search(f"<{re.escape(session)}>.*Logged out", log):
                return re.escape(session)
        time.sleep(0.05)
    raise AssertionError(f"no session logged in and out:\n{log}")


def damage_lines(server):
    """The UIDs that the last session called damaged, after its LOGOUT."""
    session = own_session(server)
    return [int(uid) for uid in re.findall(
        rf"<{session}>.*Error: Mailbox \w+: UID[= ](\d+)", server.new_log())]


def refused(reply, name):
    assert reply.status == "NO", f"{name}: {reply.status} {reply.text!r}"
    assert b"damaged" in reply.text or b"does not have" in reply.text, \
        f"{name}: {reply.text!r}"
    assert not re.search(rb"\{\d+\}", reply.raw), f"{name}: a literal"
    assert SECRET not in reply.raw, name


@pytest.mark.parametrize("items", [
    "BODY.PEEK[]", "BODY.PEEK[]<0.20>", "BODY.PEEK[TEXT]", "RFC822",
    "BINARY.PEEK[]", "BINARY.PEEK[1]", "BINARY.SIZE[1]", "BODYSTRUCTURE",
    "PREVIEW", "(BODY.PEEK[] BODYSTRUCTURE ENVELOPE)"])
def test_each_is_refused(ward, items):
    """… with a line in the log, one for each, however often it is asked."""
    with ward.session() as imap:
        for number, name in ward.some(items):
            refused(imap.cmd(f"FETCH {number} {items}"), name)
        imap.ok("NOOP")
        assert imap.cmd(f"FETCH {ward.first}:{ward.last} {items}").status == \
            "NO"
        imap.ok("LOGOUT")
    assert sorted(damage_lines(ward.server)) == \
        list(range(ward.first, ward.last + 1))


@pytest.mark.parametrize("items", [
    "ENVELOPE", "BODY.PEEK[HEADER]", "BODY.PEEK[HEADER.FIELDS (Subject)]",
    "RFC822.HEADER"])
def test_headers_are_whole_or_refused(ward, items):
    """They lie in the first chunk, which may be authentic where others
    aren't."""
    with ward.session() as imap:
        for number, name in ward.each():
            reply = imap.cmd(f"FETCH {number} {items}")
            if reply.status == "OK":
                assert ward.subject in reply.raw, name
                assert ward.is_long
            else:
                refused(reply, name)
        imap.ok("NOOP")


def test_the_others_are_delivered(ward):
    """In the same command, after the damaged ones and before them."""
    with ward.session() as imap:
        reply = imap.cmd("FETCH 1:* BODY.PEEK[]")
        assert reply.status == "NO"
        assert reply.raw.count(GOOD) == reply.raw.count(b"{") == 2
        assert SECRET not in reply.raw
        assert imap.body(1) == GOOD


@pytest.mark.parametrize("command, answer", [
    ("SEARCH TEXT well", b"* SEARCH 1 {last}"),
    ("SEARCH BODY well", b"* SEARCH 1 {last}"),
    ("SEARCH SUBJECT good", b"* SEARCH 1 {last}"),
    ("SEARCH NOT TEXT well", None),
    ("SORT (SUBJECT) UTF-8 ALL", None),
    ("THREAD REFERENCES UTF-8 ALL", None),
])
def test_searches_tell_that_they_are_incomplete(ward, command, answer):
    with ward.session() as imap:
        reply = imap.cmd(command)
        assert reply.status == "NO" and b"damaged" in reply.text
        if answer is not None:
            expected = answer.replace(b"{last}", b"%d" % (ward.last + 1))
            assert reply.raw.strip() == expected
        imap.ok("NOOP")
        imap.ok("LOGOUT")
    lines = damage_lines(ward.server)
    assert len(lines) == len(set(lines))


def test_sizes_dates_and_flags_need_no_content(ward):
    with ward.session() as imap:
        reply = imap.ok("FETCH 1:* (UID RFC822.SIZE INTERNALDATE FLAGS)")
        sizes = re.findall(rb"RFC822.SIZE (\d+)", reply.raw)
        assert len(sizes) == ward.last + 1
        assert set(sizes[1:-1]) == {b"%d" % len(ward.message)}
        imap.ok("SORT (SIZE ARRIVAL) UTF-8 ALL")
        imap.ok(r"STORE 1:* +FLAGS.SILENT (keyword)")


def test_copies_are_as_damaged(ward):
    """The own user's copy is made without looking into the message."""
    with ward.session() as imap:
        imap.cmd("CREATE Copies")
        imap.ok(f"COPY {ward.first}:{ward.first + 5} Copies")
        imap.select("Copies")
        for number in range(1, 7):
            refused(imap.cmd(f"FETCH {number} BODY.PEEK[]"), number)
        imap.ok("CLOSE")
        imap.ok("DELETE Copies")


def test_pop3(ward):
    ward.server.allow_log(DAMAGE_LOG)
    with Pop3(ward.server, ward.user) as pop3:
        assert b"good" in pop3.ok("RETR 1", multiline=True)
        for number, name in ward.each():
            for command in (f"RETR {number}", f"TOP {number} 1"):
                answer = pop3.cmd(command, multiline=True)
                assert answer.startswith(b"-ERR"), f"{name}: {answer[:80]!r}"
        assert b"well" in pop3.ok(f"RETR {ward.last + 1}", multiline=True)
        pop3.ok("QUIT")


def test_doveadm_fetch_fails(ward):
    """… where a damaged message is asked for, and only there."""
    ward.server.allow_log(DAMAGE_LOG)

    def fetch(uid):
        return ward.server.doveadm(
            "fetch", "-u", ward.user.name, "text", "mailbox", "INBOX", "uid",
            str(uid), check=False)

    assert b"all is well" in fetch(1).stdout
    for uid in range(ward.first, ward.last + 1, 25):
        done = fetch(uid)
        assert done.returncode != 0, ward.names[uid - ward.first]
        assert SECRET not in done.stdout


def test_nothing_is_rewritten_and_all_comes_back(ward):
    """Runs last: the files are what they were, and so are names and sizes."""
    found = disk.stored(ward.server, ward.user)
    assert [stored.content for stored in found] == \
        [stored.content for stored in ward.stored]
    assert [stored.size_field for stored in found] == \
        [stored.size_field for stored in ward.stored]
    for stored, content in zip(found, ward.whole):
        disk.replace(stored, content)
    with ward.session() as imap:
        reply = imap.ok("FETCH 1:* (RFC822.SIZE BODY.PEEK[])")
        assert reply.raw.count(b"RFC822.SIZE %d " % len(ward.message)) == \
            ward.last - ward.first + 1
        assert reply.raw.count(ward.message) == ward.last - ward.first + 1
        assert reply.raw.count(GOOD) == 2
    ward.server.doveadm("force-resync", "-u", ward.user.name, "INBOX")
    with ward.session() as imap:
        assert imap.body(ward.first) == ward.message


# Alone in a mailbox


def put_damaged(server, message, damage, copies=1):
    """A user with these messages, of which damage(file) replaces the last."""
    server.allow_log(DAMAGE_LOG)
    user = enrolled(server)
    with Imap(server, user) as imap:
        for _ in range(copies):
            imap.append(message)
    stored = disk.stored(server, user)
    disk.replace(stored[-1], damage(stored[0].content))
    return user, stored[-1]


def test_damaged_copy_after_the_whole_message(server):
    """It has the same header: that is no proof that it is the same."""
    user, _ = put_damaged(server, LONG, lambda sealed: sealed[:-1], copies=2)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(1) == LONG
        refused(imap.cmd("FETCH 2 BODY.PEEK[]"), "copy")
        assert imap.body(1) == LONG


def test_cache_outlives_damage(serve, storage):
    server = serve(Setup(storage=storage))
    user = enrolled(server)
    items = "(ENVELOPE BODYSTRUCTURE RFC822.SIZE)"
    with Imap(server, user) as imap:
        imap.append(LONG)
        imap.select()
        # Dovecot caches what was asked for before, when it closes a mailbox.
        imap.ok(f"FETCH 1 {items}")
        before = imap.ok(f"FETCH 1 {items}").raw
        imap.ok("LOGOUT")
    stored, = disk.stored(server, user)
    whole = stored.content
    caches = glob.glob(f"{user.home}/mail/**/dovecot.index.cache",
                       recursive=True)
    inodes = [os.stat(path).st_ino for path in caches]
    server.allow_log(DAMAGE_LOG)
    disk.replace(stored, flip(whole, len(whole) - 100))
    with Imap(server, user) as imap:
        imap.select()
        refused(imap.cmd("FETCH 1 BODY.PEEK[]"), "cached")
        assert imap.ok(f"FETCH 1 {items}").raw == before
        refused(imap.cmd("FETCH 1 BODY.PEEK[TEXT]"), "cached")
    assert inodes and [os.stat(path).st_ino for path in caches] == inodes
    stored, = disk.stored(server, user)
    disk.replace(stored, whole)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.ok(f"FETCH 1 {items}").raw == before
        assert imap.body(1) == LONG
    assert "orrupted" not in server.new_log()


VIRTUAL = """
namespace virtual {
  prefix = virtual/
  separator = /
  @location@
}
"""


def test_damage_seen_through_a_virtual_mailbox(serve, storage):
    server = serve(Setup(
        storage=storage, plugins=("virtual",),
        extra_23=VIRTUAL.replace("@location@", "location = virtual:~/virtual"),
        extra_24=VIRTUAL.replace("@location@", "mail_driver = virtual\n"
                                               "  mail_path = ~/virtual")))
    user, _ = put_damaged(server, LONG, lambda sealed: sealed[:-1], copies=2)
    os.makedirs(f"{user.home}/virtual/All")
    with open(f"{user.home}/virtual/All/dovecot-virtual", "w",
              encoding="ascii") as file:
        file.write("INBOX\n  all\n")
    for path in (f"{user.home}/virtual", f"{user.home}/virtual/All"):
        os.chown(path, MAIL_UID, MAIL_UID)
    with Imap(server, user) as imap:
        imap.select("virtual/All")
        assert imap.body(1) == LONG
        for items in ("BODY.PEEK[]", "BODY.PEEK[]<0.20>", "BODYSTRUCTURE"):
            refused(imap.cmd(f"FETCH 2 {items}"), items)
        assert imap.cmd("SEARCH BODY zzz").status == "NO"
        assert imap.body(1) == LONG


# Above the size up to which a message is authenticated before it is sent.
HUGE = corpus.of_size(5 << 20, "\n")
MIDDLE = 40 * CHUNK


def received(imap, command):
    """All that comes until the answer or the end of the connection."""
    tag = imap.start(command)
    data = b""
    while not re.search(rb"(?m)^" + tag + rb" (OK|NO).*\r\n\Z", data[-200:]):
        piece = imap.sock.recv(1 << 20)
        if not piece:
            break
        data += piece
    return data


def literal_in(data, size):
    """What was sent of a literal; nothing of it if there was a NO."""
    _, promised, after = data.partition(b"{%d}\r\n" % size)
    if not promised:
        assert b" NO " in data and b"{" not in data, data[:200]
    return after[:size]


@pytest.mark.parametrize("damage", [
    lambda sealed: flip(sealed, MIDDLE),
    lambda sealed: sealed[:MIDDLE],
    lambda sealed: sealed[:header_size(sealed) + 40 * CHUNK],
    lambda sealed: sealed[:MIDDLE] + sealed[MIDDLE + CHUNK:],
], ids=["flipped", "cut", "cut between chunks", "chunk left out"])
def test_huge_message_is_never_whole_and_never_wrong(server, damage):
    user, _ = put_damaged(server, HUGE, damage, copies=2)
    server.allow_log(r"read\(.*authentic")
    with Imap(server, user) as imap:
        imap.select()
        data = received(imap, "FETCH 2 BODY.PEEK[]")
        body = literal_in(data, len(HUGE))
        assert len(body) < len(HUGE) and HUGE.startswith(body)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(1) == HUGE
        for start in range(2 << 20, 3 << 20, 1 << 18):
            data = received(imap, f"FETCH 2 BODY.PEEK[]<{start}.1000>")
            body = literal_in(data, 1000)
            assert HUGE[start:start + 1000].startswith(body)
            if len(body) < 1000:
                break
        else:
            raise AssertionError("the damage was not met")


def test_huge_message_is_refused_by_pop3(server):
    """Dovecot would end a part of it as if it were the whole, and the client
    would delete it."""
    user, _ = put_damaged(server, HUGE, lambda sealed: flip(sealed, MIDDLE),
                          copies=2)
    with Pop3(server, user) as pop3:
        assert pop3.ok("RETR 1", multiline=True).endswith(HUGE + b".\r\n")
        for command in ("RETR 2", "TOP 2 1"):
            assert pop3.cmd(command, multiline=True).startswith(b"-ERR")
        pop3.ok("QUIT")


def test_huge_message_is_not_copied_in_part(serve, storage):
    """doveadm reads it to the damage, and neither shows nor saves it as
    whole."""
    server = serve(Setup(storage=storage))
    key = age.keygen()
    user = server.user(mail_seal_recipient=key.recipient,
                       mail_seal_identity=key.identity)
    server.allow_log(DAMAGE_LOG)
    with Imap(server, user) as imap:
        imap.append(HUGE)
    stored, = disk.stored(server, user)
    disk.replace(stored, flip(stored.content, MIDDLE))
    done = server.doveadm("fetch", "-u", user.name, "text", "all", check=False)
    assert done.returncode != 0
    assert len(done.stdout) < len(HUGE)
    folder = f"maildir:{user.home}/copy"
    assert server.doveadm("backup", "-u", user.name, folder,
                          check=False).returncode != 0
    assert glob.glob(f"{user.home}/copy/*/*,S=*") == []
