"""Erasure: a worker who asked to be forgotten leaves the log, while its numbers and its clock stay as they were.

The id becomes a pseudonym that says nothing, the same for all of the worker's events up to the erasure, so that a later
replay folds to the same market. Profiles, wishes and free text are dropped.
"""

import logging
import re
import uuid
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
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
_PSEUDONYM = re.compile(r"erased-[0-9a-f]{32}")


def erase(store: Store, erasures: Iterable[tuple[int, str]]) -> int:
    """Rewrite what is kept of erased workers, each up to and including the event that erased it.

    Args:
        store: the log.
        erasures: sequence number of a `worker_erased`, and its worker.

    Returns:
        How many events were rewritten.
    """
    lives: dict[str, list[int]] = defaultdict(list)
    for seq, worker_id in sorted(erasures):
        lives[worker_id].append(seq)
    if not lives:
        return 0
    names = {worker_id: [f"erased-{uuid.uuid4().hex}" for _ in ends] for worker_id, ends in lives.items()}
    rewritten = []
    for seq, _, event in store.of_workers(lives.keys(), max(ends[-1] for ends in lives.values())):
        owner = str(getattr(event, "worker_id"))  # noqa: B009  # only events that have one are read
        life = bisect_left(lives[owner], seq)
        if life < len(lives[owner]):
            rewritten.append((seq, anonymous(event, names[owner][life])))
    store.rewrite_all(rewritten)
    return len(rewritten)


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

    One that was logged but not carried out, because the process ended, is noted again when the log is folded.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: dict[int, str] = {}
        self._waiting: dict[int, list[Future[None]]] = defaultdict(list)
        self._changed = Condition()
        self._stopping = False
        self._thread = Thread(target=self._run, name="cocok-eraser", daemon=True)

    def start(self) -> None:
        """Begin with what has been noted."""
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
        new = {seq: event.worker_id for seq, event in erased if not _PSEUDONYM.fullmatch(event.worker_id)}
        if new:
            with self._changed:
                self._pending.update(new)
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
        for erasures in self._batches():
            try:
                count = erase(self._store, erasures.items())
            except Exception:
                log.exception("%d erasures could not be carried out; trying again", len(erasures))
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, RETRY_SECONDS)
                continue
            log.info("%d workers were erased from %d events", len(erasures), count)
            with self._changed:
                futures = [future for seq in erasures for future in self._waiting.pop(seq, [])]
                for seq in erasures:
                    del self._pending[seq]
            for future in futures:
                if future.set_running_or_notify_cancel():
                    future.set_result(None)

    def _batches(self) -> Iterator[dict[int, str]]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._stopping)
                if self._stopping:
                    return
                erasures = dict(self._pending)
            yield erasures
