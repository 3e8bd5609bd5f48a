# SPDX-License-Identifier: LGPL-2.1-or-later
import fcntl
import os
import socket
import struct
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

from debian import Debian, newer, unpack  # noqa: E402  (needs the path above)

SIOCSIFFLAGS = 0x8914
IFF_UP = 1


@pytest.fixture(scope="session", autouse=True)
def loopback():
    """The network namespace of test-deb begins with nothing."""
    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS,
                    struct.pack("16sH14x", b"lo", IFF_UP))


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory):
    """Folders with the files of each package, by its name."""
    folder = tmp_path_factory.mktemp("unpacked")
    return unpack(os.environ["MAIL_SEAL_DEBS"], folder)


@pytest.fixture(scope="session")
def upgrade(tmp_path_factory):
    """A folder with the same packages under a higher version."""
    folder = tmp_path_factory.mktemp("upgrade")
    newer(os.environ["MAIL_SEAL_DEBS"], folder)
    return folder


@pytest.fixture
def debian(tmp_path):
    """A clean Debian with its own Dovecot, running."""
    with Debian(os.environ["MAIL_SEAL_ROOT"], tmp_path) as system:
        system.start()
        yield system
        system.check_log()


@pytest.fixture
def installed(debian):
    debian.install(os.environ["MAIL_SEAL_DEBS"])
    return debian


@pytest.fixture
def enabled(installed):
    """The plugin turned on as the head of its configuration says."""
    installed.enable()
    return installed
