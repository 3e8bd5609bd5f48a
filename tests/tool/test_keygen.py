# SPDX-License-Identifier: LGPL-2.1-or-later
import os
import re
import stat

import pytest
from mail_seal import DONE, IO, TOOL, USAGE, mail_seal, on_terminal, run

TEXT = re.compile(
    r"# created: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n"
    r"# public key: (age1[02-9ac-hj-np-z]{58})\n"
    r"AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}\n"
)


def test_to_standard_output():
    result = mail_seal("keygen")
    assert result.code == DONE
    match = TEXT.fullmatch(result.out.decode())
    assert match
    # As what was written can't be seen.
    assert result.err == f"Public key: {match[1]}\n"


def test_to_a_terminal():
    code, shown = on_terminal([TOOL, "keygen"], [])
    assert code == DONE
    assert TEXT.fullmatch(shown.replace("\r\n", "\n"))


def test_to_a_file(tmp_path):
    path = tmp_path / "key.txt"
    old_umask = os.umask(0)
    try:
        result = mail_seal("keygen", "-o", path)
    finally:
        os.umask(old_umask)
    assert result.code == DONE and result.out == b""
    match = TEXT.fullmatch(path.read_text())
    assert match
    assert result.err == f"Public key: {match[1]}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_in_the_working_directory(tmp_path):
    assert mail_seal("keygen", "--output=key.txt", cwd=tmp_path).code == DONE
    assert TEXT.fullmatch((tmp_path / "key.txt").read_text())


def test_every_key_is_new():
    assert mail_seal("keygen").out != mail_seal("keygen").out


@pytest.mark.parametrize("kind", ["file", "empty", "dangling link", "directory"])
def test_never_overwrites(tmp_path, kind):
    path = tmp_path / "key.txt"
    if kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_text("old key" if kind == "file" else "")
    result = mail_seal("keygen", "-o", path)
    assert result.code == IO
    assert str(path) in result.err
    assert not (tmp_path / "nowhere").exists()
    if kind == "file":
        assert path.read_text() == "old key"


def test_directory_that_is_not_there(tmp_path):
    result = mail_seal("keygen", "-o", tmp_path / "none" / "key.txt")
    assert result.code == IO and "No such file or directory" in result.err


def test_disk_full(tmp_path):
    assert mail_seal("keygen", "-o", "/dev/full").code == IO
    assert run(["sh", "-c", '"$0" keygen >/dev/full', TOOL]).code == IO
    # A limit on file sizes is the same for a file that can be created.
    path = tmp_path / "key.txt"
    result = run(["sh", "-c", 'ulimit -f 0; trap "" XFSZ; "$0" keygen -o "$1"', TOOL, path])
    assert result.code == IO, result
    assert not path.exists()


@pytest.mark.parametrize("args", [["file"], ["-x"], ["-o"], ["--output"], ["-o", "a", "b"]])
def test_usage(args, tmp_path):
    result = mail_seal("keygen", *args, cwd=tmp_path)
    assert result.code == USAGE and result.out == b""
    assert list(tmp_path.iterdir()) == []
