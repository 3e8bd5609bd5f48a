# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mail that moves between stores with doveadm: into the seal, out of it, and to
another owner. What plain Dovecot keeps of it is what must be kept."""

import hashlib
import json
import os
import shutil

import pytest

from harness import age, corpus, disk, keyring
from harness.config import FORMATS, MAIL_UID, Setup
from harness.dsync import by_password, dsync, sync
from harness.seal import enrol, enrolled, open_all
from harness.wire import Imap, append_part


MESSAGES = [corpus.with_attachment("attached", "see it", "a", b"x" * 3000),
            b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n",
            corpus.of_size(corpus.CHUNK, "\n"), corpus.of_size(140000)]
FIELDS = ("mailbox mailbox-guid uid guid flags date.received date.sent "
          "size.virtual hdr text")

# After fill(), in both mailboxes.
MESSAGES_LEFT = 2 * len(MESSAGES) - 1


def other_format(storage):
    return FORMATS[(FORMATS.index(storage) + 1) % len(FORMATS)]


@pytest.fixture
def plain_source(serve, storage):
    return serve(Setup(storage=other_format(storage), plugin=""))


def holder(server, key=None):
    """A user whose identity doveadm has too."""
    key = key or age.keygen()
    return server.user(mail_seal_recipient=key.recipient,
                       mail_seal_identity=key.identity), key


def fill(server, user):
    with Imap(server, user) as imap:
        imap.ok("CREATE Other/Deep")
        imap.ok("CREATE Empty")
        imap.ok("SUBSCRIBE Other/Deep")
        for number, message in enumerate(MESSAGES):
            for mailbox in (b"INBOX", b"Other/Deep"):
                imap.ok(b"APPEND " + mailbox + append_part(
                    message, (r"\Seen word%d" % number, r"\Flagged \Answered",
                              "", "")[number], corpus.DATE))
        imap.select()
        # A gap in the UIDs.
        imap.ok(r"STORE 3 +FLAGS (\Deleted)")
        imap.ok("EXPUNGE")
    purge(server, user)


def purge(server, user):
    if server.setup.storage == "mdbox":
        server.doveadm("purge", "-u", user.name)


def listing(server, user, fields=FIELDS, mailbox="*"):
    """What doveadm tells of every message."""
    output = server.doveadm("-f", "json", "fetch", "-u", user.name, fields,
                            "mailbox", mailbox, "all").stdout
    rows = json.loads(output)
    for row in rows:
        # Of the session that looks.
        row["flags"] = row["flags"].replace("\\Recent", "").strip()
    return sorted(rows, key=lambda row: (row["mailbox"], int(row["uid"])))


def numbers(server, user):
    """What is kept of a message without looking into it."""
    return listing(server, user,
                   "mailbox mailbox-guid uid guid flags date.received")


def mailboxes(server, user):
    names = [sorted(server.doveadm("mailbox", "list", *options,
                                   "-u", user.name).stdout.split(b"\n"))
             for options in ((), ("-s",))]
    with Imap(server, user) as imap:
        return names + [imap.ok(
            f"STATUS {mailbox} (MESSAGES UIDNEXT UIDVALIDITY)").raw
            for mailbox in ("INBOX", "Other/Deep", "Empty")]


def assert_same_store(one, one_user, two, two_user):
    assert listing(one, one_user) == listing(two, two_user)
    assert mailboxes(one, one_user) == mailboxes(two, two_user)


# The whole store


def test_plain_to_sealed(plain_source, plain, sealed):
    user, copy = plain_source.user(), plain.user()
    sealed_copy, key = holder(sealed)
    fill(plain_source, user)
    dsync("backup", plain_source, user, plain, copy)
    dsync("backup", plain_source, user, sealed, sealed_copy)
    assert_same_store(plain, copy, sealed, sealed_copy)
    assert len(open_all(sealed, sealed_copy, key.identity)) == \
        MESSAGES_LEFT
    assert sorted(open_all(sealed, sealed_copy, key.identity)) == \
        sorted(disk.contents(plain, copy))


def test_sealed_to_plain(plain_source, plain, sealed):
    user, _ = holder(sealed)
    copy, reference = plain_source.user(), plain.user()
    fill(sealed, user)
    dsync("backup", sealed, user, plain_source, copy)
    dsync("backup", plain_source, copy, plain, reference)
    assert_same_store(sealed, user, plain_source, copy)
    assert_same_store(plain, reference, plain_source, copy)
    assert not any(message.is_sealed
                   for message in disk.stored(plain_source, copy))


def test_to_another_sealed_user(serve, sealed, storage):
    target = serve(Setup(storage=other_format(storage)))
    (user, key), (other, other_key) = holder(sealed), holder(target)
    fill(sealed, user)
    dsync("backup", sealed, user, target, other)
    assert_same_store(sealed, user, target, other)
    copies = open_all(target, other, other_key.identity)
    assert set(copies) == set(open_all(sealed, user, key.identity))
    assert len(copies) == MESSAGES_LEFT
    with pytest.raises(age.AgeFailed):
        age.open_(key.identity, disk.contents(target, other)[0])


def test_password_of_the_user_opens(plain, sealed):
    """Keys in a keyring alone, on the side that reads; either may."""
    user, copy, other = enrolled(sealed), plain.user(), enrolled(sealed)
    fill(sealed, user)
    password = by_password(sealed, user)
    dsync("backup", sealed, user, plain, copy, **password)
    assert mailboxes(sealed, user) == mailboxes(plain, copy)
    assert set(disk.contents(plain, copy)) == set(open_all(sealed, user))
    dsync("backup", sealed, user, sealed, other, **password)
    assert mailboxes(sealed, user) == mailboxes(sealed, other)
    assert len(open_all(sealed, other)) == MESSAGES_LEFT
    sealed.doveadm(*password["before"], "move", "-u", other.name, "Empty",
                   "user", user.name, "mailbox", "Other/Deep", "all",
                   stdin=password["stdin"])
    with Imap(sealed, other) as imap:
        imap.select("Empty")
        assert [imap.body(uid) for uid in imap.uids()] == MESSAGES
    purge(sealed, user)
    assert len(open_all(sealed, user)) == 3


def test_wrong_password_opens_nothing(plain, sealed):
    user, copy = enrolled(sealed), plain.user()
    fill(sealed, user)
    done = dsync("backup", sealed, user, plain, copy, check=False,
                 **{**by_password(sealed, user), "stdin": b"wrong\n"})
    assert done.returncode != 0
    assert disk.stored(plain, copy) == []


def test_only_the_recipient_is_needed_to_receive(plain, sealed):
    """The copy is for somebody who has a keyring and isn't logged in."""
    user, copy = plain.user(), enrolled(sealed)
    fill(plain, user)
    dsync("backup", plain, user, sealed, copy)
    assert len(open_all(sealed, copy)) == MESSAGES_LEFT
    with Imap(sealed, copy) as imap:
        imap.select("Other/Deep")
        assert [imap.body(uid) for uid in imap.uids()] == MESSAGES


