# SPDX-License-Identifier: LGPL-2.1-or-later
"""All of IMAP that isn't reading goes on as it does without the plugin."""

import os
import re
import threading
import zlib

import pytest

from harness import corpus, disk
from harness.compare import assert_same
from harness.config import Setup
from harness.seal import enrolled, open_all
from harness.wire import Imap, lmtp, quoted

THREADS = [
    (b"first", b"<1@example.com>", b""),
    (b"Re: first", b"<2@example.com>", b"References: <1@example.com>\r\n"),
    (b"other", b"<3@example.com>", b""),
    (b"Re: Re: first", b"<4@example.com>",
     b"References: <1@example.com> <2@example.com>\r\n"),
    (b"=?utf-8?q?=C3=BCber?=", b"<5@example.com>",
     b"In-Reply-To: <3@example.com>\r\n"),
]
MESSAGES = [
    b"From: %c@example.com\r\nTo: b@example.org\r\nSubject: %s\r\n"
    b"Message-ID: %s\r\n%sDate: Fri, %02d Jul 2026 02:44:25 +0000\r\n\r\n"
    b"%s\r\n" % (ord("z") - i, subject, identifier, references, 20 - i,
                 b"body %d " % i * (i * 100 + 1))
    for i, (subject, identifier, references) in enumerate(THREADS)]

# Dates, so that the answers of two servers don't differ by the second.
SCRIPTS = {
    "flags": r"""
        STORE 1:3 FLAGS (\Seen \Flagged)
        STORE 2 +FLAGS (\Answered $Label1 own-keyword)
        STORE 3 -FLAGS.SILENT (\Flagged)
        FETCH 1:* FLAGS
        SEARCH FLAGGED KEYWORD own-keyword
        SEARCH UNKEYWORD own-keyword
        FETCH 4 BODY[]
        FETCH 4:5 FLAGS
        FETCH 5 BODY.PEEK[]
        FETCH 5 FLAGS
        EXAMINE INBOX
        FETCH 5 BODY[]
        FETCH 5 FLAGS
        STORE 5 +FLAGS (\Seen)
        """,
    "expunge": r"""
        STORE 1,3,5 +FLAGS (\Deleted)
        UID EXPUNGE 3
        FETCH 1:* (UID FLAGS)
        EXPUNGE
        FETCH 1:* (UID BODY.PEEK[])
        STORE 1 +FLAGS (\Deleted)
        CLOSE
        SELECT INBOX
        FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (Subject)])
        UNSELECT
        NOOP
        """,
    "copies": r"""
        CREATE Other
        COPY 1:3 Other
        UID COPY 4:5 Other
        COPY 1 Missing
        MOVE 2 Other
        UID MOVE 3:4 Other
        FETCH 1:* (UID BODY.PEEK[])
        STATUS Other (MESSAGES UIDNEXT UNSEEN RECENT SIZE)
        SELECT Other
        FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])
        COPY 1:* Other
        FETCH 9:* (UID RFC822.SIZE)
        """,
    "condstore": r"""
        ENABLE CONDSTORE
        SELECT INBOX (CONDSTORE)
        FETCH 1:* (FLAGS MODSEQ)
        STORE 1 +FLAGS (\Seen)
        STORE 2 (UNCHANGEDSINCE 1) +FLAGS (\Seen)
        STORE 1:3 (UNCHANGEDSINCE 10000) +FLAGS (\Flagged)
        FETCH 1:* (FLAGS) (CHANGEDSINCE 2)
        SEARCH MODSEQ 3
        STATUS INBOX (HIGHESTMODSEQ MESSAGES)
        """,
    "qresync": r"""
        ENABLE QRESYNC
        SELECT INBOX (CONDSTORE)
        STORE 2,4 +FLAGS (\Deleted)
        EXPUNGE
        UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)
        STORE 1 +FLAGS (\Seen)
        CLOSE
        SELECT INBOX (QRESYNC (@validity@ 1 1:10))
        """,
    "searches": r"""
        SEARCH RETURN (MIN MAX COUNT ALL) SUBJECT first
        UID SEARCH RETURN (SAVE) BODY "body 2"
        FETCH $ (UID BODY.PEEK[HEADER.FIELDS (Subject)])
        SEARCH RETURN (ALL SAVE COUNT) FROM z
        UID FETCH $ FLAGS
        UID SORT RETURN (COUNT ALL) (SUBJECT) UTF-8 ALL
        SORT (REVERSE DATE) UTF-8 ALL
        SORT (FROM) UTF-8 TEXT body
        THREAD REFERENCES UTF-8 ALL
        THREAD REFS UTF-8 ALL
        THREAD ORDEREDSUBJECT UTF-8 ALL
        SEARCH LARGER 1000 SENTSINCE 17-Jul-2026
        SEARCH OR FROM x NOT TO b
        """,
    "folders": r"""
        CREATE Work/2026/July
        CREATE &AOQA9gD8-
        CREATE &U,BTFw-/&ZeVnLIqe-
        CREATE "with space"
        COPY 1:2 Work/2026/July
        COPY 3 &U,BTFw-/&ZeVnLIqe-
        COPY 4:5 "with space"
        LIST "" *
        LIST "" %
        LIST "Work/" %
        LIST "" (INBOX Work/*) RETURN (CHILDREN)
        LIST "" * RETURN (STATUS (MESSAGES SIZE))
        SUBSCRIBE Work/2026/July
        LSUB "" *
        LIST (SUBSCRIBED) "" *
        RENAME Work Job
        SELECT Job/2026/July
        FETCH 1:* BODY.PEEK[]
        RENAME &U,BTFw- Renamed
        SELECT Renamed/&ZeVnLIqe-
        FETCH 1 BODY.PEEK[]
        DELETE "with space"
        SELECT "with space"
        DELETE Job/2026/July
        DELETE Renamed/&ZeVnLIqe-
        LIST "" *
        """,
    "rename inbox": r"""
        UNSELECT
        RENAME INBOX Old
        SELECT Old
        FETCH 1:* (UID BODY.PEEK[])
        SELECT INBOX
        """,
    "special use": r"""
        CAPABILITY
        LIST (SPECIAL-USE) "" *
        LIST "" % RETURN (SPECIAL-USE)
        CREATE Sent
        COPY 1 Sent
        NAMESPACE
        ID NIL
        """,
    "metadata": r"""
        SETMETADATA INBOX (/private/comment "my own")
        GETMETADATA INBOX (/private/comment /shared/comment)
        SETMETADATA "" (/private/vendor/x "server")
        GETMETADATA "" (/private/vendor/x)
        SETMETADATA INBOX (/private/comment NIL)
        GETMETADATA (DEPTH infinity) INBOX /private
        """,
    "errors": r"""
        FETCH 99 BODY[]
        FETCH 1 NONSENSE
        SEARCH NO SUCH KEY
        FETCH 1 BODY[
        UID FETCH 99 BODY[]
        COPY 99 Other
        SELECT Missing
        FETCH 1 FLAGS
        APPEND Missing {3+}
        NONSENSE
        """,
}

