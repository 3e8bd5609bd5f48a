# SPDX-License-Identifier: LGPL-2.1-or-later
import json
import os
import stat

import pytest
from keyrings import Keyring, password_slot
from mail_seal import BAD_HEADER, DONE, IO, NO_IDENTITY, TOOL, USAGE, mail_seal, new_key, on_terminal, output_of
from mail_seal import run, with_fd

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def recovery(tmp_path_factory):
    return new_key(tmp_path_factory.mktemp("key") / "recovery.txt")


@pytest.fixture(scope="module")
def escrow(tmp_path_factory):
    return new_key(tmp_path_factory.mktemp("key") / "escrow.txt")


@pytest.fixture(scope="module")
def keyring(key, other_key, recovery, escrow):
    """With every kind of slot; key is current, other_key was before."""
    keyring = Keyring([key, other_key])
    keyring.add_password(PASSWORD, label="phone")
    keyring.add_password("another", costs=(2, 8192))
    keyring.add_key("recovery", recovery, ' label="printed \\"code\\""')
    keyring.add_key("escrow", escrow)
    return keyring


@pytest.fixture
def path(keyring, tmp_path):
    path = tmp_path / "mail-seal.keyring"
    path.write_text(keyring.text())
    return path


def show(path, **kwargs):
    return json.loads(output_of(mail_seal("keyring", "show", "--json", path, **kwargs)))


def with_password(password, *args, **kwargs):
    return with_fd("--password-fd", password.encode() + b"\n", *args, **kwargs)


def identities(result):
    return [line for line in output_of(result).decode().splitlines() if not line.startswith("#")]


def test_show(path, key, other_key, recovery, escrow):
    shown = show(path)
    assert shown["version"] == 1 and shown["recipients"] == [key.recipient]
    assert shown["earlier"] == [{"recipient": other_key.recipient, "until": "2026-11-23T10:00:00Z"}]
    assert [slot["number"] for slot in shown["slots"]] == [1, 2, 3, 4]
    assert [slot["kind"] for slot in shown["slots"]] == ["password", "password", "recovery", "escrow"]
    assert [slot["method"] for slot in shown["slots"]] == ["argon2id", "argon2id", "x25519", "x25519"]
    assert [slot["label"] for slot in shown["slots"]] == ["phone", None, 'printed "code"', None]
    assert [slot["recipient"] for slot in shown["slots"]] == [None, None, recovery.recipient, escrow.recipient]
    assert [slot["costs"] for slot in shown["slots"]] == [
        {"memory_kib": 8192, "passes": 1}, {"memory_kib": 8192, "passes": 2}, None, None]
    lines = path.read_text().splitlines()
    for slot in shown["slots"]:
        assert lines[slot["line"] - 1].startswith(f"slot: {slot['kind']}")
        assert slot["listed"] and slot["error"] is None and slot["identity"] is None
        assert slot["created"] == "2026-11-23T10:00:00Z"

    text = output_of(mail_seal("keyring", "show", path)).decode()
    for word in key.recipient, other_key.recipient, escrow.recipient, "phone", 'printed "code"', "8192 KiB, 2 passes":
        assert word in text
    assert "unlisted" not in text and "marked" not in text and "SECRET" not in text
    assert output_of(mail_seal("keyring", "show", "-", data=path.read_bytes())).decode() == text
    assert output_of(mail_seal("keyring", "show", data=path.read_bytes())).decode() == text


def test_show_what_is_odd(key, other_key, recovery, tmp_path):
    keyring = Keyring([key])
    keyring.add_key("recovery", recovery, f' identity="{other_key.recipient}"')
    keyring.slots.append(keyring.slots[0].replace("slot: recovery", "slot: token").replace(" identity=", " colour="))
    text = keyring.text(unlisted=[password_slot("x", "y", written_costs=(999999, 8192), label="é\u009b")])
    result = show("-", data=text.encode())["slots"]
    assert result[0]["identity"] == other_key.recipient and result[0]["listed"]
    assert result[1]["kind"] == "token" and result[1]["listed"]
    assert not result[2]["listed"] and "from 1 to 16" in result[2]["error"] and result[2]["label"] == "é?"
    shown = output_of(mail_seal("keyring", "show", data=text.encode())).decode()
    assert "marked" in shown and "unlisted" in shown and "unknown" in shown and "damaged" in shown
    assert "\u009b" not in shown


