"""Rows of lists as they were served: the events between two lists are folded, then the rows of the next are built.

Many lists are done in one call, since to hand the state to a kernel takes longer than to fold the few events between.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.batch import Batch
from features.build import build, no_reference
from features.compared import COMPUTED
from features.estimates import SECOND
from features.fold import fold
from features.jit import kernel
from features.layout import Arrays
from features.readings import forget, no_readings, renew
from features.state import MarketState
from features.view import view_of

ANEW = 32
"""Lists after which all tokens are read anew, so that those of tasks that have left are not carried along for ever."""


class Lists(NamedTuple):
    """Lists in order of what they know.

    Attributes:
        known: int64; how many events of the batch each knows.
        workers: int32; dense indices, 0 for a worker never seen.
        instants: int64; microseconds since 1970.
        session_minutes: float64; what the worker had, NaN for what the profile says.
        starts, stops: int64; the items of each are ``starts[i]:stops[i]``.
    """

    known: NDArray[np.int64]
    workers: NDArray[np.int32]
    instants: NDArray[np.int64]
    session_minutes: NDArray[np.float64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]


class Items(NamedTuple):
    """Items of lists, and what was known of them when they were listed.

    Attributes:
        tasks: int32; dense indices, 0 for a task never seen.
        features: float32, items x columns of the spec.
        categories, languages: int32; label of the category and of the first language, 0 where there is none.
    """

    tasks: NDArray[np.int32]
    features: NDArray[np.float32]
    categories: NDArray[np.int32]
    languages: NDArray[np.int32]


@kernel
def _fill_items(s: Arrays, batch: Batch, done: int, lists: Lists, items: Items) -> None:
    readings, reference, nothing = no_readings(s), no_reference(), np.empty((0, len(COMPUTED)))
    for i in range(lists.known.size):
        fold(s, batch, done, lists.known[i])
        done = lists.known[i]
        start, stop = lists.starts[i], lists.stops[i]
        now = lists.instants[i] // SECOND * SECOND
        tasks, out = items.tasks[start:stop], items.features[start:stop]
        if i % ANEW == 0:
            forget(readings)
        view = view_of(s, lists.workers[i], now)
        renew(s, view, readings)
        reference.size[0] = -1
        build(s, view, readings, tasks, lists.session_minutes[i], reference, nothing, out)
        for k in range(start, stop):
            facts = s.tasks[items.tasks[k]].facts
            items.categories[k], items.languages[k] = facts.category, facts.languages[0]


def fill_items(state: MarketState, batch: Batch, done: int, lists: Lists, items: Items) -> None:
    """Fold a batch up to its last list, and tell of the items of each what was known then.

    Args:
        state: the market after the first ``done`` events of the batch.
        batch: encoded by ``state``.
        done: events of the batch that are folded already.
        lists: in order of ``known``, none of which is below ``done``.
        items: their items; all but ``tasks`` is filled.
    """
    _fill_items(state.arrays, batch, done, lists, items)
