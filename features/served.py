"""Rows of lists as they were served: the events between two lists are folded, then the rows of the next are built.

Many lists are done in one call, since to hand the state to a kernel takes longer than to fold the few events between.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.batch import Batch
from features.build import Common, build, nothing_common
from features.compared import COMPUTED
from features.estimates import SECOND
from features.fold import fold
from features.jit import shared
from features.layout import Arrays
from features.readings import forget, renew
from features.state import MarketState
from features.view import view_of

ANEW = 32
"""Lists after which all tokens are read anew, so that those of tasks that have left are not carried along for ever."""


class Lists(NamedTuple):
    """Lists in order of what they know.

    Attributes:
        known: int64; how many events of the batch each knows.
        workers: int64; dense indices, 0 for a worker never seen.
        instants: int64; microseconds since 1970.
        session_minutes: float64; what the worker had, NaN for what the profile says.
        starts, stops: int64; the items of each are ``starts[i]:stops[i]``.
    """

    known: NDArray[np.int64]
    workers: NDArray[np.int64]
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


@shared
def _fill(
    s: Arrays, batch: Batch, done: int, lists: Lists, items: Items, common: Common, nothing: NDArray[np.float64]
) -> None:
    for i in range(lists.known.size):
        fold(s, batch, done, lists.known[i])
        done = lists.known[i]
        start, stop = lists.starts[i], lists.stops[i]
        now = lists.instants[i] // SECOND * SECOND
        tasks, out = items.tasks[start:stop], items.features[start:stop]
        if i % ANEW == 0:
            forget(common.readings)
        view = view_of(s, lists.workers[i], now)
        renew(s, view, common.readings)
        common.reference.size[0] = -1
        build(s, view, common, tasks, lists.session_minutes[i], nothing, out)
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
    nothing = np.empty((0, len(COMPUTED)))
    _fill(state.arrays, batch, done, lists, items, nothing_common(state.arrays), nothing)
