"""Priors: what a ranker says of every open task for anybody, kept from list to list."""

import weakref
from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.build import rows
from features.estimates import HOUR
from features.newcomer import as_regular
from features.prospects import LANES, Prospects, describe_prospects
from features.spec import NAMES
from features.state import MarketState
from matching.scoring import Ranker

SWEEP = HOUR
"""Microseconds in which what is kept of every open task is written anew, whether or not the task itself changed."""

TURN = 256
"""Tasks that come in turn at once, as there are costs to a turn."""

_PART = 5_000
"""Tasks written at once."""


class Known(NamedTuple):
    """What is kept of the open tasks of a market, in the order of its open-task index.

    Attributes:
        prospects: what a glance at them sees.
        newcomer: float32; scores for somebody who has taken nothing yet.
        regular: float32; scores for somebody in the midst of work.
    """

    prospects: Prospects
    newcomer: NDArray[np.float32]
    regular: NDArray[np.float32]

    @classmethod
    def empty(cls, blocks: int) -> "Known":
        """Return room for ``blocks`` times ``LANES`` tasks."""
        size = blocks * LANES
        return cls(Prospects.empty(blocks), np.zeros(size, np.float32), np.zeros(size, np.float32))


@dataclass
class _Kept:
    """What is known of a market as of an event, and how far the sweep over its tasks has come at which instant."""

    state: weakref.ref[MarketState]
    known: Known
    seq: int
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

    def of(self, state: MarketState, ranker: Ranker, now: int) -> Known:
        """Return what is known of every open task of a market at an instant (microseconds since 1970)."""
        arrays = state.arrays
        size, seq = int(arrays.market["n_open"][0]), state.seq
        with self._lock:
            kept = self._kept.get(ranker)
            if kept is None or kept.state() is not state or seq < kept.seq:
                kept = self._kept[ranker] = _Kept(weakref.ref(state), Known.empty(0), -1, 0, now)
            missing = -(-size // LANES) - len(kept.known.prospects.numbers)
            if missing > 0:
                kept.known = _longer(kept.known, max(missing, len(kept.known.prospects.numbers)))
            turn = min(size, size * max(0, now - kept.swept_at) // SWEEP)
            due = arrays.open_changed[:size] > kept.seq if seq != kept.seq else np.zeros(size, np.bool_)
            if turn >= min(size, TURN) > 0:
                due[np.arange(kept.swept, kept.swept + turn) % size] = True
                # What is left of a turn is not lost where lists come faster than turns.
                kept.swept_at = now if turn == size else kept.swept_at + turn * SWEEP // size
                kept.swept = (kept.swept + turn) % size
            places = np.flatnonzero(due)
            for part in np.array_split(places, -(-len(places) // _PART)) if len(places) else ():
                _write(state, ranker, part, now, kept.known)
            kept.seq = seq
            return kept.known


def _write(state: MarketState, ranker: Ranker, places: NDArray[np.int64], now: int, known: Known) -> None:
    newcomer = rows(state, 0, state.arrays.open_tasks[places], now)
    known.newcomer[places] = ranker.answers(newcomer).scores
    known.regular[places] = ranker.answers(as_regular(newcomer, NAMES)).scores
    describe_prospects(state.arrays, places, known.prospects)


def _longer(known: Known, blocks: int) -> Known:
    more = Known.empty(blocks)
    return Known(
        Prospects(
            np.concatenate([known.prospects.numbers, more.prospects.numbers]),
            np.concatenate([known.prospects.sketches, more.prospects.sketches]),
        ),
        np.concatenate([known.newcomer, more.newcomer]),
        np.concatenate([known.regular, more.regular]),
    )
