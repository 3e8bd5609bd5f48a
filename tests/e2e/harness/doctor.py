# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs mail-seal doctor on a configuration, at first that of the README."""

import json
import os
import re
import subprocess
from dataclasses import dataclass

from . import sanitizer
from .server import dovecot_version

README = f"{os.path.dirname(__file__)}/../../../README.md"
OK, WARNINGS, ERRORS, NO_CONFIGURATION = 0, 7, 8, 78
# What the machine has, and no line of a configuration mends.
OF_THE_MACHINE = ("mlock", "core")

BASE = {
    (2, 3): """
mail_location = maildir:~/Maildir
userdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
""",
    (2, 4): """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
mail_driver = maildir
mail_path = ~/Maildir
userdb passwd-file {
  passwd_file_path = /etc/dovecot/users
}
""",
}


@dataclass(frozen=True)
class Finding:
    check: str
    level: str
    text: str
    lines: tuple


def example(name="configuration"):
    """What the README tells to put into the configuration."""
    version = "{}.{}".format(*dovecot_version())
    with open(README, encoding="utf-8") as file:
        return re.search(rf"<!-- {name} {re.escape(version)} -->\n"
                         r"```\n(.*?)```\n", file.read(), re.S).group(1)


def clean():
    return f"{BASE[dovecot_version()]}protocols = imap pop3 lmtp\n{example()}"


def run(*args, before=(), **kwargs):
    """before is what runs it: words of a command."""
    # Of 2.4, doveconf loads our module of settings.
    kwargs.setdefault("env", sanitizer.environment())
    return subprocess.run([*before, "mail-seal", "doctor", *map(str, args)],
                          capture_output=True, text=True, timeout=60,
                          check=False, **kwargs)


class Doctor:
    """A configuration file in folder, and what is found in it."""

    def __init__(self, folder):
        self.path = folder / "dovecot.conf"
        self.code = None

    def find(self, text, *args, **kwargs):
        self.path.write_text(text, encoding="utf-8")
        done = run("-c", self.path, "--json", *args, **kwargs)
        assert done.stderr == "", done
        self.code = done.returncode
        return [Finding(**{**finding, "lines": tuple(finding["lines"])})
                for finding in json.loads(done.stdout)]

    def bad(self, text, *args):
        """Without those of the machine."""
        return [finding for finding in self.find(text, *args)
                if finding.level != "ok" and
                finding.check not in OF_THE_MACHINE and
                "swap is on" not in finding.text]
