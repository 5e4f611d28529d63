"""The outcome model: how likely an item is taken where it stands, if nothing above it was.

Workers go down a list and take what they like (the cascade model, Craswell et al. 2008). The chance of an item to be
the uppermost that is taken is then the product of a hazard, its own, and of the chance that nothing above it was taken,
as in survival analysis in discrete time (Cox 1972; Singer & Willett 1993).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training.dataset import TrainingSet
from training.off_policy.pages import Pages
from training.off_policy.race import Floats, Orders
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
    def fit(cls, rows: TrainingSet, blocks: Sequence[Pages], taken: NDArray[np.bool_]) -> "list[Hazard]":
        """Fit on the items that had nothing taken above them; each worker's by trees that never saw that worker.

        Cross-fitting keeps the estimate from trusting what the trees learned by heart (Chernozhukov et al. 2018). No
        tree looks at the position and at something else, so that the log-odds are a sum, and every item need not be
        asked for at every place.

        Args:
            rows: of the pages.
            blocks: what was served.
            taken: rows; whether it is the uppermost of its list that was taken.

        Returns:
            What is found, for each of the blocks.
        """
        index = np.concatenate([pages.rows[pages.there] for pages in blocks])
        here, at_risk = taken[index], np.concatenate([_at_risk(pages, taken) for pages in blocks])
        positions = rows.positions[index]
        distinct, which = np.unique(np.append(1, positions), return_inverse=True)
        sizes = np.concatenate([pages.there.sum(axis=1) for pages in blocks])
        folds = np.repeat(_folds(rows.workers[np.concatenate([pages.lists for pages in blocks])]), sizes)
        items, places = np.full(len(rows.labels), -np.inf), np.zeros(len(rows.labels))
        for fold in np.unique(folds):
            own, others = folds == fold, (folds != fold) & at_risk
            trees = _grow(_columns(rows, index[others], positions[others]), here[others])
            items[index[own]] = trees.predict(_columns(rows, index[own], np.ones(own.sum())), raw_score=True)
            some = np.repeat(index[own][:1], len(distinct))
            by_position = trees.predict(_columns(rows, some, distinct), raw_score=True)[which]
            places[index[own]] = by_position[1:][own] - by_position[0]
        return [
            cls(np.where(pages.there, items[pages.rows], -np.inf), np.where(pages.there, places[pages.rows], 0.0))
            for pages in blocks
        ]

    def part(self, part: slice) -> "Hazard":
        """Return some of the lists."""
        return Hazard(self.items[part], self.places[part])

    def logits(self, orders: Orders) -> Floats:
        """Return the log-odds of items in other orders (orders x lists x longest); -inf beyond the end of a page."""
        return np.take_along_axis(self.items[None], orders, axis=2) + self.places


def _at_risk(pages: Pages, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return for each item of pages, one page after the other, whether nothing above it was taken."""
    here = taken[pages.rows] & pages.there
    return (np.cumsum(here, axis=1) - here == 0)[pages.there]


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
