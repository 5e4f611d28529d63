"""How good an order is: metrics of every list, and intervals that respect that a worker's lists resemble each other.

Layout: ``scores`` and ``labels`` hold the rows of all lists one after the other, ``offsets`` (lists + 1) says where
each list begins; see `training.dataset.TrainingSet`. A metric returns one float64 for each list, NaN where the list has
nothing to find and therefore says nothing about the order.

Rows of equal score stand in a fixed pseudo-random order, so that a constant score is worth as much as chance and not as
much as the order in which the list was served. A row without a score (NaN) stands last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from training.dataset import TrainingSet
from training.lists import ACCEPTED

GAINS = (0.0, 1.0, 3.0, 7.0, 15.0)
"""Gain of each label, ``2^label - 1``."""

_TIE_SEED = 20_240_229


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        value: the mean over lists; NaN without a single list to judge.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float

    def text(self, digits: int, *, signed: bool = False) -> str:
        """Return it for people, as in "0.340 (0.327 to 0.352)".

        Args:
            digits: after the point.
            signed: whether a plus stands before what is not negative.
        """
        form = f"{'+' if signed else ''}.{digits}f"
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"


def ndcg(
    scores: ArrayLike, labels: ArrayLike, offsets: ArrayLike, k: int = 10, gains: Sequence[float] = GAINS
) -> NDArray[np.float64]:
    """Return the normalised discounted cumulative gain of every list at depth ``k``.

    The gain of the row at rank ``r`` (1-based) is divided by ``log2(r + 1)``; the sum over the first ``k`` is divided
    by that of the best possible order (Järvelin & Kekäläinen 2002, with the gains of Burges et al. 2005).

    Args:
        scores: rows; higher is better.
        labels: integers, rows; an index into ``gains``.
        offsets: lists + 1.
        k: depth, at least 1.
        gains: gain of each label.

    Returns:
        float64, lists; NaN where no row has a gain.
    """
    layout = _Layout.of(offsets)
    row_gains = np.asarray(gains, dtype=np.float64)[np.asarray(labels)]
    reached = _discounted(row_gains[layout.order(scores)], layout, k)
    best = _discounted(row_gains[layout.order(row_gains)], layout, k)
    return _ratio(reached, best)


def reciprocal_rank(
    scores: ArrayLike, labels: ArrayLike, offsets: ArrayLike, *, positive: int = ACCEPTED
) -> NDArray[np.float64]:
    """Return ``1 / rank`` of the first positive row of every list (Voorhees 1999); its mean is the MRR.

    Args:
        scores: rows; higher is better.
        labels: integers, rows.
        offsets: lists + 1.
        positive: the lowest label that counts as positive.

    Returns:
        float64, lists; NaN where no row is positive.
    """
    layout = _Layout.of(offsets)
    hits = np.asarray(labels)[layout.order(scores)] >= positive
    first = np.full(layout.lists, np.inf)
    np.minimum.at(first, layout.owner[hits], layout.ranks[hits].astype(np.float64))
    return np.where(np.isfinite(first), 1.0 / first, np.nan)


def recall(
    scores: ArrayLike, labels: ArrayLike, offsets: ArrayLike, k: int, *, positive: int = ACCEPTED
) -> NDArray[np.float64]:
    """Return the share of the positive rows that stand among the first ``k`` of every list.

    The denominator is ``min(k, positives)``, so that a perfect order reaches 1 at every depth.

    Args:
        scores: rows; higher is better.
        labels: integers, rows.
        offsets: lists + 1.
        k: depth, at least 1.
        positive: the lowest label that counts as positive.

    Returns:
        float64, lists; NaN where no row is positive.
    """
    layout = _Layout.of(offsets)
    hits = np.asarray(labels)[layout.order(scores)] >= positive
    found = layout.sum(hits & (layout.ranks <= k))
    return _ratio(found, np.minimum(layout.sum(hits), k))


def cluster_interval(
    values: ArrayLike, workers: ArrayLike, *, level: float = 0.95, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float, float]:
    """Return the mean of a metric over lists with its confidence interval over workers.

    Lists of one worker are alike, so what chance drew are workers, not lists. The variance is that of the jackknife,
    which leaves out one worker with all lists at a time (Cameron & Miller 2015, section VI.B). The quantile is that of
    Student's t with ``1 / sum(share^2) - 1`` degrees of freedom, at least 1, where ``share`` is a worker's part of the
    lists: the number of workers less one if all have as many lists, fewer if few workers have most of them (the
    effective number of clusters, Kish 1965). With as many lists for everyone it is the textbook interval of the
    workers' means. `benchmarks.coverage` measures how often it covers the truth, beside bootstrap intervals.

    Args:
        values: lists; NaN is left out.
        workers: integers, lists; who was served the list.
        level: how often the interval shall cover the true mean.
        bounds: the least and the largest value that there can be. The interval is cut there, which loses no truth.

    Returns:
        Mean, lower and upper end. The ends are the bounds where all values are of one worker, which says nothing of
        others; three NaN where no value is left.
    """
    numbers = np.asarray(values, dtype=np.float64)
    kept = ~np.isnan(numbers)
    if not kept.any():
        return np.nan, np.nan, np.nan
    mean, error, quantile = jackknife(numbers[kept], np.asarray(workers)[kept], level)
    if np.isinf(error):
        return mean, *bounds
    reach = quantile * error
    return mean, max(mean - reach, bounds[0]), min(mean + reach, bounds[1])


def jackknife(values: NDArray[np.float64], workers: NDArray[Any], level: float = 0.95) -> tuple[float, float, float]:
    """Return what `cluster_interval` is made of: the mean, its standard error, and the quantile of Student's t.

    Args:
        values: at least one, none of them NaN.
        workers: whose value it is.
        level: how often the interval of as many standard errors on either side shall cover the true mean.

    Returns:
        The standard error is infinite where all values are of one worker.
    """
    _, cluster = np.unique(workers, return_inverse=True)
    sums = np.bincount(cluster, weights=values)
    counts = np.bincount(cluster)
    clusters, total = len(sums), int(counts.sum())
    mean = float(sums.sum() / total)
    effective = 1.0 / np.square(counts / total).sum()
    quantile = float(stdtrit(max(effective - 1.0, 1.0), (1.0 + level) / 2.0))
    if clusters == 1:
        return mean, np.inf, quantile
    without_one = (sums.sum() - sums) / (total - counts)
    error = float(np.sqrt((clusters - 1) / clusters * np.square(without_one - mean).sum()))
    return mean, error, quantile


def paired_difference(a: ArrayLike, b: ArrayLike, workers: ArrayLike) -> Estimate:
    """Return the mean of ``a - b`` over the same lists, with its interval at 95 %; see `cluster_interval`.

    Args:
        a: lists; metric of one ranker, between 0 and 1.
        b: lists; metric of the other, between 0 and 1.
        workers: integers, lists.
    """
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return Estimate(*cluster_interval(difference, workers, bounds=(-1.0, 1.0)))


def per_list(scores: ArrayLike, rows: TrainingSet) -> dict[str, NDArray[np.float64]]:
    """Return the metrics that Cocok reports, by name, one value for each list of ``rows``."""
    return {
        "ndcg@10": ndcg(scores, rows.relevance, rows.offsets, 10),
        "mrr": reciprocal_rank(scores, rows.relevance, rows.offsets),
        "recall@5": recall(scores, rows.relevance, rows.offsets, 5),
    }


def mean(values: NDArray[np.float64], workers: NDArray[np.int32]) -> Estimate:
    """Return the mean of a metric between 0 and 1, with its interval at 95 %; see `cluster_interval`.

    Args:
        values: lists; NaN is left out.
        workers: integers, lists.
    """
    return Estimate(*cluster_interval(values, workers, bounds=(0.0, 1.0)))


def means(values: Mapping[str, NDArray[np.float64]], workers: NDArray[np.int32]) -> dict[str, Estimate]:
    """Return the mean of each metric of `per_list`, with its interval.

    A slice is judged by its part of the values of the whole: among fewer rows, equal scores would stand differently.

    Args:
        values: name of a metric -> one value for each list.
        workers: integers, lists.
    """
    return {name: mean(found, workers) for name, found in values.items()}


@dataclass(frozen=True)
class _Layout:
    """Where the rows of each list are; ``owner`` and ``ranks`` hold for any order that keeps lists contiguous."""

    lists: int
    owner: NDArray[np.int64]
    ranks: NDArray[np.int64]

    @classmethod
    def of(cls, offsets: ArrayLike) -> "_Layout":
        starts = np.asarray(offsets, dtype=np.int64)
        sizes = np.diff(starts)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        return cls(len(sizes), owner, np.arange(1, len(owner) + 1) - starts[owner])

    def order(self, scores: ArrayLike) -> NDArray[np.int64]:
        """Return the rows list by list, the best score first."""
        ties = np.random.default_rng(_TIE_SEED).permutation(len(self.owner))
        # NaN sorts behind every number in NumPy, also after the change of sign.
        return np.lexsort((ties, -np.asarray(scores, dtype=np.float64), self.owner))

    def sum(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        return _total(self.owner, values.astype(np.float64), self.lists)


def _discounted(gains_in_order: NDArray[np.float64], layout: _Layout, k: int) -> NDArray[np.float64]:
    seen = layout.ranks <= k
    discounted = gains_in_order[seen] / np.log2(layout.ranks[seen] + 1.0)
    return _total(layout.owner[seen], discounted, layout.lists)


def _total(owner: NDArray[np.int64], values: NDArray[np.float64], lists: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(owner, weights=values, minlength=lists), dtype=np.float64)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.full(len(whole), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
