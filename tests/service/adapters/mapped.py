"""Small exports and mappings, written and read within a test."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.errors import EventError
from features.events import encode_event
from service.adapters import find_format
from service.log_files import find_files


class Export:
    """A folder with files and a mapping over them.

    Events are read as JSON objects without `event_id` and `type`, refusals as "file row: text".
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def lines(self, name: str, *rows: Mapping[str, Any]) -> Path:
        return self.write(name, "".join(json.dumps(row) + "\n" for row in rows))

    def read(self, mapping: str) -> list[Any]:
        """What a mapping makes of the folder: events as JSON, refusals as text."""
        found = find_format(str(self.write("mapping.toml", mapping)))
        read = []
        for file, row, event in found.read(find_files([self.folder], found.files), lambda _: None):
            if isinstance(event, EventError):
                read.append(f"{file.name} {row}: {event}")
            else:
                read.append(json.loads(encode_event(event)))
        return read


def rows(type_: str, fields: str, *, source: str = "", event: str = "", name: str = "rows.csv") -> str:
    """A mapping of one source, `rows`, to one type of event."""
    return f"""
        [[sources]]
        name = "rows"
        files = ["{name}"]
        {source}
        [[events]]
        source = "rows"
        type = "{type_}"
        {event or 'event_id = "e{@row}"'}
        at = "2026-03-01T12:00:00Z"
        [events.fields]
        {fields}
    """


def task(fields: str, **more: str) -> str:
    """A mapping of rows to postings."""
    return rows("task_posted", f'task_id = "t"\nrequester_id = "r"\n{fields}', **more)


def worker(fields: str, **more: str) -> str:
    """A mapping of rows to profiles."""
    return rows("worker_updated", f'worker_id = "w"\n{fields}', **more)
