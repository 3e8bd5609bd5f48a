# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stock age program: Debian's, which knows nothing of us."""

import os
import re
import subprocess
from dataclasses import dataclass


class AgeFailed(Exception):
    """age ended with an error; the text is what it said."""


@dataclass(frozen=True)
class Key:
    identity: str       # AGE-SECRET-KEY-1…
    recipient: str      # age1…


def keygen():
    text = subprocess.run(["age-keygen"], check=True, capture_output=True,
                          text=True).stdout
    return Key(re.search(r"^AGE-SECRET-KEY-1\S+$", text, re.M).group(),
               re.search(r"age1\S+", text).group())


def open_(identity, sealed):
    """Open a file with an identity, or the text of an identity file."""
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, identity.encode() + b"\n")
        os.close(write_end)
        done = subprocess.run(["age", "-d", "-i", f"/dev/fd/{read_end}"],
                              input=sealed, capture_output=True,
                              pass_fds=[read_end])
    finally:
        os.close(read_end)
    if done.returncode != 0:
        raise AgeFailed(done.stderr.decode(errors="replace"))
    return done.stdout


def seal(recipient, plain):
    return subprocess.run(["age", "-r", recipient], input=plain, check=True,
                          capture_output=True).stdout
