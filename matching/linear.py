"""Linear functions of a few columns of a row, missing values and outliers included."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from matching.additive import NO_CURVE, NO_LINEARS, NO_TREES, TERM, Terms, contributions, predict


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

    @cached_property
    def terms(self) -> Terms:
        """The same, as kernels take it."""
        found = np.empty(len(self.columns), TERM)
        found["column"], found["weight"], found["fill"] = self.columns, self.weights, self.fill
        found["low"], found["high"] = self.low, self.high
        return Terms(found, float(self.offset))

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
        return predict(NO_LINEARS._replace(base=self.terms), NO_TREES, NO_CURVE, features)

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
        return contributions(NO_LINEARS._replace(base=self.terms), features, owners, players)


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
