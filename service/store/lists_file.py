"""Lists that were served, in a Parquet file: how they are written, and come back as the events they were.

A column is a field of the event, as in a log that `cocok export` writes, with ``seq`` and ``known_at`` beside them; so
pandas or DuckDB read the files too. A file is one row group: its ids are then told once, by a dictionary.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b, file_digest
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from features.collector import collector_paused
from features.errors import CocokError
from features.events import FeedContext, FeedItem, FeedServed, encode_event, instant
from service.store.base import Stored

if TYPE_CHECKING:
    from pyarrow import Array, RecordBatch, Schema, Table
    from pyarrow.parquet import ParquetFile

AT_ONCE = 2_000
"""Lists that are made at once, of which the objects of Python are held."""

_ITEMS_AT_ONCE = 100_000
_LOG = b"cocok.log"
_DICTIONARY = [
    *("type", "worker_id", "context", "model_version", "policy"),
    *(f"items.list.element.{name}" for name in ("task_id", "position", "propensity")),
]
_ENCODING = {
    **dict.fromkeys(("seq", "known_at", "at", "log_seq"), "DELTA_BINARY_PACKED"),
    "items.list.element.score": "BYTE_STREAM_SPLIT",
}
_DICTIONARY_BYTES = 16 << 20
_context = msgspec.json.Decoder(FeedContext).decode


class Written(NamedTuple):
    """A file of lists.

    Attributes:
        lists: how many it holds.
        size: bytes.
        checksum: SHA-256 of the file.
    """

    lists: int
    size: int
    checksum: bytes


class LostListsError(CocokError):
    """A file of lists is not where it should be.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"the file {path} is not there, which holds old lists of the log; bring it back from a backup,"
            " the rest of the log is as it was"
        )
        self.path = path


def write(path: Path, batches: Iterable[Sequence[Stored]], log: str) -> Written:
    """Write lists to a new file, flush it to the disk, and read it back to see that it holds them.

    Args:
        path: where to; what is there is replaced.
        batches: of events `FeedServed`, in the order of their numbers.
        log: identity of their log.

    Raises:
        CocokError: the file does not give back what was written.
        OSError: it cannot be written.
    """
    said, tables = blake2b(), []
    for rows in batches:
        tables.append(_table(rows))
        _tell(said, rows)
    written = _save(path, tables, log)
    heard = blake2b()
    for rows in read(path):
        _tell(heard, rows)
    if heard.digest() != said.digest():
        raise CocokError(f"{path} does not give back the lists that were written to it; they stay where they are")
    return written


def rewrite(path: Path, to: Path, events: Mapping[int, FeedServed], log: str) -> Written:
    """Write a file anew with other events at some numbers, and all else as it is.

    Args:
        path: the file.
        to: where the other goes; what is there is replaced.
        events: number -> event.
        log: identity of the log.

    Raises:
        ValueError: the file holds another event at a number, or none.
        CocokError: as `read`, or the new file does not give back what was written.
        OSError: it cannot be written.
    """
    import pyarrow

    tables, left = [], set(events)
    with _opened(path) as file:
        for batch in _batches(file):
            table = pyarrow.Table.from_batches([batch])
            order = list(range(len(table)))
            rows: list[Stored] = []
            for place, seq in enumerate(_numbers(batch.column("seq"))):
                if seq in events and batch.column("event_id")[place].as_py() == events[seq].event_id:
                    left.discard(seq)
                    order[place] = len(table) + len(rows)
                    rows.append(Stored(seq, batch.column("known_at")[place].as_py(), events[seq]))
            # Columns are not made into events: that takes ten times as long.
            tables.append(pyarrow.concat_tables([table, _table(rows)]).take(order) if rows else table)
    if left:
        raise ValueError(f"sequence number {min(left)} does not hold the event that is to be rewritten")
    written = _save(to, tables, log)
    with _opened(to) as file:
        if not file.read(use_threads=False).equals(pyarrow.concat_tables(tables)):
            raise CocokError(f"{to} does not give back the lists that were written to it; the old file stays")
    return written


def _save(path: Path, tables: "Sequence[Table]", log: str) -> Written:
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.concat_tables(tables).replace_schema_metadata({_LOG: log})
    with path.open("wb") as file:
        parquet.write_table(
            table,
            file,
            row_group_size=len(table),
            compression="zstd",
            use_dictionary=_DICTIONARY,
            column_encoding=_ENCODING,
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            write_page_checksum=True,
        )
        file.flush()
        os.fsync(file.fileno())
    return Written(len(table), path.stat().st_size, checksum(path))


def read(path: Path, after: int = 0) -> Iterator[list[Stored]]:
    """Yield the lists of a file with larger numbers than ``after``, in order.

    Raises:
        LostListsError: there is no such file.
        CocokError: it is damaged.
    """
    from pyarrow import compute

    with _opened(path) as file:
        for batch in _batches(file):
            if batch.column("seq")[-1].as_py() > after:
                if batch.column("seq")[0].as_py() <= after:
                    batch = batch.filter(compute.greater(batch.column("seq"), after))
                yield _rows(batch)


def of_workers(path: Path, worker_ids: Collection[str]) -> Iterator[Stored]:
    """Yield the lists of some workers in order; only what names them is looked at.

    Raises:
        CocokError: as `read`.
    """
    import pyarrow
    from pyarrow import compute

    wanted = pyarrow.array(sorted(worker_ids), pyarrow.string())
    with _opened(path) as file:
        named = file.read(columns=["worker_id"], use_threads=False).column("worker_id")
        if not compute.any(compute.is_in(named, wanted)).as_py():
            return
        for batch in _batches(file):
            yield from _rows(batch.filter(compute.is_in(batch.column("worker_id"), wanted)))


