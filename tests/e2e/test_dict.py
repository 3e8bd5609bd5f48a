# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keyrings in a dict that several Dovecots share."""

import contextlib
import os
import re
import shutil
import threading
import time

import pytest

from harness import age, disk, keyring
from harness.config import MAIL_UID, Setup
from harness.dict import TIMEOUT_SECONDS, Postgres, Redis, Sqlite, wait_until
from harness.doveadm import seal_user
from harness.dsync import by_password, dsync
from harness.seal import enrol
from harness.server import dovecot_version
from harness.wire import Imap, Lmtp, Pop3, lmtp

MESSAGE = b"From: a@example.com\r\nSubject: hello\r\n\r\nbody\r\n"
OUR_LOG = "mail_seal|dict|keyring|redis|sql|lda|lmtp|server terminated"


def make_redis():
    if not shutil.which("redis-server"):
        pytest.skip("redis-server isn't installed")
    return Redis()


def make_postgres():
    if not Postgres.is_installed():
        pytest.skip("PostgreSQL isn't installed")
    return Postgres()


MAKE = {"redis": make_redis, "sqlite": Sqlite, "pgsql": make_postgres}
_servers = []
_restarted = []


@pytest.fixture(scope="module")
def databases():
    """Made when they are asked for, and kept for all tests."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = MAKE[name]()
        return made[name]

    yield get
    # Some notice that a database goes.
    for server in _servers:
        server.allow_log(OUR_LOG)
    for database in made.values():
        database.remove()


@pytest.fixture
def redis(databases):
    return databases("redis")


@pytest.fixture
def store(request, databases):
    """The database whose name is the parameter of the test."""
    return databases(request.param)


ALL = pytest.mark.parametrize("store", ["redis", "sqlite", "pgsql"],
                              indirect=True)


def pair_of(serve, store):
    """Two Dovecots, each with mail of its own, and one store of keyrings."""
    name = type(store).__name__
    pair = serve(store.setup(f"{name}-1")), serve(store.setup(f"{name}-2"))
    _servers.extend(pair)
    if store in _restarted:
        # A dict process notices when it uses its connection again.
        for server in pair:
            server.allow_log(r"dict(\(\d+\))?: Error: ")
    return pair


def user_of(one, two):
    """The same user at both."""
    user = one.user(f"{one.setup.name}-{next_number()}@example.com".lower())
    return user, two.user(user.name)


_numbers = iter(range(1, 1000))


def next_number():
    return next(_numbers)


def deliver(server, user):
    with Lmtp(server) as client:
        (code, text), = client.deliver([user], MESSAGE)
    return code


def lda(server, user):
    return server.lda(user, MESSAGE, check=False).returncode


def is_locked(server, user):
    """Logged in, warned, and shown nothing."""
    with Imap(server, user) as imap:
        warned = b"* OK [ALERT] " in (imap.login_reply.raw +
                                      imap.cmd("NOOP").raw)
        refused = imap.cmd("SELECT INBOX").status == "NO"
        imap.ok("LOGOUT")
    assert warned == refused
    return warned


def reads(server, user, count=1):
    with Imap(server, user) as imap:
        imap.select()
        assert imap.uids() == list(range(1, count + 1))
        return all(imap.body(uid).endswith(MESSAGE)
                   for uid in range(1, count + 1))


def enrolments(*servers):
    return sum(len(re.findall("audit: enroll: ", server.new_log()))
               for server in servers)


@ALL
def test_enrol_here_deliver_there(serve, store):
    one, two = pair_of(serve, store)
    here, there = user_of(one, two)
    with Imap(one, here) as imap:
        imap.append(MESSAGE)
    assert deliver(two, there) == 250
    assert lda(two, there) == 0
    assert reads(one, here)
    assert reads(two, there, 2)
    with Pop3(two, there) as pop3:
        assert pop3.ok("RETR 1", multiline=True).endswith(MESSAGE + b".\r\n")
    assert enrolments(one, two) == 1
    # No keyring but the one in the dict, and what it opens is there.
    for user in here, there:
        assert not os.path.exists(keyring.path(user))
    sealed = disk.contents(one, here) + disk.contents(two, there)
    identity = keyring.open_password_slot(stored(store, here), here.password)
    assert all(age.open_(identity, each).endswith(b"\nbody\n")
               for each in sealed)


def stored(store, user):
    """The text of a user's keyring."""
    if isinstance(store, Redis):
        return store.get(user)
    return store.sql(f"SELECT keyring FROM mail_seal WHERE username = "
                     f"'{user.name}';")


