# SPDX-License-Identifier: LGPL-2.1-or-later
"""How many of the places where something may fail a run tries.

All of them take an hour on a slow machine. So a run tries each so manieth, on
each system others; MAIL_SEAL_THOROUGH=1 tries all.
"""

import itertools
import os

from . import sanitizer
from .server import dovecot_version

THOROUGH = bool(os.environ.get("MAIL_SEAL_THOROUGH"))


def places(step):
    """Numbers from 1 on, without end."""
    if THOROUGH:
        return itertools.count(1)
    if sanitizer.ACTIVE:
        # It looks for other things, and is slow.
        step *= 4
    first = 1 if dovecot_version() < (2, 4) else 1 + step // 2
    return itertools.count(first, step)


def share(count):
    """Of a number of attempts."""
    if THOROUGH:
        return count
    return max(count // (8 if sanitizer.ACTIVE else 2), 2)
