# SPDX-License-Identifier: LGPL-2.1-or-later
import pytest
from mail_seal import new_key


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    return new_key(tmp_path_factory.mktemp("key") / "key.txt")


@pytest.fixture(scope="session")
def other_key(tmp_path_factory):
    return new_key(tmp_path_factory.mktemp("key") / "other.txt")
