"""Audiences in a market of a million workers: CPU time of one, and how far it agrees with scoring everybody.

    python -m benchmarks.audience [--workers 1000000] [--tasks 20] [--checked 2]

A market of some thousand workers is simulated and folded. Every worker of the large one is drawn from it, the less
active the more often, with a history of its own strength that ended some days earlier: names, records, profiles and
histories with tokens are such as the fold would leave behind; what workers did with single tasks is not copied. The
model is trained on the first half of the log of the small market. Scoring everybody builds the full row of each worker
that may take the task.
"""

import argparse
import statistics
import time

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.feeds import END, simulated
from features.build import rows_of_workers
from features.estimates import DAY, SECOND
from features.layout import NEVER
from features.money import Rates
from features.pairs import grown
from features.state import MarketState
from matching.audience import Audiences
from matching.eligibility import judge
from matching.roster import Roster
from matching.scoring import BundleRanker, Ranker
from training.ranker import RankerParameters
from training.replay import training_set
from training.simulation import SimulationConfig
from training.train import train

TOP = 50
"""Workers that an audience is asked for, and compared on."""


def enlarged(state: MarketState, count: int, seed: int = 0) -> None:
    """Add workers drawn from those of a state, until there are ``count``."""
    rng = np.random.default_rng(seed)
    catalogue, arrays = state.catalogue, state.arrays
    known = len(catalogue.workers)
    workers = arrays.workers[:known]
    keys = arrays.taste_keys[arrays.taste_keys != 0]
    tastes = arrays.tastes[arrays.taste_keys != 0]
    owners = (keys >> np.uint64(32)).astype(np.int64)
    order = np.argsort(owners, kind="stable")
    keys, tastes, owners = keys[order], tastes[order], owners[order]
    sizes = np.bincount(owners, minlength=known)
    starts = np.concatenate([[0], np.cumsum(sizes)])
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
    own = np.repeat(np.arange(count), sizes[source])
    places = np.arange(len(own)) - np.repeat(np.cumsum(sizes[source]) - sizes[source], sizes[source])
    places += starts[source][own]
    added = tastes[places]
    added["took_slow"] *= strength[own]
    added["took_fast"] *= strength[own]
    added["at"] -= (earlier[own] // SECOND).astype(np.int32)
    added_keys = ((own + known).astype(np.uint64) << np.uint64(32)) | (keys[places] & np.uint64(0xFFFFFFFF))
    market = arrays.market[0]
    # The table moves into the larger one together with what is added to it.
    pairs = int(market["n_tastes"]) + len(added)
    taste_keys, taste_values = grown(
        np.concatenate([arrays.taste_keys, added_keys]), np.concatenate([arrays.tastes, added]), 2 * pairs
    )
    market["n_tastes"] = pairs
    state.arrays = arrays._replace(
        workers=np.concatenate([workers, records]), taste_keys=taste_keys, tastes=taste_values
    )
    for number, original in enumerate(source.tolist()):
        index = catalogue.workers.add(f"drawn{number}")
        if (profile := catalogue.profiles.get(original)) is not None:
            catalogue.profiles[index] = profile


def tasks_with_room(state: MarketState, count: int) -> list[int]:
    """Return open tasks with a slot left."""
    tasks = state.open_tasks
    facts, occupied = state.arrays.tasks["facts"][tasks], state.arrays.tasks["occupied"][tasks]
    tasks = tasks[(facts["slots"] < 0) | (occupied < facts["slots"])]
    return [int(task) for task in np.random.default_rng(1).permutation(tasks)[:count]]


def everybody(state: MarketState, ranker: Ranker, task: int, roster: Roster) -> tuple[int, NDArray[np.float64]]:
    """Return how many workers fit a task, and the best ``TOP`` scores of all of them who may take it."""
    workers = np.flatnonzero(roster.fit(state, task, END)).astype(np.int32)
    parts = []
    for start in range(0, len(workers), 20_000):
        rows = rows_of_workers(state, workers[start : start + 20_000], task, END)
        outcomes = ranker.answers(rows).outcomes()
        parts.append(outcomes.p_accept * outcomes.p_approve)
    scores = np.concatenate(parts)
    best = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if judge(state, int(workers[place]), np.array([task], np.int32), END).bits[0] == 0:
            best.append(scores[place])
        if len(best) == TOP:
            break
    return len(workers), np.array(best)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1_000_000)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--checked", type=int, default=3, help="tasks for which everybody is scored")
    parser.add_argument("--small", type=int, default=4_000, help="workers of the simulated market")
    given = parser.parse_args()
    rates, console = Rates.shipped(), Console(width=110)
    log = simulated(SimulationConfig(workers=given.small, tasks_per_day=given.small // 8, days=14))
    parameters = RankerParameters(num_threads=1, max_trees=150, min_trees=150, folds=1)
    learned = log[: len(log) // 2]
    bundle = train(
        training_set(lambda: [learned], rates, until=learned[-1][1] + 1), rates.fingerprint(), parameters
    ).bundle
    ranker = BundleRanker(bundle, "1")
    state = MarketState(rates)
    state.apply(log)
    enlarged(state, given.workers)
    audiences, tasks = Audiences(), tasks_with_room(state, given.tasks)
    begun = time.process_time()
    audiences.audience(state, ranker, tasks[0], END, TOP)
    console.print(f"The first, which reads all profiles and fits the stages: {time.process_time() - begun:.1f} s")
    costs = []
    for task in tasks:
        begun = time.process_time()
        audiences.audience(state, ranker, task, END, TOP)
        costs.append(1e3 * (time.process_time() - begun))
    console.print(f"{len(state.catalogue.workers) - 1:,} workers: median {statistics.median(costs):.0f} ms CPU")
    roster = Roster()
    roster.refresh(state)
    table = Table("task", "workers who fit", f"of the best {TOP} found", "CPU s of scoring everybody", box=None)
    for task in tasks[: given.checked]:
        begun = time.process_time()
        fit, best = everybody(state, ranker, task, roster)
        spent = time.process_time() - begun
        found = [member.score for member in audiences.audience(state, ranker, task, END, TOP).members]
        # Equal scores are equally good: what counts is to reach the score of the last of the best.
        share = np.mean(np.array(found) >= best[-1] * (1 - 1e-6))
        table.add_row(state.catalogue.tasks.external(task), f"{fit:,}", f"{share:.0%}", f"{spent:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
