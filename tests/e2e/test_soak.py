# SPDX-License-Identifier: LGPL-2.1-or-later
"""A soak that lasts some seconds; tests/soak/soak is the long one. Processes
serve many users, one after the other and at once."""

import os
import sys

import pytest

sys.path.insert(1, os.path.join(os.path.dirname(__file__), os.pardir, "soak"))

import soaking                                              # noqa: E402
from load import Amounts                                    # noqa: E402

pytestmark = pytest.mark.no_asan

AMOUNTS = Amounts(logins=100, deliveries=120, fetches=600, clients=8, users=6,
                  seconds=300)


def test_processes_that_serve_many_users_stay_as_they_are(own_server):
    soak = soaking.run(own_server(soaking.setup()), AMOUNTS)
    load = soak.load
    assert soak.problems == []
    assert (load.logged_in, load.delivered, load.fetched) == (
        AMOUNTS.logins, AMOUNTS.deliveries, AMOUNTS.fetches)
