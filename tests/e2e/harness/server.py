# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private Dovecot on loopback, and the users it serves."""

import ctypes
import functools
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from dataclasses import dataclass

from . import config, sanitizer

MAIL_UID = config.MAIL_UID
PASSWORD = "correct horse"
START_SECONDS = 60
STOP_SECONDS = 60
# dovecot-lda is not in PATH.
LIBEXEC = "/usr/lib/dovecot"

_BAD_LOG_LINE = re.compile(r"(Error|Panic|Fatal): |Raw backtrace|"
                           r"ERROR: AddressSanitizer|runtime error:")


@functools.cache
def dovecot_version():
    """(2, 3) or (2, 4), of the dovecot in PATH."""
    text = subprocess.run(["dovecot", "--version"], check=True,
                          capture_output=True, text=True).stdout
    return tuple(int(part) for part in re.match(r"(\d+)\.(\d+)",
                                                text).groups())


@dataclass(frozen=True)
class User:
    name: str
    password: str
    home: str


class Server:
    """Started by start(), ended by stop(). Folders in .base:

    log, run/ (sockets), users/ (a passwd-file for each user), home/, tmp/
    (mail_temp_dir).
    """

    def __init__(self, setup):
        self.setup = setup
        self.version = dovecot_version()
        # Short, as the path of a unix socket has 108 bytes, and readable to
        # the uid of the mail, as pytest's own folders are not.
        self.base = tempfile.mkdtemp(prefix="mse-")
        self.ports = {}
        self.process = None
        self._log_seen = 0
        self._allowed = []
        self._allowed_before = []
        self._user_count = 0
        os.chmod(self.base, 0o755)
        for name in ("run", "state", "users"):
            self._folder(name)
        for name in ("home", "tmp"):
            self._folder(name, MAIL_UID)
        make_certificate(self.base)

    def _folder(self, name, uid=0):
        path = f"{self.base}/{name}"
        os.mkdir(path, 0o755)
        os.chown(path, uid, uid)
        return path

    # Running it

    @property
    def config_file(self):
        return f"{self.base}/dovecot.conf"

    def start(self):
        # Another process may take a free port before Dovecot does.
        for attempt in range(5):
            self._choose_ports()
            with open(self.config_file, "w", encoding="utf-8") as file:
                file.write(config.text(self.setup, self, self.version))
            self.process = subprocess.Popen(
                ["dovecot", "-F", "-c", self.config_file],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=open(f"{self.base}/stderr", "wb"),
                start_new_session=True, preexec_fn=_end_with_parent,
                env=sanitizer.environment())
            if self._wait_until_ready():
                return self
            self.stop()
            if "Address already in use" not in self.all_log():
                break
            os.unlink(f"{self.base}/log")
        raise RuntimeError(f"Dovecot did not start:\n{self._stderr()}"
                           f"{self.all_log()}")

    def _choose_ports(self):
        sockets = []
        for name in ("imap", "imaps", "pop3"):
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            self.ports[name] = sock.getsockname()[1]
            sockets.append(sock)
        for sock in sockets:
            sock.close()

    def _wait_until_ready(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with socket.create_connection(
                        ("127.0.0.1", self.ports["imap"]), 5) as sock:
                    sock.settimeout(5)
                    if sock.recv(4) == b"* OK":
                        return True
            except OSError:
                time.sleep(0.02)
        return False

    def begin_stop(self):
        """Dovecot 2.3 takes a second: with several, ask them all first."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """End the server; its files stay until remove()."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.begin_stop()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.process = None

    def remove(self):
        shutil.rmtree(self.base, ignore_errors=True)

    # The log

    def _stderr(self):
        with open(f"{self.base}/stderr", encoding="utf-8",
                  errors="replace") as file:
            return file.read()

    def all_log(self, offset=0):
        try:
            with open(f"{self.base}/log", "rb") as file:
                file.seek(offset)
                return file.read().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def new_log(self):
        """What was logged since begin_test()."""
        return self.all_log(self._log_seen)

    def begin_test(self):
        self._log_seen = os.path.getsize(f"{self.base}/log")
        # A line may come late, when the next test has begun.
        self._allowed_before = self._allowed
        self._allowed = []

    def expect_log(self, pattern, seconds=60):
        """Wait for a line that matches, which is then no failure."""
        self.allow_log(pattern)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            match = re.search(pattern, self.new_log())
            if match:
                return match
            time.sleep(0.05)
        raise AssertionError(f"no log line matches {pattern!r}:\n"
                             f"{self.new_log()}")

    def allow_log(self, pattern):
        self._allowed.append(re.compile(pattern))

    def bad_log_lines(self):
        """Errors that no test expected, since begin_test()."""
        return [line for line in self.new_log().splitlines()
                if _BAD_LOG_LINE.search(line) and
                not any(allowed.search(line) for allowed in
                        self._allowed + self._allowed_before)]

    # Users

    def user(self, name=None, password=PASSWORD, **userdb):
        """Make a user, with fields as the userdb is to return them."""
        self._user_count += 1
        if name is None:
            name = f"user{self._user_count}"
        home = f"{self.base}/home/{name}"
        fields = " ".join(f"userdb_{key}={value}"
                          for key, value in userdb.items())
        line = (f"{name}:{{PLAIN}}{password}:{MAIL_UID}:{MAIL_UID}"
                f"::{home}::{fields}\n")
        path = f"{self.base}/users/{name}"
        if os.path.exists(path):
            # Dovecot looks at whole seconds to see whether a file is new.
            time.sleep(1.1)
        with open(path, "w", encoding="utf-8") as file:
            file.write(line)
        os.chmod(path, 0o644)
        if not os.path.exists(home):
            os.mkdir(home, 0o700)
            os.chown(home, MAIL_UID, MAIL_UID)
        return User(name, password, home)

    # Talking to it

    def tls_context(self):
        return ssl.create_default_context(cafile=f"{self.base}/cert.pem")

    def doveadm(self, *args, stdin=None, check=True):
        """Run doveadm with this server's configuration; bytes in and out."""
        return _run(["doveadm", "-c", self.config_file, *args], stdin, check)

    def lda(self, user, message, *args, check=True):
        return _run([f"{LIBEXEC}/dovecot-lda", "-c", self.config_file,
                     "-d", user.name, *args], message, check)


def _run(command, stdin, check):
    done = subprocess.run(command, input=stdin or b"", capture_output=True,
                          env=sanitizer.environment())
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(command)} ended with {done.returncode}:\n"
            f"{done.stderr.decode(errors='replace')}")
    return done


_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _end_with_parent():
    """No server is left behind, however the tests end."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


_certificate = {}


def make_certificate(folder):
    """cert.pem and key.pem for 127.0.0.1, made once for all servers."""
    if not _certificate:
        with tempfile.TemporaryDirectory() as made:
            _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                     "-subj", "/CN=127.0.0.1",
                     "-addext", "subjectAltName=IP:127.0.0.1",
                     "-keyout", f"{made}/key.pem", "-out", f"{made}/cert.pem")
            for name in ("key.pem", "cert.pem"):
                with open(f"{made}/{name}", "rb") as file:
                    _certificate[name] = file.read()
    for name, content in _certificate.items():
        with open(f"{folder}/{name}", "wb") as file:
            file.write(content)
