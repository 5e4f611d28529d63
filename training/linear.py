"""Fitting the linear part of an outcome model."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from matching.linear import Linear

LOGISTIC_C = 0.01
"""Inverse of the ridge penalty on standardised columns: some hundred rows of each class are needed to move a weight."""

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
    given = np.array([column for column in columns if not np.isnan(features[:, column]).all()], np.int64)
    directions = np.array(monotone)[given]
    standard = _standardised(features, given, directions)
    used = np.ones(len(given), np.bool_)
    while used.any():
        found = _fitted(standard, target, used)
        wrong = found.weights * directions[used] < 0
        if not wrong.any():
            return found
        used[used] = ~wrong
    share = float(target.mean())
    return Linear.constant(float(np.log(share / (1 - share))) if target.dtype == np.bool_ else share)


class _Standardised(NamedTuple):
    """Columns as they are learned from: ``values`` are rows x columns, all others have one entry for each column."""

    columns: NDArray[np.int64]
    values: NDArray[np.float64]
    fill: NDArray[np.float64]
    deviation: NDArray[np.float64]
    reach: NDArray[np.float64]


def _standardised(
    features: NDArray[np.float32], columns: NDArray[np.int64], directions: NDArray[np.int64]
) -> _Standardised:
    values = features[:, columns].astype(np.float64)
    fill = np.nanmean(values, axis=0)
    filled = np.where(np.isnan(values), fill, values)
    deviation = np.maximum(filled.std(axis=0), 1e-6)
    reach = np.where(directions != 0, np.inf, _REACH * deviation)
    standard = (np.clip(filled, fill - reach, fill + reach) - fill) / deviation
    return _Standardised(columns, standard, fill, deviation, reach)


def _fitted(given: _Standardised, target: NDArray[np.float64] | NDArray[np.bool_], used: NDArray[np.bool_]) -> Linear:
    fill, deviation, reach = given.fill[used], given.deviation[used], given.reach[used]
    standard = given.values if used.all() else given.values[:, used]
    if target.dtype == np.bool_:
        logistic = LogisticRegression(C=LOGISTIC_C, max_iter=1000).fit(standard, target)
        weights, offset = logistic.coef_[0] / deviation, float(logistic.intercept_[0])
    else:
        ridge = Ridge(alpha=RIDGE).fit(standard, target)
        weights, offset = ridge.coef_ / deviation, float(ridge.intercept_)
    return Linear(given.columns[used], weights, fill, fill - reach, fill + reach, offset - float(weights @ fill))
