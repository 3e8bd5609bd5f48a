# SPDX-License-Identifier: LGPL-2.1-or-later
"""What README.md shows to be pasted: examples of configuration, each fenced
and below a comment with its name, and commands, which are indented.

Tests give names, sections and commands as literals, to example(), Commands()
and the run() of an object that they call readme: that is how
test_readme_commands.py finds what no test runs.
"""

import functools
import os
import re

from . import terminal
from .server import dovecot_version

PATH = f"{os.path.dirname(__file__)}/../../../README.md"
# Indented as well: settings, and lines of the log.
_NO_COMMAND = re.compile(r"\w+ = |\w+\(\w+\)")
_EXAMPLE = re.compile(r"^<!-- (.*) -->\n```\n((?:.*\n)*?)```$", re.M)


@functools.cache
def text():
    with open(PATH, encoding="utf-8") as file:
        return file.read()


def version():
    """As README.md writes it."""
    return "{}.{}".format(*dovecot_version())


def examples():
    """All examples by name."""
    return dict(_EXAMPLE.findall(text()))


def filled(line, changes):
    """Each change must find its place."""
    for old, new in changes.items():
        assert old in line, f"no {old!r} in {line!r}"
        line = line.replace(old, new)
    return line


def example(name, changes=()):
    """The example of this name, or the one for this Dovecot: NAME 2.3."""
    found = examples()
    chosen = found.get(name) or found[f"{name} {version()}"]
    return filled(chosen, dict(changes))


def sections():
    """What stands below each heading of the second level, by its words."""
    parts = re.split(r"^## (.*)\n", text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def commands(section):
    """The indented lines of a section; a line may go on after a backslash."""
    unfenced = re.sub(r"^ *```(?:.*\n)*? *```$", "", sections()[section],
                      flags=re.M)
    joined = re.sub(r" *\\\n *", " ", unfenced)
    return [line for line in re.findall(r"^ {4,}(?=\S)(.*)$", joined, re.M)
            if not _NO_COMMAND.match(line)]


def _is_for_this_dovecot(line):
    match = re.search(r"# Dovecot (2\.\d)$", line)
    return not match or match.group(1) == version()


class Commands:
    """Runs the lines of a section that begin with some words, each just once,
    in a folder. shell goes before each of them."""

    def __init__(self, server, folder, section, shell=""):
        self.folder = folder
        self.lines = [line for line in commands(section)
                      if _is_for_this_dovecot(line)]
        self.shell = (f"doveadm() {{ command doveadm -c {server.config_file} "
                      f"\"$@\"; }}\n{shell}\n")

    def run(self, words, answers=(), **changes):
        """changes are what this place needs otherwise. Returns what it said,
        and answers what it asks: see terminal.run()."""
        [line] = [line for line in self.lines if line.startswith(words)]
        self.lines.remove(line)
        return terminal.run(self.shell + filled(line, changes), answers,
                            cwd=self.folder)
