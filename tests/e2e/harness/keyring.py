# SPDX-License-Identifier: LGPL-2.1-or-later
"""Opens a keyring with a password, by the written format alone.

It shares no code with the plugin: libsodium's Argon2id and ChaCha20-Poly1305
through ctypes, the rest in Python. So it shows that the format is what the
documentation says, and gives tests the identity to hand to the stock age.
"""

import base64
import ctypes
import hashlib
import hmac
import re

_sodium = ctypes.CDLL("libsodium.so.23")
_ARGON2ID13 = 2
_TAG_SIZE = 16


class WrongPassword(Exception):
    pass


def path(user):
    return f"{user.home}/mail-seal.keyring"


def read(user):
    with open(path(user), encoding="ascii") as file:
        return file.read()


def recipient(text):
    return re.search(r"^recipient: (age1\S+)$", text, re.M).group(1)


def slot_costs(text):
    """[(passes, KiB), …] of the password slots."""
    return [(int(passes), int(memory)) for passes, memory in
            (_split(slot)[0].split(" ")[3:] for slot in _slots(text))]


def _slots(text):
    return [base64.b64decode(armor) for armor in
            re.findall(r"^slot: password argon2id [^\n]*\n"
                       r"-----BEGIN AGE ENCRYPTED FILE-----\n(.*?)"
                       r"-----END AGE ENCRYPTED FILE-----$",
                       text, re.M | re.S)]


def identity(user, password=None):
    """The text of the identity file in the user's password slot."""
    password = user.password if password is None else password
    return open_password_slot(read(user), password)


def open_password_slot(text, password):
    secret = hashlib.sha256(password.encode()).hexdigest().encode()
    for slot in _slots(text):
        opened = _open_slot(slot, secret)
        if opened is not None:
            return opened.decode()
    raise WrongPassword


def _open_slot(data, secret):
    header, body, mac, payload = _split(data)
    _, kind, salt, passes, memory = header.split(" ")
    assert kind == "mail-seal/argon2id", kind
    wrap_key = _argon2id(secret, _unbase64(salt), int(passes), int(memory))
    file_key = aead_open(wrap_key, bytes(12), body)
    if file_key is None:
        return None
    covered = data[:data.index(b"\n---") + 4]
    expected = hmac.digest(hkdf(file_key, b"", b"header"), covered, "sha256")
    assert hmac.compare_digest(expected, mac), "header MAC"
    return _open_payload(file_key, payload)


def _split(data):
    head, _, rest = data.partition(b"\n---")
    mac_line, _, payload = rest.partition(b"\n")
    version, stanza, *body = head.decode("ascii").split("\n")
    assert version == "age-encryption.org/v1", version
    return (stanza, _unbase64("".join(body)),
            _unbase64(mac_line.decode("ascii").strip()), payload)


def _open_payload(file_key, payload):
    key = hkdf(file_key, payload[:16], b"payload")
    chunk = payload[16:]
    assert len(chunk) <= 64 * 1024 + _TAG_SIZE, "more than one chunk"
    plain = aead_open(key, bytes(11) + b"\1", chunk)
    assert plain is not None, "payload"
    return plain


def _unbase64(text):
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def hkdf(key, salt, info):
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def _argon2id(secret, salt, passes, memory_kib):
    out = ctypes.create_string_buffer(32)
    failed = _sodium.crypto_pwhash(
        out, ctypes.c_ulonglong(32), secret, ctypes.c_ulonglong(len(secret)),
        salt, ctypes.c_ulonglong(passes), ctypes.c_size_t(memory_kib * 1024),
        _ARGON2ID13)
    assert not failed, "Argon2id"
    return out.raw


def scalarmult(secret, point):
    """X25519."""
    out = ctypes.create_string_buffer(32)
    failed = _sodium.crypto_scalarmult(out, secret, point)
    assert not failed, "X25519"
    return out.raw


def aead_open(key, nonce, sealed):
    out = ctypes.create_string_buffer(max(1, len(sealed) - _TAG_SIZE))
    size = ctypes.c_ulonglong()
    failed = _sodium.crypto_aead_chacha20poly1305_ietf_decrypt(
        out, ctypes.byref(size), None, sealed,
        ctypes.c_ulonglong(len(sealed)), None, ctypes.c_ulonglong(0),
        nonce, key)
    return None if failed else out.raw[:size.value]
