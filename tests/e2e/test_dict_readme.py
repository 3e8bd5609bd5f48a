# SPDX-License-Identifier: LGPL-2.1-or-later
"""The dicts of README.md work as they stand there."""

import os
import re
import shutil

import pytest

from harness import keyring
from harness.config import Setup
from harness.dict import Postgres, Redis
from harness.seal import enrolled
from harness.server import dovecot_version
from harness.wire import Imap, lmtp

pytestmark = pytest.mark.no_asan

README = f"{os.path.dirname(__file__)}/../../README.md"
MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"


def example(name, changes):
    """The text of an example, in which every change must find its place."""
    with open(README, encoding="utf-8") as file:
        text = re.search(rf"<!-- dict {re.escape(name)} -->\n```\n(.*?)```\n",
                         file.read(), re.S).group(1)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def version():
    return "{}.{}".format(*dovecot_version())


def assert_works(server):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(1).endswith(MESSAGE)
    assert not os.path.exists(keyring.path(user))
    return user


def test_redis(own_server):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server isn't installed")
    redis = Redis(tcp=True)
    try:
        server = own_server(Setup(extra=example(
            f"redis {version()}", {"6379": str(redis.port)})))
        user = assert_works(server)
        assert f"mail-seal/{user.name}/mail-seal/keyring" in \
            redis.cmd("KEYS", "*").split()
    finally:
        redis.remove()


def test_sql(own_server):
    if not Postgres.is_installed():
        pytest.skip("PostgreSQL isn't installed")
    database = Postgres()
    # Our users' own group has no name.
    socket = {"group = vmail": "group = mail"}
    try:
        if dovecot_version() < (2, 4):
            path = f"{database.base}/dict.ext"
            with open(path, "w", encoding="ascii") as file:
                file.write(example("sql 2.3 map", {
                    "/run/postgresql": database.base,
                    "dbname=mail": "dbname=postgres",
                    "user=dovecot": "user=postgres"}))
            text = example("sql 2.3", {
                **socket, "/etc/dovecot/mail-seal-dict.conf.ext": path})
        else:
            text = example("sql 2.4", {
                **socket, "/run/postgresql": database.base,
                "dbname = mail": "dbname = postgres",
                "user = dovecot": "user = postgres"})
        server = own_server(Setup(extra=f"{text}mail_access_groups = mail\n"))
        user = assert_works(server)
        assert database.sql("SELECT username FROM mail_seal;") == user.name
        server.allow_log("dict|sql|server terminated")
        server.stop()
    finally:
        database.remove()
