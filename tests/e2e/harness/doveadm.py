# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs doveadm seal … with secrets through file descriptors, as scripts do."""

import json
import os
import subprocess
from dataclasses import dataclass

from . import sanitizer

# Exit codes of sysexits.h, as doveadm-seal(1) lists them.
USAGE, DATAERR, NOUSER, NOTFOUND, TEMPFAIL, NOPERM = 64, 65, 67, 68, 75, 77


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def rows(self):
        """What -f json gave."""
        return json.loads(self.out)

    @property
    def row(self):
        [row] = self.rows
        return row


def command(server, *words, **secrets):
    """(command line, descriptors to pass and close) of doveadm seal WORDS.

    password="a" gives a line by --password-fd, password=["a", "b"] two of them,
    password=b"raw" just these bytes.
    """
    line = ["doveadm", "-c", server.config_file, "-f", "json", "seal",
            *words]
    fds = []
    for name, value in secrets.items():
        read_end, write_end = os.pipe()
        if not isinstance(value, bytes):
            value = [value] if isinstance(value, str) else value
            value = "".join(part + "\n" for part in value).encode()
        os.write(write_end, value)
        os.close(write_end)
        fds.append(read_end)
        line += [f"--{name.replace('_', '-')}-fd", str(read_end)]
    return line, fds


def seal(server, *words, check=True, stdin=b"", env=None, **secrets):
    """Run it to its end, with no terminal to ask at."""
    line, fds = command(server, *words, **secrets)
    try:
        ended = subprocess.run(line, input=stdin, capture_output=True,
                               pass_fds=fds,
                               env=env or sanitizer.environment(),
                               start_new_session=True, timeout=120)
    finally:
        for fd in fds:
            os.close(fd)
    done = Done(ended.returncode, ended.stdout.decode(errors="replace"),
                ended.stderr.decode(errors="replace"))
    if check and done.code != 0:
        raise AssertionError(f"{' '.join(line)} ended with {done.code}:\n"
                             f"{done.err}")
    return done


def seal_user(server, user, verb, *words, **options):
    """seal("VERB", "-u", USER, …); VERB may be two words."""
    return seal(server, *verb.split(), "-u", user.name, *words, **options)


def unlocked(server, *words, key, stdin=b"", fd=None):
    """doveadm WORDS with a key through mail_seal_unlock_fd: text or bytes."""
    name = "mail_seal_unlock_fd"
    if server.version < (2, 4):
        name = f"plugin/{name}"
    read_end, write_end = os.pipe()
    os.write(write_end, key if isinstance(key, bytes) else
             f"{key}\n".encode())
    os.close(write_end)
    try:
        ended = subprocess.run(
            ["doveadm", "-c", server.config_file, "-o",
             f"{name}={read_end if fd is None else fd}", *words],
            input=stdin, capture_output=True, pass_fds=[read_end],
            env=sanitizer.environment(), start_new_session=True, timeout=120)
    finally:
        os.close(read_end)
    return Done(ended.returncode, ended.stdout.decode(errors="replace"),
                ended.stderr.decode(errors="replace"))
