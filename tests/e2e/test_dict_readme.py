# SPDX-License-Identifier: LGPL-2.1-or-later
"""The dicts of README.md work as they stand there."""

import os
import shutil
import subprocess

import pytest

from harness import keyring
from harness.config import Setup
from harness.dict import SCHEMAS, Postgres, Redis
from harness.readme import Commands, example
from harness.seal import enrol
from harness.server import dovecot_version
from harness.wire import Imap, lmtp

pytestmark = pytest.mark.no_asan

MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"


def assert_works(server):
    """Returns anna, who is in the commands."""
    user = enrol(server, server.user("anna"))
    lmtp(server, [user], MESSAGE)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(1).endswith(MESSAGE)
    assert not os.path.exists(keyring.path(user))
    return user


def assert_is_copy(folder, text):
    """What a command printed to a file is the keyring, and one that opens."""
    path = f"{folder}/mail-seal.keyring"
    with open(path, encoding="ascii") as file:
        assert file.read().rstrip("\n") == text.rstrip("\n")
    shown = subprocess.run(["mail-seal", "keyring", "show", path], check=True,
                           capture_output=True, text=True).stdout
    assert "argon2id" in shown


def test_redis(own_server, tmp_path):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server isn't installed")
    redis = Redis(tcp=True)
    try:
        server = own_server(Setup(extra=example("dict redis", {
            "6379": str(redis.port)})))
        assert_works(server)
        readme = Commands(
            server, tmp_path, "Moving mail",
            f"redis-cli() {{ command redis-cli -p {redis.port} \"$@\"; }}")
        readme.run("redis-cli --raw GET mail-seal/anna/mail-seal/keyring")
        assert_is_copy(tmp_path,
                       redis.cmd("GET", "mail-seal/anna/mail-seal/keyring"))
    finally:
        redis.remove()


def sql_setup(database):
    changes = {"/run/postgresql": database.base}
    # Our users' own group has no name.
    group = {"group = vmail": "group = mail"}
    if dovecot_version() < (2, 4):
        path = f"{database.base}/dict.ext"
        with open(path, "w", encoding="ascii") as file:
            file.write(example("dict sql 2.3 map", {
                **changes, "user=dovecot": "user=postgres"}))
        return example("dict sql", {
            **group, "/etc/dovecot/mail-seal-dict.conf.ext": path})
    return example("dict sql", {
        **group, **changes, "user = dovecot": "user = postgres"})


def test_sql(own_server, tmp_path):
    if not Postgres.is_installed():
        pytest.skip("PostgreSQL isn't installed")
    database = Postgres()
    where = f"export PGHOST={database.base} PGUSER=postgres"
    try:
        database.sql("CREATE DATABASE mail;")
        server = own_server(Setup(
            extra=f"{sql_setup(database)}mail_access_groups = mail\n"))
        readme = Commands(server, tmp_path, "Keyrings in a dict (clusters)",
                          where)
        readme.run("psql mail <", **{
            "/usr/local/share/doc/mail-seal": SCHEMAS})
        assert_works(server)
        readme = Commands(server, tmp_path, "Moving mail", where)
        readme.run("psql -At mail -c")
        assert_is_copy(tmp_path, database.sql(
            "SELECT keyring FROM mail_seal;", "mail"))
        server.allow_log("dict|sql|server terminated")
        server.stop()
    finally:
        database.remove()
