# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls include/mail/rewrite.h and scan.h with a real storage.

rewrite-module.c is built here, as a command of doveadm, and put among Dovecot's
modules where with-modules has mounted a copy of them.
"""

import functools
import glob
import os
import re
import subprocess

from . import age, sanitizer
from .server import MAIL_UID, User

_TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_TOP = os.path.dirname(os.path.dirname(_TESTS))
_AGE = ["keyfile", "x25519", "bech32", "header", "recipient", "base64"]
_MODULES = "/usr/lib/dovecot/modules"
_MODULE = f"{_MODULES}/doveadm/lib95_doveadm_seal_rewrite_test_plugin.so"


@functools.lru_cache
def _build():
    with open("/proc/self/mounts", encoding="utf-8") as file:
        assert f" {_MODULES} tmpfs " in file.read(), \
            "run by build-aux/with-modules"
    sources = [f"{_TESTS}/rewrite-module.c",
               *(f"{_TOP}/plugin/age/{name}.c" for name in _AGE),
               *glob.glob(f"{_TOP}/plugin/crypto/*.c")]
    os.makedirs(os.path.dirname(_MODULE), exist_ok=True)
    subprocess.run(
        ["gcc", "-std=gnu11", "-O1", "-Wall", "-Werror", "-shared", "-fPIC",
         "-fvisibility=hidden", "-Wl,-Bsymbolic", "-DHAVE_CONFIG_H",
         f"-I{_TOP}/include", "-I/usr/include/dovecot", "-o", _MODULE,
         *sources, "-lsodium", "-lcrypto"], check=True)


class Store:
    """One home with two keys.

    .writer's mail is sealed to .old, .user's to .new; .user is what the store
    belongs to after a rotation. Each opens its own mail alone; rewriting has
    both identities.
    """

    def __init__(self, server, **home):
        _build()
        self.server = server
        self.old, self.new = age.keygen(), age.keygen()
        self.writer = server.user(**_fields(self.old))
        self.user = _alias(server, self.writer, self.new)
        self.home = self.writer.home
        self.identities = self._identity_file("new-old", self.new, self.old)

    def _identity_file(self, name, *keys):
        path = f"{self.server.base}/tmp/{self.writer.name}-{name}"
        with open(path, "w", encoding="ascii") as file:
            file.write("".join(f"{key.identity}\n" for key in keys))
        os.chmod(path, 0o644)
        return path

    def command(self, mode, identities=None, sleep=0, stop=0, user=None):
        """MODE of rewrite-module.c; or "seal mail" and "seal unseal", which are
        the commands themselves, with the userdb's identity."""
        if " " in mode:
            return ["doveadm", "-c", self.server.config_file, *mode.split(),
                    "-u", (user or self.user).name]
        return ["doveadm", "-c", self.server.config_file, "seal-rewrite-test",
                "-u", (user or self.user).name, mode,
                identities or self.identities, str(sleep), str(stop)]

    def start(self, mode, env=None, **options):
        return subprocess.Popen(
            self.command(mode, **options), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
            env=env or sanitizer.environment())

    def run(self, mode, **options):
        """The numbers, with .code and .err."""
        return finish(self.start(mode, **options))

    def ok(self, mode, **options):
        counts = self.run(mode, **options)
        assert counts.code == 0 and not counts.err, counts.err
        return counts


class Counts(dict):
    code = 0
    err = ""

    def only(self, **expected):
        """These, and all others 0; bytes are not compared."""
        rest = {key: value for key, value in self.items()
                if not key.endswith("bytes")}
        assert {**dict.fromkeys(rest, 0), **expected} == rest, self.err
        return True


def finish(process):
    out, err = process.communicate(timeout=300)
    counts = Counts()
    earlier = 0
    for key, value in re.findall(r"(\w+)=(\d+)", out):
        if key == "earlier":
            key = f"earlier{earlier}"
            earlier += 1
        counts[key] = int(value)
    counts.code = process.returncode
    counts.err = err
    return counts


def _fields(key):
    return {"mail_seal_recipient": key.recipient,
            "mail_seal_identity": key.identity}


def _alias(server, user, key):
    """Another name for the same home, with another key."""
    name = f"{user.name}-new"
    fields = " ".join(f"userdb_{field}={value}"
                      for field, value in _fields(key).items())
    path = f"{server.base}/users/{name}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{name}:{{PLAIN}}{user.password}:{MAIL_UID}:{MAIL_UID}"
                   f"::{user.home}::{fields}\n")
    os.chmod(path, 0o644)
    return User(name, user.password, user.home)
