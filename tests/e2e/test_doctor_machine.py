# SPDX-License-Identifier: LGPL-2.1-or-later
"""What mail-seal doctor says of the machine: limits of a Dovecot that runs or
that systemd would start, swap, and core files. What the kernel and systemctl say
is set for the doctor alone."""

import contextlib
import os
import shutil
import subprocess

import pytest

from harness import sanitizer
from harness.doctor import Doctor, clean

pytestmark = pytest.mark.no_asan

NO_SWAP = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
SWAP = NO_SWAP + "/dev/sda2    partition\t2097148\t\t0\t\t-2\n"
ZRAM = NO_SWAP + "/dev/zram0   partition\t2097148\t\t0\t\t100\n"
# One session, and one that is being opened.
NEEDED = 2 * 64 * 1024
DOVECOT_IS = "Dovecot may lock 64 KB of memory in a process"


class Machine:
    def __init__(self, folder):
        self.folder = folder
        self.doctor = Doctor(folder)
        self.files = {"/proc/swaps": NO_SWAP,
                      "/proc/sys/fs/suid_dumpable": "2\n"}

    def systemctl(self, **properties):
        """A systemctl that knows Dovecot's unit."""
        answers = "".join(
            f'"show dovecot --value -p {name}") echo {value} ;;\n'
            for name, value in properties.items())
        path = self.folder / "systemctl"
        path.write_text(f'#!/bin/sh\ncase "$*" in\n{answers}*) exit 1 ;;\n'
                        "esac\n", encoding="ascii")
        path.chmod(0o755)

    def find(self, check, text=""):
        mounts = []
        for number, (path, content) in enumerate(self.files.items()):
            file = self.folder / f"file{number}"
            file.write_text(content, encoding="ascii")
            mounts.append(f"mount --bind {file} {path}")
        command = " && ".join([*mounts, 'exec "$0" "$@"'])
        return [finding for finding in self.doctor.find(
            f"{clean()}base_dir = {self.folder}\n{text}",
            before=("unshare", "-m", "sh", "-c", command),
            env={**(sanitizer.environment() or os.environ),
                 "PATH": f"{self.folder}:{os.environ['PATH']}"})
            if finding.check == check]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def dovecot(tmp_path):
    """dovecot(*limits): a process of this name with limits, as prlimit sets them,
    that Dovecot's pid file names."""
    with contextlib.ExitStack() as stack:
        def start(*limits):
            program = tmp_path / "dovecot"
            shutil.copy("/usr/bin/sleep", program)
            process = stack.enter_context(subprocess.Popen(
                ["prlimit", *limits, program, "600"]))
            stack.callback(process.kill)
            (tmp_path / "master.pid").write_text(f"{process.pid}\n",
                                                 encoding="ascii")
            comm = f"/proc/{process.pid}/comm"
            while open(comm, encoding="ascii").read() != "dovecot\n":
                assert process.poll() is None

        yield start


def test_nothing_is_known(machine):
    finding, = machine.find("mlock")
    assert finding.level == "note"
    assert "doesn't run and there is no systemd unit" in finding.text
    assert f"{NEEDED // 1024} KB" in finding.text


@pytest.mark.parametrize("swaps,level", [
    (NO_SWAP, "note"), (SWAP, "warning"), (ZRAM, "note")])
def test_locked_memory_of_the_unit(machine, swaps, level):
    machine.systemctl(LimitMEMLOCK=64 * 1024)
    machine.files["/proc/swaps"] = swaps
    finding, = machine.find("mlock")
    assert finding.level == level and DOVECOT_IS in finding.text
    assert finding.lines == ("[Service]", f"LimitMEMLOCK={NEEDED}")
    # It mends it.
    for limit in (NEEDED, "infinity"):
        machine.systemctl(LimitMEMLOCK=limit)
        finding, = machine.find("mlock")
        assert finding.level == "ok", finding


def test_locked_memory_of_many_clients(machine):
    """Of a process that serves them at once."""
    machine.systemctl(LimitMEMLOCK=1024 * 1024)
    finding, = machine.find("mlock", "service imap {\n  client_limit = 99\n}\n")
    assert finding.level == "note"
    assert finding.lines[1] == f"LimitMEMLOCK={100 * 64 * 1024}"


def test_locked_memory_of_what_runs(machine, dovecot):
    """It counts before what systemd would give another one."""
    machine.systemctl(LimitMEMLOCK="infinity")
    dovecot(f"--memlock={64 * 1024}")
    finding, = machine.find("mlock")
    assert finding.level == "note" and DOVECOT_IS in finding.text


def test_swap_that_holds_temporary_files(machine):
    """Files in memory may come there."""
    machine.files["/proc/swaps"] = SWAP
    found = machine.find("temp-dir")
    assert [finding.level for finding in found
            if "swap is on" in finding.text] == ["note"]
    machine.files["/proc/swaps"] = ZRAM
    assert not any("swap is on" in finding.text
                   for finding in machine.find("temp-dir"))


def test_core_files_of_the_unit(machine):
    machine.systemctl(LimitCORE="infinity")
    finding, = machine.find("core")
    assert finding.level == "note"
    assert "may leave core files (fs.suid_dumpable = 2)" in finding.text
    assert finding.lines == ("[Service]", "LimitCORE=0")
    machine.systemctl(LimitCORE=0)
    finding, = machine.find("core")
    assert finding.level == "ok"


def test_core_files_of_what_runs(machine, dovecot):
    dovecot("--core=0")
    finding, = machine.find("core")
    assert finding.level == "ok"


def test_no_core_files_by_the_kernel(machine):
    machine.files["/proc/sys/fs/suid_dumpable"] = "0\n"
    finding, = machine.find("core")
    assert finding.level == "ok"
