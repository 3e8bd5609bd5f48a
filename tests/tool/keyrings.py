# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes keyrings by the written format alone: include/keyring/keyring.h is the description."""

import base64
import ctypes
import hashlib
import hmac
import os
import textwrap
from dataclasses import dataclass, field

from mail_seal import mail_seal, output_of

_sodium = ctypes.CDLL("libsodium.so.23")
_ARGON2ID13 = 2
_DATE = "2026-11-23T10:00:00Z"
CHEAP = (1, 8192)   # passes, KiB


def _b64(data):
    return base64.b64encode(data).decode().rstrip("=")


def _hkdf(key, salt, info):
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def _aead_seal(key, nonce, plain):
    out = ctypes.create_string_buffer(len(plain) + 16)
    assert not _sodium.crypto_aead_chacha20poly1305_ietf_encrypt(
        out, None, plain, ctypes.c_ulonglong(len(plain)), None, ctypes.c_ulonglong(0), None, nonce, key)
    return out.raw


def _argon2id(secret, salt, passes, memory_kib):
    out = ctypes.create_string_buffer(32)
    assert not _sodium.crypto_pwhash(
        out, ctypes.c_ulonglong(32), secret, ctypes.c_ulonglong(len(secret)), salt,
        ctypes.c_ulonglong(passes), ctypes.c_size_t(memory_kib * 1024), _ARGON2ID13)
    return out.raw


def secret_key(identity):
    """The 32 bytes of AGE-SECRET-KEY-1…"""
    digits = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    value = 0
    for char in identity.lower().rpartition("1")[2][:-6]:
        value = value << 5 | digits.index(char)
    return (value >> 4).to_bytes(32, "big")


def _armor(file):
    body = "\n".join(textwrap.wrap(base64.b64encode(file).decode(), 64))
    return f"-----BEGIN AGE ENCRYPTED FILE-----\n{body}\n-----END AGE ENCRYPTED FILE-----\n"


def password_slot(content, password, costs=CHEAP, written_costs=None, label=None):
    """written_costs: what the stanza claims, which needn't be true."""
    file_key, salt = os.urandom(16), os.urandom(16)
    passes, memory = costs
    wrap_key = _argon2id(hashlib.sha256(password.encode()).hexdigest().encode(), salt, passes, memory)
    passes, memory = written_costs or costs
    body = _b64(_aead_seal(wrap_key, bytes(12), file_key))
    header = f"age-encryption.org/v1\n-> mail-seal/argon2id {_b64(salt)} {passes} {memory}\n{body}\n---".encode()
    mac = hmac.digest(_hkdf(file_key, b"", b"header"), header, "sha256")
    nonce = os.urandom(16)
    payload = _aead_seal(_hkdf(file_key, nonce, b"payload"), bytes(11) + b"\1", content.encode())
    line = f"slot: password argon2id {_DATE}" + (f' label="{label}"' if label else "")
    return line + "\n" + _armor(header + f" {_b64(mac)}\n".encode() + nonce + payload)


def key_slot(content, kind, recipient, more=""):
    armor = output_of(mail_seal("seal", "-a", "-r", recipient, data=content.encode())).decode()
    return f'slot: {kind} x25519 {_DATE} recipient="{recipient}"{more}\n{armor}'


@dataclass
class Keyring:
    """The identities are of mail_seal.Key, the current one first."""
    keys: list
    slots: list = field(default_factory=list)
    header: str = ""

    @property
    def content(self):
        return "".join(f"# {key.recipient}\n{key.identity}\n" for key in self.keys)

    def add_password(self, password, **options):
        self.slots.append(password_slot(self.content, password, **options))

    def add_key(self, kind, key, more=""):
        self.slots.append(key_slot(self.content, kind, key.recipient, more))

    def text(self, unlisted=()):
        """As a whole; the unlisted slots stand at the end."""
        head = f"mail-seal keyring 1\nrecipient: {self.keys[0].recipient}\n"
        head += "".join(f"earlier: {key.recipient} {_DATE}\n" for key in self.keys[1:])
        head += self.header
        digests = (_b64(hashlib.sha256(slot.encode()).digest()[:16]) for slot in self.slots)
        head += f"slots: {' '.join(digests) or 'none'}\n"
        key = _hkdf(secret_key(self.keys[0].identity), b"", b"mail-seal/keyring")
        mac = _b64(hmac.digest(key, head.encode(), "sha256"))
        return head + f"mac: {mac}\n" + "".join([*self.slots, *unlisted]) + "end\n"