def checksum(path: Path) -> bytes:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()


def log_of(path: Path) -> str:
    """Return the identity of the log whose lists a file holds; empty if it is no such file."""
    try:
        with _opened(path) as file:
            return str((file.schema_arrow.metadata or {}).get(_LOG, b"").decode(errors="replace"))
    except CocokError:
        return ""


def ids(path: Path) -> list[tuple[int, str]]:
    """Return the number and the event id of each list of a file, in order.

    Raises:
        CocokError: as `read`.
    """
    with _opened(path) as file:
        table = file.read(columns=["seq", "event_id"], use_threads=False)
        return list(zip(*(table.column(name).to_pylist() for name in ("seq", "event_id")), strict=True))


@contextmanager
def _opened(path: Path) -> Iterator["ParquetFile"]:
    from pyarrow import parquet

    with spoken(path), parquet.ParquetFile(path, page_checksum_verification=True) as file:
        yield file


@contextmanager
def spoken(path: Path) -> Iterator[None]:
    """Say of what goes wrong meanwhile which file it befell, as `read` does."""
    import pyarrow

    try:
        yield
    except FileNotFoundError as error:
        raise LostListsError(path) from error
    except (OSError, pyarrow.ArrowException, KeyError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CocokError(
            f"the file {path}, which holds old lists of the log, cannot be read ({reason});"
            " bring it back from a backup, the rest of the log is as it was"
        ) from error


def _batches(file: "ParquetFile") -> Iterator["RecordBatch"]:
    lists, items = file.metadata.num_rows, 0
    for group in range(file.metadata.num_row_groups):
        columns = file.metadata.row_group(group)
        items += max(columns.column(number).num_values for number in range(columns.num_columns))
    at_once = max(1, min(AT_ONCE, _ITEMS_AT_ONCE * lists // max(items, 1)))
    return (batch for batch in file.iter_batches(batch_size=at_once, use_threads=False) if batch.num_rows)


def _schema() -> "Schema":
    import pyarrow

    text, whole, number = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    item = pyarrow.struct([("task_id", text), ("position", whole), ("score", number), ("propensity", number)])
    return pyarrow.schema(
        [
            ("seq", whole),
            ("known_at", whole),
            ("event_id", text),
            ("type", text),
            ("at", pyarrow.timestamp("us", tz="UTC")),
            ("feed_id", text),
            ("worker_id", text),
            ("items", pyarrow.list_(item)),
            ("context", text),
            ("model_version", text),
            ("policy", text),
            ("log_seq", whole),
        ]
    )


def _table(rows: Sequence[Stored]) -> "Table":
    import pyarrow

    schema = _schema()
    lists = [event for _, _, event in rows if isinstance(event, FeedServed)]
    items = list(chain.from_iterable(event.items for event in lists))
    ends = [0]
    for event in lists:
        ends.append(ends[-1] + len(event.items))
    item = schema.field("items").type.value_type
    columns: dict[str, Any] = {
        "seq": [seq for seq, _, _ in rows],
        "known_at": [known_at for _, known_at, _ in rows],
        "type": ["feed_served"] * len(lists),
        "items": pyarrow.ListArray.from_arrays(
            pyarrow.array(ends, pyarrow.int32()),
            pyarrow.StructArray.from_arrays(
                [pyarrow.array([getattr(row, field.name) for row in items], field.type) for field in item],
                fields=list(item),
            ),
        ),
        "context": [None if event.context is None else msgspec.json.encode(event.context).decode() for event in lists],
    }
    for name in schema.names:
        if name not in columns:
            columns[name] = [getattr(event, name) for event in lists]
    return pyarrow.table(columns, schema)


def _rows(batch: "RecordBatch") -> list[Stored]:
    import pyarrow

    with collector_paused():
        items = batch.column("items")
        fields = dict(zip(("task_id", "position", "score", "propensity"), items.flatten().flatten(), strict=True))
        told = fields["task_id"].dictionary_encode()
        # An id that many lists name is one string.
        names = told.dictionary.to_pylist()
        made = list(
            map(
                FeedItem,
                [names[index] for index in _numbers(told.indices)],
                *(_numbers(fields[name]) for name in ("position", "score", "propensity")),
            )
        )
        offsets = items.offsets.to_pylist()
        begin = offsets[0]
        wishes: dict[str | None, FeedContext | None] = {None: None}
        found = []
        for seq, known_at, event_id, at, feed_id, worker_id, context, version, policy, log_seq, (first, last) in zip(
            *(_numbers(batch.column(name)) for name in ("seq", "known_at")),
            batch.column("event_id").to_pylist(),
            _numbers(batch.column("at").cast(pyarrow.int64())),
            *(
                batch.column(name).to_pylist()
                for name in ("feed_id", "worker_id", "context", "model_version", "policy")
            ),
            _numbers(batch.column("log_seq")),
            pairwise(offsets),
            strict=True,
        ):
            if context not in wishes:
                wishes[context] = _context(context)
            event = FeedServed(
                event_id=event_id,
                at=instant(at),
                feed_id=feed_id,
                worker_id=worker_id,
                items=tuple(made[first - begin : last - begin]),
                context=wishes[context],
                model_version=version,
                policy=policy,
                log_seq=log_seq,
            )
            found.append(Stored(seq, known_at, event))
    return found


def _numbers(column: "Array") -> list[Any]:
    return column.to_pylist() if column.null_count else column.to_numpy().tolist()  # type: ignore[no-any-return]


def _tell(said: "blake2b", rows: Sequence[Stored]) -> None:
    for seq, known_at, event in rows:
        said.update(b"%d %d " % (seq, known_at))
        said.update(encode_event(event))
