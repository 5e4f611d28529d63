"""A server whose old lists are moved to files beside it."""

import logging
import sys
from pathlib import Path

import pytest

from service import background_jobs
from service.store import SqliteStore
from tests.service.api.server import serving, task
from tests.service.live.server import until


def test_a_server_has_old_lists_moved_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    says = (
        "import os, sys; open({0!r} + '~', 'w').write(sys.argv[1] + ' ' + os.environ['COCOK_HOME'] + ' '"
        " + os.environ['COCOK_ARCHIVE_LISTS_AFTER_DAYS']); os.rename({0!r} + '~', {0!r})"
    ).format(str(told))
    monkeypatch.setattr(background_jobs, "_COMMAND", (sys.executable, "-c", says))
    home = tmp_path / "home"
    with serving(home, archive_lists_after_days=30.5):
        assert until(lambda: told.exists() and told.read_text(), seconds=30) == f"archive {home} 30.5"
    told.unlink()
    with serving(home) as api:
        api.events(task("t1"))
    assert not told.exists()


def test_a_server_outlives_a_move_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        background_jobs, "_COMMAND", (sys.executable, "-c", "import sys; sys.exit('error: the disk is full')")
    )
    with caplog.at_level(logging.WARNING), serving(tmp_path, archive_lists_after_days=30) as api:
        until(lambda: "old lists were not moved to files: the disk is full" in caplog.text, seconds=30)
        assert api.get("/readyz").status_code == 200


def test_lists_move_under_a_server_and_are_forgotten_with_their_worker(tmp_path: Path) -> None:
    other = SqliteStore(tmp_path / "cocok.db")
    with serving(tmp_path) as api:
        api.events(task("t1"), task("t2"))
        for _ in range(5):
            api.feed(worker_id="ana-zq")
        assert other.archive(2**62).lists == 4
        api.feed(worker_id="ana-zq")
        assert api.get("/v1/workers/ana-zq").json()["history"] is not None
        assert api.delete("/v1/workers/ana-zq").status_code == 204
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert len([file for file in files if file.suffix == ".parquet"]) == 1
        assert not any(b"ana-zq" in file.read_bytes() for file in files)
        api.feed()
    assert other.archived() == 4
    with serving(tmp_path) as api:
        assert api.get("/readyz").status_code == 200
        assert {item["task_id"] for item in api.feed()["items"]} == {"t1", "t2"}
