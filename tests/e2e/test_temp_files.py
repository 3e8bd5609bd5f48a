# SPDX-License-Identifier: LGPL-2.1-or-later
"""The files that Dovecot writes below mail_temp_dir, and the word of warning.

README.md names these cases; if one of them comes or goes, it has to follow.
"""

import os
import subprocess

import pytest

from harness import corpus
from harness.config import Setup
from harness.seal import enrolled
from harness.watch import Watch
from harness.wire import Imap, Pop3, lmtp

pytestmark = pytest.mark.no_asan

# Dovecot keeps up to 128 KiB in memory, of what it decodes 8 KiB.
SMALL, LARGE = 100 << 10, 300 << 10
WARNING = "mail_seal: mail_temp_dir = {} is on a disk, "
MEMORY = "/dev/shm"


@pytest.fixture(scope="module", params=["", "gz"], ids=["", "compressed"])
def server(serve, storage, request):
    return serve(Setup(storage=storage, compress=request.param))


@pytest.fixture
def user(server):
    return enrolled(server)


@pytest.fixture
def watch(server):
    """What has come must have gone when the test ends."""
    with Watch(f"{server.base}/tmp") as watch:
        yield watch
    assert os.listdir(f"{server.base}/tmp") == []


def programs(watch):
    """Which programs made a file: dovecot.imap.…"""
    return {name.split(".")[1] for name in watch.names()}


def message(size):
    return corpus.with_attachment("large", "see it\r\n", "a.bin",
                                  os.urandom(size // 2))


def read_by_imap(server, user):
    with Imap(server, user) as imap:
        imap.select()
        for items in ("ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[]",
                      "BODY.PEEK[2]<1000.1000>", "PREVIEW"):
            imap.ok(f"FETCH 1 {items}")
        imap.ok("SEARCH TEXT nothing")
        imap.ok("COPY 1 INBOX")


def test_reading(server, user, watch):
    """Only what was compressed; the seal needs none, whatever the size."""
    with Imap(server, user) as imap:
        imap.append(message(LARGE))
        imap.append(message(LARGE), binary=True)
    assert programs(watch) == set()
    read_by_imap(server, user)
    assert programs(watch) == ({"imap"} if server.setup.compress else set())
    with Pop3(server, user) as pop3:
        pop3.ok("RETR 1", multiline=True)
    assert programs(watch) == ({"pop3"} if server.setup.compress else set())


def test_decoding(server, user, watch):
    with Imap(server, user) as imap:
        imap.append(message(SMALL))
        imap.select()
        imap.ok("FETCH 1 BINARY.PEEK[2]")
    assert programs(watch) == {"imap"}


def test_delivery(server, user, watch):
    lmtp(server, [user], message(SMALL))
    server.lda(user, message(SMALL))
    assert programs(watch) == set()
    lmtp(server, [user], message(LARGE))
    server.lda(user, message(LARGE))
    assert programs(watch) == {"lmtp", "lda"}


# The warning


def is_in_memory(folder):
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], check=True,
                          capture_output=True, text=True).stdout.strip()
    return kind in ("tmpfs", "ramfs")


@pytest.fixture
def disk():
    for folder in ("/var/tmp", "/var/lib", os.path.dirname(__file__)):
        if not is_in_memory(folder):
            return folder
    pytest.skip("there is no disk")


def act(server):
    """Each program that has mail in its hands, and doveadm."""
    user = enrolled(server)
    lmtp(server, [user], message(100))
    server.lda(user, message(100))
    with Pop3(server, user) as pop3:
        pop3.ok("STAT")
    return server.doveadm("mailbox", "status", "-u", user.name, "messages",
                          "INBOX")


def warned(server, folder):
    """The programs that said so, one for each line."""
    return sorted(line.split()[3].partition("(")[0]
                  for line in server.new_log().splitlines()
                  if "Warning: " in line and WARNING.format(folder) in line)


def test_warning_of_a_disk(own_server, disk):
    """One line for each process; not from doveadm, whose log is read there."""
    server = own_server(Setup(extra=f"mail_temp_dir = {disk}"))
    done = act(server)
    assert warned(server, disk) == ["imap", "lda", "lmtp", "pop3"]
    assert done.stderr == b""


def test_warning_comes_once(own_server, disk):
    server = own_server(Setup(extra=f"mail_temp_dir = {disk}"))
    user, other = enrolled(server), enrolled(server)
    lmtp(server, [user, other], message(100))
    assert warned(server, disk).count("lmtp") == 1


@pytest.mark.parametrize("folder", [MEMORY, "/nonexistent"])
def test_no_warning(own_server, folder):
    assert is_in_memory(MEMORY)
    server = own_server(Setup(extra=f"mail_temp_dir = {folder}"))
    act(server)
    assert "mail_temp_dir" not in server.new_log()
