# SPDX-License-Identifier: LGPL-2.1-or-later
"""Memory that each message needs for a time isn't taken from the kernel anew
for each of them."""

import re

import pytest

from harness import corpus
from harness.config import Setup
from harness.seal import enrolled
from harness.wire import Lmtp

# AddressSanitizer has a heap of its own.
pytestmark = pytest.mark.no_asan

WARM, COUNT = 5, 20
SIZE = 500000
# For each message. A kernel may map several pages at once.
MORE_FAULTS = 5


def _faults(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[7])


def _deliver(client, user, count):
    for _ in range(count):
        (code, _), = client.deliver([user], corpus.of_size(SIZE))
        assert code == 250


def faults_of_a_delivery(server):
    """How often pages are mapped for one, in a process that has had others."""
    user = enrolled(server)
    with Lmtp(server) as client:
        _deliver(client, user, WARM)
        pid = int(re.findall(r"lmtp\((\d+)\): Info: Connect",
                             server.new_log())[-1])
        before = _faults(pid)
        _deliver(client, user, COUNT)
        return (_faults(pid) - before) / COUNT


def test_a_delivery_maps_hardly_more_memory_than_without_the_seal(serve):
    plain = faults_of_a_delivery(serve(Setup(plugin="", never_cache=False)))
    sealed = faults_of_a_delivery(serve(Setup()))
    assert sealed < plain + MORE_FAULTS
