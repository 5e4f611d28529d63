"""A shadow: the challenger ranks beside the champion and serves nobody, so that a promotion is no leap in the dark."""

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

import numpy as np

from features.state import MarketState
from matching.pipeline import Matcher, Page
from matching.priors import Priors
from matching.query import Query
from matching.scoring import Ranker
from service.engine import Engine
from service.models import Models, Serving
from service.telemetry import Metrics

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

KEEP_SECONDS = 1.0
"""How often the shadow's priors are brought up to date while no feed is offered, so that little is left to be done at
once by the next one, while the state stands still."""

PAUSE_SECONDS = 0.001
"""Between two parts of a preparation, for those who wait for the state or the interpreter."""

_CHANCE = secrets.SystemRandom()


class _StoppingError(Exception):
    """The preparation is to end where it is."""


class Shadow:
    """Lets champion and shadow choose a page each for a share of the feeds, in a thread of its own, and compares them.

    Numbers are all that is left of it, in the metrics. One feed waits for the thread at the most, and those that come
    meanwhile are skipped: however busy the server is, it never falls behind.

    Args:
        engine: has the state.
        matcher: what feeds are served with.
        models: the champion and, if there is one, the shadow.
        metrics: where it tells what it finds.
        share: of the feeds that are offered, 0..1; with 0 there is no thread.
    """

    def __init__(self, engine: Engine, matcher: Matcher, models: Models, metrics: Metrics, share: float) -> None:
        self._engine = engine
        self._matcher = matcher
        # With priors of its own: whoever writes them lets all others wait who need them.
        self._beside = replace(matcher, priors=Priors())
        self._models = models
        self._metrics = metrics
        self._share = share
        self._offered: Queue[Query | None] = Queue(maxsize=1)
        self._prepared: Serving | None = None
        self._told: set[tuple[str, str]] = set()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="cocok-shadow", daemon=True)

    def start(self) -> None:
        """Begin to compare; once the engine has started."""
        if self._share:
            self._thread.start()

    def stop(self) -> None:
        """End, in the middle of a preparation if need be."""
        self._stop.set()
        with suppress(Full):
            # Whoever waits for a feed wakes up.
            self._offered.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join()

    def offer(self, query: Query) -> None:
        """Have a feed that was answered ranked by the shadow too, by chance and unless it is busy; nothing waits.

        Later pages and orders that chance had a hand in are left alone: they show less than all of what a model does.
        """
        plain = not query.listed and query.explore is None and query.swap is None
        if plain and self._models.shadow is not None and _CHANCE.random() < self._share:
            with suppress(Full):
                self._offered.put_nowait(query)

    def _run(self) -> None:
        while not self._stop.is_set():
            query = None
            with suppress(Empty):
                query = self._offered.get(timeout=KEEP_SECONDS)
            self._turn(query)

    def _turn(self, query: Query | None) -> None:
        shadow = self._models.shadow
        if shadow is None or not self._engine.caught_up:
            # A state that is made anew has to be prepared for again.
            self._prepared = None
            return
        try:
            if self._prepared is not shadow:
                self._beside.priors.prepare(self._part, shadow.ranker, self._engine.now())
                self._prepared = shadow
            if query is None:
                self._engine.read(lambda state: self._beside.priors.of(state, shadow.ranker, self._engine.now()))
            else:
                self._compare(self._models.current, shadow, query)
        except _StoppingError:
            return
        except Exception as error:
            # Whatever it raises, it is no more than a shadow. What it says may hold values.
            self._metrics.shadow_failures.inc()
            failure = shadow.version, type(error).__name__
            if failure not in self._told:
                self._told.add(failure)
                log.warning("shadow %s fails: %s", *failure)

    def _compare(self, champion: Serving, shadow: Serving, query: Query) -> None:
        sides = [("champion", self._matcher, champion.ranker), ("shadow", self._beside, shadow.ranker)]
        # The second one finds what it needs of the market in the processor's caches.
        _CHANCE.shuffle(sides)

        def choose(state: MarketState) -> dict[str, tuple[Page, float]]:
            asked = replace(query, now=self._engine.now(), explain=False)
            return {name: _timed(matcher, state, ranker, asked) for name, matcher, ranker in sides}

        chosen = self._engine.read(choose)
        for name, (_, seconds) in chosen.items():
            self._metrics.shadow_seconds.labels(name).observe(seconds)
        served, other = chosen["champion"][0], chosen["shadow"][0]
        # Where a page holds all that the worker may take, any two models agree on it.
        if len(served.ranking.tasks) and (served.more or other.more):
            overlap = float(np.isin(served.ranking.tasks, other.ranking.tasks).mean())
            self._metrics.shadow_overlap.labels(shadow.version).observe(overlap)

    def _part(self, part: Callable[[MarketState], Answer], /) -> Answer:
        if self._stop.wait(PAUSE_SECONDS) or not self._engine.caught_up:
            raise _StoppingError
        return self._engine.read(part)


def _timed(matcher: Matcher, state: MarketState, ranker: Ranker, query: Query) -> tuple[Page, float]:
    began = time.perf_counter()
    return matcher.page(state, ranker, query), time.perf_counter() - began
