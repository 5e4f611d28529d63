"""Metrics that processes of one server share."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from service import shared_metrics
from service.shared_metrics import FOLDER, KINDS, ROOM, reserve, shared_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there room is taken ahead")

COUNTS = """
from service.shared_metrics import reserve
assert reserve() == ""
from service.telemetry import Metrics
metrics = Metrics()
metrics.requests.labels("GET", "/r", 200).inc()
metrics.seconds.labels("/r").observe(1)
metrics.serves("7")
metrics.seq.set(1)
print(metrics.render().body.decode())
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # So that it is taken back after the test.
    monkeypatch.setenv(FOLDER, "")
    return tmp_path


def test_given_a_process_that_counts_then_its_files_are_those_that_have_their_room() -> None:
    with shared_folder():
        folder = Path(os.environ[FOLDER])
        ran = subprocess.run([sys.executable, "-c", COUNTS], capture_output=True, text=True, check=True)
        files = sorted(folder.glob("*.db"))
    assert 'cocok_http_requests_total{method="GET",route="/r",status="200"} 1.0' in ran.stdout
    assert [file.stem.rpartition("_")[0] for file in files] == sorted(KINDS)
    assert not folder.exists()


def test_given_room_then_it_is_taken_whole_and_without_it_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with shared_folder():
        folder = Path(os.environ[FOLDER])
        assert reserve() == ""
        taken = [file.stat() for file in folder.glob("*.db")]
        assert [file.st_size for file in taken] == [ROOM] * len(KINDS)
        assert all(file.st_blocks * 512 >= ROOM for file in taken)

        def full(*_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(shared_metrics.os, "posix_fallocate", full)
        assert reserve() == f"{folder}: No space left on device"
        assert not list(folder.glob("*.db"))
        assert FOLDER not in os.environ


def test_given_folders_of_other_servers_then_those_go_that_nobody_uses(temporary: Path) -> None:
    left = temporary / "cocok-metrics-left"
    left.mkdir()
    (left / "in-use.lock").touch()
    (temporary / "cocok-metrics-new").mkdir()
    with shared_folder():
        used = Path(os.environ[FOLDER])
        assert not left.exists()
        with shared_folder():
            assert used.exists()
            assert len(list(temporary.glob("cocok-metrics-*"))) == 3
