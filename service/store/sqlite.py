"""The embedded store: one SQLite file, written ahead and flushed to disk before a batch is acknowledged."""

import secrets
import sqlite3
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
from sqlalchemy import Connection, create_engine, event, func, or_, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from features.collector import collector_paused
from features.errors import CocokError
from features.events import Event, decode_each, decode_event
from service.store import schema
from service.store.base import Appended, ConflictError, Identity, Packed, Stored, digest, pack
from service.store.squeeze import SQUEEZED, squeeze, unsqueeze

BUSY_SECONDS = 30
CUT_SECONDS = 2
SEARCHED = 8  # workers that are searched for in the text; of more, every event is decoded
_CHUNK = 5_000  # far below the number of parameters SQLite allows in one statement
_END = "SELECT seq, known_at FROM events ORDER BY seq DESC LIMIT 1"
_READ = "SELECT seq, known_at, payload FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_INSERT = "INSERT INTO events (seq, event_id, type, known_at, digest, payload) VALUES (?, ?, ?, ?, ?, ?)"
_STORED = partial(tuple.__new__, Stored)
_REWRITE = "UPDATE events SET type = ?, payload = ? WHERE seq = ? AND event_id = ?"


class SqliteStore:
    """A `service.store.base.Store` in one file. Only one process writes at a time, others wait up to 30 seconds.

    Raises:
        CocokError: the file is no database, was made by another version, or stays locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Two threads of one process would only meet at SQLite's busy timeout, which polls; a lock wakes at once.
        self._writing = Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CocokError(f"cannot create the folder {path.parent}: {error.strerror}; set COCOK_HOME") from error
        self._engine = create_engine(
            f"sqlite:///{path}", isolation_level="AUTOCOMMIT", connect_args={"timeout": BUSY_SECONDS}
        )
        event.listen(self._engine, "connect", _configure)
        with self._transaction() as connection:
            self._migrate(connection)

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
        with self._transaction() as connection:
            results = _append_fresh(connection, packed)
            return _append_apart(connection, packed) if results is None else results

    def read(self, after: int = 0, *, before: int | None = None, batch: int = 10_000) -> Iterator[list[Stored]]:
        """Yield events in order of sequence; see `service.store.base.Store.read`."""
        while True:
            with collector_paused():
                found = self._read(after, before, batch)
            if found:
                yield found
            if len(found) < batch:
                return
            after = found[-1].seq

    def _read(self, after: int, before: int | None, batch: int) -> list[Stored]:
        with self._connection() as connection:
            # By the driver's own cursor: a row of SQLAlchemy's costs as much as to decode what it holds.
            rows = connection.exec_driver_sql(_READ, (after, batch)).cursor.fetchall()
        # The clock never runs backwards, so the first event that is too late ends the prefix.
        kept = len(rows) if before is None else bisect_left(rows, before, key=itemgetter(1))
        if not kept:
            return []
        seqs, clocks, payloads = zip(*rows[:kept], strict=True)
        return list(
            map(_STORED, zip(seqs, clocks, decode_each([unsqueeze(payload) for payload in payloads]), strict=True))
        )

    def last_seq(self) -> int:
        """Return the last sequence number, 0 for an empty log."""
        with self._connection() as connection:
            return _end(connection)[0]

    def count(self) -> int:
        """Return the number of events."""
        with self._connection() as connection:
            return connection.scalar(select(func.count()).select_from(schema.events)) or 0

    def identity(self) -> Identity:
        """Return what tells this log from others; see `service.store.base.Store.identity`."""
        columns = schema.identity.c
        with self._connection() as connection:
            return Identity(*connection.execute(select(columns.log, columns.rewrites)).one())

    def rewrite(self, seq: int, event: Event) -> None:
        """Replace what is kept of an event; see `service.store.base.Store.rewrite`."""
        self.rewrite_all([(seq, event)])

    def rewrite_all(self, rows: Iterable[tuple[int, Event]]) -> None:
        """Replace what is kept of several events; see `service.store.base.Store.rewrite_all`."""
        values = [(row.type, _kept(row), seq, row.event_id) for seq, row in ((seq, pack(event)) for seq, event in rows)]
        with self._transaction() as connection:
            if values and connection.exec_driver_sql(_REWRITE, values).rowcount != len(values):
                numbers = f"{values[0][2]}" if len(values) == 1 else f"among {values[0][2]} to {values[-1][2]}"
                raise ValueError(f"sequence number {numbers} does not hold the event that is to be rewritten")
            if values:
                connection.execute(update(schema.identity).values(rewrites=schema.identity.c.rewrites + 1))
        with self._connection() as connection:
            # The write-ahead log holds the old pages until it is cut, which waits for those who read it.
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {CUT_SECONDS * 1_000}")
            try:
                in_use = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1_000}")
        if in_use:
            raise CocokError(f"the write-ahead log of {self.path} is being read and still holds what was rewritten")

    def of_workers(self, worker_ids: Collection[str], until: int) -> Iterator[Stored]:
        """Yield the events of some workers; see `service.store.base.Store.of_workers`."""
        columns = schema.events.c
        query = select(columns.seq, columns.known_at, columns.payload).where(columns.seq <= until).order_by(columns.seq)
        if len(worker_ids) <= SEARCHED:
            # Payloads are canonical, so a field of a known value is a known run of bytes.
            marks = (b'"worker_id":' + msgspec.json.encode(worker_id) for worker_id in worker_ids)
            # Lists cannot be searched as they are kept.
            query = query.where(
                or_(columns.type == SQUEEZED, *(func.instr(columns.payload, mark) > 0 for mark in marks))
            )
        with self._connection() as connection:
            for seq, known_at, payload in connection.execute(query.execution_options(yield_per=_CHUNK)):
                event = decode_event(unsqueeze(payload))
                if getattr(event, "worker_id", None) in worker_ids:
                    yield Stored(seq, known_at, event)

    def close(self) -> None:
        """Release the connections."""
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
    def _transaction(self) -> Iterator[Connection]:
        with self._writing, self._connection() as connection:
            # IMMEDIATE takes the write lock before the end of the log is read, so that numbers stay dense.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

    def _migrate(self, connection: Connection) -> None:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        # Version 1 kept every event as it is; what it wrote is read as well.
        if version in (0, 1):
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


def _configure(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # In WAL mode anything less may lose acknowledged batches when the power fails.
    connection.execute("PRAGMA synchronous = FULL")
    # What erasure overwrites must not survive in the free space of a page, whichever connection freed it.
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA cache_size = -65536")  # 64 MB: the index of ids is hit at random


def _kept(row: Packed) -> bytes:
    """Return the payload of an event as the table keeps it."""
    return squeeze(row.payload) if row.type == SQUEEZED else row.payload


def _append_fresh(connection: Connection, groups: Sequence[Sequence[Packed]]) -> list[Appended | ConflictError] | None:
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
        connection.exec_driver_sql(_INSERT, values)
    return results


def _append_apart(connection: Connection, groups: Sequence[Sequence[Packed]]) -> list[Appended | ConflictError]:
    """Append groups one by one, each all or nothing."""
    results: list[Appended | ConflictError] = []
    for group in groups:
        connection.exec_driver_sql("SAVEPOINT batch")
        try:
            results.append(_append(connection, group))
        except ConflictError as conflict:
            connection.exec_driver_sql("ROLLBACK TO batch")
            results.append(conflict)
        connection.exec_driver_sql("RELEASE batch")
    return results


def _append(connection: Connection, rows: Iterable[Packed]) -> Appended:
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
            connection.exec_driver_sql(_INSERT, values)
        accepted += len(values)
        taken += len(chunk)
    return Appended(accepted, taken - accepted, seq)


def _end(connection: Connection) -> tuple[int, int]:
    """Return the last sequence number and the clock there; before the first event (0, 0)."""
    row = connection.exec_driver_sql(_END).first()
    return (row.seq, row.known_at) if row else (0, 0)


def _held(connection: Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """Return id -> digest of those events that are in the log."""
    marks = ",".join("?" * len(ids))
    query = f"SELECT event_id, digest FROM events WHERE event_id IN ({marks})"  # noqa: S608  # only question marks
    # Rows are no plain tuples.
    return {event_id: mark for event_id, mark in connection.exec_driver_sql(query, tuple(ids))}  # noqa: C416


def _fresh(connection: Connection, chunk: list[Packed], offset: int) -> list[tuple[Packed, bytes]]:
    """Return the events of ``chunk`` that are not in the log, each with its digest."""
    held = _held(connection, [row.event_id for row in chunk])
    fresh, conflicts = [], []
    for position, row in enumerate(chunk, start=offset):
        mark = digest(row.payload)
        found = held.setdefault(row.event_id, mark)
        if found is mark:
            fresh.append((row, mark))
        elif found != mark:
            conflicts.append((row.event_id, position))
    if conflicts:
        ids, positions = zip(*conflicts, strict=True)
        raise ConflictError(ids, positions)
    return fresh
