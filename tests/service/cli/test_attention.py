"""`cocok attention`."""

import json
from pathlib import Path

import pytest

from tests.log import written_at
from tests.service.cli.run import Cocok


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Eighty workers with a list each, and a pair at the top: sixty opened the upper task, thirty the lower one."""
    events = []
    for number in range(80):
        items = [{"task_id": f"t{place}", "position": place, "propensity": 0.5} for place in (1, 2)]
        fed = {"worker_id": f"w{number}", "feed_id": f"f{number}"}
        events.append({"type": "feed_served", **fed, "items": items, "policy": "swapped"})
        seen = [place for place, times in ((1, 60), (2, 30)) if number < times]
        events += [{"type": "task_viewed", **fed, "task_id": f"t{place}"} for place in seen]
    lines = [{"event_id": f"e{place}", "at": written_at(place / 100), **event} for place, event in enumerate(events)]
    file = tmp_path / "log.ndjson"
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def test_given_swaps_then_attention_is_told_with_its_interval(cocok: Cocok, log: Path) -> None:
    cocok("import", log)
    ran = cocok("attention", "--json")
    assert ran.code == 0
    first, second = ran.json()["positions"]
    assert (first["position"], first["attention"]) == (1, 1)
    assert (second["position"], second["lists"], second["attention"]) == (2, 80, pytest.approx(0.5))
    assert 0 < second["low"] < 0.5 < second["high"] < 1
    printed = cocok("attention").out.splitlines()
    assert printed[0].split() == ["position", "lists", "of", "the", "position", "before", "attention"]
    assert printed[2].split()[:3] == ["2", "80", "0.500"]


def test_given_no_swaps_then_it_is_said_what_to_do(cocok: Cocok, log: Path) -> None:
    cocok("import", log)
    ran = cocok("attention", "--until", written_at(-1))
    assert ran.code == 1
    assert "set COCOK_SWAP_SHARE" in ran.err
