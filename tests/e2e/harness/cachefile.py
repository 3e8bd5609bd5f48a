# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads dovecot.index.cache as lib-index/mail-cache-private.h lays it out, and
changes it, to see what is made of a file that someone has changed."""

import glob
import os
import re
import struct
from dataclasses import dataclass

_HEADER = struct.Struct("=BBBBIIIIIII")
_VARIABLE = 0xffffffff
# Ours: the mailbox, the key and the number of the slot.
SEAL = re.compile(r"seal\.([0-9a-f]{8})([0-9a-f]{8})\.(\d+)$")


@dataclass(frozen=True)
class Field:
    """What one record holds of one field."""
    name: str
    offset: int         # of the data in the file
    data: bytes
    record: int         # offset of the record

    @property
    def is_sealed(self):
        return self.name.startswith("seal.")


class CacheFile:
    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.data = bytearray(file.read())
        self.headers = []   # offsets of the lists of fields, the last counts
        self.names = []
        self.name_offsets = []
        self._sizes = []
        self._read_headers()

    def _read_headers(self):
        at = _offset(self.data[28:32])
        while at:
            self.headers.append(at)
            at = _offset(self.data[at:at + 4])
        if self.headers:
            self._read_names(self.headers[-1])

    def _read_names(self, at):
        size, count = struct.unpack_from("=II", self.data, at + 4)
        sizes = at + 12 + 4 * count
        self._sizes = struct.unpack_from(f"={count}I", self.data, sizes)
        names = sizes + 4 * count + 2 * count
        for _ in range(count):
            end = self.data.index(0, names, at + size)
            self.names.append(self.data[names:end].decode("ascii"))
            self.name_offsets.append(names)
            names = end + 1

    def fields(self):
        """All that is in the file, in the order of writing."""
        found = []
        at = _HEADER.size
        while at + 8 <= len(self.data):
            size = struct.unpack_from("=I", self.data, at + 4)[0]
            if size < 8 or at + size > len(self.data):
                break
            if at not in self.headers:
                found += self._record(at, at + size)
            at += (size + 3) & ~3
        return found

    def _record(self, record, end):
        at = record + 8
        while at + 4 <= end:
            number, = struct.unpack_from("=I", self.data, at)
            at += 4
            assert number < len(self.names), f"{self.path}: field {number}"
            size = self._sizes[number]
            if size == _VARIABLE:
                size, = struct.unpack_from("=I", self.data, at)
                at += 4
            yield Field(self.names[number], at, bytes(self.data[at:at + size]),
                        record)
            at += (size + 3) & ~3

    def sealed(self):
        return [field for field in self.fields() if field.is_sealed]

    def put(self, field, data):
        assert len(data) == len(field.data)
        self.data[field.offset:field.offset + len(data)] = data

    def adopt(self, other):
        """Look like the file of another mailbox: its identity and names."""
        self.data[4:12] = other.data[4:12]
        ours = [i for i, name in enumerate(self.names) if SEAL.match(name)]
        theirs = [name for name in other.names if SEAL.match(name)]
        for number, name in zip(ours, theirs):
            start = self.name_offsets[number]
            self.data[start:start + len(name)] = name.encode()

    def write(self, path=None):
        """In place, so that owner and rights stay."""
        with open(path or self.path, "r+b") as file:
            file.write(self.data)
            file.truncate()


def _offset(raw):
    """mail_index_offset_to_uint32(): 0 while it is being written."""
    if any(byte < 128 for byte in raw):
        return 0
    value = 0
    for byte in raw:
        value = value << 7 | byte & 127
    return value * 4


def paths(user):
    return sorted(glob.glob(f"{user.home}/**/dovecot.index.cache",
                            recursive=True, include_hidden=True))


def path(user, mailbox="INBOX"):
    """The cache file of a mailbox, whether it exists or not."""
    mail = f"{user.home}/mail"
    if os.path.exists(f"{mail}/mailboxes"):
        folder = f"{mail}/mailboxes/{mailbox}/dbox-Mails"
    else:
        folder = mail if mailbox == "INBOX" else f"{mail}/.{mailbox}"
    return f"{folder}/dovecot.index.cache"


def sealed_fields(user):
    """Of all mailboxes."""
    return [field for name in paths(user) for field in
            CacheFile(name).sealed()]


def seal_keys(user):
    """The ids of the keys under which something is kept."""
    return {SEAL.match(field.name).group(2) for field in sealed_fields(user)}
