"""Whether a 95 % interval covers the truth 95 % of the time, when there is no difference to find.

    python -m benchmarks.coverage [--repetitions 200] [--seed 1]

Each repetition draws a data set of its own from a population whose truth is known, and asks each method for its
interval, all methods on the same data. One table shows the share of intervals that cover the truth, in per cent, with
the 95 % interval of that share itself (Clopper & Pearson 1934); with 200 repetitions even an exact method is outside of
93 to 97 % about one time in five. The other table shows the median width against that of the shipped method, since an
interval can always buy coverage with width, and the time that one interval takes.

What the truth is 0 of: the mean over all lists that workers of the population would be served, to which a worker
contributes as often as the worker has lists. Data without a difference come from

- **synthetic**: workers with heavy-tailed numbers of lists, independent of all else. Two rankers add noise of the same
  law to what each list would be worth, a part for each worker and a part for each list. They are exchangeable, so the
  law of their difference is symmetric about 0.
- **skewed**: the same workers, but a difference that is not symmetric: one ranker loses a little on most lists and on
  most workers, and wins much on a few. The mean of each part is 0 by arithmetic.
- **market**: lists of a simulated marketplace with their outcomes. Its workers, with all of their lists, are the
  population; a repetition draws workers with replacement, each draw a new worker. Within a repetition two rankers toss
  their own coins: "noise" ranks every list by the workers' past rate plus noise for each row; "coin" ranks the lists of
  each worker by one of two simple baselines, as that worker's coin fell, so that the rankers differ by worker. Whatever
  workers are drawn, swapping the rankers changes nothing: the difference is 0 in every worker's expectation.
- **market mean**: NDCG@10 of past rate, on workers drawn in the same way, less the mean over all lists of the
  population. No difference of two rankers, but the other interval that is reported.

The heaviest tail is in the synthetic data: a worker has 5.9 lists in the mean and at most 300.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import binomtest

from features.events import micros
from features.money import Rates
from training.baselines import BASELINES
from training.dataset import TrainingSet
from training.metrics import ndcg, paired_difference
from training.replay import Entries, training_set
from training.simulation import PRESETS, NewestFirst, World

END = 1_772_323_200_000_000
LEVEL = 0.95
TAILS = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
DRAWS = 1000
SIZES = (40, 150, 1000)
DRAWN_WORKERS = (40, 150)

Floats = NDArray[np.float64]
Ends = tuple[float, float]


class Lists(NamedTuple):
    """What a repetition observes: float64 ``values`` and integer ``workers``, both of lists; the true mean is 0."""

    values: Floats
    workers: NDArray[np.int64]


Population = Callable[[Generator], Lists]


def active(workers: int, random: Generator) -> NDArray[np.int64]:
    """Return the worker of each list; a few workers have most of the lists."""
    counts = np.minimum(1 + np.floor(3 * random.pareto(1.5, workers)), 300).astype(np.int64)
    return np.repeat(np.arange(workers), counts)


def synthetic(workers: int) -> Population:
    def draw(random: Generator) -> Lists:
        owner = active(workers, random)
        worth = random.normal(0.5, 0.15, workers)[owner] + random.normal(0, 0.25, len(owner))

        def ranker() -> Floats:
            noise = random.normal(0, 0.05, workers)[owner] + random.normal(0, 0.15, len(owner))
            return np.clip(worth + noise, 0, 1)

        return Lists(ranker() - ranker(), owner)

    return draw


def skewed(workers: int) -> Population:
    def draw(random: Generator) -> Lists:
        owner = active(workers, random)
        by_worker = 0.1 * (random.exponential(1, workers) - 1)
        by_list = np.where(random.random(len(owner)) < 0.1, 0.45, -0.05)
        return Lists(by_worker[owner] + by_list, owner)

    return draw


def marketplace(seed: int) -> TrainingSet:
    config = replace(PRESETS["standard"], workers=300, tasks_per_day=90, days=14, seed=seed)
    events = list(World(config, END).run(NewestFirst()))
    known = itertools.accumulate((micros(event.at) for event in events), max)
    log: Entries = list(zip(itertools.count(1), known, events))
    rows = training_set(lambda: [log], Rates.shipped(), until=END)
    # A list without anything to find says nothing about an order.
    return rows.select(~np.isnan(ndcg(np.zeros(len(rows.labels)), rows.relevance, rows.offsets)))


@dataclass
class Market:
    """The lists of a marketplace as a population of workers."""

    rows: TrainingSet
    by_worker: list[NDArray[np.int64]] = field(init=False)

    def __post_init__(self) -> None:
        owners = self.rows.workers
        self.by_worker = [np.flatnonzero(owners == worker) for worker in np.unique(owners)]

    def ndcg(self, baseline: str) -> Floats:
        return ndcg(BASELINES[baseline](self.rows), self.rows.relevance, self.rows.offsets)

    def draw(self, workers: int, random: Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return lists of workers drawn with replacement, and to which draw each list belongs."""
        drawn = [self.by_worker[worker] for worker in random.integers(0, len(self.by_worker), workers)]
        return np.concatenate(drawn), np.repeat(np.arange(workers), [len(lists) for lists in drawn])

    def noise(self, workers: int) -> Population:
        past_rate = np.nan_to_num(BASELINES["past_rate"](self.rows))
        sizes = np.diff(self.rows.offsets)

        def draw(random: Generator) -> Lists:
            lists, owner = self.draw(workers, random)
            offsets = np.concatenate([[0], np.cumsum(sizes[lists])])
            place = np.arange(offsets[-1]) + np.repeat(self.rows.offsets[lists] - offsets[:-1], sizes[lists])
            score, labels = past_rate[place], self.rows.relevance[place]
            one, other = (
                ndcg(score + random.normal(0, past_rate.std(), len(score)), labels, offsets) for _ in range(2)
            )
            return Lists(one - other, owner)

        return draw

    def coin(self, workers: int) -> Population:
        orders = np.stack([self.ndcg("past_rate"), self.ndcg("newest")])

        def draw(random: Generator) -> Lists:
            lists, owner = self.draw(workers, random)
            one, other = random.integers(0, 2, (2, workers))
            return Lists(orders[one[owner], lists] - orders[other[owner], lists], owner)

        return draw

    def mean(self, workers: int) -> Population:
        values = self.ndcg("past_rate")

        def draw(random: Generator) -> Lists:
            lists, owner = self.draw(workers, random)
            return Lists(values[lists] - values.mean(), owner)

        return draw


