"""From a mapping to a reader: rows become events, block by block."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from features.errors import CocokError, EventError
from features.events import EVENT_TYPES, decode_event
from service.adapters import Found
from service.adapters.mapping import values
from service.adapters.mapping.columns import Get, Joined, RefusalError, Row, Scope, View, as_text, template
from service.adapters.mapping.sampled import Sampler
from service.adapters.mapping.shape import Block, Mapping, MappingError
from service.adapters.mapping.tables import Table
from service.adapters.mapping.targets import ANY, Target, fields_of
from service.log_files import Advance

_NEVER = datetime.min.replace(tzinfo=UTC)
Broken = tuple[Path, int, EventError]


class Reader:
    """Reads what a mapping describes.

    Args:
        mapping: the mapping as it is written.

    Raises:
        MappingError: something in it cannot be meant; the message names the path in it.
    """

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._scopes = _scopes(mapping)
        if mapping.sampled_lists:
            Sampler(mapping.sampled_lists)  # what is wrong with it is said before anything is read
        self._events = [_Event(block, self._scopes, f"events[{place}]") for place, block in enumerate(mapping.events)]

    def read(self, files: Sequence[Path], advance: Advance) -> Iterator[Found]:
        """Yield the events of files, as `service.adapters.Read` wants it.

        Joined sources and grouped rows are held in memory; all else is read row by row. Blocks with groups are read by
        themselves: row by row, their events would come after those of the blocks that follow.
        """
        tables = {source.name: Table(source, self._scopes[source.name], files) for source in self._mapping.sources}
        told: set[tuple[Path, int]] = set()
        passes = _Passes(advance)
        sampler = Sampler(self._mapping.sampled_lists) if self._mapping.sampled_lists else None

        def rows(name: str) -> Iterator[Row | Broken]:
            for row in tables[name].rows(passes.of(tables[name])):
                if isinstance(row, Row):
                    yield row
                elif row[:2] not in told:  # a source may be read more than once
                    told.add(row[:2])
                    yield row

        for name, scope in self._scopes.items():
            for joined in scope.joins.values():
                if tables[name].files:
                    yield from _fill(joined, tables[joined.scope.name], rows)
        for (name, grouped), blocks in groupby(self._events, lambda event: (event.block.source, event.key is not None)):
            made = _grouped if grouped else _row_by_row
            for file, number, event in made(list(blocks), rows(name)):
                if sampler and not isinstance(event, EventError):
                    sampler.see(event, file, number)
                yield file, number, event
        if sampler:
            yield from sampler.lists()


class _Passes:
    """Tells of progress over the first reading of each file, so that the sum is that of their sizes."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._read: set[Path] = set()

    def of(self, table: Table) -> Advance:
        if not self._read.isdisjoint(table.files):
            return lambda _: None
        self._read.update(table.files)
        return self._advance


def _scopes(mapping: Mapping) -> dict[str, Scope]:
    scopes: dict[str, Scope] = {}
    for place, source in enumerate(mapping.sources):
        if source.name in scopes:
            raise MappingError(f"sources[{place}].name", f'"{source.name}" is the name of two sources')
        scopes[source.name] = Scope(source.name)
    for place, source in enumerate(mapping.sources):
        for number, join in enumerate(source.joins):
            path = f"sources[{place}].joins[{number}]"
            if join.source not in scopes:
                raise MappingError(
                    f"{path}.source", f'no source is called "{join.source}"; there are {", ".join(scopes)}'
                )
            here, there = scopes[source.name], scopes[join.source]
            if join.name in here.joins:
                raise MappingError(f"{path}.name", f'"{join.name}" is the name of two joins')
            on, _ = template(join.on, View(here), f"{path}.on")
            key, _ = template(join.key, View(there), f"{path}.key")
            here.joins[join.name] = Joined(there, on, key)
    return scopes


def _fill(joined: Joined, table: Table, rows: Callable[[str], Iterator[Row | Broken]]) -> Iterator[Broken]:
    if not table.files:
        raise CocokError(
            f"no file fits {', '.join(table.source.files)}: the source `{table.source.name}`, which others join"
        )
    joined.rows.clear()
    for row in rows(joined.scope.name):
        if not isinstance(row, Row):
            yield row
            continue
        try:
            key = joined.key(row)
            text = None if key is None else as_text(key)
        except RefusalError as refusal:
            yield row.file, row.number, EventError(refusal.reason)
            continue
        if text is not None:
            joined.rows.setdefault(text, []).append(row)


def _row_by_row(events: "list[_Event]", rows: Iterator[Row | Broken]) -> Iterator[Found]:
    """Yield the events of neighbouring blocks of one source, those of a row together."""
    for row in rows:
        if not isinstance(row, Row):
            yield row
            continue
        for event in events:
            yield from event.of(row)


