# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keyrings in dicts: the servers that hold them, and how Dovecot is told."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

from .config import MAIL_UID, Setup
from .server import _end_with_parent, dovecot_version

SCHEMAS = f"{os.path.dirname(__file__)}/../../../plugin/keyring"
# Of what our configurations give Redis to answer in.
TIMEOUT_SECONDS = 2


def wait_until(ready, what, seconds=20):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise AssertionError(f"{what} isn't ready")
        time.sleep(0.02)


class Redis:
    """A Redis of our own on a unix socket, which forgets nothing it has
    acknowledged, however it ends."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="mse-redis-")
        os.chmod(self.base, 0o755)
        self.socket = f"{self.base}/redis"
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--dir", self.base,
             "--unixsocket", self.socket, "--unixsocketperm", "777",
             "--save", "", "--appendonly", "yes", "--appendfsync", "always"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=_end_with_parent)
        wait_until(lambda: self._cli("PING").stdout == "PONG\n", "Redis")

    def stop(self):
        """SIGKILL: what is stored must be there again after start()."""
        self.process.kill()
        self.process.wait()

    def hang(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def remove(self):
        self.stop()
        shutil.rmtree(self.base)

    def _cli(self, *args, value=None):
        return subprocess.run(
            ["redis-cli", "-s", self.socket, "--raw",
             *(["-x"] if value is not None else []), *args],
            input=value, capture_output=True, text=True)

    def cmd(self, *args, value=None):
        """The answer as text; value, if any, is the last argument."""
        done = self._cli(*args, value=value)
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix("\n")

    def keys(self, user):
        return sorted(self.cmd("KEYS", f"{user.name}/*").split())

    def get(self, user):
        return self.cmd("GET", f"{user.name}/mail-seal/keyring")

    def set(self, user, text):
        self.cmd("SET", f"{user.name}/mail-seal/keyring", value=text)

    def setup(self, name, **options):
        """A Dovecot that keeps its keyrings here."""
        if dovecot_version() < (2, 4):
            uri = (f"redis:path={self.socket}:"
                   f"timeout_msecs={TIMEOUT_SECONDS * 1000}")
            return Setup(name=name, settings=(("mail_seal_dict", uri),),
                         **options)
        return Setup(name=name, extra_24=f"""mail_seal {{
  dict redis {{
    redis_socket_path = {self.socket}
    redis_request_timeout = {TIMEOUT_SECONDS}s
  }}
}}""", **options)
