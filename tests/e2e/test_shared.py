# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mailboxes that belong to somebody else, and those that belong to nobody."""

import os

import pytest

from harness import age, corpus, disk, keyring
from harness.compare import Pair
from harness.config import MAIL_UID, Setup
from harness.seal import enrolled, open_all
from harness.server import User
from harness.wire import Imap, Lmtp, lmtp, quoted


MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
LF = MESSAGE.replace(b"\r\n", b"\n")
BIG = corpus.of_size(100000)
OUR_LOG = "mail_seal|keyring"

PUBLIC_23 = """
namespace public {
  type = public
  separator = /
  prefix = public/
  location = @storage@:@base@/home/public
  subscriptions = no
}
"""
SHARED_23 = """
namespace shared {
  type = shared
  separator = /
  prefix = shared/%%u/
  location = @storage@:%%h/mail
  subscriptions = no
  list = children
}
namespace virtual {
  separator = /
  prefix = virtual/
  location = virtual:~/virtual
}
plugin {
  acl = vfile
  acl_shared_dict = file:@base@/home/shared-mailboxes
}
"""
PUBLIC_24 = """
namespace public {
  type = public
  separator = /
  prefix = public/
  mail_path = @base@/home/public
  subscriptions = no
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
namespace virtual {
  separator = /
  prefix = virtual/
  mail_driver = virtual
  mail_path = ~/virtual
}
acl_driver = vfile
acl_sharing_map {
  dict file {
    path = @base@/home/shared-mailboxes
  }
}
"""


def sharing(storage, plugin="mail_seal"):
    return Setup(
        storage=storage, plugin=plugin, plugins=("acl", "virtual"),
        imap_plugins=("imap_acl",),
        extra_23=SHARED_23.replace("@storage@", storage),
        extra_24=SHARED_24)


@pytest.fixture
def server(serve, storage):
    """Where a user may let others into a mailbox."""
    return serve(sharing(storage))


def public(serve, storage, **settings):
    """Where everybody may do everything in a store of nobody's."""
    server = serve(Setup(
        storage=storage, settings=tuple(settings.items()),
        extra_23=PUBLIC_23.replace("@storage@", storage),
        extra_24=PUBLIC_24))
    folder = f"{server.base}/home/public"
    if not os.path.exists(folder):
        os.mkdir(folder)
        os.chown(folder, MAIL_UID, MAIL_UID)
    return server


def share(server, owner, friend, rights=b"lrwstipekxa"):
    """friend may do everything in owner's INBOX, whose name is returned."""
    with Imap(server, owner) as imap:
        imap.ok(b"SETACL INBOX " + quoted(friend.name) + b" " + rights)
    return f"shared/{owner.name}/INBOX"


def sieve(user, script):
    path = f"{user.home}/.dovecot.sieve"
    with open(path, "w", encoding="ascii") as file:
        file.write(script)
    os.chown(path, MAIL_UID, MAIL_UID)


def board(server):
    """What lies in the public store."""
    nobody = User("", "", f"{server.base}/home/board")
    if not os.path.exists(nobody.home):
        os.mkdir(nobody.home)
        os.symlink(f"{server.base}/home/public", f"{nobody.home}/mail")
    return disk.stored(server, nobody)


# Of somebody else


def test_every_way_in_seals_to_the_owner(server):
    owner, friend = enrolled(server), enrolled(server)
    inbox = share(server, owner, friend)
    sieve(friend, f'require "fileinto";\nfileinto "{inbox}";\n')
    lmtp(server, [friend], MESSAGE)
    with Imap(server, friend) as imap:
        imap.append(BIG, inbox)
        imap.append(MESSAGE)
        imap.select()
        imap.ok(f"COPY 1 {inbox}")
        imap.ok(f"MOVE 1 {inbox}")
    server.doveadm("save", "-u", friend.name, "-m", inbox, stdin=LF)
    assert len(open_all(server, owner)) == 5
    for message in disk.stored(server, owner):
        with pytest.raises(age.AgeFailed):
            age.open_(keyring.identity(friend), message.content)
    with Imap(server, owner) as imap:
        imap.select()
        bodies = [imap.body(uid) for uid in imap.uids()]
    assert sorted(map(len, bodies))[-1] == len(BIG)
    assert all(body.endswith(MESSAGE) or body == BIG for body in bodies)


