"""Whether swaps tell how attention falls with position: the estimate beside the truth of a simulated marketplace.

    .venv/bin/python -m benchmarks.attention [--workers 4000 --tasks-per-day 1200 --days 14 --depth 5 --seed 1]

Every list is newest first with noise, and one pair of neighbours in it stands in the order of a fair coin. The truth is
what the simulator draws with: the probability that a worker goes on to a position, where nothing is taken, times the
probability that it is then taken in; the mean over the lists. The estimate knows the log alone.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from features.events import SWAPPED, Entry, Event, micros
from matching import rerank
from matching.explore import Swap
from training.attention import attention, read_swaps
from training.simulation import PRESETS, NewestFirst, Occasion, Ranking, World
from training.simulation.reactions import glance

END = micros(datetime(2026, 1, 1, tzinfo=UTC))


class Swapped:
    """Newest first with noise, and one pair in a drawn order."""

    def __init__(self, depth: int) -> None:
        self._newest, self._swap = NewestFirst(), Swap(depth)

    def __call__(self, occasion: Occasion) -> Ranking:
        """Make a list."""
        tasks = self._newest(occasion).tasks[: occasion.limit]
        places, certain = np.arange(len(tasks)), np.ones(len(tasks))
        page = rerank.Ranking(tasks.astype(np.int32), places, certain, certain)
        page = self._swap(page, int(occasion.rng.integers(2**63)))
        return Ranking(page.tasks.astype(np.int64), SWAPPED, propensities=page.propensities)


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


def compared(table: pd.DataFrame, true: NDArray[np.float64]) -> Table:
    """Show both."""
    shown = Table("position", "lists", "attention", "95 % interval", "truth", "error", box=None)
    for row, value in zip(table.itertuples(), true, strict=False):
        found = float(str(row.attention))
        shown.add_row(
            str(row.position),
            f"{row.lists:,}",
            f"{found:.3f}",
            f"{row.low:.3f} to {row.high:.3f}",
            f"{value:.3f}",
            f"{found / value - 1:+.1%}",
        )
    return shown


def main() -> None:
    """Run the world and print the table."""
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
    world = World(config, END)
    swaps = read_swaps(batches(world.run(Swapped(asked.depth))))
    Console(width=100).print(compared(attention(swaps), truth(world, asked.depth + 1)))


if __name__ == "__main__":
    main()
