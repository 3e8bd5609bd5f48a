# SPDX-License-Identifier: LGPL-2.1-or-later
"""The published age vectors (C2SP/CCTV, npm package cctv-age), each through mail-seal open."""

import hashlib
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mail_seal import BAD_HEADER, BAD_PAYLOAD, DONE, NO_IDENTITY, mail_seal, with_passphrase

CODES = {
    "success": DONE,
    "no match": NO_IDENTITY,
    "HMAC failure": BAD_HEADER,
    "header failure": BAD_HEADER,
    "armor failure": BAD_HEADER,
    "payload failure": BAD_PAYLOAD,
}
KNOWN = {"expect", "payload", "file key", "identity", "passphrase", "armored", "comment", "compressed"}
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass
class Vector:
    data: bytes
    expect: str = ""
    payload: str = EMPTY
    identities: list = field(default_factory=list)
    passphrase: str | None = None


def parse(path):
    header, data = path.read_bytes().split(b"\n\n", 1)
    vector = Vector(data)
    for line in header.decode().split("\n"):
        name, value = line.split(": ", 1)
        assert name in KNOWN, f"{path.name} has an unknown key: {name}"
        if name == "expect":
            vector.expect = value
        elif name == "payload":
            vector.payload = value
        elif name == "identity":
            vector.identities.append(value)
        elif name == "passphrase":
            vector.passphrase = vector.passphrase or value
        elif name == "compressed":
            assert value == "zlib"
            vector.data = zlib.decompress(data)
    return vector


def paths():
    return sorted(Path(os.environ["MAIL_SEAL_VECTORS"]).iterdir())


def load(path):
    vector = parse(path)
    if any(identity.startswith("AGE-SECRET-KEY-PQ-") for identity in vector.identities):
        pytest.skip(f"post-quantum: {path.name}")
    return vector


def open_vector(vector, tmp_path, *args, **kwargs):
    options = []
    if vector.identities:
        identities = tmp_path / "identities"
        identities.write_text("\n".join(vector.identities) + "\n")
        options = ["-i", identities]
    if vector.passphrase is not None:
        return with_passphrase(vector.passphrase.encode(), "open", *options, *args, **kwargs)
    return mail_seal("open", *options, *args, **kwargs)


@pytest.mark.parametrize("source", ["file", "pipe"])
@pytest.mark.parametrize("path", paths(), ids=lambda path: path.name)
def test_vector(path, source, tmp_path):
    vector = load(path)
    if source == "file":
        file = tmp_path / "file"
        file.write_bytes(vector.data)
        result = open_vector(vector, tmp_path, file)
    else:
        result = open_vector(vector, tmp_path, data=vector.data)

    assert result.code == CODES[vector.expect], result
    # All that was released, also where it fails later.
    assert hashlib.sha256(result.out).hexdigest() == vector.payload
    if vector.expect not in ("success", "payload failure"):
        assert result.out == b""


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.name)
def test_inspect(path):
    """Needs no key: what is wrong with a stanza alone it can't know."""
    vector = load(path)
    result = mail_seal("inspect", "--json", data=vector.data)
    if vector.expect in ("success", "no match", "HMAC failure"):
        assert result.code == DONE, result
    elif vector.expect == "payload failure":
        assert result.code in (DONE, BAD_PAYLOAD), result
    elif vector.expect == "armor failure":
        assert result.code == BAD_HEADER, result
    else:
        assert result.code in (DONE, BAD_HEADER), result


def test_all_vectors_are_here():
    """A vector that is lost would pass unnoticed."""
    names = [path.name for path in paths()]
    assert len(names) >= 143
    for prefix, least in ("x25519", 13), ("scrypt", 25), ("stream", 27), ("armor", 30), ("stanza", 14), ("hmac", 8):
        assert len([name for name in names if name.startswith(prefix)]) >= least, prefix
