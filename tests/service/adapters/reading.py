"""Files of other marketplaces, read in tests."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from features.errors import EventError
from features.events import Event, encode_event
from service.adapters import Found

Read = Callable[[Sequence[Path], Callable[[int], None]], Iterator[Found]]
FIXTURES = Path(__file__).parent / "fixtures"


def found(read: Read, *files: Path) -> tuple[list[Event], list[str]]:
    """Return the events of files in the order of time, and the texts of what was refused."""
    events, refused = [], []
    for _, _, event in read(files, lambda _: None):
        if isinstance(event, EventError):
            refused.append(str(event))
        else:
            events.append(event)
    return sorted(events, key=lambda event: event.at), refused


def plain(event: Event) -> dict[str, Any]:
    """Return an event as it is written in the log."""
    decoded: dict[str, Any] = json.loads(encode_event(event))
    return decoded


def of_type(kind: str, events: list[Event]) -> list[dict[str, Any]]:
    """Return the events of one type as they are written in the log, without id and type."""
    return [
        {name: value for name, value in event.items() if name not in ("type", "event_id")}
        for event in map(plain, events)
        if event["type"] == kind
    ]


def postings(events: list[Event]) -> list[dict[str, Any]]:
    """Return the postings with the facts that come with them as an update, as they are written in the log."""
    found: list[dict[str, Any]] = []
    for posting in of_type("task_posted", events):
        for update in of_type("task_updated", events):
            if (update["task_id"], update["at"]) == (posting["task_id"], posting["at"]):
                posting |= update
        found.append({name: value for name, value in posting.items() if value is not None})
    return found


def written(folder: Path, *documents: object, name: str = "payload.ndjson") -> Path:
    """Write documents to a file, one a line."""
    file = folder / name
    file.write_text("".join(f"{json.dumps(document)}\n" for document in documents))
    return file


def new_of(read: Read, folder: Path, before: list[Any], after: list[Any]) -> list[dict[str, Any]]:
    """What a second import adds to a first."""
    first, refused = found(read, written(folder, *before))
    second, more = found(read, written(folder, *after))
    known = {event.event_id: event for event in first}

    assert refused == more == []
    assert all(known.get(event.event_id, event) == event for event in second), "a conflict"
    return [plain(event) for event in second if event.event_id not in known]
