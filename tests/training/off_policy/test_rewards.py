"""What a list was worth."""

from dataclasses import replace

import numpy as np
import pytest

from tests.log import RATES, Log, hour
from tests.training.handmade import handmade
from training.dataset import TrainingSet
from training.off_policy.rewards import Reward
from training.replay import training_set


def shown_twice() -> TrainingSet:
    """A worker is shown tasks 0 and 1, then 1, 2 and 3; both lists know that 1 was taken."""
    rows = handmade([[0, 2], [0, 4, 2]], {"reward": np.log([9.0, 9.0, 2.0, 3.0, 5.0]).tolist()}, workers=[0, 0])
    return replace(rows, tasks=np.array([0, 1, 2, 1, 3], np.int32), verdicts=np.array([-1, 1, -1, 1, -1], np.int8))


def test_a_task_counts_for_the_last_list_it_stood_on_and_a_list_for_its_uppermost_taken_task() -> None:
    found = Reward.of(shown_twice(), "accepted")
    assert found.taken.tolist() == [False, False, False, True, False]
    assert found.values.tolist() == [0, 0, 0, 1, 0]
    assert found.worth.tolist() == [1] * 5


@pytest.mark.parametrize(
    ("named", "taken"),
    [([1], [1, 4]), ([3], [3]), ([1, 3], [3]), ([3, 4], [3]), ([1, 4], [1, 4])],
    ids=["the first", "the last", "both, as after a return", "and another task", "each another"],
)
def test_a_task_counts_for_the_list_that_its_acceptance_names(named: list[int], taken: list[int]) -> None:
    rows = replace(shown_twice(), named=np.isin(np.arange(5), named))
    assert np.flatnonzero(Reward.of(rows, "accepted").taken).tolist() == taken
    assert Reward.of(rows, "approved").values.sum() == 1


def test_what_is_taken_too_late_from_the_list_that_is_named_counts_for_none() -> None:
    rows = shown_twice()
    rows.labels[1] = 0
    assert Reward.of(rows, "accepted").taken.tolist() == [False, False, False, True, False]
    rows = replace(rows, named=np.isin(np.arange(5), 1))
    assert Reward.of(rows, "accepted").taken.tolist() == [False, False, False, False, True]


def test_the_acceptance_of_another_worker_names_no_list_of_this_one() -> None:
    rows = handmade([[2], [2], [2]], {"reward": [0.0] * 3}, workers=[0, 0, 1])
    rows = replace(rows, tasks=np.zeros(3, np.int32), named=np.array([True, False, False]))
    assert Reward.of(rows, "accepted").taken.tolist() == [True, False, True]


def test_where_nothing_was_taken_there_is_no_reward() -> None:
    assert not Reward.of(handmade([[0, 1], [0, 0]], {"reward": [0.0] * 4}), "paid").values.any()


def test_the_list_that_an_acceptance_of_the_log_names_is_the_one_that_led_to_it() -> None:
    log = Log().post("a").post("b")
    log.serve("ann", ["a", "b"], 1, feed_id="named").serve("ann", ["b", "a"], 1.2, feed_id="after it")
    log.on("assignment_accepted", "ann", "a", 1.3, feed_id="named")
    rows = training_set(lambda: [log.entries], RATES, until=hour(400), whole=True)
    found = Reward.of(rows, "accepted").taken
    assert rows.labels.tolist() == [2, 0, 0, 2]
    assert found.tolist() == [True, False, False, False]
    assert rows.select(np.array([True, False])).named.tolist() == [True, False]


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
