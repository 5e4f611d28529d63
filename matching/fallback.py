"""The order where no model has been trained yet: pay and skill, from counts alone."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from features.spec import COLUMN, GROUPS
from matching.contributions import above_others, group_of
from matching.first_stage import DEFAULT
from matching.scoring import Answers, Outcomes

VERSION = "fallback"

_WEIGHTS = {"affinity_z": 1.0, "skill_coverage": 2.0, "skill_overlap": 1.0, "hourly_rank": 1.0, "reward_rank": 1.0}
"""Each column is worth about a standard deviation of what marketplaces sort by; a missing one counts as its middle."""

_MIDDLE = {"skill_coverage": 0.5, "skill_overlap": 0.5, "hourly_rank": 0.5, "reward_rank": 0.5}

_FARTHEST = 2.0
"""How far a term may go: of a batch that everybody takes, others would lie ten standard deviations below."""


class FallbackRanker:
    """Ranks by pay and skill; `matching.scoring.Ranker` without a model."""

    version = VERSION
    first_stage = DEFAULT

    def answers(self, features: NDArray[np.float32]) -> Answers:
        """Score rows (float32, rows x columns of the spec); no probability of acceptance is claimed."""
        scores = np.zeros(len(features))
        for _, term in _terms(features):
            scores += term
        return Answers(scores, features, self.outcomes, _contribute)

    def outcomes(self, features: NDArray[np.float32]) -> Outcomes:
        """Return what counts tell of rows (float32, rows x columns of the spec)."""
        return Outcomes.counted(features)


def _terms(features: NDArray[np.float32]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for name, weight in _WEIGHTS.items():
        values = features[:, COLUMN[name]].astype(np.float64)
        known = np.where(np.isnan(values), _MIDDLE.get(name, 0.0), values)
        yield name, weight * np.clip(known, -_FARTHEST, _FARTHEST)


def _contribute(features: NDArray[np.float32], asked: int) -> NDArray[np.float64]:
    found = np.zeros((len(features), len(GROUPS)))
    for name, term in _terms(features):
        found[:, GROUPS.index(group_of(name))] += term
    return above_others(found, asked)
