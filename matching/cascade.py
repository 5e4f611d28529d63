"""The cascade: from a million tasks that a worker may take to the few hundred that the ranker scores for that worker.

A task is worth its prior, what the ranker says of it for any newcomer or any regular worker, and what the worker's own
history adds: the first stage. The prior has been scored before anybody asks, so all that the ranker has learned about
tasks chooses among them. A glance at every task (`features.glance`) keeps ``GLANCED`` times as many as are wanted, for
which the columns of the first stage are then computed.
"""

import numpy as np
from numpy.typing import NDArray

from features.build import compared
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
    tasks: NDArray[np.int32],
    now: int,
    size: int,
) -> NDArray[np.intp]:
    """Return the places of the ``size`` most promising tasks, in order of place; all of them if there are no more.

    Args:
        state: the market.
        ranker: the model in use.
        priors: of the open tasks.
        worker: dense index.
        tasks: int32, eligible tasks, in the order of the open-task index.
        now: microseconds since 1970.
        size: how many the ranker scores.

    Raises:
        ValueError: where a glance is needed, the tasks are not open or in another order.
    """
    if len(tasks) <= size:
        return np.arange(len(tasks))
    stage, known = ranker.first_stage, priors.of(state, ranker, now)
    prior = known.regular if state.arrays.workers["accepted"][worker] > 0.0 else known.newcomer
    places = np.arange(len(tasks))
    if len(tasks) > GLANCED * size:
        places = promising(state, known.prospects, worker, tasks, now, prior, stage.weights, stage.fill, GLANCED * size)
    glanced = tasks[places]
    scores = prior[state.arrays.tasks["open_at"][glanced]] + stage.scores(compared(state, worker, glanced, now))
    return np.sort(places[np.argpartition(-scores, size)[:size]])
