"""The embedded store: one SQLite file, written ahead and flushed to disk before a batch is acknowledged."""

import secrets
import sqlite3
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from heapq import merge
from itertools import islice
from operator import itemgetter
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import URL, Connection, create_engine, event, select
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import PoolProxiedConnection

from features.collector import collector_paused
from features.errors import CocokError
from features.events import Event, decode_each, decode_event
from features.stored_events import decode_kept
from service.store import archive, schema
from service.store.base import BATCH, Appended, Archived, ConflictError, Identity, Packed, Stored, ToFold, digest, pack
from service.store.compression import SQUEEZED, squeeze, unsqueeze, unsqueeze_each
from service.store.lists_file import LostListsError

BUSY_SECONDS = 30
CUT_SECONDS = 2
CUT_PAUSE_SECONDS = 0.02
SEARCHED = 8  # workers that are searched for in the text; of more, every event is decoded
_CHUNK = 5_000  # far below the number of parameters SQLite allows in one statement
_END = "SELECT seq, known_at FROM events ORDER BY seq DESC LIMIT 1"
_READ = "SELECT seq, known_at, payload FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_READ_UPTO = "SELECT seq, known_at, payload FROM events WHERE seq > ? AND seq <= ? ORDER BY seq"
_INSERT = "INSERT INTO events (seq, event_id, type, known_at, digest, payload) VALUES (?, ?, ?, ?, ?, ?)"
_Row = tuple[int, int, bytes]
_Decode = Callable[[Sequence[_Row]], list[Any]]
_Entry = TypeVar("_Entry", bound=tuple[int, int, Any])
_STORED = partial(tuple.__new__, Stored)
_INSERT_ALONE = (
    "INSERT INTO events (seq, event_id, type, known_at, digest, payload)"
    " SELECT seq + 1, ?, ?, max(known_at, ?), ?, ? FROM (SELECT seq, known_at FROM events ORDER BY seq DESC LIMIT 1)"
    " WHERE NOT EXISTS (SELECT 1 FROM archived_ids WHERE id = ?) ON CONFLICT (event_id) DO NOTHING"
)
_CUT = "PRAGMA wal_checkpoint(TRUNCATE)"
_REWRITE = "UPDATE events SET type = ?, payload = ? WHERE seq = ? AND event_id = ?"


