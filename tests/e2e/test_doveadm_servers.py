# SPDX-License-Identifier: LGPL-2.1-or-later
"""doveadm seal through a doveadm-server and the HTTP API, and for several
users. Its secrets are found nowhere afterwards."""

import base64
import glob
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from harness import age, canary, keyring, sanitizer
from harness.config import Setup
from harness.doveadm import (DATAERR, NOPERM, NOTFOUND, NOUSER, USAGE, seal,
                             seal_user)
from harness.meanwhile import Meanwhile
from harness.seal import enrolled
from harness.wire import Imap, lmtp

API_KEY = "key-of-this-test"
NEW = "battery staple"
MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"

HTTP = """
doveadm_api_key = %s
service doveadm {
  unix_listener http {
    mode = 0600
    %s
  }
}
"""
SETUP = Setup(name="api", extra_23=HTTP % (API_KEY, ""),
              extra_24=HTTP % (API_KEY, "type = http"))


@pytest.fixture(scope="module")
def server(serve):
    return serve(SETUP)


def socket_path(server):
    return f"{server.base}/run/doveadm-server"


# doveadm-server


def by_server(server, user, verb, *words, **options):
    return seal(server, *verb.split(), "-S", socket_path(server), "-u",
                user.name, *words, **options)


def test_doveadm_server(server):
    user = server.user()
    row = by_server(server, user, "enroll", "--recovery",
                    password=user.password).row
    code = row["recovery_code"]
    assert by_server(server, user, "status").row["enrolled"] == "yes"
    by_server(server, user, "password", password=[user.password, NEW])
    assert keyring.identity(user, NEW)
    by_server(server, user, "recover", code=code, password=user.password)
    by_server(server, user, "slot add", "--label", "my phone",
              password=[user.password, "phone's own"])
    rows = by_server(server, user, "slot list").rows
    assert [row["label"] for row in rows] == ["", "", "my phone"]
    by_server(server, user, "slot remove", "my phone",
              identity=code)
    lmtp(server, [user], MESSAGE)
    row = by_server(server, user, "rotate", "--reseal",
                    password=user.password).row
    assert row["resealed"] == 1
    [row] = by_server(server, user, "status", "--count").rows
    assert row["sealed"] == 1
    server.allow_log("not confirmed")
    assert by_server(server, user, "destroy", "--confirm", "x",
                     check=False).code == USAGE
    by_server(server, user, "destroy", "--confirm", user.name)
    assert not os.path.exists(keyring.path(user))


def test_exit_codes_of_a_server(server):
    user = enrolled(server)
    before = keyring.read(user)
    server.allow_log("Error: seal |doveadm.*Error: ")
    for code, verb, words, secrets in (
            (NOPERM, "password", [], {"password": ["wrong one", NEW]}),
            (NOTFOUND, "slot remove", ["9"], {"password": user.password}),
            (DATAERR, "slot remove", ["1"], {"password": user.password}),
            (DATAERR, "enroll", [], {"password": NEW}),
            (USAGE, "slot remove", ["1"], {})):
        done = by_server(server, user, verb, *words, check=False, **secrets)
        assert done.code == code, done
        assert "Error: " in done.err or "Fatal: " in done.err
    assert by_server(server, server.user("nobody-at-all"), "status").row[
        "enrolled"] == "no"
    done = seal(server, "status", "-S", socket_path(server), "-u", "nobody",
                check=False)
    assert done.code == NOUSER
    assert keyring.read(user) == before


# The HTTP API


