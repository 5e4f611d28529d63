"""Where the time of a feed goes: CPU time by stage, in process, over the shared market of a given number of tasks.

    python -m benchmarks.feeds [--open-tasks 1000 10000] [--workers 20000] [--feeds 400] [--cache DIR]

The market and the model are those of `benchmarks.market`, which the benchmarks over HTTP use as well. Stages are timed
by wrapping what the matcher calls, each without what it calls itself; feeds a second come from a run without any
wrapping. Feeds with and without explanations (contributions, reasons, near misses) are asked for in turn, so both meet
the same machine.

Servers have pauses between feeds, in which the processor's caches are lost to whatever else runs on its host. So feeds
are also asked for some time apart, waiting busily, since a sleeping processor may be slowed down.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.market import END, SECOND, Size, bundle_of, folded, home_of
from benchmarks.report import Figure, cache_of, write
from features.events import Entry, micros
from features.money import Rates
from features.state import MarketState
from matching import pipeline
from matching.bundle import Bundle
from matching.calibration import CalibratedModel, MinutesModel
from matching.pipeline import Matcher
from matching.query import Query
from matching.rerank import Step
from matching.scoring import BundleRanker
from service.memory import settle
from training.simulation import NewestFirst, SimulationConfig, World

PAUSES = (0.0, 5.0, 10.0, 20.0, 100.0)
"""Milliseconds between two feeds."""

Entries = list[Entry]


def simulated(config: SimulationConfig) -> Entries:
    """Return a log of a marketplace that shows the newest first."""
    return [(seq, micros(event.at), event) for seq, event in enumerate(World(config, END).run(NewestFirst()), 1)]


def workers_of(size: Size) -> list[str]:
    """Return the workers to ask for: all that were drawn, and one who is new."""
    chosen = np.random.default_rng(0).permutation(size.workers)
    return [*(f"w{number}" for number in chosen), "newcomer"]


class Clock:
    """CPU seconds by stage; what a stage calls under a name of its own is not counted in it."""

    def __init__(self) -> None:
        self.feeds: list[dict[str, float]] = []
        self._inner = [0.0]

    @contextmanager
    def feed(self) -> Iterator[None]:
        self.feeds.append(defaultdict(float))
        with self.stage("the rest"):
            yield

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._inner.append(0.0)
        begun = time.process_time()
        yield
        spent = time.process_time() - begun
        self.feeds[-1][name] += spent - self._inner.pop()
        self._inner[-1] += spent

    def wrapped(self, name: str | Callable[..., str], function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            with self.stage(name if isinstance(name, str) else name(*args)):
                return function(*args, **options)

        return timed


def by_stage(
    state: MarketState, matcher: Matcher, bundle: Bundle, queries: Sequence[Query]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the median CPU milliseconds of each stage of a feed, without explanations and with them."""
    clock = Clock()
    outcomes = {id(bundle.accept): "p_accept", id(bundle.approve): "p_approve", id(bundle.minutes): "minutes"}
    steps: list[Step] = [clock.wrapped("re-ranking", step) for step in matcher.steps]
    ranker = BundleRanker(bundle, "1")
    with ExitStack() as patches:
        for name, stage in {
            "judge_open": "open and eligible",
            "shortlist": "first stage",
            "rows": "feature rows",
            "items": "items",
            "reasons": "reasons",
            "seek": "near misses",
            "valued": "near misses",
        }.items():
            patches.enter_context(patch.object(pipeline, name, clock.wrapped(stage, getattr(pipeline, name))))
        patches.enter_context(patch.object(BundleRanker, "outcomes", clock.wrapped("items", BundleRanker.outcomes)))
        for name, stage in {"score": "ranker", "contributions": "contributions"}.items():
            patches.enter_context(patch.object(Bundle, name, clock.wrapped(stage, getattr(Bundle, name))))
        for model in (CalibratedModel, MinutesModel):
            timed = clock.wrapped(lambda model, *_: outcomes[id(model)], model.predict)
            patches.enter_context(patch.object(model, "predict", timed))
        timed_matcher = replace(matcher, steps=steps)
        for query in queries:
            for explain in (False, True):
                with clock.feed():
                    timed_matcher.feed(state, ranker, replace(query, explain=explain))
    return _medians(clock.feeds[::2]), _medians(clock.feeds[1::2])


def _medians(feeds: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for feed in feeds for name in feed)
    return {name: 1e3 * statistics.median(feed[name] for feed in feeds) for name in names}


