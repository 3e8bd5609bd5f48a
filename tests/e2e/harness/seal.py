# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a sealed store holds, seen with the stock age."""

from . import age, disk, keyring
from .wire import Imap


def enrol(server, *users):
    """The first login makes a keyring."""
    for user in users:
        with Imap(server, user) as imap:
            imap.ok("LOGOUT")
    return users[0] if len(users) == 1 else users


def enrolled(server, **userdb):
    """A new user who has logged in once."""
    return enrol(server, server.user(**userdb))


def open_all(server, user, identity=None):
    """Every stored message, opened by the stock age; all must be sealed."""
    identity = identity or keyring.identity(user)
    stored = disk.stored(server, user)
    plain = [message.path for message in stored if not message.is_sealed]
    assert not plain, f"not sealed: {plain}"
    return [age.open_(identity, message.content) for message in stored]


def stanzas(sealed):
    """The types of the stanzas of an age file."""
    header = sealed[:sealed.index(b"\n---")].decode("ascii")
    return [line.split(" ")[1] for line in header.split("\n")
            if line.startswith("-> ")]
