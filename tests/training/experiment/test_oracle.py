from itertools import permutations

import numpy as np
import pytest

from tests.training.experiment.conftest import SMALL, start
from training.experiment.contestants import contestant
from training.experiment.oracle import Oracle, cascade
from training.simulation import Occasion, Ranking


@pytest.mark.parametrize("seed", range(5))
def test_no_other_order_of_a_list_is_worth_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    takes, value, cost = rng.uniform(0, 1, 5), rng.normal(1, 2, 5), rng.uniform(0, 0.3, 5)
    goes_on = float(rng.uniform(0.5, 1))

    def worth(order: tuple[int, ...]) -> float:
        total, reached = 0.0, 1.0
        for task in order:
            total += reached * (takes[task] * value[task] - cost[task])
            reached *= goes_on * (1 - takes[task])
        return total

    best = tuple(np.argsort(-cascade(takes, value, cost, goes_on)).tolist())
    assert worth(best) == pytest.approx(max(map(worth, permutations(range(5)))))


def test_what_is_not_taken_is_worth_no_look() -> None:
    takes, value, cost = np.array([0.0, 0.2]), np.array([9.0, 1.0]), np.array([0.1, 0.1])
    assert np.isfinite(cascade(takes, value, cost, goes_on=1.0)).all()
    assert cascade(takes, value, cost, goes_on=1.0).argmax() == 1


def test_the_oracle_lists_by_true_worth_and_asks_for_it_at_that_instant() -> None:
    begun = start()
    oracle = Oracle(begun.live.world)
    lists = 0

    def checked(occasion: Occasion) -> Ranking:
        nonlocal lists
        ranking = by_oracle(occasion)
        worth = oracle.worth(occasion, ranking.tasks)
        assert (np.diff(worth) <= 0).all()
        left = np.setdiff1d(occasion.available(), ranking.tasks)
        # What asks for a qualification is listed to everyone, and worth nothing to who lacks it.
        assert len(ranking.tasks) == SMALL.behaviour.list_length or not len(left)
        if len(left):
            assert oracle.worth(occasion, left).max() <= worth.min()
        lists += 1
        return ranking

    by_oracle = contestant("oracle", begun.live, None, None).policy
    for _ in begun.live.run(checked, begun.live.world.end):
        pass
    assert lists > 100