def test_nothing_is_stored_before_enrolment(plain, sealed):
    user, copy = plain.user(), sealed.user()
    fill(plain, user)
    sealed.allow_log("mail_seal|keyring|enrol")
    done = dsync("backup", plain, user, sealed, copy, check=False)
    assert done.returncode != 0
    assert b"no keyring yet" in done.stderr
    assert disk.stored(sealed, copy) == []
    enrol(sealed, copy)
    dsync("backup", plain, user, sealed, copy)
    assert len(open_all(sealed, copy)) == MESSAGES_LEFT


def test_nothing_is_lost_without_an_identity(plain, sealed):
    """Neither here nor there, and said so once for each mailbox at most."""
    user, copy = enrolled(sealed), plain.user()
    fill(sealed, user)
    before = disk.contents(sealed, user)
    done = dsync("backup", sealed, user, plain, copy, check=False)
    assert done.returncode != 0
    assert b"mail_seal_unlock_fd" in done.stderr
    assert disk.stored(plain, copy) == []
    assert disk.contents(sealed, user) == before


NUMBERS = ("uid", "guid", "mailbox-guid")


def without_numbers(rows, names=NUMBERS):
    """What was made twice, for stores that were filled one by one."""
    return sorted(tuple(value for name, value in row.items()
                        if name not in names)
                  for row in rows)


def change(server, user, number):
    """What a person does in one store while another does it in the other."""
    with Imap(server, user) as imap:
        imap.select("Other/Deep")
        imap.ok(r"STORE %d +FLAGS (\Flagged side%d)" % (number, number))
        imap.ok(r"STORE %d +FLAGS (\Deleted)" % (number + 2))
        imap.ok("EXPUNGE")
        imap.append(corpus.of_size(1000 + number), "Other/Deep",
                    date=corpus.DATE)
        imap.ok(f"CREATE New{number}")
        imap.append(corpus.of_size(2000 + number), f"New{number}",
                    date=corpus.DATE)


