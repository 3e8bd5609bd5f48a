# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a running process holds in its memory, and secrets as it holds them."""

import base64

from . import keyring

# Larger ones are AddressSanitizer's own.
_MAX_AREA = 1 << 28
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def holds(pid, *secrets):
    """For each of the secrets, whether the process has it anywhere."""
    found = [False] * len(secrets)
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            area, rights = line.split()[:2]
            if "r" not in rights or line.rstrip().endswith(
                    ("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(number, 16) for number in area.split("-"))
            if end - start > _MAX_AREA:
                continue
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except OSError:
                continue
            found = [before or secret in data
                     for before, secret in zip(found, secrets)]
    return found


def identity_bytes(identity):
    """The 32 bytes that an AGE-SECRET-KEY-1… stands for."""
    digits = [_BECH32.index(letter) for letter in
              identity.lower().rpartition("1")[2][:-6]]
    number = 0
    for digit in digits:
        number = number << 5 | digit
    spare = len(digits) * 5 - 256
    return (number >> spare).to_bytes(32, "big")


def file_key(identity, sealed):
    """The file key of a message, as age's specification has it."""
    lines = sealed[:sealed.index(b"\n---")].decode("ascii").split("\n")
    share = _unbase64(lines[1].split(" ")[2])
    secret = identity_bytes(identity)
    public = keyring.scalarmult(secret, bytes([9]) + bytes(31))
    wrap_key = keyring.hkdf(keyring.scalarmult(secret, share), share + public,
                            b"age-encryption.org/v1/X25519")
    return keyring.aead_open(wrap_key, bytes(12), _unbase64(lines[2]))


def payload_key(identity, sealed):
    """What opens the chunks of a message. The cache remembers it."""
    mac = sealed.index(b"\n---") + 1
    nonce = sealed.index(b"\n", mac) + 1
    return keyring.hkdf(file_key(identity, sealed), sealed[nonce:nonce + 16],
                        b"payload")


def cache_key(identity, mailbox_guid):
    """What seals the cache of a mailbox, as include/cache/key.h has it."""
    return keyring.hkdf(identity_bytes(identity), bytes.fromhex(mailbox_guid),
                        b"mail-seal/cache")


def _unbase64(text):
    return base64.b64decode(text + "=" * (-len(text) % 4))