def moved_mail(one, here, two, there):
    """Mail that is made at one and moved to two: what the stock age opens."""
    with Imap(one, here) as imap:
        imap.append(MESSAGE)
    dsync("backup", one, here, two, there, **by_password(one, here))
    assert reads(two, there)
    return disk.contents(two, there)


def test_mail_moves_between_nodes(serve, redis):
    """The keyring is there already, and the only one."""
    one, two = pair_of(serve, redis)
    here, there = user_of(one, two)
    enrol(one, here)
    before = redis.dump(here)
    content, = moved_mail(one, here, two, there)
    identity = keyring.open_password_slot(redis.get(here), here.password)
    assert age.open_(identity, content).endswith(b"\nbody\n")
    assert redis.dump(here) == before
    assert not os.path.exists(keyring.path(there))
    assert enrolments(one, two) == 1


@ALL
def test_keyring_leaves_the_dict(serve, store):
    """As a file, for a server without a dict: what the database's own program
    prints, with an empty line more."""
    one, _ = pair_of(serve, store)
    two = serve(Setup())
    here = one.user(f"leaves-{next_number()}@example.com")
    there = two.user(here.name)
    enrol(one, here)
    text = stored(store, here) + "\n"
    assert text.endswith("\n\n")
    put_keyring(there, text)
    content, = moved_mail(one, here, two, there)
    identity = keyring.open_password_slot(text, here.password)
    assert age.open_(identity, content).endswith(b"\nbody\n")
    assert keyring.read(there) == text and enrolments(two) == 0
    seal_user(two, there, "slot add", "--label", "another",
              password=[there.password, "another one"])
    assert keyring.open_password_slot(keyring.read(there),
                                      "another one") == identity


@ALL
def test_first_logins_at_once(serve, store):
    one, two = pair_of(serve, store)
    here, there = user_of(one, two)
    barrier = threading.Barrier(8)
    results = []

    def first_login(server, user):
        barrier.wait()
        try:
            results.append(is_locked(server, user))
        except (AssertionError, EOFError, OSError) as error:
            results.append(error)

    run_all([lambda at=at: first_login(*at)
             for at in [(one, here), (two, there)] * 4])
    assert results == [False] * 8
    assert enrolments(one, two) == 1
    assert deliver(one, here) == deliver(two, there) == 250
    assert reads(one, here) and reads(two, there)


@ALL
def test_doveadm(serve, store):
    """Enrolled by root at one, and changed there while open at the other."""
    one, two = pair_of(serve, store)
    here, there = user_of(one, two)
    row = seal_user(one, here, "enroll", password=here.password).row
    assert row["result"] == "enrolled"
    assert deliver(two, there) == 250
    with Imap(two, there) as imap:
        imap.select()
        for label in "phone", "tablet":
            seal_user(one, here, "slot add", "--label", label,
                      password=[here.password, f"{label}'s own"])
        seal_user(one, here, "slot remove", "phone", password=here.password)
        seal_user(one, here, "password", old_password=here.password,
                  new_password="battery staple")
        assert imap.body(1).endswith(MESSAGE)
    row = seal_user(two, there, "status").row
    assert row["password_slots"] == 2
    assert row["keyring"].endswith("in the dict")
    text = stored(store, here)
    assert keyring.open_password_slot(text, "battery staple") == \
        keyring.open_password_slot(text, "tablet's own")
    for password in here.password, "phone's own":
        with pytest.raises(keyring.WrongPassword):
            keyring.open_password_slot(text, password)
    for user in here, there:
        assert not os.path.exists(keyring.path(user))


@ALL
@pytest.mark.no_asan
def test_slots_changed_at_once(serve, store):
    """No change undoes another."""
    one, two = pair_of(serve, store)
    here, there = user_of(one, two)
    enrol(one, here)
    results = []

    def change(server, user, name):
        for number in range(3):
            label = f"the phone {name}-{number}"
            results.append(seal_user(
                server, user, "slot add", "--label", label, check=False,
                password=[user.password, label]))
            if number == 1:
                results.append(seal_user(server, user, "slot remove", label,
                                         check=False, password=label))

    run_all([lambda name=name, at=at: change(*at, name)
             for name, at in zip("abcd", [(one, here), (two, there)] * 2)])
    assert [done.err for done in results if done.code != 0] == []
    rows = seal_user(two, there, "slot list").rows
    assert sorted(row["label"] for row in rows) == \
        [""] + [f"the phone {name}-{number}" for name in "abcd" for number in (0, 2)]
    text = stored(store, here)
    for password in here.password, "the phone a-0", "the phone d-2":
        assert keyring.open_password_slot(text, password)


