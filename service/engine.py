"""The engine: owns the state, follows the log, answers queries. Everything here is synchronous and thread-safe."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import NamedTuple, TypeVar

import numpy as np

from features.errors import CocokError
from features.events import Event as MarketEvent
from features.events import WorkerErased
from features.money import Rates
from features.state import MarketState
from matching.audience import Audience
from matching.pipeline import Matcher
from matching.query import Query
from matching.scoring import Ranker
from service.audiences import AudienceDesk
from service.erasure import Eraser, carried_out
from service.listing import Listing, Ranked, listed
from service.locks import ReadWriteLock
from service.models import Models
from service.snapshots import Snapshots
from service.store import BATCH, Appended, ConflictError, Store

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

GROUP = 5_000
"""Events that one commit holds at the most."""

GATHER_SECONDS = 0.01
"""How long lists wait for others to be written with while requests queue up: a commit of ten costs little more."""

FOLD_AT_ONCE = 500
"""Events folded while readers wait; a few milliseconds."""

LISTS_SECONDS = 0.05
"""How long lists that were served wait at the most until they are folded together: one fold costs as much as ten."""

LULL_SECONDS = 0.03
"""After which they are folded as soon as nobody reads, so that nobody is held up."""

FOLLOW_SECONDS = 0.5
"""How often the log is looked at for events that another process wrote."""

HEARD_SECONDS = 3 * FOLLOW_SECONDS
"""After which other processes that follow the log know an event, unless they are held up."""


class _StoppedError(Exception):
    """The engine is stopping, and what is under way is to end where it is."""


class _Group(NamedTuple):
    """Events that are written together.

    Attributes:
        events: those.
        done: who waits for them.
        seen: whether until reads see them.
        due: when they are to be written at the latest, by the monotonic clock.
    """

    events: Sequence[MarketEvent]
    done: "Future[Appended]"
    seen: bool
    due: float


class Engine:
    """The state of the market, kept up with the log; and the one writer of this process.

    Args:
        store: the log.
        rates: currency rates.
        models: what ranks.
        log_clock: now is ``known_at`` of the log instead of the wall clock, for replaying history.
        matcher: the pipeline.
        snapshots: of the log, one of which is begun from; and they forget whom the log forgets.
        alone: no other process is known to follow the log, so that an erasure need not wait until others know it.

    Attributes:
        caught_up: the log was folded as it was at the start; False again while it has to be folded anew.
        failure: why the log can no longer be followed; empty while it can.
        restored: sequence number of the snapshot that was begun from, 0 for the beginning of the log.
    """

    def __init__(
        self,
        store: Store,
        rates: Rates,
        models: Models,
        *,
        log_clock: bool = False,
        matcher: Matcher | None = None,
        snapshots: Snapshots | None = None,
        alone: bool = True,
    ) -> None:
        self.store = store
        self.models = models
        self.log_clock = log_clock
        self.caught_up = False
        self.failure = ""
        self.restored = 0
        self._snapshots = snapshots
        self._matcher = matcher or Matcher()
        self._rates = rates
        self._state = MarketState(rates)
        self._lock = ReadWriteLock()
        self._eraser = Eraser(
            store, snapshots.forget if snapshots else lambda _: None, wait=0.0 if alone else HEARD_SECONDS
        )
        self._audiences = AudienceDesk(self.read, models, self.now)
        self._waiting: SimpleQueue[_Group] = SimpleQueue()
        self._submitting = Lock()
        self._unfolded_since: float | None = None
        self._recovering = False
        self._stop = Event()
        self._writer = Thread(target=self._write, name="cocok-writer", daemon=True)

    def start(self) -> None:
        """Fold the log as it is, from the newest sound snapshot if there is one, then follow it.

        Ends early if the engine is stopped meanwhile.

        Raises:
            CocokError: the log cannot be read, or holds what cannot be folded.
        """
        rewrites = self.store.identity().rewrites
        restored = self._snapshots.restore() if self._snapshots else None
        if restored is not None:
            with self._lock.write():
                self._state, self.restored = restored.state, restored.header.seq
            self._eraser.note(restored.erasures)
            del restored
        self._follow(at_once=BATCH)
        self.prepare(self.models.current.ranker)
        if not self._stop.is_set():
            # What came while that went on.
            self._follow(at_once=BATCH)
        if self.store.identity().rewrites != rewrites:
            # Another process erased somebody meanwhile, of whom this state may know.
            self._begin_anew()
        with self._submitting:
            if self._stop.is_set():
                return
            self._eraser.start()
            self._writer.start()
            self._audiences.start()
            self.caught_up = True

    def prepare(self, ranker: Ranker) -> None:
        """Compute what a ranker says of every open task for anybody, so that its first list need not wait for that.

        It ends early if the engine is stopped meanwhile.
        """

        def part(reader: Callable[[MarketState], Answer]) -> Answer:
            if self._stop.is_set():
                raise _StoppedError
            return self.read(reader)

        with suppress(_StoppedError):
            self._matcher.priors.prepare(part, ranker, self.now())

    def stop(self) -> None:
        """Write what is waiting, and end. What is submitted from now on is refused."""
        with self._submitting:
            self._stop.set()
        if self._writer.is_alive():
            self._writer.join()
        self._audiences.stop()
        self._eraser.stop()
        for group in self._drain():
            group.done.set_exception(_stopping())

    @property
    def seq(self) -> int:
        """Sequence number of the last event that reads see."""
        return self._state.seq

    def newest_snapshot(self) -> int:
        """Return the sequence number of the newest snapshot in the folder, sound or not; 0 if there is none."""
        return self._snapshots.newest() if self._snapshots else 0

    def now(self) -> int:
        """Return the instant of a request that comes now, in microseconds since 1970; never before the log's clock."""
        clock = self._state.clock or 0
        return clock if self.log_clock else max(clock, time.time_ns() // 1_000)

    def look(self) -> "Future[Appended]":
        """Return a future that is done when reads see all that is in the log now, whoever wrote it."""
        return self.submit(())

    def submit(self, events: Sequence[MarketEvent], *, seen: bool = True, gather: bool = False) -> "Future[Appended]":
        """Append events, all or none; the future is done when they are durable and reads see them.

        If they need not be ``seen``, it is done when they are durable, and reads see them `LISTS_SECONDS` later, or as
        much later as others are gathered for: a fold stops all reads, so one for every list would have each feed wait
        for the others. If they are to ``gather``, they wait up to `GATHER_SECONDS` for others to be written with.

        It raises `service.store.ConflictError` if an id is taken by other content, and `CocokError` if the log cannot
        be written or the engine is stopping. One that is cancelled before its turn is not written.
        """
        done: Future[Appended] = Future()
        with self._submitting:
            if self._stop.is_set():
                done.set_exception(_stopping())
            else:
                self._waiting.put(_Group(events, done, seen, time.monotonic() + GATHER_SECONDS * gather))
        return done

    def erased(self, seq: int) -> "Future[None]":
        """Return a future that is done when the erasure logged at ``seq`` has reached the whole log."""
        return self._eraser.done(seq)

    def read(self, reader: Callable[[MarketState], Answer]) -> Answer:
        """Return what ``reader`` makes of the state, which stands still meanwhile."""
        with self._lock.read():
            return reader(self._state)

    def read_with_lists(self, reader: Callable[[MarketState], Answer]) -> Answer:
        """Return the same of a state that holds every list answered so far, also those that need not be ``seen``.

        Raises:
            CocokError: they cannot be read, the log is being read anew, or the engine is stopping.
        """
        self._expect_whole()
        if self._unfolded_since is not None:
            self.submit(()).result()
        with self._lock.read():
            self._expect_whole()
            return reader(self._state)

    def feed(
        self, make: Callable[[int], Query], note: Callable[[Listing, Query], None] | None = None
    ) -> tuple[Ranked, Query]:
        """Rank the open tasks for a worker; ``make`` is given the instant and returns the query.

        As soon as the order stands, ``note`` hears of it, so that it can be logged while the rest of the answer is
        computed. The state stands still meanwhile, so it must not wait for events to be seen. Should the rest fail, the
        list is in the log, as it is where an answer is lost on its way.

        Raises:
            CocokError: the log is being read anew.
        """
        serving = self.models.current
        with self._lock.read():
            self._expect_whole()
            query, state = make(self.now()), self._state
            page = self._matcher.page(state, serving.ranker, query)
            tasks, ranking = state.catalogue.tasks.externals(page.ranking.tasks.tolist()), page.ranking
            listing = listed(serving, state.seq, query, tasks, page.scores, ranking.propensities)
            if note is not None:
                note(listing, query)
            feed = self._matcher.told(state, query, page)
        return Ranked(listing, feed.items, feed.removed, feed.listed, feed.more, feed.near_misses), query

    def ranking(self, make: Callable[[int], Query], candidates: Sequence[str]) -> tuple[Ranked, Query]:
        """Rank the caller's own candidates for a worker; it raises what `feed` raises."""
        serving = self.models.current
        with self._lock.read():
            self._expect_whole()
            query = make(self.now())
            items, removed = self._matcher.ranking(self._state, serving.ranker, query, candidates)
            seq = self._state.seq
        tasks, scores = [item.task_id for item in items], np.array([item.score for item in items])
        listing = listed(serving, seq, query, tasks, scores, np.array([item.propensity for item in items]))
        return Ranked(listing, items, removed), query

    def audience(self, find: Callable[[MarketState, int], int], limit: int) -> tuple[Audience, str, int]:
        """Return workers for a task, the version that ranked them, and the sequence number of the last event it knew.

        Args:
            find: is given the state and the instant, and returns the task's index; what it raises comes through.
            limit: workers at the most.

        Raises:
            UnpreparedError: a thread prepares what it rests on; ask again. Nothing waits for that meanwhile.
            CocokError: the log is being read anew.
        """
        self._expect_whole()
        return self._audiences.audience(find, limit)

    def _write(self) -> None:
        """Group what is waiting into one commit, fold it, and tell those who wait."""
        while not (self._stop.is_set() and self._waiting.empty()):
            groups = self._take()
            if groups:
                self._commit(groups)
            else:
                self._catch_up()

    def _take(self) -> list[_Group]:
        groups: list[_Group] = []
        with suppress(Empty):
            group = self._waiting.get(timeout=self._patience())
            events, due = 0, group.due
            while True:
                due = min(due, group.due)
                # The caller may have given up, and nobody may set what is cancelled.
                if group.done.set_running_or_notify_cancel():
                    groups.append(group)
                    events += len(group.events)
                if events >= GROUP:
                    break
                group = self._waiting.get(timeout=max(0.0, due - time.monotonic()))
        return groups

    def _patience(self) -> float:
        """Return the seconds that the log and what is not folded may be left alone."""
        if self._unfolded_since is None:
            return FOLLOW_SECONDS
        return max(0.0, self._unfolded_since + LISTS_SECONDS - time.monotonic())

    def _drain(self) -> list[_Group]:
        groups = []
        with suppress(Empty):
            while True:
                group = self._waiting.get_nowait()
                if group.done.set_running_or_notify_cancel():
                    groups.append(group)
        return groups

    def _commit(self, groups: list[_Group]) -> None:
        # Who only looks does not depend on what others write.
        looks, groups = [group for group in groups if not group.events], [group for group in groups if group.events]
        results: list[Appended | ConflictError] = []
        try:
            if groups:
                results = self.store.append_groups([group.events for group in groups])
        except Exception as error:
            # A full disk or a locked file: those who wait must hear of it, and the writer must live on.
            log.exception("the log could not be written")
            for group in groups:
                group.done.set_exception(error)
            groups = []
        if not (groups or looks):
            return
        awaited = []
        self._unfolded_since = self._unfolded_since or time.monotonic()
        for group, result in zip(groups, results, strict=True):
            if isinstance(result, ConflictError):
                group.done.set_exception(result)
            elif group.seen:
                awaited.append((group.done, result))
            else:
                group.done.set_result(result)
        waited = time.monotonic() - self._unfolded_since
        if awaited or looks or waited > (LISTS_SECONDS if self._lock.in_use else LULL_SECONDS):
            self._catch_up()
        for done, result in awaited:
            if self.failure and result.seq > self._state.seq:
                done.set_exception(CocokError(f"the events are in the log but cannot be read: {self.failure}"))
            else:
                done.set_result(result)
        for look in looks:
            if self.failure:
                look.done.set_exception(CocokError(f"the log cannot be read: {self.failure}"))
            else:
                look.done.set_result(Appended(0, 0, self._state.seq))

    def _catch_up(self) -> None:
        """Follow the log; what goes wrong is kept in ``failure`` until it goes right again, and the writer lives on."""
        try:
            self._follow(FOLD_AT_ONCE)
        except Exception as error:
            failure = str(error) if isinstance(error, CocokError) else type(error).__name__
            if failure != self.failure:
                log.exception("the log cannot be followed beyond event %d: %s", self._state.seq, failure)
            self.failure = failure
        else:
            self.failure, self.caught_up, self._recovering = "", True, False
        self._unfolded_since = None

    def _follow(self, at_once: int) -> None:
        for entries in self.store.read_to_fold(after=self._state.seq, batch=at_once):
            erasures = [(seq, event) for seq, _, event in entries if isinstance(event, WorkerErased)]
            if self.caught_up and any(carried_out(erased) for _, erased in erasures):
                # Whom another process erased cannot be told any more, and this state may know that worker.
                self._recover()
                return
            with self._lock.write():
                self._state.apply(entries)
            self._eraser.note(erasures)
            if self._stop.is_set() and not self.caught_up:
                return

    def _recover(self) -> None:
        """Begin anew while requests come in; none is answered from the state meanwhile."""
        self.caught_up = False
        self._recovering = True
        self._audiences.stop()
        try:
            self._begin_anew()
            self._recovering = False
        finally:
            self._audiences = AudienceDesk(self.read, self.models, self.now)
            self._audiences.start()

    def _begin_anew(self) -> None:
        """Forget the state, and fold the log from its beginning, until nobody is erased meanwhile."""
        rewrites = None
        while rewrites != self.store.identity().rewrites and not self._stop.is_set():
            rewrites = self.store.identity().rewrites
            log.warning("another process erased workers before this one knew of it: the log is read anew")
            with self._lock.write():
                self._state, self.restored = MarketState(self._rates), 0
            self._follow(at_once=BATCH)
            self.prepare(self.models.current.ranker)

    def _expect_whole(self) -> None:
        if self._recovering:
            raise CocokError("the log is being read anew; ask again")


def _stopping() -> CocokError:
    return CocokError("the server is stopping; send the events again")
