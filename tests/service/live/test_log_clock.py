"""With the log's clock, the server answers as `cocok rank` does for the instant just after the last event."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from features.events import Event, decode_event, instant, micros
from tests.market import Record, market, usual_bundle, write
from tests.service.cli.test_model_commands import run
from tests.service.live.server import fill, posted, promoted, serving_process
from training.registry import Registry

FIGURES = ("task_id", "score", "expected_hourly", "expected_minutes", "p_accept", "p_approve")
GIVEN = os.environ.get("COCOK_TOPCODER", "")


def answered_alike(home: Path, last: int, requests: Sequence[Record]) -> tuple[int, set[str]]:
    """Ask the server and the command for the same rankings; return how many items both gave, and all reasons against.

    Args:
        home: with a log and a champion.
        last: ``known_at`` of the last event, microseconds since 1970.
        requests: workers and candidates.
    """
    at = instant(last + 1).isoformat()
    lines = [{"request_id": str(number), "at": at, **request} for number, request in enumerate(requests)]
    asked, ranked = write(home / "requests.ndjson", lines), home / "ranked.ndjson"
    run(home, "rank", "--requests", asked, "--out", ranked)
    offline = [json.loads(line) for line in ranked.read_text().splitlines()]
    assert len(offline) == len(requests)
    with serving_process(home, "--clock", "log") as server:
        online = [posted(server, "/v1/rankings", {**request, "record": False}) for request in requests]
    for here, there in zip(online, offline, strict=True):
        assert [figures(item) for item in here["items"]] == [figures(item) for item in there["items"]]
        assert here["removed"] == there["removed"]
    reasons = {reason for answer in offline for removed in answer["removed"] for reason in removed["reasons"]}
    return sum(len(answer["items"]) for answer in offline), reasons


def figures(item: dict[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in FIGURES}


def test_given_a_simulated_log_then_server_and_command_rank_alike(tmp_path: Path) -> None:
    home, events = tmp_path / "home", [decode_event(json.dumps(event).encode()) for event in market(days=20)]
    fill(home, events)
    promoted(home, usual_bundle())
    last = max(micros(event.at) for event in events)
    # Open, closed and unknown ones; of workers some with work in hand, and a newcomer.
    candidates = [f"t{number}" for number in range(120, 210)]
    workers = [f"w{number}" for number in range(12)] + ["stranger"]
    found, reasons = answered_alike(home, last, [{"worker_id": worker, "candidates": candidates} for worker in workers])
    assert found >= 13 * 15
    assert reasons >= {"unknown_task", "expired", "already_taken"}
    print(f"{found} items in {len(workers)} rankings")


@pytest.mark.skipif(not GIVEN, reason="COCOK_TOPCODER names no folder")
def test_given_a_real_log_cut_at_an_instant_then_server_and_command_rank_alike(tmp_path: Path) -> None:
    script = Path(GIVEN) / "to_events.py"
    subprocess.run([sys.executable, script, "--out", tmp_path], check=True, capture_output=True)
    cut = json.loads((tmp_path / "requests.ndjson").read_text().partition("\n")[0])["at"]
    home = tmp_path / "home"
    events = cut_before(tmp_path / "events.ndjson", cut)
    assert run(home, "import", write(tmp_path / "cut.ndjson", events))["refused"] == []
    run(home, "train", "--until", cut)
    Registry.at(home).promote(1)
    decoded: list[Event] = [decode_event(json.dumps(event).encode()) for event in events]
    candidates = sorted({event["task_id"] for event in events if event["type"] == "task_posted"})[-400:]
    workers = list(dict.fromkeys(event["worker_id"] for event in reversed(events) if "worker_id" in event))[:10]
    requests = [{"worker_id": worker, "candidates": candidates} for worker in workers]
    found, _ = answered_alike(home, max(micros(event.at) for event in decoded), requests)
    assert found > 0
    print(f"{found} items in {len(workers)} rankings")


def cut_before(path: Path, cut: str) -> list[Record]:
    """Return the events of a file that happened before an instant."""
    with path.open() as lines:
        return [event for event in map(json.loads, lines) if event["at"] < cut]
