"""Logarithms and decays of many numbers at once: what `math` gives, and the same however many are done together."""

import math

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from features.elementary import take_decays, take_logs
from features.estimates import DAY, FAST, SLOW

POSITIVE = np.concatenate(
    [np.geomspace(1e-300, 1e300, 1_001), np.linspace(0.5, 2.5, 1_003), 1.0 + np.geomspace(1e-15, 1e-3, 99)]
)
AGES = np.concatenate([np.arange(40), np.geomspace(1, 3_000 * DAY, 1_001).astype(np.int64)])


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _logs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    taken = values.copy()
    take_logs(taken, np.empty_like(taken))
    return taken


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _decays(ages: NDArray[np.int64], half_life: int) -> NDArray[np.float64]:
    left = np.empty(ages.size)
    take_decays(ages, half_life, left, np.empty(ages.size))
    return left


def test_logarithms_are_those_of_numpy_but_for_the_last_places() -> None:
    np.testing.assert_allclose(_logs(POSITIVE), np.log(POSITIVE), rtol=1e-15, atol=3e-16)


def test_the_logarithm_of_one_is_nothing_and_of_what_is_missing_missing() -> None:
    assert _logs(np.array([1.0, math.nan, 2.0])).tolist() == [0.0, pytest.approx(math.nan, nan_ok=True), math.log(2.0)]


@pytest.mark.parametrize("half_life", [SLOW, FAST])
def test_decays_are_powers_of_a_half_but_for_the_last_places(half_life: int) -> None:
    np.testing.assert_allclose(_decays(AGES, half_life), 0.5 ** (AGES / half_life), rtol=1e-15)
    assert _decays(np.array([0, half_life, 3 * half_life]), half_life).tolist() == [1.0, 0.5, 0.125]


def test_of_what_is_older_than_any_market_next_to_nothing_is_left() -> None:
    assert 0.0 < _decays(np.array([2_000 * FAST]), FAST)[0] < 1e-300


def test_a_number_comes_out_the_same_whatever_stands_beside_it() -> None:
    for first in range(9):
        np.testing.assert_array_equal(_logs(POSITIVE[first : first + 13]), _logs(POSITIVE)[first : first + 13])
        np.testing.assert_array_equal(_decays(AGES[first : first + 13], SLOW), _decays(AGES, SLOW)[first : first + 13])
