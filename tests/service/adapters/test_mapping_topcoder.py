"""The mapping of a public data set, compared with the script beside it, where `COCOK_TOPCODER` names their folder."""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from features.events import encode_event
from service.adapters import find_format

GIVEN = os.environ.get("COCOK_TOPCODER", "")
MAPPING = Path(__file__).parents[3] / "docs" / "formats" / "topcoder.toml"


def test_the_mapping_has_at_most_60_lines_and_is_sound() -> None:
    assert len(MAPPING.read_text().splitlines()) <= 60
    assert find_format(str(MAPPING)).files == ("tasks.csv", "interactions.csv")


@pytest.mark.skipif(not GIVEN, reason="COCOK_TOPCODER names no folder")
def test_it_gives_the_tasks_outcomes_and_lists_of_the_script(tmp_path: Path) -> None:
    script = Path(GIVEN) / "to_events.py"
    subprocess.run([sys.executable, script, "--out", tmp_path], check=True, capture_output=True)
    theirs = [json.loads(line) for line in (tmp_path / "events.ndjson").read_text().splitlines()]
    files = [Path(GIVEN) / "tasks.csv", Path(GIVEN) / "interactions.csv"]
    ours = [json.loads(encode_event(event)) for _, _, event in find_format(str(MAPPING)).read(files, lambda _: None)]  # type: ignore[arg-type]

    assert Counter(filter(None, map(plain, theirs))) == Counter(filter(None, map(plain, ours)))

    # Both draw the instant of a list within the life of a task that was taken, so only their kind can agree.
    lists, drawn = ([event for event in events if event["type"] == "feed_served"] for events in (ours, theirs))
    assert len(lists) == pytest.approx(len(drawn), rel=0.02)
    posted = [event["task_id"] for event in ours if event["type"] == "task_posted"]  # one an hour
    taken = {(event["worker_id"], event["task_id"]) for event in ours if event["type"] == "assignment_accepted"}
    for event in lists:
        tasks = {item["task_id"] for item in event["items"]}
        hour = int(at(event))
        assert tasks == set(posted[max(0, hour - 30) : hour + 1])
        assert any((event["worker_id"], task) in taken for task in tasks)


def plain(event: dict[str, Any]) -> str:
    """What an event says, its name left out; of lists nothing."""
    if event["type"] == "feed_served":
        return ""
    found = {name: value for name, value in event.items() if name not in ("event_id", "slots")}
    if reward := found.get("reward"):
        found["reward"] = float(reward["amount"])
    if "title" in found:  # as exports write them, with blanks around and names twice
        found["title"] = found["title"].strip()
        found["skills"] = list(dict.fromkeys(found["skills"]))
    found["at"] = at(event)
    return json.dumps(found, sort_keys=True)


def at(event: dict[str, Any]) -> float:
    return (datetime.fromisoformat(event["at"]) - datetime.fromisoformat("2015-01-01T00:00:00Z")).total_seconds() / 3600
