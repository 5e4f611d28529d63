"""Priors: what a ranker says of every open task for anybody, kept from list to list."""

import weakref
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.build import rows
from features.estimates import HOUR
from features.layout import CHANGES
from features.newcomer import as_regular
from features.prospects import PROSPECT, describe_prospects
from features.spec import NAMES
from features.state import MarketState
from matching.reading import Read
from matching.scoring import Ranker

SWEEP = HOUR
"""Microseconds in which what is kept of every open task is written anew, whether or not the task itself changed."""

TURN = 256
"""Tasks that come in turn at once, as there are costs to a turn."""

_PART = 5_000
"""Tasks written at once."""

_PREPARED_AT_ONCE = 500
"""Tasks written while the state stands still, where nobody waits for them: a few milliseconds."""


class Known(NamedTuple):
    """What is kept of the open tasks of a market, in the order of its open-task index.

    Attributes:
        prospects: records of ``PROSPECT``; what a glance at them sees.
        newcomer: float32; scores for somebody who has taken nothing yet.
        regular: float32; scores for somebody in the midst of work.
    """

    prospects: NDArray[np.void]
    newcomer: NDArray[np.float32]
    regular: NDArray[np.float32]

    @classmethod
    def empty(cls, tasks: int) -> "Known":
        """Return room for so many tasks."""
        return cls(np.zeros(tasks, PROSPECT), np.zeros(tasks, np.float32), np.zeros(tasks, np.float32))


@dataclass
class _Kept:
    """What is known of a market after so many changes, and how far the sweep over its tasks came at which instant."""

    state: weakref.ref[MarketState]
    known: Known
    changes: int
    swept: int
    swept_at: int


class Priors:
    """Keeps what is known of the open tasks of a market, by ranker.

    Before each list it is written anew for the tasks that changed since the last one, and for as many in turn as it
    takes to come to all of them in ``SWEEP``. So it lags behind by that much at the most, and by how much depends on
    when lists were asked for: it decides which tasks are looked at more closely, and never what is said of them.

    Those who ask at once must see the same events of the market; whoever changes it waits for them, as it does anyway.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: weakref.WeakKeyDictionary[Ranker, _Kept] = weakref.WeakKeyDictionary()

    def __reduce__(self) -> tuple[type["Priors"], tuple[()]]:
        # Another process has another market, and begins with nothing.
        return Priors, ()

    def prepare(self, read: Read, ranker: Ranker, now: int) -> None:
        """Write all of it for a ranker that is to rank, part by part, so that no list has to wait for it.

        Args:
            read: gives the state, always the same.
            ranker: the model.
            now: microseconds since 1970.
        """

        def begin(state: MarketState) -> _Kept:
            size, changes = _extent(state)
            return _Kept(weakref.ref(state), Known.empty(size), changes, 0, now)

        def write(state: MarketState, first: int) -> None:
            places = np.arange(first, min(first + _PREPARED_AT_ONCE, _extent(state)[0], len(kept.known.newcomer)))
            _write(state, ranker, places, now, kept.known)

        kept = read(begin)
        for first in range(0, len(kept.known.newcomer), _PREPARED_AT_ONCE):
            read(partial(write, first=first))
        with self._lock:
            # What changed meanwhile is written before the first list.
            self._kept[ranker] = kept

    def of(self, state: MarketState, ranker: Ranker, now: int) -> Known:
        """Return what is known of every open task of a market at an instant (microseconds since 1970)."""
        arrays, (size, changes) = state.arrays, _extent(state)
        with self._lock:
            kept = self._kept.get(ranker)
            if kept is None or kept.state() is not state:
                kept = self._kept[ranker] = _Kept(weakref.ref(state), Known.empty(0), -CHANGES, 0, now)
            missing = size - len(kept.known.newcomer)
            if missing > 0:
                kept.known = _longer(kept.known, max(missing, len(kept.known.newcomer)))
            turn = min(size, size * max(0, now - kept.swept_at) // SWEEP)
            swept = turn >= min(size, TURN) > 0
            if changes == kept.changes and not swept:
                return kept.known
            if changes - kept.changes < CHANGES:
                places = np.unique(arrays.changes[np.arange(kept.changes, changes) % CHANGES]).astype(np.int64)
                places = places[places < size]
            else:
                places = np.arange(size)
            if swept:
                places = np.union1d(places, np.arange(kept.swept, kept.swept + turn) % size)
                # What is left of a turn is not lost where lists come faster than turns.
                kept.swept_at = now if turn == size else kept.swept_at + turn * SWEEP // size
                kept.swept = (kept.swept + turn) % size
            for part in np.array_split(places, -(-len(places) // _PART)) if len(places) else ():
                _write(state, ranker, part, now, kept.known)
            kept.changes = changes
            return kept.known


def _extent(state: MarketState) -> tuple[int, int]:
    """Return how many tasks are open, and how many changes there were to them."""
    market = state.arrays.market
    return int(market["n_open"][0]), int(market["n_changes"][0])


def _write(state: MarketState, ranker: Ranker, places: NDArray[np.int64], now: int, known: Known) -> None:
    newcomer = rows(state, 0, state.arrays.open_tasks[places], now)
    known.newcomer[places] = ranker.answers(newcomer).scores
    known.regular[places] = ranker.answers(as_regular(newcomer, NAMES)).scores
    describe_prospects(state.arrays, places, known.prospects)


def _longer(known: Known, tasks: int) -> Known:
    return Known(*(np.concatenate(parts) for parts in zip(known, Known.empty(tasks), strict=True)))