def run_all(functions):
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.no_asan
def test_redis_that_hangs(serve, redis):
    one, two = pair_of(serve, redis)
    here, there = user_of(one, two)
    enrol(one, here)
    new, _ = user_of(one, two)
    before = redis.dump(here)
    for server in one, two:
        server.allow_log(OUR_LOG)
    redis.hang()
    try:
        for locked in (lambda: is_locked(one, here),
                       lambda: is_locked(one, new),
                       lambda: deliver(two, there) == 451,
                       lambda: lda(two, there) == os.EX_TEMPFAIL):
            start = time.monotonic()
            assert locked()
            assert time.monotonic() - start < TIMEOUT_SECONDS + 10
    finally:
        redis.resume()
    assert redis.dump(here) == before
    assert redis.keys(new) == []
    assert not is_locked(one, here)
    assert deliver(two, there) == 250


@pytest.mark.no_asan
def test_redis_is_killed_between_operations(serve, redis):
    """appendfsync always: what was acknowledged is there again."""
    one, two = pair_of(serve, redis)
    for _ in range(3):
        here, there = user_of(one, two)
        enrol(one, here)
        redis.stop()
        redis.start()
        assert deliver(two, there) == 250
        seal_user(two, there, "slot add", "--label", "phone",
                  password=[there.password, "phone's own"])
        redis.stop()
        redis.start()
        assert reads(two, there)
        seal_user(one, here, "slot remove", "phone", password="phone's own")
        redis.stop()
        redis.start()
        assert len(seal_user(two, there, "slot list").rows) == 1
    assert enrolments(one, two) == 3


def broken(text, other):
    """Values that are no keyring of this user, by name."""
    body = text[:text.index("# mail-seal dict")]
    comment = text[len(body):]
    yield from ((f"cut at {size}", text[:size])
                for size in range(0, len(body) - 1, 199))
    yield from [
        ("a space", " "),
        ("a line feed", "\n"),
        ("garbage", "x" * 5000),
        ("garbage and a ticket", "x\n" + comment),
        ("a ticket alone", comment),
        ("1 MiB of letters", "x" * (1 << 20)),
        ("a later version", text.replace("keyring 1\n", "keyring 2\n", 1)),
        ("another recipient", text.replace(keyring.recipient(text),
                                           keyring.recipient(other))),
        ("another user's", other),
        ("no such ticket", body + "# mail-seal dict 1\n"),
        ("a ticket with letters", body + "# mail-seal dict x\n"),
        ("CRLF", text.replace("\n", "\r\n")),
    ]


@pytest.mark.no_asan
def test_values_that_are_no_keyring(serve, redis):
    one, two = pair_of(serve, redis)
    here, there = user_of(one, two)
    foreign, _ = user_of(one, two)
    foreign_two = one.user(foreign.name, "another password")
    enrol(one, here, foreign_two)
    lmtp(two, [there], MESSAGE)
    text = redis.get(here)
    for server in one, two:
        server.allow_log(OUR_LOG)
    for name, value in broken(text, redis.get(foreign)):
        redis.set(here, value)
        before = redis.dump(here)
        assert is_locked(one, here), name
        assert deliver(two, there) in (250, 451), name
        assert redis.dump(here) == before, name
    assert enrolments(one, two) == 2
    one.expect_log("mail_seal: Session is locked: keyring of .* in the dict: ")
    assert "AGE-SECRET" not in one.new_log()
    redis.set(here, text)
    assert not is_locked(one, here)
    with Imap(two, there) as imap:
        imap.select()
        assert imap.body(1).endswith(MESSAGE)


def keep_none(redis, user):
    for key in redis.keys(user):
        if "/keyring" in key or "/text/" in key:
            redis.cmd("DEL", key)


def another_type(redis, user):
    redis.cmd("DEL", f"{user.name}/mail-seal/keyring")
    redis.cmd("RPUSH", f"{user.name}/mail-seal/keyring", "x")


