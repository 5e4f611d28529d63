"""What the cascade loses against scoring everything, over markets in which most of many open tasks may be taken.

    python -m benchmarks.cascade [--open-tasks 10000 100000] [--workers 100] [--cache DIR] [--json cascade.json]

Up to 10,000 of the tasks come from a simulated market in which workers take them; the others are postings of the same
requesters, merged into its log by time, so that all are priced and worded as the simulation does it. The model is that
of `benchmarks.market`. For each worker every eligible task is scored. Of the 20 best, the share in the shortlist is
the recall; the loss of NDCG is that of the best 20 of the shortlist, with what a task's score lies above the mean of
all as its gain. The figures are means over workers, with a bootstrapped interval of 95 % in place of runs.
"""

import heapq
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from msgspec.structs import replace as with_fields
from numpy.typing import NDArray

from benchmarks.feeds import Entries, simulated
from benchmarks.market import END, Size, bundle_of
from benchmarks.report import Figure, cache_of, parser, report
from features.build import rows
from features.events import Event, instant
from features.money import Rates
from features.state import MarketState
from matching.bundle import Bundle
from matching.cascade import shortlist
from matching.eligibility import judge_open
from matching.pipeline import Matcher
from matching.scoring import BundleRanker, best_first
from training.simulation import SimulationConfig
from training.simulation.population import draw_requesters
from training.simulation.postings import DAY, draw_tasks

TOP = 20
BUSY = 10_000
"""Open tasks of the market that is simulated; beyond them, tasks are only posted."""

DAYS_OPEN = 3.4
"""Tasks open at the end of its log, in days of posting, as a rule of thumb."""

LEFT_OPEN = 0.73
"""Share of postings of five days that are still open at the end, where nobody takes them; as a rule of thumb."""

_DISCOUNTS = 1.0 / np.log2(np.arange(2, TOP + 2))


def entries(open_tasks: int, workers: int) -> Entries:
    """Return a log at the end of which about so many tasks are open."""
    busy = min(open_tasks, BUSY)
    config = SimulationConfig(workers=workers, tasks_per_day=round(busy / DAYS_OPEN), days=5)
    taken = [(known_at, event) for _, known_at, event in simulated(config)]
    merged = heapq.merge(taken, _posted(config, open_tasks - busy), key=lambda pair: pair[0])
    return [(seq, known_at, event) for seq, (known_at, event) in enumerate(merged, 1)]


def _posted(config: SimulationConfig, open_tasks: int) -> Iterator[tuple[int, Event]]:
    if open_tasks == 0:
        return
    wide = replace(config, tasks_per_day=round(open_tasks / LEFT_OPEN / (config.days + config.task.stock_days)), seed=2)
    tasks = draw_tasks(wide, draw_requesters(config), END - config.days * DAY, END)
    for number, (posted, event) in enumerate(zip(tasks.posted.tolist(), tasks.postings, strict=True)):
        group = event.group_id and f"more {event.group_id}"
        names = {"event_id": f"more {number}", "task_id": f"more {number}", "group_id": group}
        yield posted, with_fields(event, at=instant(posted), **names)


def kept_of_best(
    state: MarketState, bundle: Bundle, ranker: BundleRanker, matcher: Matcher, worker: int, now: int
) -> tuple[float, float, int, int]:
    """Return recall of the best, the loss of NDCG, how many tasks are eligible, and how many are in the shortlist."""
    places = judge_open(state, worker, now).kept_at
    kept = state.arrays.open_tasks[places]
    parts = np.array_split(kept, -(-len(kept) // 5_000) or 1)
    scores = np.concatenate([bundle.score(rows(state, worker, part, now)) for part in parts])
    top = best_first(scores, state.arrays.tasks["facts"]["order"][kept])[:TOP]
    listed, _ = shortlist(state, ranker, matcher.priors, worker, places, now, matcher.wanted(len(kept), TOP))
    chosen = np.searchsorted(places, listed)
    found = np.sort(scores[chosen])[::-1][:TOP]
    gain = ((found - scores.mean()) * _DISCOUNTS[: len(found)]).sum()
    ideal = ((scores[top] - scores.mean()) * _DISCOUNTS[: len(top)]).sum()
    return float(np.isin(top, chosen).mean()), float(1 - gain / ideal), len(kept), len(chosen)


def interval(values: NDArray[np.float64]) -> list[float]:
    """Return the mean of values between the ends of a bootstrapped interval of 95 %."""
    drawn = np.random.default_rng(0).choice(values, (2_000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return [low, float(values.mean()), high]


def measured(rates: Rates, bundle: Bundle, open_tasks: int, workers: int) -> list[Figure]:
    """Return the figures of a market of about so many open tasks."""
    state, matcher, ranker = MarketState(rates), Matcher(), BundleRanker(bundle, "1")
    state.apply(entries(open_tasks, 2_000))
    drawn = np.random.default_rng(0).permutation(np.arange(1, len(state.catalogue.workers))).tolist()
    lists = [kept_of_best(state, bundle, ranker, matcher, worker, END) for worker in drawn[:workers]]
    # Where no more is eligible than is scored, nothing can be lost.
    recall, loss, eligible, scored = np.array([found for found in lists if found[2] > matcher.shortlist]).T
    named = f"{len(state.open_tasks):,} open"
    return [
        Figure(f"{named}: workers", "", [len(recall)]),
        Figure(f"{named}: tasks eligible", "", eligible.tolist()),
        Figure(f"{named}: tasks scored", "", scored.tolist()),
        Figure(f"{named}: recall of the best {TOP}", "%", [100 * share for share in interval(recall)], least=95.0),
        Figure(f"{named}: loss of NDCG", "%", [100 * share for share in interval(loss)], most=0.5),
    ]


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--open-tasks", type=int, nargs="+", default=[10_000, 100_000], metavar="N")
    options.add_argument("--workers", type=int, default=100, help="for whom everything is scored")
    given = options.parse_args()
    rates = Rates.shipped()
    with cache_of(given) as cache:
        bundle = bundle_of(cache, Size(), rates)
    figures = [figure for count in given.open_tasks for figure in measured(rates, bundle, count, given.workers)]
    report("What the cascade loses", figures, given.json)


if __name__ == "__main__":
    main()