class SqliteStore:
    """A `service.store.base.Store` in one file. Only one process writes at a time, others wait up to 30 seconds.

    Raises:
        CocokError: the file is no database, was made by another version, or stays locked; or the folder of old lists
            cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Two threads of one process would only meet at SQLite's busy timeout, which polls; a lock wakes at once.
        self._writing = Lock()
        self._writer: PoolProxiedConnection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CocokError(f"cannot create the folder {path.parent}: {error.strerror}; set COCOK_HOME") from error
        self._archive = archive.Archive(path.with_name(f"{path.name}-lists"), self._driver, self._transaction)
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": BUSY_SECONDS},
        )
        event.listen(self._engine, "connect", _configure)
        with self._writing, self._connection() as connection:
            # Who has nothing to migrate waits for no writer: one may take minutes.
            if _version(connection) != schema.VERSION:
                with _immediate(connection.exec_driver_sql):
                    self._migrate(connection)
        self._archive.tidy()

    def append(self, events: Iterable[Event]) -> Appended:
        """Append events in order; see `service.store.base.Store.append`."""
        return self.append_packed(map(pack, events))

    def append_packed(self, rows: Iterable[Packed]) -> Appended:
        """Append packed events in order; see `service.store.base.Store.append_packed`."""
        with self._transaction() as connection:
            return _append(connection, rows)

    def append_groups(self, groups: Sequence[Sequence[Event]]) -> list[Appended | ConflictError]:
        """Append several batches in one commit; see `service.store.base.Store.append_groups`."""
        packed = [[pack(event) for event in group] for group in groups]
        match packed:
            case [[row]] if appended := self._append_alone(row):
                return [appended]
        with self._transaction() as connection:
            results = _append_fresh(connection, packed)
            return _append_apart(connection, packed) if results is None else results

    def _append_alone(self, row: Packed) -> Appended | None:
        """Append an event; None if its id is not new or it is the first of the log, and nothing is done.

        By one statement, which is a transaction of its own: between any two the lock of the interpreter is given away.
        """
        values = (row.event_id, row.type, row.at, digest(row.payload), _kept(row), archive.id_of(row.event_id))
        with self._alone() as connection:
            done = connection.execute(_INSERT_ALONE, values)
            return Appended(1, 0, done.lastrowid) if done.rowcount and done.lastrowid else None

    def read(self, after: int = 0, *, before: int | None = None, batch: int = BATCH) -> Iterator[list[Stored]]:
        """Yield events in order of sequence; see `service.store.base.Store.read`."""
        return self._read_all(after, before, batch, _stored)

    def read_to_fold(self, after: int = 0, *, batch: int = BATCH) -> Iterator[list[ToFold]]:
        """Yield events as they are folded; see `service.store.base.Store.read_to_fold`."""
        return self._read_all(after, None, batch, _to_fold)

    def _read_all(self, after: int, before: int | None, batch: int, decode: _Decode) -> Iterator[list[Any]]:
        reader = archive.Reader(self._archive)
        while True:
            with collector_paused():
                found = self._read(after, before, batch, reader, decode)
            if found:
                yield found
            if len(found) < batch:
                return
            after = found[-1][0]

    def _read(self, after: int, before: int | None, batch: int, reader: archive.Reader, decode: _Decode) -> list[Any]:
        while True:
            try:
                return self._read_once(after, before, batch, reader, decode)
            except LostListsError as lost:
                # An erasure may have put another file in its place.
                if any(file.name == lost.path.name for file in self._archive.files()):
                    raise

    def _read_once(
        self, after: int, before: int | None, batch: int, reader: archive.Reader, decode: _Decode
    ) -> list[Any]:
        if not reader.sparse:
            with self._driver() as connection:
                rows = connection.execute(_READ, (after, batch)).fetchall()
            # Numbers are dense, and the last event is always in the table: a gap means that lists are in a file.
            if not rows or rows[-1][0] == after + len(rows):
                return decode(_known(rows, before))
        with self._snapshot() as connection:
            files = archive.overlapping(connection, after, after + batch)
            end = min(after + batch, max(after, _end(connection)[0]))
            rows = connection.execute(_READ_UPTO, (after, end)).fetchall()
        lists = reader.between(files, after, end)
        reader.sparse = bool(lists)
        if len(rows) + len(lists) != end - after:
            missing = end - after - len(rows) - len(lists)
            raise CocokError(f"{missing:,} of the events {after + 1:,} to {end:,} are missing in {self.path}")
        return sorted(decode(_known(rows, before)) + list(_known(lists, before)), key=itemgetter(0))

    def last_seq(self) -> int:
        """Return the last sequence number, 0 for an empty log."""
        with self._driver() as connection:
            return _end(connection)[0]

    def count(self) -> int:
        """Return the number of events."""
        with self._snapshot() as connection:
            (kept,) = connection.execute("SELECT COUNT(*) FROM events").fetchone()
            return int(kept) + archive.count(connection)

    def identity(self) -> Identity:
        """Return what tells this log from others; see `service.store.base.Store.identity`."""
        columns = schema.identity.c
        with self._connection() as connection:
            return Identity(*connection.execute(select(columns.log, columns.rewrites)).one())

    def rewrite_all(self, rows: Iterable[tuple[int, Event]]) -> None:
        """Replace what is kept of several events; see `service.store.base.Store.rewrite_all`."""
        wanted = dict(rows)
        while not self._rewrite(wanted, self._archive.rewrite(wanted)):
            # Lists were moved to a file meanwhile.
            pass
        until = time.monotonic() + CUT_SECONDS
        with self._connection() as connection:
            # The write-ahead log holds the old pages until it is cut, which waits for those who read it.
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {CUT_SECONDS * 1_000}")
            try:
                # For another that cuts it, SQLite does not wait.
                while (in_use := connection.exec_driver_sql(_CUT).one()[0]) and time.monotonic() < until:
                    time.sleep(CUT_PAUSE_SECONDS)
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1_000}")
        if in_use:
            raise CocokError(f"the write-ahead log of {self.path} is being read and still holds what was rewritten")

    def _rewrite(self, events: dict[int, Event], reach: int) -> bool:
        """Replace what the table keeps of events; not if there are files beyond ``reach``. Tell whether it was done."""
        values = [
            (row.type, _kept(row), seq, row.event_id) for seq, row in ((seq, pack(row)) for seq, row in events.items())
        ]
        with self._transaction() as connection:
            if archive.overlapping(connection, reach, None):
                return False
            if values and connection.executemany(_REWRITE, values).rowcount != len(values):
                numbers = f"{values[0][2]}" if len(values) == 1 else f"among {values[0][2]} to {values[-1][2]}"
                raise ValueError(f"sequence number {numbers} does not hold the event that is to be rewritten")
            if values:
                connection.execute("UPDATE log_identity SET rewrites = rewrites + 1")
        return True

    def of_workers(self, worker_ids: Collection[str], until: int) -> Iterator[Stored]:
        """Yield the events of some workers; see `service.store.base.Store.of_workers`."""
        query = "SELECT seq, known_at, payload FROM events WHERE seq <= ?"
        values: list[int | str | bytes] = [until]
        if len(worker_ids) <= SEARCHED:
            # Payloads are canonical, so a field of a known value is a known run of bytes.
            marks = [b'"worker_id":' + msgspec.json.encode(worker_id) for worker_id in worker_ids]
            # Lists cannot be searched as they are kept.
            query += f" AND (type = ?{' OR instr(payload, ?) > 0' * len(marks)})"
            values += [SQUEEZED, *marks]
        with self._snapshot() as connection, closing(connection.execute(f"{query} ORDER BY seq", values)) as rows:
            kept = (Stored(seq, known_at, decode_event(unsqueeze(payload))) for seq, known_at, payload in rows)
            yield from merge(
                (stored for stored in kept if getattr(stored.event, "worker_id", None) in worker_ids),
                self._archive.of_workers(archive.overlapping(connection, 0, until), worker_ids, until),
                key=itemgetter(0),
            )

    def archive(
        self, before: int, *, least: int = 1, progress: Callable[[str, int, int], None] = lambda step, done, total: None
    ) -> Archived:
        """Move old lists to files of their own; see `service.store.base.Store.archive`."""
        used, _ = self._pages()
        left, files = self._archive.move(before, least, progress)
        lists, size = sum(file.lists for file in files), sum(file.size for file in files)
        return Archived(lists, len(files), size, left, used, *self._pages())

    def archived(self) -> int:
        """Return the number of lists in files of their own."""
        with self._driver() as connection:
            return archive.count(connection)

    def archive_faults(self) -> Iterator[str]:
        """Yield what is wrong with files of old lists; see `service.store.base.Store.archive_faults`."""
        return self._archive.faults()

    def compact(self) -> int:
        """Give free pages back to the disk; see `service.store.base.Store.compact`."""
        before = self._pages()
        with self._writing, self._driver() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return sum(before) - sum(self._pages())

    def _pages(self) -> tuple[int, int]:
        """Return how many bytes of the file are in use, and how many are free."""
        with self._snapshot() as connection:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size, free * size

    def close(self) -> None:
        """Release the connections."""
        with self._writing:
            self._release()
        self._engine.dispose()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise CocokError(f"the event store {self.path} cannot be used: {error.orig}") from error

    @contextmanager
    def _driver(self) -> Iterator[sqlite3.Connection]:
        """Give the driver's own connection, for what every feed does: SQLAlchemy's costs more than what it executes."""
        with self._told(), closing(self._engine.raw_connection()) as connection:
            yield cast("sqlite3.Connection", connection.driver_connection)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say of errors of the driver which store they befell."""
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except (sqlite3.DatabaseError, DatabaseError) as error:
            raise CocokError(f"the event store {self.path} cannot be used: {getattr(error, 'orig', error)}") from error

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose statements all see the same."""
        with self._driver() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._alone() as connection, _immediate(connection.execute):
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        """Give the connection that writes. It is kept, as to take one from the pool takes as long as a statement."""
        with self._writing, self._told():
            try:
                if self._writer is None:
                    self._writer = self._engine.raw_connection()
                yield cast("sqlite3.Connection", self._writer.driver_connection)
            except BaseException:
                self._release()
                raise

    def _release(self) -> None:
        """Give the connection that writes back to the pool, which resets it."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _migrate(self, connection: Connection) -> None:
        version = _version(connection)
        # Version 1 kept every event as it is, version 2 had no files of old lists; what they wrote is read as well.
        if version < schema.VERSION:
            connection.exec_driver_sql(f"PRAGMA user_version = {schema.VERSION}")
        elif version != schema.VERSION:
            raise CocokError(
                f"the event store {self.path} has schema version {version}, this Cocok knows {schema.VERSION};"
                " use the Cocok that wrote it, or export there and import here into a new COCOK_HOME"
            )
        schema.metadata.create_all(connection)
        connection.exec_driver_sql(
            "INSERT OR IGNORE INTO log_identity (only, log, rewrites) VALUES (1, ?, 0)", (secrets.token_hex(16),)
        )


