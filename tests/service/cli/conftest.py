from pathlib import Path

import pytest

from tests.service.cli.run import Cocok


@pytest.fixture
def cocok(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cocok:
    return Cocok(tmp_path / "home", capsys, monkeypatch)
