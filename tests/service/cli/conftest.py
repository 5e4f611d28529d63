from pathlib import Path

import pytest

from tests.service.cli.run import Cocok


@pytest.fixture
def cocok(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cocok:
    # Test runners set it for their own output; tables would wrap in the middle of what a test looks for.
    monkeypatch.delenv("COLUMNS", raising=False)
    return Cocok(tmp_path / "home", capsys, monkeypatch)
