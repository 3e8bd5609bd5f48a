# SPDX-License-Identifier: LGPL-2.1-or-later
"""Messages exchanged both ways with two other implementations: Debian's age, written in Go, and the npm package
age-encryption, written in TypeScript."""

import os
from pathlib import Path

import pytest
from mail_seal import BAD_PAYLOAD, DONE, NO_IDENTITY, SIZES, mail_seal, on_terminal, output_of, plaintext, run
from mail_seal import with_passphrase

HERE = Path(__file__).parent


class Age:
    """Debian's package."""

    @staticmethod
    def seal(data, key, armor):
        return output_of(run(["age", *(["-a"] if armor else []), "-r", key.recipient], data))

    @staticmethod
    def open(file, key, armor):
        return run(["age", "-d", "-i", key.path], file)

    @staticmethod
    def lock(data, passphrase, path, armor):
        source = path.with_suffix(".plain")
        source.write_bytes(data)
        command = ["age", "-p", *(["-a"] if armor else []), "-o", path, source]
        assert on_terminal(command, [passphrase, passphrase])[0] == DONE
        return path.read_bytes()


class Typage:
    """The npm package."""

    @staticmethod
    def filter(data, *args):
        return run(["node", HERE / "typage.mjs", os.environ["MAIL_SEAL_NPM"], *args], data)

    @classmethod
    def seal(cls, data, key, armor):
        return output_of(cls.filter(data, "seal", key.recipient, *(["armor"] if armor else [])))

    @classmethod
    def open(cls, file, key, armor):
        return cls.filter(file, "open", key.identity, *(["armor"] if armor else []))

    @classmethod
    def lock(cls, data, passphrase, path, armor):
        return output_of(cls.filter(data, "lock", passphrase.decode(), *(["armor"] if armor else [])))


others = pytest.mark.parametrize("other", [Age, Typage], ids=["age", "age-encryption"])
sizes = pytest.mark.parametrize("size", SIZES)
armors = pytest.mark.parametrize("armor", [False, True], ids=["binary", "armor"])


def ours(data, key, armor):
    return output_of(mail_seal("seal", *(["-a"] if armor else []), "-r", key.recipient, data=data))


@others
@armors
@sizes
def test_theirs_opens_ours(other, size, armor, key):
    data = plaintext(size)
    result = other.open(ours(data, key, armor), key, armor)
    assert result.code == DONE, result.err
    assert result.out == data


@others
@armors
@sizes
def test_ours_opens_theirs(other, size, armor, key):
    data = plaintext(size)
    assert output_of(mail_seal("open", "-i", key.path, data=other.seal(data, key, armor))) == data


@others
@armors
def test_passphrase(other, armor, key, tmp_path):
    data = plaintext(100_000)
    file = other.lock(data, b"correct horse", tmp_path / "file.age", armor)
    assert output_of(with_passphrase(b"correct horse", "open", data=file)) == data
    assert output_of(with_passphrase(b"correct horse\n", "open", "-i", key.path, data=file)) == data
    assert with_passphrase(b"correct horsf", "open", data=file).code == NO_IDENTITY


def test_identity_files_are_exchanged(tmp_path):
    """An identity of age-keygen serves us, and one of ours serves age."""
    path = tmp_path / "theirs.txt"
    assert run(["age-keygen", "-o", path]).code == DONE
    recipient = output_of(run(["age-keygen", "-y", path])).decode().strip()
    file = output_of(mail_seal("seal", "-r", recipient, data=b"to theirs"))
    assert output_of(mail_seal("open", "-i", path, data=file)) == b"to theirs"

    path = tmp_path / "ours.txt"
    assert mail_seal("keygen", "-o", path).code == DONE
    shown = output_of(run(["age-keygen", "-y", path])).decode().strip()
    assert f"# public key: {shown}\n" in path.read_text()


@others
def test_cut_files_are_refused_by_all(other, key):
    data = plaintext(100_000)
    for file in ours(data, key, False), other.seal(data, key, False):
        assert other.open(file[:-1], key, False).code != DONE
        result = mail_seal("open", "-i", key.path, data=file[:-1])
        assert result.code == BAD_PAYLOAD
        assert data.startswith(result.out)