def http(server, command, **parameters):
    """(exit code, rows) of one command."""
    body = json.dumps([[command, parameters, "tag"]]).encode()
    key = base64.b64encode(API_KEY.encode()).decode()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(f"{server.base}/run/http")
        sock.sendall((f"POST /doveadm/v1 HTTP/1.1\r\nHost: localhost\r\n"
                      f"Authorization: X-Dovecot-API {key}\r\n"
                      f"Content-Type: application/json\r\n"
                      f"Content-Length: {len(body)}\r\n"
                      f"Connection: close\r\n\r\n").encode() + body)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], answer
    if b"chunked" in head.lower():
        content = b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n(?=[0-9a-f]+"
                                      rb"\r\n|$)", content, re.S))
    [[kind, result, tag]] = json.loads(content)
    assert tag == "tag"
    if kind == "error":
        return result["exitCode"], []
    return 0, result


def test_http_api(server):
    user = server.user()
    code, [row] = http(server, "sealEnroll", user=user.name,
                       password=user.password, recovery=True)
    assert code == 0
    recovery = row["recovery_code"]
    code, [row] = http(server, "sealStatus", user=user.name)
    assert (code, row["enrolled"]) == (0, "yes")
    assert http(server, "sealPassword", user=user.name,
                oldPassword=user.password, password=NEW)[0] == 0
    assert keyring.identity(user, NEW)
    assert http(server, "sealRecover", user=user.name, code=recovery,
                password=user.password)[0] == 0
    assert http(server, "sealSlotAdd", user=user.name, label="phone",
                oldPassword=user.password, newPassword="phone's own")[0] == 0
    code, rows = http(server, "sealSlotList", user=user.name)
    assert [row["label"] for row in rows] == ["", "", "phone"]
    assert http(server, "sealSlotRemove", user=user.name, slot="phone",
                password=user.password)[0] == 0
    assert http(server, "sealRotate", user=user.name, identity=recovery,
                reseal=True)[0] == 0
    assert http(server, "sealDestroy", user=user.name,
                confirm=user.name)[0] == 0
    assert not os.path.exists(keyring.path(user))


def test_http_api_for_stored_mail(server):
    """An unseal without a secret is refused; masks are a list."""
    server.allow_log("no identity is at hand|1 are plain")
    user = enrolled(server)
    lmtp(server, [user], b"Subject: hello\r\n\r\nbody\r\n")
    code, [row] = http(server, "sealMail", user=user.name)
    assert code == 0 and int(row["unchanged"]) == 1
    assert http(server, "sealUnseal", user=user.name)[0] == USAGE
    code, [row] = http(server, "sealUnseal", user=user.name,
                       password=user.password, mailboxMask=["INB*"])
    assert code == 0 and int(row["unsealed"]) == 1
    assert http(server, "sealVerify", user=user.name)[0] == DATAERR
    code, rows = http(server, "sealVerify", user=user.name,
                      mailboxMask=["INBOX"], allowPlain=True)
    assert (code, rows[0]["state"], rows[0]["uids"]) == (0, "plain", "1")
    code, [row] = http(server, "sealMail", user=user.name, maxRate="1M")
    assert code == 0 and int(row["sealed"]) == 1


@pytest.mark.parametrize("code, command, parameters", [
    (NOPERM, "sealPassword", {"oldPassword": "wrong one", "password": NEW}),
    (DATAERR, "sealPassword", {"oldPassword": "correct horse",
                               "password": "short"}),
    (DATAERR, "sealPassword", {"oldPassword": "correct horse",
                               "password": ""}),
    (DATAERR, "sealPassword", {"oldPassword": "two\nlines",
                               "password": NEW}),
    (DATAERR, "sealPassword", {"oldPassword": "x" * 1025, "password": NEW}),
    (USAGE, "sealPassword", {"oldPassword": "correct horse"}),
    (USAGE, "sealPassword", {"passwordFd": "0"}),
    (USAGE, "sealPassword", {"password": NEW}),
    (DATAERR, "sealRecover", {"code": "AGE-SECRET-KEY-1AAA",
                              "password": NEW}),
    (USAGE, "sealDestroy", {}),
    (USAGE, "sealSlotAdd", {"oldPassword": "correct horse",
                            "newPassword": NEW}),
])
def test_http_errors(server, code, command, parameters):
    user = enrolled(server)
    before = keyring.read(user)
    server.allow_log(r"Error: ")
    assert http(server, command, user=user.name, **parameters)[0] == code
    assert keyring.read(user) == before


