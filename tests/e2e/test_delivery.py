# SPDX-License-Identifier: LGPL-2.1-or-later
"""Deliveries and the plugins beside which mail is delivered and read."""

import glob
import os
import random
import re

import pytest

from harness import age, corpus, disk, keyring
from harness.config import MAIL_UID, Setup
from harness.seal import enrol, enrolled, open_all
from harness.wire import Imap, Lmtp, append_part, lmtp

MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
LF = MESSAGE.replace(b"\r\n", b"\n")
OUR_LOG = "mail_seal|keyring"


def age_file():
    """A real one, without the bytes that mail may not hold."""
    while True:
        sealed = age.seal(age.keygen().recipient, b"hello")
        if not re.search(rb"[\0\r]|\s\Z", sealed):
            return sealed


MAGICS = {
    "header": b"age-encryption.org/v1\n-> X25519 abc\nabc\n--- abc\n",
    "real file": age_file(),
    "later version": b"age-encryption.org/v9\nnobody knows yet\n",
    "CRLF": b"age-encryption.org/v1\r\n-> X25519 abc\r\n\r\n",
}


def deliver(server, users, message=MESSAGE):
    """The codes that LMTP answers."""
    with Lmtp(server) as client:
        return [code for code, _ in client.deliver(users, message)]


def nothing_stored(server, user):
    """Nor left half-done in any folder of temporary files."""
    mail = f"{user.home}/mail"
    left = [path for folder in ("tmp", "storage/m.*", "dbox-Mails/u.*")
            for path in glob.glob(f"{mail}/**/{folder}", recursive=True)
            if not os.path.isdir(path) or os.listdir(path)]
    return not os.path.exists(mail) or \
        (disk.stored(server, user) == [] and not left)


# Several recipients


def break_keyring(user):
    with open(keyring.path(user), "r+", encoding="ascii") as file:
        file.truncate(30)
    return keyring.read(user)


@pytest.mark.parametrize("order", [
    "good broken new good", "new good good", "broken good new", "new broken"])
def test_lmtp_answers_for_each_recipient(sealed, order):
    sealed.allow_log(OUR_LOG)
    users = [sealed.user() for _ in order.split()]
    kinds = dict(zip(users, order.split()))
    enrol(sealed, *(user for user in users if kinds[user] != "new"))
    broken = {user: break_keyring(user) for user in users
              if kinds[user] == "broken"}
    assert deliver(sealed, users) == \
        [250 if kinds[user] == "good" else 451 for user in users]
    for user in users:
        if kinds[user] == "good":
            opened, = open_all(sealed, user)
            assert opened.endswith(LF)
        else:
            assert nothing_stored(sealed, user)
    for user, text in broken.items():
        assert keyring.read(user) == text
    # The recipient is known again once the keyring is repaired.
    new = [user for user in users if kinds[user] == "new"]
    if new:
        enrol(sealed, *new)
        assert deliver(sealed, new) == [250] * len(new)


@pytest.mark.parametrize("order", [
    "no yes", "yes no", "no yes no yes", "yes yes no"])
def test_lmtp_to_sealed_and_plain_users(sealed, order):
    """Whose mail stays plain is the user's affair: nobody gets another's."""
    wanted = order.split()
    users = [sealed.user(mail_seal_save=save) for save in wanted]
    enrol(sealed, *users)
    assert deliver(sealed, users, corpus.of_size(200000)) == [250] * len(users)
    for user, save in zip(users, wanted):
        stored, = disk.stored(sealed, user)
        assert stored.is_sealed == (save == "yes")
        assert os.stat(stored.path).st_nlink == 1
        text = age.open_(keyring.identity(user), stored.content) \
            if stored.is_sealed else stored.content
        assert corpus.crlf(text).endswith(corpus.of_size(200000))
        with Imap(sealed, user) as imap:
            imap.select()
            assert imap.body(1).endswith(corpus.of_size(200000))


# What looks like a sealed message


@pytest.mark.parametrize("message", MAGICS.values(), ids=MAGICS)
def test_age_files_are_mail_like_any_other(sealed, message):
    user = enrolled(sealed)
    sealed.lda(user, message)
    sealed.doveadm("save", "-u", user.name, stdin=message)
    lmtp(sealed, [user], message)
    with Imap(sealed, user) as imap:
        imap.append(message)
        imap.select()
        expected = corpus.crlf(message)
        for uid in range(1, 5):
            body = imap.body(uid)
            assert body.rstrip().endswith(expected.rstrip())
    assert len(open_all(sealed, user)) == 4