def test_damaged_keyrings(path, key):
    good = path.read_text()
    for bad, line in [
        (good.replace("keyring 1", "keyring 2"), 1),
        (good.replace(key.recipient, key.recipient[:-1] + "x", 1), 2),
        (good.replace("slots: ", "slots: !", 1), 4),
        (good.replace("slot: password argon2id", "slot: password", 1), 6),
        (good[: good.index("-----END")], None),
        (good[:-4], None),
        ("", 1),
        (good + "\n" * 2_000_000, None),
        ("x" * 3_000_000, None),
    ]:
        for verb in ["show"], ["open", "-i", key.path]:
            result = mail_seal("keyring", *verb, data=bad.encode())
            assert result.code == BAD_HEADER and result.out == b"", result
            assert f"line {line}" in result.err or line is None
    result = mail_seal("keyring", "show", data=good.replace("keyring 1", "keyring 2").encode())
    assert "version 2" in result.err
    for bad in path.parent, path.parent / "none":
        assert mail_seal("keyring", "show", bad).code == IO


def test_cut_at_every_length(path, key):
    text = path.read_bytes()
    for size in [*range(0, 600), *range(600, len(text) - 1, 37)]:
        result = mail_seal("keyring", "show", data=text[:size])
        assert result.code == BAD_HEADER and result.out == b"", size


def test_flip_every_byte(keyring, key, other_key, recovery):
    """Nothing but the identities ever comes out, whatever is changed."""
    one = Keyring([key, other_key])
    one.add_key("recovery", recovery)
    text = one.text().encode()
    want = identities(mail_seal("keyring", "open", "-i", recovery.path, data=text))
    for i in range(len(text)):
        damaged = bytearray(text)
        damaged[i] ^= 1
        result = mail_seal("keyring", "open", "-i", recovery.path, data=bytes(damaged))
        if result.code == DONE:
            assert identities(result) == want, i
        else:
            assert result.code in (NO_IDENTITY, BAD_HEADER) and result.out == b"", i


def test_open(path, key, other_key, recovery, escrow):
    want = [key.identity, other_key.identity]
    for password in PASSWORD, "another":
        assert identities(with_password(password, "keyring", "open", path)) == want
    for opener in recovery, escrow, key:
        opening = mail_seal("keyring", "open", "-i", opener.path, path)
        if opener is key:
            # The current identity alone is not enough: the keyring names another one.
            assert opening.code == BAD_HEADER and other_key.recipient in opening.err
            continue
        assert identities(opening) == want
        assert identities(with_fd("--identity-fd", opener.identity.encode(), "keyring", "open", path)) == want
        assert identities(with_password(opener.identity, "keyring", "open", path)) == want
    text = output_of(with_password(PASSWORD, "keyring", "open", path)).decode()
    assert f"# current: {key.recipient}\n" in text
    assert f"# until 2026-11-23T10:00:00Z: {other_key.recipient}\n" in text


def test_open_for_age(path, key, other_key, recovery, tmp_path):
    """What is printed is what age -d -i takes."""
    out = tmp_path / "keys"
    assert mail_seal("keyring", "open", "-i", recovery.path, "-o", out, path).code == DONE
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    for owner in key, other_key:
        sealed = output_of(mail_seal("seal", "-r", owner.recipient, data=b"text"))
        assert output_of(run(["age", "-d", "-i", out], sealed)) == b"text"
    before = out.read_text()
    result = mail_seal("keyring", "open", "-i", recovery.path, "-o", out, path)
    assert result.code == IO and "exists" in result.err and out.read_text() == before


def test_open_with_age_alone(path, recovery, escrow):
    """Recovery and escrow slots open without this program."""
    text = path.read_text()
    for kind, opener in ("recovery", recovery), ("escrow", escrow):
        slot = text[text.index(f"slot: {kind}"):]
        armor = slot[slot.index("-----BEGIN"): slot.index("-----END AGE ENCRYPTED FILE-----") + 33]
        assert b"AGE-SECRET-KEY-1" in output_of(run(["age", "-d", "-i", opener.path], armor.encode()))


