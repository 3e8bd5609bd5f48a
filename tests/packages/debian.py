# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Debian root that a test may change, with a running Dovecot."""

import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from types import SimpleNamespace

SNIPPET = "/etc/dovecot/conf.d/10-mail-seal.conf"
MAIL_CONF = "/etc/dovecot/conf.d/10-mail.conf"
AUTH_CONF = "/etc/dovecot/conf.d/auth-system.conf.ext"
LOG = "/var/log/dovecot.log"
NEWER = "+test1"
_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive"}


def _host(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Debian:
    def __init__(self, clean, folder):
        self.folder = str(folder)
        self.root = f"{folder}/root"
        self.ports = {"imap": 143}
        # Where harness.wire.Lmtp looks for run/lmtp.
        self.base = f"{folder}/base"
        self._clean = clean
        # What Dovecot says of a restart and of a reload.
        self._allowed = [re.compile("Warning: Killed with signal 15"),
                         re.compile("Warning: SIGHUP received")]

    def __enter__(self):
        upper, work = f"{self.folder}/upper", f"{self.folder}/work"
        _host("mount", "-t", "tmpfs", "tmpfs", self.folder)
        for name in (upper, work, self.root, self.base):
            os.mkdir(name)
        os.symlink(f"{self.root}/run/dovecot", f"{self.base}/run")
        _host("mount", "-t", "overlay", "overlay", "-o",
              f"lowerdir={self._clean},upperdir={upper},workdir={work}",
              self.root)
        _host("mount", "-t", "proc", "proc", f"{self.root}/proc")
        _host("mount", "--rbind", "/dev", f"{self.root}/dev")
        _host("mount", "-t", "tmpfs", "tmpfs", f"{self.root}/dev/shm")
        return self

    def __exit__(self, *_):
        for pid in self._processes():
            os.kill(pid, signal.SIGKILL)
        _host("umount", "-l", self.root)
        _host("umount", "-l", self.folder)

    def _processes(self):
        for link in glob.glob("/proc/[0-9]*/root"):
            try:
                if os.readlink(link) == self.root:
                    yield int(link.split("/")[2])
            except OSError:
                pass            # it has ended

    # Commands and files.

    def call(self, *command, stdin=""):
        """(exit code, all it said)"""
        # A file, as a daemon may keep what it was started with.
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            done = subprocess.run(["chroot", self.root, *command], env=_ENV,
                                  cwd="/", input=stdin, text=True,
                                  check=False, stdout=said,
                                  stderr=subprocess.STDOUT)
            said.seek(0)
            return done.returncode, said.read()

    def run(self, *command, stdin=""):
        code, said = self.call(*command, stdin=stdin)
        assert code == 0, f"{' '.join(command)}: {code}\n{said}"
        return said

    def path(self, name):
        return self.root + name

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read().decode(errors="replace")

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def files(self, name):
        """The content of each file below a folder, by its path."""
        found = {}
        for folder, _, names in os.walk(self.path(name)):
            for path in (os.path.join(folder, entry) for entry in names):
                with open(path, "rb") as file:
                    found[path[len(self.root):]] = file.read()
        return found

    # Dovecot.

    def policy(self, code):
        """What invoke-rc.d asks before it restarts Dovecot: 0 allows it, 101
        forbids. Without an init it would do nothing of itself."""
        self.write("/usr/sbin/policy-rc.d", f"#!/bin/sh\nexit {code}\n")
        os.chmod(self.path("/usr/sbin/policy-rc.d"), 0o755)

    def start(self):
        self.policy(0)
        self.write("/etc/dovecot/local.conf", f"log_path = {LOG}\n")
        self.run("service", "dovecot", "start")
        self.user = self._new_user("anna", "lovelace")
        self._wait_for_socket()

    def _new_user(self, name, password):
        self.run("useradd", "-m", "-s", "/bin/sh", name)
        self.run("chpasswd", stdin=f"{name}:{password}\n")
        return SimpleNamespace(name=name, password=password)

    def _wait_for_socket(self):
        end = time.monotonic() + 20
        while not os.path.exists(f"{self.base}/run/lmtp"):
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)

    def master(self):
        return int(self.read("/run/dovecot/master.pid"))

    def reload(self):
        self.run("doveadm", "reload")
        # What is asked for at once may still be served by the old processes.
        time.sleep(0.5)

    def log(self):
        return self.read(LOG) if os.path.exists(self.path(LOG)) else ""

    def allow_log(self, pattern):
        self._allowed.append(re.compile(pattern))

    def check_log(self):
        bad = [line for line in self.log().splitlines()
               if re.search(r"Error|Panic|Fatal|Warning", line)
               and not any(allowed.search(line) for allowed in self._allowed)]
        assert not bad, "\n".join(bad)

    # Packages.

    def install(self, debs):
        """Install or upgrade; returns what apt said."""
        shutil.rmtree(self.path("/debs"), ignore_errors=True)
        os.mkdir(self.path("/debs"))
        names = [os.path.basename(shutil.copy(deb, self.path("/debs")))
                 for deb in packages(debs)]
        said = self.apt("install", *(f"/debs/{name}" for name in names))
        self._wait_for_socket()
        return said

    def apt(self, verb, *names):
        # As if Return was pressed where dpkg asks about a changed conffile.
        return self.run("apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0",
                        "-o", "Dpkg::Options::=--force-confdef",
                        verb, *names)

    def enable(self):
        """Do what the snippet's head says."""
        for line in re.findall(r"(?m)^## {8}(\S.*)$", self.read(SNIPPET)):
            if line.startswith("sed "):
                self.run("sh", "-c", line)
            elif line.startswith("override_fields "):
                self._add_to_passdb(line)
            else:
                self._set(line)
        self._drop("mail_inbox_path")
        self.reload()

    def _add_to_passdb(self, line):
        text = self.read(AUTH_CONF)
        head, brace, tail = text.partition("passdb {\n")
        self.write(AUTH_CONF, f"{head}{brace}  {line}\n{tail}")

    def _set(self, line):
        name = line.split(" =")[0]
        text, count = re.subn(rf"(?m)^{name} =.*$", lambda _: line,
                              self.read(MAIL_CONF))
        assert count == 1, f"{name} in {MAIL_CONF}"
        self.write(MAIL_CONF, text)

    def _drop(self, name):
        self.write(MAIL_CONF, re.sub(rf"(?m)^{name} =", f"#{name} =",
                                     self.read(MAIL_CONF)))


