"""Erasure: a worker who asked to be forgotten leaves the log, while its numbers and its clock stay as they were.

The id becomes a pseudonym that says nothing, the same for all of the worker's events up to the erasure, so that a later
replay folds to the same market. Profiles, wishes and free text are dropped.
"""

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from hashlib import blake2b
from operator import itemgetter
from threading import Condition, Thread

import msgspec

from features.events import (
    AssignmentApproved,
    AssignmentRejected,
    Event,
    FeedContext,
    FeedServed,
    WorkerErased,
    WorkerUpdated,
)
from service.store import Store

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
AT_ONCE = 5_000
"""Events that one transaction rewrites."""


def erase(store: Store, erasures: Iterable[tuple[int, WorkerErased]], forget: Callable[[], None] = lambda: None) -> int:
    """Rewrite what is kept of erased workers, each up to and including the event that erased it.

    It may be done again, or by two processes at once: the outcome is the same.

    Args:
        store: the log.
        erasures: events that erase, with their sequence numbers.
        forget: deletes what was made of the log. It is called before the log is rewritten, so that one that fails is
            done again with the rest; but not until everything is read that is rewritten: from a log that cannot be
            read, nothing could be made again.

    Returns:
        How many events were rewritten.
    """
    lives: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for seq, erased in sorted(erasures, key=itemgetter(0)):
        lives[erased.worker_id].append((seq, _pseudonym(erased)))
    rewritten: list[tuple[int, Event]] = []
    for seq, _, event in store.of_workers(lives.keys(), max((ends[-1][0] for ends in lives.values()), default=0)):
        ends = lives[str(getattr(event, "worker_id"))]  # noqa: B009  # only events that have one are read
        life = bisect_left(ends, seq, key=itemgetter(0))
        if life < len(ends):
            rewritten.append((seq, anonymous(event, ends[life][1])))
    forget()
    # In pieces, so that other writers wait for none of them long; the event that erases comes last.
    for start in range(0, len(rewritten), AT_ONCE):
        store.rewrite_all(rewritten[start : start + AT_ONCE])
    if not rewritten:
        store.rewrite_all([])
    return len(rewritten)


def _pseudonym(erased: WorkerErased) -> str:
    # Of the event and not of the worker's id, which could be found by trying ids.
    return f"erased-{blake2b(erased.event_id.encode(), digest_size=16).hexdigest()}"


def carried_out(erased: WorkerErased) -> bool:
    """Tell whether an event that erases has itself been rewritten, with the last of what its erasure rewrites.

    What was there before may still be in the store: see `service.store.base.Store.rewrite_all`.
    """
    # The very pseudonym: a worker may have an id that looks like one.
    return erased.worker_id == _pseudonym(erased)


def anonymous(event: Event, pseudonym: str) -> Event:
    """Return an event as it may be kept of a worker who is forgotten."""
    match event:
        case WorkerUpdated():
            return WorkerUpdated(event_id=event.event_id, at=event.at, worker_id=pseudonym)
        case FeedServed(context=FeedContext(session_minutes=minutes)):
            # The one wish that rows of training are computed from; the others name what the worker wanted.
            return msgspec.structs.replace(
                event, worker_id=pseudonym, context=FeedContext(session_minutes=minutes) if minutes else None
            )
        case AssignmentApproved() | AssignmentRejected():
            return msgspec.structs.replace(event, worker_id=pseudonym, reason=None)
        case _:
            return msgspec.structs.replace(event, worker_id=pseudonym)


class Eraser:
    """Carries out erasures in a thread of its own, since the whole log is searched for each.

    One that was logged but not carried out, because the process ended, is noted again when the log is folded. Whether a
    process ended after it had rewritten events, but before the store was rid of what was there before, cannot be told
    from the log: so of a log in which anything was ever rewritten, the store is rid of that at the start.

    Args:
        store: the log.
        forget: deletes what else knows workers, given the number of an event that erases: whatever was made of the log
            before it. It is called as `erase` does.
        wait: seconds from when an erasure is noted until it is carried out, in which others can read whom it erases.
    """

    def __init__(self, store: Store, forget: Callable[[int], None] = lambda _: None, *, wait: float = 0.0) -> None:
        self._store = store
        self._forget = forget
        self._wait = wait
        self._outdated = self._forgotten = 0
        self._unsure = False
        self._pending: dict[int, WorkerErased] = {}
        self._waiting: dict[int, list[Future[None]]] = defaultdict(list)
        self._changed = Condition()
        self._stopping = False
        self._thread = Thread(target=self._run, name="cocok-eraser", daemon=True)

    def start(self) -> None:
        """Begin with what has been noted."""
        self._unsure = self._store.identity().rewrites > 0
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way, and end; what is left is done at the next start."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def note(self, erased: Iterable[tuple[int, WorkerErased]]) -> None:
        """Take in erasures that were just folded; those that were carried out before are known by their pseudonyms."""
        found = dict(erased)
        if found:
            with self._changed:
                self._pending.update({seq: event for seq, event in found.items() if not carried_out(event)})
                self._outdated = max(self._outdated, *found)
                self._changed.notify_all()

    def done(self, seq: int) -> "Future[None]":
        """Return a future that is done when the erasure of that number, already noted, has been carried out."""
        future: Future[None] = Future()
        with self._changed:
            if seq in self._pending:
                self._waiting[seq].append(future)
            else:
                future.set_result(None)
        return future

    def _run(self) -> None:
        for outdated, erasures in self._batches():
            try:
                # Also of none: another process may have been cut off in one.
                count = erase(self._store, erasures.items(), partial(self._forget, outdated))
            except Exception:
                log.exception("erasures could not be carried out to the end, %d are left; trying again", len(erasures))
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, RETRY_SECONDS)
                continue
            if erasures:
                log.info("%d workers were erased from %d events", len(erasures), count)
            with self._changed:
                self._forgotten, self._unsure = outdated, False
                futures = [future for seq in erasures for future in self._waiting.pop(seq, [])]
                for seq in erasures:
                    del self._pending[seq]
            for future in futures:
                if future.set_running_or_notify_cancel():
                    future.set_result(None)

    def _batches(self) -> Iterator[tuple[int, dict[int, WorkerErased]]]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._due() or self._stopping)
                if self._stopping:
                    return
                outdated, erasures = self._outdated, dict(self._pending)
                stopped = self._changed.wait_for(lambda: self._stopping, self._wait if erasures else 0.0)
                if stopped:
                    return
            yield outdated, erasures

    def _due(self) -> bool:
        return bool(self._pending) or self._outdated > self._forgotten or self._unsure