@dataclass(frozen=True)
class Totals:
    """Lists added up for each worker."""

    sums: Floats
    counts: Floats

    @classmethod
    def of(cls, lists: Lists) -> "Totals":
        counts = np.bincount(lists.workers).astype(np.float64)
        sums = np.bincount(lists.workers, weights=lists.values)
        return cls(sums.astype(np.float64), counts)

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.counts.sum())

    @property
    def error(self) -> float:
        """The linearised standard error of a ratio of sums."""
        return float(np.sqrt(np.square(self.sums - self.mean * self.counts).sum()) / self.counts.sum())

    def resampled(self, random: Generator) -> tuple[Floats, Floats]:
        """Return mean and linearised standard error of `DRAWS` resamples of whole workers."""
        workers = len(self.sums)
        chosen = random.integers(0, workers, (DRAWS, workers)) + workers * np.arange(DRAWS)[:, None]
        taken = np.bincount(chosen.ravel(), minlength=DRAWS * workers).reshape(DRAWS, workers).astype(np.float64)
        products = [self.sums, self.counts, self.sums**2, self.sums * self.counts, self.counts**2]
        sums, counts, squares, crossed, squared_counts = (taken @ np.stack(products, axis=1)).T
        means = sums / counts
        spread = np.maximum(squares - 2 * means * crossed + means**2 * squared_counts, 0)
        return means, np.sqrt(spread) / counts


def shipped(lists: Lists, random: Generator) -> Ends:
    """`training.metrics.cluster_interval`, as `paired_difference` gives it."""
    found = paired_difference(lists.values, np.zeros(len(lists.values)), lists.workers)
    return found.low, found.high


def linearised(lists: Lists, random: Generator) -> Ends:
    """Normal theory for a ratio of sums over workers, with the same t quantiles as the shipped method."""
    totals = Totals.of(lists)
    effective = totals.counts.sum() ** 2 / np.square(totals.counts).sum()
    low, high = totals.mean + stdtrit(max(effective - 1, 1), TAILS) * totals.error
    return float(low), float(high)


