# SPDX-License-Identifier: LGPL-2.1-or-later
"""doveadm seal: how secrets come in, and what is wrong with them."""

import base64
import os
import re
import subprocess
import time

import pytest

from harness import age, keyring, sanitizer, terminal
from harness.config import Setup
from harness.doveadm import (DATAERR, NOPERM, NOTFOUND, TEMPFAIL, USAGE,
                             seal, seal_user)
from harness.seal import enrolled

NEW = "battery staple"


@pytest.fixture(scope="module")
def server(serve):
    return serve(Setup())


@pytest.fixture
def user(server):
    return enrolled(server)


@pytest.fixture
def refused(server, user):
    """Run it: it fails with this code and text, and the keyring stays."""
    def run(code, expected, verb, /, *words, **secrets):
        before = keyring.read(user)
        done = seal_user(server, user, verb, *words, check=False, **secrets)
        assert done.code == code, done.err
        assert re.search(expected, done.err), done.err
        assert "Error: " in done.err or "Fatal: " in done.err
        assert keyring.read(user) == before
        assert not os.path.exists(keyring.path(user) + ".bak")
        for value in secrets.values():
            for part in [value] if isinstance(value, (str, bytes)) else value:
                part = part if isinstance(part, str) else \
                    part.decode(errors="replace").strip()
                assert len(part) < 4 or part not in done.err
    return run


@pytest.mark.parametrize("secret, expected", [
    (b"", "has no further line"),
    (b"\n", "empty line"),
    (b"\r\n", "empty line"),
    (b"with\0nul\nbattery staple\n", "has a NUL"),
    (b"x" * 1025 + b"\n", "longer than 1024 bytes"),
    (b"x" * 100000, "longer than 1024 bytes"),
    (b"correct horse\n", "has no further line"),
    (b"correct horse\n\n", "empty line"),
])
def test_bad_lines(refused, secret, expected):
    refused(DATAERR, expected, "password", password=secret[:60000])


def test_bad_descriptors(refused):
    refused(DATAERR, "descriptor 99 .* is not open", "password",
            "--password-fd", "99")
    refused(DATAERR, "must be the number", "password", "--password-fd", "x")
    refused(DATAERR, "must be the number", "password", "--password-fd", "-1")
    refused(DATAERR, "must be the number", "password", "--password-fd", "")


def test_no_descriptor_of_doveadm_itself(refused):
    """Descriptors that doveadm opened aren't taken for ours."""
    for fd in range(3, 20):
        refused(DATAERR, "is not open", "password", "--password-fd", str(fd))


def test_directory_as_descriptor(server, user):
    fd = os.open("/", os.O_RDONLY)
    os.set_inheritable(fd, True)
    done = subprocess.run(
        ["doveadm", "-c", server.config_file, "seal", "password", "-u",
         user.name, "--password-fd", str(fd)], pass_fds=[fd],
        capture_output=True, start_new_session=True,
        env=sanitizer.environment())
    os.close(fd)
    assert done.returncode == DATAERR
    assert b"Is a directory" in done.stderr


@pytest.mark.parametrize("raw", [
    b"correct horse\nbattery staple\n",
    b"correct horse\r\nbattery staple\r\n",
    b"correct horse\nbattery staple",
])
def test_line_ends(server, user, raw):
    seal_user(server, user, "password", password=raw)
    assert keyring.identity(user, NEW)


def test_other_encodings(server, user):
    seal_user(server, user, "password",
              password=b"correct horse\nm\xfcllers k\xe4se\n")
    seal_user(server, user, "password",
              password=b"m\xfcllers k\xe4se\n" + "käse müller".encode())
    assert keyring.identity(user, "käse müller")


@pytest.mark.parametrize("blanks", [" ends in a blank ", "\tand in a tab\t"])
def test_blanks_belong_to_passwords(server, user, blanks):
    seal_user(server, user, "password", password=[user.password, blanks])
    assert keyring.identity(user, blanks)
    seal_user(server, user, "password", password=[blanks, NEW])
    code = seal_user(server, user, "recovery new",
                     password=NEW).row["recovery_code"]
    seal_user(server, user, "recover", password=[code, blanks])
    assert keyring.identity(user, blanks)


def test_standard_input(server, user):
    seal_user(server, user, "password", "--password-fd", "0",
              stdin=b"correct horse\nbattery staple\n")
    assert keyring.identity(user, NEW)


def test_one_descriptor_for_code_and_password(server, user):
    code = seal_user(server, user, "recovery new",
                     password=user.password).row["recovery_code"]
    seal_user(server, user, "recover", "--code-fd", "0", "--password-fd", "0",
              stdin=f"  {code}\t\n{NEW}\n".encode())
    assert keyring.identity(user, NEW)


def test_code_before_the_password(server, user):
    """--password-fd alone: what opens the keyring first, then the new one."""
    code = seal_user(server, user, "recovery new",
                     password=user.password).row["recovery_code"]
    seal_user(server, user, "recover", password=[code, NEW])
    assert keyring.identity(user, NEW)
    seal_user(server, user, "password", password=[code, "third one"])
    assert keyring.identity(user, "third one")


def test_identity_file(server, user):
    """As age-keygen writes it, with comments."""
    file = keyring.identity(user)
    seal_user(server, user, "password", identity=file.encode(), password=NEW)
    assert keyring.identity(user, NEW)


@pytest.mark.parametrize("option", ["password", "old-password",
                                    "new-password", "identity"])
