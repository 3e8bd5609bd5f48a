# SPDX-License-Identifier: LGPL-2.1-or-later
"""What one process has used: CPU time, memory, and bytes read.

CPU time is the scheduler's own count in nanoseconds (/proc/PID/schedstat), user
and system together. It is complete only while the process sleeps, so it is
waited for.
"""

import re
import time
from dataclasses import dataclass

_POLL_SECONDS = 0.002
# It sleeps, and its count stays the same for so many looks.
_POLLS_IDLE = 4
_IDLE_SECONDS = 60
_LOG_SECONDS = 10


@dataclass
class Sample:
    """What a piece of work took."""

    cpu: float = None   # milliseconds
    wall: float = None  # milliseconds
    # Highest resident memory in KiB; None where it says nothing.
    peak: int = None
    # Of the answer; has to be the same for all. None where it isn't.
    size: int = None
    # Further figures by name, printed below the table.
    notes: dict = None
    # In a row of its own, instead of times: what lies on disk, in KiB.
    disk: float = None
    # Pieces of work that were done, where their number in a second is what the
    # row is about: of several processes and clients at once.
    count: int = None

    @property
    def figure(self):
        """What the row is about, and what its goal bounds."""
        return self.cpu if self.disk is None else self.disk


class Process:
    def __init__(self, pid):
        self.pid = pid

    def _read(self, name):
        with open(f"/proc/{self.pid}/{name}", encoding="ascii") as file:
            return file.read()

    def _sleeps(self):
        return self._read("stat").rpartition(")")[2].split()[0] == "S"

    def _nanoseconds(self):
        return int(self._read("schedstat").split()[0])

    def cpu(self):
        """Milliseconds until now, once the process is idle."""
        end = time.monotonic() + _IDLE_SECONDS
        last, same = None, 0
        while same < _POLLS_IDLE:
            if time.monotonic() > end:
                raise TimeoutError(f"process {self.pid} is never idle")
            time.sleep(_POLL_SECONDS)
            now = self._nanoseconds()
            same = same + 1 if now == last and self._sleeps() else 0
            last = now
        return last / 1e6

    def reset_peak(self):
        """From here on peak() tells what is used at most."""
        with open(f"/proc/{self.pid}/clear_refs", "w",
                  encoding="ascii") as file:
            file.write("5")

    def _status(self, name):
        return int(re.search(rf"^{name}:\s+(\d+) kB$",
                             self._read("status"), re.M).group(1))

    def peak(self):
        return self._status("VmHWM")

    def resident(self):
        return self._status("VmRSS")

    def bytes_read(self):
        """By read(2) and its kin, of whatever file or socket."""
        return int(re.search(r"^rchar: (\d+)$", self._read("io"),
                             re.M).group(1))

    def measure(self, work):
        """A Sample of work(), which returns the size of an answer or None."""
        self.reset_peak()
        cpu = self.cpu()
        start = time.monotonic()
        size = work()
        wall = time.monotonic() - start
        return Sample(self.cpu() - cpu, wall * 1e3, self.peak(), size)


def measure_all(processes, work, count):
    """A Sample of work() that keeps all of them busy, done count times."""
    before = sum(process.cpu() for process in processes)
    for process in processes:
        process.reset_peak()
    start = time.monotonic()
    work()
    wall = time.monotonic() - start
    return Sample(sum(process.cpu() for process in processes) - before,
                  wall * 1e3, max(process.peak() for process in processes),
                  count=count)


def logged_process(server, offset, pattern):
    """The process whose number is in a line logged after offset."""
    end = time.monotonic() + _LOG_SECONDS
    while time.monotonic() < end:
        match = re.search(pattern, server.all_log(offset))
        if match:
            return Process(int(match.group(1)))
        time.sleep(_POLL_SECONDS)
    raise TimeoutError(f"no log line matches {pattern!r}:\n"
                       f"{server.all_log(offset)}")
