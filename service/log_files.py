"""Log files: NDJSON, gzipped NDJSON and Parquet, read line by line and written in order."""

import gzip
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
from msgspec import inspect

from features.errors import CocokError, EventError
from features.events import EVENT_TYPES, Event, encode_event
from service.parquet_rows import ROWS, read_rows

SUFFIXES = (".ndjson", ".ndjson.gz", ".parquet")
NULLS = "null_fields"
_NO_ZONE = (
    "without a time zone; write a timestamp in UTC (Spark: outputTimestampType TIMESTAMP_MICROS), or name the zone"
    " in a mapping"
)
_WHAT_ELSE = f"log files end in {', '.join(SUFFIXES)}"
_BOM = b"\xef\xbb\xbf"

Column = Literal["string", "int64", "float64", "bool", "timestamp", "json"]
Line = tuple[int, bytes | EventError]
Advance = Callable[[int], None]


def find_files(paths: Iterable[Path], patterns: Sequence[str]) -> list[Path]:
    """Return the files at ``paths``: files as they are given, folders replaced by the fitting files in order of name.

    Args:
        paths: files and folders.
        patterns: what the names of the files look like, as in ``*.ndjson``.

    Raises:
        CocokError: a path is missing, its name does not fit, or it is a folder without a file that fits.
    """

    def fits(file: Path) -> bool:
        return any(fnmatchcase(file.name, pattern) for pattern in patterns)

    wanted = f"the names of this format are {', '.join(patterns)}"
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and fits(file))
            if not inside:
                raise CocokError(f"{path}: no file of this format in this folder; {wanted}")
            files += inside
        elif not path.exists():
            raise CocokError(f"{path}: no such file or folder")
        elif not fits(path):
            raise CocokError(f"{path}: not a file of this format; {wanted}")
        else:
            files.append(path)
    return files


def read_lines(path: Path, advance: Advance = lambda _: None) -> Iterator[Line]:
    """Yield the lines of a log file, numbered from 1, as JSON that is still to be decoded; blank lines are skipped.

    What cannot be read, a broken archive for instance, comes out as an error in place of the line, and ends the file.

    Args:
        path: one of the formats of `SUFFIXES`.
        advance: told now and then how many bytes of the file were read since it was last told.
    """
    number = 0
    lines = _parquet_lines(path) if path.suffix == ".parquet" else _json_lines(path, advance)
    try:
        for number, line in lines:
            yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield number + 1, EventError(f"the gzip data is broken here ({error}); compress or copy the file again")
        return
    except OSError as error:
        yield number + 1, EventError(f"cannot be read: {error.strerror or error}")
        return


def _json_lines(path: Path, advance: Advance) -> Iterator[Line]:
    with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as stream:
        told = 0
        for number, line in enumerate(stream, start=1):
            if number == 1:
                line = line.removeprefix(_BOM)  # some editors put it there
            if number % 1_000 == 0:
                here = raw.tell()
                advance(here - told)
                told = here
            if not line.isspace():
                yield number, line


def _parquet_lines(path: Path) -> Iterator[Line]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            types = {field.name: field.type for field in file.schema_arrow}
            if len(types) != len(names := file.schema_arrow.names):
                twice = next(name for name in names if names.count(name) > 1)
                yield 1, EventError(f"the column `{twice}` is there twice; rename one of them; the file is not read")
                return
            for number, row in read_rows(file.iter_batches(batch_size=ROWS)):
                yield number, row if isinstance(row, EventError) else _row_to_json(row, types)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, UnicodeDecodeError) as error:
        yield number + 1, EventError(f"cannot be read as Parquet from here on: {str(error).splitlines()[0]}")


def _row_to_json(row: dict[str, Any], types: dict[str, Any]) -> bytes | EventError:
    nulls = row.pop(NULLS, None) or []
    if not isinstance(nulls, list) or not all(isinstance(name, str) for name in nulls):
        return EventError("is no list of names of fields", f"$.{NULLS}")
    fields: dict[str, Any] = dict.fromkeys(nulls)
    for name, value in row.items():
        # A table has no absent cells: null is absent, and so is the NaN by which pandas writes a missing number.
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        kind = columns().get(name)
        if kind == "json":
            try:
                fields[name] = _json(value) if isinstance(value, str) else _plain(value, types[name])
            except (msgspec.DecodeError, UnicodeEncodeError) as error:
                shown = value if len(value) <= 60 else f"{value[:57]}..."
                return EventError(f'found "{shown}", expected JSON text: {error}', f"$.{name}")
        elif kind == "int64" and isinstance(value, float) and value.is_integer():
            fields[name] = int(value)
        elif kind in ("int64", "float64"):
            fields[name] = _plain(value, types[name])
        elif isinstance(value, datetime) and value.tzinfo is None:
            return EventError(f"found {value.isoformat()} {_NO_ZONE}", f"$.{name}")
        else:
            fields[name] = value
    try:
        return msgspec.json.encode(fields)
    except (TypeError, ValueError) as error:
        return EventError(f"the row holds a value that JSON cannot: {error}")