def test_no_secret_as_an_argument(refused, option):
    refused(USAGE, f"--{option} would show the secret", "password",
            f"--{option}", "tell-nobody")


def test_nothing_to_ask_at(refused):
    refused(USAGE, "new password is missing", "password")
    refused(USAGE, "secret that opens the keyring is needed", "slot remove",
            "1")
    refused(USAGE, "recovery code is needed", "recover", password=NEW)


def test_too_many_secrets(refused):
    key = age.keygen()
    refused(USAGE, "not both", "slot remove", "1", password=NEW,
            identity=key.identity)
    refused(USAGE, "third one", "password", password=NEW, old_password=NEW,
            new_password=NEW)


def test_usage(refused):
    refused(USAGE, "--label", "slot add", password=[NEW, NEW])
    refused(USAGE, "at most|label", "slot add", "--label", "x" * 101,
            password=[NEW, NEW])
    refused(USAGE, "which slot", "slot remove", password=NEW)


# Identities


def flipped(code, position):
    other = "Q" if code[position] != "Q" else "P"
    return code[:position] + other + code[position + 1:]


@pytest.mark.parametrize("make, expected", [
    (lambda code: flipped(code, 40), "checksum"),
    (lambda code: flipped(code, 73), "checksum"),
    (lambda code: code[:-1], "checksum|length|characters"),
    (lambda code: code.lower(), "prefix|case|AGE-SECRET-KEY-1"),
    (lambda code: code[:20] + code[20:].lower(), "case"),
    (lambda code: code[:30] + "B" + code[31:], "character"),
    (lambda code: "hunter2", "AGE-SECRET-KEY-1"),
    (lambda code: "age1" + code[16:].lower(), "AGE-SECRET-KEY-1"),
])
def test_malformed_code(server, user, refused, make, expected):
    code = seal_user(server, user, "recovery new",
                     password=user.password).row["recovery_code"]
    refused(DATAERR, expected, "recover", code=make(code), password=NEW)


def test_code_of_somebody_else(refused):
    refused(NOPERM, "no slot for an identity|is for this identity", "recover",
            code=age.keygen().identity, password=NEW)


# Keyrings that others changed


def test_planted_slot_is_not_tried(server, user, refused):
    """A slot that would take hours is refused before any work is done."""
    text = keyring.read(user)
    [slot] = re.findall(r"^slot: .*?END AGE ENCRYPTED FILE-----\n", text,
                        re.M | re.S)
    body = "".join(slot.split("\n")[2:-2])
    raw = base64.b64decode(body)
    raw = re.sub(rb"(argon2id \S+) \d+ \d+", rb"\1 1000000 8192", raw)
    armored = "\n".join(re.findall(".{1,64}",
                                   base64.b64encode(raw).decode()))
    planted = slot.split("\n")[0] + "\n-----BEGIN AGE ENCRYPTED FILE-----\n" \
        + armored + "\n-----END AGE ENCRYPTED FILE-----\n"
    with open(keyring.path(user), "w", encoding="ascii") as file:
        file.write(text.replace(slot, planted))
    began = time.monotonic()
    refused(DATAERR, "number of passes", "password", password=[user.password, NEW])
    assert time.monotonic() - began < 30
    rows = seal_user(server, user, "slot list").rows
    assert rows[0]["state"] in ("refused", "unlisted")


@pytest.mark.parametrize("content", [b"", b"nonsense\n",
                                     b"mail-seal keyring 9\n"])
def test_keyring_that_cannot_be_read(server, user, content):
    with open(keyring.path(user), "wb") as file:
        file.write(content)
    for verb, words, secrets in (
            ("status", [], {}),
            ("enroll", [], {"password": NEW}),
            ("password", [], {"password": [user.password, NEW]}),
            ("slot list", [], {})):
        done = seal_user(server, user, verb, *words, check=False, **secrets)
        assert done.code == TEMPFAIL, done.err
        assert keyring.path(user) in done.err
        with open(keyring.path(user), "rb") as file:
            assert file.read() == content


def test_swapped_recipient_is_noticed(server, user, refused):
    text = keyring.read(user)
    with open(keyring.path(user), "w", encoding="ascii") as file:
        file.write(text.replace(keyring.recipient(text),
                                age.keygen().recipient))
    refused(DATAERR, "recipient|mac", "password",
            password=[user.password, NEW])


# Terminal


def at_terminal(server, user, words, answers):
    """What the terminal shows, and the exit code."""
    return terminal.talk(["doveadm", "-c", server.config_file, "seal", *words,
                          "-u", user.name],
                         [(": ", answer) for answer in answers])


def test_terminal(server, user):
    shown, code = at_terminal(server, user, ["password"],
                              [user.password, NEW, NEW])
    assert code == 0, shown
    assert user.password not in shown and NEW not in shown
    assert "Old password: " in shown and "New password, again: " in shown
    assert keyring.identity(user, NEW)


@pytest.mark.parametrize("answers, expected, code", [
    (["correct horse", NEW, "battery stable"], "not the same", DATAERR),
    (["correct horse", "short"], "weak", DATAERR),
    ([""], "empty", DATAERR),
    (["wrong one", NEW, NEW], "wrong password", NOPERM),
])
def test_wrong_answers(server, user, answers, expected, code):
    before = keyring.read(user)
    shown, ended = at_terminal(server, user, ["password"], answers)
    assert ended == code, shown
    assert expected in shown
    assert keyring.read(user) == before
