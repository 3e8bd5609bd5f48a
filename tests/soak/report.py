# SPDX-License-Identifier: LGPL-2.1-or-later
"""A soak as a block of Markdown."""

from processes import SERVICES

_FIGURES = (("memory, MiB", lambda usage: f"{usage.resident / 1024:.1f}"),
            ("of it private", lambda usage: f"{usage.private / 1024:.1f}"),
            ("locked, KiB", lambda usage: str(usage.locked)),
            ("open files", lambda usage: str(usage.files)))


def text(soak):
    load = soak.load
    verdict = "\n".join(f"- {problem}" for problem in soak.problems) or \
        "No error in the log, each message there once and equal, nothing " \
        "plain on the disk,\nmemory and open files level."
    return (f"{load.logged_in} logins, {load.delivered} deliveries, "
            f"{load.fetched} fetches\nby {load.amounts.clients} clients for "
            f"{load.amounts.users} users in {sum(soak.seconds):.0f} "
            f"seconds.\n\n{_table(soak)}\n\n{verdict}")


def _table(soak):
    rows = ["| At rest, largest process | start | ¼ | ½ | ¾ | end | "
            "at work, most |", "|---|---|---|---|---|---|---|"]
    for service in SERVICES:
        for name, show in _FIGURES:
            rows.append(_row(soak, service, name, show))
    return "\n".join(rows)


def _row(soak, service, name, show):
    cells = []
    for rest in soak.rests + [{0: soak.peaks[service]}]:
        of_service = [usage for usage in rest.values()
                      if usage.service == service]
        cells.append(max(map(show, of_service), key=float, default="-"))
    count = sum(usage.service == service for usage in soak.rests[-1].values())
    return f"| {service} ({count}), {name} | " + " | ".join(cells) + " |"
