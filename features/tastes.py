"""What workers have to do with tokens: for each worker a block of places, all blocks in one run.

A block is a table of its own with linear probing. Rows of tokens are hashes, so the share of all rows that lie before a
token is the share of the block where its place is looked for. In ``taste_tokens`` stands the token and 1 more, 0 in an
empty place. The pairs of a worker lie together: what a list or an assignment asks for is a few lines of memory, not one
for each token, and a token of 4 bytes tells a pair.

A block that is full moves to the end of the run and becomes larger. What it leaves behind stays as it was, for readers
that hold earlier arrays, until the run itself is full: then the blocks move into a new one. That happens only between
batches of events, so a reader never meets a run in the middle of a move.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel, lean, prefetch
from features.layout import TASTE, Arrays, Record
from features.tokens import TOKEN_BITS

LEAST_MORE = 16
"""Places that a block that moves gains at the least, beside what it needs."""

LEAST_ROOM = 1 << 10
"""Places behind the blocks of a new run, at the least."""

BATCHES = 4
"""Batches like the one that found the run full, for which a new run has room. Else each of many would move it: what a
batch asks for is far more than it takes, as most of its pairs are old ones."""

DOUBLED = 1 << 22
"""Places up to which a run that is full doubles; a larger one grows by a quarter, so that less lies unused in it."""

_WORKERS_AT_ONCE = 1 << 14


@lean
def most(places: int) -> int:
    """Return how many pairs a block of so many places takes: seven in eight, and one place always stays empty."""
    return places - 1 - (places >> 3)


@lean
def fitted(pairs: int) -> int:
    """Return the least number of places that take so many pairs."""
    return pairs + 1 + pairs // 7


@lean
def _enlarged(pairs: int) -> int:
    """Return the places of a block that was full with so many pairs."""
    return fitted(pairs + 1) + max(LEAST_MORE, pairs >> 2)


@lean
def _first(start: int, places: int, token: int) -> int:
    return start + (token * places >> TOKEN_BITS)


@lean
def _seek(tokens: NDArray[np.int32], start: int, places: int, token: int) -> int:
    """Return the place of a block where a token is, or else would be put; the block has an empty one."""
    place, end = _first(start, places, token), start + places
    while tokens[place] != 0 and tokens[place] != token + 1:
        place += 1
        if place == end:
            place = start
    return place


@lean
def foresee_taste(s: Arrays, worker: int, token: int) -> None:
    """Have a pair brought near that is asked for soon."""
    history = s.histories[worker]
    place = _first(history.start, history.places, token)
    prefetch(s.taste_tokens, place, 0)
    prefetch(s.tastes, place, 0)


@lean
def find_taste(histories: NDArray[np.void], tokens: NDArray[np.int32], worker: int, token: int) -> int:
    """Return the place of a pair, or -1."""
    history = histories[worker]
    if history.places == 0:
        return -1
    place = _seek(tokens, history.start, history.places, token)
    return place if tokens[place] != 0 else -1


@lean
def claim_taste(s: Arrays, worker: int, token: int) -> int:
    """Return the place of a pair, made if need be; the caller has seen to it that the run has room (`room_for`)."""
    history = s.histories[worker]
    if history.places > 0:
        place = _seek(s.taste_tokens, history.start, history.places, token)
        if s.taste_tokens[place] != 0:
            return place
        if history.used < most(history.places):
            s.taste_tokens[place] = token + 1
            history.used += 1
            return place
    _enlarge(s, history)
    place = _seek(s.taste_tokens, history.start, history.places, token)
    s.taste_tokens[place] = token + 1
    history.used += 1
    return place


@lean
def withdraw_levels(s: Arrays, worker: int) -> None:
    """Take back what a worker declared."""
    history = s.histories[worker]
    for place in range(history.start, history.start + history.places):
        if s.tastes[place].level != 0.0:
            s.tastes[place].level = 0.0


@lean
def _enlarge(s: Arrays, history: Record) -> None:
    start, places = s.taste_end[0], _enlarged(history.used)
    _put(s.taste_tokens, s.tastes, history, s.taste_tokens, s.tastes, start, places)
    s.taste_end[0] += places
    history.start = start
    history.places = places


@lean
def _put(
    tokens: NDArray[np.int32],
    tastes: NDArray[np.void],
    history: Record,
    new_tokens: NDArray[np.int32],
    new: NDArray[np.void],
    start: int,
    places: int,
) -> None:
    """Put the pairs of a block into one of so many places from ``start`` on, which is empty."""
    for old in range(history.start, history.start + history.places):
        if tokens[old] != 0:
            place = _seek(new_tokens, start, places, tokens[old] - 1)
            new_tokens[place] = tokens[old]
            new[place] = tastes[old]


@lean
def ask(histories: NDArray[np.void], worker: int, pairs: int) -> None:
    """Note that a batch may give a worker so many new pairs."""
    histories[worker].asked += pairs


@lean
def room_for(histories: NDArray[np.void], worker: int) -> int:
    """Return the most places that a worker's block takes at the end of the run until it holds what was asked for."""
    history = histories[worker]
    if history.asked == 0:
        return 0
    wanted, places, room = history.used + history.asked, history.places, 0
    history.asked = 0
    while most(places) < wanted:
        places = _enlarged(max(0, most(places)))
        room += places
    return room