def test_both_ways(plain_source, plain, sealed):
    """Changes on both sides meet as they do between plain stores."""
    user, copy = plain_source.user(), plain.user()
    other, (sealed_copy, key) = plain_source.user(), holder(sealed)
    for from_user, to_server, to_user in ((user, plain, copy),
                                          (other, sealed, sealed_copy)):
        fill(plain_source, from_user)
        sync(plain_source, from_user, to_server, to_user)
        change(plain_source, from_user, 1)
        change(to_server, to_user, 2)
        sync(plain_source, from_user, to_server, to_user)
        assert_same_store(plain_source, from_user, to_server, to_user)
    assert without_numbers(listing(plain, copy)) == \
        without_numbers(listing(sealed, sealed_copy))
    open_all(sealed, sealed_copy, key.identity)


# Parts of it


def maildir(home, messages):
    """A Maildir that somebody else has made, with no sizes in the names."""
    folder = f"{home}/incoming"
    for name in ("cur", "new", "tmp"):
        os.makedirs(f"{folder}/{name}")
    for number, message in enumerate(messages):
        with open(f"{folder}/cur/{1700000000 + number}.M1P1.host:2,S",
                  "wb") as file:
            file.write(message.replace(b"\r\n", b"\n"))
        # The received date.
        os.utime(file.name, (1700000000 + number, 1700000000 + number))
    for path, folders, files in os.walk(folder):
        for name in (path, *(f"{path}/{file}" for file in files)):
            os.chown(name, MAIL_UID, MAIL_UID)
    return folder


def test_import_of_a_maildir(plain, sealed):
    reference, (user, key) = plain.user(), holder(sealed)
    for server, target in ((plain, reference), (sealed, user)):
        folder = maildir(target.home, MESSAGES)
        server.doveadm("import", "-u", target.name, f"maildir:{folder}",
                       "Old", "all")
    assert sorted(open_all(sealed, user, key.identity)) == \
        sorted(message.replace(b"\r\n", b"\n") for message in MESSAGES)
    rows = listing(sealed, user)
    assert [row["flags"] for row in rows] == ["\\Seen"] * len(MESSAGES)
    assert without_numbers(rows) == without_numbers(listing(plain, reference))


@pytest.mark.parametrize("verb", ["copy", "move"])
def test_between_users(sealed, verb):
    (user, key), (other, other_key) = holder(sealed), holder(sealed)
    fill(sealed, user)
    before = listing(sealed, user, mailbox="Other/Deep")
    sealed.doveadm(verb, "-u", other.name, "INBOX", "user", user.name,
                   "mailbox", "Other/Deep", "all")
    purge(sealed, user)
    assert sorted(open_all(sealed, other, other_key.identity)) == \
        sorted(message.replace(b"\r\n", b"\n") for message in MESSAGES)
    left = len(open_all(sealed, user, key.identity))
    assert left == (MESSAGES_LEFT if verb == "copy" else 3)
    apart = (*NUMBERS, "mailbox")
    assert without_numbers(listing(sealed, other), apart) == \
        without_numbers(before, apart)


@pytest.mark.parametrize("verb", ["copy", "move"])
def test_between_users_without_an_identity(sealed, verb):
    user, (other, _) = enrolled(sealed), holder(sealed)
    fill(sealed, user)
    before = disk.contents(sealed, user)
    done = sealed.doveadm(verb, "-u", other.name, "INBOX", "user", user.name,
                          "mailbox", "Other/Deep", "all", check=False)
    assert done.returncode != 0 and b"mail_seal_unlock_fd" in done.stderr
    assert disk.contents(sealed, user) == before
    assert disk.stored(sealed, other) == []


@pytest.mark.parametrize("verb", ["copy", "move"])
def test_within_a_store_needs_no_identity(sealed, verb):
    """The ciphertext is what is copied."""
    user = enrolled(sealed)
    fill(sealed, user)
    before = set(disk.contents(sealed, user))
    sealed.doveadm(verb, "-u", user.name, "Empty", "mailbox", "Other/Deep",
                   "all")
    assert set(disk.contents(sealed, user)) == before
    with Imap(sealed, user) as imap:
        imap.select("Empty")
        assert [imap.body(uid) for uid in imap.uids()] == MESSAGES


# Damage