@pytest.fixture(params=[("mail_seal_save", "no"),
                        ("mail_seal_unenrolled", "plaintext")],
                ids=lambda setting: "=".join(setting))
def storing_plain(serve, storage, request):
    """A server that stores mail as it is, at least at first."""
    return serve(Setup(storage=storage, settings=(request.param,)))


@pytest.mark.parametrize("message", MAGICS.values(), ids=MAGICS)
def test_plain_store_refuses_what_it_would_mistake(storing_plain, message):
    server = storing_plain
    user = server.user()
    server.allow_log(OUR_LOG + "|age-encryption|Save failed|save failed")
    assert server.lda(user, message, check=False).returncode != 0
    assert server.doveadm("save", "-u", user.name, stdin=message,
                          check=False).returncode != 0
    assert nothing_stored(server, user)
    server.doveadm("save", "-u", user.name, stdin=LF)
    assert disk.contents(server, user) == [LF]


@pytest.mark.parametrize("message", MAGICS.values(), ids=MAGICS)
def test_append_refuses_what_it_would_mistake(serve, storage, message):
    server = serve(Setup(storage=storage,
                         settings=(("mail_seal_save", "no"),)))
    user = server.user()
    with Imap(server, user) as imap:
        reply = imap.append_cmd(message)
        assert reply.status == "NO"
        assert b"age-encryption.org/" in reply.text
        reply = imap.cmd(b"APPEND INBOX" + append_part(MESSAGE) +
                         append_part(message))
        assert reply.status == "NO"
        assert nothing_stored(server, user)
        imap.append(MESSAGE)
        imap.select()
        assert imap.body(1) == MESSAGE
    assert disk.contents(server, user) == [LF]


def test_plain_and_sealed_in_one_mailbox(sealed, serve, storage):
    """Sealing is switched off and on again; all is read."""
    off = serve(Setup(storage=storage, settings=(("mail_seal_save", "no"),)))
    user = enrolled(sealed)
    moved = off.user(user.name)
    os.rmdir(moved.home)
    deliver_and_read_all(sealed, user)
    os.rename(user.home, moved.home)
    deliver_and_read_all(off, moved)
    os.rename(moved.home, user.home)
    deliver_and_read_all(sealed, user)
    assert sorted(stored.is_sealed for stored in
                  disk.stored(sealed, user)) == [False, True, True]


def deliver_and_read_all(server, user):
    lmtp(server, [user], MESSAGE)
    with Imap(server, user) as imap:
        imap.select()
        assert all(imap.body(uid).endswith(MESSAGE) for uid in imap.uids())
        assert imap.uids('TEXT "body"') == imap.uids()
        imap.ok("LOGOUT")


# Sieve


SIEVE_EXTRA = "sendmail_path = @base@/sendmail\n"
SIEVE_23 = "plugin {\n  sieve_extensions = +editheader\n}\n"
SIEVE_24 = "sieve_extensions {\n  editheader = yes\n}\n"
REQUIRE = ('require ["fileinto", "copy", "mailbox", "vacation", "body", '
           '"imap4flags", "editheader"];\n')

# Script: how many messages are left in which mailbox, and how many are sent.
SIEVES = {
    "keep;": ({"INBOX": 1}, 0),
    'fileinto :create "A/B";': ({"A/B": 1}, 0),
    'fileinto :create :copy "A"; fileinto :create :copy "B";':
        ({"INBOX": 1, "A": 1, "B": 1}, 0),
    'fileinto :create "A"; fileinto :create "B"; keep;':
        ({"INBOX": 1, "A": 1, "B": 1}, 0),
    "discard;": ({}, 0),
    'redirect "other@example.net";': ({}, 1),
    'redirect :copy "other@example.net";': ({"INBOX": 1}, 1),
    'vacation "away"; keep;': ({"INBOX": 1}, 1),
    'if body :contains "bod" { fileinto :create "A"; }': ({"A": 1}, 0),
    'if header :is "subject" "no" { discard; }': ({"INBOX": 1}, 0),
    'addflag "\\\\Seen"; fileinto :create "A";': ({"A": 1}, 0),
    'addheader "X-Seen" "yes"; keep;': ({"INBOX": 1}, 0),
    'deleteheader "subject"; fileinto :create "A"; redirect :copy "b@c.net";':
        ({"A": 1}, 1),
}


def use_sieve(user, script):
    path = f"{user.home}/.dovecot.sieve"
    with open(path, "w", encoding="ascii") as file:
        file.write(REQUIRE + script + "\n")
    os.chown(path, MAIL_UID, MAIL_UID)