def with_room(arrays: Arrays, room: int) -> Arrays:
    """Return the arrays with room for so many places at the end of the run; the blocks move if there is too little."""
    if int(arrays.taste_end[0]) + room <= len(arrays.taste_tokens):
        return arrays
    histories = arrays.histories.copy()
    end = _line_up(histories, False)
    # Behind the blocks nothing is written, so that it takes no memory until it is used.
    size = end + max(BATCHES * room, LEAST_ROOM, min(end, DOUBLED), end // 4)
    tokens, tastes = np.zeros(size, np.int32), np.zeros(size, TASTE)
    _move(arrays.histories, arrays.taste_tokens, arrays.tastes, histories, 0, tokens, tastes)
    return arrays._replace(histories=histories, taste_end=np.array([end], np.int64), taste_tokens=tokens, tastes=tastes)


def fitted_histories(histories: NDArray[np.void]) -> NDArray[np.void]:
    """Return histories whose blocks, one after the other, have no more places than they need."""
    fit = histories.copy()
    _line_up(fit, True)
    return fit


def fitted_blocks(arrays: Arrays, fit: NDArray[np.void]) -> Iterator[tuple[NDArray[np.int32], NDArray[np.void]]]:
    """Yield the run that `fitted_histories` describes, a piece at a time: tokens (int32) and tastes."""
    for begin in range(0, len(fit), _WORKERS_AT_ONCE):
        part = slice(begin, begin + _WORKERS_AT_ONCE)
        size = int(fit["places"][part].sum(dtype=np.int64))
        tokens, tastes = np.zeros(size, np.int32), np.zeros(size, TASTE)
        first = int(fit["start"][begin])
        _move(arrays.histories[part], arrays.taste_tokens, arrays.tastes, fit[part], first, tokens, tastes)
        yield tokens, tastes


@kernel
def _line_up(histories: NDArray[np.void], fit: bool) -> int:
    """Have the blocks begin one after the other, with places as they are or as few as they need; return their end."""
    end = 0
    for history in histories:
        if fit and history.used > 0:
            history.places = fitted(history.used)
        history.start = end
        end += history.places
    return end


@kernel
def _move(
    histories: NDArray[np.void],
    tokens: NDArray[np.int32],
    tastes: NDArray[np.void],
    new_histories: NDArray[np.void],
    first: int,
    new_tokens: NDArray[np.int32],
    new: NDArray[np.void],
) -> None:
    """Put each block where its new history says, in arrays that begin with the place ``first``."""
    for worker in range(histories.size):
        history, to = histories[worker], new_histories[worker]
        start, end = history.start, history.start + history.places
        if to.places == history.places:
            new_tokens[to.start - first : to.start - first + to.places] = tokens[start:end]
            new[to.start - first : to.start - first + to.places] = tastes[start:end]
        else:
            _put(tokens, tastes, history, new_tokens, new, to.start - first, to.places)


def listed(
    histories: NDArray[np.void], tokens: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Return worker, token and place of every pair, in order of worker and token."""
    sizes = histories["places"]
    workers = np.repeat(np.arange(len(histories), dtype=np.int32), sizes)
    before = np.cumsum(sizes, dtype=np.int64) - sizes
    places = np.arange(len(workers)) + np.repeat(histories["start"] - before, sizes)
    held = tokens[places] != 0
    workers, places = workers[held], places[held]
    found = tokens[places] - 1
    order = np.lexsort((found, workers))
    return workers[order], found[order], places[order]
