"""Orders drawn by chance, with the chances logged: exploration with a promised floor, and swaps of two neighbours.

Exploration learns what tasks and workers are worth that nothing is known of; swaps tell how attention falls with
position (`training.attention`). Both are deterministic given a seed, and an item carries the probability with which it
was drawn to where it stands.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.state import MarketState
from matching.rerank import Ranking

_LEAST_SHARE = 1e-9
"""Of the scores in the weights, so that with a floor of 1 what is not promised comes last and still by its score."""


@dataclass(frozen=True)
class Explore:
    """Draws the first positions, and promises a part of each to who is new.

    Promised are the new tasks or, for a new worker, all. Each of the ``m`` promised has a probability of at least
    ``floor / m`` at each of the first ``depth`` positions until it stands somewhere. There are two ways to it:

    - The best ``depth`` come in an order drawn by Plackett and Luce (Luce 1959, Plackett 1975). Their weights are those
      of the scores, mixed with an even share for the promised among them.
    - Positions are given away to promised tasks from further down, by a coin that looks at nothing else, and evenly.

    The best are those of the shortlist. A task scored only because a position may be given to it is never one of them,
    however good its score: it is scored in some draws only, and would stand there by a chance that no propensity tells.

    No task comes both ways, so that the order of the best is Plackett and Luce whatever is given away, as
    `training.off_policy` asks for. The propensity of a task that was drawn is its probability given those before it and
    the positions given away. A task that was given its position has propensity 1, since nothing else would move it.

    The cost is bounded. Without the floor the same ``depth`` tasks stand there in another order, and at each position
    the expected score lies below the best one left by ``temperature x log(depth)`` standard deviations of the scores at
    the most: exp(score / t) maximises the expected score plus t times the entropy. The floor gives away at most
    ``floor x depth`` positions in expectation; among the best a promised task counts as if it were at most
    ``temperature x log(m / floor)`` standard deviations below the first. It does until it has been served ``new_task``
    times.

    Attributes:
        depth: positions that are drawn; the rest stays in order.
        temperature: in standard deviations of the scores.
        floor: probability (0..1) of the promised together at a position.
        new_task: lists; a task served in fewer is new.
        new_worker: acceptances; a worker with fewer is new.
    """

    depth: int = 20
    temperature: float = 0.25
    floor: float = 0.1
    new_task: int = 20
    new_worker: int = 3

    def lots(self, state: MarketState, worker: int, tasks: NDArray[np.int32], seed: int) -> NDArray[np.int32]:
        """Return the promised ones among a worker's eligible tasks, in the order in which positions are given to them.

        That order does not ask for scores, so it can come first: those that may be needed are then scored beside the
        shortlist, and the promise holds for every eligible task, however many there are.

        Args:
            state: the market.
            worker: dense index; 0 for one that nobody knows.
            tasks: int32, eligible tasks.
            seed: of the list.
        """
        arrays = state.arrays
        if arrays.workers["accepted"][worker] >= self.new_worker:
            tasks = tasks[arrays.tasks["served"][tasks] < self.new_task]
        return np.random.default_rng([seed, 0]).permutation(tasks)

    def reserve(self, lots: NDArray[np.int32], shortlist: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the lots (int32) to score beside a shortlist: no more than ``depth`` positions are given away."""
        return lots[~np.isin(lots, shortlist)][: self.depth]

    def __call__(self, ranking: Ranking, lots: NDArray[np.int32], seed: int, reserve: Ranking | None = None) -> Ranking:
        """Return a drawn order with its propensities.

        Args:
            ranking: the shortlist, best first.
            lots: int32, as of `lots`, without those of the shortlist that it turned out not to hold.
            seed: of the list; the same for the same list.
            reserve: what there is of the lots of `reserve`; those given no position come last.
        """
        if not len(ranking.tasks):
            return ranking
        random = np.random.default_rng([seed, 1])
        best = ranking.tasks[: self.depth]
        promised, beyond = np.isin(best, lots), lots[~np.isin(lots, best)]
        weights = self._weights(ranking, promised, len(beyond))
        # Perturbed logs of weights in falling order are a draw from Plackett-Luce (Yellott 1977).
        race = np.argsort(-(weights + random.gumbel(size=len(best))), kind="stable")
        given = np.flatnonzero(random.random(len(best)) * max(len(lots), 1) < self.floor * len(beyond))[: len(beyond)]
        every = ranking if reserve is None else ranking.followed_by(reserve)
        place_of = {task: place for place, task in enumerate(every.tasks.tolist())}
        first = np.full(len(best), -1, np.intp)
        # A promised task found to pay too little is in neither ranking; its position is drawn instead.
        first[given] = [place_of.get(task, -1) for task in beyond[: len(given)].tolist()]
        drawn = first < 0
        first[drawn] = race[: drawn.sum()]
        order = np.concatenate([first, np.setdiff1d(np.arange(len(every.tasks)), first, assume_unique=True)])
        propensities = np.ones(len(order))
        # Sums from the end, in logs: taking what was drawn off the whole would leave nothing of small weights.
        left = np.logaddexp.accumulate(weights[race][::-1])[::-1]
        propensities[: len(best)][drawn] = np.exp(weights[race] - left)[: drawn.sum()]
        return every.reordered(order, propensities)

    def _weights(self, ranking: Ranking, promised: NDArray[np.bool_], beyond: int) -> NDArray[np.float64]:
        """Return the logs of the weights of the first positions; ``beyond`` is how many more are promised a part.

        A position is worth its place among the scores, whichever task the steps have put there: else what spreads
        groups would be undone by every draw.
        """
        first = -np.sort(-ranking.scores)[: self.depth]
        spread = self.temperature * float(ranking.scores.std())
        utilities = first / spread if spread > 0.0 else np.zeros(len(first))
        count = int(promised.sum())
        if not count or not self.floor:
            return utilities
        # What the promised among the best have of the floor, as a share of the positions that are not given away.
        share = self.floor * count / (count + (1.0 - self.floor) * beyond)
        by_score = utilities - np.logaddexp.reduce(utilities) + np.log(max(1.0 - share, _LEAST_SHARE))
        mixed: NDArray[np.float64] = np.where(promised, np.logaddexp(by_score, np.log(share / count)), by_score)
        return mixed


@dataclass(frozen=True)
class Swap:
    """Puts two neighbours among the first positions in the order of a fair coin (Joachims et al. 2017, section 5.3).

    Which two, ``k`` and ``k + 1``, is drawn evenly. Both carry the propensity 0.5, and nothing else does: so a log
    tells which pair was at stake, also where the coin left it as it was.

    Attributes:
        depth: pairs that may be drawn; ``k`` is from 1 to ``depth``.
    """

    depth: int = 10

    def __call__(self, page: Ranking, seed: int) -> Ranking:
        """Return the page with one pair drawn; a page of a single task is as it was."""
        pairs = min(self.depth, len(page.tasks) - 1)
        if pairs < 1:
            return page
        random = np.random.default_rng(seed)
        first = int(random.integers(pairs))
        order, propensities = np.arange(len(page.tasks)), np.ones(len(page.tasks))
        pair = slice(first, first + 2)
        propensities[pair] = 0.5
        if random.random() < 0.5:
            order[pair] = order[pair][::-1].copy()
        return page.reordered(order, propensities)
