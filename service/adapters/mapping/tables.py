"""Rows of CSV, NDJSON and Parquet files, read one after the other and cleaned."""

import csv
import gzip
import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from io import TextIOWrapper
from itertools import count
from pathlib import Path
from typing import Any, cast

import msgspec

from features.errors import CocokError, EventError
from service.adapters.mapping.columns import Row, Scope
from service.adapters.mapping.shape import Source
from service.log_files import Advance, read_lines
from service.parquet_rows import ROWS, read_rows

Cells = Iterator[tuple[int, dict[str, Any] | EventError]]
_CUT = "from this row on the file is not read"
_LONGEST = 1 << 24
"""Most characters of a cell; more are a quote that nothing closes."""
_UNDECODED = re.compile("[\udc80-\udcff]")
_FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}


class Table:
    """The files of a source."""

    def __init__(self, source: Source, scope: Scope, files: Sequence[Path]) -> None:
        """Choose from ``files`` those whose names fit.

        Raises:
            CocokError: the format of one cannot be told.
        """
        self.source = source
        self.scope = scope
        self.files = [file for file in files if any(fnmatchcase(file.name, pattern) for pattern in source.files)]
        self._formats = {file: source.format or _format(file) for file in self.files}

    def rows(self, advance: Advance) -> Iterator[Row | tuple[Path, int, EventError]]:
        """Yield the rows of all files, and what cannot be read in place of a row.

        Raises:
            CocokError: a file lacks a column that the mapping names.
        """
        for file in self.files:
            read = {"csv": self._csv, "ndjson": self._ndjson, "parquet": self._parquet}[self._formats[file]]
            for number, cells in read(file, advance):
                if isinstance(cells, EventError):
                    yield file, number, cells
                else:
                    yield Row(file, number, self._cleaned(cells))

    def _cleaned(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, raw in cells.items() if (value := self._value(raw)) is not None}

    def _value(self, raw: Any) -> Any:
        if isinstance(raw, str):
            text = raw.strip()
            return None if not text or text in self.source.missing else text
        if isinstance(raw, float) and math.isnan(raw):
            return None
        if isinstance(raw, dict):
            return self._cleaned(raw)
        if isinstance(raw, list):
            return [value for inner in raw if (value := self._value(inner)) is not None]
        return raw

    def _check(self, file: Path, there: Sequence[str]) -> None:
        """Compare the columns of a file with those that the mapping names.

        Raises:
            CocokError: one is missing, or one is there twice.
        """
        known = set(there)
        if len(known) != len(there):
            twice = next(name for name in there if there.count(name) > 1)
            raise CocokError(f"{file}: the column `{twice}` is there twice; rename one of them")
        for name, path in self.scope.used.items():
            # What looks like a path may be one into an object.
            if name not in known and name.split(".")[0] not in known and name not in self.source.optional:
                columns = ", ".join(there) or "none"
                raise CocokError(
                    f"{file}: has no column `{name}`, which {path} of the mapping names; its columns are {columns};"
                    f" a column that may be absent belongs in `optional` of the source `{self.source.name}`"
                )

    def _csv(self, file: Path, advance: Advance) -> Cells:
        number = 0
        delimiter = (
            "\t" if file.name.endswith((".tsv", ".tsv.gz")) and self.source.delimiter == "," else self.source.delimiter
        )
        undecoded = f"is not valid {self.source.encoding}; set `encoding` of the source `{self.source.name}`"
        try:
            with file.open("rb") as raw, cast(Any, gzip.open(raw) if file.suffix == ".gz" else raw) as stream:
                # Bytes that mean nothing in the encoding become surrogates, so that their row alone is refused.
                text = TextIOWrapper(stream, self.source.encoding, "surrogateescape", newline="")
                lines = _lines(text, delimiter)
                _, header = next(lines, (0, []))
                if isinstance(header, EventError) or _undecoded(header):
                    reason = header.reason if isinstance(header, EventError) else f"the header {undecoded}"
                    yield 1, EventError(f"{reason}; the file is not read")
                    return
                header = [name.strip() for name in header]
                self._check(file, header)
                told = 0
                for number, cells in lines:
                    if number % 1_000 == 0:
                        here = raw.tell()
                        advance(here - told)
                        told = here
                    if isinstance(cells, EventError):
                        yield number, cells
                    elif _undecoded(cells):
                        yield number, EventError(f"the text {undecoded}")
                    elif len(cells) == len(header):
                        yield number, dict(zip(header, cells, strict=True))
                    elif cells:
                        yield number, EventError(f"has {len(cells)} cells, the header names {len(header)} columns")
        except UnicodeError as error:
            yield number + 1, EventError(f"the text {undecoded} ({getattr(error, 'reason', error)}); {_CUT}")
        except (OSError, EOFError, zlib.error) as error:
            yield number + 1, EventError(f"cannot be read: {error}; {_CUT}")

    def _ndjson(self, file: Path, advance: Advance) -> Cells:
        seen: dict[str, None] = {}
        rows = 0
        for number, line in read_lines(file, advance):
            if isinstance(line, EventError):
                yield number, line
                continue
            try:
                cells = msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                yield number, EventError(f"is no JSON object: {error}")
                continue
            rows += 1
            seen |= dict.fromkeys(cells)
            yield number, cells
        if rows:
            # Lines may lack a key, so only one that none of them has can be wrong.
            self._check(file, list(seen))

    def _parquet(self, file: Path, advance: Advance) -> Cells:
        import pyarrow
        from pyarrow import parquet

        number = 0
        try:
            with parquet.ParquetFile(file) as table:
                self._check(file, table.schema_arrow.names)
                wanted = {name.split(".")[0] for name in self.scope.used} | set(self.scope.used)
                columns = [name for name in table.schema_arrow.names if name in wanted]
                for number, row in read_rows(table.iter_batches(batch_size=ROWS, columns=columns)):
                    yield number, row
            advance(file.stat().st_size)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, OSError, UnicodeDecodeError) as error:
            yield number + 1, EventError(f"cannot be read as Parquet: {str(error).splitlines()[0]}; {_CUT}")


def _lines(text: TextIOWrapper, delimiter: str) -> Iterator[tuple[int, list[str] | EventError]]:
    """Yield the rows of a CSV file, the header being 0, and errors in their place."""
    csv.field_size_limit(_LONGEST)
    lines = csv.reader(text, delimiter=delimiter, strict=True)
    for number in count():
        begin = lines.line_num
        try:
            yield number, next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            # A quote that was left open has swallowed the lines since, whole or cut within one: none can be told apart.
            swallowed = lines.line_num - begin > 1
            yield number, EventError(f"cannot be read as CSV: {error}{f'; {_CUT}' if swallowed else ''}")
            if swallowed:
                return


def _undecoded(cells: Sequence[str]) -> bool:
    text = "".join(cells)
    return not text.isascii() and _UNDECODED.search(text) is not None


def _format(file: Path) -> str:
    name = file.name.removesuffix(".gz")
    found = next((kind for ending, kind in _FORMATS.items() if name.endswith(ending)), None)
    if found is None:
        raise CocokError(
            f"{file}: the name does not say what it holds; set `format` of its source to csv, ndjson or parquet"
        )
    return found