@pytest.mark.parametrize("damage", [keep_none, another_type])
def test_keyring_that_redis_lost(serve, redis, damage):
    """What comes after it shows that there was one: none is made again."""
    one, two = pair_of(serve, redis)
    here, there = user_of(one, two)
    enrol(one, here)
    damage(redis, here)
    before = redis.dump(here)
    for server in one, two:
        server.allow_log(OUR_LOG)
    assert is_locked(one, here)
    assert deliver(two, there) == 451
    assert redis.dump(here) == before
    assert enrolments(one, two) == 1


def test_keyring_that_is_shown_no_more(serve, redis):
    """Killed between two transactions: the chain leads there."""
    one, two = pair_of(serve, redis)
    here, there = user_of(one, two)
    enrol(one, here)
    redis.cmd("DEL", f"{here.name}/mail-seal/keyring")
    assert not is_locked(one, here)
    assert redis.get(here) != ""
    assert deliver(two, there) == 250
    assert enrolments(one, two) == 1


def put_keyring(user, text):
    with open(keyring.path(user), "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(keyring.path(user), 0o600)
    os.chown(keyring.path(user), MAIL_UID, MAIL_UID)


def made_elsewhere(serve, user):
    """The keyring file that this user has on a server without a dict."""
    server = serve(Setup())
    elsewhere = enrol(server, server.user(user.name))
    text = keyring.read(elsewhere)
    os.unlink(keyring.path(elsewhere))
    return text


@ALL
@pytest.mark.parametrize("first", [deliver, is_locked])
def test_keyring_file_is_moved(serve, store, first):
    """By whatever comes across it, and once."""
    one, two = pair_of(serve, store)
    here, there = user_of(one, two)
    text = made_elsewhere(serve, here)
    # Homes may lie on both.
    put_keyring(here, text)
    put_keyring(there, text)
    first(one, here)
    assert stored(store, here).startswith(text)
    assert not os.path.exists(keyring.path(here))
    with open(f"{keyring.path(here)}.moved", encoding="ascii") as file:
        assert file.read() == text
    assert deliver(two, there) == 250
    assert not os.path.exists(keyring.path(there))
    assert reads(two, there)
    assert not is_locked(one, here)
    assert enrolments(one, two) == 0
    one.expect_log("mail_seal: Moved keyring file .* to keyring of .* in the "
                   "dict, and renamed it to .*[.]moved")


def test_another_keyring_file_is_left(serve, redis):
    one, two = pair_of(serve, redis)
    here, there = user_of(one, two)
    text = made_elsewhere(serve, here)
    enrol(one, here)
    before = redis.dump(here)
    put_keyring(there, text)
    assert deliver(two, there) == 250
    assert reads(two, there)
    assert keyring.read(there) == text
    assert redis.dump(here) == before
    two.expect_log("mail_seal: keyring file .* is not used: .* is another one")


def test_damaged_keyring_file_is_no_missing_one(serve, redis):
    one, two = pair_of(serve, redis)
    here, _ = user_of(one, two)
    text = made_elsewhere(serve, here)
    put_keyring(here, text[:-100])
    one.allow_log(OUR_LOG)
    assert is_locked(one, here)
    assert deliver(one, here) == 451
    assert keyring.read(here) == text[:-100]
    assert redis.keys(here) == []
    put_keyring(here, text)
    assert not is_locked(one, here)
    assert redis.get(here).startswith(text)


REFUSED = [
    ("file", 'driver "file" is not for keys'),
    ("fs", 'driver "fs" is not for keys'),
    ("nothing", "[Uu]nknown dict module"),
]


_DRIVER_24 = {
    "file": "path = /nowhere",
    "fs": "fs posix {\n prefix = /nowhere/\n }",
}


@pytest.mark.parametrize("driver, reason", REFUSED)
def test_drivers_that_are_refused(own_server, driver, reason):
    uri = "posix:prefix=/nowhere/" if driver == "fs" else "/nowhere"
    server = own_server(Setup(extra_24=f"""
mail_seal {{
  dict {driver} {{
    {_DRIVER_24.get(driver, "")}
  }}
}}""") if dovecot_version() >= (2, 4) else Setup(
        settings=(("mail_seal_dict", f"{driver}:{uri}"),)))
    user = server.user()
    server.allow_log(OUR_LOG)
    assert is_locked(server, user)
    assert deliver(server, user) == 451
    server.expect_log(f"cannot use the dict of mail_seal.*{reason}")
    assert not os.path.exists(keyring.path(user))


@pytest.mark.skipif(dovecot_version() >= (2, 4), reason="no URIs in 2.4")
def test_keys_must_not_expire(own_server, redis):
    uri = f"redis:path={redis.socket}:expire_secs=100"
    server = own_server(Setup(settings=(("mail_seal_dict", uri),)))
    user = server.user("expires")
    server.allow_log(OUR_LOG)
    assert is_locked(server, user)
    server.expect_log("expire_secs is not for keys")
    assert redis.keys(user) == []


# Last, as connections that broke are noticed late: a dict process that has one
# while PostgreSQL is down answers after 30 seconds.


@contextlib.contextmanager
def stopped(store):
    _restarted.append(store)
    store.stop()
    try:
        yield
    finally:
        store.start()


def connected_again(server, user):
    """Dovecot's SQL drivers wait for a while between tries to connect, each dict
    process by itself."""
    return [deliver(server, user) for _ in range(4)] == [250] * 4


@ALL
@pytest.mark.no_asan
def test_store_that_is_down(serve, store):
    one, two = pair_of(serve, store)
    here, there = user_of(one, two)
    enrol(one, here)
    new, _ = user_of(one, two)
    before = stored(store, here)
    for server in one, two:
        server.allow_log(OUR_LOG)
    with Imap(two, there) as unlocked:
        with stopped(store):
            assert is_locked(one, here)
            assert is_locked(one, new)
            assert deliver(two, there) == 451
            assert deliver(two, new) == 451
            assert lda(two, there) == os.EX_TEMPFAIL
            for verb, secrets in [("status", {}),
                                  ("password", {"password": [
                                      here.password, "battery staple"]})]:
                done = seal_user(one, here, verb, check=False, **secrets)
                assert done.code == os.EX_TEMPFAIL
                assert f"keyring of {here.name} in the dict: " in done.err
            # Who has the keys goes on.
            unlocked.append(MESSAGE)
            unlocked.select()
            assert unlocked.body(1) == MESSAGE
            locked = Imap(one, here)
            assert locked.append_cmd(MESSAGE).status == "NO"
        for server, user in (one, here), (two, there):
            wait_until(lambda: connected_again(server, user), "the dict")
        delivered = len(disk.stored(two, there))
        # Delivery is as before; to open mail takes a new login.
        with locked:
            locked.append(MESSAGE)
            assert locked.cmd("SELECT INBOX").status == "NO"
    assert stored(store, here) == before
    assert enrolments(one, two) == 1
    assert not is_locked(one, here)
    assert reads(two, there, delivered)
    assert not is_locked(one, new)
    one.expect_log("mail_seal: Session is locked: keyring of .* in the dict: ")


@ALL
@pytest.mark.no_asan
def test_store_that_is_restarted(serve, store):
    """Between two logins: nobody notices."""
    one, two = pair_of(serve, store)
    here, there = user_of(one, two)
    # Each of these has a dict process, whose connection then breaks.
    run_all([lambda: enrol(one, here)] * 4)
    for server in one, two:
        server.allow_log(OUR_LOG)
    with stopped(store):
        pass
    assert not any(is_locked(one, here) for _ in range(8))
    assert [deliver(two, there) for _ in range(8)] == [250] * 8


@ALL
def test_rotated_on_another_node(serve, store):
    """An open session looks at the dict again after two seconds."""
    one, two = pair_of(serve, store)
    here, there = user_of(one, two)
    enrol(one, here)
    with Imap(one, here) as imap:
        imap.select()
        imap.append(MESSAGE)
        before = keyring.recipient(stored(store, here))
        seal_user(two, there, "rotate", password=there.password)
        after = stored(store, here)
        assert keyring.recipient(after) != before
        time.sleep(2.1)
        imap.append(MESSAGE)
        # What it has written itself it can read.
        assert imap.body(2) == MESSAGE
    new, old = re.findall("^AGE-SECRET-KEY-1[A-Z0-9]+",
                          keyring.open_password_slot(after, here.password),
                          re.M)
    for identity, content in zip((old, new), disk.contents(one, here)):
        assert age.open_(identity, content).endswith(b"body\n")
    assert reads(one, here, 2)
