"""Splits by time: nothing learned from the validation window, nor from labels known only within it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import CocokError
from tests.training.handmade import handmade
from training.dataset import TrainingSet, task_catalogue
from training.splits import MINIMUM_LISTS, boundary, holdout, time_folds


def lists_at(times: list[int]) -> TrainingSet:
    count = len(times)
    return TrainingSet(
        features=np.zeros((count, 1), dtype=np.float32),
        names=("x",),
        labels=np.zeros(count, dtype=np.int8),
        late=np.zeros(count, dtype=np.int8),
        verdicts=np.full(count, -1, np.int8),
        minutes=np.full(count, np.nan, np.float32),
        decided=np.zeros(count, np.int64),
        timed=np.zeros(count, np.int64),
        told=np.zeros(count, np.int64),
        named=np.zeros(count, np.bool_),
        offsets=np.arange(count + 1),
        workers=np.zeros(count, dtype=np.int32),
        times=np.array(times, dtype=np.int64),
        tasks=np.zeros(count, dtype=np.int32),
        positions=np.ones(count, dtype=np.int32),
        propensities=np.full(count, np.nan),
        worker_ids=np.array(["w1"], object),
        feed_ids=np.array([f"f{number}" for number in range(count)], object),
        catalogue=task_catalogue(["t1"], [None], [None]),
        until=0,
    )


def test_the_last_part_is_held_out() -> None:
    development, held_out = holdout(lists_at(list(range(100))), 0.15)
    assert np.flatnonzero(held_out).tolist() == list(range(85, 100))
    assert np.flatnonzero(development).tolist() == list(range(85))


def test_a_list_whose_labels_were_unknown_at_the_boundary_is_on_neither_side() -> None:
    development, held_out = holdout(lists_at(list(range(100))), 0.15, maturity=10)
    # The list at 75 matures at 85, the very instant of the boundary: its last label is known.
    assert np.flatnonzero(development).tolist() == list(range(76))
    assert np.flatnonzero(held_out)[0] == 85


def test_a_list_that_the_log_tells_only_after_the_boundary_is_on_neither_side() -> None:
    told = np.zeros(100, np.int64)
    told[[3, 20, 50, 90]] = [84, 85, 86, 200]
    rows = replace(lists_at(list(range(100))), told=told)
    development, held_out = holdout(rows, 0.15)
    assert np.flatnonzero(~development).tolist() == [20, 50, *range(85, 100)]
    assert np.flatnonzero(held_out).tolist() == list(range(85, 100))
    first, _, last = time_folds(rows, 3, first=0.4)
    assert np.flatnonzero(~first.training[:40]).tolist() == [3, 20]
    assert np.flatnonzero(~last.training[:80]).tolist() == [3, 20, 50]
    assert last.validation.sum() == 20


def test_a_list_was_known_when_its_rows_were() -> None:
    rows = replace(handmade([[0, 0], [0], [0, 0, 0]]), told=np.array([0, 7, 0, 9, 8, 0]))
    assert rows.told_of_lists.tolist() == [7, 0, 9]
    assert rows.select(np.array([False, True, True])).told_of_lists.tolist() == [0, 9]


def test_given_too_little_history_since_much_was_told_late_then_the_error_says_so() -> None:
    rows = replace(lists_at(list(range(100))), told=np.full(100, 1000))
    for split in (holdout, time_folds):
        with pytest.raises(CocokError, match="100 of which the log tells late"):
            split(rows)


def test_folds_expand_and_their_windows_tile_the_rest() -> None:
    folds = time_folds(lists_at(list(range(100))), 3, first=0.4, maturity=5)
    windows = [np.flatnonzero(fold.validation) for fold in folds]
    assert np.concatenate(windows).tolist() == list(range(40, 100))
    assert [len(window) for window in windows] == [20, 20, 20]
    assert [int(fold.training.sum()) for fold in folds] == [36, 56, 76]


def test_a_fold_that_maturity_leaves_empty_is_left_out() -> None:
    folds = time_folds(lists_at(list(range(100))), 3, first=0.4, maturity=50)
    assert [int(fold.training.sum()) for fold in folds] == [11, 31]


@pytest.mark.parametrize(
    "times", [[], list(range(MINIMUM_LISTS)), [7] * 100], ids=["no lists", "few lists", "all at one instant"]
)
def test_too_little_history_is_an_error_that_says_what_to_do(times: list[int]) -> None:
    for split in (holdout, time_folds):
        with pytest.raises(CocokError, match="import more"):
            split(lists_at(times))


def test_the_boundary_moves_on_rather_than_leave_nothing_to_learn_from() -> None:
    assert boundary(np.array([1, 1, 1, 1, 2]), 0.5) == 2


@given(
    st.lists(st.integers(0, 60), min_size=30, max_size=120),
    st.integers(0, 20),
    st.integers(1, 4),
)
def test_no_list_is_on_both_sides_nor_learned_from_before_its_label_was_known(
    times: list[int], maturity: int, folds: int
) -> None:
    rows = lists_at(sorted(times))
    try:
        parts = [(fold.training, fold.validation) for fold in time_folds(rows, folds, maturity=maturity)]
        parts.append(holdout(rows, 0.2, maturity=maturity))
    except CocokError:
        return
    for training, validation in parts:
        assert rows.times[training].max() + maturity <= rows.times[validation].min()
        assert rows.times[training].max() < rows.times[validation].min()
        assert training.sum() >= MINIMUM_LISTS
        assert validation.sum() >= MINIMUM_LISTS