def _version(connection: Connection) -> int:
    """Return the schema version of a store, 0 of one that is new."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _configure(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # In WAL mode anything less may lose acknowledged batches when the power fails.
    connection.execute("PRAGMA synchronous = FULL")
    # What erasure overwrites must not survive in the free space of a page, whichever connection freed it.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA cache_size = -65536")  # 64 MB: the index of ids is hit at random


@contextmanager
def _immediate(execute: Callable[[str], object]) -> Iterator[None]:
    """Make what is executed meanwhile one transaction."""
    # IMMEDIATE takes the write lock before the end of the log is read, so that numbers stay dense.
    execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        execute("ROLLBACK")
        raise
    execute("COMMIT")


def _known(rows: Sequence[_Entry], before: int | None) -> Sequence[_Entry]:
    """Return what is known before an instant."""
    # The clock never runs backwards, so the first event that is too late ends the prefix.
    return rows if before is None else rows[: bisect_left(rows, before, key=itemgetter(1))]


def _stored(rows: Sequence[_Row]) -> list[Stored]:
    return list(map(_STORED, _entries(rows, decode_each)))


def _to_fold(rows: Sequence[_Row]) -> list[ToFold]:
    # Tuples alone: an object around each would be thrown away at once.
    return list(_entries(rows, decode_kept))


def _entries(rows: Sequence[_Row], decode: Callable[[Sequence[bytes]], list[Any]]) -> Iterator[ToFold]:
    events = decode(unsqueeze_each([payload for _, _, payload in rows]))
    return zip(map(itemgetter(0), rows), map(itemgetter(1), rows), events, strict=True)


def _kept(row: Packed) -> bytes:
    """Return the payload of an event as the table keeps it."""
    return squeeze(row.payload) if row.type == SQUEEZED else row.payload


def _append_fresh(
    connection: sqlite3.Connection, groups: Sequence[Sequence[Packed]]
) -> list[Appended | ConflictError] | None:
    """Append groups by one statement, as nearly always can be done; None if an id is not new, and nothing is done."""
    ids = [row.event_id for group in groups for row in group]
    if len(ids) > _CHUNK or len(set(ids)) < len(ids) or _held(connection, ids):
        return None
    seq, known_at = _end(connection)
    results: list[Appended | ConflictError] = []
    values = []
    for group in groups:
        for row in group:
            seq += 1
            known_at = max(known_at, row.at)
            values.append((seq, row.event_id, row.type, known_at, digest(row.payload), _kept(row)))
        results.append(Appended(len(group), 0, seq))
    if values:
        connection.executemany(_INSERT, values)
    return results


def _append_apart(connection: sqlite3.Connection, groups: Sequence[Sequence[Packed]]) -> list[Appended | ConflictError]:
    """Append groups one by one, each all or nothing."""
    results: list[Appended | ConflictError] = []
    for group in groups:
        connection.execute("SAVEPOINT batch")
        try:
            results.append(_append(connection, group))
        except ConflictError as conflict:
            connection.execute("ROLLBACK TO batch")
            results.append(conflict)
        connection.execute("RELEASE batch")
    return results


def _append(connection: sqlite3.Connection, rows: Iterable[Packed]) -> Appended:
    stream = iter(rows)
    accepted = taken = 0
    seq, known_at = _end(connection)
    while chunk := list(islice(stream, _CHUNK)):
        values = []
        for row, mark in _fresh(connection, chunk, offset=taken):
            seq += 1
            known_at = max(known_at, row.at)
            values.append((seq, row.event_id, row.type, known_at, mark, _kept(row)))
        if values:
            connection.executemany(_INSERT, values)
        accepted += len(values)
        taken += len(chunk)
    return Appended(accepted, taken - accepted, seq)


def _end(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the last sequence number and the clock there; before the first event (0, 0)."""
    row = connection.execute(_END).fetchone()
    return row or (0, 0)