COMMON = """
protocol imap {
  imap_metadata = yes
}
namespace inbox {
  mailbox Sent {
    special_use = \\Sent
  }
  mailbox Trash {
    special_use = \\Trash
    auto = subscribe
  }
}
"""
METADATA_23 = "mail_attribute_dict = file:%h/attributes\n"
METADATA_24 = """
mail_attribute {
  dict file {
    path = %{home}/attributes
  }
}
"""


def fill(session):
    for message in MESSAGES:
        session.append(message, date=corpus.DATE)
    return session.select()


def lines(script):
    return [line.strip() for line in script.splitlines() if line.strip()]


@pytest.mark.parametrize("name", SCRIPTS)
def test_script(make_pair, storage, name):
    """The same answers to the same commands, and nothing lost or plain."""
    pair = make_pair(storage=storage, extra=COMMON, extra_23=METADATA_23,
                     extra_24=METADATA_24)
    replies = pair.each(fill)
    validity = [re.search(rb"UIDVALIDITY (\d+)", reply.raw).group(1)
                for reply in replies]
    for command in lines(SCRIPTS[name]):
        if command.startswith("APPEND"):
            command += "\r\nabc"
        commands = [command.encode().replace(b"@validity@", value)
                    for value in validity]
        plain, sealed = (session.cmd(line) for session, line in
                         zip(pair.sessions, commands))
        assert_same(plain.comparable(), sealed.comparable(), command)
        # maildir can't rename INBOX.
        assert sealed.status != "BAD" or \
            name in ("errors", "rename inbox"), command
    for session in pair.sessions:
        session.ok("LOGOUT")
    plain, sealed = pair.servers
    assert sorted(disk.contents(plain, pair.users[0])) == \
        sorted(open_all(sealed, pair.users[1]))


# Copies


