"""Logarithms and decays of many numbers at once, several in one instruction.

They are sums, products and quotients alone, one after the other: the same to the bit on every processor, however many
numbers it does at once. They are right to within two units of the last place.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.jit import lean

_LOG_2 = math.log(2.0)
_MANTISSA = 52
_BIAS = 1023
_ROOT_OF_HALF = int(np.array([math.sqrt(0.5)]).view(np.int64)[0])
"""The bits of a double, read as an integer."""

_ROUNDED = 1.5 * 2.0**_MANTISSA
"""Added to a small number it leaves the nearest whole one in the last bits."""

_LEAST_POWER = -1000.0
"""Far above that of the smallest double; what is left after so many half-lives is nothing anyhow."""


@lean
def take_logs(values: NDArray[np.float64], exponents: NDArray[np.float64]) -> None:
    """Replace positive numbers by their natural logarithms; NaN stays NaN. ``exponents`` is working memory, as long."""
    bits = values.view(np.int64)
    for i in range(values.size):
        missing = math.isnan(values[i])
        # What is left of a number without its exponent lies between the roots of 1/2 and 2.
        exponent = (bits[i] - _ROOT_OF_HALF) >> _MANTISSA
        bits[i] -= exponent << _MANTISSA
        exponents[i] = math.nan if missing else np.float64(exponent)
    for i in range(values.size):
        # log x = 2 artanh((x - 1) / (x + 1)), and of that the series.
        part = (values[i] - 1.0) / (values[i] + 1.0)
        square = part * part
        series = 1.0 / 21.0
        series = 1.0 / 19.0 + square * series
        series = 1.0 / 17.0 + square * series
        series = 1.0 / 15.0 + square * series
        series = 1.0 / 13.0 + square * series
        series = 1.0 / 11.0 + square * series
        series = 1.0 / 9.0 + square * series
        series = 1.0 / 7.0 + square * series
        series = 1.0 / 5.0 + square * series
        series = 1.0 / 3.0 + square * series
        values[i] = exponents[i] * _LOG_2 + (2.0 * part + 2.0 * part * square * series)


@lean
def take_decays(
    ages: NDArray[np.int64], half_life: int, left: NDArray[np.float64], powers: NDArray[np.float64]
) -> None:
    """Write down what is left of 1 at some ages, more than 1 at negative ones.

    ``powers`` is working memory, as long as ``left``.
    """
    bits = powers.view(np.int64)
    for i in range(left.size):
        power = max(-ages[i] / half_life, _LEAST_POWER)
        powers[i] = power + _ROUNDED
        # 2 to the power of a part between -1/2 and 1/2, by the series of the exponential function.
        part = (power - (powers[i] - _ROUNDED)) * _LOG_2
        series = 1.0 / 6227020800.0
        series = 1.0 / 479001600.0 + part * series
        series = 1.0 / 39916800.0 + part * series
        series = 1.0 / 3628800.0 + part * series
        series = 1.0 / 362880.0 + part * series
        series = 1.0 / 40320.0 + part * series
        series = 1.0 / 5040.0 + part * series
        series = 1.0 / 720.0 + part * series
        series = 1.0 / 120.0 + part * series
        series = 1.0 / 24.0 + part * series
        series = 1.0 / 6.0 + part * series
        series = 0.5 + part * series
        series = 1.0 + part * series
        left[i] = 1.0 + part * series
    for i in range(left.size):
        bits[i] = (bits[i] + _BIAS) << _MANTISSA
    for i in range(left.size):
        left[i] *= powers[i]
