"""What a running server consists of, from the log it opens to the last write before it ends."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from threading import Event, Thread
from typing import NamedTuple, TypeVar

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from filelock import FileLock, Timeout
from starlette.responses import Response

from features.errors import CocokError
from features.money import Rates
from matching.explore import Explore
from matching.pipeline import Matcher, feed_steps
from service.background_jobs import ENOUGH_EVENTS, Turn, archive_lists, take_snapshot
from service.engine import Engine
from service.kernels import COMPILING, compiled
from service.memory import settle
from service.models import Models, ModelSource, Serving
from service.security import KeyStore
from service.settings import Settings
from service.shadow import Shadow
from service.snapshots import Snapshots
from service.store import Appended, open_store
from service.telemetry import Metrics
from service.warm_up import warm_up

log = logging.getLogger(__name__)

ARCHIVE_SECONDS = 3_600
"""How often a server has old lists moved to files, if the settings want it."""

MEASURE_SECONDS = 2.0
"""How often a process of several tells the others how far it is."""

_TURN_SECONDS = 0.5
"""How long a process that waits for its turn to start does not look whether it is to stop."""

Answered = TypeVar("Answered")


Logged = Future[Appended] | None
"""What is done when events that are being logged are durable; None where there are none."""


class Answer(NamedTuple):
    """What a call is answered with, and what must be durable before."""

    body: bytes
    logged: Logged


class Runtime:
    """The parts of a server, and whether they are ready.

    Attributes:
        settings: in force.
        rates: rates of exchange.
        log_clock: now is the log's clock.
        metrics: for Prometheus.
        engine, models, shadow, keys: in place while the server runs.
        ready: set once the log has been folded and something ranks.
        settled: set once it is ready, or known that it will not be.
        failure: why the server will not become ready; empty if nothing is wrong.
    """

    engine: Engine
    models: Models
    shadow: Shadow
    keys: KeyStore

    def __init__(self, settings: Settings, *, log_clock: bool = False) -> None:
        self.settings = settings
        self.rates: Rates = settings.exchange
        self.log_clock = log_clock
        self.metrics = Metrics()
        self.ready = Event()
        self.settled = Event()
        self.failure = ""
        self._stopping = Event()
        self._refreshing = asyncio.Lock()
        self._refreshes = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open everything, catch up in the background, and write what is waiting before closing it all again."""
        store = await to_thread.run_sync(open_store, self.settings.store_url)
        self.keys = KeyStore(self.settings.store_url)
        self.models = Models(
            _source(self.settings),
            self.rates,
            lambda ranker: self.engine.prepare(ranker),
            shadowed=self.settings.shadow_share > 0,
        )
        explore = Explore(temperature=self.settings.explore_temperature, floor=self.settings.explore_floor)
        matcher = Matcher(feed_steps(self.settings.pay_weight), explore=explore)
        self.engine = Engine(
            store,
            self.rates,
            self.models,
            log_clock=self.log_clock,
            matcher=matcher,
            snapshots=Snapshots(self.settings.snapshots, store, self.rates),
            alone=self.settings.processes == 1,
        )
        self.shadow = Shadow(self.engine, matcher, self.models, self.metrics, self.settings.shadow_share)
        self._ranking = ThreadPoolExecutor(self.settings.ranked_at_once, thread_name_prefix="cocok-ranking")
        self._queue: deque[None] = deque()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._start, tasks)
                if self.settings.processes > 1:
                    tasks.start_soon(self._keep_measured)
                yield
                self._stopping.set()
                self.ready.clear()
                await to_thread.run_sync(self.shadow.stop)
                # Stopped before the tasks are cancelled: a fold that is under way hears of it and ends.
                await to_thread.run_sync(self.engine.stop)
                tasks.cancel_scope.cancel()
        finally:
            self._ranking.shutdown(cancel_futures=True)
            self.keys.close()
            store.close()

    async def refresh(self) -> Serving:
        """Look for a new champion, and return what serves then.

        One call at a time takes a thread, however long the store hangs: requests share them. All that come meanwhile
        share the next one, since the one under way may have looked before they came.
        """
        known = self._refreshes
        async with self._refreshing:
            if self._refreshes == known:
                self._refreshes += 1
                await self._ask_the_store(self.models.refresh)
        return self.models.current

    async def rank(self, work: Callable[[], Answered]) -> Answered:
        """Run what takes milliseconds of computing off the event loop, so many at a time as the settings allow."""
        return await asyncio.get_running_loop().run_in_executor(self._ranking, work)

    async def rank_and_log(self, work: Callable[[], Answer]) -> bytes:
        """Run what ranks, as `rank` does, and return the body once what it logs is durable.

        The event loop is woken once for it: each time takes some tenth of a millisecond and waits for the lock of the
        interpreter.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()

        def settle(body: bytes, error: BaseException | None) -> None:
            if answer.done():  # whoever asked has given up
                return
            if error is None:
                answer.set_result(body)
            else:
                answer.set_exception(error)

        def run() -> None:
            self._queue.pop()
            if answer.cancelled():
                return
            try:
                body, logged = work()
            except Exception as error:
                loop.call_soon_threadsafe(settle, b"", error)
                return
            if logged is None:
                loop.call_soon_threadsafe(settle, body, None)
            else:
                logged.add_done_callback(lambda logged: loop.call_soon_threadsafe(settle, body, logged.exception()))

        self._queue.append(None)
        self._ranking.submit(run)
        return await answer

    @property
    def crowded(self) -> bool:
        """Whether requests wait until they are ranked, as all threads are busy."""
        return bool(self._queue)

    def why_not_ready(self) -> str:
        """Return what a server that is not ready waits for; empty if it is ready."""
        if self.failure or self.engine.failure:
            return "The log or the model cannot be read; the server's log says why."
        return "" if self.ready.is_set() and self.engine.caught_up else "The log is being read."

    def measured(self) -> Response:
        """Return the metrics as they are now."""
        self._measure()
        return self.metrics.render()

    def _measure(self) -> None:
        metrics = self.metrics
        metrics.ready.set(not self.why_not_ready())
        metrics.serves(self.models.current.version)
        seq, clock, open_tasks = self.engine.read(lambda state: (state.seq, state.clock or 0, len(state.open_tasks)))
        metrics.seq.set(seq)
        metrics.restored.set(self.engine.restored)
        metrics.clock.set(clock / 1e6)
        metrics.open_tasks.set(open_tasks)

    async def _keep_measured(self) -> None:
        """Let the other processes of this server tell how far this one is."""
        while True:
            await to_thread.run_sync(self._measure)
            await anyio.sleep(MEASURE_SECONDS)

    async def _start(self, tasks: TaskGroup) -> None:
        try:
            await self._ask_the_store(self._warm_up)
            await to_thread.run_sync(self.engine.start)
        except Exception as error:
            self.failure = _told(error)
            log.exception("the server cannot start: %s", self.failure)
            self.settled.set()
            return
        if self.engine.caught_up:
            self.ready.set()
            self.settled.set()
            self.shadow.start()
            known = {"events": self.engine.seq, "snapshot": self.engine.restored}
            turn = Turn(self.settings.home)
            tasks.start_soon(self._take_snapshots, turn)
            tasks.start_soon(self._archive_lists, turn)
            log.info("ready", extra={**known, "model": self.models.current.version})
            await to_thread.run_sync(settle)
        if self.settings.shadow_share:
            # A challenger is not worth a later start.
            await self.refresh()
        while True:
            await anyio.sleep(self.settings.model_poll_seconds)
            await self.refresh()

    async def _ask_the_store(self, work: Callable[[], object]) -> None:
        """Run what asks the model store, off the event loop.

        A server may hang, and a process that ends does not wait for it. A database of this machine is waited for: what
        makes its tables must not be cut off.
        """
        outcome: Future[None] = Future()

        def run() -> None:
            if not outcome.set_running_or_notify_cancel():
                return
            try:
                work()
            except BaseException as error:
                outcome.set_exception(error)
            else:
                outcome.set_result(None)

        remote = self.settings.mlflow_tracking_uri.startswith("http")
        Thread(target=run, name="cocok-model-store", daemon=remote).start()
        await asyncio.wrap_future(outcome)

    def _warm_up(self) -> None:
        self.settings.home.mkdir(parents=True, exist_ok=True)
        # One process makes the model store and compiles the kernels, and the others find them.
        lock = FileLock(self.settings.home / "start.lock")
        while not self._stopping.is_set():
            with suppress(Timeout), lock.acquire(timeout=_TURN_SECONDS):
                if not compiled():
                    log.info(COMPILING)
                if self.models.refresh(champion_alone=True).refused:
                    self.models.resume()
                warm_up(self.rates, self.models.current.ranker)
                return

    async def _take_snapshots(self, turn: Turn) -> None:
        minutes, good = self.settings.snapshot_minutes, self.engine.restored
        while minutes:
            seq = self.engine.seq
            # What this server could not begin from is no use to the next one; and an erasure deletes what there is.
            held = min(good, await to_thread.run_sync(self.engine.newest_snapshot))
            if seq - held >= ENOUGH_EVENTS and turn.mine() and await take_snapshot(self.settings):
                good = seq
            await anyio.sleep(60 * minutes)

    async def _archive_lists(self, turn: Turn) -> None:
        while self.settings.archive_lists_after_days:
            if turn.mine():
                await archive_lists(self.settings)
            await anyio.sleep(ARCHIVE_SECONDS)


def _told(error: Exception) -> str:
    """Return what an operator needs to know of an error."""
    match error:
        case CocokError():
            return str(error)
        case OSError(filename=str(path), strerror=str(reason)):
            return f"{path}: {reason}"
        case _:
            return type(error).__name__


def _source(settings: Settings) -> ModelSource:
    # Imported here: the registry belongs to training, which a server otherwise does without.
    from training.registry import Registry

    return Registry.at(settings.home, settings.mlflow_tracking_uri or None)
