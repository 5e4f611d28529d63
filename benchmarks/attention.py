"""Whether swaps tell how attention falls with position: the estimate beside the truth of a simulated marketplace.

    .venv/bin/python -m benchmarks.attention [--workers 4000 --tasks-per-day 1200 --days 14 --depth 5 --seed 1]

One pair of neighbours in every list stands in the order of a fair coin. Otherwise lists are newest first with noise, or
good at the top: by the true probability of a taking, with noise, so that the share of the opened tasks that are taken
falls with position. The truth is what the simulator draws with: the probability that a worker goes on to a position,
where nothing is taken, times the probability that it is then taken in; the mean over the lists. The estimate knows the
log alone. What of its error is bias is told by a second estimate, from the same lists gone through again and again.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from features.events import SWAPPED, Entry, Event, micros
from matching import rerank
from matching.explore import Swap
from training.attention import Swaps, attention, read_swaps
from training.simulation import PRESETS, NewestFirst, Occasion, Policy, Ranking, Truth, World
from training.simulation.reactions import glance

END = micros(datetime(2026, 1, 1, tzinfo=UTC))


NOISE = 0.3
"""Scale of the Gumbel noise on the log of the probability of a taking."""


TIMES = 50
"""That every list is gone through to tell bias from chance."""


class GoodAtTheTop:
    """What the worker would take most probably comes first, with noise so that tasks of unlike worth are neighbours."""

    def __init__(self, world: World) -> None:
        self._truth = Truth(world)

    def __call__(self, occasion: Occasion) -> Ranking:
        """Make a list."""
        tasks = occasion.available()
        worth = np.log(self._truth.of(occasion.worker, tasks, occasion.session_minutes)["p_take"] + 1e-9)
        noise = NOISE * occasion.rng.gumbel(size=len(tasks))
        return Ranking(tasks[np.argsort(-worth - noise, kind="stable")], "good")


ORDERS: dict[str, Callable[[World], Policy]] = {
    "newest first": lambda world: NewestFirst(),
    "good at the top": GoodAtTheTop,
}


class Swapped:
    """Lists in an order, and one pair in a drawn order.

    Attributes:
        served: of each list with a pair, its worker, the position of the pair's upper task, and for each of the first
            ``depth + 1`` positions the probability of opening the task once it is taken in, and of then taking it.
    """

    def __init__(self, order: Policy, world: World, depth: int) -> None:
        self._order, self._swap, self._truth = order, Swap(depth), Truth(world)
        self.served: list[tuple[int, int, NDArray[np.float64]]] = []

    def __call__(self, occasion: Occasion) -> Ranking:
        """Make a list."""
        tasks = self._order(occasion).tasks[: occasion.limit]
        places, certain = np.arange(len(tasks)), np.ones(len(tasks))
        page = rerank.Ranking(tasks.astype(np.int32), places, certain, certain)
        page = self._swap(page, int(occasion.rng.integers(2**63)))
        tasks = page.tasks.astype(np.int64)
        if len(tasks) > 1:
            first = tasks[: self._swap.depth + 1]
            chances = np.zeros((2, self._swap.depth + 1))
            true = self._truth.of(occasion.worker, first, occasion.session_minutes)
            chances[:, : len(first)] = true["p_view"], true["p_accept"]
            self.served.append((occasion.worker, int((page.propensities == 0.5).argmax()) + 1, chances))
        return Ranking(tasks, SWAPPED, propensities=page.propensities)


def batches(events: Iterator[Event]) -> Iterator[list[Entry]]:
    """Yield the log as the store would."""
    numbered = ((seq, micros(event.at), event) for seq, event in enumerate(events, 1))
    while batch := list(islice(numbered, 10_000)):
        yield batch


def truth(world: World, depth: int) -> NDArray[np.float64]:
    """Return the attention that the first positions truly have, relative to the first."""
    lists = world.ledger.tables()["lists"]
    scan_on = world.workers.scan_on[lists.loc[lists["surface"] == "feed", "worker"]]
    reached = np.mean(scan_on[:, None] ** np.arange(depth), axis=0)
    return np.asarray(reached * glance(world.config.behaviour, depth))


def again(world: World, served: list[tuple[int, int, NDArray[np.float64]]], times: int) -> Swaps:
    """Return what becomes of the pairs if workers go through their lists so many times."""
    workers = np.repeat([worker for worker, *_ in served], times)
    pairs = np.repeat([position for _, position, _ in served], times)
    view, accept = np.repeat(np.stack([chances for *_, chances in served], axis=1), times, axis=1)
    random, shape = np.random.default_rng(1), view.shape
    on = world.workers.scan_on[workers, None]
    there = np.logical_and.accumulate((random.random(shape) < on) | (np.arange(shape[1]) == 0), axis=1)
    opened = there & (random.random(shape) < glance(world.config.behaviour, shape[1]) * view)
    taken = opened & (random.random(shape) < accept)
    # The first task that is taken ends the list.
    over = np.cumsum(taken, axis=1, dtype=np.int8) - taken > 0
    opened, taken = opened & ~over, taken & ~over
    stakes = np.arange(len(pairs))[:, None], np.column_stack([pairs - 1, pairs])
    return Swaps(pairs, workers, opened[stakes], taken[stakes])


def rows(swaps: Swaps, often: Swaps, true: NDArray[np.float64]) -> Iterator[tuple[str, ...]]:
    """Yield of each position the lists, the share of the opened tasks that were taken, the estimates and the truth."""
    for row, bare, value in zip(attention(swaps).itertuples(), attention(often)["attention"], true, strict=False):
        upper = often.positions == row.position
        opened = often.opened[upper, 0].sum()
        yield (
            str(row.position),
            f"{row.lists:,}",
            f"{often.taken[upper, 0].sum() / opened:.0%}" if opened else "",
            f"{row.attention:.3f}",
            f"{row.low:.3f} to {row.high:.3f}",
            f"{value:.3f}",
            f"{bare:.3f}",
            f"{bare / value - 1:+.1%}",
        )


def main() -> None:
    """Run the worlds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("workers", 4000), ("tasks-per-day", 1200), ("days", 14), ("depth", 5), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    config = replace(
        PRESETS["standard"],
        workers=asked.workers,
        tasks_per_day=asked.tasks_per_day,
        days=asked.days,
        seed=asked.seed,
    )
    titles = "position", "lists", "taken of opened", "attention", "95 % interval", "truth", f"{TIMES} times", "bias"
    shown = Table("order", *titles, box=None)
    for name, order in ORDERS.items():
        world = World(config, END)
        policy = Swapped(order(world), world, asked.depth)
        swaps = read_swaps(batches(world.run(policy)))
        for row in rows(swaps, again(world, policy.served, TIMES), truth(world, asked.depth + 1)):
            shown.add_row(name, *row)
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
