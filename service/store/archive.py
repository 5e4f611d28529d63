"""The old lists of a log, moved from its database to files beside it.

The database says which files there are and how far each is read, so that a list is read once wherever a move was cut
off. A file is first written whole and flushed under a name that nobody reads; then it gets its name and a row in the
database; then its lists leave the database in small pieces, each with the row's ``reach`` moved on in the same
transaction. A file never changes: an erasure writes another in its place. What is in the folder and not in the database
is of a move or an erasure that was cut off, and is deleted, unless a list would be lost by it.
"""

import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from sqlite3 import Connection
from typing import NamedTuple

from filelock import FileLock, Timeout

from features.errors import CocokError
from features.events import Event, FeedServed, decode_each
from features.progress import Steps
from service.files import sync_folder
from service.store import lists_file
from service.store.base import Stored, digest
from service.store.compression import SQUEEZED, unsqueeze
from service.store.lists_file import AT_ONCE

log = logging.getLogger(__name__)

LISTS = 50_000
"""Lists that one file holds at the most."""

ITEMS = 2_000_000
"""Items of lists that one file holds, but for the last few thousand lists."""

PIECE = 500
"""Lists that leave the database at once, while other writers wait: some tens of milliseconds."""

# Readers of a folder of Parquet files pass over names that begin with a dot.
_UNFINISHED = ".unfinished"
_LOCK = ".lock"
_MOVING = ".moving"
WAIT_SECONDS = 600
"""How long a move and an erasure wait for each other, which takes seconds for each file."""

PAUSE_SECONDS = 0.2
"""Between two files of a move: an erasure that waits looks every .05 seconds whether it is its turn."""

Transaction = Callable[[], AbstractContextManager[Connection]]

NEVER = 2**62

_FILES = (
    "SELECT first, last, reach, name, lists, size, checksum FROM archives WHERE last > ? AND first <= ? ORDER BY first"
)
_FROM = "SELECT seq, known_at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1"
_OLD = "SELECT seq, known_at, payload FROM events WHERE seq > ? AND seq < ? AND type = ? ORDER BY seq"
_COUNT_OLD = "SELECT COUNT(*) FROM events WHERE seq > ? AND seq < ? AND type = ?"
_PIECE = "SELECT seq, event_id, digest FROM events WHERE seq > ? AND seq <= ? AND type = ? ORDER BY seq LIMIT ?"
_REGISTER = "INSERT INTO archives (first, last, reach, name, lists, size, checksum) VALUES (?, ?, ?, ?, ?, ?, ?)"
_REPLACE = "UPDATE archives SET name = ?, lists = ?, size = ?, checksum = ? WHERE first = ?"
_IDENTITY = "SELECT log, rewrites FROM log_identity"
_KEPT = "SELECT seq, event_id FROM events WHERE seq >= ? AND seq <= ? AND type = ?"


class File(NamedTuple):
    """A file of old lists, as the database tells of it.

    Attributes:
        first, last: numbers of its first and last list.
        reach: lists beyond this number are still in the database, and read there.
        name: in the folder.
        lists: how many it holds.
        size: bytes.
        checksum: SHA-256.
    """

    first: int
    last: int
    reach: int
    name: str
    lists: int
    size: int
    checksum: bytes


