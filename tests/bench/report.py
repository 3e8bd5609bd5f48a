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
        if taken[0].count is not None:
            figures["rate_ratio"] = quartiles(
                [1 / ratio for ratio in ratios(samples, variant, "wall")])
    return figures


def _against_crypt(samples):
    """The median of mail_seal's ratio to mail_crypt, of what the row is about:
    above 1 is for mail_crypt. None if they weren't both measured."""
    if not {"seal", "crypt"} <= set(samples):
        return None
    figure = "figure" if samples["seal"][0].count is None else "wall"
    return statistics.median(
        getattr(seal, figure) / getattr(crypt, figure)
        for seal, crypt in zip(samples["seal"], samples["crypt"]))


def summary(row, scale, samples):
    """The figures of one row, as they are written to a file."""
    return {"row": row.name, "title": scale.text(row.title), "goal": row.goal,
            "seal_to_crypt": _against_crypt(samples),
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
        text += (f" | {crypt['ratio'][1]:6.2f} {_wall(crypt, 2):>5} "
                 f"{_more_memory(crypt, variants[BASE]):>6}")
        text += " <" if crypt_wins(found) else ""
    return text.rstrip()


def crypt_wins(found):
    return round(found["seal_to_crypt"] or 0, 2) > 1


def misses(figures, goal):
    """Whether a variant doesn't reach the goal of its row."""
    if goal is None:
        return False
    if "rate_ratio" in figures:
        return round(figures["rate_ratio"][1], 2) < goal
    return round(figures["ratio"][1], 2) > goal


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
    between = f"{first:.2f}-{third:.2f}"
    return (f"{middle:6.2f} {between:>13} {_wall(figures, 2):>6} "
            f"{_more_memory(figures, base):>6} "
            f"{'!' if misses(figures, goal) else ' '}")


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
            if "rate_ratio" in figures:
                told.append("{1:.2f} of plain's ({0:.2f}-{2:.2f})".format(
                    *figures["rate_ratio"]))
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
CPU time is that of the imap (lmtp) processes alone, wall time the client's.
Ratios are medians over the rounds; "!" marks a goal that is missed, "<" a row in
which mail_crypt takes less. Goals of rows of several clients are for what is done
in a second; its ratio stands below. MiB: by how much the process's highest
resident memory during the work exceeds plain's; Argon2id's was over before (the
peak is reset after the login)."""