@pytest.mark.parametrize("size", [200, 140000, 5 << 20])
def test_damaged_mail_goes_nowhere(plain, sealed, size):
    """Not even its beginning, and it isn't taken away where it is."""
    (user, _), (other, _), copy = holder(sealed), holder(sealed), plain.user()
    with Imap(sealed, user) as imap:
        imap.append(MESSAGES[1])
        imap.append(corpus.of_size(size))
    _, message = disk.stored(sealed, user)
    disk.replace(message, message.content[:-1] +
                 bytes([message.content[-1] ^ 1]))
    done = dsync("backup", sealed, user, plain, copy, check=False)
    assert done.returncode != 0 and b"not authentic" in done.stderr
    done = sealed.doveadm("backup", "-u", user.name,
                          f"maildir:{user.home}/backup", check=False)
    assert done.returncode != 0 and b"not authentic" in done.stderr
    done = sealed.doveadm("move", "-u", other.name, "INBOX", "user", user.name,
                          "mailbox", "INBOX", "all", check=False)
    assert done.returncode != 0 and b"not authentic" in done.stderr
    # sdbox cannot keep a part of what is saved at once.
    moved = 0 if sealed.setup.storage == "sdbox" else 1
    sealed.allow_log("mail_seal: ")
    with Imap(sealed, user) as imap:
        imap.select()
        assert imap.uids() == [1, 2][moved:]
    with Imap(sealed, other) as imap:
        imap.select()
        assert [imap.body(uid) for uid in imap.uids()] == \
            [MESSAGES[1]] * moved
    assert all(len(message.content) < 100
               for message in disk.stored(plain, copy))
    assert not any(os.path.getsize(f"{path}/{name}") > 1000
                   for path, _, names in os.walk(f"{user.home}/backup")
                   for name in names if ",S=" in name)


# From mail_crypt


# mail_crypt has its keys in attributes, and dsync fails where there are none.
ATTRIBUTES_23 = "mail_attribute_dict = file:%h/attributes\n"
ATTRIBUTES_24 = """
mail_attribute {
  dict file {
    path = %{home}/attributes
  }
}
"""


def test_mail_crypt_to_sealed(serve, storage):
    """Opened by mail_crypt with the user's password, as it has it."""
    sealed = serve(Setup(storage=storage, extra_23=ATTRIBUTES_23,
                         extra_24=ATTRIBUTES_24))
    source = serve(Setup(storage=other_format(storage), plugin="mail_crypt"))
    user, (copy, key) = source.user(), holder(sealed)
    fill(source, user)
    assert not any(b"Subject" in content
                   for content in disk.contents(source, user))
    secret = hashlib.sha256(user.password.encode()).hexdigest()
    setting = "plugin/mail_crypt_private_password" \
        if source.version < (2, 4) else "crypt_user_key_password"
    dsync("backup", source, user, sealed, copy,
          before=("-o", f"{setting}={secret}"))
    assert mailboxes(source, user) == mailboxes(sealed, copy)
    assert numbers(source, user) == numbers(sealed, copy)
    with Imap(sealed, copy) as imap:
        imap.select("Other/Deep")
        assert [imap.body(uid) for uid in imap.uids()] == MESSAGES
    assert len(open_all(sealed, copy, key.identity)) == MESSAGES_LEFT


# Keyrings


def test_keyring_and_store_travel_as_files(sealed, own_server, storage):
    """To another machine: the home is all there is."""
    user = enrolled(sealed)
    fill(sealed, user)
    target = own_server(Setup(storage=storage))
    copy = target.user("elsewhere")
    shutil.rmtree(copy.home)
    shutil.copytree(user.home, copy.home)
    for path, folders, files in os.walk(copy.home):
        for name in (path, *(f"{path}/{file}" for file in files)):
            os.chown(name, MAIL_UID, MAIL_UID)
    with Imap(target, copy) as imap:
        imap.select("Other/Deep")
        assert [imap.body(uid) for uid in imap.uids()] == MESSAGES


def test_keyring_travels_before_the_mail(plain, sealed):
    """A copy of the keyring is what dsync seals to: the password opens it."""
    user, copy = plain.user(), sealed.user()
    first = enrolled(sealed)
    shutil.copy(keyring.path(first), keyring.path(copy))
    os.chown(keyring.path(copy), MAIL_UID, MAIL_UID)
    fill(plain, user)
    dsync("backup", plain, user, sealed, copy)
    assert len(open_all(sealed, copy, keyring.identity(first))) == \
        MESSAGES_LEFT
    with Imap(sealed, copy) as imap:
        imap.select()
        assert len([imap.body(uid) for uid in imap.uids()]) == 3
