"""Rows and what a mapping may say of them: columns, joined rows, items of lists, and templates over all of these."""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from service.adapters.mapping.shape import MappingError

ROW, ITEM, INDEX, GROUP = "@row", "@item", "@index", "@group"
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


class RefusalError(Exception):
    """A value that cannot be made from a row.

    Attributes:
        reason: what was found and what was expected.
        path: of the value within its field.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""


@dataclass(slots=True)
class Row:
    """A row of a source, or one item within it.

    Attributes:
        file: where it stands.
        number: its place there, from 1.
        cells: column -> value; absent ones are ``None`` or missing.
        item: what ``@item`` means here.
        index: what ``@index`` means here.
        group: the rows of its group, itself included.
    """

    file: Path
    number: int
    cells: Mapping[str, Any]
    item: Any = None
    index: int | None = None
    group: "Sequence[Row]" = ()

    def within(self, item: Any, index: int) -> "Row":
        """Return this row as it is seen from one of its items."""
        return Row(self.file, self.number, self.cells, item, index, self.group)


Get = Callable[[Row], Any]


@dataclass
class Joined:
    """Rows that belong to those of a scope.

    Attributes:
        scope: where they come from.
        on: key of a row of the scope that has the join.
        key: key of a row of the joined one.
        rows: key -> its rows; filled before events are made.
    """

    scope: "Scope"
    on: Get
    key: Get
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def of(self, row: Row) -> list[Row]:
        """Return the rows that belong to ``row``."""
        key = self.on(row)
        return [] if key is None else self.rows.get(as_text(key), [])


@dataclass
class Scope:
    """What can be named in the rows of a source.

    Attributes:
        name: of the source.
        joins: name -> rows of other sources.
        used: column -> path in the mapping where it was first named.
    """

    name: str
    joins: dict[str, Joined] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=lambda: defaultdict(str))


@dataclass(frozen=True)
class View:
    """A scope and, inside a list, what its items are: rows of a scope, or plain values if ``items`` is ``None``."""

    scope: Scope
    inside: bool = False
    items: Scope | None = None


def column(name: str, view: View, path: str) -> Get:
    """Return what reads a column, and note that it is needed.

    Args:
        name: ``column``, ``join.column``, ``object.key``, ``@row``, ``@index``, ``@item`` or ``@item.column``.
        view: where it is read.
        path: of the place in the mapping that names it.

    Raises:
        MappingError: the name means nothing there.
    """
    head, _, rest = name.partition(".")
    if head == ROW and not rest:
        return lambda row: row.number
    if head in (ITEM, INDEX):
        return _of_item(head, rest, view, path)
    if head.startswith("@"):
        raise MappingError(path, f"`{name}` means nothing here; there are {ROW}, {ITEM} and {INDEX}")
    if rest and head in view.scope.joins:
        joined = view.scope.joins[head]
        inner = column(rest, View(joined.scope), path)

        def from_join(row: Row) -> Any:
            other = _only(head, joined, row)
            return None if other is None else inner(other)

        return from_join
    view.scope.used.setdefault(name, path)
    return _path_in_cells(name)


def joined_rows(name: str, scope: Scope) -> tuple[Callable[[Row], Sequence[Row]], Scope] | None:
    """Return what gives the rows of a join, or of a join of a joined row, and their scope; ``None`` if it is none."""
    head, _, rest = name.partition(".")
    joined = scope.joins.get(head)
    if joined is None or not rest:
        return None if joined is None else (joined.of, joined.scope)
    found = joined_rows(rest, joined.scope)
    if found is None:
        return None
    inner, last = found

    def through(row: Row) -> Sequence[Row]:
        other = _only(head, joined, row)
        return () if other is None else inner(other)

    return through, last


def _only(name: str, joined: Joined, row: Row) -> Row | None:
    rows = joined.of(row)
    if len(rows) > 1:
        one, two = rows[:2]
        where = f"rows {one.number} and {two.number} of {two.file.name}"
        raise RefusalError(f"{len(rows)} rows of `{name}` belong to it, such as {where}; only one may")
    return rows[0] if rows else None


def _of_item(head: str, rest: str, view: View, path: str) -> Get:
    if not view.inside:
        raise MappingError(
            path, f"`{head}` has a meaning only in `each`, `key`, `order`, `where` and where rows explode"
        )
    if head == INDEX:
        return lambda row: row.index
    if view.items is not None:
        inner = column(rest, View(view.items), path) if rest else None
        if inner is None:
            raise MappingError(path, f"`{ITEM}` is a row here; name a column, as in {ITEM}.id")
        return lambda row: inner(row.item)
    if not rest:
        return lambda row: row.item
    find = _path(rest)
    return lambda row: find(row.item)


def _path_in_cells(name: str) -> Get:
    find = _path(name)
    return lambda row: find(row.cells)


def _path(name: str) -> Callable[[Any], Any]:
    """Return what finds a column by its name, or inside objects by its dotted path."""
    if "." not in name:
        return lambda value: value.get(name) if isinstance(value, dict) else None
    head, _, rest = name.partition(".")
    inside = _path(rest)

    def find(value: Any) -> Any:
        if not isinstance(value, dict):
            return None
        found = value.get(name)
        return inside(value.get(head)) if found is None else found

    return find


def template(text: str, view: View, path: str) -> tuple[Get, bool]:
    """Return what fills a text in, and whether it is the same for all rows.

    ``{column}`` stands for a value, ``{{`` and ``}}`` for braces. A template that is one column keeps the value as it
    is; otherwise values become text, and if one is absent, so is the whole.

    Raises:
        MappingError: a brace is not closed, or a name means nothing.
    """
    pieces: list[str | Get] = []
    end = 0
    for place in _PLACE.finditer(text):
        pieces.append(text[end : place.start()])
        end = place.end()
        if place[1]:
            pieces.append(column(place[1].strip(), view, path))
        elif len(place[0]) == 2:
            pieces.append(place[0][0])
        else:
            raise MappingError(path, f'"{text}" has an open brace; write {{{{ or }}}} for one that is meant as such')
    pieces = [piece for piece in [*pieces, text[end:]] if piece != ""]
    gets = [piece for piece in pieces if not isinstance(piece, str)]
    if not gets:
        constant = "".join(piece for piece in pieces if isinstance(piece, str))
        return lambda _: constant, True
    if len(pieces) == 1:
        return gets[0], False

    def fill(row: Row) -> str | None:
        parts = []
        for piece in pieces:
            value = piece if isinstance(piece, str) else piece(row)
            if value is None:
                return None
            parts.append(as_text(value))
        return "".join(parts)

    return fill, False


def as_text(value: Any) -> str:
    """Return a value of a cell as text: 12.0 is 12, true is true.

    Raises:
        RefusalError: it is a list or an object.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | dict):
        raise RefusalError(f"found {'a list' if isinstance(value, list) else 'an object'}, expected a text or a number")
    return str(value)
