"""The outcome model: how likely an item is taken where it stands, if nothing above it was.

A worker goes down a list and takes what he likes (the cascade model, Craswell et al. 2008). The chance of an item to be
the uppermost that is taken is then the product of a hazard, its own, and of the chance that nothing above it was taken,
as in survival analysis in discrete time (Cox 1972; Singer & Willett 1993).
"""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training.dataset import TrainingSet
from training.off_policy.pages import Floats, Pages
from training.ranker import reproducible

FOLDS = 3

_TREES = 80
_ROWS_OF_A_LEAF = 30


@dataclass(frozen=True, eq=False)
class Hazard:
    """Log-odds of being taken if nothing above was: the sum of what the row and what the place contributes.

    Attributes:
        items: float64, lists x longest; of the item that was logged at each place.
        places: float64, lists x longest; of the place, whatever stands there.
    """

    items: Floats
    places: Floats

    @classmethod
    def fit(cls, rows: TrainingSet, pages: Pages, taken: NDArray[np.bool_]) -> "Hazard":
        """Fit on the items that had nothing taken above them; each worker's by trees that never saw that worker.

        Cross-fitting keeps the estimate from trusting what the trees learned by heart (Chernozhukov et al. 2018). No
        tree looks at the position and at something else, so that the log-odds are a sum, and every item need not be
        asked for at every place.

        Args:
            rows: of the pages.
            pages: what was served.
            taken: rows; whether it is the uppermost of its list that was taken.
        """
        there = pages.there
        here = taken[pages.rows] & there
        at_risk = there & (np.cumsum(here, axis=1) - here == 0)
        positions = rows.positions[pages.rows]
        deepest = int(positions[there].max())
        folds = _folds(rows.workers[pages.lists])
        items, places = np.full(there.shape, -np.inf), np.zeros(there.shape)
        for fold in np.unique(folds):
            own, others = (folds == fold)[:, None] & there, (folds != fold)[:, None] & at_risk
            trees = _grow(_columns(rows, pages.rows[others], positions[others]), here[others])
            items[own] = trees.predict(_columns(rows, pages.rows[own], np.ones(own.sum())), raw_score=True)
            some = np.repeat(pages.rows[own][:1], deepest)
            by_position = trees.predict(_columns(rows, some, np.arange(1, deepest + 1)), raw_score=True)
            places[own] = (by_position - by_position[0])[positions[own] - 1]
        return cls(items, places)

    def part(self, part: slice) -> "Hazard":
        """Return some of the lists."""
        return Hazard(self.items[part], self.places[part])

    def logits(self, orders: NDArray[np.int64]) -> Floats:
        """Return the log-odds of items in other orders (orders x lists x longest); -inf beyond the end of a page."""
        return np.take_along_axis(self.items[None], orders, axis=2) + self.places


def _folds(workers: NDArray[np.int32]) -> NDArray[np.int64]:
    """Deal workers out by falling number of lists, so that the folds hold about as many."""
    _, who, counts = np.unique(workers, return_inverse=True, return_counts=True)
    dealt = np.empty(len(counts), np.int64)
    dealt[np.argsort(-counts, kind="stable")] = np.arange(len(counts)) % FOLDS
    return dealt[who]


def _columns(rows: TrainingSet, places: NDArray[np.int64], positions: NDArray[np.generic]) -> NDArray[np.float32]:
    return np.column_stack([rows.features[places], positions.astype(np.float32)])


def _grow(features: NDArray[np.float32], taken: NDArray[np.bool_]) -> lgb.Booster:
    position = features.shape[1] - 1
    settings = {
        "objective": "binary",
        "learning_rate": 0.1,
        "num_leaves": 7,
        "min_data_in_leaf": _ROWS_OF_A_LEAF,
        "feature_fraction": 0.5,
        "lambda_l2": 1.0,
        "interaction_constraints": [list(range(position)), [position]],
        **reproducible(0, 0),
    }
    return lgb.train(settings, lgb.Dataset(features, taken.astype(np.float64), params=settings), _TREES)
