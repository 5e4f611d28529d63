"""What a ranker must beat: orders that need no learning, on the same lists and from the same columns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.dataset import TrainingSet

_SEED = 20_240_607


@dataclass(frozen=True)
class ByColumn:
    """The order by one column.

    Attributes:
        column: its name.
        sign: 1 if more is better, -1 if less is.
    """

    column: str
    sign: float = 1.0

    def __call__(self, rows: TrainingSet) -> NDArray[np.float64]:
        """Return the score of every row."""
        return self.sign * rows.column(self.column).astype(np.float64)


def _random(rows: TrainingSet) -> NDArray[np.float64]:
    return np.random.default_rng(_SEED).random(len(rows.labels))


BASELINES: dict[str, Callable[[TrainingSet], NDArray[np.float64]]] = {
    "random": _random,
    "newest": ByColumn("task_age_hours", -1.0),
    "highest_pay": ByColumn("reward"),
    "skill_overlap": ByColumn("skill_overlap"),
    "popularity": ByColumn("popularity"),
    "past_rate": ByColumn("affinity"),
}
"""Name -> scores of every row, NaN where the order has nothing to go by.

- ``random``.
- ``newest``: the task posted last.
- ``highest_pay``: the largest reward.
- ``skill_overlap``: the share of the task's skills that the worker declares or has worked with.
- ``popularity``: how often similar tasks were taken lately, decayed.
- ``past_rate``: how often this worker took similar tasks, against how many there were.
"""


def baseline_scores(rows: TrainingSet) -> dict[str, NDArray[np.float64]]:
    """Return the scores of every baseline, by name; one whose column the rows do not have is left out."""
    return {
        name: order(rows)
        for name, order in BASELINES.items()
        if not isinstance(order, ByColumn) or order.column in rows.names
    }