def test_copies_share_the_file(sealed):
    """No message is sealed a second time for its own user."""
    user = enrolled(sealed)
    with Imap(sealed, user) as imap:
        fill(imap)
        before = set(disk.contents(sealed, user))
        imap.ok("CREATE Other")
        imap.ok("COPY 1:* Other")
        imap.ok("MOVE 1:2 Other")
    stored = disk.stored(sealed, user)
    assert {message.content for message in stored} == before
    places = {(os.stat(message.path).st_ino, message.offset)
              for message in stored}
    assert len(places) == len(MESSAGES)


SHARED_23 = """
namespace shared {
  type = shared
  separator = /
  prefix = shared/%%u/
  location = @storage@:%%h/mail
  subscriptions = no
  list = children
}
plugin {
  acl = vfile
  acl_shared_dict = file:@base@/home/shared-mailboxes
}
"""
SHARED_24 = """
namespace shared {
  type = shared
  separator = /
  prefix = shared/$user/
  mail_path = %{owner_home}/mail
  subscriptions = no
  list = children
}
acl_driver = vfile
acl_sharing_map {
  dict file {
    path = @base@/home/shared-mailboxes
  }
}
"""


@pytest.fixture
def shared(serve, storage):
    """A server on which friend may do everything in owner's INBOX."""
    server = serve(Setup(
        storage=storage, plugins=("acl",), imap_plugins=("imap_acl",),
        extra_23=SHARED_23.replace("@storage@", storage), extra_24=SHARED_24))
    owner, friend = enrolled(server), enrolled(server)
    with Imap(server, owner) as imap:
        imap.append(MESSAGES[0])
        imap.ok(b"SETACL INBOX " + quoted(friend.name) + b" lrwstipekx")
    return server, owner, friend


def test_copy_to_another_owner_is_sealed_anew(shared):
    server, owner, friend = shared
    with Imap(server, friend) as imap:
        fill(imap)
        imap.ok(f"COPY 2 shared/{owner.name}/INBOX")
        imap.ok(f"MOVE 3 shared/{owner.name}/INBOX")
        imap.append(MESSAGES[3], f"shared/{owner.name}/INBOX")
    # What was moved away stays in mdbox's files until then.
    server.doveadm("purge", "-u", friend.name)
    expected = [message.replace(b"\r\n", b"\n") for message in MESSAGES]
    assert open_all(server, owner) == expected[:4]
    assert open_all(server, friend) == expected[:2] + expected[3:]
    assert not set(disk.contents(server, owner)) & \
        set(disk.contents(server, friend))
    with Imap(server, owner) as imap:
        imap.select()
        assert [imap.body(uid) for uid in range(1, 5)] == MESSAGES[:4]


def test_another_owners_mail_stays_closed(shared):
    """Nothing of the friend's opens it, and nothing is copied unopened."""
    server, owner, friend = shared
    server.allow_log(r"mail_seal: ")
    with Imap(server, friend) as imap:
        imap.select(f"shared/{owner.name}/INBOX")
        imap.ok("FETCH 1:* (FLAGS RFC822.SIZE)")
        reply = imap.cmd("FETCH 1 BODY.PEEK[]")
        assert reply.status == "NO" and b"sealed to a key" in reply.text
        assert imap.cmd("COPY 1 INBOX").status == "NO"
        imap.select()
        assert imap.uids() == []
    assert disk.stored(server, friend) == []


# Two clients


def test_idle(sealed):
    user = enrolled(sealed)
    with Imap(sealed, user) as idle, Imap(sealed, user) as other:
        idle.select()
        tag = idle.start("IDLE")
        assert idle.answer().startswith(b"+ ")
        other.append(MESSAGES[0])
        while b"1 EXISTS" not in idle.answer():
            pass
        lmtp(sealed, [user], MESSAGES[1])
        while b"2 EXISTS" not in idle.answer():
            pass
        idle.send(b"DONE\r\n")
        assert idle.finish(tag).status == "OK"
        assert idle.body(1) == MESSAGES[0]


def test_notify(sealed):
    user = enrolled(sealed)
    with Imap(sealed, user) as waiting, Imap(sealed, user) as other:
        other.ok("CREATE Other")
        waiting.select()
        waiting.ok("NOTIFY SET (SELECTED (MessageNew (UID BODY.PEEK[HEADER."
                   "FIELDS (Subject)]) MessageExpunge)) (PERSONAL ("
                   "MessageNew MessageExpunge))")
        other.append(MESSAGES[0], "Other")
        while b"STATUS Other" not in waiting.answer():
            pass
        other.append(MESSAGES[2])
        assert b"Subject: other" in waiting.ok("NOOP").raw


