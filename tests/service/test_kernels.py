"""Who waits for a compiler is told so."""

from pathlib import Path

import numba
import pytest

from service.cli.console import progress
from service.kernels import COMPILING, compiled


def test_kernels_are_compiled_once_machine_code_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "none"))
    assert not compiled()
    (tmp_path / "features_1").mkdir()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert not compiled()
    (tmp_path / "features_1" / "fold.nbc").touch()
    assert compiled()


@pytest.mark.parametrize(
    ("terminal", "compiles", "code", "told"),
    [
        (True, True, False, True),
        (True, True, True, False),
        (True, False, False, False),
        (False, True, False, False),
    ],
)
def test_a_command_that_needs_them_says_on_a_terminal_that_it_waits_for_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
    compiles: bool,
    code: bool,
    told: bool,
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TTY_COMPATIBLE", str(int(terminal)))
    monkeypatch.setenv("COLUMNS", "200")
    if code:
        (tmp_path / "fold.nbc").touch()
    with progress(compiles=compiles):
        pass
    assert (COMPILING in capsys.readouterr().err) == told
