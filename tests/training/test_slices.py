"""Each list falls into the slices that its worker, and the task that was taken, belong to."""

import numpy as np
from numpy.testing import assert_array_equal

from tests.training.handmade import handmade
from training.slices import MOST_VALUES, slices


def test_given_workers_with_and_without_acceptances_then_they_are_new_and_warm() -> None:
    found = slices(handmade([[2, 0], [0, 0], [2]], {"worker_accepts": [0, 0, 1.1, 1.1, 0.7]}))
    assert_array_equal(found["workers: new"], [True, False, False])
    assert_array_equal(found["workers: warm"], [False, True, True])


def test_given_no_columns_to_slice_by_then_there_are_no_slices() -> None:
    assert slices(handmade([[2, 0], [0, 1]])) == {}


def test_given_what_was_taken_then_a_list_belongs_to_each_of_its_categories_and_to_no_other() -> None:
    rows = handmade(
        [[2, 0, 3], [0, 1], [4, 0]], categories=["survey", "audio", "test", "audio", "test", "survey", None]
    )
    found = slices(rows)
    # The second list was looked at, and nothing was taken from it.
    assert list(found) == ["category: survey", "category: test"]
    assert_array_equal(found["category: survey"], [True, False, True])
    assert_array_equal(found["category: test"], [True, False, False])


def test_given_tasks_without_a_language_then_their_lists_are_in_no_language() -> None:
    found = slices(handmade([[2], [2], [2]], languages=["id", None, "en"]))
    assert list(found) == ["language: en", "language: id"]
    assert_array_equal(found["language: en"] | found["language: id"], [True, False, True])


def test_given_many_categories_then_the_largest_stand_alone_and_the_rest_together() -> None:
    # The category "c00" is taken from once, "c01" twice and so on.
    names = [f"c{number:02}" for number in range(MOST_VALUES + 2) for _ in range(number + 1)]
    found = slices(handmade([[2]] * len(names), categories=names))
    assert list(found) == [f"category: c{number:02}" for number in range(2, MOST_VALUES + 2)] + ["category: other"]
    assert found["category: other"].sum() == 1 + 2
    assert_array_equal(np.sum(list(found.values()), axis=0), 1)


def test_given_a_rank_of_pay_then_the_best_labelled_task_decides_on_the_third() -> None:
    rows = handmade(
        [[2, 4], [3, 0], [2, 2], [1, 0], [2, 0]],
        {"reward_rank": [0.1, 0.9, 0.5, 0.0, 0.2, 0.8, 0.1, 0.1, np.nan, 0.1]},
    )
    found = slices(rows)
    assert_array_equal(found["pay: highest third"], [True, False, False, False, False])
    assert_array_equal(found["pay: middle third"], [False, True, False, False, False])
    # Of two tasks with the same label, the one that stood higher in the list.
    assert_array_equal(found["pay: lowest third"], [False, False, True, False, False])


def test_given_a_task_that_nobody_had_taken_then_its_list_is_one_of_new_tasks() -> None:
    rows = handmade([[0, 2], [2, 0], [0, 0]], {"task_accepts": [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]})
    assert_array_equal(slices(rows)["tasks: new"], [True, False, False])


def test_given_all_columns_then_slices_come_in_the_order_of_tables() -> None:
    columns = {"task_accepts": [0.0], "reward_rank": [0.5], "worker_accepts": [0.0]}
    found = slices(handmade([[2]], columns, categories=["survey"], languages=["en"]))
    assert list(found) == [
        "workers: new",
        "workers: warm",
        "category: survey",
        "language: en",
        "pay: lowest third",
        "pay: middle third",
        "pay: highest third",
        "tasks: new",
    ]
