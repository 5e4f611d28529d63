"""Fitting the linear part of a model."""

from collections.abc import Sequence
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
    return _linear(*_solved(given, target))


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
    given, found = _solved(given, target)
    return _linear(given, found), _linear(*_solved(given.of(part), target[part], found.columns))


def _solved(
    given: "_Standardised",
    target: NDArray[np.float64] | NDArray[np.bool_],
    toward: NDArray[np.float64] | None = None,
) -> tuple["_Standardised", Weights]:
    """Find the weights, without the columns that would go against their direction.

    Args:
        given: the columns.
        target: rows.
        toward: what weights are drawn to, one for each column; 0 if None.
    """
    ridge = LOGISTIC_RIDGE if target.dtype == np.bool_ else RIDGE
    found: Weights | None = None
    while len(given.columns):
        found = solve(given.values, target, ridge, found, toward)
        right = found.columns * given.directions >= 0
        if right.all():
            return given, found
        given, found = given.only(right), Weights(found.columns[right], found.offset)
        toward = None if toward is None else toward[right]
    share = float(target.mean())
    return given, Weights(np.empty(0), float(np.log(share / (1 - share))) if target.dtype == np.bool_ else share)


class _Standardised(NamedTuple):
    """Columns as they are learned from: ``values`` are rows x columns, all others have one entry for each column."""

    columns: NDArray[np.int64]
    directions: NDArray[np.int64]
    values: NDArray[np.float32]
    fill: NDArray[np.float64]
    deviation: NDArray[np.float64]
    reach: NDArray[np.float64]

    def only(self, columns: NDArray[np.bool_]) -> "_Standardised":
        """Leave the other columns out."""
        kept = np.flatnonzero(columns)
        return _Standardised(
            self.columns[kept],
            self.directions[kept],
            self.values.take(kept, axis=1),
            self.fill[kept],
            self.deviation[kept],
            self.reach[kept],
        )

    def of(self, rows: NDArray[np.bool_]) -> "_Standardised":
        """Keep a part of the rows."""
        return self._replace(values=self.values[rows])


def _standardised(
    features: NDArray[np.float32], columns: NDArray[np.int64], monotone: NDArray[np.int64]
) -> _Standardised:
    """Standardise some columns, without those of which no value is known."""
    sums, known = _sums(features, columns)
    columns, fill = columns[known > 0], sums[known > 0] / known[known > 0]
    deviation = np.maximum(np.sqrt(_squares(features, columns, fill) / max(len(features), 1)), 1e-6)
    directions = monotone[columns]
    reach = np.where(directions != 0, np.inf, _REACH * deviation)
    return _Standardised(
        columns, directions, _values(features, columns, fill, deviation, reach), fill, deviation, reach
    )


def _linear(given: _Standardised, found: Weights) -> Linear:
    weights = found.columns / given.deviation
    low, high = given.fill - given.reach, given.fill + given.reach
    return Linear(given.columns, weights, given.fill, low, high, found.offset - float(weights @ given.fill))


@kernel
def _sums(features: NDArray[np.float32], columns: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the sum of the known values of each column, and how many there are."""
    sums, known = np.zeros(columns.size), np.zeros(columns.size, np.int64)
    for row in range(features.shape[0]):
        for place in range(columns.size):
            value = features[row, columns[place]]
            if not np.isnan(value):
                sums[place] += value
                known[place] += 1
    return sums, known


@kernel
def _squares(
    features: NDArray[np.float32], columns: NDArray[np.int64], fill: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the sum of the squared distances of the known values of each column from ``fill``."""
    squares = np.zeros(columns.size)
    for row in range(features.shape[0]):
        for place in range(columns.size):
            above = np.float64(features[row, columns[place]]) - fill[place]
            squares[place] += 0.0 if np.isnan(above) else above * above
    return squares


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
            kept = 0.0 if np.isnan(above) else min(max(above, -reach[place]), reach[place])
            values[row, place] = np.float32(kept / deviation[place])
    return values
