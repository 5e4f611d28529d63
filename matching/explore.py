"""Orders drawn by chance, with the chances logged: exploration with a promised floor, and swaps of two neighbours.

Exploration learns what tasks and workers are worth that nothing is known of; swaps tell how attention falls with
position (`training.attention`). Both are deterministic given a seed, and an item carries the probability with which it
stands where it stands.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.state import MarketState
from matching.rerank import Ranking


@dataclass(frozen=True)
class Explore:
    """Draws the first positions, and promises a part of each to who is new.

    At each position the task comes with probability ``1 - floor`` from a draw by Plackett and Luce (Luce 1959, Plackett
    1975) among the best ``depth`` that are left, and with probability ``floor`` from an even draw among the *promised*
    tasks that are left: the new ones or, for a new worker, all. The propensity is the sum of both ways. So while ``m``
    promised tasks are left, each has at least ``floor / m`` at each of these positions.

    The cost is bounded. Without the floor the same ``depth`` tasks stand there in another order, and at each position
    the expected score lies below the best one left by ``temperature x log(depth)`` standard deviations of the scores at
    the most: exp(score / t) maximises the expected score plus t times the entropy. The floor gives away
    ``floor x depth`` positions in expectation, and a task takes part in it until it has been served ``new_task`` times.

    Attributes:
        depth: positions that are drawn; the rest stays in order.
        temperature: in standard deviations of the scores.
        floor: probability (0..1) that a position is given to a promised task, while there is one.
        new_task: lists; a task served in fewer is new.
        new_worker: acceptances; a worker with fewer is new.
    """

    depth: int = 20
    temperature: float = 0.25
    floor: float = 0.1
    new_task: int = 20
    new_worker: int = 3

    def lots(self, state: MarketState, worker: int, tasks: NDArray[np.int32], seed: int) -> NDArray[np.int32]:
        """Return the promised ones among a worker's eligible tasks, in the order in which the floor draws them.

        The floor does not ask for scores, so its draws can come first: then the shortlist has room for the ``depth`` of
        them that may be needed, and the promise holds for every eligible task, however many there are.

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

    def __call__(self, ranking: Ranking, lots: NDArray[np.int32], seed: int) -> Ranking:
        """Return a drawn order with its propensities.

        Args:
            ranking: best first.
            lots: int32, as of `lots`; the first ``depth`` of them are in the ranking.
            seed: of the list; the same for the same list.
        """
        if not len(ranking.tasks):
            return ranking
        random = np.random.default_rng([seed, 1])
        utilities = self._utilities(ranking)
        # Perturbed utilities in falling order are a draw from Plackett-Luce (Yellott 1977), and stay one among those
        # left when the floor takes some away: the race behind it has no memory.
        race = iter(np.argsort(-(utilities + random.gumbel(size=len(utilities))), kind="stable").tolist())
        place_of = {task: place for place, task in enumerate(ranking.tasks.tolist())}
        promised = iter([place_of[task] for task in lots[: self.depth].tolist()])
        order: list[int] = []
        for given in random.random(len(utilities)) < self.floor:
            chosen = next((place for place in promised if place not in order), None) if given else None
            order.append(next(place for place in race if place not in order) if chosen is None else chosen)
        drawn = np.array(order, np.intp)
        whole = np.concatenate([drawn, np.setdiff1d(np.arange(len(ranking.tasks)), drawn, assume_unique=True)])
        propensities = np.ones(len(whole))
        kept = np.isin(ranking.tasks[drawn], lots)
        propensities[: len(drawn)] = self._propensities(drawn, utilities, kept, len(lots))
        return ranking.reordered(whole, propensities)

    def _propensities(
        self, drawn: NDArray[np.intp], utilities: NDArray[np.float64], kept: NDArray[np.bool_], promised: int
    ) -> NDArray[np.float64]:
        """Return the probability of each task drawn, given those before it; ``kept`` tells which were promised."""
        best = drawn < len(utilities)
        by_score = np.full(len(drawn), -np.inf)
        by_score[best] = utilities[drawn[best]]
        unplaced = np.setdiff1d(np.arange(len(utilities)), drawn)
        # Sums from the end, in logs: taking what was drawn off the whole would leave nothing of small weights.
        left = np.logaddexp.accumulate(np.concatenate([by_score, utilities[unplaced]])[::-1])[::-1][: len(drawn)]
        waiting = promised - (np.cumsum(kept) - kept)
        floor = np.where(waiting > 0, self.floor, 0.0)
        chances: NDArray[np.float64] = (1.0 - floor) * np.exp(by_score - left) + floor * kept / np.maximum(waiting, 1)
        return chances

    def _utilities(self, ranking: Ranking) -> NDArray[np.float64]:
        """Return the utilities of the first positions.

        A position is worth its place among the scores, whichever task the steps have put there: else what spreads
        groups would be undone by every draw.
        """
        first = -np.sort(-ranking.scores)[: self.depth]
        spread = self.temperature * float(ranking.scores.std())
        return first / spread if spread > 0.0 else np.zeros(len(first))


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