def _json(text: str) -> msgspec.Raw:
    # As it is written, so that no digit is lost, but checked: what is more than one value would become other fields.
    return msgspec.json.decode(text.encode(), type=msgspec.Raw)


def _plain(value: Any, kind: Any) -> Any:
    """Drop the nulls of structs, where they mean absent; those of maps are values. Decimals become numbers."""
    from pyarrow import types

    if value is None:
        return None
    if types.is_struct(kind):
        inside = {field.name: _plain(value[field.name], field.type) for field in kind}
        return {name: item for name, item in inside.items() if item is not None}
    if types.is_map(kind):
        return {name: _plain(item, kind.item_type) for name, item in value.items()}
    if types.is_list(kind) or types.is_large_list(kind):
        return [_plain(item, kind.value_type) for item in value]
    return msgspec.Raw(f"{value:f}".encode()) if isinstance(value, Decimal) else value


def write_events(batches: Iterable[list[Event]], path: Path) -> int:
    """Write events to a log file whose format follows from its name; the file appears only when it is complete.

    Returns:
        The number of events written.

    Raises:
        CocokError: the name has another ending, or the file cannot be written.
    """
    if not path.name.endswith(SUFFIXES):
        raise CocokError(f"{path}: cannot tell the format; {_WHAT_ELSE}")
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as raw:
            if path.suffix == ".parquet":
                count = _write_parquet(batches, raw)
            elif path.suffix == ".gz":
                # Without name and time in its head, equal logs give equal files.
                with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
                    count = write_lines(batches, packed)
            else:
                count = write_lines(batches, raw)
        part.replace(path)
    except OSError as error:
        raise CocokError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def write_lines(batches: Iterable[list[Event]], stream: BinaryIO | gzip.GzipFile) -> int:
    """Write events as newline-delimited JSON and return how many there were."""
    count = 0
    for events in batches:
        stream.write(b"".join(encode_event(event) + b"\n" for event in events))
        count += len(events)
    return count


def _write_parquet(batches: Iterable[list[Event]], stream: BinaryIO) -> int:
    import pyarrow
    from pyarrow import parquet

    arrow = {
        "string": pyarrow.string(),
        "json": pyarrow.string(),
        "int64": pyarrow.int64(),
        "float64": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "timestamp": pyarrow.timestamp("us", tz="UTC"),
    }
    schema = pyarrow.schema(
        [(name, arrow[kind]) for name, kind in columns().items()] + [(NULLS, pyarrow.list_(pyarrow.string()))]
    )
    count = 0
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for events in batches:
            writer.write_table(pyarrow.Table.from_pylist([_event_to_row(event) for event in events], schema))
            count += len(events)
    return count


def _event_to_row(event: Event) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.json.decode(encode_event(event))
    # Only `task_updated` writes null, to clear a field; in a table that must differ from absent.
    nulls = [name for name, value in row.items() if value is None]
    for name in row:
        kind = columns()[name]
        if kind == "timestamp":
            row[name] = getattr(event, name)
        elif kind == "json" and row[name] is not None:
            row[name] = msgspec.json.encode(row[name]).decode()
    return {**row, NULLS: nulls or None}


@cache
def columns() -> dict[str, Column]:
    """Return the columns of a Parquet log in order: the fields of all events, nested ones as JSON text."""
    found: dict[str, Column] = {"event_id": "string", "type": "string", "at": "timestamp"}
    for kind in EVENT_TYPES.values():
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType)  # noqa: S101  # every event is a struct
        for field in info.fields:
            found.setdefault(field.encode_name, _column(field.type))
    return found


def _column(kind: inspect.Type) -> Column:
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    held = [option for option in options if not isinstance(option, inspect.NoneType)]
    names: dict[type[inspect.Type], Column] = {
        inspect.StrType: "string",
        inspect.IntType: "int64",
        inspect.FloatType: "float64",
        inspect.BoolType: "bool",
        inspect.DateTimeType: "timestamp",
    }
    return names.get(type(held[0]), "json") if len(held) == 1 else "json"
