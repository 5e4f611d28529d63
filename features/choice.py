"""The highest of many scores, found without putting them in order."""

import math

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel

_BINS = 1_024
"""Parts of the range of scores, of which only that which holds the border is looked at more closely."""


@kernel
def highest(scores: NDArray[np.float32] | NDArray[np.float64], size: int) -> NDArray[np.int32]:
    """Return the places of the ``size`` highest scores (int32, rising); all if there are no more.

    Of equal scores the first ones count as higher; NaN counts as the lowest.

    Args:
        scores: float32 or float64; finite, or NaN.
        size: at least 1.
    """
    if size >= scores.size:
        return np.arange(scores.size).astype(np.int32)
    low, high = math.inf, -math.inf
    for i in range(scores.size):
        low, high = min(low, np.float64(scores[i])), max(high, np.float64(scores[i]))
    steps = (_BINS - 1) / (high - low) if high > low else 0.0
    bins, counts = np.empty(scores.size, np.int32), np.zeros(_BINS, np.int32)
    for i in range(scores.size):
        above = (scores[i] - low) * steps
        bins[i] = np.int32(above) if above > 0.0 else np.int32(0)
        counts[bins[i]] += 1
    border, found = _BINS - 1, counts[_BINS - 1]
    while found < size:
        border -= 1
        found += counts[border]
    # Those of the border that are needed, and what the least of them is.
    needed, at_border = size - (found - counts[border]), np.empty(counts[border])
    k = 0
    for i in range(scores.size):
        if bins[i] == border:
            at_border[k] = -math.inf if math.isnan(scores[i]) else scores[i]
            k += 1
    at_border.sort()
    least = at_border[k - needed]
    for n in range(k - needed, k):
        needed -= at_border[n] > least
    chosen, k = np.empty(size + 1, np.int32), 0
    for i in range(scores.size):
        # Without a branch, since it cannot be foreseen which are chosen.
        level = (bins[i] == border) & ((scores[i] == least) | (math.isnan(scores[i]) & (least == -math.inf)))
        taken = (bins[i] > border) | ((bins[i] == border) & (scores[i] > least)) | (level & (needed > 0))
        needed -= level
        chosen[k] = i
        k += taken
    return chosen[:size]
