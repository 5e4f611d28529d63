"""Fitting the linear part of a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel
from matching.linear import Linear
from training.newton import Weights, solve

LOGISTIC_RIDGE = 100.0
"""Ridge penalty on standardised columns: some hundred rows of each class are needed to move a weight."""

RIDGE = 1.0

_REACH = 4.0
"""Standard deviations from the mean beyond which a value counts as no further away."""


def fit_linear(
    features: NDArray[np.float32],
    target: NDArray[np.float64] | NDArray[np.bool_],
    columns: Sequence[int],
    monotone: Sequence[int],
) -> Linear:
    """Fit a ridge regression of a number, or a logistic one of an outcome, on some columns.

    Columns are standardised, missing values count as the mean, and outliers as four standard deviations; but a column
    that the target may only follow one way is trusted however far it goes, and left out if the rows say the contrary.

    Args:
        features: rows x columns.
        target: rows; bool for log-odds, else a number.
        columns: places of the columns to use.
        monotone: -1, 0 or 1 for every column of ``features``.
    """
    given = _standardised(features, np.array(columns, np.int64), np.array(monotone, np.int64))
    return _linear(given, _solved(given, target))


def fit_whole_and_part(
    features: NDArray[np.float32],
    target: NDArray[np.float64] | NDArray[np.bool_],
    columns: Sequence[int],
    monotone: Sequence[int],
    part: NDArray[np.bool_],
) -> tuple[Linear, Linear]:
    """Fit as `fit_linear` does, and then once more to a part of the rows alone.

    The weights of the part are drawn to those of the whole instead of to nothing: the fewer its rows are, the nearer
    they stay.

    Args:
        features: rows x columns.
        target: rows; bool for log-odds, else a number.
        columns: places of the columns to use.
        monotone: -1, 0 or 1 for every column of ``features``.
        part: bool, rows; with rows of both classes if the target is an outcome.
    """
    given = _standardised(features, np.array(columns, np.int64), np.array(monotone, np.int64))
    found, drawn = _solved(given, target), given.of(part)
    return _linear(given, found), _linear(drawn, _solved(drawn, target[part], found))


@dataclass(frozen=True, eq=False)
class _Solution:
    """Weights of columns, and which of them (bool) may have one."""

    weights: Weights
    free: NDArray[np.bool_]


def _solved(
    given: "_Standardised", target: NDArray[np.float64] | NDArray[np.bool_], toward: _Solution | None = None
) -> _Solution:
    """Find the weights, without the columns that would go against their direction.

    Args:
        given: the columns.
        target: rows.
        toward: what weights are drawn to, and the columns that may have one; to 0, and all of them, if None.
    """
    ridge = LOGISTIC_RIDGE if target.dtype == np.bool_ else RIDGE
    drawn = None if toward is None else toward.weights.columns
    free = np.ones(len(given.columns), np.bool_) if toward is None else toward.free
    found: Weights | None = None
    while True:
        found = solve(given.values, target, ridge, found, drawn, free)
        right = free & (found.columns * given.directions >= 0)
        if (right == free).all():
            return _Solution(found, free)
        found, free = Weights(np.where(right, found.columns, 0.0), found.offset), right


class _Standardised(NamedTuple):
    """Columns as they are learned from: ``values`` are rows x columns, all others have one entry for each column."""

    columns: NDArray[np.int64]
    directions: NDArray[np.int64]
    values: NDArray[np.float32]
    fill: NDArray[np.float64]
    deviation: NDArray[np.float64]
    reach: NDArray[np.float64]

    def of(self, rows: NDArray[np.bool_]) -> "_Standardised":
        """Keep a part of the rows."""
        return self._replace(values=self.values[rows])


def _standardised(
    features: NDArray[np.float32], columns: NDArray[np.int64], monotone: NDArray[np.int64]
) -> _Standardised:
    """Standardise some columns, without those of which no value is known."""
    known, fill, squares = _moments(features, columns)
    columns, fill = columns[known > 0], fill[known > 0]
    deviation = np.maximum(np.sqrt(squares[known > 0] / max(len(features), 1)), 1e-6)
    directions = monotone[columns]
    reach = np.where(directions != 0, np.inf, _REACH * deviation)
    return _Standardised(
        columns, directions, _values(features, columns, fill, deviation, reach), fill, deviation, reach
    )


def _linear(given: _Standardised, found: _Solution) -> Linear:
    fill, reach = given.fill[found.free], given.reach[found.free]
    weights = found.weights.columns[found.free] / given.deviation[found.free]
    offset = found.weights.offset - float(weights @ fill)
    return Linear(given.columns[found.free], weights, fill, fill - reach, fill + reach, offset)


@kernel
def _moments(
    features: NDArray[np.float32], columns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return how many values of each column are known, their mean, and the sum of their squared distances from it.

    One that is not finite is not known: it would take the mean with it, and the column with that.
    One pass over the rows, in distances from the first value that is known, so that no digits are lost to the mean.
    """
    known, begun = np.zeros(columns.size, np.int64), np.zeros(columns.size)
    sums, squares = np.zeros(columns.size), np.zeros(columns.size)
    for row in range(features.shape[0]):
        for place in range(columns.size):
            value = np.float64(features[row, columns[place]])
            if np.isfinite(value):
                begun[place] = value if known[place] == 0 else begun[place]
                known[place] += 1
                sums[place] += value - begun[place]
                squares[place] += (value - begun[place]) ** 2
    means = sums / np.maximum(known, 1)
    return known, begun + means, np.maximum(squares - sums * means, 0.0)


@kernel
def _values(
    features: NDArray[np.float32],
    columns: NDArray[np.int64],
    fill: NDArray[np.float64],
    deviation: NDArray[np.float64],
    reach: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the standardised columns (rows x columns)."""
    values = np.empty((features.shape[0], columns.size), np.float32)
    for row in range(features.shape[0]):
        for place in range(columns.size):
            above = np.float64(features[row, columns[place]]) - fill[place]
            kept = min(max(above, -reach[place]), reach[place]) if np.isfinite(above) else 0.0
            values[row, place] = np.float32(kept / deviation[place])
    return values
