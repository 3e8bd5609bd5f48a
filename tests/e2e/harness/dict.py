# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keyrings in dicts: the servers that hold them, and how Dovecot is told."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from .config import Setup
from .server import _end_with_parent, dovecot_version

SCHEMAS = f"{os.path.dirname(__file__)}/../../../plugin/keyring"
# What our configurations give Redis to answer in.
TIMEOUT_SECONDS = 1


def wait_until(ready, what, seconds=60):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise AssertionError(f"{what} isn't ready")
        time.sleep(0.02)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Redis:
    """A Redis of our own on a unix socket, and at .port if asked for, which
    forgets nothing it has acknowledged, however it ends."""

    def __init__(self, tcp=False):
        self.port = free_port() if tcp else 0
        self.base = tempfile.mkdtemp(prefix="mse-redis-")
        os.chmod(self.base, 0o755)
        self.socket = f"{self.base}/redis"
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port),
             "--bind", "127.0.0.1", "--dir", self.base,
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
            input=value, capture_output=True, encoding="latin-1")

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

    def dump(self, user):
        """All that is there of a user."""
        return {key: self.cmd("DUMP", key) for key in self.keys(user)}

    def setup(self, name):
        """A Dovecot that keeps its keyrings here."""
        if dovecot_version() < (2, 4):
            uri = (f"redis:path={self.socket}:"
                   f"timeout_msecs={TIMEOUT_SECONDS * 1000}")
            return Setup(name=name, settings=(("mail_seal_dict", uri),))
        return Setup(name=name, extra_24=f"""mail_seal {{
  dict redis {{
    redis_socket_path = {self.socket}
    redis_request_timeout = {TIMEOUT_SECONDS}s
  }}
}}""")


_MAPS = (("keyring", "string"), ("revision", "int"), ("writers", "string"))

_MAP_23 = """
map {{
  pattern = priv/mail-seal/{0}
  table = mail_seal
  username_field = username
  value_field = {0}
  value_type = {1}
}}
"""

_MAP_24 = """
    dict_map priv/mail-seal/{0} {{
      sql_table = mail_seal
      username_field = username
      value_field {0} {{
        type = {1}
      }}
    }}
"""

_PROXY = """
service dict {
  unix_listener dict {
    mode = 0666
  }
}
"""


def _proxy_setup(name, folder, driver, connect_23, connect_24):
    if dovecot_version() < (2, 4):
        path = f"{folder}/mail-seal.ext"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"connect = {connect_23}\n" +
                       "".join(_MAP_23.format(*m) for m in _MAPS))
        return Setup(
            name=name, extra=_PROXY,
            settings=(("mail_seal_dict", "proxy::mail_seal"),),
            extra_23=f"dict {{\n  mail_seal = {driver}:{path}\n}}\n")
    return Setup(name=name, extra=_PROXY, extra_24=f"""
dict_server {{
  dict mail_seal {{
    driver = sql
    sql_driver = {driver}
    {connect_24}
    {"".join(_MAP_24.format(*m) for m in _MAPS)}
  }}
}}
mail_seal {{
  dict proxy {{
    name = mail_seal
  }}
}}
""")


def _schema(name):
    with open(f"{SCHEMAS}/{name}", encoding="ascii") as file:
        return file.read()


class Sqlite:
    """A database file, which Dovecot's dict processes open."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="mse-sqlite-")
        self.path = f"{self.base}/db"
        self.sql(_schema("dict-sqlite.sql"))
        # SQLite makes files beside its own.
        os.chmod(self.base, 0o777)
        os.chmod(self.path, 0o666)

    def sql(self, statement):
        done = subprocess.run(["sqlite3", self.path], input=statement,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix("\n")

    def stop(self):
        """A file can't be down: every statement fails."""
        self.sql("ALTER TABLE mail_seal RENAME TO away;")

    def start(self):
        self.sql("ALTER TABLE away RENAME TO mail_seal;")

    def remove(self):
        shutil.rmtree(self.base)

    def setup(self, name):
        return _proxy_setup(name, self.base, "sqlite", self.path,
                            f"sqlite_path = {self.path}")


class Postgres:
    """A PostgreSQL of our own on a unix socket."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="mse-pgsql-")
        shutil.chown(self.base, "postgres")
        os.chmod(self.base, 0o755)
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self._as_postgres(f"{self.bin}/initdb", "-N", "-A", "trust", "-D",
                          f"{self.base}/data")
        self.process = None
        self.start()
        self.sql(_schema("dict-pgsql.sql"))

    @staticmethod
    def is_installed():
        return bool(glob.glob("/usr/lib/postgresql/*/bin/postgres") and
                    glob.glob("/usr/lib/dovecot/**/*driver_pgsql.so",
                              recursive=True))

    def _as_postgres(self, *command, **options):
        done = subprocess.run(command, user="postgres", cwd=self.base,
                              group="postgres", extra_groups=[], text=True,
                              capture_output=True, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix("\n")

    def start(self):
        self.process = subprocess.Popen(
            [f"{self.bin}/postgres", "-D", f"{self.base}/data", "-c",
             "listen_addresses=", "-c",
             f"unix_socket_directories={self.base}"],
            user="postgres", group="postgres", extra_groups=[],
            cwd=self.base, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, preexec_fn=_end_with_parent)
        wait_until(lambda: subprocess.run(
            [f"{self.bin}/pg_isready", "-q", "-h", self.base],
            check=False).returncode == 0, "PostgreSQL")

    def sql(self, statement, name="postgres"):
        return self._as_postgres(f"{self.bin}/psql", "-qAtX", "-v",
                                 "ON_ERROR_STOP=1", "-h", self.base,
                                 "-d", name, input=statement)

    def stop(self):
        """At once, as if the power failed."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def remove(self):
        self.stop()
        shutil.rmtree(self.base)

    def setup(self, name):
        return _proxy_setup(
            name, self.base, "pgsql",
            f"host={self.base} user=postgres dbname=postgres",
            f"""pgsql {self.base} {{
      parameters {{
        user = postgres
        dbname = postgres
      }}
    }}""")
