# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of messages as they lie on disk, in each storage format."""

import contextlib
import glob
import os
import re
import subprocess
from dataclasses import dataclass

from .config import MAIL_UID

AGE_MAGIC = b"age-encryption.org/v1\n"

_DBOX_PRE = b"\x01\x02"
_DBOX_POST = b"\n\x01\x03\n"


@dataclass
class Stored:
    path: str
    content: bytes      # without what dbox puts around it
    size_field: int     # RFC822.SIZE as stored (W= or V), -1 if it isn't
    uid: int            # sdbox alone, otherwise 0
    offset: int = 0     # of content in the file

    @property
    def is_sealed(self):
        return self.content.startswith(AGE_MAGIC)


def stored(server, user):
    """All messages of a user, in the order of their making."""
    mail = f"{user.home}/mail"
    read = {"maildir": _maildir, "sdbox": _sdbox, "mdbox": _mdbox}
    return read[server.setup.storage](mail)


def contents(server, user):
    return [message.content for message in stored(server, user)]


def replace(message, content):
    """Put other bytes in the place of a message's own, in the same file.

    In mdbox only where the message is alone in its file, or of that size.
    """
    data = _read(message.path)
    before = data[:message.offset]
    if message.offset > 0:
        # The size is the last field of what dbox puts in front.
        before = before[:-17] + b"%016x\n" % len(content)
    with open(message.path, "r+b") as file:
        file.write(before + content +
                   data[message.offset + len(message.content):])
        file.truncate()
    message.content = content


@contextlib.contextmanager
def small_disk(user, size="3M"):
    """The user's home is a disk of its own; yields a function to fill it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o",
                    f"size={size},mode=700,uid={MAIL_UID},gid={MAIL_UID}",
                    "tmpfs", user.home], check=True)

    def fill(leave):
        """Leave so many bytes."""
        with open(f"{user.home}/filler", "wb") as file:
            left = os.statvfs(user.home)
            file.write(bytes(left.f_bavail * left.f_bsize - leave))

    try:
        yield fill
    finally:
        subprocess.run(["umount", "-l", user.home], check=True)


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _maildir(mail):
    found = []
    for path in glob.glob(f"{mail}/**/", recursive=True, include_hidden=True):
        if os.path.basename(path.rstrip("/")) not in ("cur", "new"):
            continue
        for name in os.listdir(path):
            match = re.search(r",W=(\d+)", name)
            found.append(Stored(path + name, _read(path + name),
                                int(match.group(1)) if match else -1, 0))
    return sorted(found, key=lambda message: _maildir_order(message.path))


def _maildir_order(path):
    seconds, micros = re.match(r"(\d+)\.M(\d+)P",
                               os.path.basename(path)).groups()
    return int(seconds), int(micros)


def _sdbox(mail):
    found = []
    for path in glob.glob(f"{mail}/mailboxes/**/dbox-Mails/u.*",
                          recursive=True):
        for message in _dbox_messages(path):
            message.uid = int(path.rpartition("u.")[2])
            found.append(message)
    return sorted(found, key=lambda message: (os.path.dirname(message.path),
                                              message.uid))


def _mdbox(mail):
    paths = glob.glob(f"{mail}/storage/m.*")
    return [message
            for path in sorted(paths, key=lambda p: int(p.rpartition(".")[2]))
            for message in _dbox_messages(path)]


def _dbox_messages(path):
    """dbox-file.h: a line for the file; then header, content, metadata."""
    data = _read(path)
    first = data.index(b"\n")
    header_size = int(re.search(rb" M([0-9a-f]+)", data[:first]).group(1), 16)
    found = []
    offset = first + 1
    while data.startswith(_DBOX_PRE, offset):
        size = int(data[offset + 13:offset + 29], 16)
        start = offset + header_size
        end = start + size
        assert data.startswith(_DBOX_POST, end), \
            f"{path}: no metadata at {end}"
        metadata_end = data.index(b"\n\n", end + len(_DBOX_POST) - 1)
        match = re.search(rb"\nV([0-9a-f]+)\n",
                          data[end + len(_DBOX_POST) - 1:metadata_end + 1])
        found.append(Stored(path, data[start:end],
                            int(match.group(1), 16) if match else -1, 0,
                            start))
        offset = metadata_end + 2
    return found