def test_open_on_terminal(path, key, recovery, tmp_path):
    out = tmp_path / "keys"
    for answer in PASSWORD, recovery.identity:
        code, shown = on_terminal([TOOL, "keyring", "open", path], [answer.encode()], stdout=out)
        assert code == DONE and key.identity in out.read_text(), shown
        assert "Password or recovery code:" in shown and answer not in shown
    for answer, said in ("not this", "wrong password for 2 slots"), (recovery.identity[:-1] + "Q", "checksum"):
        code, shown = on_terminal([TOOL, "keyring", "open", path], [answer.encode()], stdout=out)
        assert code == NO_IDENTITY and out.read_bytes() == b"" and said in shown
        assert answer not in shown
    result = mail_seal("keyring", "open", path, start_new_session=True)
    assert result.code == NO_IDENTITY and "--password-fd" in result.err


def test_open_warns_of_readable_output(path, recovery, tmp_path):
    for mode, warned in (0o644, True), (0o600, False):
        out = tmp_path / f"out{mode}"
        with open(os.open(out, os.O_WRONLY | os.O_CREAT, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            result = run(["sh", "-c", f'"$0" keyring open -i "$1" "$2" >"{out}"', TOOL, recovery.path, path])
        assert result.code == DONE and ("read by others" in result.err) == warned


def test_not_opened(path, key, recovery, tmp_path):
    stranger = new_key(tmp_path / "stranger")
    for result in (
        with_password("wrong", "keyring", "open", path),
        with_password("", "keyring", "open", path),
        mail_seal("keyring", "open", "-i", stranger.path, path),
        with_password("wrong", "open", "--keyring", path, "/dev/null"),
    ):
        assert result.code == NO_IDENTITY and result.out == b""
    result = with_fd("--identity-fd", b"AGE-SECRET-KEY-1XYZ\n", "keyring", "open", path)
    assert result.code == USAGE and "file descriptor" in result.err
    lone = Keyring([key])
    lone.add_key("recovery", recovery)
    result = with_password(PASSWORD, "keyring", "open", "-", data=lone.text().encode())
    assert result.code == NO_IDENTITY and "no password slot" in result.err


def test_planted_slot(key, recovery):
    """A slot that would cost too much is refused by its limits, and doesn't hide a good one."""
    planted = password_slot("x", PASSWORD, written_costs=(1_000_000, 8192))
    keyring = Keyring([key], [planted])
    result = with_password(PASSWORD, "keyring", "open", data=keyring.text().encode())
    assert result.code == BAD_HEADER and "from 1 to 16" in result.err
    keyring.add_password(PASSWORD)
    assert identities(with_password(PASSWORD, "keyring", "open", data=keyring.text().encode())) == [key.identity]


def test_exchanged_recipient(path, other_key, key):
    """New mail would be sealed to somebody else: no secret is told that this keyring isn't what it was."""
    text = path.read_text().replace(f"recipient: {key.recipient}", f"recipient: {new_recipient(path)}", 1)
    result = with_password(PASSWORD, "keyring", "open", data=text.encode())
    assert result.code == BAD_HEADER and result.out == b""


def new_recipient(path):
    return new_key(path.parent / "new").recipient


def test_open_message(path, key, other_key, recovery):
    for owner in key, other_key:
        sealed = output_of(mail_seal("seal", "-r", owner.recipient, data=b"a letter"))
        assert output_of(with_password(PASSWORD, "open", "--keyring", path, data=sealed)) == b"a letter"
        assert output_of(mail_seal("open", "--keyring", path, "-i", recovery.path, data=sealed)) == b"a letter"
    # Identities that were given serve as well.
    sealed = output_of(mail_seal("seal", "-r", recovery.recipient, data=b"a letter"))
    assert output_of(mail_seal("open", "--keyring", path, "-i", recovery.path, data=sealed)) == b"a letter"
    assert with_password(PASSWORD, "open", "--keyring", path, data=sealed).code == NO_IDENTITY


@pytest.mark.parametrize("args", [
    [], ["close"], ["show", "-x"], ["show", "a", "b"], ["open", "-i"], ["open", "-x"], ["open", "a", "b"],
    ["open", "--password-fd", "x", "a"], ["open", "--password-fd", "0"], ["open", "--identity-fd", "-1", "a"],
    ["open", "-i", "-", "-"], ["open", "--keyring", "a"], ["open", "-i", "-", "--password-fd", "0", "a"],
])
def test_usage(args, key):
    data = key.path.read_bytes()
    result = mail_seal("keyring", *args, data=data, start_new_session=True)
    assert result.code == USAGE and result.out == b""


def test_usage_of_open(path):
    for args in ["--keyring", path, "--keyring", path], ["--keyring", "-", "-"], ["--keyring", "-", "--password-fd", "0", path]:
        assert mail_seal("open", *args).code == USAGE