def percentile(lists: Lists, random: Generator) -> Ends:
    """The percentile cluster bootstrap (Field & Welsh 2007)."""
    low, high = np.quantile(Totals.of(lists).resampled(random)[0], TAILS)
    return float(low), float(high)


def bca(lists: Lists, random: Generator) -> Ends:
    """Bias-corrected and accelerated (Efron 1987), with the acceleration from leaving out one worker at a time."""
    totals = Totals.of(lists)
    means, _ = totals.resampled(random)
    below = np.clip(np.mean(means < totals.mean), 1 / DRAWS, 1 - 1 / DRAWS)
    without_one = (totals.sums.sum() - totals.sums) / (totals.counts.sum() - totals.counts)
    lean = without_one.mean() - without_one
    acceleration = np.sum(lean**3) / (6 * np.sum(lean**2) ** 1.5)
    shifted = ndtri(below) + ndtri(TAILS)
    low, high = np.quantile(means, ndtr(ndtri(below) + shifted / (1 - acceleration * shifted)))
    return float(low), float(high)


def bootstrap_t(lists: Lists, random: Generator) -> Ends:
    """Quantiles of the studentised mean over resamples of workers (Efron & Tibshirani 1993, section 12.5)."""
    totals = Totals.of(lists)
    means, errors = totals.resampled(random)
    # A resample of one worker many times over has no spread, and no quotient.
    quotients = np.divide(means - totals.mean, errors, out=np.zeros(DRAWS), where=errors > 0)
    low, high = totals.mean - np.quantile(quotients, TAILS[::-1]) * totals.error
    return float(low), float(high)


METHODS: dict[str, Callable[[Lists, Generator], Ends]] = {
    "jackknife, t (shipped)": shipped,
    "linearised, t": linearised,
    "percentile": percentile,
    "BCa": bca,
    "bootstrap-t": bootstrap_t,
}


@dataclass
class Tally:
    """The intervals of one method on one kind of data."""

    ends: list[Ends] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def coverage(self) -> str:
        hits = sum(low <= 0 <= high for low, high in self.ends)
        share = binomtest(hits, len(self.ends))
        low, high = share.proportion_ci(LEVEL)
        return f"{100 * share.statistic:.1f} ({100 * low:.1f}-{100 * high:.1f})"

    @property
    def width(self) -> float:
        return statistics.median(high - low for low, high in self.ends)


def measure(population: Population, repetitions: int, random: Generator, name: str) -> dict[str, Tally]:
    tallies = {method: Tally() for method in METHODS}
    for _ in track(range(repetitions), name, console=Console(stderr=True), transient=True):
        lists = population(random)
        for method, interval in METHODS.items():
            begun = time.perf_counter()
            tallies[method].ends.append(interval(lists, random))
            tallies[method].seconds.append(time.perf_counter() - begun)
    return tallies


def populations(seed: int) -> Iterator[tuple[str, int, Population]]:
    for name, kind in (("synthetic", synthetic), ("skewed", skewed)):
        yield from ((name, workers, kind(workers)) for workers in SIZES)
    market = Market(marketplace(seed))
    for name, drawn in (("market, noise", market.noise), ("market, coin", market.coin), ("market mean", market.mean)):
        yield from ((name, workers, drawn(workers)) for workers in DRAWN_WORKERS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200, help="data sets of each kind")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    coverage = Table("data", "workers", *METHODS, box=None, title="per cent of 95 % intervals that cover the truth")
    widths = Table("data", "workers", *METHODS, box=None, title="median width against the shipped; ms an interval")
    for name, workers, population in populations(given.seed):
        tallies = measure(population, given.repetitions, random, f"{name} {workers}")
        coverage.add_row(name, str(workers), *(tally.coverage() for tally in tallies.values()))
        base = tallies["jackknife, t (shipped)"].width
        cells = (f"{t.width / base:.2f}; {1e3 * statistics.median(t.seconds):.2f}" for t in tallies.values())
        widths.add_row(name, str(workers), *cells)
    Console(width=140).print(coverage, "", widths)


if __name__ == "__main__":
    main()
