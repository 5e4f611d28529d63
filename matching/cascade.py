"""The cascade: from a million tasks that a worker may take to the few hundred that the ranker scores for that worker.

A task is worth its prior, what the ranker says of it for any newcomer or any regular worker, and what the worker's own
history adds: the first stage. The prior has been scored before anybody asks, so all that the ranker has learned about
tasks chooses among them. A glance at every task (`features.glance`) keeps ``GLANCED`` times as many as are wanted, for
which the columns of the first stage are then computed.
"""

import numpy as np
from numpy.typing import NDArray

from features.build import Common, compared
from features.glance import promising
from features.state import MarketState
from matching.priors import Priors
from matching.scoring import Ranker

GLANCED = 3
"""Tasks that a glance keeps for each that is wanted."""


def shortlist(
    state: MarketState,
    ranker: Ranker,
    priors: Priors,
    worker: int,
    places: NDArray[np.int32],
    now: int,
    size: int,
    common: Common | None = None,
    beside: NDArray[np.int32] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.float64] | None]:
    """Return which of some tasks are the ``size`` most promising, and what was computed of them.

    Args:
        state: the market.
        ranker: the model in use.
        priors: of the open tasks.
        worker: dense index.
        places: int32, of eligible tasks in the open-task index.
        now: microseconds since 1970.
        size: how many the ranker scores.
        common: to rows of this worker at this instant; see `features.build.rows`.
        beside: int32, dense indices; other tasks of which the same is computed.

    Returns:
        Their places (int32), in the order given, all if there are no more than are wanted; and what `compared` returned
        of these tasks and of those beside, None where it was not asked.
    """
    if len(places) <= size:
        return places, None
    stage, known = ranker.first_stage, priors.of(state, ranker, now)
    prior = known.regular if state.arrays.workers["accepted"][worker] > 0.0 else known.newcomer
    glanced = promising(state, known.prospects, worker, places, now, prior, stage.weights, stage.fill, GLANCED * size)
    tasks = state.arrays.open_tasks[glanced]
    columns = compared(state, worker, tasks if beside is None else np.concatenate((tasks, beside)), now, common)
    return stage.best(columns, glanced, prior, size)
