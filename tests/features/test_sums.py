"""Weighted sums over the tokens of a task: to the bit what adding one token after the other gives."""

import numba
import numpy as np
from numpy.typing import NDArray

from features.sums import OF_FIRST, OF_SECOND, PARTED, SUMMED, SUMS, add_weighted


@numba.njit  # type: ignore[untyped-decorator]
def _summed(
    told: NDArray[np.float64],
    spots: NDArray[np.int32],
    weights: NDArray[np.float32],
    kinds: NDArray[np.uint8],
    apart: NDArray[np.float64],
    size: int,
) -> NDArray[np.float64]:
    sums = np.full(SUMS, 7.0)
    add_weighted(told, spots, weights, kinds, apart, size, sums)
    return sums


def test_each_sum_is_that_of_one_token_after_the_other() -> None:
    draw = np.random.default_rng(1)
    told = draw.exponential(size=(50, SUMMED))
    apart = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.5]])
    for size in range(17):
        spots, weights = draw.integers(0, 50, 16).astype(np.int32), draw.random(16, np.float32)
        kinds = draw.integers(0, 3, 16).astype(np.uint8)
        expected = np.zeros(SUMS)
        for k in range(size):
            weight = float(weights[k])
            expected[:SUMMED] += weight * told[spots[k]]
            for start in (OF_FIRST, OF_SECOND):
                share = apart[kinds[k], start - OF_FIRST : start - OF_FIRST + PARTED]
                expected[start : start + PARTED] += weight * share * told[spots[k], :PARTED]
        np.testing.assert_array_equal(_summed(told, spots, weights, kinds, apart, size), expected)