def test_nothing_is_stored_for_an_owner_without_a_keyring(server):
    owner, friend = enrolled(server), enrolled(server)
    inbox = share(server, owner, friend)
    os.rename(keyring.path(owner), f"{owner.home}/away")
    server.allow_log(OUR_LOG + "|sieve: ")
    sieve(friend, f'require "fileinto";\nfileinto "{inbox}";\n')
    with Lmtp(server) as client:
        (code, text), = client.deliver([friend], MESSAGE)
        assert code == 451 and "not ready" in text
    with Imap(server, friend) as imap:
        assert imap.append_cmd(MESSAGE, inbox).status == "NO"
        imap.append(MESSAGE)
        imap.select()
        assert imap.cmd(f"COPY 1 {inbox}").status == "NO"
        assert imap.cmd(f"MOVE 1 {inbox}").status == "NO"
        assert imap.uids() == [1]
    assert disk.stored(server, owner) == []
    os.rename(f"{owner.home}/away", keyring.path(owner))
    with Imap(server, friend) as imap:
        imap.append(MESSAGE, inbox)
    assert open_all(server, owner) == [LF]


def test_a_reader_gets_the_locked_answer(server):
    """Whatever is asked for, from the message itself and from its parts."""
    owner, friend = enrolled(server), enrolled(server)
    inbox = share(server, owner, friend)
    with Imap(server, owner) as imap:
        imap.append(MESSAGE)
        imap.append(BIG)
    server.allow_log(OUR_LOG)
    with Imap(server, friend) as imap:
        imap.append(MESSAGE)
        imap.select(inbox)
        for command in (
                "FETCH 1:2 BODY.PEEK[]", "FETCH 1 BODY.PEEK[TEXT]",
                "FETCH 1 BINARY.PEEK[1]", "FETCH 1 ENVELOPE",
                "FETCH 2 BODYSTRUCTURE", "FETCH 1 BODY.PEEK[HEADER]",
                "FETCH 1 PREVIEW", "FETCH 2 BODY.PEEK[]<70000.10>",
                "SEARCH BODY body", "SEARCH SUBJECT hello",
                "SORT (SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL",
                "COPY 1 INBOX", "MOVE 1 INBOX"):
            reply = imap.cmd(command)
            assert reply.status == "NO", command
            assert b"sealed to a key that this session does not have" in \
                reply.text
            assert not any(word in reply.raw for word in (b"hello", b"body"))
        imap.ok("FETCH 1:2 (FLAGS RFC822.SIZE INTERNALDATE)")
        imap.select()
        assert imap.uids() == [1]
        assert imap.body(1) == MESSAGE


def test_rights_are_those_of_plain_dovecot(serve, storage):
    """What they forbid and allow that needs no look into a message."""
    servers = [serve(sharing(storage, plugin)) for plugin in ("", "mail_seal")]
    owners = [server.user("landlord") for server in servers]
    pair = Pair(*servers, *(server.user("lodger") for server in servers))
    pair.append(MESSAGE, date=corpus.DATE)
    for number, rights in enumerate((b"lr", b"lrwit", b"lrwite", b"lrwitea")):
        for server, owner, user in zip(servers, owners, pair.users):
            inbox = share(server, owner, user, rights)
            with Imap(server, owner) as imap:
                imap.append(BIG, date=corpus.DATE)
        pair.reconnect()
        replies = [pair.same(command) for command in (
            'LIST "" shared/*', f"MYRIGHTS {inbox}", "SELECT INBOX",
            f"COPY 1 {inbox}", f"SELECT {inbox}",
            r"STORE 1 +FLAGS (\Seen \Flagged word)",
            r"STORE 2 +FLAGS (\Deleted)", "EXPUNGE",
            "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)",
            f"GETACL {inbox}", f"SETACL {inbox} anyone r", f"DELETE {inbox}")]
        allowed = [reply.status == "OK" for reply in replies]
        # COPY and GETACL; the others answer otherwise.
        assert (allowed[3], allowed[9]) == (number > 0, number > 2)
    pair.close()
    servers[1].doveadm("purge", "-u", owners[1].name)
    assert len(open_all(servers[1], owners[1])) == 4 + 3 - 2


def test_an_owner_who_reads_at_the_same_time_opens_nothing_for_others(server):
    owner, friend = enrolled(server), enrolled(server)
    inbox = share(server, owner, friend)
    server.allow_log(OUR_LOG)
    with Imap(server, owner) as imap, Imap(server, friend) as other:
        imap.append(MESSAGE)
        imap.select()
        other.select(inbox)
        assert imap.body(1) == MESSAGE
        assert other.cmd("FETCH 1 BODY.PEEK[]").status == "NO"
        # Without looking at it, there is no harm in working with it.
        other.ok(r"STORE 1 +FLAGS (\Flagged)")
        assert b"\\Flagged" in imap.ok("NOOP").raw
        imap.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE PREVIEW)")
        assert b"hello" not in other.cmd("FETCH 1 (FLAGS ENVELOPE)").raw