def catch_sent_mail(server):
    """Mail that is sent ends as files of the folder that is returned."""
    folder = f"{server.base}/home/sent"
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o777)
    with open(f"{server.base}/sendmail", "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\ncat >$(mktemp {folder}/XXXXXX)\n")
    os.chmod(f"{server.base}/sendmail", 0o755)
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
    return folder


@pytest.mark.parametrize("script", SIEVES)
def test_sieve(serve, storage, script):
    server = serve(Setup(storage=storage, extra=SIEVE_EXTRA,
                         extra_23=SIEVE_23, extra_24=SIEVE_24))
    folder = catch_sent_mail(server)
    user = enrolled(server)
    use_sieve(user, script)
    message = MESSAGE.replace(b"Subject", b"To: %s\r\nSubject" %
                              user.name.encode())
    lmtp(server, [user], message)
    expected, sent = SIEVES[script]
    assert len(os.listdir(folder)) == sent
    opened = open_all(server, user)
    assert len(opened) == sum(expected.values())
    assert all(b"\n\nbody\n" in text for text in opened)
    with Imap(server, user) as imap:
        for mailbox, count in expected.items():
            imap.select(mailbox)
            assert len(imap.uids()) == count
            assert b"\r\n\r\nbody\r\n" in imap.body(1)


def test_sieve_of_several_recipients(serve, storage):
    """One files, one keeps, one sends on; nobody gets another's file."""
    server = serve(Setup(storage=storage, extra=SIEVE_EXTRA,
                         extra_23=SIEVE_23, extra_24=SIEVE_24))
    folder = catch_sent_mail(server)
    users = enrol(server, *(server.user() for _ in range(4)))
    for user, script in zip(users, (
            'fileinto :create "A"; keep;', 'redirect "b@c.net";',
            'fileinto :create :copy "A";', "keep;")):
        use_sieve(user, script)
    lmtp(server, users, corpus.of_size(150000))
    counts = [len(open_all(server, user)) for user in users]
    assert counts == [2, 0, 2, 1]
    sent, = os.listdir(folder)
    with open(f"{folder}/{sent}", "rb") as file:
        assert corpus.crlf(file.read()).endswith(corpus.of_size(150000))


# Other plugins


LAZY_23 = "plugin {\n  lazy_expunge = Expunged\n}\n"
LAZY_24 = "lazy_expunge_mailbox = Expunged\n"


