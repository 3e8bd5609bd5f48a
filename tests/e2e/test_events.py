# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the audit and statistics learn: lines of the log, events, and the metrics
of build-aux/metrics, scraped as Prometheus does it."""

import contextlib
import json
import os
import re
import socket
import subprocess
import time
import urllib.request

import pytest

from harness import disk, keyring, sanitizer
from harness.config import Setup
from harness.dict import wait_until
from harness.doveadm import seal_user, unlocked
from harness.events import EXPORTED, audit, exported
from harness.seal import enrolled
from harness.wire import Failed, Imap, Lmtp, Pop3, lmtp

FOLDER = os.path.join(os.path.dirname(os.path.realpath(__file__)), os.pardir,
                      os.pardir, "build-aux", "metrics")
MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"
NEW = "battery staple"


@pytest.fixture(scope="module")
def server(serve):
    return serve(Setup(**EXPORTED))


# The audit


def doveadm(server, *words):
    return subprocess.run(["doveadm", "-c", server.config_file, *words],
                          capture_output=True, check=False, timeout=60,
                          stdin=subprocess.DEVNULL,
                          env=sanitizer.environment())


def test_audit_of_logins(server):
    user = enrolled(server)
    line = server.expect_log(audit(user, "enroll", "password")).group()
    assert "service=imap" in line and "rip=127.0.0.1" in line
    assert "recipient=age1" in line and f"keyring=file {user.home}" in line
    with Pop3(server, user):
        pass
    line = server.expect_log(audit(user, "unlock", "password")).group()
    assert "service=pop3" in line
    with Imap(server, server.user(user.name, NEW)):
        pass
    server.expect_log("Session is locked")
    line = server.expect_log(audit(user, "unlock", result="failed")).group()
    assert "wrong password for 1 slot" in line


def secret_key(user):
    return re.search("AGE-SECRET-KEY-1[A-Z0-9]+", keyring.identity(user))[0]


def test_audit_of_an_identity(server):
    user = enrolled(server)
    with Imap(server, server.user(user.name, user.password,
                                  mail_seal_identity=secret_key(user))):
        pass
    server.expect_log(audit(user, "unlock", "identity"))
    assert "AGE-SECRET-KEY" not in server.new_log()


@pytest.mark.parametrize("command, action, slot", [
    ("slot add --label phone", "slot add", "password"),
    ("recovery new", "recovery new", "recovery"),
    ("rotate", "rotate", "identity"),
])
def test_audit_of_doveadm(server, command, action, slot):
    """At the terminal, and in Dovecot's log."""
    user = enrolled(server)
    secrets = {"new_password": NEW} if action == "slot add" else {}
    done = seal_user(server, user, command, password=user.password, **secrets)
    assert re.search(audit(user, action, slot), done.err)
    line = server.expect_log(audit(user, action, slot)).group()
    assert "service=doveadm" in line and "recipient=age1" in line


def test_audit_of_what_failed(server):
    user = enrolled(server)
    done = seal_user(server, user, "rotate", password="wrong", check=False)
    assert done.code != 0
    line = server.expect_log(audit(user, "rotate", "identity", "failed"))
    assert "reason=wrong password for 1 slot" in line.group()


def test_audit_of_the_end(server):
    user = enrolled(server)
    seal_user(server, user, "destroy", "--confirm", user.name)
    server.expect_log(audit(user, "destroy"))


def test_audit_of_a_key_that_is_given_to_doveadm(server):
    """In the log alone: the terminal is for what was asked."""
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    server.begin_test()
    done = unlocked(server, "fetch", "-u", user.name, "hdr.subject", "all",
                    key=user.password)
    assert "hello" in done.out and done.err == ""
    line = server.expect_log(audit(user, "unlock", "password")).group()
    assert "service=doveadm" in line


