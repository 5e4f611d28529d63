"""Priors: what a ranker says of every open task for a newcomer, that is of the task by itself."""

import weakref
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel
from features.layout import Arrays
from features.newcomer import as_regular
from features.spec import NAMES
from features.state import MarketState

if TYPE_CHECKING:
    from matching.scoring import Ranker

_PART = 10_000
"""Rows scored at once, when a model is new."""


@dataclass(eq=False)
class _Scored:
    """The scores of a market's open tasks by place (float32), true of what had been written when ``writes`` was."""

    state: weakref.ref[MarketState]
    scores: NDArray[np.float32]
    writes: int = 0


class Priors:
    """Keeps the scores of the rows that open tasks have for a newcomer, and for a regular worker, by ranker.

    A score is kept until its row is written anew, so it is a function of the state alone, and a few rows are scored
    for a list. Those who ask at once must see the same state; whoever changes it waits for them, as it does anyway.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: weakref.WeakKeyDictionary[Ranker, dict[bool, _Scored]] = weakref.WeakKeyDictionary()

    def of(self, state: MarketState, ranker: "Ranker", worker: int) -> NDArray[np.float32]:
        """Return the score of each open task for any worker who has, or has not, taken tasks before.

        Float32, by place in the open-task index; 0 where there is no row yet.
        """
        arrays, size = state.arrays, int(state.arrays.market["n_open"][0])
        regular = bool(arrays.workers["accepted"][worker] > 0.0)
        with self._lock:
            kept = self._known.setdefault(ranker, {})
            known = kept.get(regular)
            if known is None or known.state() is not state:
                known = kept[regular] = _Scored(weakref.ref(state), np.zeros(0, np.float32))
            if len(known.scores) < size:
                room = np.zeros(len(arrays.written) - len(known.scores), np.float32)
                known.scores = np.concatenate([known.scores, room])
            if known.writes != arrays.market["writes"][0]:
                places = _written_since(arrays, known.writes)
                known.scores[places] = 0.0
                for part in np.array_split(places[arrays.written[places] > 0], max(1, -(-len(places) // _PART))):
                    rows = arrays.newcomer_rows[part]
                    known.scores[part] = ranker.answers(as_regular(rows, NAMES) if regular else rows).scores
                known.writes = int(arrays.market["writes"][0])
            return known.scores[:size]


@kernel
def _written_since(s: Arrays, writes: int) -> NDArray[np.int64]:
    """Return the places in the open-task index that were written after a number (int64, rising)."""
    places, count = np.empty(s.market[0].n_open, np.int64), 0
    for place in range(places.size):
        places[count] = place
        count += abs(s.written[place]) > writes
    return places[:count].copy()
