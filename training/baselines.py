"""What a ranker must beat: orders that need no learning, on the same lists and from the same columns."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.dataset import TrainingSet

_SEED = 20_240_607


def _column(name: str, sign: float = 1.0) -> Callable[[TrainingSet], NDArray[np.float64]]:
    return lambda rows: sign * rows.column(name).astype(np.float64)


def _random(rows: TrainingSet) -> NDArray[np.float64]:
    return np.random.default_rng(_SEED).random(len(rows.labels))


BASELINES: dict[str, Callable[[TrainingSet], NDArray[np.float64]]] = {
    "random": _random,
    "newest": _column("task_age_hours", -1.0),
    "highest_pay": _column("reward"),
    "skill_overlap": _column("skill_overlap"),
    "popularity": _column("popularity"),
    "past_rate": _column("affinity"),
}
"""Name -> scores of every row, NaN where the order has nothing to go by.

- ``random``.
- ``newest``: the task posted last.
- ``highest_pay``: the largest reward.
- ``skill_overlap``: the share of the task's skills that the worker declares or has worked with.
- ``popularity``: how often similar tasks were taken lately, decayed.
- ``past_rate``: how often this worker took similar tasks, against how many there were.
"""
