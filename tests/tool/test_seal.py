# SPDX-License-Identifier: LGPL-2.1-or-later
import base64
import json
import os

import pytest
from mail_seal import BAD_PAYLOAD, DONE, IO, NO_IDENTITY, SIZES, TOOL, USAGE, mail_seal, new_key, output_of, plaintext
from mail_seal import run


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("armor", [[], ["-a"]], ids=["binary", "armor"])
def test_sizes(size, armor, key, tmp_path):
    data = plaintext(size)
    path = tmp_path / "plain"
    path.write_bytes(data)
    for file in output_of(mail_seal("seal", *armor, "-r", key.recipient, path)), output_of(
        mail_seal("seal", *armor, "-r", key.recipient, data=data)
    ):
        assert file.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n" if armor else b"age-encryption.org/v1\n")
        assert output_of(mail_seal("open", "-i", key.path, data=file)) == data
        assert len(data) == json.loads(output_of(mail_seal("inspect", "--json", data=file)))["plaintext_size"]


@pytest.mark.parametrize("size", range(100))
def test_armor_is_strict(size, key):
    """Lines of 64 characters, the last one shorter or full, padded, and no more line feeds than that."""
    text = output_of(mail_seal("seal", "--armor", "-r", key.recipient, data=bytes(size))).decode()
    assert text.endswith("-----END AGE ENCRYPTED FILE-----\n")
    lines = text.splitlines()[1:-1]
    assert all(len(line) == 64 for line in lines[:-1])
    assert 0 < len(lines[-1]) <= 64 and len(lines[-1]) % 4 == 0
    assert base64.b64decode("".join(lines), validate=True).startswith(b"age-encryption.org/v1\n")


def test_several_recipients(key, other_key, tmp_path):
    more = [new_key(tmp_path / f"{i}.txt") for i in range(3)]
    recipients = tmp_path / "recipients"
    recipients.write_text(f"# comment\n\n{more[0].recipient}\n{more[1].recipient}\r\n#\n{more[2].recipient}")
    file = output_of(
        mail_seal("seal", "-r", key.recipient, "-R", recipients, "-r", other_key.recipient, data=b"for all")
    )
    for each in key, other_key, *more:
        assert output_of(mail_seal("open", "-i", each.path, data=file)) == b"for all"
        assert output_of(run(["age", "-d", "-i", each.path], file)) == b"for all"
    assert len(json.loads(output_of(mail_seal("inspect", "--json", data=file)))["stanzas"]) == 5


def test_not_for_others(key, other_key):
    file = output_of(mail_seal("seal", "-r", key.recipient, data=b"secret"))
    result = mail_seal("open", "-i", other_key.path, data=file)
    assert result.code == NO_IDENTITY and result.out == b""
    assert output_of(mail_seal("open", "-i", other_key.path, "-i", key.path, data=file)) == b"secret"


def test_never_the_same_twice(key):
    assert len({mail_seal("seal", "-r", key.recipient, data=b"same").out for _ in range(5)}) == 5


def test_too_many_recipients(key, tmp_path):
    recipients = tmp_path / "recipients"
    recipients.write_text(f"{key.recipient}\n" * 3000)
    result = mail_seal("seal", "-R", recipients, data=b"for all")
    assert result.code == USAGE and result.out == b""
    recipients.write_text(f"{key.recipient}\n" * 2000)
    file = output_of(mail_seal("seal", "-R", recipients, data=b"for all"))
    assert output_of(mail_seal("open", "-i", key.path, data=file)) == b"for all"


def bad_recipients(recipient):
    yield ""
    yield "age1"
    yield "alice@example.com"
    yield recipient[:-1]
    yield recipient + "q"
    yield recipient.upper()
    yield recipient[:-1] + ("q" if recipient[-1] != "q" else "p")
    yield "AGE-SECRET-KEY-1QQPQQZ"


def test_bad_recipients(key, tmp_path):
    for recipient in bad_recipients(key.recipient):
        result = mail_seal("seal", "-r", recipient, data=b"data")
        assert result.code == USAGE and result.out == b"", recipient
    recipients = tmp_path / "recipients"
    recipients.write_text(f"{key.recipient}\n\nnone\n")
    result = mail_seal("seal", "-R", recipients, data=b"data")
    assert result.code == USAGE and f"{recipients}: line 3" in result.err


@pytest.mark.parametrize(
    "args", [[], ["-a"], ["-r"], ["-x"], ["-R", "/dev/null"], ["-r", "KEY", "a", "b"], ["-r", "KEY", "--armour"]]
)
def test_usage(args, key):
    result = mail_seal("seal", *[key.recipient if arg == "KEY" else arg for arg in args], data=b"data")
    assert result.code == USAGE and result.out == b""


def test_input_errors(key, tmp_path):
    for path in tmp_path / "none", tmp_path, "/proc/self/mem":
        result = mail_seal("seal", "-r", key.recipient, path)
        assert result.code == IO and str(path) in result.err
        # What there is of output must not look like a file that is whole.
        assert result.out == b"" or mail_seal("open", "-i", key.path, data=result.out).code == BAD_PAYLOAD
    assert mail_seal("seal", "-R", tmp_path / "none", data=b"").code == IO


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
@pytest.mark.parametrize("verb", ["seal", "seal -a", "open", "inspect"])
def test_output_errors(verb, size, key, tmp_path):
    path = tmp_path / "file"
    data = plaintext(size)
    path.write_bytes(data if verb.startswith("seal") else mail_seal("seal", "-r", key.recipient, data=data).out)
    options = {"open": f"-i {key.path}", "inspect": ""}.get(verb, f"-r {key.recipient}")
    command = f'"$0" {verb} {options} "$1"'

    if verb != "open" or size > 0:
        result = run(["sh", "-c", f"{command} >/dev/full", TOOL, path])
        assert result.code == IO and "No space left" in result.err
        reader, writer = os.pipe()
        os.close(reader)
        try:
            result = run(["bash", "-c", f"{command} >&{writer}", TOOL, path], pass_fds=[writer])
        finally:
            os.close(writer)
        assert result.code == IO and "Broken pipe" in result.err
    result = run(["sh", "-c", f"{command} >&-", TOOL, path])
    assert result.code == IO, result


def test_output_is_appended(key, tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"before ")
    file = output_of(mail_seal("seal", "-r", key.recipient, data=b"text"))
    assert run(["sh", "-c", f'"$0" open -i {key.path} >>"$1"', TOOL, path], file).code == DONE
    assert path.read_bytes() == b"before text"