def _held(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """Return id -> digest of those events that are in the log."""
    marks = ",".join("?" * len(ids))
    query = f"SELECT event_id, digest FROM events WHERE event_id IN ({marks})"  # noqa: S608  # only question marks
    return dict(connection.execute(query, ids)) | archive.held(connection, ids)


def _fresh(connection: sqlite3.Connection, chunk: list[Packed], offset: int) -> list[tuple[Packed, bytes]]:
    """Return the events of ``chunk`` that are not in the log, each with its digest."""
    held = _held(connection, [row.event_id for row in chunk])
    fresh: dict[str, tuple[Packed, bytes]] = {}
    conflicts = []
    for position, row in enumerate(chunk, start=offset):
        mark = digest(row.payload)
        found = held.setdefault(row.event_id, mark)
        if found is mark:
            fresh[row.event_id] = row, mark
        elif found != mark:
            kept = fresh[row.event_id][0].payload if row.event_id in fresh else _payload(connection, row.event_id)
            if kept is None or not _same(kept, row.payload):
                conflicts.append((row.event_id, position))
    if conflicts:
        ids, positions = zip(*conflicts, strict=True)
        raise ConflictError(ids, positions)
    return list(fresh.values())


def _payload(connection: sqlite3.Connection, event_id: str) -> bytes | None:
    """Return what is kept of an event; None if it is in a file of old lists."""
    row = connection.execute("SELECT payload FROM events WHERE event_id = ?", (event_id,)).fetchone()
    return None if row is None else unsqueeze(row[0])


def _same(kept: bytes, payload: bytes) -> bool:
    """Tell whether two payloads mean the same, as 80 and 80.0, or what was exported after an erasure."""
    return kept == payload or decode_event(kept) == decode_event(payload)
