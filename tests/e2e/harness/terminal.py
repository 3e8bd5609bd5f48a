# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs a command at a terminal of its own, where a person answers."""

import os
import pty
import select
import signal
import time

from . import sanitizer


class Wrong(Exception):
    """The command failed, or asked something that has no answer."""


def run(command, answers, cwd=None):
    """Run a command of the shell, which must succeed; returns as talk() does."""
    shown, status = talk(["bash", "-o", "pipefail", "-c", command], answers,
                         cwd)
    if status != 0:
        raise Wrong(f"{command} ended with {status}:\n{shown}")
    return shown


def talk(words, answers, cwd=None, seconds=60):
    """Returns all that stood on the terminal, and the exit status. answers are
    (prompt, answer), each used once, in this order."""
    pid, fd = pty.fork()
    if pid == 0:
        if cwd is not None:
            os.chdir(cwd)
        os.execvpe(words[0], words, sanitizer.environment() or os.environ)
    try:
        shown = _talk(fd, list(answers), time.monotonic() + seconds)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        # In this order, as who is just about to end would get a SIGHUP.
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(fd)
    return shown, status


def _talk(fd, answers, end):
    shown = ""
    seen = 0
    while True:
        if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            raise Wrong(f"nothing more after:\n{shown}")
        try:
            data = os.read(fd, 65536)
        except OSError:     # EIO: the other end is closed
            data = b""
        if not data:
            if answers:
                raise Wrong(f"did not ask {answers[0][0]!r}:\n{shown}")
            return shown.replace("\r\n", "\n")
        shown += data.decode(errors="replace")
        if answers and shown.endswith(answers[0][0]) and len(shown) > seen:
            os.write(fd, answers.pop(0)[1].encode() + b"\n")
            seen = len(shown)
