# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs mail-seal(1) and the stock age for the tests of this folder and of vectors."""

import os
import pty
import re
import select
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# The exit codes that the manual page promises.
DONE, USAGE, NO_IDENTITY, BAD_HEADER, BAD_PAYLOAD, IO = 0, 2, 3, 4, 5, 6

CHUNK = 64 * 1024
# Around the borders of chunks.
SIZES = [0, 1, 15, 16, 17, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 1_000_000]


def find_tool():
    """The program to test: $MAIL_SEAL, or that of the build tree, or that in the path."""
    if "MAIL_SEAL" in os.environ:
        return os.environ["MAIL_SEAL"]
    for name in "BUILD_DIR", "MAIL_SEAL_BUILD":
        tool = Path(os.environ.get(name, "/nonexistent"), "plugin/tool/mail-seal")
        if tool.exists():
            return str(tool)
    tool = shutil.which("mail-seal")
    assert tool, "no mail-seal: set MAIL_SEAL to the program or BUILD_DIR to the build tree"
    return tool


TOOL = find_tool()


@dataclass
class Result:
    code: int
    out: bytes
    err: str


def run(command, data=b"", **kwargs):
    """Run a command with data as its standard input, which is a pipe."""
    done = subprocess.run([str(arg) for arg in command], input=data, capture_output=True, timeout=120, **kwargs)
    return Result(done.returncode, done.stdout, done.stderr.decode())


def mail_seal(*args, data=b"", **kwargs):
    """Run mail-seal. Whatever goes wrong it says so itself, in one line for each thing."""
    result = run([TOOL, *args], data, **kwargs)
    assert result.code in (DONE, USAGE, NO_IDENTITY, BAD_HEADER, BAD_PAYLOAD, IO), result
    if result.code != DONE:
        assert "mail-seal: " in result.err, result
    assert not re.search("AGE-SECRET-KEY-1[0-9A-Z]", result.err)
    return result


def output_of(result):
    assert result.code == DONE, result
    return result.out


def with_fd(option, secret, *args, **kwargs):
    """Run mail-seal with an option whose argument is a descriptor that gives the secret."""
    reader, writer = os.pipe()
    os.write(writer, secret)
    os.close(writer)
    verb = 2 if args[0] == "keyring" else 1
    try:
        return mail_seal(*args[:verb], option, reader, *args[verb:], pass_fds=[reader], **kwargs)
    finally:
        os.close(reader)


def with_passphrase(passphrase, *args, **kwargs):
    return with_fd("--passphrase-fd", passphrase, *args, **kwargs)


def on_terminal(command, answers, stdout=None):
    """Run a command on a terminal of its own and type the answers, each when it asks.
    Returns its exit code and what the terminal showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        if stdout is not None:
            os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        os.execvp(str(command[0]), [str(arg) for arg in command])
    shown = b""
    answers = list(answers)
    while select.select([terminal], [], [], 60)[0]:
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
        if answers and shown.rstrip().endswith(b":"):
            os.write(terminal, answers.pop(0) + b"\n")
            shown += b"\n"
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def plaintext(size):
    """size bytes that don't repeat."""
    return os.urandom(size)


@dataclass
class Key:
    path: Path
    identity: str
    recipient: str


def new_key(path):
    """A new identity file."""
    assert mail_seal("keygen", "-o", path).code == DONE
    lines = path.read_text().splitlines()
    return Key(path, lines[2], lines[1].removeprefix("# public key: "))
