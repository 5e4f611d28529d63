"""Importing: files of events, or of what another marketplace exports, appended to the store in order of time."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.errors import CocokError, EventError
from features.events import Event, WorkerErased, moneys
from features.money import Rates
from service.adapters import Found, Read
from service.erasure import carried_out
from service.log_files import Advance
from service.store.base import ConflictError, Packed, Store, pack

OnError = Literal["stop", "skip"]
_CHUNK = 10_000
_SEPARATOR = b"\x00"  # occurs neither in an event_id nor in JSON


class Refused(NamedTuple):
    """A line that was not taken.

    Attributes:
        file: path as it was given.
        line: number of the line, or of the row of a table, from 1.
        reason: what is wrong with it, in one line.
    """

    file: str
    line: int
    reason: str


@dataclass
class Imported:
    """What an import did.

    Attributes:
        accepted: events that are new.
        duplicates: those that were there.
        refused: lines that were not taken.
        to_erase: workers whom the files say to erase, and of whom the log may still tell.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: list[Refused] = field(default_factory=list)
    to_erase: set[str] = field(default_factory=set)


@dataclass
class Watch:
    """Whom to tell of progress: bytes read, then events stored."""

    read: Advance = lambda _: None
    sort: Callable[[int], None] = lambda _: None
    stored: Advance = lambda _: None


def read_events(read: Read, files: Sequence[Path], rates: Rates, advance: Advance = lambda _: None) -> Iterator[Found]:
    """Yield what ``read`` finds in ``files``; an event with an amount in a currency without a rate becomes a refusal.

    Once in the log, such an amount would stop every reader of the log.
    """
    for file, number, event in read(files, advance):
        if not isinstance(event, EventError):
            unknown = next((money.currency for money in moneys(event) if money.currency not in rates), None)
            if unknown is not None:
                yield file, number, EventError(rates.missing(unknown))
                continue
        yield file, number, event


def import_files(
    store: Store,
    read: Read,
    files: Sequence[Path],
    rates: Rates,
    *,
    on_error: OnError,
    workspace: Path,
    watch: Watch | None = None,
) -> Imported:
    """Append the events of ``files`` to ``store``, merged by ``at``, then in the order in which they are read.

    Memory: 28 bytes an event and what the reader keeps; the events themselves wait in a temporary file.

    Args:
        store: the log.
        read: reader of the files' format.
        files: what it reads; for log files the order that decides between events of one instant.
        rates: rates of exchange; an amount in another currency is refused.
        on_error: ``stop``: the first refused line ends the import, nothing is kept; ``skip``: all other lines are kept.
        workspace: folder for the temporary file.
        watch: whom to tell of progress.

    Returns:
        Counts and refused lines. With ``stop``, a refused line means that nothing was accepted.

    Raises:
        CocokError: the files do not fit the format, the temporary file cannot be written, or the store cannot be used.
    """
    watch = watch or Watch()
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=workspace) as spill:
            waiting = _Waiting(spill)
            return _merge(store, waiting, read_events(read, files, rates, watch.read), on_error, watch)
    except OSError as error:
        raise CocokError(
            f"cannot write under {workspace}: {error.strerror or error}; make room or set COCOK_HOME to another folder"
        ) from error


def _merge(store: Store, waiting: "_Waiting", found: Iterator[Found], on_error: OnError, watch: Watch) -> Imported:
    done = Imported()
    for file, number, event in found:
        if not isinstance(event, EventError):
            waiting.add(event, file, number)
            if isinstance(event, WorkerErased) and not carried_out(event):
                done.to_erase.add(event.worker_id)
            continue
        done.refused.append(Refused(str(file), number, str(event)))
        if on_error == "stop":
            return done
    order = waiting.order()
    watch.sort(len(order))
    if on_error == "stop":
        _append_all(store, waiting, order, done, watch)
    else:
        _append_good(store, waiting, order, done, watch)
    return done


class _Waiting:
    """Events that wait in a temporary file until their order is known."""

    def __init__(self, spill: IO[bytes]) -> None:
        self._spill = spill
        self._files: dict[Path, int] = {}
        self._at = array("q")
        self._line = array("q")
        self._file = array("i")
        self._end = array("q", [0])

    def add(self, event: Event, file: Path, line: int) -> None:
        event_id, kind, at, payload = pack(event)
        record = _SEPARATOR.join((event_id.encode(), kind.encode(), payload))
        self._spill.write(record)
        self._at.append(at)
        self._line.append(line)
        self._file.append(self._files.setdefault(file, len(self._files)))
        self._end.append(self._end[-1] + len(record))

    def order(self) -> NDArray[np.int64]:
        # A stable sort leaves events of one instant in the order in which they were read.
        return np.argsort(np.frombuffer(self._at, dtype=np.int64), kind="stable") if self._at else np.empty(0, np.int64)

    def rows(self, order: Iterable[int]) -> Iterator[Packed]:
        self._spill.flush()
        with mmap(self._spill.fileno(), 0, access=ACCESS_READ) as text:
            for place in order:
                event_id, kind, payload = text[self._end[place] : self._end[place + 1]].split(_SEPARATOR, 2)
                yield Packed(event_id.decode(), kind.decode(), self._at[place], payload)

    def refused(self, place: int) -> Refused:
        reason = "event_id already used with other content; an event never changes, send it under a new event_id"
        return Refused(str(list(self._files)[self._file[place]]), self._line[place], reason)


def _append_all(store: Store, waiting: _Waiting, order: NDArray[np.int64], done: Imported, watch: Watch) -> None:
    def told(rows: Iterator[Packed]) -> Iterator[Packed]:
        for count, row in enumerate(rows, start=1):
            if count % 1_000 == 0:
                watch.stored(1_000)
            yield row

    if not len(order):
        return
    try:
        result = store.append_packed(told(waiting.rows(order.tolist())))
    except ConflictError as error:
        done.refused += [waiting.refused(int(order[position])) for position in error.positions]
        return
    done.accepted, done.duplicates = result.accepted, result.duplicates


def _append_good(store: Store, waiting: _Waiting, order: NDArray[np.int64], done: Imported, watch: Watch) -> None:
    for start in range(0, len(order), _CHUNK):
        places = order[start : start + _CHUNK].tolist()
        rows = list(waiting.rows(places))
        try:
            result = store.append_packed(rows)
        except ConflictError as error:
            bad = set(error.positions)
            done.refused += [waiting.refused(places[position]) for position in error.positions]
            result = store.append_packed(row for position, row in enumerate(rows) if position not in bad)
        done.accepted += result.accepted
        done.duplicates += result.duplicates
        watch.stored(len(places))


def first_refusal(refused: list[Refused]) -> CocokError:
    """Return the error of an import that was stopped."""
    first = refused[0]
    more = f" (and {len(refused) - 1} more lines)" if len(refused) > 1 else ""
    return CocokError(
        f"{first.file}, line {first.line}: {first.reason}{more}; nothing was kept, --on-error skip keeps the good lines"
    )
