"""Fitting the curve that turns a model's margin into a probability."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from matching.calibration import Calibration

ISOTONIC_FROM = 500
"""Rows of the rarer class from which the shape of the curve can be left to the data."""

_GRID = np.linspace(-15.0, 15.0, 601)


def rarer_count(target: NDArray[np.bool_]) -> int:
    """Return the number of rows of the rarer class."""
    return min(int(target.sum()), int((~target).sum()))


def calibrate(margins: ArrayLike, target: ArrayLike) -> Calibration:
    """Fit a calibration on rows the model has not learned from.

    With enough data isotonic regression, else Platt's sigmoid, which has two parameters only (Niculescu-Mizil & Caruana
    2005 compare the two).

    Args:
        margins: rows; log-odds as the model sees them.
        target: rows; true or false, both present.

    Raises:
        ValueError: only one class is present.
    """
    x = np.asarray(margins, dtype=np.float64)
    y = np.asarray(target, dtype=np.bool_)
    rarer = rarer_count(y)
    if rarer == 0:
        raise ValueError("a calibration needs rows of both classes")
    return _isotonic(x, y) if rarer >= ISOTONIC_FROM else _platt(x, y)


def _isotonic(margins: NDArray[np.float64], target: NDArray[np.bool_]) -> Calibration:
    """Centred isotonic regression (Oron & Flournoy 2017): each level block becomes one knot at its middle.

    Between knots the curve rises, so rows keep the order of their margins instead of being tied over a whole block. But
    the upper half of a wide block is lifted so towards the next one, and nothing need make up for it below. A block
    whose mean would so leave the share that came about in it by more than its standard error becomes a line instead,
    from its first margin to its last and through its mean, which stays where it is.
    """
    levels = IsotonicRegression().fit_transform(margins, target.astype(np.float64))
    blocks, owner = np.unique(levels, return_inverse=True)
    rows = np.bincount(owner)
    middles = np.bincount(owner, weights=margins) / rows
    first, last = np.full(len(blocks), np.inf), np.full(len(blocks), -np.inf)
    np.minimum.at(first, owner, margins)
    np.maximum.at(last, owner, margins)
    # That something never, or always, happened in a block says as much as its rows: one more, of the usual share, is
    # added. Few rows at an end must not pass their neighbours by it.
    certain = (blocks == 0) | (blocks == 1)
    shares = np.where(certain, (rows * blocks + target.mean()) / (rows + 1), blocks)
    shares[0], shares[-1] = shares[:2].min(), shares[-2:].max()
    # With one row more of either outcome, for a block in which something never happened has an error as well.
    likely = (rows * blocks + 1) / (rows + 2)
    chance = np.sqrt(likely * (1 - likely) / rows)
    # A line goes half of the way to the blocks beside it at the most, so that it stays below the next one.
    below, above = np.diff(shares, prepend=0.0), np.diff(shares, append=1.0)
    wide = (first < middles) & (middles < last)
    slopes = np.zeros(len(blocks))
    slopes[wide] = 0.5 * np.minimum(below[wide] / (middles - first)[wide], above[wide] / (last - middles)[wide])
    held = np.zeros(len(blocks), np.bool_)
    while True:
        knots = np.stack([np.where(held, first, middles), last], axis=1)
        values = shares[:, None] + np.where(held, slopes, 0.0)[:, None] * (knots - middles[:, None])
        drawn = np.stack([np.ones(len(blocks), np.bool_), held], axis=1)
        curve = Calibration(knots[drawn], np.maximum.accumulate(values[drawn]))
        means = np.bincount(owner, weights=np.interp(margins, curve.x, curve.y)) / rows
        astray = wide & ~held & (np.abs(means - shares) > chance)
        if not astray.any():
            return curve
        held |= astray


def _platt(margins: NDArray[np.float64], target: NDArray[np.bool_]) -> Calibration:
    """Platt's sigmoid (1999) with his targets, which keep a small sample from claiming certainty."""
    positives, negatives = int(target.sum()), int((~target).sum())
    hoped = np.where(target, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # A row with a target between 0 and 1 is a positive and a negative row with these weights.
    # On one thread sums are the same on any number of cores.
    with threadpool_limits(1):
        model = LogisticRegression(C=1e6).fit(
            np.concatenate([margins, margins])[:, None],
            np.repeat([1, 0], len(margins)),
            sample_weight=np.concatenate([hoped, 1 - hoped]),
        )
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        # On these rows the model orders no better than chance: one rate for all is honest, a reversed order is not.
        return Calibration(np.zeros(1), np.array([hoped.mean()]))
    return Calibration(_GRID, 1 / (1 + np.exp(-(slope * _GRID + intercept))))
