"""What the cascade loses against scoring everything, and what it costs: over markets of many open tasks.

    python -m benchmarks.cascade [--open-tasks 10000 100000] [--workers 100] [--json]

Up to 10,000 of the tasks come from a simulated market in which workers take them; the others are postings of the same
requesters, merged into its log by time, so that all are priced and worded as the simulation does it. The model is that
of `benchmarks.feeds`. For each worker every eligible task is scored. Of the 20 best, the share that is in the shortlist
is the recall; the loss of NDCG is that of the best 20 of the shortlist, with what a task's score lies above the mean of
all as its gain. Intervals are bootstrapped over workers.
"""

import argparse
import heapq
import json
import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from msgspec.structs import replace as with_fields
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.feeds import DAYS_OPEN, END, Entries, by_stage, simulated, trained
from features.build import rows
from features.events import Event, instant
from features.money import Rates
from features.state import MarketState
from matching.bundle import Bundle
from matching.cascade import shortlist
from matching.eligibility import judge_open
from matching.pipeline import Matcher
from matching.query import Query
from matching.scoring import BundleRanker, best_first
from training.simulation import SimulationConfig
from training.simulation.population import draw_requesters
from training.simulation.postings import DAY, draw_tasks

TOP = 20
BUSY = 10_000
"""Open tasks of the market that is simulated; beyond them, tasks are only posted."""

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
    chosen, _ = shortlist(state, ranker, matcher.priors, worker, places, now, matcher.wanted(len(kept), TOP))
    found = np.sort(scores[chosen])[::-1][:TOP]
    gain = ((found - scores.mean()) * _DISCOUNTS[: len(found)]).sum()
    ideal = ((scores[top] - scores.mean()) * _DISCOUNTS[: len(top)]).sum()
    return float(np.isin(top, chosen).mean()), float(1 - gain / ideal), len(kept), len(chosen)


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean and a bootstrapped interval of 95 %."""
    drawn = np.random.default_rng(0).choice(values, (2_000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def measured(rates: Rates, bundle: Bundle, open_tasks: int, workers: int, feeds: int) -> dict[str, Any]:
    """Return the figures of a market of about so many open tasks."""
    state, matcher, ranker = MarketState(rates), Matcher(), BundleRanker(bundle, "1")
    state.apply(entries(open_tasks, 2_000))
    drawn = np.random.default_rng(0).permutation(np.arange(1, len(state.catalogue.workers))).tolist()
    lists = [kept_of_best(state, bundle, ranker, matcher, worker, END) for worker in drawn[:workers]]
    # Where no more is eligible than is scored, nothing can be lost.
    lists = [found for found in lists if found[2] > matcher.shortlist]
    recall, loss = (interval(np.array([found[column] for found in lists])) for column in (0, 1))
    queries = [
        Query(state.catalogue.workers.external(worker), END + number) for number, worker in enumerate(drawn[:feeds])
    ]
    for query in queries[:3]:
        matcher.feed(state, ranker, query)
    plain, explained = by_stage(state, matcher, bundle, queries)
    return {
        "open_tasks": len(state.open_tasks),
        "eligible": statistics.median(found[2] for found in lists),
        "scored": statistics.median(found[3] for found in lists),
        "workers": len(lists),
        "recall": recall,
        "ndcg_loss": loss,
        "plain_ms": plain,
        "explained_ms": explained,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open-tasks", type=int, nargs="+", default=[10_000, 100_000], metavar="N")
    parser.add_argument("--workers", type=int, default=100, help="for whom everything is scored")
    parser.add_argument("--feeds", type=int, default=100, help="that are timed by stage")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rates = Rates.shipped()
    bundle = trained(rates, trees=150)
    found = [measured(rates, bundle, size, given.workers, given.feeds) for size in given.open_tasks]
    if given.json:
        print(json.dumps(found))
        return
    console = Console(width=110)
    table = Table("", *(f"{market['open_tasks']:,} open" for market in found), box=None)
    table.add_row("tasks eligible, median", *(f"{market['eligible']:,.0f}" for market in found))
    table.add_row("tasks scored, median", *(f"{market['scored']:,.0f}" for market in found))
    for name, title in (("recall", f"recall of the best {TOP}"), ("ndcg_loss", "loss of NDCG")):
        table.add_row(title, *("{:.2%} ({:.2%} to {:.2%})".format(*market[name]) for market in found))
    console.print(table)
    for kind in ("plain", "explained"):
        table = Table(
            f"CPU ms a feed, {kind}, median", *(f"{market['open_tasks']:,} open" for market in found), box=None
        )
        for stage in found[0][f"{kind}_ms"]:
            table.add_row(stage, *(f"{market[f'{kind}_ms'].get(stage, 0.0):.3f}" for market in found))
        table.add_row("all stages", *(f"{sum(market[f'{kind}_ms'].values()):.3f}" for market in found))
        console.print(table)


if __name__ == "__main__":
    main()
