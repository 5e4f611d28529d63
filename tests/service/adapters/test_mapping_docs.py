"""The worked example of the documentation works."""

import re
import textwrap
from pathlib import Path

from tests.service.adapters.mapped import Export

PAGE = Path(__file__).parents[3] / "docs" / "formats" / "mapping.md"
FILE = re.compile(r"^`([\w.]+)`:\n\n((?:    .*\n|\n)+)", re.MULTILINE)


def test_given_the_files_of_the_worked_example_then_its_mapping_turns_them_into_events(tmp_path: Path) -> None:
    export = Export(tmp_path)
    files = {name: textwrap.dedent(text).strip() + "\n" for name, text in FILE.findall(PAGE.read_text())}
    mapping = files.pop("jakarta.toml")
    for name, text in files.items():
        export.write(name, text)
    events = {event["event_id"]: event for event in export.read(mapping)}
    assert len(files) == 3
    done = ["taken-1", "done-1", "paid-1", "taken-2", "taken-3", "done-3", "refused-3"]
    assert list(events) == ["task-A1", "task-A2", "list-d1", *done]
    first = events["task-A1"]
    assert first["at"] == "2026-09-01T01:00:00Z"
    assert first["reward"] == {"amount": "15000", "currency": "IDR"}
    assert (first["skills"], first["estimated_minutes"], first["slots"]) == (["mengetik", "ejaan"], 30, 3)
    assert [events[name]["work_seconds"] for name in ("done-1", "done-3")] == [1440, 570]
    assert events["task-A2"]["countries"] == ["ID", "MY"]
    assert [item["task_id"] for item in events["list-d1"]["items"]] == ["A1", "A2"]
