"""The kernel of a model that adds up: a linear part and trees, and a curve that turns the sum into what it means.

No row walks down a tree (after Lucchese et al. 2015, QuickScorer): a set of bits stands for the leaves of a tree, from
left to right; each split takes away the leaves on its left from the rows that it sends to the right, in any order, many
rows with one instruction. The first leaf that is left is where the row ends.

All models of a list go through the same machine code, which is near when the next one does; and all that is read of a
model lies together.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel, lean

LEAVES = 32
"""Leaves that a tree has at the most: as many as a set has bits."""

_BLOCK = 64
"""Rows scored at once: few enough that their columns stay in the nearest cache. It is a constant for the compiler."""

_AT_ONCE = 16
"""Rows of which a linear part is summed at once."""

DE_BRUIJN = 0x077CB531
"""Multiplied by a single bit, the five highest bits tell which one it is (Leiserson et al. 1998)."""

ALL = np.uint32(0xFFFFFFFF)
ZERO = np.float32(1e-35)
"""What LightGBM takes for 0, as it does all that is nearer to it."""

TERM = np.dtype([("column", "i8"), ("weight", "f8"), ("fill", "f8"), ("low", "f8"), ("high", "f8")])
"""A column of a linear function; see `matching.linear.Linear`."""

SPLIT = np.dtype([("threshold", "f4"), ("kept", "u4"), ("column", "i4"), ("nan_left", "i4")])
"""A split: what is above ``threshold`` goes to the right, where the leaves ``kept`` are left to it; ``column`` is its
place among the columns used, ``nan_left`` tells whether NaN goes to the left."""


class Terms(NamedTuple):
    """A linear function: records of ``TERM``, and what is added to their sum."""

    terms: NDArray[np.void]
    offset: float


class Trees(NamedTuple):
    """The trees of a model.

    Attributes:
        used: int64, the columns that occur in a split.
        starts: int64, trees + 1; the splits of tree ``i`` are ``starts[i] : starts[i + 1]``.
        splits: records of ``SPLIT``.
        leaves: float64, trees x ``LEAVES``; value of each leaf, at the place that its bit hashes to.
    """

    used: NDArray[np.int64]
    starts: NDArray[np.int64]
    splits: NDArray[np.void]
    leaves: NDArray[np.float64]


class Curve(NamedTuple):
    """Where the sum is not yet the answer, knots of a line: float64, ``x`` rising. None for no curve."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]


class Linears(NamedTuple):
    """The linear part of a model.

    Attributes:
        base: of most rows.
        history: place of the column that is 0 in rows of newcomers; -1 where these are like all others.
        newcomers: of their rows.
    """

    base: Terms
    history: int
    newcomers: Terms


NO_LINEARS = Linears(Terms(np.empty(0, TERM), 0.0), -1, Terms(np.empty(0, TERM), 0.0))
NO_TREES = Trees(np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, SPLIT), np.empty((0, LEAVES)))
NO_CURVE = Curve(np.empty(0), np.empty(0))


