"""OpenMP threads sleep while they wait, unless the user decides otherwise; checked in OpenMP's own report."""

import os
import re
import subprocess
import sys

import pytest

LOADED = """
import ctypes, sys
from importlib.util import find_spec
from pathlib import Path
import stages.__main__

assert "torch" not in sys.modules
for library in Path(find_spec("torch").origin).with_name("lib").glob("libgomp*"):
    ctypes.CDLL(library)
"""
"""Loads OpenMP as torch does, without the rest of it."""


def settings_of_openmp(**variables):
    """Return OpenMP's settings in a new process that has loaded the command line."""
    own = {name: value for name, value in os.environ.items() if name not in {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}}
    told = subprocess.run(
        [sys.executable, "-c", LOADED],
        env=own | variables | {"OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    found = dict(re.findall(r"(OMP_WAIT_POLICY|GOMP_SPINCOUNT) = '(\w+)'", told))
    if not found:
        pytest.skip("this torch has no OpenMP by GNU, which reports its settings")
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings OpenMP by GNU on Linux alone")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "1234"}, {"GOMP_SPINCOUNT": "1234"}),
    ],
    ids=["unset", "the user's policy", "the user's count"],
)
def test_threads_wait_without_spinning_unless_the_user_decides_otherwise(variables, expected):
    found = settings_of_openmp(**variables)
    assert found.items() >= expected.items()
    if variables:
        assert found["GOMP_SPINCOUNT"] != "0"
