# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures of the end-to-end tests. tests/README.md tells how to use them."""

import itertools
import signal
from dataclasses import replace

import pytest

from harness import sanitizer
from harness.compare import Pair
from harness.config import FORMATS, Setup
from harness.sample import (THOROUGH, in_turn, is_for_asan,
                            kept_of_variations)
from harness.server import Server

# Ended by CI or by a person: as ^C, so that the servers are stopped.
signal.signal(signal.SIGTERM, signal.default_int_handler)

# One test in two runs under AddressSanitizer, and of its variations one in so many.
ASAN_PART = 6


def pytest_configure(config):
    config.addinivalue_line("markers", "no_asan: slow under AddressSanitizer, "
                            "which would see no code of ours that it does "
                            "not see in other tests")
    config.addinivalue_line("markers", "all_storages: with all storage "
                            "formats, instead of one")


def _kept(items):
    """One storage format of three for each variation of a test. The others are
    for the other version of Dovecot and for AddressSanitizer."""
    kept = {item.nodeid for item in items}
    variations = {}
    for item in items:
        callspec = getattr(item, "callspec", None)
        if not item.get_closest_marker("all_storages") and callspec and \
                "storage" in callspec.params:
            test, _, others = item.nodeid.partition("[")
            others = others.replace(callspec.params["storage"], "", 1)
            variations.setdefault(test, {}).setdefault(others, []).append(
                item.nodeid)
    for test, names in variations.items():
        for number, same in enumerate(names.values()):
            kept -= set(same) - {in_turn(same, number, test)}
    return kept


def _kept_under_asan(items):
    tests = {}
    for item in items:
        test = item.nodeid.partition("[")[0]
        if is_for_asan(test) and not item.get_closest_marker("no_asan"):
            tests.setdefault(test, []).append(item.nodeid)
    return {name for names in tests.values()
            for name in kept_of_variations(names, ASAN_PART)}


def pytest_collection_modifyitems(config, items):
    if THOROUGH:
        return
    kept = _kept(items)
    if sanitizer.environment():
        kept = _kept_under_asan([item for item in items if item.nodeid in kept])
    config.hook.pytest_deselected(
        items=[item for item in items if item.nodeid not in kept])
    items[:] = [item for item in items if item.nodeid in kept]


_pool = {}
_numbers = itertools.count(1)


def _get_server(setup):
    if setup not in _pool:
        server = Server(setup)
        _pool[setup] = server
        try:
            server.start()
        except BaseException:
            _discard(setup)
            raise
        server.begin_test()
    return _pool[setup]


def _discard(setup):
    server = _pool.pop(setup)
    server.stop()
    server.remove()


@pytest.fixture(scope="session", autouse=True)
def _stop_servers():
    yield
    servers = list(_pool.values())
    for server in servers:
        server.begin_stop()
    for server in servers:
        server.stop()
    try:
        _assert_clean(servers)
    finally:
        for setup in list(_pool):
            _discard(setup)


def _assert_clean(servers):
    bad = [f"{server.setup.plugin or 'plain'} {server.setup.storage}: {line}"
           for server in servers for line in server.bad_log_lines()]
    assert not bad, "unexpected in the log:\n" + "\n".join(bad)


@pytest.fixture(autouse=True)
def _clean_logs():
    """No test may leave an error in a log that it did not expect."""
    for server in _pool.values():
        server.begin_test()
    yield
    _assert_clean(_pool.values())


@pytest.fixture(scope="session")
def serve():
    """serve(Setup(…)): a running server; the same one for equal setups."""
    return _get_server


@pytest.fixture
def own_server():
    """As serve, for a test that stops or breaks its server."""
    setups = []

    def start(setup):
        setup = replace(setup, name=f"own{next(_numbers)}")
        server = _get_server(setup)
        setups.append(setup)
        return server

    yield start
    try:
        _assert_clean([_pool[setup] for setup in setups])
    finally:
        for setup in setups:
            _discard(setup)


@pytest.fixture(scope="module", params=FORMATS)
def storage(request):
    """The test runs once for each storage format."""
    return request.param


@pytest.fixture(scope="module")
def sealed(serve, storage):
    """A server with the plugin, of each storage format."""
    return serve(Setup(storage=storage))


@pytest.fixture(scope="module")
def plain(serve, storage):
    """Dovecot without the plugin, with its own cache."""
    return serve(Setup(storage=storage, plugin="", never_cache=False))


@pytest.fixture(scope="session")
def make_pair(serve):
    """make_pair(storage=…): a Pair on two servers, with a new user each."""
    pairs = []

    def make(plain_cache=True, **options):
        plain = serve(Setup(plugin="", never_cache=not plain_cache,
                            **options))
        sealed = serve(Setup(**options))
        name = f"pair{next(_numbers)}"
        pairs.append(Pair(plain, sealed, plain.user(name), sealed.user(name)))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()


@pytest.fixture
def pair(make_pair, storage):
    return make_pair(storage=storage)
