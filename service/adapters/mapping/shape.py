"""The shape of a mapping file, as it is written in TOML (`docs/formats/mapping.md`); its meaning lives beside it."""

import re
from datetime import datetime
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from features.errors import CocokError

Text = Annotated[str, Meta(min_length=1)]
Unit = Literal["us", "ms", "s", "min", "h", "d"]
Duration = Annotated[str, Meta(pattern=r"^\d+(\.\d+)? ?(us|ms|s|min|h|d)\Z")]
Style = Annotated[str, Meta(pattern=r"^1[^0-9]?234([^0-9]5)?\Z")]
T = TypeVar("T")

_AT = re.compile(r" - at `\$?\.?(?P<path>.*)`$", re.DOTALL)


class MappingError(CocokError):
    """A mapping file that is wrong; the message names the path in the TOML."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Join(_Table, frozen=True, kw_only=True):
    """Rows of another source that belong to a row of this one.

    Attributes:
        name: what this source calls them, as in ``{name.column}``.
        source: where they come from; it is held in memory.
        on: template over this source's columns.
        key: template over the other source's columns; equal texts belong together.
    """

    name: Text
    source: Text
    on: Text
    key: Text


class Source(_Table, frozen=True, kw_only=True):
    """Files that hold one kind of rows.

    Attributes:
        name: what the rest of the mapping calls it.
        files: patterns of the names of its files.
        format: ``None`` = by the ending of the name.
        delimiter: between the cells of a CSV file.
        encoding: of a CSV file; the default skips a byte order mark.
        missing: texts that mean that there is no value, beside the empty one.
        optional: columns that a file may lack.
        joins: rows of other sources that belong to a row.
    """

    name: Text
    files: Annotated[tuple[Text, ...], Meta(min_length=1)]
    format: Literal["csv", "ndjson", "parquet"] | None = None
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    encoding: Text = "utf-8-sig"
    missing: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    joins: tuple[Join, ...] = ()

    def __post_init__(self) -> None:
        try:
            TextIOWrapper(BytesIO(), self.encoding).read()
        except (LookupError, ValueError):
            raise ValueError(f'no encoding is called "{self.encoding}"; name one like utf-8 or cp1252') from None


class Condition(_Table, frozen=True, kw_only=True, rename={"among": "in"}):
    """What must hold for a row: a template over it has a value, or one of these, or none of these, or no value.

    As in requirements, ``not_in`` holds for an absent value. ``known`` are the other values that may occur beside those
    of ``in``: a row with any further one is refused, not silently left out.
    """

    text: Text
    among: tuple[str, ...] | None = None
    known: tuple[str, ...] | None = None
    not_in: tuple[str, ...] | None = None
    empty: bool = False

    def __post_init__(self) -> None:
        if (self.among is not None) + (self.not_in is not None) + self.empty > 1:
            raise ValueError("write one of `in`, `not_in` and `empty`")
        if self.known is not None and self.among is None:
            raise ValueError("`known` belongs to `in`")


class Block(_Table, frozen=True, kw_only=True):
    """One event for each row of a source.

    Attributes:
        source: where the rows come from.
        type: of the event.
        event_id: template; must be unique, and the same at the next export.
        at: value of the instant.
        when: all must hold.
        group: template; rows with equal texts give one event together, with the values of the first.
        latest: whether the values of a group are those of the row with the latest ``at``.
        explode: value of a list; each of its items gives an event.
        fields: the fields of the event, as values.
    """

    source: Text
    type: Text
    event_id: Text
    at: Any
    when: str | Condition | tuple[str | Condition, ...] = ()
    group: Text | None = None
    latest: bool = False
    explode: Any = None
    fields: dict[str, Any]

    def __post_init__(self) -> None:
        if self.latest and self.group is None:
            raise ValueError("`latest` belongs to `group`")

    @property
    def conditions(self) -> tuple[str | Condition, ...]:
        """The conditions, also where there is one."""
        return self.when if isinstance(self.when, tuple) else (self.when,)


class SampledLists(_Table, frozen=True, kw_only=True):
    """Lists for training where the log holds no impressions: a chosen task among others that were open.

    Attributes:
        on: events that are a choice; the first of a worker on a task gives a list.
        size: most tasks in a list, the taken one included.
        moment: when the list is dated: ``taken`` = ``lead`` before the task was taken, ``open`` = at an instant drawn
            from the time between its posting and its taking.
        lead: for ``taken``.
        apart: least time between two lists of a worker; what was taken sooner gives no list.
    """

    on: frozenset[Literal["task_viewed", "task_saved", "assignment_accepted"]] = frozenset({"assignment_accepted"})
    size: Annotated[int, Meta(ge=2, le=1000)] = 30
    moment: Literal["taken", "open"] = "taken"
    lead: Duration = "1min"
    apart: Duration = "0s"


class Mapping(_Table, frozen=True, kw_only=True):
    """A mapping file. Events of one instant keep the order of their blocks; neighbours without groups go row by row."""

    sources: Annotated[tuple[Source, ...], Meta(min_length=1)]
    events: Annotated[tuple[Block, ...], Meta(min_length=1)]
    sampled_lists: SampledLists | None = None
    description: str = ""


class Since(_Table, frozen=True, kw_only=True):
    """Instants counted in a unit from a beginning."""

    since: datetime
    unit: Unit


class Leaf(_Table, frozen=True, kw_only=True):
    """A value: a text from columns, and what becomes of it, in this order.

    Attributes:
        text: template; of several the first that has a value.
        split: what separates the items of a list.
        map: text -> what stands for it; or ``countries`` or ``languages``, the codes of English names.
        unmapped: what to do with a text that ``map`` lacks.
        number: how 1234.5 is written, as in ``1,234.5``; signs of currency beside it are skipped.
        unit: of a duration.
        time: ``iso``, ``unix``, a count since an instant, or a format of ``strptime``.
        zone: IANA name, for times without one.
        plus: a duration to add to an instant, as in ``31h``, or a value with a unit.
        default: constant for an absent value.
    """

    text: str | Annotated[tuple[str, ...], Meta(min_length=1)]
    split: Text | None = None
    map: dict[str, Any] | Literal["countries", "languages"] | None = None
    unmapped: Literal["refuse", "keep", "drop"] = "refuse"
    number: Style | None = None
    unit: Unit | None = None
    time: str | Since | None = None
    zone: str | None = None
    plus: Any = None
    default: Any = None


class Collected(_Table, frozen=True, kw_only=True, rename={"source": "from"}):
    """A list, or with ``key`` a map, with a member for each row or item of ``from``.

    Attributes:
        source: name of a join, ``@group``, or a column that holds a list.
        each: value of a member, over ``@item`` and ``@index`` (from 1).
        key: value of its key.
        order: value that the members are sorted by, numbers before texts.
        where: which rows count.
    """

    source: Text
    each: Any
    key: Any = None
    order: Any = None
    where: str | Condition | None = None


def load(file: Path) -> Mapping:
    """Read a mapping file; what is in its values is checked by whoever compiles them.

    Raises:
        CocokError: the file cannot be read, is no TOML, or has another shape; the message names the path in it.
    """
    try:
        return msgspec.toml.decode(file.read_bytes(), type=Mapping)
    except OSError as error:
        raise CocokError(f"{file}: cannot be read: {error.strerror or error}") from error
    except msgspec.ValidationError as error:
        raise MappingError("", f"{file}: {explained(error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CocokError(f"{file}: no valid TOML: {error}") from error


def part(raw: Any, shape: type[T], path: str) -> T:
    """Read a table of a value.

    Raises:
        MappingError: it has another shape.
    """
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        raise MappingError("", explained(error, path)) from error


def explained(error: msgspec.ValidationError, path: str = "") -> str:
    """Return the message of an error with the path in the TOML before it."""
    message = str(error)
    if at := _AT.search(message):
        message, inner = message[: at.start()], at["path"]
        path = f"{path}.{inner}" if path and inner and not inner.startswith("[") else path + inner
    message = message.replace("Object contains unknown field", "unknown key").replace(
        "Object missing required field", "missing key"
    )
    return f"{path}: {message}" if path else message
