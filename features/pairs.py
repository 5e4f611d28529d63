"""Sparse pairs (worker x task): open addressing with linear probing over flat arrays.

A key is ``worker << 32 | other``; 0 marks an empty place, since worker 0 is the blank one. Nothing is ever removed in
place, and the arrays grow only between batches of events, so a reader never meets a table in the middle of a move.

The share of all hashes that lie before that of a key is the share of the table where its place is looked for. So a
table may have any number of places, and its pairs keep their order when it grows: a move goes once through both.
"""

import numpy as np
from numpy.typing import NDArray

from features.jit import lean, prefetch

SMALLEST = 1 << 10
LOAD = 0.5
"""Share of the places that is used at the most, of tables that a cache may hold."""

LARGE, LOAD_OF_LARGE = 1 << 20, 0.65
"""From so many places on, to find the first one is a wait for memory; those behind it come with it, and cost little.
A table that large grows by a quarter, since one that has doubled lies half empty, and all of it takes memory."""


@lean
def pair_key(worker: int, other: int) -> np.uint64:
    """Return the key of a pair."""
    return np.uint64(worker) << np.uint64(32) | np.uint64(other)


@lean
def _home(key: np.uint64, places: np.uint64) -> np.uint64:
    # The finaliser of splitmix64: neighbouring workers and tasks must not cluster. Its upper half is enough.
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (key >> np.uint64(32)) * places >> np.uint64(32)


@lean
def _next(place: np.uint64, places: np.uint64) -> np.uint64:
    return place + np.uint64(1) if place + np.uint64(1) < places else np.uint64(0)


@lean
def foresee(keys: NDArray[np.uint64], values: NDArray[np.void], key: np.uint64) -> None:
    """Have a pair brought near that is asked for soon; in a table that no cache holds, a probe is a wait for memory."""
    home = _home(key, np.uint64(keys.size))
    prefetch(keys, home, 0)
    prefetch(values, home, 0)


@lean
def find(keys: NDArray[np.uint64], key: np.uint64) -> int:
    """Return the place of a key, or -1."""
    places = np.uint64(keys.size)
    place = _home(key, places)
    while keys[place] != np.uint64(0):
        if keys[place] == key:
            return np.int64(place)
        place = _next(place, places)
    return -1


@lean
def claim(keys: NDArray[np.uint64], key: np.uint64) -> tuple[int, bool]:
    """Return the place of a key and whether it is new; the caller has seen to it that there is room."""
    places = np.uint64(keys.size)
    place = _home(key, places)
    while keys[place] != np.uint64(0):
        if keys[place] == key:
            return np.int64(place), False
        place = _next(place, places)
    keys[place] = key
    return np.int64(place), True


@lean
def move(
    keys: NDArray[np.uint64], values: NDArray[np.void], new_keys: NDArray[np.uint64], new: NDArray[np.void]
) -> None:
    """Put the pairs of a table, or of any part of one, into another that has room for them."""
    for old in range(keys.size):
        if keys[old] != np.uint64(0):
            place, _ = claim(new_keys, keys[old])
            new[place] = values[old]


def most(places: int) -> float:
    """Return how many pairs a table of so many places takes before it grows."""
    return places * (LOAD_OF_LARGE if places >= LARGE else LOAD)


def grown(
    keys: NDArray[np.uint64], values: NDArray[np.void], pairs: int
) -> tuple[NDArray[np.uint64], NDArray[np.void]]:
    """Return the table, moved to larger arrays if ``pairs`` pairs do not fit."""
    if pairs <= most(keys.size):
        return keys, values
    size = SMALLEST
    while pairs > most(size):
        size += size if size < LARGE else size // 4
    new_keys, new_values = np.zeros(size, np.uint64), np.zeros(size, values.dtype)
    move(keys, values, new_keys, new_values)
    return new_keys, new_values