# Several users

# Dovecot 2.3 asks for a list of users with -F, too, and needs none.
NO_LIST = "User iteration isn't currently supported"


@pytest.fixture
def everybody(own_server):
    """A server whose userdb can be listed, and its users."""
    server = own_server(Setup())
    users = [server.user(f"person{i}") for i in range(4)]
    lines = []
    for user in users:
        with open(f"{server.base}/users/{user.name}", encoding="ascii") as f:
            lines.append(f.read())
    path = f"{server.base}/everybody"
    with open(path, "w", encoding="ascii") as file:
        file.writelines(lines)
    os.chmod(path, 0o644)
    with open(server.config_file, encoding="utf-8") as file:
        text = file.read()
    before, mark, after = text.partition("userdb ")
    after = re.sub(r"\S+/users/\S+", path, after, count=1)
    with open(server.config_file, "w", encoding="utf-8") as file:
        file.write(before + mark + after)
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 60
    server.allow_log("SIGHUP|reload|Warning|iterat|auth")
    while server.doveadm("user", "*", check=False).stdout.count(b"\n") != 4:
        assert time.monotonic() < end
        time.sleep(0.1)
    return server, users


def test_all_users(everybody):
    server, users = everybody
    rows = seal(server, "enroll", "-A", "--recovery").rows
    assert [row["username"] for row in rows] == [user.name for user in users]
    codes = [row["recovery_code"] for row in rows]
    assert len(set(codes)) == 4
    for user, code in zip(users, codes):
        assert user.name in [row for row in rows if row["recovery_code"] ==
                             code][0]["print_this"]
    rows = seal(server, "status", "-A").rows
    assert [row["enrolled"] for row in rows] == ["yes"] * 4
    rows = seal(server, "status", "-u", "*son2").rows
    assert [row["username"] for row in rows] == ["person2"]
    os.unlink(keyring.path(users[1]))
    rows = seal(server, "status", "-A").rows
    assert [row["enrolled"] for row in rows] == ["yes", "no", "yes", "yes"]
    # One that fails doesn't end it, and its exit code is told.
    done = seal(server, "slot", "list", "-A", check=False)
    assert done.code == NOTFOUND
    assert {row["username"] for row in done.rows} == {
        "person0", "person2", "person3"}
    assert "person1" in done.err
    with open(keyring.path(users[1]), "w", encoding="ascii") as file:
        file.write("nonsense")
    done = seal(server, "status", "-A", check=False)
    assert done.code == 75
    assert [row["enrolled"] for row in done.rows] == [
        "yes", "unknown", "yes", "yes"]


def test_user_file(server):
    users = [enrolled(server), server.user()]
    path = f"{server.base}/list"
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{user.name}\n" for user in users)
    server.allow_log(NO_LIST)
    rows = seal(server, "status", "-F", path).rows
    assert [(row["username"], row["enrolled"]) for row in rows] == [
        (users[0].name, "yes"), (users[1].name, "no")]


def test_no_shared_passwords(server):
    user = enrolled(server)
    path = f"{server.base}/one"
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{user.name}\n")
    server.allow_log(NO_LIST)
    before = keyring.read(user)
    for verb, words, secret in (("password", [], ["correct horse", NEW]),
                                ("enroll", [], NEW),
                                ("recovery new", [], "correct horse")):
        done = seal(server, *verb.split(), "-F", path, *words, check=False,
                    password=secret)
        assert done.code == USAGE
        assert "can't share a password" in done.err
    assert keyring.read(user) == before


