# SPDX-License-Identifier: LGPL-2.1-or-later
"""How much of what could be tested is tested in one run.

Loops over each call of a command, moments of kills, and storage formats that
matter little take a part. It is another one with each version of Dovecot, so the
runs of build-aux/check cover more together. MAIL_SEAL_THOROUGH=1 takes all of it,
MAIL_SEAL_SANITIZE_ALL=1 all tests under AddressSanitizer too, instead of one in two.
"""

import os
import zlib

from . import sanitizer
from .server import dovecot_version

# An odd number, see those who call part().
ASAN_FEWER = 3
THOROUGH = bool(os.environ.get("MAIL_SEAL_THOROUGH"))
SANITIZE_ALL = bool(os.environ.get("MAIL_SEAL_SANITIZE_ALL"))


def part(size, end, name=""):
    """Which of the numbers from 1 on to take, below end: one in size. They begin
    elsewhere for another name."""
    if THOROUGH:
        return range(1, end)
    if sanitizer.environment():
        size *= ASAN_FEWER
    return range(1 + _begin(name, size // 2) % size, end, size)


def _begin(name, more_24):
    return zlib.crc32(name.encode()) + more_24 * (dovecot_version() >= (2, 4))


def in_turn(names, number, test):
    """One of the names, another one for the next number."""
    if sanitizer.environment():
        number += 2
    return names[(_begin(test, 1) + number) % len(names)]


def is_for_asan(test):
    """One test in two."""
    return SANITIZE_ALL or zlib.crc32(test.encode()) % 2 == 0


def kept_of_variations(names, size):
    """Of the variations of a test, one in size, and at least one of each."""
    begin = zlib.crc32(names[0].partition("[")[0].encode()) % size
    return set(names[begin % len(names)::size])
