"""A bandit of lists whose truth is known: pages drawn by Plackett and Luce, and workers who go down them."""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tests.training.handmade import handmade
from training.dataset import TrainingSet

CANDIDATES, LENGTH = 7, 5
ORDERS = np.array(list(permutations(range(LENGTH))))


@dataclass(frozen=True)
class Bandit:
    """A log, and of each row what is hidden: ``appeal``, the log-odds of being taken at the top if it is reached."""

    rows: TrainingSet
    appeal: NDArray[np.float64]

    def value(self, utilities: NDArray[np.float64]) -> float:
        """The chance that something is taken from a list, over all orders of each page."""
        appeal = self.appeal.reshape(-1, LENGTH)
        hazards = hazard(appeal[:, ORDERS])
        own = utilities[:, ORDERS]
        left = np.logaddexp.accumulate(own[..., ::-1], axis=-1)[..., ::-1]
        likely = np.exp((own - left).sum(axis=-1))
        return float((likely * (1 - np.prod(1 - hazards, axis=-1))).sum(axis=1).mean())


def hazard(appeal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance of being taken at each place of lists, if nothing above was."""
    return np.asarray(expit(appeal - 0.5 * np.arange(appeal.shape[-1])), dtype=np.float64)


def bandit(lists: int = 1200, seed: int = 0) -> Bandit:
    """Lists whose columns are what they were drawn by, what workers like, and noise."""
    random = np.random.default_rng(seed)
    by, liked, noise = random.normal(size=(3, lists, CANDIDATES))
    order = np.argsort(-(by + random.gumbel(size=by.shape)), axis=1)
    by, liked, noise = (np.take_along_axis(column, order, axis=1) for column in (by, liked, noise))
    left = np.logaddexp.accumulate(by[:, ::-1], axis=1)[:, ::-1]
    appeal = 1.5 * liked[:, :LENGTH] - 1.5
    taken = random.random((lists, LENGTH)) < hazard(appeal)
    taken &= np.cumsum(taken, axis=1) == 1
    columns = {
        name: values[:, :LENGTH].ravel().tolist() for name, values in (("by", by), ("liked", liked), ("noise", noise))
    }
    rows = handmade((2 * taken).tolist(), columns, workers=(np.arange(lists) % (lists // 6)).tolist())
    return Bandit(
        replace(rows, propensities=np.exp(by - left)[:, :LENGTH].ravel()),
        appeal.ravel(),
    )
