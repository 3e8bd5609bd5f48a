# SPDX-License-Identifier: LGPL-2.1-or-later
"""doveadm sync and backup between two servers of the harness."""

import os

from . import sanitizer

# How doveadm sync ends when another run is wanted. Plain 2.4 does so now and
# then after the first one.
DESYNC = 2


def by_password(server, user):
    """What unlocks doveadm: options, and what it reads then."""
    name = "mail_seal_unlock_fd"
    setting = f"plugin/{name}" if server.version < (2, 4) else name
    return {"before": ("-o", f"{setting}=0"),
            "stdin": user.password.encode() + b"\n"}


def dsync(verb, server, user, to_server, to_user, before=(), stdin=None,
          check=True):
    """doveadm sync or backup between two servers."""
    # The environment holds the settings of the first.
    kept = {"PATH": os.environ["PATH"], **sanitizer.variables()}
    return server.doveadm(
        *before, verb, "-u", user.name, "env", "-i",
        *(f"{name}={value}" for name, value in kept.items()),
        "doveadm", "-c", to_server.config_file, "dsync-server", "-u",
        to_user.name, stdin=stdin, check=check)


def sync(*between):
    if dsync("sync", *between, check=False).returncode == DESYNC:
        dsync("sync", *between)
