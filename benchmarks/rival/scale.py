"""How tasks stand against the reference tasks: standard scores and ranks, of several columns at once."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Scale:
    """What columns are held against: the same columns of the reference tasks, but for what is missing there."""

    def __init__(self, reference: Floats) -> None:
        """Take the columns of the reference tasks (float64, columns x tasks)."""
        known = ~np.isnan(reference)
        self._sizes = known.sum(axis=1)
        with np.errstate(invalid="ignore"):
            self._means = np.where(known, reference, 0.0).sum(axis=1) / self._sizes
            apart = np.where(known, reference - self._means[:, None], 0.0)
            spreads = np.sqrt((apart * apart).sum(axis=1) / self._sizes)
        # Where the reference tasks do not differ, neither does anything from them.
        self._spreads = np.where(spreads > 1e-12, spreads, np.inf)
        # What is missing comes last.
        self._sorted = np.sort(reference.astype(np.float32), axis=1)

    def scores(self, values: Floats) -> Floats:
        """Return the standard score of each value (float64, columns x tasks)."""
        return (values - self._means[:, None]) / self._spreads[:, None]

    def ranks(self, values: Floats) -> Floats:
        """Return the share of the reference tasks below each value, those level with it counted half."""
        rounded, ranks = values.astype(np.float32), np.empty(values.shape)
        for column, size in enumerate(self._sizes.tolist()):
            others = self._sorted[column, :size]
            ranks[column] = others.searchsorted(rounded[column]) + others.searchsorted(rounded[column], "right")
        with np.errstate(invalid="ignore"):
            ranks *= 0.5 / self._sizes[:, None]
        ranks[np.isnan(values)] = np.nan
        return ranks
