# SPDX-License-Identifier: LGPL-2.1-or-later
import json

import pytest
from mail_seal import BAD_HEADER, BAD_PAYLOAD, CHUNK, DONE, IO, SIZES, TOOL, USAGE, mail_seal, output_of, plaintext, run


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("armor", [[], ["-a"]], ids=["binary", "armor"])
def test_json(size, armor, key, other_key, tmp_path):
    options = "-r", key.recipient, "-r", other_key.recipient
    path = tmp_path / "file"
    path.write_bytes(output_of(mail_seal("seal", *armor, *options, data=plaintext(size))))
    binary = path.stat().st_size
    if armor:
        binary = int(output_of(run(["sh", "-c", 'grep -v ^---- "$0" | base64 -d | wc -c', path])))
    for result in mail_seal("inspect", "--json", path), mail_seal("inspect", "--json", data=path.read_bytes()):
        shown = json.loads(output_of(result))
        stanzas = shown.pop("stanzas")
        assert [stanza["type"] for stanza in stanzas] == ["X25519", "X25519"]
        assert all(len(stanza["args"]) == 1 and stanza["body_size"] == 32 for stanza in stanzas)
        assert shown == {
            "version": "age-encryption.org/v1",
            "armored": bool(armor),
            "header_size": 22 + 2 * 98 + 48,
            "file_size": binary,
            "chunk_count": max(1, -(-size // CHUNK)),
            "plaintext_size": size,
        }


def test_text(key):
    file = output_of(mail_seal("seal", "-r", key.recipient, data=bytes(100_000)))
    stanza = file.split(b"\n")[1].decode().removeprefix("-> ")
    assert output_of(mail_seal("inspect", data=file)).decode().splitlines() == [
        "version:   age-encryption.org/v1",
        "armored:   no",
        "stanzas:   1",
        f"stanza:    {stanza} (body: 32 bytes)",
        f"header:    {file.index(b'---') + 48} bytes",
        f"file:      {len(file)} bytes",
        "chunks:    2",
        "plaintext: 100000 bytes",
    ]


def test_any_stanza():
    """Arguments may hold all visible ASCII, and the JSON stays JSON."""
    visible = "".join(chr(c) for c in range(0x21, 0x7F))
    header = f"age-encryption.org/v1\n-> {visible} a\\b \"c\" {visible}\nQUJD\n-> none\n\n--- {'A' * 43}\n"
    file = header.encode() + bytes(16 + 16 + 5)
    shown = json.loads(output_of(mail_seal("inspect", "--json", data=file)))
    assert shown["stanzas"] == [
        {"type": visible, "args": ["a\\b", '"c"', visible], "body_size": 3},
        {"type": "none", "args": [], "body_size": 0},
    ]
    assert shown["plaintext_size"] == 5


def test_cut(key):
    """What can be told without a key: a size that no whole file has."""
    file = output_of(mail_seal("seal", "-r", key.recipient, data=bytes(CHUNK + 10)))
    for size in len(file) - 10, len(file) - 25, file.index(b"---") + 48 + 16 + 5:
        result = mail_seal("inspect", "--json", data=file[:size])
        assert result.code == BAD_PAYLOAD
        shown = json.loads(result.out)
        assert shown["chunk_count"] is None and shown["plaintext_size"] is None
        assert shown["file_size"] == size
    assert mail_seal("inspect", data=file[:100]).code == BAD_HEADER
    armored = output_of(mail_seal("seal", "-a", "-r", key.recipient, data=bytes(1000)))
    for text in armored[:-10], armored[:800], armored[:100], armored.replace(b"\nA", b"\n*", 1) + b"x":
        assert mail_seal("inspect", data=text).code == BAD_HEADER


def test_no_secret(key):
    file = output_of(mail_seal("seal", "-r", key.recipient, data=b"secret"))
    body = file.split(b"\n")[2].decode()
    for args in [], ["--json"]:
        assert body not in output_of(mail_seal("inspect", *args, data=file)).decode()


def test_usage_and_errors(tmp_path):
    assert mail_seal("inspect", "-i", "x").code == USAGE
    assert mail_seal("inspect", "a", "b").code == USAGE
    assert mail_seal("inspect", tmp_path / "none").code == IO
    assert mail_seal("inspect", tmp_path).code == IO


@pytest.mark.parametrize("verb", ["keygen", "seal", "open", "inspect", "doctor", None])
def test_help(verb):
    result = run([TOOL, *([verb] if verb else []), "--help"])
    assert result.code == DONE and result.err == ""
    for word in "keygen", "seal", "open", "inspect", "doctor", "--json", "Exit codes":
        assert word in result.out.decode()


def test_version_and_no_verb():
    result = run([TOOL, "--version"])
    assert result.code == DONE and result.out.startswith(b"mail-seal ")
    assert run([TOOL]).code == USAGE
    assert run([TOOL, "unseal"]).code == USAGE
    assert run(["sh", "-c", '"$0" --help >/dev/full', TOOL]).code == IO
