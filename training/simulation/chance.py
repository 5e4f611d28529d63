"""Randomness by name: each part of the world draws from a stream of its own, so a change here moves nothing there."""

import zlib

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def stream(seed: int, name: str, *keys: int) -> np.random.Generator:
    """Return the generator of a stream; the same seed, name and keys give the same draws."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *keys])


def lasting(seed: int, worker: int, tasks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a standard logistic draw for each pair of worker and task, the same whenever it is asked.

    A counter-based generator (the finaliser of SplitMix64) stands in for a table of all pairs.
    """
    with np.errstate(over="ignore"):
        bits = tasks.astype(np.uint64) + np.uint64((worker << 32) ^ (seed & 0xFFFFFFFF)) * _GOLDEN
        bits = (bits ^ (bits >> np.uint64(30))) * _MIX[0]
        bits = (bits ^ (bits >> np.uint64(27))) * _MIX[1]
        bits ^= bits >> np.uint64(31)
    uniform = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    uniform = np.clip(uniform, 1e-9, 1 - 1e-9)
    logits: NDArray[np.float64] = np.log(uniform) - np.log1p(-uniform)
    return logits


def logistic(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities from log-odds."""
    probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(log_odds, -40.0, 40.0)))
    return probability
