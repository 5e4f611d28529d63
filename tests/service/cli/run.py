"""Running the command line within a test."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Cocok:
    """`cocok` with a home of its own."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._capsys = capsys
        monkeypatch.chdir(home.parent)
        for name in [name for name in os.environ if name.startswith("COCOK_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("COCOK_HOME", str(home))

    def __call__(self, *arguments: object) -> Ran:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = self._capsys.readouterr()
        code = left.value.code
        assert code is None or isinstance(code, int)
        return Ran(code or 0, out, err)
