"""The cache of kernels: an edit of another file than a kernel's own is never missed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from features import jit

KERNEL = """
from features.jit import kernel
from {package}.constants import ANSWER

@kernel
def answer():
    return ANSWER

print(answer(), sum(answer.stats.cache_hits.values()))
"""


def answered(root: Path, package: str) -> tuple[int, int]:
    """What the kernel of a package answers in a new process, and how often it was found in the cache."""
    run = subprocess.run(
        [sys.executable, "-c", f"import {package}.asking"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(root / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    answer, hits = run.stdout.split()
    return int(answer), int(hits)


@pytest.mark.parametrize("package", ["features", "matching"])
def test_given_a_constant_of_another_file_changed_then_a_cached_kernel_is_not_stale(
    tmp_path: Path, package: str
) -> None:
    for name in ("features", "matching"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    shutil.copy(str(jit.__file__), tmp_path / "features" / "jit.py")
    constants = tmp_path / package / "constants.py"
    (tmp_path / package / "asking.py").write_text(KERNEL.format(package=package))
    constants.write_text("ANSWER = 41\n")
    assert answered(tmp_path, package) == (41, 0)
    assert answered(tmp_path, package) == (41, 1)
    # Of another size: one that is as old and as long counts as unchanged for Python.
    constants.write_text("ANSWER = 42  # changed\n")
    assert answered(tmp_path, package) == (42, 0)


def test_given_another_package_changed_then_what_tells_who_wrote_a_snapshot_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("features", "matching"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kernels.py").write_text("A = 1\n")
    monkeypatch.setattr(jit, "_PACKAGE", tmp_path / "features")
    before = jit.source_digest()
    (tmp_path / "matching" / "kernels.py").write_text("A = 2\n")
    assert jit.source_digest() == before
    (tmp_path / "features" / "kernels.py").write_text("A = 2\n")
    assert jit.source_digest() != before