def feeds_a_second(
    state: MarketState, matcher: Matcher, bundle: Bundle, queries: Sequence[Query]
) -> tuple[float, float]:
    """Return feeds a second of CPU time, without explanations and with them: medians of runs of twenty, in turn."""
    ranker = BundleRanker(bundle, "1")
    speeds: tuple[list[float], list[float]] = [], []
    for start in range(0, len(queries), 20):
        run = queries[start : start + 20]
        for explain in (False, True):
            begun = time.process_time()
            for query in run:
                matcher.feed(state, ranker, replace(query, explain=explain))
            speeds[explain].append(len(run) / (time.process_time() - begun))
    return statistics.median(speeds[False]), statistics.median(speeds[True])


def apart(state: MarketState, matcher: Matcher, bundle: Bundle, queries: Sequence[Query]) -> dict[float, float]:
    """Return the median CPU milliseconds of a feed with explanations, by the milliseconds that pass between two."""
    ranker = BundleRanker(bundle, "1")
    found = {}
    for pause in PAUSES:
        spent = []
        for query in queries[: round(min(len(queries), 5_000 / max(pause, 1.0)))]:
            due = time.perf_counter() + pause / 1e3
            while time.perf_counter() < due:
                pass
            begun = time.process_time()
            matcher.feed(state, ranker, replace(query, explain=True))
            spent.append(time.process_time() - begun)
        found[pause] = 1e3 * statistics.median(spent)
    return found


def event_by_event(rates: Rates, sizes: Sequence[int]) -> dict[int, float]:
    """Return the CPU microseconds of folding an event, by how many are folded at a time."""
    log = simulated(SimulationConfig(days=7))
    half = len(log) // 2
    found = {}
    for size in sizes:
        state = MarketState(rates)
        state.apply(log[:half])
        begun = time.process_time()
        for start in range(half, len(log), size):
            state.apply(log[start : start + size])
        found[size] = 1e6 * (time.process_time() - begun) / (len(log) - half)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open-tasks", type=int, nargs="+", default=[1_000, 10_000], metavar="N")
    parser.add_argument("--workers", type=int, default=20_000)
    parser.add_argument("--asking", type=float, default=1.0, help="share of the batches that require anything at all")
    parser.add_argument("--cache", type=Path, help="folder that keeps the markets, so that they are built once")
    parser.add_argument("--feeds", type=int, default=400)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--trees", type=int, default=150, help="of the ranker")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    rates, matcher, console = Rates.shipped(), Matcher(), Console(width=110)
    columns: dict[str, dict[str, float]] = {}
    for count in given.open_tasks:
        size = Size(open_tasks=count, workers=given.workers, asking=given.asking, trees=given.trees)
        with cache_of(given) as cache:
            state, bundle = folded(home_of(cache, size), rates), bundle_of(cache, size, rates)
        settle()  # as a server does
        workers = workers_of(size)
        queries = [
            Query(workers[number % len(workers)], END + number * SECOND, given.limit) for number in range(given.feeds)
        ]
        for query in queries[:5]:
            matcher.feed(state, BundleRanker(bundle, "1"), query)  # compiles
        measured = zip(
            by_stage(state, matcher, bundle, queries), feeds_a_second(state, matcher, bundle, queries), strict=True
        )
        for name, (stages, speed) in zip(("plain", "explained"), measured, strict=True):
            columns[f"{len(state.open_tasks):,} open, {name}"] = {
                **stages,
                "all stages": sum(stages.values()),
                "feeds/s": speed,
            }
        for pause, spent in apart(state, matcher, bundle, queries).items():
            columns[f"{len(state.open_tasks):,} open, explained"][f"{pause:.0f} ms after the last"] = spent
    table = Table("CPU ms a feed, median", *columns, box=None)
    for name in max(columns.values(), key=len):
        digits = 0 if name == "feeds/s" else 3
        table.add_row(name, *(f"{column[name]:,.{digits}f}" if name in column else "" for column in columns.values()))
    console.print(f"Ranker of {bundle.ranker.booster.num_trees()} trees, pages of {given.limit}")
    console.print(table)
    table = Table("events folded at a time", "CPU µs an event", box=None)
    costs = event_by_event(rates, (1, 5, 20, 1_000))
    for size, cost in costs.items():
        table.add_row(f"{size:,}", f"{cost:,.1f}")
    console.print(table)
    stages = [
        Figure(f"{market}: {name}", "feeds/s" if name == "feeds/s" else "ms", [value])
        for market, column in columns.items()
        for name, value in column.items()
    ]
    folds = [Figure(f"an event, {size:,} folded at a time", "µs", [cost]) for size, cost in costs.items()]
    write("A feed, stage by stage", stages + folds, given.json)


if __name__ == "__main__":
    main()
