"""Which program the test servers run, and what happens where there is none."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

NAMED = "TTA_TEST_REDIS_SERVER"
"""The variable that names a server's program, be it Redis or Valkey; Sentinels and Clusters run it, too."""
_NAMES = ("redis-server", "valkey-server")
# To 7 they don't know the option, from 8 on they find nothing behind it.
_WITHOUT_TLS = re.compile(r"'tls-[^']*'\s+Bad directive|Failed finding TLS support")


def program() -> str:
    """Return the program that is named, or else found, on the path or beside this Python."""
    if named := os.environ.get(NAMED):
        if found := shutil.which(named):
            return str(Path(found).absolute())
        # Whoever names one wants to know how that one does.
        pytest.fail(f"{NAMED} names {named}, which is no program")
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)))
    found = next(filter(None, (shutil.which(name, path=places) for name in _NAMES)), None)
    if found is None:
        missing(f"{_NAMES[0]} is not installed")
    return found


def without_tls(log: str) -> None:
    """Skip a test whose server says that it was built without TLS, if it was named; else such a server is missing."""
    if not _WITHOUT_TLS.search(log):
        return
    lacking = f"{program()} was built without TLS"
    if os.environ.get(NAMED):
        pytest.skip(lacking)
    missing(lacking)


def missing(what: str) -> NoReturn:
    """Skip, or fail where servers must be."""
    if os.environ.get("CI") or os.environ.get("TTA_TESTS_REQUIRE_SERVERS") == "1":
        pytest.fail(what)
    pytest.skip(what)
