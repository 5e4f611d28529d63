"""Linear and logistic regression with a ridge penalty, solved by Newton's steps.

All that a step asks of the rows are products of columns, so a step costs one pass over them, and a few steps are exact:
the optimum is unique, and nothing depends on where the search began.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from threadpoolctl import threadpool_limits

_BLOCK = 2048
"""Rows at once: few enough that their products stay in the cache."""

_LEAST_CURVATURE = 1e-12
_NEAR = 1e-8
"""A step that lowers the loss by a smaller part of it is the last one. It is taken, and what is left is its square."""

_NOISE = 1e-6
"""Part of the loss that may be rounding: values are 32-bit numbers."""

_STEPS = 100

_SAMPLE, _WORTH = 32_768, 4
"""Rows enough to begin with what they say, and how often that many there must be for it to pay."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A weighted sum of columns.

    Attributes:
        columns: float64, one for each column.
        offset: added to the sum; it is not penalised.
    """

    columns: NDArray[np.float64]
    offset: float


def solve(
    values: NDArray[np.float32],
    target: NDArray[np.float64] | NDArray[np.bool_],
    ridge: float,
    start: Weights | None = None,
    toward: NDArray[np.float64] | None = None,
    free: NDArray[np.bool_] | None = None,
) -> Weights:
    """Return the weights that make half the squared error, or the log loss, and the penalty smallest in sum.

    The products are summed on one thread: waiting for another costs more than it takes off, and the sums stay the same
    on any number of cores.

    Args:
        values: rows x columns, of about the same scale, without missing values.
        target: rows; bool for a logistic regression, which needs rows of both classes, else a number.
        ridge: the penalty is half of it times the square of each weight; more than 0.
        start: where to begin; no weights and the mean if None. It changes the time, not the result.
        toward: what weights are drawn to, one for each column; 0 if None.
        free: which columns may have a weight, as they have in ``start``; the others have 0. All of them if None.
    """
    drawn = np.zeros(values.shape[1]) if toward is None else toward
    free = np.ones(values.shape[1], np.bool_) if free is None else free
    found = start or _beginning(values, target, ridge, drawn, free)
    moving = np.append(free, True)
    with threadpool_limits(1, user_api="blas"):
        here = _look(values, target, ridge, drawn, found)
        for _ in range(_STEPS):
            step = np.zeros(len(moving))
            step[moving] = np.linalg.solve(here.curvature[np.ix_(moving, moving)], here.slope[moving])
            near = step @ here.slope <= _NEAR * here.loss
            found = _moved(found, step)
            if near:
                break
            there = _look(values, target, ridge, drawn, found)
            # Where the loss bends less than it did, a step goes too far.
            while there.loss > here.loss * (1 + _NOISE):
                step *= 0.5
                found = _moved(found, -step)
                there = _look(values, target, ridge, drawn, found)
            here = there
    return found


def _beginning(
    values: NDArray[np.float32],
    target: NDArray[np.float64] | NDArray[np.bool_],
    ridge: float,
    toward: NDArray[np.float64],
    free: NDArray[np.bool_],
) -> Weights:
    """Return the weights of a part of many rows, or what they are drawn to and the mean."""
    every = len(values) // _SAMPLE
    part = target[:: max(every, 1)]
    if every >= _WORTH and part.min() < part.max():
        return solve(values[::every], part, ridge / every, toward=toward, free=free)
    share = float(target.mean())
    drawn = np.where(free, toward, 0.0)
    return Weights(drawn, float(np.log(share / (1 - share))) if target.dtype == np.bool_ else share)


def _moved(weights: Weights, step: NDArray[np.float64]) -> Weights:
    return Weights(weights.columns + step[:-1], weights.offset + float(step[-1]))


@dataclass(frozen=True, eq=False)
class _Place:
    """The loss of some weights, the way down (columns + 1, the offset last), and how the loss bends."""

    loss: float
    slope: NDArray[np.float64]
    curvature: NDArray[np.float64]


def _look(
    values: NDArray[np.float32],
    target: NDArray[np.float64] | NDArray[np.bool_],
    ridge: float,
    toward: NDArray[np.float64],
    weights: Weights,
) -> _Place:
    count = values.shape[1]
    products, loss = np.zeros((count + 2, count + 2)), 0.0
    # Columns and offset times the root of the curvature, and beside them the residual over it: one product of the whole
    # with itself gives both the curvature and the slope.
    scaled = np.empty((min(_BLOCK, len(values)), count + 2), np.float32)
    narrow = weights.columns.astype(np.float32)
    for first in range(0, len(values), _BLOCK):
        rows, outcomes = values[first : first + _BLOCK], target[first : first + _BLOCK]
        margins = (rows @ narrow).astype(np.float64) + weights.offset
        block = scaled[: len(rows)]
        if target.dtype == np.bool_:
            chances = expit(margins)
            root = np.sqrt(np.maximum(chances * (1 - chances), _LEAST_CURVATURE))
            np.multiply(rows, root[:, None].astype(np.float32), out=block[:, :count])
            block[:, count], block[:, count + 1] = root, (outcomes - chances) / root
            loss += float(np.logaddexp(0.0, margins).sum() - margins[outcomes].sum())
        else:
            residuals = outcomes - margins
            block[:, :count], block[:, count], block[:, count + 1] = rows, 1.0, residuals
            loss += 0.5 * float(residuals @ residuals)
        products += block.T @ block
    penalty = np.append(np.full(count, ridge), 0.0)
    away = weights.columns - toward
    held = penalty * np.append(away, 0.0)
    return _Place(
        loss + 0.5 * float(held[:-1] @ away),
        products[:-1, -1] - held,
        products[:-1, :-1] + np.diag(penalty),
    )
