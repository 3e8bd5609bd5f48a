# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keyrings in a dict that several Dovecots share."""

import pytest

from harness.dict import Redis
from harness.wire import Imap, lmtp

MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    yield server
    server.remove()


@pytest.fixture(scope="module")
def pair(serve, redis):
    """Two Dovecots with a store each, and one Redis."""
    return serve(redis.setup("one")), serve(redis.setup("two"))


def test_enrol_here_deliver_there(pair, redis):
    one, two = pair
    user = one.user()
    same = two.user(user.name)
    with Imap(one, user) as imap:
        imap.append(MESSAGE)
        imap.select()
        assert imap.body(1) == MESSAGE
    lmtp(two, [same], MESSAGE)
    with Imap(two, same) as imap:
        imap.select()
        assert imap.body(1).endswith(MESSAGE)
