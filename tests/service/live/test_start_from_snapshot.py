"""A server that starts from a snapshot answers as one that folded the log; and it takes snapshots by itself."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from service import background_jobs, runtime
from tests.market import usual, usual_bundle
from tests.service.api.server import serving, task
from tests.service.live.server import Served, ending_now, fill, posted, promoted, serving_process, until

BEGUN_FROM = "cocok_snapshot_seq"


def answers(client: Served) -> list[Any]:
    """What a client is told, without what differs from call to call."""
    found = []
    for worker in ("w1", "w2", "w3", "nobody"):
        asked = {"worker_id": worker, "limit": 20, "record": False, "explain": True}
        feed = posted(client, "/v1/feeds", asked)
        found.append({name: value for name, value in feed.items() if name not in ("feed_id", "cursor")})
        found.append(client.get(f"/v1/workers/{worker}").json().get("history"))
    return found


def begun_from(client: Any) -> float:
    (line,) = (line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{BEGUN_FROM} "))
    return float(line.split()[1])


def test_a_server_from_a_snapshot_answers_as_one_from_the_log(tmp_path: Path) -> None:
    home = tmp_path / "home"
    log = ending_now(usual()[0])
    fill(home, log[:-200])
    promoted(home, usual_bundle())
    command = [sys.executable, "-c", "from service.cli import main; main()", "snapshot"]
    taken = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=True)
    assert f"{len(log) - 200:,}" in taken.stdout
    fill(home, log[-200:])
    with serving_process(home, "--clock", "log") as client:
        assert begun_from(client) == len(log) - 200
        told = answers(client)
    for file in (home / "snapshots").glob("*.snapshot"):
        file.unlink()
    with serving_process(home, "--clock", "log") as client:
        assert begun_from(client) == 0
        assert answers(client) == told
    assert any(feed["items"] for feed in told[::2])


def environment(home: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("COCOK_")}
    return {**own, "COCOK_HOME": str(home)}


def test_a_server_takes_snapshots_by_itself_and_again_after_an_erasure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "ENOUGH_EVENTS", 3)
    folder = tmp_path / "snapshots"

    def found() -> list[str]:
        return [file.name for file in sorted(folder.glob("*.snapshot"))]

    with serving(tmp_path, snapshot_minutes=0.01) as api:
        api.events(task("t1"), task("t2"))
        assert api.put("/v1/workers/ana", json={"skills": ["python"]}).status_code == 200
        until(lambda: found() == ["000000000003.snapshot"], seconds=60)
        api.events(task("t3"))
        assert api.delete("/v1/workers/ana").status_code == 204
        assert all(b"ana" not in file.read_bytes() for file in folder.iterdir())
        until(lambda: found() == ["000000000005.snapshot"], seconds=60)
    with serving(tmp_path, snapshot_minutes=0) as api:
        assert begun_from(api) == 5
        assert {item["task_id"] for item in api.feed()["items"]} == {"t1", "t2", "t3"}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ((sys.executable, "-c", "import sys; sys.exit('error: the disk is full')"), "the disk is full"),
        ((sys.executable, "-c", "raise ValueError('a name')"), "exit code 1"),
        (("no-such-command",), "No such file or directory"),
    ],
)
def test_a_server_outlives_snapshots_that_fail(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    command: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.setattr(runtime, "ENOUGH_EVENTS", 1)
    monkeypatch.setattr(background_jobs, "_COMMAND", command)
    with caplog.at_level(logging.WARNING), serving(tmp_path, snapshot_minutes=0.001) as api:
        api.events(task("t1"))
        until(lambda: f"no snapshot was taken: {reason}" in caplog.text, seconds=30)
        assert [item["task_id"] for item in api.feed()["items"]] == ["t1"]
        assert api.get("/readyz").status_code == 200
    assert "a name" not in caplog.text


def test_none_are_taken_if_they_are_switched_off_or_the_log_has_hardly_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []

    async def taking(settings: object) -> bool:
        taken.append(settings)
        (tmp_path / "snapshots").mkdir()
        (tmp_path / "snapshots" / "000000000002.snapshot").touch()
        return True

    monkeypatch.setattr(runtime, "take_snapshot", taking)
    monkeypatch.setattr(runtime, "ENOUGH_EVENTS", 2)
    with serving(tmp_path, snapshot_minutes=0.0002) as api:
        api.events(task("t1"))
        api.feed(record=False)
        assert taken == []
        api.events(task("t2"))
        until(lambda: taken, seconds=10)
        api.events(task("t3"))
        time.sleep(0.2)
        assert len(taken) == 1
    monkeypatch.setattr(runtime, "ENOUGH_EVENTS", 0)
    with serving(tmp_path, snapshot_minutes=0):
        pass
    assert len(taken) == 1


def test_a_snapshot_under_way_ends_with_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tmp_path / "begun"
    waits = (
        "import os, time; time.sleep(0.5);"
        f"open({str(begun)!r}, 'w').write(f'{{os.getpid()}} {{os.getpriority(0, 0)}}'); time.sleep(600)"
    )
    monkeypatch.setattr(runtime, "ENOUGH_EVENTS", 1)
    monkeypatch.setattr(background_jobs, "_COMMAND", (sys.executable, "-c", waits))
    with serving(tmp_path, snapshot_minutes=0.001) as api:
        api.events(task("t1"))
        process, priority = until(lambda: begun.exists() and begun.read_text().split(), seconds=30)
    assert priority == "19"
    assert not Path(f"/proc/{process}").exists()
