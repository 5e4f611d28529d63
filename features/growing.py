"""An array that grows at its end, while readers hold what it was."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Growing:
    """Rows in an array that has room behind them.

    Attributes:
        rows: the array; in use are the first ``used`` rows.
        used: how many.
    """

    def __init__(self, dtype: Any) -> None:
        self.rows: NDArray[Any] = np.zeros(16, dtype)
        self.used = 0

    def append(self, value: Any) -> None:
        """Add a row."""
        self._make_room(self.used + 1)
        self.rows[self.used] = value
        self.used += 1

    def extend(self, values: Sequence[Any]) -> None:
        """Add rows."""
        need = self.used + len(values)
        self._make_room(need)
        if values:
            self.rows[self.used : need] = values
        self.used = need

    def _make_room(self, need: int) -> None:
        if need > len(self.rows):
            # A new array each time, and never one that is resized: a reader may hold the old one.
            grown = np.zeros(max(need, 2 * len(self.rows)), self.rows.dtype)
            grown[: self.used] = self.rows[: self.used]
            self.rows = grown