class Archive:
    """The files of one log.

    Args:
        folder: theirs alone; made when the first one is written.
        reading: gives a connection.
        writing: gives a connection that alone may write, and commits at the end.
    """

    def __init__(self, folder: Path, reading: Transaction, writing: Transaction) -> None:
        self.folder = folder
        self._reading = reading
        self._writing = writing
        self._sound: set[tuple[str, bytes, int, int]] = set()

    def files(self) -> list[File]:
        """Return the files in order."""
        with self._reading() as connection:
            return overlapping(connection, 0, None)

    def sound(self, file: File) -> Path:
        """Return the path of a file that is as it was written; it is read for that once, until it is touched.

        Only pages have checksums of their own: of damage elsewhere, pyarrow may end the process.

        Raises:
            LostListsError: it is not there.
            CocokError: it is damaged.
        """
        path = self.folder / file.name
        with lists_file.spoken(path):
            found = path.stat()
            seen = (file.name, file.checksum, found.st_size, found.st_mtime_ns)
            if seen not in self._sound:
                if lists_file.checksum(path) != file.checksum:
                    raise OSError("it is not as it was written")
                self._sound.add(seen)
        return path

    def tidy(self) -> None:
        """Delete what a move or an erasure left that was cut off, unless one is under way.

        Raises:
            CocokError: the folder cannot be used.
        """
        try:
            if self.folder.is_dir():
                with suppress(Timeout), self._lock(timeout=0):
                    self._sweep()
        except OSError as error:
            raise CocokError(f"old lists in {self.folder} cannot be used: {error.strerror or error}") from error

    def move(self, before: int, least: int, progress: Steps) -> tuple[int, list[File]]:
        """Move lists known before an instant to files; see `service.store.base.Store.archive`.

        Returns:
            How many old lists stay for being too few, and the new files.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / _MOVING, timeout=0):
                return self._move(before, least, progress)
        except Timeout as error:
            raise CocokError("another process moves lists of this log to files; let it end first") from error
        except OSError as error:
            raise CocokError(f"old lists cannot be moved to {self.folder}: {error.strerror or error}") from error

    def _move(self, before: int, least: int, progress: Steps) -> tuple[int, list[File]]:
        with self._lock():
            self._sweep()
            self._settle()
        made: list[File] = []
        done = 0
        with self._reading() as connection:
            end = _known_from(connection, before)
            total = connection.execute(_COUNT_OLD, (_reach(connection), end, SQUEEZED)).fetchone()[0]
        while total - done >= max(least, 1):
            # An erasure waits for one file, not for all of them.
            with self._lock():
                file = self._write(end)
                self._settle()
            if file is not None:
                made.append(file)
                done += file.lists
                progress("Moving lists", done, total)
            time.sleep(PAUSE_SECONDS)
        return total - done, made

    def _write(self, end: int) -> File | None:
        """Write the next file of lists before a number and tell the database of it; None if some were rewritten."""
        with self._reading() as connection:
            log, rewrites = connection.execute(_IDENTITY).fetchone()
            begin = _reach(connection)
        unfinished = self.folder / _UNFINISHED
        seqs: list[int] = []

        def batches() -> Iterator[list[Stored]]:
            for rows in self._old(begin, end):
                seqs.extend(row.seq for row in rows)
                yield rows

        try:
            written = lists_file.write(unfinished, batches(), log)
            file = File(seqs[0], seqs[-1], seqs[0] - 1, f"lists-{seqs[0]:012}-{seqs[-1]:012}.parquet", *written)
            self._name(unfinished, file.name)
        finally:
            unfinished.unlink(missing_ok=True)
        with self._writing() as connection:
            # An erasure may have come between.
            if connection.execute(_IDENTITY).fetchone()[1] != rewrites:
                (self.folder / file.name).unlink()
                return None
            connection.execute(_REGISTER, tuple(file))
        return file

    def _old(self, begin: int, end: int) -> Iterator[list[Stored]]:
        lists = items = 0
        # Closed in the end, since rows that are left unread would hold the log's past.
        with self._reading() as connection, closing(connection.execute(_OLD, (begin, end, SQUEEZED))) as rows:
            while lists < LISTS and items < ITEMS and (found := rows.fetchmany(min(AT_ONCE, LISTS - lists))):
                events = decode_each([unsqueeze(payload) for _, _, payload in found])
                lists += len(found)
                items += sum(len(event.items) for event in events if isinstance(event, FeedServed))
                yield [Stored(seq, clock, event) for (seq, clock, _), event in zip(found, events, strict=True)]

    def _settle(self) -> None:
        """Remove from the database what files hold."""
        for file in self.files():
            reach = file.reach
            if reach < file.last and lists_file.checksum(self.folder / file.name) != file.checksum:
                raise CocokError(f"{self.folder / file.name} is not as it was written; bring it back from a backup")
            while reach < file.last:
                with self._writing() as connection:
                    rows = connection.execute(_PIECE, (reach, file.last, SQUEEZED, PIECE)).fetchall()
                    ids = sorted((id_of(event_id), mark) for _, event_id, mark in rows)
                    connection.executemany("INSERT INTO archived_ids (id, digest) VALUES (?, ?)", ids)
                    connection.executemany("DELETE FROM events WHERE seq = ?", [(seq,) for seq, _, _ in rows])
                    reach = rows[-1][0]
                    connection.execute("UPDATE archives SET reach = ? WHERE first = ?", (reach, file.first))

    def rewrite(self, events: dict[int, Event]) -> int:
        """Replace what files hold of some events, file by file.

        Args:
            events: number -> event; what was replaced is taken out.

        Returns:
            Number of the last list that is in a file; beyond it `events` were not looked for.

        Raises:
            ValueError: a file holds another event at a number; nothing of it was replaced.
            CocokError: a file cannot be read or written.
        """
        # The folder may hold the beginning of a first move that the database does not know of.
        if not self.folder.is_dir():
            return 0
        try:
            with self._lock():
                self._sweep()
                self._settle()
                files = self.files()
                for file in files:
                    found = {
                        seq: event
                        for seq, event in events.items()
                        if file.first <= seq <= file.last and isinstance(event, FeedServed)
                    }
                    if found:
                        self._rewrite(file, found)
                        for seq in found:
                            del events[seq]
                return files[-1].last if files else 0
        except OSError as error:
            raise CocokError(f"old lists in {self.folder} cannot be rewritten: {error.strerror or error}") from error

    def _rewrite(self, file: File, events: dict[int, FeedServed]) -> None:
        with self._reading() as connection:
            log, rewrites = connection.execute(_IDENTITY).fetchone()
        unfinished = self.folder / _UNFINISHED
        try:
            written = lists_file.rewrite(self.sound(file), unfinished, events, log)
            # The number of rewrites makes another name each time: a reader of the old file never meets a mixture.
            name = f"lists-{file.first:012}-{file.last:012}-{rewrites + 1}.parquet"
            self._name(unfinished, name)
            with self._writing() as connection:
                connection.execute(_REPLACE, (name, *written, file.first))
                connection.execute("UPDATE log_identity SET rewrites = rewrites + 1")
        finally:
            unfinished.unlink(missing_ok=True)
        (self.folder / file.name).unlink(missing_ok=True)
        sync_folder(self.folder)

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with each file that is not as it was written."""
        for file in self.files():
            path = self.folder / file.name
            what = f"{path} (lists of the events {file.first:,} to {file.last:,})"
            try:
                if lists_file.checksum(path) != file.checksum:
                    yield f"{what} is not as it was written"
            except OSError as error:
                yield f"{what} cannot be read: {error.strerror or error}"

    def _name(self, unfinished: Path, name: str) -> None:
        path = self.folder / name
        if path.exists():
            raise CocokError(f"{path} is there already and of another log, or a copy of this one; move it elsewhere")
        unfinished.replace(path)
        sync_folder(self.folder)

    def _sweep(self) -> None:
        with self._reading() as connection:
            identity = connection.execute(_IDENTITY).fetchone()[0]
            known = {file.name for file in overlapping(connection, 0, None)}
        left = [path for path in self.folder.glob("lists-*.parquet") if path.name not in known]
        gone = []
        for path in left:
            # What another log wrote here may be all that is left of it.
            if lists_file.log_of(path) == identity:
                if self._is_spare(path):
                    gone.append(path)
                else:
                    log.warning("%s stays: this database neither knows the file nor has its lists elsewhere", path)
        for path in (*gone, self.folder / _UNFINISHED):
            path.unlink(missing_ok=True)
        if gone:
            sync_folder(self.folder)

    def _is_spare(self, path: Path) -> bool:
        """Tell whether all lists of a file that the database does not know are in its table or in one that it knows.

        They are not when the folder is of another moment than the database, as it may be in a backup.
        """
        try:
            ids = lists_file.ids(path)
            first, last = ids[0][0], ids[-1][0]
            with self._reading() as connection:
                if set(ids) <= set(connection.execute(_KEPT, (first, last, SQUEEZED))):
                    return True
                files = overlapping(connection, first - 1, last)
            return any(
                lists_file.checksum(self.folder / file.name) == file.checksum
                and lists_file.ids(self.folder / file.name) == ids
                for file in files
                if (file.first, file.last) == (first, last)
            )
        except (CocokError, OSError):
            return False

    @contextmanager
    def _lock(self, timeout: float | None = None) -> Iterator[None]:
        """Hold the files alone.

        Raises:
            Timeout: another process held them all the time that was given.
            CocokError: without a time given, as long as an erasure or a file of a move may take.
        """
        lock = FileLock(self.folder / _LOCK, timeout=WAIT_SECONDS if timeout is None else timeout)
        try:
            lock.acquire()
        except Timeout as error:
            if timeout is not None:
                raise
            raise CocokError(f"another process uses the files of {self.folder} and does not end") from error
        try:
            yield
        finally:
            lock.release()

    def of_workers(self, files: Sequence[File], worker_ids: Collection[str], until: int) -> Iterator[Stored]:
        """Yield the lists of some workers in files, up to and including a number, in order."""
        for file in files:
            for stored in lists_file.of_workers(self.sound(file), worker_ids):
                if stored.seq <= min(until, file.reach):
                    yield stored


