# SPDX-License-Identifier: LGPL-2.1-or-later
"""doveadm seal with keyrings in a dict, also while it can't be reached."""

import shutil
import threading

import pytest

from harness.dict import Redis
from harness.doveadm import NOPERM, TEMPFAIL, seal_user
from harness.seal import enrolled
from harness.wire import Imap, lmtp

NEW = "battery staple"


@pytest.fixture(scope="module")
def redis():
    if not shutil.which("redis-server"):
        pytest.skip("redis-server isn't installed")
    redis = Redis()
    yield redis
    redis.remove()


@pytest.fixture(scope="module")
def server(redis, serve):
    return serve(redis.setup("doveadm"))


def test_keys_in_a_dict(server, redis):
    user = server.user()
    code = seal_user(server, user, "enroll", "--recovery",
                     password=user.password).row["recovery_code"]
    before = redis.get(user)
    assert seal_user(server, user, "password", password=["wrong one", NEW],
                     check=False).code == NOPERM
    assert redis.get(user) == before
    seal_user(server, user, "password", password=[user.password, NEW])
    seal_user(server, user, "recover", code=code, password=user.password)
    lmtp(server, [user], b"Subject: x\r\n\r\ny\r\n")
    assert seal_user(server, user, "rotate", "--reseal",
                     password=user.password).row["resealed"] == 1
    with Imap(server, user) as imap:
        imap.select()
        assert imap.body(1).endswith(b"y\r\n")
    seal_user(server, user, "destroy", "--confirm", user.name)
    # Numbers by which changes are kept apart stay; no slot does.
    values = {key: redis.cmd("GET", key) for key in redis.keys(user)}
    assert not any("AGE" in value or "slot" in value or "age1" in value
                   for value in values.values()), values
    assert seal_user(server, user, "status").row["enrolled"] == "no"


def test_unreachable_dict(server, redis):
    user = enrolled(server)
    before = redis.get(user)
    server.allow_log("Error: ")
    redis.stop()
    try:
        for verb, words, secrets in (
                ("status", [], {}),
                ("enroll", [], {"password": NEW}),
                ("password", [], {"password": [user.password, NEW]}),
                ("rotate", [], {"password": user.password}),
                ("destroy", ["--confirm", user.name], {})):
            done = seal_user(server, user, verb, *words, check=False,
                             **secrets)
            assert done.code == TEMPFAIL, done
            assert "Error: " in done.err
    finally:
        redis.start()
    assert redis.get(user) == before
    assert seal_user(server, user, "status").row["enrolled"] == "yes"


def test_slots_added_at_the_same_time(server):
    user = enrolled(server)
    failed = []

    def add(number):
        done = seal_user(server, user, "slot add", "--label", f"no {number}",
                         password=[user.password, f"password {number}"],
                         check=False)
        if done.code != 0:
            failed.append(done.err)

    threads = [threading.Thread(target=add, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    labels = [row["label"] for row in
              seal_user(server, user, "slot list").rows]
    assert not failed
    assert sorted(labels) == [""] + [f"no {i}" for i in range(6)]
