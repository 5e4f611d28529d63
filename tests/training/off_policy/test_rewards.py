"""What a list was worth."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.handmade import handmade
from training.dataset import TrainingSet
from training.off_policy.rewards import Reward


def shown_twice() -> TrainingSet:
    """A worker is shown tasks 0 and 1, then 1, 2 and 3; both lists know that 1 was taken."""
    rows = handmade([[0, 2], [0, 4, 2]], {"reward": np.log([9.0, 9.0, 2.0, 3.0, 5.0]).tolist()}, workers=[0, 0])
    return replace(rows, tasks=np.array([0, 1, 2, 1, 3], np.int32), verdicts=np.array([-1, 1, -1, 1, -1], np.int8))


def test_a_task_counts_for_the_last_list_it_stood_on_and_a_list_for_its_uppermost_taken_task() -> None:
    found = Reward.of(shown_twice(), "accepted")
    assert found.taken.tolist() == [False, False, False, True, False]
    assert found.values.tolist() == [0, 0, 0, 1, 0]
    assert found.worth.tolist() == [1] * 5


def test_only_what_was_approved_is_paid() -> None:
    assert Reward.of(shown_twice(), "paid").values == pytest.approx([0, 0, 0, 3, 0])
    unsettled = replace(shown_twice(), verdicts=np.full(5, -1, np.int8))
    assert Reward.of(unsettled, "approved").values.tolist() == [0] * 5


def test_what_is_expected_of_a_row_is_right_over_all_that_was_taken() -> None:
    rows = handmade([[4, 0], [3, 0]], {"reward": [0.0, 1.0, 2.0, np.nan]}, workers=[0, 1])
    rows = replace(rows, verdicts=np.array([1, -1, -1, -1], np.int8))
    found = Reward.of(rows, "paid")
    assert found.values.sum() == pytest.approx(found.worth[found.taken].sum())
    assert found.worth[3] == 0


def test_an_unknown_reward_is_refused() -> None:
    with pytest.raises(ValueError, match="choose one of accepted, approved, paid"):
        Reward.of(shown_twice(), "clicks")
