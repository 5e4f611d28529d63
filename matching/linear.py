"""Linear functions of a few columns of a row, missing values and outliers included."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel


@dataclass(frozen=True, eq=False)
class Linear:
    """``offset`` plus a weighted sum of columns; each array has one entry for every column used.

    Attributes:
        columns: int64; places in a row.
        weights: float64.
        fill: float64; what a missing value counts as.
        low: float64; a smaller value counts as this one.
        high: float64; a larger value counts as this one.
        offset: added to the sum.
    """

    columns: NDArray[np.int64]
    weights: NDArray[np.float64]
    fill: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    offset: float

    @classmethod
    def constant(cls, offset: float = 0.0) -> "Linear":
        """Return what is the same for every row."""
        nothing = np.empty(0)
        return cls(np.empty(0, np.int64), nothing, nothing, nothing, nothing, offset)

    def packed(self) -> NDArray[np.float64]:
        """Return all of it as one array, to be saved; see `unpacked`."""
        head = np.array([[self.offset, 0.0, 0.0, 0.0, 0.0]])
        return np.vstack([head, np.column_stack([self.columns, self.weights, self.fill, self.low, self.high])])

    @classmethod
    def unpacked(cls, packed: NDArray[np.float64]) -> "Linear":
        """Return what `packed` was called on."""
        columns, weights, fill, low, high = packed[1:].T
        return cls(columns.astype(np.int64), weights, fill, low, high, offset=float(packed[0, 0]))

    def scaled(self, factor: float) -> "Linear":
        """Return the same with a ``factor`` before it, and without an offset, which orders nothing."""
        return replace(self, weights=factor * self.weights, offset=0.0)

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a value for each row of ``features`` (rows x columns)."""
        return _predict(features, self.columns, self.weights, self.fill, self.low, self.high, self.offset)

    def contributions(
        self, features: NDArray[np.float32], owners: NDArray[np.int64], players: int
    ) -> NDArray[np.float64]:
        """Return what the columns of each player add to the value, above what they add where they are missing.

        It is the Shapley value of a sum, where a column that does not play counts as its mean (Lundberg & Lee 2017).

        Args:
            features: float32, rows x columns.
            owners: int64, columns; the player to whom each belongs.
            players: how many there are.

        Returns:
            float64, rows x players.
        """
        return _contribute(features, self.columns, self.weights, self.fill, self.low, self.high, owners, players)


@dataclass(frozen=True, eq=False)
class Newcomers:
    """A linear function for the rows of newcomers alone.

    Attributes:
        column: place in a row of the column that is 0 for newcomers, and above for all others.
        linear: the function.
    """

    column: int
    linear: Linear

    def among(self, features: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which rows of ``features`` (rows x columns) are of newcomers."""
        return np.asarray(features[:, self.column] == 0.0)


@kernel
def _counted(value: np.float32, fill: float, low: float, high: float) -> float:
    """Return what a value of a column counts as."""
    return min(max(fill if np.isnan(value) else np.float64(value), low), high)


@kernel
def _predict(
    features: NDArray[np.float32],
    columns: NDArray[np.int64],
    weights: NDArray[np.float64],
    fill: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    offset: float,
) -> NDArray[np.float64]:
    total = np.full(features.shape[0], offset)
    for row in range(features.shape[0]):
        for place in range(columns.size):
            total[row] += weights[place] * _counted(features[row, columns[place]], fill[place], low[place], high[place])
    return total


@kernel
def _contribute(
    features: NDArray[np.float32],
    columns: NDArray[np.int64],
    weights: NDArray[np.float64],
    fill: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    owners: NDArray[np.int64],
    players: int,
) -> NDArray[np.float64]:
    found = np.zeros((features.shape[0], players))
    for row in range(features.shape[0]):
        for place in range(columns.size):
            counted = _counted(features[row, columns[place]], fill[place], low[place], high[place])
            found[row, owners[columns[place]]] += weights[place] * (counted - fill[place])
    return found
