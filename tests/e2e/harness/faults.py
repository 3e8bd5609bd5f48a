# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk that fails, or a process that is killed, at the call one chooses.

faults.c is put before libc's functions. A file tells every process with it what
is to fail, so it may change while a server runs.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile

import pytest

from . import sanitizer
from .server import MAIL_UID

_SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "faults.c")

class Faults:
    """Counts the calls below a folder."""

    def __init__(self):
        if os.environ.get("MAIL_SEAL_ASAN"):
            pytest.skip("the sanitizer needs LD_PRELOAD for itself")
        # pytest's own folders are closed to the uid of the mail whenever
        # another run of it begins.
        folder = tempfile.mkdtemp(prefix="mse-")
        self._plan = f"{folder}/plan"
        self._log = f"{folder}/calls"
        self.library = f"{folder}/faults.so"
        subprocess.run(
            ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC",
             f'-DPLAN="{self._plan}"', f'-DLOG="{self._log}"',
             "-o", self.library, _SOURCE], check=True)
        os.chmod(folder, 0o755)
        self._folder = folder

    @property
    def environment(self):
        return {**(sanitizer.environment() or os.environ),
                "LD_PRELOAD": self.library}

    def configuration(self):
        """For Setup: every process of the server has it."""
        return {
            "extra_23": f"import_environment = TZ LD_PRELOAD={self.library}\n",
            "extra_24": "import_environment {\n"
                        f"  LD_PRELOAD = {self.library}\n}}\n"}

    def plan(self, folder, mode, at):
        """For paths that begin with folder; Dovecot's own indexes count only
        if it names them, as ".../dovecot.index" does.

        Modes: once, with EIO or ENOSPC in turn; dead, for every later call
        that would change something, too; kill."""
        with open(self._log, "wb"):
            pass
        os.chown(self._log, MAIL_UID, MAIL_UID)
        with open(f"{self._plan}.new", "w", encoding="utf-8") as file:
            file.write(f"{mode} {at} {folder}")
        os.chmod(f"{self._plan}.new", 0o644)
        os.rename(f"{self._plan}.new", self._plan)

    def calls(self):
        """[(function, path), …] since plan()."""
        with open(self._log, encoding="utf-8") as file:
            return [tuple(line.split(" ", 1)) for line in
                    file.read().splitlines()]

    def end(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._plan)

    def remove(self):
        shutil.rmtree(self._folder)
