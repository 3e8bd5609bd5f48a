# SPDX-License-Identifier: LGPL-2.1-or-later
"""From samples to a table: medians, and quartiles of ratios to plain Dovecot.

A ratio is formed within a round, between samples that were taken one after the
other, so that what slows the machine down for a while slows both.
"""

import statistics

BASE = "plain"
_MIB = 1024

_NAMES = {"seal": "mail_seal", "crypt": "mail_crypt",
          "nocache": "plain, no index cache"}


def quartiles(values):
    """[first, median, third]"""
    if len(values) < 2:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def ratios(samples, variant, figure):
    """Of each round. samples is {variant: [Sample, …]}."""
    return [getattr(other, figure) / getattr(base, figure)
            for other, base in zip(samples[variant], samples[BASE])]


def _figures(sample):
    """One sample as it is written to a file."""
    return {name: value for name, value in (
        ("cpu_ms", sample.cpu), ("wall_ms", sample.wall),
        ("peak_kib", sample.peak), ("disk_kib", sample.disk))
            if value is not None}


def _medians(rounds):
    return {name: statistics.median(figures[name] for figures in rounds)
            for name in rounds[0]}


def _summary(samples, variant):
    taken = samples[variant]
    rounds = [_figures(sample) for sample in taken]
    notes = [sample.notes or {} for sample in taken]
    figures = {**_medians(rounds), "notes": _medians(notes), "rounds": rounds}
    if variant != BASE and BASE in samples:
        figures["ratio"] = quartiles(ratios(samples, variant, "figure"))
        if taken[0].wall is not None:
            figures["wall_ratio"] = quartiles(ratios(samples, variant, "wall"))
    return figures


def summary(row, scale, samples):
    """The figures of one row, as they are written to a file."""
    return {"row": row.name, "title": scale.text(row.title), "goal": row.goal,
            "variants": {variant: _summary(samples, variant)
                         for variant in samples}}


_HEAD = (f"{'':34}{'plain':>9} | {'mail_seal, ratio to plain':^41} | "
         f"{'mail_crypt':^19}\n"
         f"{'':34}{'CPU ms':>9} | {'goal':>4} {'CPU':>6} {'quartiles':>13} "
         f"{'wall':>6} {'MiB':>6}   | {'CPU':>6} {'wall':>5} {'MiB':>6}")


def head():
    return _HEAD + "\n" + "-" * len(_HEAD.splitlines()[1])


def line(found):
    """One row of the table."""
    variants = found["variants"]
    goal = found["goal"]
    text = f"{found['title']:34}{_base(variants.get(BASE)):>9} | "
    text += f"{'' if goal is None else goal:>4} "
    text += _seal(variants.get("seal"), variants.get(BASE), goal)
    crypt = variants.get("crypt")
    if crypt and "ratio" in crypt:
        text += (f" | {crypt['ratio'][1]:6.2f} {_wall(crypt, 1):>5} "
                 f"{_more_memory(crypt, variants[BASE]):>6}")
    return text.rstrip()


def _base(figures):
    if figures is None:
        return ""
    if "disk_kib" in figures:
        return f"{figures['disk_kib']:.0f} KiB"
    return f"{figures['cpu_ms']:.2f}"


def _seal(figures, base, goal):
    if figures is None or "ratio" not in figures:
        return " " * 36
    first, middle, third = figures["ratio"]
    missed = goal is not None and round(middle, 2) > goal
    between = f"{first:.2f}-{third:.2f}"
    return (f"{middle:6.2f} {between:>13} {_wall(figures, 2):>6} "
            f"{_more_memory(figures, base):>6} {'!' if missed else ' '}")


def _wall(figures, places):
    if "wall_ratio" not in figures:
        return ""
    return f"{figures['wall_ratio'][1]:.{places}f}"


def _more_memory(figures, base):
    if "peak_kib" not in figures:
        return ""
    return f"{(figures['peak_kib'] - base['peak_kib']) / _MIB:+.2f}"


def notes(all_found):
    """What has no column: nocache's ratios, and figures of single rows."""
    lines = []
    for found in all_found:
        for variant, figures in found["variants"].items():
            told = [f"{value:.10g} {name}"
                    for name, value in figures["notes"].items()]
            if variant == "nocache" and "ratio" in figures:
                told.append(_nocache(found, figures))
            if told:
                lines.append(f"{found['title']}, "
                             f"{_NAMES.get(variant, variant)}: "
                             f"{', '.join(told)}")
    return lines


def _nocache(found, figures):
    text = f"CPU {figures['ratio'][1]:.2f} of plain's"
    seal = found["variants"].get("seal")
    if seal:
        text += (f", and mail_seal's is "
                 f"{seal['cpu_ms'] / figures['cpu_ms']:.2f} of this")
    return text


LEGEND = """
CPU time is that of the imap (lmtp) process alone, wall time the client's. Ratios
are medians over the rounds; "!" marks a goal that is missed. MiB: by how much the
process's highest resident memory during the work exceeds plain's; Argon2id's was
over before (the peak is reset after the login)."""
