"""What a command loads: nobody waits for libraries that the command does not use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.features.examples import written
from tests.service.cli.test_log_commands import write

HEAVY = {
    "dask",
    "lightgbm",
    "matplotlib",
    "mlflow",
    "numba",
    "optuna",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
}


def heavy_after(code: str, home: Path) -> set[str]:
    """Which heavy libraries a fresh interpreter has loaded after some code, given as lines."""
    ran = subprocess.run(
        [sys.executable, "-c", f"import atexit, sys\natexit.register(lambda: print(*sys.modules))\n{code}"],
        env={**os.environ, "COCOK_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = {module.partition(".")[0] for module in ran.stdout.splitlines()[-1].split()}
    assert "typer" in modules
    return modules & HEAVY


def test_given_the_command_line_is_imported_then_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    assert heavy_after("import service.cli.app", tmp_path) == set()


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["rank", "--help"]])
def test_given_help_then_nothing_heavy_is_loaded(tmp_path: Path, arguments: list[str]) -> None:
    assert heavy_after(f"from service.cli import main\nmain({arguments})", tmp_path) == set()


def test_given_a_log_is_imported_and_exported_then_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    file = write(tmp_path / "log.ndjson", written("feed_served"))
    for arguments in (["import", str(file)], ["export", "--out", str(tmp_path / "out.ndjson")]):
        assert heavy_after(f"from service.cli import main\nmain({arguments})", tmp_path / "home") == set()
    assert (tmp_path / "out.ndjson").exists()


def test_given_ranking_then_the_net_would_catch_what_it_loads(tmp_path: Path) -> None:
    assert {"lightgbm", "numba"} <= heavy_after("import typer, matching.offline", tmp_path)
