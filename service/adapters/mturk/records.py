"""What the files hold: API responses, notification messages and results files taken apart into records."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from features.errors import EventError
from service.adapters import Found
from service.adapters.derived import Record
from service.adapters.payloads import Fields, decode_json, read_bytes, read_documents
from service.log_files import Advance

CSV_FILES = ("*.csv", "*.csv.gz")
_COLUMNS = ("HITId", "AssignmentId", "WorkerId", "AssignmentStatus")


# Answers of workers may be of any length.
csv.field_size_limit(2**31 - 1)
Kind = Literal["hits", "types", "assignments", "qualifications", "notices"]


@dataclass
class Records:
    """The records of all files, each kind in the order in which it was found.

    Attributes:
        hits: HITs of API responses.
        types: HIT types, by id.
        assignments: assignments of API responses.
        qualifications: qualifications of workers.
        notices: events of notification messages.
        rows: rows of results files: each a HIT and an assignment in one.
        requesters: customer ids that notification messages bear.
    """

    hits: list[Record] = field(default_factory=list)
    types: dict[str, Record] = field(default_factory=dict)
    assignments: list[Record] = field(default_factory=list)
    qualifications: list[Record] = field(default_factory=list)
    notices: list[Record] = field(default_factory=list)
    rows: list[Record] = field(default_factory=list)
    requesters: set[str] = field(default_factory=set)

    def add(self, kind: Kind, record: Record) -> None:
        """Keep a record of an API response or a message; ``kind`` is the attribute's name."""
        if kind == "hits":
            record.fields.need("HITId")
        if kind == "types":
            self.types[record.fields.need("HITTypeId")] = record
        else:
            getattr(self, kind).append(record)


def collect(files: Sequence[Path], advance: Advance, into: Records) -> Iterator[Found]:
    """Fill ``into`` from all files, yielding what is refused on the way."""
    for file in files:
        rows = file.name.removesuffix(".gz").endswith(".csv")
        for line, found in _rows(file) if rows else read_documents(file):
            try:
                if isinstance(found, EventError):
                    raise found
                if rows:
                    row = Fields(found)
                    row.need("HITId")
                    into.rows.append(Record(file, line, row))
                else:
                    _take(found, "", file, line, into)
            except EventError as error:
                yield file, line, error
        advance(file.stat().st_size)


def _rows(file: Path) -> Iterator[tuple[int, Any]]:
    """Yield the rows with their number, from 1 after the header; empty cells are left out."""
    try:
        # A byte that is no UTF-8 spoils its row alone.
        text = read_bytes(file).decode(errors="surrogateescape")
    except EventError as error:
        yield 1, error
        return
    rows = csv.reader(io.StringIO(text, newline=""))
    number = 0
    try:
        header = next(rows, [])
        if missing := [name for name in _COLUMNS if name not in header]:
            yield 1, EventError("no such column; a results file of the requester site has it", missing[0])
            return
        for number, row in enumerate(rows, start=1):
            if any("\udc80" <= letter <= "\udcff" for cell in row for letter in cell):
                yield number, EventError("the text is not valid UTF-8; save the file as UTF-8")
            elif row:
                yield number, {name: cell for name, cell in zip(header, row, strict=False) if cell.strip()}
    except csv.Error as error:
        yield number + 1, EventError(f"not valid CSV: {error}; the file is not read further")


def _take(body: object, path: str, file: Path, line: int, into: Records) -> None:
    """Sort a payload in: a list, a response that wraps objects, or an object by itself."""
    if isinstance(body, list):
        for place, item in enumerate(body):
            _take(item, f"{path}[{place}]", file, line, into)
        return
    fields = Fields(body, path)
    if (wrapped := [name for name in _WRAPPERS if name in fields]) and "HITId" not in fields:
        if "Events" in fields and (requester := fields.text("CustomerId")):
            into.requesters.add(requester)
        for name in wrapped:
            items = fields.objects(name) if name.endswith("s") else [fields.object(name)]
            for item in items:
                if item is not None:
                    into.add(_WRAPPERS[name], Record(file, line, item))
        return
    if "Message" in fields:  # Amazon SNS wraps the message as text
        message = decode_json(fields.need("Message"))
        if isinstance(message, EventError):
            raise fields.error("Message", message.reason)
        _take(message, fields.where("Message"), file, line, into)
        return
    record = Record(file, line, fields)
    for keys, kind in _BARE:
        if all(key in fields for key in keys):
            into.add(kind, record)
            return
    raise EventError(
        f"neither a response of the API nor one of its objects; known: {', '.join(_WRAPPERS)}", path or "$"
    )


_WRAPPERS: dict[str, Kind] = {
    "HIT": "hits",
    "HITs": "hits",
    "HITType": "types",
    "HITTypes": "types",
    "Assignment": "assignments",
    "Assignments": "assignments",
    "Qualification": "qualifications",
    "Qualifications": "qualifications",
    "Events": "notices",
}
_BARE: tuple[tuple[tuple[str, ...], Kind], ...] = (
    (("EventType",), "notices"),
    (("AssignmentId",), "assignments"),
    (("QualificationTypeId", "WorkerId"), "qualifications"),
    (("HITId",), "hits"),
    (("HITTypeId",), "types"),
)
