"""The first stage of the cascade: a linear sum of the cheapest columns, learned from the ranker's own scores.

It says what a worker's own history adds to the prior of a task (`matching.priors`). Pay weighs nothing or in favour, as
in the ranker: more of it does not cost a task its place among those that are scored.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel
from features.newcomer import as_newcomer, as_regular
from features.spec import BY_REWARD, RELATIVE


@dataclass(frozen=True, eq=False)
class FirstStage:
    """Weights of the columns of `features.spec.RELATIVE`; a missing value counts as ``fill``."""

    weights: NDArray[np.float64]
    fill: NDArray[np.float64]

    def best(
        self, columns: NDArray[np.float64], places: NDArray[np.int32], priors: NDArray[np.float32], size: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the ``size`` tasks with the highest prior and score, and what is known of them.

        Args:
            columns: float64, rows x computed columns, the compared ones first; those of the tasks, then of others.
            places: int32, of the tasks.
            priors: float32, by place.
            size: how many are wanted, less than there are.

        Returns:
            Their places, in the order given; and the columns of these, then of the others.
        """
        return _best(columns, places, priors, self.weights, self.fill, size)


@kernel
def _weigh(
    columns: NDArray[np.float64], weights: NDArray[np.float64], fill: NDArray[np.float64], scores: NDArray[np.float64]
) -> None:
    for i in range(len(columns)):
        score = 0.0
        for k in range(weights.size):
            score += weights[k] * (fill[k] if math.isnan(columns[i, k]) else columns[i, k])
        scores[i] = score


@kernel
def _highest(scores: NDArray[np.float64], size: int) -> NDArray[np.int32]:
    """Return the places of the ``size`` highest scores (int32, rising), less than there are.

    Of equal scores the first ones count as higher, and NaN as the lowest. ``scores`` (float64) lose their NaN.
    """
    for i in range(scores.size):
        scores[i] = -math.inf if math.isnan(scores[i]) else scores[i]
    least, needed = np.partition(scores, scores.size - size)[scores.size - size], size
    for score in scores:
        needed -= score > least
    chosen, k = np.empty(size + 1, np.int32), 0
    for i in range(scores.size):
        # Without a branch, since it cannot be foreseen which are chosen.
        level = scores[i] == least
        chosen[k] = i
        k += (scores[i] > least) | (level & (needed > 0))
        needed -= level
    return chosen[:size]


@kernel
def _best(
    columns: NDArray[np.float64],
    places: NDArray[np.int32],
    priors: NDArray[np.float32],
    weights: NDArray[np.float64],
    fill: NDArray[np.float64],
    size: int,
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    scores = np.empty(places.size)
    _weigh(columns[: places.size], weights, fill, scores)
    for i in range(places.size):
        scores[i] += priors[places[i]]
    chosen = _highest(scores, size)
    kept = np.empty((chosen.size + len(columns) - places.size, columns.shape[1]))
    for i in range(chosen.size):
        kept[i] = columns[chosen[i]]
    kept[chosen.size :] = columns[places.size :]
    return places[chosen], kept


_DEFAULT_WEIGHTS = {"affinity": 1.0, "popularity": -1.0, "skill_overlap": 3.0}

DEFAULT = FirstStage(
    weights=np.array([_DEFAULT_WEIGHTS.get(name, 0.0) for name in RELATIVE]), fill=np.zeros(len(RELATIVE))
)
"""What stands in for learned weights with the fallback ranker: the worker's taste above everybody's, and skills."""


def learn_first_stage(
    score: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    features: NDArray[np.float32],
    offsets: NDArray[np.int64],
    names: tuple[str, ...],
) -> FirstStage:
    """Learn the first stage of a ranker from the rows of a training set; see `fit_first_stage`.

    Args:
        score: the ranker.
        features: float32, rows x columns.
        offsets: int64, lists + 1.
        names: of the columns.
    """
    anybody = as_newcomer(features, names)
    if "worker_accepts" in names:
        regular = features[:, names.index("worker_accepts")] > 0.0
        anybody[regular] = as_regular(anybody[regular], names)
    return fit_first_stage(features, score(features) - score(anybody), offsets, names)


def fit_first_stage(
    features: NDArray[np.float32], scores: NDArray[np.float64], offsets: NDArray[np.int64], names: tuple[str, ...]
) -> FirstStage:
    """Learn the first stage: least squares of scores on columns, both centred within each list.

    Args:
        features: float32, rows x columns.
        scores: float64, rows; the ranker's, less the priors of the tasks.
        offsets: int64, lists + 1.
        names: of the columns; a compared column that is not among them gets no weight.
    """
    weights, fill = np.zeros(len(RELATIVE)), np.zeros(len(RELATIVE))
    present = [place for place, name in enumerate(RELATIVE) if name in names]
    if not present:
        return FirstStage(weights, fill)
    columns = features[:, [names.index(RELATIVE[place]) for place in present]].astype(np.float64)
    known = ~np.isnan(columns)
    sums = np.where(known, columns, 0.0).sum(axis=0)
    fill_present = sums / np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, columns, fill_present)
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    sizes = np.maximum(np.diff(offsets), 1)[:, None]

    def centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
        totals = np.stack([np.bincount(owner, column, len(offsets) - 1) for column in values.T], axis=1)
        return np.asarray(values - (totals / sizes)[owner])

    x, y = centred(filled), centred(scores[:, None])[:, 0]
    ridge = 3e-3 * np.trace(x.T @ x) / len(present) * np.eye(len(present))
    weights[present] = _least_squares(x.T @ x + ridge, x.T @ y, [RELATIVE[place] in BY_REWARD for place in present])
    fill[present] = fill_present
    return FirstStage(weights, fill)


def _least_squares(
    normal: NDArray[np.float64], moments: NDArray[np.float64], not_negative: Sequence[bool]
) -> NDArray[np.float64]:
    """Solve normal equations, without the columns whose weight must not be negative and would be."""
    weights, used = np.zeros(len(moments)), np.ones(len(moments), np.bool_)
    while True:
        weights[used] = np.linalg.lstsq(normal[np.ix_(used, used)], moments[used], rcond=None)[0]
        wrong = used & not_negative & (weights < 0)
        if not wrong.any():
            return weights
        weights[wrong], used[wrong] = 0.0, False