def test_lazy_expunge(serve, storage):
    """What is expunged is sealed as it was, for the same user."""
    server = serve(Setup(storage=storage, plugins=("lazy_expunge",),
                         extra_23=LAZY_23, extra_24=LAZY_24))
    user = enrolled(server)
    with Imap(server, user) as imap:
        imap.append(MESSAGE)
        imap.append(corpus.of_size(100000))
        before = set(disk.contents(server, user))
        imap.select()
        imap.ok(r"STORE 1:2 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
        imap.select("Expunged")
        assert {imap.body(1), imap.body(2)} == \
            {MESSAGE, corpus.of_size(100000)}
    assert set(disk.contents(server, user)) == before
    open_all(server, user)


VIRTUAL_23 = """
namespace virtual {
  prefix = virtual/
  separator = /
  location = virtual:~/virtual
}
"""
VIRTUAL_24 = """
namespace virtual {
  prefix = virtual/
  separator = /
  mail_driver = virtual
  mail_path = ~/virtual
}
"""


def test_virtual(make_pair, storage):
    pair = make_pair(storage=storage, plugins=("virtual",),
                     extra_23=VIRTUAL_23, extra_24=VIRTUAL_24)
    for user in pair.users:
        folder = f"{user.home}/virtual/All"
        os.makedirs(folder)
        with open(f"{folder}/dovecot-virtual", "w", encoding="ascii") as file:
            file.write("INBOX\nOther\n  all\n")
        for path in (f"{user.home}/virtual", folder):
            os.chown(path, MAIL_UID, MAIL_UID)
    pair.reconnect()
    pair.same_ok("CREATE Other")
    attached = corpus.with_attachment("attached", "see it", "a", b"x")
    for message in (MESSAGE, corpus.of_size(140000), attached):
        pair.append(message, date=corpus.DATE)
        pair.append(message, "Other", date=corpus.DATE)
    for command in (
            "SELECT virtual/All", "FETCH 1:* (UID RFC822.SIZE BODY.PEEK[])",
            "FETCH 1:* (ENVELOPE BODYSTRUCTURE)", "SEARCH TEXT body",
            "SEARCH SUBJECT attached", "SORT (SUBJECT) UTF-8 ALL",
            "FETCH 2:3 BODY.PEEK[]<65530.20>", "COPY 1:6 Other",
            r"STORE 1 +FLAGS (\Deleted)", "EXPUNGE", "SELECT Other",
            "FETCH 1:* (RFC822.SIZE BODY.PEEK[])"):
        pair.same_ok(command)
    open_all(pair.servers[1], pair.users[1])


TRASH_23 = """
plugin {
  quota = count:User quota
  quota_rule = *:storage=40K
  quota_vsizes = yes
  trash = @base@/home/trash.conf
}
"""
TRASH_24 = """
quota "User quota" {
  storage_size = 40K
}
namespace inbox {
  mailbox Trash {
    trash_priority = 1
  }
}
"""


def test_trash_makes_room(make_pair, storage):
    pair = make_pair(storage=storage, plugins=("quota", "trash"),
                     imap_plugins=("imap_quota",),
                     extra_23=TRASH_23, extra_24=TRASH_24)
    for server in pair.servers:
        server.allow_log("trash.conf")
        with open(f"{server.base}/home/trash.conf", "w",
                  encoding="ascii") as file:
            file.write("1 Trash\n")
    pair.reconnect()
    pair.same_ok("CREATE Trash")
    for size in (10000, 10001, 10002):
        pair.append(corpus.of_size(size), "Trash", date=corpus.DATE)
    pair.append(corpus.of_size(25000), date=corpus.DATE)
    for command in ("GETQUOTAROOT INBOX", "STATUS Trash (MESSAGES)",
                    "SELECT INBOX", "FETCH 1:* BODY.PEEK[]"):
        pair.same_ok(command)


LOG_23 = """
plugin {
  mail_log_events = delete undelete expunge copy save mailbox_create
  mail_log_fields = uid box msgid size from subject
}
"""
LOG_24 = """
mail_log_events = delete undelete expunge copy save mailbox_create
mail_log_fields = uid box msgid size from subject
"""


def test_mail_log(make_pair, storage):
    """The same events with the same fields."""
    pair = make_pair(storage=storage, plugins=("notify", "mail_log"),
                     extra_23=LOG_23, extra_24=LOG_24)
    message = corpus.of_size(100000)
    pair.append(message)
    for command in ("CREATE Other", "SELECT INBOX", "COPY 1 Other",
                    r"STORE 1 +FLAGS (\Deleted)", "EXPUNGE", "LOGOUT"):
        pair.same_ok(command)
    logs = []
    for server in pair.servers:
        server.expect_log("Logged out")
        logs.append(re.findall(
            r": ((?:save|copy|expunge|delete|Mailbox created)\b.*)",
            server.new_log()))
    assert logs[0] == logs[1]
    assert any("size=" in line for line in logs[1])


# Compression


@pytest.mark.parametrize("method", ["gz", "zstd"])
def test_compressed_attachments(make_pair, storage, method):
    """Small and large ones, which decompress well and badly."""
    pair = make_pair(storage=storage, compress=method)
    noise = random.Random(3)
    for content in (b"x", bytes(100000), noise.randbytes(100000),
                    noise.randbytes(400000)):
        pair.append(corpus.with_attachment("attached", "see it\n" * 2000,
                                           "a.bin", content))
    for items in ("BINARY.SIZE[2]", "BINARY.PEEK[2]", "BINARY.PEEK[]",
                  "BODY.PEEK[]", "BODY.PEEK[]<100000.70000>",
                  "BODYSTRUCTURE", "RFC822.SIZE", "PREVIEW"):
        pair.reconnect()
        pair.select()
        pair.same_ok(f"FETCH 1:* {items}")


# dsync


def test_dsync_seals_and_opens(sealed):
    """Out to another folder and from there to another user with that key."""
    key = age.keygen()
    user, other = (sealed.user(mail_seal_recipient=key.recipient,
                               mail_seal_identity=key.identity)
                   for _ in range(2))
    messages = [MESSAGE, corpus.of_size(140000)]
    with Imap(sealed, user) as imap:
        for message in messages:
            imap.append(message)
    folder = f"maildir:{other.home}/copy"
    sealed.doveadm("backup", "-u", user.name, folder)
    contents = []
    for path in glob.glob(f"{other.home}/copy/*/*,S=*"):
        with open(path, "rb") as file:
            contents.append(age.open_(key.identity, file.read()))
    assert sorted(contents) == \
        sorted(message.replace(b"\r\n", b"\n") for message in messages)
    sealed.doveadm("backup", "-R", "-u", other.name, folder)
    with Imap(sealed, other) as imap:
        imap.select()
        assert [imap.body(uid) for uid in imap.uids()] == messages
    assert sorted(open_all(sealed, other, key.identity)) == sorted(contents)
