# SPDX-License-Identifier: LGPL-2.1-or-later
"""Settings of single users, and what Dovecot 2.4 says of the configuration."""

import glob
import os
import re
import subprocess

import pytest

from harness import config, keyring, sanitizer
from harness.config import MAIL_UID, Setup
from harness.server import dovecot_version
from harness.wire import Imap, Lmtp

MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.fixture(scope="module")
def server(serve):
    return serve(Setup())


def deliver(server, user, message=MESSAGE):
    with Lmtp(server) as client:
        (code, _), = client.deliver([user], message)
    return code


def opens_inbox(server, user):
    with Imap(server, user) as imap:
        return imap.cmd("SELECT INBOX").status == "OK"


WRONG = [
    ("mail_seal_keyring", "keyring", "absolute"),
    ("mail_seal_keyring", "~/", "absolute"),
    ("mail_seal_enroll", "maybe", "yes or no"),
    ("mail_seal_save", "2", "yes or no"),
    ("mail_seal_unenrolled", "plain", "tempfail or plaintext"),
    ("mail_seal_argon2_memory", "4M", "8M to 1G"),
    ("mail_seal_argon2_memory", "2G", "8M to 1G"),
    ("mail_seal_argon2_memory", "64X", "8M to 1G"),
    ("mail_seal_argon2_memory", "-64M", "8M to 1G"),
    ("mail_seal_argon2_memory", "99999999999999999999G", "8M to 1G"),
    ("mail_seal_argon2_passes", "0", "1 to 16"),
    ("mail_seal_argon2_passes", "17", "1 to 16"),
    ("mail_seal_argon2_passes", "two", "1 to 16"),
]


@pytest.mark.parametrize("name, value, allowed", WRONG)
def test_wrong_settings_of_the_userdb(server, name, value, allowed):
    """The log names setting, value and what is allowed; mail waits."""
    user = server.user(**{name: value})
    server.allow_log("mail_seal|Fatal|Failed")
    assert deliver(server, user) == 451
    server.expect_log(rf"{name} ?= ?{re.escape(value)}: .*{allowed}")
    assert not os.path.exists(f"{user.home}/mail")
    assert not os.path.exists(keyring.path(user))


@pytest.mark.parametrize("name, value, allowed", WRONG)
def test_wrong_settings_of_the_configuration(server, tmp_path, name, value,
                                             allowed):
    """Dovecot 2.4 finds them when it reads the configuration."""
    path = tmp_path / "dovecot.conf"
    path.write_text(config.text(Setup(settings=((name, value),)), server,
                                dovecot_version()))
    done = subprocess.run(["doveconf", "-c", path, "-n"], text=True,
                          capture_output=True, env=sanitizer.environment())
    if dovecot_version() < (2, 4):
        # It takes anything in plugin { }; logins and deliveries complain.
        assert done.returncode == 0
    else:
        assert done.returncode != 0
        assert re.search(rf"{name} ?= ?{re.escape(value)}: .*{allowed}",
                         done.stderr)


@pytest.mark.parametrize("name, value", [
    ("mail_seal_argon2_memory", "8M"), ("mail_seal_argon2_memory", "8192k"),
    ("mail_seal_argon2_memory", "16777216"), ("mail_seal_enroll", "YES"),
    ("mail_seal_save", "true"), ("mail_seal_keyring", "~/deep/down/key"),
    ("mail_seal_unenrolled", "plaintext"), ("mail_seal_argon2_passes", "16"),
])
def test_right_settings_of_the_userdb(server, name, value):
    user = server.user(**{name: value})
    assert opens_inbox(server, user)
    found, = glob.glob(f"{user.home}/deep/down/key" if "deep" in value
                       else keyring.path(user))
    assert os.stat(found).st_uid == MAIL_UID
