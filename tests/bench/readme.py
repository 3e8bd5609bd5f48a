# SPDX-License-Identifier: LGPL-2.1-or-later
"""What was measured as README.md shows it, in Markdown."""

import os
import re
import subprocess

import report

# Beside a ratio: the row is not for comparison, as a note below tells.
_APART = ("login", "unlock")
# mail_crypt takes less.
_MARK = " ¹"
_FOOTNOTE = ("¹ Answered from the index cache: mail_crypt leaves it as Dovecot "
             "writes it, Mail Seal seals it.")
_HEAD = "| {} | plain | Mail Seal | mail_crypt |\n|---|--:|--:|--:|"


def _processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        match = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    return match.group(1) if match else "unknown processor"


def _dovecot():
    done = subprocess.run(["dovecot", "--version"], check=True,
                          capture_output=True, text=True)
    return done.stdout.split()[0]


def text(all_found, storage, rounds):
    """The whole block."""
    rates = [found for found in all_found if _has(found, "rate_ratio")]
    times = [found for found in all_found
             if _has(found, "ratio") and found not in rates
             and found["row"] not in _APART]
    parts = [f"Dovecot {_dovecot()} with {storage}, {_processor()}, "
             f"{os.cpu_count()} cores, medians of {rounds} rounds in which "
             "all take turns."]
    if rates:
        parts.append(_table(
            "In a second, as a ratio to plain (more is better)", rates, _rate,
            "rate_ratio"))
    if times:
        parts.append(_table(
            "CPU time, as a ratio to plain (less is better)", times, _time,
            "ratio"))
    if any(map(report.crypt_wins, rates + times)):
        parts.append(_FOOTNOTE)
    return "\n\n".join(parts + _apart(all_found) + _notes(all_found))


def _has(found, name):
    return name in found["variants"].get("seal", {})


def _table(title, rows, show_plain, name):
    return "\n".join([_HEAD.format(title)] + [
        f"| {found['title']} | {show_plain(found)} | "
        f"{_ratio(found, 'seal', name)} | {_ratio(found, 'crypt', name)}"
        f"{_MARK if report.crypt_wins(found) else ''} |" for found in rows])


def _rate(found):
    notes = found["variants"][report.BASE]["notes"]
    return ", ".join(f"{value:.0f}" for value in notes.values())


def _time(found):
    plain = found["variants"][report.BASE]
    if "disk_kib" in plain:
        return f"{plain['disk_kib']:.0f} KiB"
    return f"{plain['cpu_ms']:.1f} ms"


def _ratio(found, variant, name):
    figures = found["variants"].get(variant, {})
    return f"{figures[name][1]:.2f}" if name in figures else ""


def _apart(all_found):
    """LOGIN, of which most is Argon2id on purpose."""
    lines = []
    for found in all_found:
        seal = found["variants"].get("seal")
        if found["row"] not in _APART or not seal or "ratio" not in seal:
            continue
        crypt = found["variants"].get("crypt")
        notes = ", ".join(f"{value:.10g} {name}"
                          for name, value in seal["notes"].items())
        line = (f"- {found['title']}: plain {_time(found)} of CPU time, Mail "
                f"Seal {seal['cpu_ms']:.1f} ms ({notes})")
        lines.append(f"{line}, mail_crypt {crypt['cpu_ms']:.1f} ms" if crypt
                     else line)
    return ["\n".join(lines)] if lines else []


def _notes(all_found):
    """What Mail Seal alone does."""
    lines = [f"- {found['title']}: " + ", ".join(
        f"{value:.10g} {name}" for name, value in
        found["variants"]["seal"]["notes"].items())
        for found in all_found if set(found["variants"]) == {"seal"}]
    return ["\n".join(lines)] if lines else []