def test_a_log_that_can_not_be_written(server):
    """Said with the line, and not by commands that change nothing."""
    user = enrolled(server)
    unwritable = ["-o", "info_log_path=/nowhere/log"]
    done = doveadm(server, *unwritable, "mailbox", "list", "-u", user.name)
    assert done.stderr == b"" and done.returncode == 0
    done = doveadm(server, *unwritable, "seal", "destroy", "-u", user.name,
                   "--confirm", user.name)
    assert done.returncode == 0
    assert re.search(audit(user, "destroy"), done.stderr.decode())
    assert re.search(r"Warning: mail_seal: the line above is not in Dovecot's "
                     r"log: open\(/nowhere/log\) failed: No such file",
                     done.stderr.decode())


class Syslog:
    """What a syslog daemon gets, in place of one. Other tests at the same time
    wait for their turn."""

    PATH = "/dev/log"

    def __enter__(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        wait_until(self._bind, self.PATH)
        self.sock.settimeout(30)
        return self

    def _bind(self):
        with contextlib.suppress(OSError):
            self.sock.bind(self.PATH)
            return True
        return False

    def line(self):
        return self.sock.recv(4096).decode()

    def __exit__(self, *_):
        os.unlink(self.PATH)
        self.sock.close()


def test_audit_of_doveadm_in_syslog(server):
    """Where the log is syslog's, of Dovecot's facility and name."""
    if subprocess.run(["pgrep", "-f", "syslogd|journald"], check=False,
                      stdout=subprocess.DEVNULL).returncode == 0:
        pytest.skip("a syslog daemon is running")
    user = enrolled(server)
    with Syslog() as syslog:
        done = doveadm(server, "-o", "info_log_path=syslog", "seal", "destroy",
                       "-u", user.name, "--confirm", user.name)
        assert done.returncode == 0, done.stderr
        line = syslog.line()
    assert re.search(audit(user, "destroy"), done.stderr.decode())
    priority, name, text = re.match(r"<(\d+)>.*? (\S+): (.*)$", line).groups()
    assert int(priority) == 2 << 3 | 6                      # mail, info
    assert name == "mail-seal-test"
    assert re.search(audit(user, "destroy"), text)


def test_no_line_of_the_audit_can_be_forged(server):
    """What others name is in it, on one line."""
    user = enrolled(server)
    label = "x, result=ok\\nInfo: mail_seal: audit: rotate"
    seal_user(server, user, "slot", "add", "--label", label,
              password=user.password, new_password=NEW, check=False)
    assert not re.search(audit(user, "rotate"), server.new_log())


# Events


def fields(server, name, user):
    event = exported(server, name, user)
    assert event["user"] == user.name
    return event


def test_events_of_messages(server):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    assert fields(server, "mail_seal_message_sealed", user)["bytes"] >= \
        len(MESSAGE) - 4
    for key in "identity", "cached":
        server.begin_test()
        with Imap(server, user) as imap:
            imap.select()
            assert b"hello" in imap.body(1)
        event = fields(server, "mail_seal_message_opened", user)
        assert (event["key"], event["uid"]) == (key, 1)
        event = fields(server, "mail_seal_cache_" +
                       ("miss" if key == "identity" else "hit"), user)
        assert event["group"] == "common" and event["mailbox"] == "INBOX"


def test_events_of_damage(server):
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    [message] = disk.stored(server, user)
    disk.replace(message, message.content[:-1] +
                 bytes([message.content[-1] ^ 1]))
    with Imap(server, user) as imap:
        imap.select()
        assert imap.cmd("FETCH 1 BODY[]").status == "NO"
    server.expect_log("Error: .*UID[= ]1: mail_seal: cannot open")
    event = fields(server, "mail_seal_message_damaged", user)
    assert (event["reason"], event["uid"]) == ("damaged", 1)


def test_events_of_refusals(server):
    user = server.user()
    with Lmtp(server) as client:
        (code, _), = client.deliver([user], MESSAGE)
    assert code == 451
    server.expect_log("Message is refused")
    assert fields(server, "mail_seal_message_refused", user)["reason"] == \
        "unenrolled"
    user = enrolled(server)
    with Imap(server, server.user(user.name, NEW)) as imap:
        assert imap.cmd("SELECT INBOX").status == "NO"
    server.expect_log("Session is locked")
    assert fields(server, "mail_seal_locked_refused", user)["command"] == \
        "SELECT"


# Metrics


@pytest.fixture(scope="module")
def metered(serve):
    """A server with the example, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    texts = {}
    for version in "2.3", "2.4":
        with open(f"{FOLDER}/metrics-{version}.conf", encoding="utf-8") as file:
            text = file.read()
        assert "port = 9900" in text
        texts["extra_" + version.replace(".", "")] = text.replace(
            "port = 9900", f"port = {port}")
    server = serve(Setup(**texts))
    server.metrics = f"http://127.0.0.1:{port}/metrics"
    return server


def scrape(server):
    """{"name{labels}": value}"""
    with urllib.request.urlopen(server.metrics, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    assert lines[-1] == "# EOF"
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
            for line in lines if not line.startswith("#")}


def wait_for(server, name):
    """Processes tell statistics of what they do when they end, at the latest."""
    for _ in range(100):
        if scrape(server).get(name, 0) > 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"no {name} in {scrape(server)}")


def use_all(server):
    """Let each event happen."""
    user = enrolled(server)
    lmtp(server, [user], MESSAGE)
    lmtp(server, [user], MESSAGE + b"2")
    for _ in range(2):
        with Imap(server, user) as imap:
            imap.select()
            imap.ok("FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[])")
    seal_user(server, user, "password", password=user.password,
              new_password=NEW)
    server.allow_log("Error: ")
    with Imap(server, user) as imap:
        assert imap.cmd("SELECT INBOX").status == "NO"
    with Lmtp(server) as client:
        client.deliver([server.user()], MESSAGE)
    user = server.user(user.name, NEW)
    one, two = disk.stored(server, user)
    disk.replace(one, two.content)
    disk.replace(two, two.content[:-1])
    with Imap(server, user) as imap:
        imap.select()
        assert imap.cmd("FETCH 1 BODY[]").status == "NO"
        assert imap.cmd("FETCH 2 BODY[]").status == "NO"


EXPECTED = """
mail_seal_enrolled_total{service="imap"}
mail_seal_unlocked_total{service="imap",slot_kind="password"}
mail_seal_unlock_duration_bucket{le="+Inf"}
mail_seal_unlock_failed_total{service="imap"}
mail_seal_keyring_changed_total{action="password",result="ok"}
mail_seal_message_sealed_total
mail_seal_message_refused_total{reason="unenrolled"}
mail_seal_message_opened_total{key="identity"}
mail_seal_message_opened_total{key="cached"}
mail_seal_message_damaged_total{reason="damaged"}
mail_seal_message_exchanged_total
mail_seal_locked_refused_total{command="SELECT"}
mail_seal_cache_hit_total{group="common"}
mail_seal_cache_hit_total{group="structure"}
mail_seal_cache_miss_total{group="common"}
""".split()


def names_in(text):
    return set(re.findall(r"dovecot_(mail_seal_[a-z_]+)", text))


def metrics_of(names):
    """2.4 has the bytes as well."""
    return {re.sub("(_bytes)?_(total|count|bucket|sum|duration_seconds_[a-z]+)$",
                   "", name) for name in names}


def all_are_in_the_dashboard(metered):
    """And nothing else is."""
    with open(f"{FOLDER}/dashboard.json", encoding="utf-8") as file:
        wanted = names_in(json.dumps(json.load(file)))
    there = names_in("\n".join(scrape(metered)))
    assert wanted <= there
    assert metrics_of(wanted) == metrics_of(there)


def test_metrics(metered):
    use_all(metered)
    for name in EXPECTED:
        wait_for(metered, f"dovecot_{name}")
    all_are_in_the_dashboard(metered)
