# SPDX-License-Identifier: LGPL-2.1-or-later
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tool"))

from mail_seal import new_key  # noqa: E402


def pytest_configure(config):
    """Fetch what is not here yet. Without it nothing of this folder can be tested, so that is an error."""
    cache = Path(os.environ.get("MAIL_SEAL_CACHE", "/var/tmp/mail-seal-cache"), "npm")
    subprocess.run([HERE / "fetch", cache], check=True)
    os.environ.setdefault("MAIL_SEAL_VECTORS", str(cache / "vectors"))
    os.environ["MAIL_SEAL_NPM"] = str(cache)


@pytest.fixture(scope="session")
def key(tmp_path_factory):
    return new_key(tmp_path_factory.mktemp("key") / "key.txt")