class Reader:
    """Reads the files of an archive in order, and holds the place between calls.

    Args:
        archive: whose files.

    Attributes:
        sparse: whether the events read last were partly in files.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.sparse = False
        self._name = ""
        self._at = 0
        self._batches: Iterator[list[Stored]] = iter(())
        self._ready: list[Stored] = []

    def between(self, files: Sequence[File], after: int, upto: int) -> list[Stored]:
        """Return the lists in files with numbers above ``after`` up to ``upto``.

        Raises:
            LostListsError: a file is not there, perhaps because an erasure replaced it since ``files`` were read.
            CocokError: a file is damaged.
        """
        found: list[Stored] = []
        for file in files:
            begin, end = max(after, file.first - 1), min(upto, file.reach)
            if begin < end:
                found += self._of(file, begin, end)
        return found

    def _of(self, file: File, begin: int, end: int) -> list[Stored]:
        if file.name != self._name or begin < self._at:
            self._batches, self._ready = lists_file.read(self._archive.sound(file), begin), []
        # Unless all goes well, the next call begins anew.
        self._name = ""
        while not self._ready or self._ready[-1].seq <= end:
            rows = next(self._batches, None)
            if rows is None:
                break
            self._ready += rows
        first, last = (bisect_right(self._ready, seq, key=itemgetter(0)) for seq in (begin, end))
        found, self._ready = self._ready[first:last], self._ready[last:]
        self._name, self._at = file.name, end
        return found


def overlapping(connection: Connection, after: int, upto: int | None) -> list[File]:
    """Return the files that hold anything above ``after`` and, unless it is None, up to ``upto``, in order."""
    values = (after, NEVER if upto is None else upto)
    return [File(*row) for row in connection.execute(_FILES, values)]


def held(connection: Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """Return id -> digest of those events that were moved to files."""
    if not connection.execute("SELECT EXISTS (SELECT 1 FROM archived_ids)").fetchone()[0]:
        return {}
    keys = {id_of(event_id): event_id for event_id in ids}
    marks = ",".join("?" * len(keys))
    query = f"SELECT id, digest FROM archived_ids WHERE id IN ({marks})"  # noqa: S608  # only question marks
    return {keys[key]: mark for key, mark in connection.execute(query, tuple(keys))}


def id_of(event_id: str) -> bytes:
    """Return what the database keeps of the id of an event that was moved to a file."""
    return digest(event_id.encode())


def count(connection: Connection) -> int:
    """Return the number of lists that were moved to files."""
    return connection.execute("SELECT COUNT(*) FROM archived_ids").fetchone()[0]  # type: ignore[no-any-return]


def _reach(connection: Connection) -> int:
    """Return the number of the last list in a file; 0 if there is none."""
    return connection.execute("SELECT COALESCE(MAX(last), 0) FROM archives").fetchone()[0]  # type: ignore[no-any-return]


def _known_from(connection: Connection, instant: int) -> int:
    """Return the number from which events were known at an instant or later; the last event counts as such."""
    low = 0
    high = connection.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()[0]
    # The clock never runs backwards.
    while low < high:
        middle = (low + high) // 2
        seq, clock = connection.execute(_FROM, (middle,)).fetchone()
        low, high = (min(seq + 1, high), high) if clock < instant else (low, middle)
    return int(high)
