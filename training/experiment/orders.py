"""What marketplaces do without learning: orders by one column, as rankers that the matcher takes like any other."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from features.spec import COLUMN
from matching.first_stage import DEFAULT
from matching.scoring import Answers, Outcomes
from training.simulation import Occasion


@dataclass(frozen=True)
class ByColumn:
    """The order by one column of the features; `matching.scoring.Ranker`.

    Tasks of equal value stand in random order, and those without a value, which the order has nothing to say of, behind
    all others: an order must not gain or lose by how ties happen to be broken.

    Attributes:
        version: what answers call it.
        column: its name; None for an order by chance alone.
        sign: 1 if more is better, -1 if less is.
        rng: chance.
    """

    version: str
    column: str | None
    sign: float
    rng: np.random.Generator

    first_stage = DEFAULT

    def answers(self, features: NDArray[np.float32]) -> Answers:
        """Score rows by their place in the order, the last one 0; nothing is expected of any."""
        chance = self.rng.random(len(features))
        values = np.zeros(len(features))
        if self.column is not None:
            column = self.sign * features[:, COLUMN[self.column]].astype(np.float64)
            values = np.where(np.isnan(column), -np.inf, column)
        scores = np.empty(len(features))
        scores[np.lexsort((chance, values))] = np.arange(len(features))
        return Answers(scores, features, self.outcomes)

    def outcomes(self, features: NDArray[np.float32]) -> Outcomes:
        """Expect nothing of any row."""
        return nothing_expected(features)


def nothing_expected(features: NDArray[np.float32]) -> Outcomes:
    """Return outcomes of which nothing is known."""
    unknown = np.full(len(features), np.nan)
    return Outcomes(*[unknown] * len(fields(Outcomes)))


_COLUMNS: dict[str, tuple[str | None, float]] = {
    "random": (None, 1.0),
    "newest": ("task_age_hours", -1.0),
    "highest_reward": ("reward", 1.0),
    "highest_hourly": ("hourly_stated", 1.0),
    "skill_overlap": ("skill_overlap", 1.0),
    "popularity": ("popularity", 1.0),
}


def _order(name: str) -> Callable[[Occasion], ByColumn]:
    column, sign = _COLUMNS[name]
    return lambda occasion: ByColumn(name, column, sign, occasion.rng)


ORDERS: dict[str, Callable[[Occasion], ByColumn]] = {name: _order(name) for name in _COLUMNS}
"""Name -> the ranker of a list.

- ``random``.
- ``newest``: the task posted last.
- ``highest_reward``: the largest reward.
- ``highest_hourly``: the largest reward over the minutes that the requester states.
- ``skill_overlap``: the share of the task's skills that the worker declares or has worked with.
- ``popularity``: how often similar tasks were taken lately, decayed.
"""
