# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what the plugin writes beside messages, by FORMATS of
mail_seal_security(7) alone: it shares no code with the plugin."""

import base64
import ctypes
import hashlib
import hmac
import re

from .keyring import hkdf

_sodium = ctypes.CDLL("libsodium.so.23")

SUBJECT = 6     # a header's code
SEAL, ENVELOPE, HEADER, RANKS = 1, 2, 12, 15
RANK_SLOTS = {"c": 0, "f": 1, "s": 2, "t": 3, "df": 4, "dt": 5}


def b64(data):
    return base64.b64encode(data).decode().rstrip("=")


# The keyring


def header(keyring):
    return re.match(r"(?s).*?(?=^slot:|^end$)", keyring, re.M).group()


def mac(keyring, secret):
    """What the mac line has to be."""
    covered = re.sub(r"(?m)^mac: .*\n", "", header(keyring)).encode()
    key = hkdf(secret, b"", b"mail-seal/keyring")
    return b64(hmac.digest(key, covered, "sha256"))


def value(keyring, name):
    return re.search(rf"(?m)^{name}: (.*)$", header(keyring)).group(1)


def slots(keyring):
    return re.findall(r"(?ms)^slot:.*?^-----END [^\n]*\n", keyring)


def digest(slot):
    return b64(hashlib.sha256(slot.encode()).digest()[:16])


# Records of the index cache, and ranks


def cache_name(secret, guid):
    return hkdf(secret, guid, b"mail-seal/cache-name")[:8].hex()


def open_record(record, secret, guid, place):
    """The items as [(type, data)], or None if it isn't authentic. place is
    (UIDVALIDITY, UID, slot)."""
    if record[0] != 1:
        return None
    uid_validity, uid, slot = place
    associated = (guid + uid_validity.to_bytes(4, "big") +
                  uid.to_bytes(4, "big") + bytes([1, slot]))
    plain = _xaead_open(hkdf(secret, guid, b"mail-seal/cache"),
                        record[1:25], associated, record[25:])
    if plain is None:
        return None
    assert len(plain) % 64 == 0
    return list(_items(plain))


def _xaead_open(key, nonce, associated, sealed):
    out = ctypes.create_string_buffer(max(1, len(sealed) - 16))
    size = ctypes.c_ulonglong()
    failed = _sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
        out, ctypes.byref(size), None, sealed,
        ctypes.c_ulonglong(len(sealed)), associated,
        ctypes.c_ulonglong(len(associated)), nonce, key)
    return None if failed else out.raw[:size.value]


def number(data):
    """An LEB128 number, and what follows it."""
    result = 0
    for at, byte in enumerate(data):
        result |= (byte & 0x7f) << 7 * at
        if byte < 0x80:
            return result, data[at + 1:]
    raise ValueError("a number without an end")


def _items(data):
    while data and data[0] != 0:
        size, rest = number(data[1:])
        yield data[0], rest[:size]
        data = rest[size:]


def header_lines(data):
    """(name or code, [(number, text)]) of a header's item."""
    name, rest = data[0], data[1:]
    if name == 0:
        name, _, rest = rest.partition(b"\0")
    count, rest = number(rest)
    places = []
    for _ in range(count):
        line, rest = number(rest)
        size, rest = number(rest)
        places.append((line, size))
    lines = []
    for line, size in places:
        lines.append((line, rest[:size]))
        rest = rest[size:]
    assert not rest
    return name, lines


def ranks(data):
    count, rest = number(data)
    found, uid = {}, 0
    for _ in range(count):
        distance, rest = number(rest)
        uid += distance
        found[uid] = int.from_bytes(rest[:4], "big")
        rest = rest[4:]
    assert not rest
    return found


# Messages


def split(message):
    """The header of an age file, the nonce, and the chunks."""
    end = message.index(b"\n", message.index(b"\n--- ") + 1) + 1
    return message[:end], message[end:end + 16], message[end + 16:]


def header_hash(message):
    head, nonce, _ = split(message)
    return hashlib.blake2b(head + nonce, digest_size=32).digest()


def stanzas(message):
    """[(words, body)]"""
    head = split(message)[0].decode("ascii")
    found = re.findall(r"(?ms)^-> ([^\n]*)\n(.*?)(?=^-)", head)
    return [(words.split(" "), _unb64(body.replace("\n", "")))
            for words, body in found]


def _unb64(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def replaces(old, key, secret):
    """The body of the stanza by which a message says what it replaces."""
    tag_key = hkdf(secret, key, b"mail-seal/replaces")
    return header_hash(old) + hmac.digest(tag_key, header_hash(old), "sha256")
