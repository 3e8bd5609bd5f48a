# SPDX-License-Identifier: LGPL-2.1-or-later
"""What Dovecot's processes hold: memory and open files, at rest and at work.
"""

import os
import re
import time
from dataclasses import dataclass

from harness.meanwhile import Meanwhile

SERVICES = ("imap", "lmtp", "imap-login", "auth")
_REST_SECONDS = 30
_STEADY_SECONDS = 1.5
_POLL_SECONDS = 0.25
_FIELDS = ("VmRSS", "RssAnon", "VmLck")


@dataclass(frozen=True)
class Usage:
    service: str
    resident: int   # KiB; with pages of files, which are mapped and go again
    private: int    # KiB; without
    locked: int     # KiB; secrets are kept in these
    files: int


def _read(path):
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def _usage(pid):
    status = _read(f"/proc/{pid}/status")
    found = [re.search(rf"^{name}:\s+(\d+) kB$", status, re.M)
             for name in _FIELDS]
    # A process that ends has no memory any more.
    if None in found:
        return None
    return Usage(_read(f"/proc/{pid}/comm").strip(),
                 *(int(match.group(1)) for match in found),
                 len(os.listdir(f"/proc/{pid}/fd")))


def usages(master):
    """{pid: Usage} of what the master process has started."""
    children = _read(f"/proc/{master}/task/{master}/children").split()
    found = {}
    for pid in map(int, children):
        try:
            usage = _usage(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if usage and usage.service in SERVICES:
            found[pid] = usage
    return found


def _files(found):
    return {pid: usage.files for pid, usage in found.items()}


def at_rest(master):
    """As usages(), once nothing is opened or closed any more."""
    end = time.monotonic() + _REST_SECONDS
    last, since = usages(master), time.monotonic()
    while time.monotonic() < min(end, since + _STEADY_SECONDS):
        time.sleep(_POLL_SECONDS)
        now = usages(master)
        if _files(now) != _files(last):
            since = time.monotonic()
        last = now
    return last


class Peaks(Meanwhile):
    """with Peaks(master) as peaks: …; peaks.most is {service: Usage}, each
    figure the highest of any process at any time."""

    def __init__(self, master):
        super().__init__(_POLL_SECONDS)
        self._master = master
        self.most = {}

    def look(self):
        for usage in usages(self._master).values():
            self._add(usage)

    def _add(self, usage):
        most = self.most.get(usage.service, usage)
        self.most[usage.service] = Usage(usage.service, *(
            max(getattr(most, name), getattr(usage, name))
            for name in ("resident", "private", "locked", "files")))
