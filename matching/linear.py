"""A linear function of a few columns of a row, missing values and outliers included."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a value for each row of ``features`` (rows x columns)."""
        total = np.full(len(features), self.offset)
        # Column by column, so that no row depends on how many others there are.
        for place, column in enumerate(self.columns.tolist()):
            total += self.weights[place] * self.prepared(features[:, column], place)
        return total

    def prepared(self, values: NDArray[np.float32], place: int) -> NDArray[np.float64]:
        """Return a column as it is weighted: filled where it is missing, and within its range."""
        filled = np.where(np.isnan(values), self.fill[place], values.astype(np.float64))
        return np.clip(filled, self.low[place], self.high[place])