def test_many_clients_on_one_mailbox(sealed):
    """They append, read, copy and expunge at once; nothing goes wrong."""
    user = enrolled(sealed)
    failures = []

    def client(number):
        message = MESSAGES[number % len(MESSAGES)]
        try:
            with Imap(sealed, user) as imap:
                for _ in range(8):
                    imap.append(message)
                    imap.select()
                    uid = imap.uids()[-1]
                    reply = imap.cmd(f"UID FETCH {uid} BODY.PEEK[]")
                    assert reply.status == "OK" or b"EXPUNGE" in reply.text
                    imap.ok(r"STORE 1 +FLAGS (\Deleted)")
                    imap.ok("EXPUNGE")
        except (AssertionError, EOFError, OSError) as error:
            failures.append(error)

    clients = [threading.Thread(target=client, args=(number,))
               for number in range(6)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert not failures
    with Imap(sealed, user) as imap:
        imap.select()
        assert all(imap.body(uid) in MESSAGES for uid in imap.uids())


# Quota


QUOTA_23 = """
plugin {
  quota = @driver@:User quota
  quota_rule = *:storage=40K
  quota_grace = 0
}
"""
QUOTA_24 = """
quota "User quota" {
  driver = @driver@
  storage_size = 40K
  storage_grace = 0
}
"""


@pytest.mark.parametrize("storage, driver", [
    ("maildir", "count"), ("sdbox", "count"), ("mdbox", "count"),
    ("maildir", "maildir")])
def test_quota_counts_plaintext(make_pair, storage, driver):
    vsizes = "plugin {\n  quota_vsizes = yes\n}" if driver == "count" else ""
    pair = make_pair(
        storage=storage, plugins=("quota",), imap_plugins=("imap_quota",),
        extra_23=QUOTA_23.replace("@driver@", driver) + vsizes,
        extra_24=QUOTA_24.replace("@driver@", driver))
    pair.each(fill)
    ask = "GETQUOTAROOT INBOX"
    assert b"STORAGE " in pair.same_ok(ask).raw
    for command in ("CREATE Other", "COPY 1:3 Other", "MOVE 4 Other", ask,
                    r"STORE 1:2 +FLAGS (\Deleted)", "EXPUNGE", ask):
        pair.same_ok(command)
    big = corpus.of_size(30000)
    pair.append(big)
    pair.same_ok(ask)
    plain, sealed = pair.each(lambda session: session.append_cmd(big))
    assert plain.comparable() == sealed.comparable()
    assert sealed.status == "NO" and b"OVERQUOTA" in sealed.text
    pair.same_ok(ask)
    pair.reconnect()
    pair.same_ok(ask)


# Connections


class Deflated:
    """A socket between which and the server all is compressed."""

    def __init__(self, sock):
        self.sock = sock
        self.out = zlib.compressobj(wbits=-15)
        self.input = zlib.decompressobj(wbits=-15)
        self.buffer = b""

    def sendall(self, data):
        self.sock.sendall(self.out.compress(data) +
                          self.out.flush(zlib.Z_SYNC_FLUSH))

    def readline(self):
        while b"\n" not in self.buffer:
            self._more()
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def read(self, size):
        while len(self.buffer) < size:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def _more(self):
        data = self.sock.recv(65536)
        assert data, "connection closed"
        self.buffer += self.input.decompress(data)

    def close(self):
        self.sock.close()


def test_compress(sealed):
    user = enrolled(sealed)
    with Imap(sealed, user) as imap:
        imap.ok("COMPRESS DEFLATE")
        imap.sock = imap.file = Deflated(imap.sock)
        for message in (MESSAGES[0], corpus.of_size(200000)):
            imap.append(message)
            imap.select()
            assert imap.body(imap.uids()[-1]) == message
        imap.ok("LOGOUT")


def test_tls(sealed):
    user = enrolled(sealed)
    with Imap(sealed, user, tls=True) as imap:
        imap.append(MESSAGES[0])
    with Imap(sealed) as imap:
        imap.ok("STARTTLS")
        imap.sock = sealed.tls_context().wrap_socket(
            imap.sock, server_hostname="127.0.0.1")
        imap.file = imap.sock.makefile("rb")
        imap.login(user)
        imap.select()
        assert imap.body(1) == MESSAGES[0]
