"""Whether weighing rows by inverse attention makes a better ranker: judged on lists in random order.

    .venv/bin/python -m benchmarks.attention_weights [--seeds 3]

In each of the simulated worlds (standard preset) lists come newest first with noise for 15 days, from which rankers
learn, and in random order for 6 days, on which they are judged: there a position favours nobody. The weights are those
of `training.ranker.RankerParameters.attention`, from the true attention, which no estimate betters. The number of trees
is chosen anew for each.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.attention import batches, truth
from features.events import micros
from features.money import Rates
from training.columns import monotone_directions, ranking_columns
from training.dataset import TrainingSet
from training.metrics import cluster_interval, ndcg
from training.ranker import RankerParameters, choose_trees, fit
from training.replay import training_set
from training.simulation import PRESETS, NewestFirst, Occasion, Ranking, World, random_order
from training.simulation.postings import DAY

END = micros(datetime(2026, 1, 1, tzinfo=UTC))
LEARNED_DAYS = 15
POSITIONS = 20


class ThenRandom:
    """Newest first until an instant, then in random order."""

    def __init__(self, until: int) -> None:
        self._until, self._newest = until, NewestFirst()

    def __call__(self, occasion: Occasion) -> Ranking:
        """Make a list."""
        return self._newest(occasion) if occasion.at < self._until else random_order(occasion)


def judged(
    learned: TrainingSet, fair: TrainingSet, attention: tuple[float, ...]
) -> Iterator[tuple[str, int, NDArray[np.float64]]]:
    """Yield for each kind of weights its name, the number of trees, and NDCG@10 of each fair list."""
    # Half the way: the square root of attention, for weights that vary less.
    kinds = {"none": (), "inverse attention": attention, "its root": tuple(np.sqrt(attention).tolist())}
    monotone, ranks = monotone_directions(learned.names), ranking_columns(learned.names)
    for name, weights in kinds.items():
        parameters = RankerParameters(attention=weights, num_threads=1)
        choice = choose_trees(learned, parameters, monotone, ranks=ranks, maturity=learned.patience)
        ranker = fit(learned, parameters, choice.trees, monotone, ranks=ranks)
        yield name, choice.trees, ndcg(ranker.predict(fair.features), fair.relevance, fair.offsets)


def main() -> None:
    """Run the worlds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    rates = Rates.shipped()
    shown = Table("seed", "weights", "trees", "NDCG@10", "difference to none", "95 % interval", box=None)
    for seed in range(1, parser.parse_args().seeds + 1):
        world = World(replace(PRESETS["standard"], seed=seed), END)
        turn = world.start + LEARNED_DAYS * DAY
        log = list(batches(world.run(ThenRandom(turn))))
        rows = training_set(lambda log=log: log, rates, until=world.end)
        learned, fair = rows.select(rows.times + rows.patience < turn), rows.select(rows.times >= turn)
        plain = None
        for name, trees, values in judged(learned, fair, tuple(truth(world, POSITIONS).tolist())):
            plain = values if plain is None else plain
            value, low, high = cluster_interval(values - plain, fair.workers)
            shown.add_row(
                str(seed), name, str(trees), f"{np.nanmean(values):.4f}", f"{value:+.4f}", f"{low:+.4f} to {high:+.4f}"
            )
    Console(width=100).print(shown)


if __name__ == "__main__":
    main()