def predict(linears: Linears, trees: Trees, curve: Curve, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what a model says of each row (float64) of ``features`` (rows x columns)."""
    # One by one: Numba takes several times as long to tell the type of a tuple of arrays as of the arrays.
    return _predict(
        *linears.base,
        linears.history,
        *linears.newcomers,
        trees.used,
        trees.starts,
        trees.splits,
        trees.leaves,
        *curve,
        features,
    )


@kernel
def _predict(
    base: NDArray[np.void],
    offset: float,
    history: int,
    newcomers: NDArray[np.void],
    offset_of_newcomers: float,
    used: NDArray[np.int64],
    starts: NDArray[np.int64],
    splits: NDArray[np.void],
    leaves: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    features: NDArray[np.float32],
) -> NDArray[np.float64]:
    found = np.full(len(features), offset)
    # Term by term, so that no addition waits for the one before, and few rows at once, so that they stay near.
    for first in range(0, found.size, _AT_ONCE):
        last = min(first + _AT_ONCE, found.size)
        for place in range(base.size):
            column, weight = base[place].column, base[place].weight
            fill, low, high = base[place].fill, base[place].low, base[place].high
            for row in range(first, last):
                found[row] += weight * _counted(features[row, column], fill, low, high)
    if history >= 0:
        for row in range(found.size):
            if features[row, history] == 0.0:
                found[row] = offset_of_newcomers
                for term in newcomers:
                    counted = _counted(features[row, term.column], term.fill, term.low, term.high)
                    found[row] += term.weight * counted
    _add_trees(Trees(used, starts, splits, leaves), features, found)
    if x.size:
        for row in range(found.size):
            found[row] = _on_curve(found[row], Curve(x, y))
    return found


@kernel
def contributions(
    linears: Linears, features: NDArray[np.float32], owners: NDArray[np.int64], players: int
) -> NDArray[np.float64]:
    """Return what the columns of each player add to a linear part; see `matching.linear.Linear.contributions`."""
    found = np.zeros((len(features), players))
    for row in range(len(features)):
        terms = linears.base.terms
        if linears.history >= 0 and features[row, linears.history] == 0.0:
            terms = linears.newcomers.terms
        for term in terms:
            counted = _counted(features[row, term.column], term.fill, term.low, term.high)
            found[row, owners[term.column]] += term.weight * (counted - term.fill)
    return found


@lean
def _counted(value: np.float32, fill: float, low: float, high: float) -> float:
    """Return what a value of a column counts as."""
    return min(max(fill if np.isnan(value) else np.float64(value), low), high)


@kernel
def _add_trees(trees: Trees, features: NDArray[np.float32], found: NDArray[np.float64]) -> None:
    """Add the scores of rows. They are summed tree by tree as LightGBM does, since sums round."""
    used, starts, splits, leaves = trees.used, trees.starts, trees.splits, trees.leaves
    values = np.zeros((used.size, _BLOCK), np.float32)
    left, sums = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK)
    for first in range(0, len(features) if len(leaves) else 0, _BLOCK):
        count = min(_BLOCK, len(features) - first)
        for i in range(count):
            for k in range(used.size):
                value = features[first + i, used[k]]
                values[k, i] = np.float32(0.0) if abs(value) <= ZERO else value
        sums[:] = 0.0
        for tree in range(len(leaves)):
            left[:] = ALL
            for place in range(starts[tree], starts[tree + 1]):
                split = splits[place]
                column, threshold, keeps = values[split.column], split.threshold, split.kept
                # A comparison with NaN is false, so the way it is asked decides where NaN goes.
                if split.nan_left:
                    for i in range(_BLOCK):
                        left[i] &= keeps if column[i] > threshold else ALL
                else:
                    for i in range(_BLOCK):
                        left[i] &= ALL if column[i] <= threshold else keeps
            for i in range(_BLOCK):
                lowest = np.uint32(left[i] & -left[i])
                sums[i] += leaves[tree, np.uint32(lowest * np.uint32(DE_BRUIJN)) >> np.uint32(27)]
        for i in range(count):
            found[first + i] += sums[i]


@lean
def _on_curve(value: float, curve: Curve) -> float:
    """Return a value's place on a curve, level beyond the outermost knots.

    It is what `numpy.interp` says, to the last bit, but for a value that is NaN and for knots that are not finite.
    """
    x, y = curve.x, curve.y
    if np.isnan(value):
        return value
    if value < x[0]:
        return float(y[0])
    if value >= x[-1]:
        return float(y[-1])
    low, high = 0, x.size - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if x[middle] <= value:
            low = middle
        else:
            high = middle
    if x[low] == value:
        return float(y[low])
    return float((y[low + 1] - y[low]) / (x[low + 1] - x[low]) * (value - x[low]) + y[low])


@kernel
def at_levels(
    location: NDArray[np.float64],
    scale: NDArray[np.float64],
    levels: NDArray[np.float64],
    residuals: Curve,
) -> NDArray[np.float64]:
    """Return a location and a scale times a residual (float64, levels x rows), at levels (float64, levels x rows)."""
    found = np.empty(levels.shape)
    for place in range(len(levels)):
        for row in range(location.size):
            found[place, row] = location[row] + scale[row] * _on_curve(levels[place, row], residuals)
    return found
