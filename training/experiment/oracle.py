"""The oracle: what could be earned if all that the simulator hides were known."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.state import MarketState
from matching.rerank import Ranking, Step
from training.simulation import Occasion, Truth, World
from training.simulation.population import Floats, Ints

_HOUR = 3600.0


class Oracle:
    """Knows the truth of a world; makes the re-ranking step of a list.

    It seeks the largest surplus of the worker who looks: expected pay, less the reservation wage for every hour that
    it costs, search included. Within a list, a task taken is worth ``v``, its expected pay less the wage for its hours,
    and a position looked at costs ``c``, the wage for its seconds. The worker takes it with probability ``p``, and goes
    on to the next one with probability ``s`` otherwise. Changing two neighbours shows that the sum is largest in
    falling order of ``(p v - c) / (1 - s (1 - p))``: the cascade model of Kempe & Mahdian (2008), "A cascade model for
    externalities in sponsored search", with costs of looking. That holds where ``p`` is the same at every position;
    here a task further down is noticed less, which is left out.

    It plans no further than a list and a worker: that somebody else would make more of a slot, or that work teaches, is
    nothing to it.

    Args:
        world: asked as it is at that instant.
    """

    def __init__(self, world: World) -> None:
        self._world, self._truth = world, Truth(world)
        self._indices = np.empty(0, np.int64)

    def step(self, occasion: Occasion) -> Step:
        """Return what orders the tasks of a list by their true worth to its worker."""

        def by_worth(ranking: Ranking, state: MarketState, features: NDArray[np.float32]) -> Ranking:
            worth = self.worth(occasion, self._world_indices(state)[ranking.tasks])
            return replace(ranking, scores=worth).reordered(np.argsort(-worth, kind="stable"))

        return by_worth

    def worth(self, occasion: Occasion, tasks: Ints) -> Floats:
        """Return the index that the oracle orders by, USD, one for each task (world indices)."""
        world, law = self._world, self._world.config.behaviour
        true = self._truth.of(occasion.worker, tasks, occasion.session_minutes)
        wage = float(world.workers.reservation[occasion.worker])
        pay = true["p_finish"] * true["p_approve"] * world.tasks.reward[tasks]
        value = pay - wage * (true["minutes"] + law.overhead_minutes) / 60
        looking = wage * (law.item_seconds + true["p_view"] * law.read_seconds) / _HOUR
        return cascade(true["p_take"], value, looking, float(world.workers.scan_on[occasion.worker]))

    def _world_indices(self, state: MarketState) -> Ints:
        """Return the world index of every task of the state, by its dense index; -1 for the one never seen."""
        tasks, board = state.catalogue.tasks, self._world.board
        if len(self._indices) < len(tasks):
            new = [board.index.get(tasks.external(task), -1) for task in range(len(self._indices), len(tasks))]
            self._indices = np.concatenate([self._indices, np.array(new, np.int64)])
        return self._indices


def cascade(takes: Floats, value: Floats, cost: Floats, goes_on: float) -> Floats:
    """Return the index in whose falling order a list that is walked through until something is taken is worth most.

    Args:
        takes: probability that each task is taken once it is looked at.
        value: of taking it.
        cost: of looking at it.
        goes_on: probability of looking at the next one after a task that was not taken.
    """
    # Who never stops and never takes would look at it for nothing, endlessly.
    ends = np.maximum(1.0 - goes_on * (1.0 - takes), 1e-9)
    index: Floats = (takes * value - cost) / ends
    return index
