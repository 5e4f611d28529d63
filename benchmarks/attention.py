"""Whether swaps tell how attention falls with position: the estimate beside the truth of a simulated marketplace.

    .venv/bin/python -m benchmarks.attention [--workers 4000 --tasks-per-day 1200 --days 14 --depth 5 --seeds 3]

One pair of neighbours in every list stands in the order of a fair coin. Otherwise lists are newest first with noise, or
good at the top: by the true probability of a taking, with noise, so that the share of the opened tasks that are taken
falls with position. The truth is what the simulator draws with: the probability that a worker goes on to a position,
where nothing is taken, times the probability that it is then taken in; the mean over the lists. The estimate knows the
logs alone, those of all worlds together.
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

from features.events import Event, micros
from matching import rerank
from matching.explore import Swap
from training.attention import SWAPPED, Swaps, attention, read_swaps
from training.simulation import PRESETS, NewestFirst, Occasion, Policy, Ranking, Truth, World
from training.simulation.reactions import glance

END = micros(datetime(2026, 1, 1, tzinfo=UTC))


NOISE = 0.3
"""Scale of the Gumbel noise on the log of the probability of a taking."""


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
    """Lists in an order, and one pair in a drawn order."""

    def __init__(self, order: Policy, depth: int) -> None:
        self._order, self._swap = order, Swap(depth)

    def __call__(self, occasion: Occasion) -> Ranking:
        """Make a list."""
        tasks = self._order(occasion).tasks[: occasion.limit]
        places, certain = np.arange(len(tasks)), np.ones(len(tasks))
        page = rerank.Ranking(tasks.astype(np.int32), places, certain, certain)
        page = self._swap(page, int(occasion.rng.integers(2**63)))
        return Ranking(page.tasks.astype(np.int64), SWAPPED, propensities=page.propensities)


def batches(events: Iterator[Event]) -> Iterator[list[tuple[int, int, Event]]]:
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


def together(worlds: list[Swaps]) -> Swaps:
    """Return the pairs of several worlds, whose workers are others."""
    firsts = np.cumsum([0, *(int(swaps.workers.max(initial=-1)) + 1 for swaps in worlds)])
    return Swaps(
        positions=np.concatenate([swaps.positions for swaps in worlds]),
        workers=np.concatenate([swaps.workers + first for swaps, first in zip(worlds, firsts, strict=False)]),
        opened=np.concatenate([swaps.opened for swaps in worlds]),
        taken=np.concatenate([swaps.taken for swaps in worlds]),
    )


def rows(swaps: Swaps, true: NDArray[np.float64]) -> Iterator[tuple[str, ...]]:
    """Yield of each position the lists, the share of the opened tasks that were taken, the estimate and the truth."""
    table = attention(swaps)
    for row, value in zip(table.itertuples(), true, strict=False):
        found, upper = float(str(row.attention)), swaps.positions == row.position
        opened = swaps.opened[upper, 0].sum()
        yield (
            str(row.position),
            f"{row.lists:,}",
            f"{swaps.taken[upper, 0].sum() / opened:.0%}" if opened else "",
            f"{found:.3f}",
            f"{row.low:.3f} to {row.high:.3f}",
            f"{value:.3f}",
            f"{found / value - 1:+.1%}",
        )


def main() -> None:
    """Run the worlds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("workers", 4000), ("tasks-per-day", 1200), ("days", 14), ("depth", 5), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    config = replace(PRESETS["standard"], workers=asked.workers, tasks_per_day=asked.tasks_per_day, days=asked.days)
    shown = Table(
        "order", "position", "lists", "opened that are taken", "attention", "95 % interval", "truth", "error", box=None
    )
    for name, order in ORDERS.items():
        found, true = [], []
        for seed in range(1, asked.seeds + 1):
            world = World(replace(config, seed=seed), END)
            found.append(read_swaps(batches(world.run(Swapped(order(world), asked.depth)))))
            true.append(truth(world, asked.depth + 1))
        for row in rows(together(found), np.average(true, axis=0, weights=[len(each.positions) for each in found])):
            shown.add_row(name, *row)
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
