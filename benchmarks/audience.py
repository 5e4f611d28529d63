"""Audiences in markets of up to a million workers: what one costs, and how far it agrees with scoring everybody.

    python -m benchmarks.audience [--workers 100000 1000000] [--tasks 20] [--checked 4] [--out audience.json]

A market of some thousand workers is simulated and folded. Every worker of the large one is drawn from it, the less
active the more often, with a history of its own strength that ended some days earlier: names, records, profiles and
histories with tokens are such as the fold would leave behind; what workers did with single tasks is not copied. The
model is trained on the first half of the log of the small market. Scoring everybody builds the full row of each worker
that may take the task: a minute and a half of CPU with a million workers, so it is done for a few tasks.

Times are of the CPU. The longest hold is the longest part of the preparation, for which events would wait.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.feeds import END, simulated
from features.build import rows_of_workers
from features.estimates import DAY, SECOND
from features.layout import NEVER
from features.money import Rates
from features.state import MarketState
from matching.audience import Audiences
from matching.audience_stages import KEPT
from matching.eligibility import judge
from matching.roster import Roster
from matching.scoring import BundleRanker, Ranker
from training.ranker import RankerParameters
from training.replay import training_set
from training.simulation import SimulationConfig
from training.train import train

Answer = TypeVar("Answer")

TOP = 50
"""Workers that an audience is asked for, and compared on."""


def enlarged(state: MarketState, count: int, seed: int = 0) -> None:
    """Add workers drawn from those of a state, until there are ``count``."""
    rng = np.random.default_rng(seed)
    catalogue, arrays = state.catalogue, state.arrays
    known = len(catalogue.workers)
    workers = arrays.workers[:known]
    weights = 1.0 / (1.0 + workers["accepted"][1:].astype(np.float64))
    source = 1 + rng.choice(known - 1, count, p=weights / weights.sum())
    strength = rng.gamma(2.0, 0.5, count).astype(np.float32)
    earlier = np.minimum(rng.exponential(20.0, count), 300.0) * DAY
    earlier = earlier.astype(np.int64) // SECOND * SECOND
    records = workers[source]
    for name in ("at", "last_accept"):
        happened = records[name] != NEVER
        records[name][happened] -= earlier[happened]
    records["first_seen"] -= np.int64(300) * DAY
    for name in (
        *("accepted_slow", "accepted_fast", "paid_slow", "reward_slow", "timed_slow", "hourly_slow", "hours_slow"),
        *("compared_slow", "pull_slow"),
    ):
        records[name] = (records[name].T * strength).T
    histories, end = arrays.histories[:known], int(arrays.taste_end[0])
    of_added = histories[source]
    sizes = of_added["places"].astype(np.int64)
    begins = np.cumsum(sizes) - sizes
    own = np.repeat(np.arange(count), sizes)
    places = np.arange(len(own)) + (of_added["start"] - begins)[own]
    of_added["start"] = end + begins
    added = arrays.tastes[places]
    added["took_slow"] *= strength[own]
    added["took_fast"] *= strength[own]
    added["at"] -= (earlier[own] // SECOND).astype(np.int32)
    for number, original in enumerate(source.tolist()):
        index = catalogue.workers.add(f"drawn{number}")
        if (profile := catalogue.profiles.get(original)) is not None:
            catalogue.profiles[index] = profile
    larger = arrays._replace(
        workers=np.concatenate([workers, records]),
        histories=np.concatenate([histories, of_added]),
        taste_end=np.array([end + len(added)]),
        taste_tokens=np.concatenate([arrays.taste_tokens[:end], arrays.taste_tokens[places]]),
        tastes=np.concatenate([arrays.tastes[:end], added]),
    )
    state.restore(larger)


def tasks_with_room(state: MarketState, count: int) -> list[int]:
    """Return open tasks with a slot left."""
    tasks = state.open_tasks
    facts, occupied = state.arrays.tasks["facts"][tasks], state.arrays.tasks["occupied"][tasks]
    tasks = tasks[(facts["slots"] < 0) | (occupied < facts["slots"])]
    return [int(task) for task in np.random.default_rng(1).permutation(tasks)[:count]]


class Parts:
    """Gives a state part by part, and keeps how many CPU milliseconds the longest part held it."""

    def __init__(self, state: MarketState) -> None:
        self.state = state
        self.longest = 0.0

    def __call__(self, part: Callable[[MarketState], Answer], /) -> Answer:
        begun = time.process_time()
        answer = part(self.state)
        self.longest = max(self.longest, 1e3 * (time.process_time() - begun))
        return answer


def everybody(
    state: MarketState, ranker: Ranker, task: int, workers: NDArray[np.int32], advance: Callable[[int], object]
) -> NDArray[np.float64]:
    """Return the best ``TOP`` scores of all of the workers who may take a task."""
    scores = np.empty(len(workers))
    for start in range(0, len(workers), 5_000):
        part = slice(start, start + 5_000)
        outcomes = ranker.answers(rows_of_workers(state, workers[part], task, END)).outcomes()
        scores[part] = outcomes.p_accept * outcomes.p_approve
        advance(len(workers[part]))
    best: list[float] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if judge(state, int(workers[place]), np.array([task], np.int32), END).bits[0] == 0:
            best.append(scores[place])
        if len(best) == TOP:
            break
    return np.array(best)


def spent(step: Callable[[], object]) -> float:
    """Return the CPU milliseconds that a step takes."""
    begun = time.process_time()
    step()
    return 1e3 * (time.process_time() - begun)


def measured(state: MarketState, ranker: Ranker, tasks: list[int], checked: int, progress: Progress) -> dict[str, Any]:
    """Return what audiences cost in a market, and how far they agree with scoring everybody."""
    audiences, parts, found = Audiences(), Parts(state), {}

    def prepare(now: int) -> float:
        return spent(lambda: audiences.prepare(parts, ranker, now)) / 1e3

    found["workers"] = len(state.catalogue.workers) - 1
    # Compiles; what it keeps is that of another market.
    audience_of_few(ranker)
    found["prepare_s"] = prepare(END)
    found["refresh_s"] = prepare(END)
    found["table_s"] = prepare(END + KEPT + SECOND)
    prepare(END)
    found["longest_hold_ms"] = parts.longest
    audiences.audience(state, ranker, tasks[0], END, TOP)
    costs = [spent(lambda task=task: audiences.audience(state, ranker, task, END, TOP)) for task in tasks]
    found["median_ms"], found["p95_ms"] = statistics.median(costs), float(np.percentile(costs, 95))
    roster = Roster()
    roster.refresh(state)
    found["checked"] = []
    for task in tasks[:checked]:
        workers = np.flatnonzero(roster.fit(state, task, END)).astype(np.int32)
        name = state.catalogue.tasks.external(task)
        bar = progress.add_task(f"scoring everybody for {name}", total=len(workers))
        best = everybody(state, ranker, task, workers, lambda count, bar=bar: progress.advance(bar, count))
        scores = np.array([member.score for member in audiences.audience(state, ranker, task, END, TOP).members])
        # Equal scores are equally good: what counts is to reach the score of the last of the best.
        agreement = float(np.mean(scores >= best[-1] * (1 - 1e-6))) if len(best) else 1.0
        found["checked"].append({"task": name, "fit": len(workers), "agreement": agreement})
    return found


def audience_of_few(ranker: Ranker) -> None:
    """Let every kernel be compiled."""
    config = SimulationConfig(workers=1_200, tasks_per_day=20, days=3)
    state, audiences = MarketState(Rates.shipped()), Audiences()
    state.apply(simulated(config))
    audiences.prepare(Parts(state), ranker, END)
    for task in tasks_with_room(state, 5):
        audiences.audience(state, ranker, task, END, TOP)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[100_000, 1_000_000], metavar="N")
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--checked", type=int, default=4, help="tasks for which everybody is scored")
    parser.add_argument("--small", type=int, default=4_000, help="workers of the simulated market")
    parser.add_argument("--out", type=Path, help="where the figures go as JSON")
    given = parser.parse_args()
    rates, console = Rates.shipped(), Console(width=120)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("the market and the model", total=2 + len(given.workers))
        log = simulated(SimulationConfig(workers=given.small, tasks_per_day=given.small // 8, days=14))
        progress.advance(bar)
        parameters = RankerParameters(num_threads=1, max_trees=150, min_trees=150, folds=1)
        learned = log[: len(log) // 2]
        rows = training_set(lambda: [learned], rates, until=learned[-1][1] + 1)
        ranker = BundleRanker(train(rows, rates.fingerprint(), parameters).bundle, "1")
        progress.advance(bar)
        results = []
        for count in given.workers:
            state = MarketState(rates)
            state.apply(log)
            enlarged(state, count)
            results.append(measured(state, ranker, tasks_with_room(state, given.tasks), given.checked, progress))
            progress.advance(bar)
    table = Table("workers", "ms, median", "95th", f"of the best {TOP} found, by task", "mean", box=None)
    parts = Table("workers", "s to prepare", "again", "with who took what", "longest hold, ms", box=None)
    for found in results:
        shares = [each["agreement"] for each in found["checked"]]
        table.add_row(
            f"{found['workers']:,}",
            f"{found['median_ms']:.0f}",
            f"{found['p95_ms']:.0f}",
            " ".join(f"{share:.0%}" for share in shares),
            f"{np.mean(shares):.1%}" if shares else "",
        )
        parts.add_row(
            f"{found['workers']:,}",
            *(f"{found[name]:.2f}" for name in ("prepare_s", "refresh_s", "table_s")),
            f"{found['longest_hold_ms']:.1f}",
        )
    console.print(table)
    console.print(parts)
    if given.out:
        given.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
