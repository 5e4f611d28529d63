"""JSON payloads of other marketplaces: documents in files, and objects whose fields are refused with their path."""

import gzip
import math
import zlib
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from features.errors import EventError

JSON_FILES = ("*.json", "*.json.gz", "*.ndjson", "*.ndjson.gz", "*.jsonl", "*.jsonl.gz")
_BOM = b"\xef\xbb\xbf"


def read_bytes(file: Path) -> bytes:
    """Return the content of a file, unpacked if its name ends in ``.gz``.

    Raises:
        EventError: the file cannot be read or unpacked.
    """
    try:
        data = file.read_bytes()
        return (gzip.decompress(data) if file.suffix == ".gz" else data).removeprefix(_BOM)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise EventError(f"the gzip data is broken ({error}); compress or copy the file again") from error
    except OSError as error:
        raise EventError(f"cannot be read: {error.strerror or error}") from error


def read_documents(file: Path) -> Iterator[tuple[int, Any]]:
    """Yield the JSON documents of a file with the line each begins at: one that fills the file, or one a line.

    What is no JSON comes out as an `EventError` in the place of the document.
    """
    try:
        data = read_bytes(file)
    except EventError as error:
        yield 1, error
        return
    whole = decode_json(data)
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    if isinstance(whole, EventError) and len(lines) > 1 and _is_by_line(file, lines[0][1]):
        yield from ((number, decode_json(line)) for number, line in lines)
    elif lines:
        yield 1, whole


def decode_json(text: bytes | str) -> Any:
    """Return what a JSON text says, or an `EventError` in its place if it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return EventError(f"not valid JSON: {error}")


def _is_by_line(file: Path, first: bytes) -> bool:
    """Tell whether each line is a document; then one that is broken over many lines is one error, not many."""
    by_name = file.name.removesuffix(".gz").endswith((".ndjson", ".jsonl"))
    return by_name or not isinstance(decode_json(first), EventError)


class Fields:
    """An object of a payload. A field that is null counts as absent.

    The methods that take a field raise `EventError` with its path when it is not what it has to be. Values are not
    repeated in the reason unless they come from a closed list: they may name people.

    Attributes:
        body: the object.
        path: where it stands in its document, empty for the document itself.
    """

    __slots__ = ("body", "path")

    def __init__(self, body: object, path: str = "") -> None:
        if not isinstance(body, dict):
            raise EventError(f"found {_kind(body)}, expected an object", path or "$")
        self.body: dict[str, Any] = {name: value for name, value in body.items() if value is not None}
        self.path = path

    def __contains__(self, name: str) -> bool:
        return name in self.body

    def error(self, name: str, reason: str) -> EventError:
        """Return the refusal of a field."""
        return EventError(reason, self.where(name))

    def where(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def only(self, known: Collection[str]) -> None:
        """Refuse fields that are not ``known``: where any of them could change who may take a task."""
        for name in self.body:
            if name not in known:
                raise self.error(name, f"unknown field; known: {', '.join(known)}")

    def text(self, name: str) -> str | None:
        """Return a text, or a number as one; blank is absent."""
        value = self.body.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None and not isinstance(value, str):
            raise self.error(name, f"found {_kind(value)}, expected text")
        return (value or "").strip() or None

    def need(self, name: str) -> str:
        """Return a text that must be there."""
        if (value := self.text(name)) is None:
            raise self.error(name, "missing")
        return value

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """Return a text out of a closed list."""
        value = self.text(name)
        if value is not None and value not in allowed:
            raise self.error(name, f'found "{value[:40]}", allowed: {", ".join(allowed)}')
        return value

    def number(self, name: str, low: float = -math.inf, high: float = math.inf) -> float | None:
        """Return a number, or a text that holds one, within bounds."""
        value = self.body.get(name)
        if isinstance(value, str):
            if not value.strip():
                return None
            try:
                value = float(value)
            except ValueError:
                value = math.nan
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
            raise self.error(name, "expected a number")
        if not low <= value <= high:
            raise self.error(name, f"found {value:g}, expected {low:g} to {high:g}")
        return value

    def integer(self, name: str, low: float = -(2**53), high: float = 2**53) -> int | None:
        """Return a whole number within bounds."""
        value = self.number(name, low, high)
        if value is not None and value != int(value):
            raise self.error(name, f"found {value:g}, expected a whole number")
        return None if value is None else int(value)

    def flag(self, name: str) -> bool:
        """Return a truth value, false where it is absent."""
        value = self.body.get(name, False)
        if not isinstance(value, bool):
            raise self.error(name, f"found {_kind(value)}, expected true or false")
        return value

    def instant(self, name: str, parse: Callable[[str], datetime]) -> datetime | None:
        """Return an instant in UTC: seconds since 1970, or a text that ``parse`` understands."""
        value = self.body.get(name)
        if value is None or value == "":
            return None
        try:
            if isinstance(value, str):
                return parse(value.strip()).astimezone(UTC)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise self.error(name, f"no instant that is understood: {error}") from error
        raise self.error(name, f"found {_kind(value)}, expected an instant")

    def values(self, name: str) -> list[Any]:
        """Return a list, empty where it is absent."""
        value = self.body.get(name, [])
        if not isinstance(value, list):
            raise self.error(name, f"found {_kind(value)}, expected a list")
        return value

    def object(self, name: str) -> "Fields | None":
        """Return a nested object."""
        return Fields(self.body[name], self.where(name)) if name in self.body else None

    def objects(self, name: str) -> "list[Fields]":
        """Return a list of nested objects, empty where it is absent."""
        return [Fields(item, f"{self.where(name)}[{place}]") for place, item in enumerate(self.values(name))]


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond the floats
        return False


def _kind(value: object) -> str:
    names = {bool: "true or false", str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "null")
