"""The snapshots of a log: a folder of files, of which the newest sound one spares a start most of the folding.

They hold ids and profiles, so an erasure deletes those that know the worker before it is answered. One that is being
written meanwhile does not come to stand in the folder: it is looked for under the same lock, and whoever writes it
asks, under that lock, whether the log is still the one that was folded.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from features.collector import collector_paused
from features.errors import CocokError
from features.events import WorkerErased
from features.money import Rates
from features.progress import Steps
from features.snapshot import Header, Origin, SnapshotError, load, save
from features.state import MarketState
from service.erasure import carried_out
from service.files import sync_folder
from service.store import Identity, Store, ToFold

log = logging.getLogger(__name__)

FINISHED, UNFINISHED = ".snapshot", ".unfinished"
ATTEMPTS = 3
"""How often a snapshot is begun anew because a worker was erased meanwhile."""


class _TooLateError(Exception):
    """A snapshot that is sound, but knows more than is wanted."""


class Restored(NamedTuple):
    """A state that was read from a snapshot.

    Attributes:
        state: the market after the event ``header.seq``.
        header: what the snapshot says of itself.
        path: the file.
        erasures: those that were folded into it, and perhaps not yet carried out in the log.
    """

    state: MarketState
    header: Header
    path: Path
    erasures: list[tuple[int, WorkerErased]]


class Taken(NamedTuple):
    """What came of taking a snapshot.

    Attributes:
        path: the newest snapshot.
        seq: sequence number of the last event in it.
        size: bytes.
        written: whether it is new; the log may have had nothing that an older one did not know.
        since: sequence number of the snapshot that it began from, 0 for the beginning of the log.
        seconds: what it took.
        pruned: snapshots that were deleted.
    """

    path: Path
    seq: int
    size: int
    written: bool
    since: int
    seconds: float
    pruned: int


class Snapshots:
    """The snapshots of one log.

    Args:
        folder: theirs alone; made when the first one is written.
        store: the log.
        rates: rates of exchange in force.
    """

    def __init__(self, folder: Path, store: Store, rates: Rates) -> None:
        self.folder = folder
        self._store = store
        self._rates = rates

    def files(self) -> list[Path]:
        """Return the snapshots, the newest first."""
        return sorted(self.folder.glob(f"*{FINISHED}"), key=_seq, reverse=True)

    def newest(self) -> int:
        """Return the sequence number that the newest snapshot claims; 0 if there is none."""
        return max(map(_seq, self.files()), default=0)

    def restore(self, known_before: int | None = None) -> Restored | None:
        """Return what the newest sound snapshot holds; None if there is none.

        Those that are damaged, or of other code, rates or another log, are skipped with a warning that says why.

        Args:
            known_before: microseconds since 1970; only one of whose events all were known before then.
        """

        def check(header: Header) -> None:
            self._check(header)
            if known_before is not None and header.clock >= known_before:
                raise _TooLateError

        for path in self.files():
            try:
                state, header = load(path, self._rates, check)
            except _TooLateError:
                continue
            except SnapshotError as error:
                reason = str(error)
                log.warning(
                    "snapshot %s is skipped: %s", path.name, reason, extra={"snapshot": path.name, "reason": reason}
                )
                continue
            return Restored(state, header, path, list(self._erasures(header.origin.erasures)))
        return None

    def state(self, progress: Steps) -> MarketState:
        """Return the market at the end of the log, folded from the newest sound snapshot.

        Args:
            progress: is told of the steps.
        """
        return self._folded(self.restore(), self._store.last_seq(), progress)[0]

    def take(self, keep: int, progress: Steps = lambda step, done, total: None) -> Taken:
        """Fold what the log has beyond the newest sound snapshot, write a new one, and delete those too many.

        Reads and writes of the log go on meanwhile.

        Args:
            keep: snapshots that remain at the most, the new one among them.
            progress: is told of the steps.

        Raises:
            CocokError: another process takes one, the log is empty or cannot be folded, workers are erased all the
                time, or the file cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                for file in self.folder.glob(f"*{UNFINISHED}"):
                    # Of a process that ended before it was through.
                    file.unlink(missing_ok=True)
                for _ in range(ATTEMPTS):
                    if (taken := self._take(keep, progress)) is not None:
                        return taken
        except OSError as error:
            raise CocokError(f"no snapshot can be written to {self.folder}: {error.strerror}") from error
        raise CocokError("workers were erased while the snapshot was taken; take it again")

    def forget(self, before: int) -> None:
        """Delete the snapshots that do not know the event ``before``, and hinder those that are being written."""
        if not self.folder.exists():
            return
        with self._lock():
            for file in [*self.files(), *self.folder.glob(f"*{UNFINISHED}")]:
                if _seq(file) < before:
                    file.unlink(missing_ok=True)
            sync_folder(self.folder)

    def _take(self, keep: int, progress: Steps) -> Taken | None:
        """Take one; None if a worker was erased meanwhile."""
        begun, identity, end = time.perf_counter(), self._store.identity(), self._store.last_seq()
        if end == 0:
            raise CocokError("the log is empty: bring events in with `cocok import PATH`")
        restored = self.restore()
        since = 0 if restored is None else restored.header.seq
        state, erasures = self._folded(restored, end, progress)
        if restored is not None and state.seq == since:
            size = restored.path.stat().st_size
            return Taken(
                restored.path, since, size, False, since, time.perf_counter() - begun, self._prune(since, keep)
            )
        pending = tuple(seq for seq, erased in erasures if not carried_out(erased))
        origin = Origin(identity.log, identity.rewrites, self._mark(state.seq) or "", pending)
        unfinished, finished = (self.folder / f"{state.seq:012}{suffix}" for suffix in (UNFINISHED, FINISHED))
        progress("Writing", 0, 1)
        try:
            with self._lock():
                if self._outdated(identity, state.seq):
                    return None
                # Made under the lock: an erasure that comes now finds it.
                file = unfinished.open("xb")
            with file:
                save(file, state, self._rates, origin)
                file.flush()
                os.fsync(file.fileno())
            with self._lock():
                if self._outdated(identity, state.seq):
                    return None
                unfinished.replace(finished)
                sync_folder(self.folder)
        finally:
            unfinished.unlink(missing_ok=True)
        progress("Writing", 1, 1)
        if erasures:
            self.forget(max(seq for seq, _ in erasures))
        pruned = self._prune(state.seq, keep)
        size = finished.stat().st_size
        return Taken(finished, state.seq, size, True, since, time.perf_counter() - begun, pruned)

    def _folded(
        self, restored: Restored | None, end: int, progress: Steps
    ) -> tuple[MarketState, list[tuple[int, WorkerErased]]]:
        state = MarketState(self._rates) if restored is None else restored.state
        erasures = [] if restored is None else restored.erasures
        since = state.seq
        with collector_paused():
            for entries in self._store.read_to_fold(after=since):
                state.apply(entries)
                erasures.extend(_erasures_of(entries))
                progress("Folding the log", min(state.seq, end) - since, end - since)
        return state, erasures

    def _outdated(self, identity: Identity, seq: int) -> bool:
        """Tell whether a state that was folded to ``seq`` knows more of a worker than the log may still tell."""
        return self._store.identity() != identity or any(True for _ in self._erased_after(seq))

    def _check(self, header: Header) -> None:
        """Refuse a snapshot of another log, or of what this one no longer tells."""
        identity, origin = self._store.identity(), header.origin
        if origin.log != identity.log:
            raise SnapshotError("it is of another log")
        if self._mark(header.seq) != origin.mark:
            raise SnapshotError(f"the log has another event {header.seq}, or none")
        if origin.rewrites != identity.rewrites and any(
            carried_out(erased) for _, erased in self._erased_after(header.seq)
        ):
            raise SnapshotError("it knows a worker who was erased since")

    def _mark(self, seq: int) -> str | None:
        # The id alone: the content of an event is replaced when its worker is erased.
        rows = next(self._store.read(after=seq - 1, batch=1), [])
        if not rows or rows[0].seq != seq:
            return None
        return blake2b(f"{rows[0].known_at} {rows[0].event.event_id}".encode(), digest_size=16).hexdigest()

    def _erased_after(self, seq: int) -> Iterator[tuple[int, WorkerErased]]:
        for entries in self._store.read(after=seq):
            yield from _erasures_of(entries)

    def _erasures(self, seqs: Sequence[int]) -> Iterator[tuple[int, WorkerErased]]:
        for seq in seqs:
            yield from _erasures_of(next(self._store.read(after=seq - 1, batch=1), []))

    def _prune(self, newest: int, keep: int) -> int:
        # One that claims to be newer than the end of the log is of another log, or of this one before it was set back.
        kept = [file for file in self.files() if _seq(file) <= newest][:keep]
        pruned = [file for file in self.files() if file not in kept]
        for file in pruned:
            file.unlink(missing_ok=True)
        return len(pruned)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with FileLock(self.folder / "taking.lock", timeout=0):
                yield
        except Timeout as error:
            raise CocokError("another process takes a snapshot of this log; let it end first") from error

    def _lock(self) -> FileLock:
        return FileLock(self.folder / "files.lock")


def _seq(file: Path) -> int:
    return int(file.stem) if file.stem.isdecimal() else 0


def _erasures_of(entries: Sequence[ToFold]) -> list[tuple[int, WorkerErased]]:
    return [(seq, event) for seq, _, event in entries if isinstance(event, WorkerErased)]