def packages(folder):
    """Those that a user installs."""
    return sorted(path for path in glob.glob(f"{folder}/*.deb")
                  if "-dbgsym_" not in path)


def control(deb, field):
    return subprocess.run(["dpkg-deb", "-f", deb, field], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()


def unpack(debs, folder):
    trees = {}
    for deb in packages(debs):
        name = control(deb, "Package")
        trees[name] = f"{folder}/{name}"
        _host("dpkg-deb", "-x", deb, trees[name])
    return trees


def newer(debs, folder):
    """Pack each anew with a higher version and another example."""
    for deb in packages(debs):
        tree = f"{folder}/tree"
        _host("dpkg-deb", "-R", deb, tree)
        _raise_version(f"{tree}/DEBIAN/control")
        if os.path.exists(tree + SNIPPET):
            with open(tree + SNIPPET, "a", encoding="utf-8") as file:
                file.write("## A line that is new.\n")
        _host("dpkg-deb", "-Zgzip", "-z1", "-b", tree,
              f"{folder}/{os.path.basename(deb)}")
        shutil.rmtree(tree)


def _raise_version(control):
    with open(control, encoding="utf-8") as file:
        text = file.read()
    version = re.search(r"(?m)^Version: (.*)$", text).group(1)
    with open(control, "w", encoding="utf-8") as file:
        file.write(text.replace(version, version + NEWER))
