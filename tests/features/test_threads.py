"""Threads of libraries yield their cores, unless the user says otherwise."""

import os
import subprocess
import sys

import pytest

POLICY = "OMP_WAIT_POLICY"


@pytest.mark.parametrize("chosen", [None, "active"])
def test_threads_that_wait_yield_before_any_library_of_openmp_is_read(chosen: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != POLICY}
    if chosen:
        environment[POLICY] = chosen
    code = (
        "import features, os, sys; print(os.environ['OMP_WAIT_POLICY'], {'sklearn', 'lightgbm'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"{chosen or 'passive'} set()"