def test_virtual_mailboxes_over_several_owners(server):
    owner, friend = enrolled(server), enrolled(server)
    inbox = share(server, owner, friend)
    folder = f"{friend.home}/virtual/All"
    os.makedirs(folder)
    with open(f"{folder}/dovecot-virtual", "w", encoding="ascii") as file:
        file.write(f"INBOX\n{inbox}\n  all\n")
    for path in (f"{friend.home}/virtual", folder):
        os.chown(path, MAIL_UID, MAIL_UID)
    with Imap(server, owner) as imap:
        imap.append(MESSAGE)
    with Imap(server, friend) as imap:
        imap.append(BIG)
    server.allow_log(OUR_LOG)
    with Imap(server, friend) as imap:
        imap.select("virtual/All")
        replies = [imap.cmd(f"FETCH {number} BODY.PEEK[]")
                   for number in (1, 2)]
        assert sorted(reply.status for reply in replies) == ["NO", "OK"]
        assert any(BIG in reply.raw for reply in replies)
        assert not any(b"hello" in reply.raw for reply in replies)
        assert imap.cmd("COPY 1:2 INBOX").status == "NO"
    assert len(open_all(server, friend)) == 1


# Of nobody


def test_public_mail_is_refused(serve, storage):
    """There is nobody to seal it to, and nobody has said to leave it plain."""
    server = public(serve, storage)
    user = enrolled(server)
    server.allow_log(OUR_LOG + "|sieve: ")
    sieve(user, 'require ["fileinto", "mailbox"];\n'
          'fileinto :create "public/Refused";\n')
    with Lmtp(server) as client:
        (code, _), = client.deliver([user], MESSAGE)
        assert code == 451
    with Imap(server, user) as imap:
        imap.cmd("CREATE public/Refused")
        imap.append(MESSAGE)
        imap.select()
        for reply in (imap.append_cmd(MESSAGE, "public/Refused"),
                      imap.cmd("COPY 1 public/Refused"),
                      imap.cmd("MOVE 1 public/Refused")):
            assert reply.status == "NO"
            assert b"belongs to nobody" in reply.text
        assert imap.body(1) == MESSAGE
    assert board(server) == []
    assert open_all(server, user) == [LF]


@pytest.mark.parametrize("setting", [
    ("mail_seal_unenrolled", "plaintext"), ("mail_seal_save", "no")])
def test_public_mail_is_plain_by_setting(serve, storage, setting):
    """And by no other way: what leaves it for a user is sealed again."""
    name, value = setting
    server = public(serve, storage, **{name: value})
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
        imap.ok(f"CREATE public/{name}")
        imap.ok(f"CREATE public/{name}2")
        imap.append(BIG, f"public/{name}")
        imap.select()
        imap.ok(f"COPY 1 public/{name}")
        imap.select(f"public/{name}")
        assert [imap.body(uid) for uid in imap.uids()] == [BIG, MESSAGE]
        imap.ok("COPY 1:2 INBOX")
        imap.ok(f"COPY 1:2 public/{name}2")
        imap.select()
        assert [imap.body(uid) for uid in imap.uids()] == \
            [MESSAGE, BIG, MESSAGE]
    assert not any(message.is_sealed for message in board(server))
    if name == "mail_seal_unenrolled":
        assert len(open_all(server, user)) == 3


def test_sealed_mail_in_a_public_mailbox_stays_closed(serve, storage):
    """Put there by hand: it isn't opened by whoever looks first."""
    server = public(serve, storage, mail_seal_unenrolled="plaintext")
    user = enrolled(server)
    server.allow_log(OUR_LOG)
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
        imap.ok("CREATE public/Sealed")
        imap.append(b"Subject: to be replaced\r\n\r\n", "public/Sealed")
        sealed, = disk.contents(server, user)
        plain, = (message for message in board(server)
                  if b"to be replaced" in message.content)
        disk.replace(plain, sealed)
        imap.select("public/Sealed")
        reply = imap.cmd("FETCH 1 BODY.PEEK[]")
        assert reply.status == "NO" and b"hello" not in reply.raw
        assert imap.cmd("COPY 1 INBOX").status == "NO"
