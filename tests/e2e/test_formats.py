# SPDX-License-Identifier: LGPL-2.1-or-later
"""The files are as mail_seal_security(7) describes them."""

import re
import subprocess

import pytest

from harness import (cachefile, disk, formats, keyring, memory,
                     sanitizer)
from harness.cached import message, visit
from harness.doveadm import seal_user
from harness.seal import enrolled
from harness.wire import Imap

COMMANDS = ("FETCH 1 (ENVELOPE BODYSTRUCTURE BODY.PEEK[])",
            "FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject X-Number)]",
            "SORT (SUBJECT) UTF-8 ALL")


class Reader:
    """A user with one message, of which everything was asked."""

    def __init__(self, server):
        self.server = server
        self.user = enrolled(server)
        with Imap(server, self.user) as imap:
            imap.append(message(7), "INBOX")
            imap.ok("LOGOUT")
        for _ in range(2):
            visit(server, self.user, "INBOX", COMMANDS)
        self.keyring = keyring.read(self.user)
        self.slot = keyring.identity(self.user)
        self.identity = self.slot.splitlines()[1]
        self.secret = memory.identity_bytes(self.identity)
        self.guid, self.uid_validity = self.mailbox()

    def mailbox(self):
        out = subprocess.run(
            ["doveadm", "-c", self.server.config_file, "-f", "tab", "mailbox",
             "status", "-u", self.user.name, "guid uidvalidity", "INBOX"],
            check=True, capture_output=True, text=True,
            env=sanitizer.environment()).stdout
        names, values = (line.split("\t") for line in out.splitlines())
        row = dict(zip(names, values))
        return bytes.fromhex(row["guid"]), int(row["uidvalidity"])

    def stored(self):
        stored, = disk.stored(self.server, self.user)
        return stored.content

    def open(self, record, slot, uid=1):
        return formats.open_record(record, self.secret, self.guid,
                                   (self.uid_validity, uid, slot))

    def records(self):
        """{slot: record}"""
        name = formats.cache_name(self.secret, self.guid)
        cache = cachefile.CacheFile(cachefile.path(self.user))
        return {int(match.group(1)): field.data for field in cache.fields()
                if (match := re.fullmatch(rf"seal\.{name}\.(\d+)",
                                          field.name))}

    def items(self):
        return [item for slot, record in self.records().items()
                for item in self.open(record, slot)]


@pytest.fixture(scope="module")
def reader(sealed):
    return Reader(sealed)


def test_the_mac_of_a_keyring(reader):
    assert formats.value(reader.keyring, "mac") == \
        formats.mac(reader.keyring, reader.secret)
    other = reader.keyring.replace("recipient: age1q", "recipient: age1p", 1)
    other = other.replace("\n", "\n# a comment\n", 1)
    assert formats.value(other, "mac") != formats.mac(other, reader.secret)


def test_the_list_of_slots(reader):
    digests = [formats.digest(slot) for slot in formats.slots(reader.keyring)]
    assert digests == formats.value(reader.keyring, "slots").split(" ")
    assert reader.keyring.endswith("\nend\n")


def test_what_is_in_a_slot(reader):
    recipient = formats.value(reader.keyring, "recipient")
    assert re.fullmatch(rf"# current: {recipient}\nAGE-SECRET-KEY-1\w{{58}}\n",
                        reader.slot)


def test_records_of_the_index_cache(reader):
    items = reader.items()
    envelope, = (data for kind, data in items if kind == formats.ENVELOPE)
    assert b'"subject 07 of the first"' in envelope
    assert envelope.endswith(b"\0")
    headers = dict(formats.header_lines(data) for kind, data in items
                   if kind == formats.HEADER)
    assert headers[formats.SUBJECT] == [(3, b"Subject: subject 07 of the first\n")]
    assert headers[b"X-NUMBER"] == [(4, b"X-Number: number07\n")]


def test_a_record_has_its_place(reader):
    slot, record = next(iter(reader.records().items()))
    assert reader.open(record, slot)
    assert not reader.open(record, slot + 1)
    assert not reader.open(record, slot, uid=2)


def test_how_a_message_is_sealed(reader):
    seal, = (data for kind, data in reader.items() if kind == formats.SEAL)
    content = reader.stored()
    assert seal[0] == 1 and seal[1:9] == bytes(8)
    assert seal[9:41] == formats.header_hash(content)
    assert seal[41:] == memory.payload_key(reader.identity, content)
    chunk = formats.split(content)[2]
    assert b"number07" in keyring.aead_open(seal[41:], bytes(11) + b"\1",
                                            chunk)


def test_ranks(reader):
    path = cachefile.path(reader.user).replace("cache", "seal-sort-s")
    with open(path, "rb") as file:
        record = file.read()
    slot = formats.RANK_SLOTS["s"]
    (kind, data), = reader.open(record, slot, uid=0)
    assert kind == formats.RANKS
    assert list(formats.ranks(data)) == [1]


def test_what_a_rewritten_message_replaces(sealed):
    reader = Reader(sealed)
    old = reader.stored()
    seal_user(sealed, reader.user, "rotate", "--reseal",
              password=reader.user.password)
    identity = keyring.identity(reader.user).splitlines()[1]
    new = reader.stored()
    (words, body), = (stanza for stanza in formats.stanzas(new)
                      if stanza[0][0] == "mail-seal/replaces")
    assert words == ["mail-seal/replaces"]
    assert body == formats.replaces(old, memory.file_key(identity, new),
                                    memory.identity_bytes(identity))