def _grouped(events: "list[_Event]", rows: Iterator[Row | Broken]) -> Iterator[Found]:
    """Yield the events of neighbouring blocks of one source that have groups, block by block."""
    groups: list[tuple[_Event, dict[str, list[Row]]]] = [(event, {}) for event in events]
    for row in rows:
        if not isinstance(row, Row):
            yield row
            continue
        for event, groups_of in groups:
            try:
                if event.holds(row) and (key := event.group_of(row)) is not None:
                    groups_of.setdefault(key, []).append(row)
            except RefusalError as refusal:
                yield row.file, row.number, event.refusal(refusal, "$")
    for event, groups_of in groups:
        for rows_of in groups_of.values():
            yield from event.of_group(rows_of)


@dataclass(frozen=True)
class _Field:
    name: str
    get: Get


class _Event:
    """A block of the mapping, ready to make events."""

    def __init__(self, block: Block, scopes: dict[str, Scope], path: str) -> None:
        self.block = block
        self._where = f"{path}, {block.type}"
        if block.source not in scopes:
            raise MappingError(f"{path}.source", f'no source is called "{block.source}"; there are {", ".join(scopes)}')
        if block.type not in EVENT_TYPES:
            raise MappingError(f"{path}.type", f'"{block.type}" is no event; there are {", ".join(EVENT_TYPES)}')
        outer = View(scopes[block.source])
        conditions = [
            values.condition(given, outer, f"{path}.when" + ("" if given is block.when else f"[{number}]"))
            for number, given in enumerate(block.conditions)
        ]
        self.holds: Callable[[Row], bool] = lambda row: all(holds(row) for holds in conditions)
        self.key = None if block.group is None else template(block.group, outer, f"{path}.group")[0]
        self._items = None
        view = outer
        if block.explode is not None:
            exploded = values.compiled(block.explode, Target("list", item=ANY), outer, f"{path}.explode")
            self._items = values.items_of(exploded)
            view = View(outer.scope, inside=True)
        self._at = _Field("at", values.compiled(block.at, Target("time"), view, f"{path}.at"))
        self._fields = [
            _Field("event_id", values.compiled(block.event_id, Target("text"), view, f"{path}.event_id")),
            self._at,
        ]
        known = fields_of(block.type)
        for name, raw in block.fields.items():
            if name not in known:
                raise MappingError(
                    f"{path}.fields.{name}", f"{block.type} has no such field; it has {', '.join(known)}"
                )
            self._fields.append(_Field(name, values.compiled(raw, known[name], view, f"{path}.fields.{name}")))

    def group_of(self, row: Row) -> str | None:
        """Return the group of a row, if it has one."""
        key = self.key(row) if self.key else None
        return None if key is None else as_text(key)

    def of_group(self, rows: Sequence[Row]) -> Iterator[Found]:
        """Yield the events of a group whose rows meet the conditions."""
        row = rows[0]
        if self.block.latest:
            dated: list[tuple[datetime, Row]] = []
            for each in rows:
                try:
                    dated.append((self._at.get(each) or _NEVER, each))
                except RefusalError as refusal:
                    yield each.file, each.number, self.refusal(refusal, "$.at")
            if not dated:
                return
            rows = [each for _, each in dated]
            row = max(dated, key=lambda found: found[0])[1]
        yield from self.of(Row(row.file, row.number, row.cells, group=rows), checked=True)

    def of(self, row: Row, *, checked: bool = False) -> Iterator[Found]:
        """Yield the events of a row, or the refusal of it; ``checked``: the conditions are known to hold."""
        try:
            if not checked and not self.holds(row):
                return
            inner = (
                [row] if self._items is None else [row.within(item, n) for n, item in enumerate(self._items(row), 1)]
            )
        except RefusalError as refusal:
            yield row.file, row.number, self.refusal(refusal, "$")
            return
        for each in inner:
            yield row.file, row.number, self._one(each)

    def _one(self, row: Row) -> Any:
        made: dict[str, Any] = {"type": self.block.type}
        for field in self._fields:
            try:
                value = field.get(row)
            except RefusalError as refusal:
                return self.refusal(refusal, f"$.{field.name}")
            if value is not None:
                made[field.name] = value
        try:
            return decode_event(msgspec.json.encode(made))
        except EventError as error:
            return EventError(f"{error.reason} ({self._where})", error.path)

    def refusal(self, refusal: RefusalError, path: str) -> EventError:
        """Return a refusal as the reader gives it, with the block that it comes from."""
        return EventError(f"{refusal.reason} ({self._where})", f"{path}{refusal.path}")
