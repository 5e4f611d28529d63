"""The first stage of the cascade: a linear score over the cheapest columns, for when far more is eligible than scored.

Its weights are learned from the ranker: least squares of the ranker's scores, centred within each list, on the centred
columns. So it asks what the ranker would say, at a fraction of the cost. Pay weighs nothing or in favour: more of it
never costs a task its place among those that are scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.build import compared
from features.spec import FEATURES, RELATIVE
from features.state import MarketState

_PAY = frozenset(feature.name for feature in FEATURES if feature.group == "pay" and feature.monotone == 1)


@dataclass(frozen=True, eq=False)
class FirstStage:
    """Weights of the columns of `features.spec.RELATIVE`; a missing value counts as ``fill``."""

    weights: NDArray[np.float64]
    fill: NDArray[np.float64]

    def scores(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a score for each row of ``columns`` (float64, rows x compared columns)."""
        return np.where(np.isnan(columns), self.fill, columns) @ self.weights


DEFAULT = FirstStage(
    weights=np.array([{"affinity": 1.0, "hourly": 0.5, "reward": 0.3}.get(name, 0.0) for name in RELATIVE]),
    fill=np.zeros(len(RELATIVE)),
)
"""What stands in for learned weights with the fallback ranker: affinity first, then pay."""


def fit_first_stage(
    features: NDArray[np.float32], scores: NDArray[np.float64], offsets: NDArray[np.int64], names: tuple[str, ...]
) -> FirstStage:
    """Learn the first stage from what the ranker says of the rows of a training set.

    Args:
        features: float32, rows x columns.
        scores: float64, rows; the ranker's.
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
    ridge = 1e-6 * np.trace(x.T @ x) / len(present) * np.eye(len(present))
    weights[present] = _least_squares(x.T @ x + ridge, x.T @ y, [RELATIVE[place] in _PAY for place in present])
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


def shortlist(
    state: MarketState, stage: FirstStage, worker: int, tasks: NDArray[np.int32], now: int, size: int
) -> NDArray[np.intp]:
    """Return the places of the ``size`` most promising tasks, in order of place; all of them if there are no more.

    Args:
        state: the market.
        stage: the first stage of the model in use.
        worker: dense index.
        tasks: int32, eligible tasks.
        now: microseconds since 1970.
        size: how many the ranker scores.
    """
    if len(tasks) <= size:
        return np.arange(len(tasks))
    scores = stage.scores(compared(state, worker, tasks, now))
    return np.sort(np.argpartition(-scores, size)[:size])