def test_escrow_identity_for_several_users(serve):
    key = age.keygen()
    server = serve(Setup(name="escrow", settings=((
        "mail_seal_escrow_recipients", key.recipient),)))
    users = [enrolled(server) for _ in range(3)]
    path = f"{server.base}/three"
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{user.name}\n" for user in users)
    server.allow_log(NO_LIST)
    for words in ([], ["-S", socket_path(server)]):
        rows = seal(server, "recovery", "new", "-F", path, *words,
                    identity=key.identity).rows
        codes = {row["username"]: row["recovery_code"] for row in rows}
        assert len(set(codes.values())) == 3
        for user in users:
            seal_user(server, user, "recover", code=codes[user.name],
                      password=NEW)


# Nothing is left of the secrets


class Watch(Meanwhile):
    """Looks for words in command lines and environments meanwhile."""

    def __init__(self, words):
        super().__init__(0.002)
        self.words = [word.encode() for word in words]
        self.found = []
        # The processes that were seen.
        self.pids = set()

    def look(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            self._look(pid)

    def _look(self, pid):
        self._read(pid, "environ")
        name = self._read(pid, "cmdline").split(b"\0")[0]
        # Not before it is doveadm; doveconf starts it again with its path.
        if os.path.basename(name) == b"doveadm":
            self.pids.add(int(pid))

    def _read(self, pid, name):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                data = file.read()
        except OSError:
            return b""
        self.found += [pid for word in self.words if word in data]
        return data

    def wait_for(self, pid):
        """Until this process, which doesn't end by itself, was seen."""
        end = time.monotonic() + 60
        while pid not in self.pids and time.monotonic() < end:
            time.sleep(0.01)
        assert pid in self.pids


DEBUG_23 = "mail_debug = yes\nauth_debug = yes\nverbose_proctitle = yes\n"
DEBUG_24 = "log_debug = category=*\nverbose_proctitle = yes\n"


def test_secrets_are_left_nowhere(serve):
    server = serve(Setup(name="debug",
                         extra_23=SETUP.extra_23 + DEBUG_23,
                         extra_24=SETUP.extra_24 + DEBUG_24))
    user = server.user()
    words = [canary.word() for _ in range(6)]
    errors = ""
    with Watch(words) as watch:
        for word, direct in ((words[0], True), (words[1], False)):
            if direct:
                done = seal_user(server, user, "enroll", "--recovery",
                                 password=word)
            else:
                done = by_server(server, user, "password",
                                 password=[words[0], word])
            errors += done.err
        code = seal_user(server, user, "recovery new",
                         password=words[1]).row["recovery_code"]
        assert http(server, "sealPassword", user=user.name,
                    oldPassword=words[1], newPassword=words[2])[0] == 0
        assert http(server, "sealRecover", user=user.name, code=code,
                    password=words[3])[0] == 0
        # Wrong ones aren't shown either.
        server.allow_log("Error: ")
        for wrong in (words[4], words[5]):
            errors += by_server(server, user, "password", check=False,
                                password=[wrong, words[0]]).err
        # The others may end before they are looked at; this one waits for the
        # second secret.
        with subprocess.Popen(
                ["doveadm", "-D", "-c", server.config_file, "seal",
                 "password", "-u", user.name, "--password-fd", "0"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=sanitizer.environment()) as process:
            process.stdin.write(f"{words[3]}\n".encode())
            process.stdin.flush()
            watch.wait_for(process.pid)
            out = process.communicate(f"{words[0]}\n".encode())[0]
        assert process.returncode == 0, out
        errors += out.decode()
    assert not watch.found
    hashes = [hashlib.sha256(word.encode()).hexdigest() for word in words]
    for secret in [*words, *hashes, code, code.lower()]:
        assert secret not in errors
    assert canary.find(server.base, words + hashes) == []
    assert canary.find(server.base, [code.lower()]) == []
    for path in glob.glob("/tmp/doveadm.*"):
        raise AssertionError(f"left behind: {path}")
