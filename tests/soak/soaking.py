# SPDX-License-Identifier: LGPL-2.1-or-later
"""A whole soak: its server, four quarters of load, and the verdict."""

import time
from dataclasses import dataclass

from harness import canary
from harness.config import Setup

import processes
from load import Load

QUARTERS = 4

# Processes live as long as the server, and those of imap have many sessions
# at once. None may be ended for being idle.
_SERVICES = """
service imap {{
  {count}
  client_limit = 20
  process_min_avail = 2
  process_limit = 2
}}
service imap-login {{
  {count}
  process_min_avail = 2
  process_limit = 2
}}
service lmtp {{
  {count}
  process_min_avail = 4
  process_limit = 8
}}
"""

# Private memory at rest may grow by so much from the first quarter's end to
# the last one's, as the heap keeps holes. With the numbers of a whole soak 300
# bytes for each login are more than that.
_GROWTH_PART = 0.1
_GROWTH_KIB = 1024
# Some are opened when first needed, as the files of users by auth.
_GROWTH_FILES = 2


def setup(**options):
    return Setup(
        extra_23=_SERVICES.format(count="service_count = 0"),
        extra_24=_SERVICES.format(count="restart_request_count = 1000000"),
        **options)


@dataclass
class Soak:
    """What was seen."""

    load: Load
    rests: list         # {pid: Usage}, at the start and after each quarter
    peaks: dict         # {service: Usage}
    seconds: list       # of each quarter
    problems: list      # sentences


def run(server, amounts, tell=lambda text: None):
    """Load the server; a wrong answer is an exception. Returns a Soak."""
    master = server.process.pid
    load = Load(server, amounts)
    soak = Soak(load, [processes.at_rest(master)], {}, [], [])
    with processes.Peaks(master) as peaks:
        for quarter in range(QUARTERS):
            _run_quarter(soak, master, quarter)
            tell(f"quarter {quarter + 1}: {soak.seconds[-1]:.0f} s")
    soak.peaks = peaks.most
    load.check_all()
    soak.problems = _problems(server, soak)
    return soak


def _run_quarter(soak, master, quarter):
    logins = soak.load.amounts.logins
    start = time.monotonic()
    soak.load.run(range(logins * quarter // QUARTERS,
                        logins * (quarter + 1) // QUARTERS))
    soak.seconds.append(time.monotonic() - start)
    soak.rests.append(processes.at_rest(master))


def _problems(server, soak):
    found = [f"in the log: {line}" for line in server.bad_log_lines()]
    found += [f"plaintext in {path} ({form})" for path, _, form in
              canary.find(server.base, [soak.load.word])
              if server.setup.sealed]
    for service in processes.SERVICES:
        found += [f"{service}: {text}" for text in
                  _grown(service, soak.rests[1], soak.rests[-1])]
    return found


def _most(usages, name):
    return max(getattr(usage, name) for usage in usages)


def _grown(service, first, last):
    """What the processes that have lived through hold more than any of them
    held at first, when some may not have had a session yet."""
    both = [pid for pid, usage in first.items()
            if pid in last and usage.service == service]
    if not both:
        yield "no process has lived through"
        return
    was, now = ({name: _most([rest[pid] for pid in both], name)
                 for name in ("private", "locked", "files")}
                for rest in (first, last))
    more = now["private"] - was["private"]
    if more > _GROWTH_KIB + was["private"] * _GROWTH_PART:
        yield f"private memory grew from {was['private']} by {more} KiB"
    if now["locked"] > was["locked"]:
        yield f"locked memory grew from {was['locked']} to {now['locked']} KiB"
    if now["files"] > was["files"] + _GROWTH_FILES:
        yield f"{was['files']} files were open at first, then {now['files']}"
