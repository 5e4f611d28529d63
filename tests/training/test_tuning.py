"""Tuning: what it compares, what it must not see, and that it goes on where it was left."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.errors import CocokError
from tests.market import usual
from training import tuning
from training.columns import monotone_directions, ranking_columns
from training.dataset import TrainingSet
from training.ranker import RankerParameters, TreeChoice, choose_trees
from training.splits import holdout
from training.tuning import COMPLETE, PRUNED, SEARCHED, Tuning, tune

START = RankerParameters(learning_rate=0.1, num_leaves=31, min_trees=20, max_trees=25, folds=2, num_threads=1)
POOR = replace(START, min_data_in_leaf=10_000)
"""No tree of it has a split."""


def without_time(found: Tuning) -> pd.DataFrame:
    return found.trials.drop(columns="seconds")


def shuffled(rows: TrainingSet, lists: np.ndarray) -> TrainingSet:
    """Return the rows with the labels of some lists at random places of these lists."""
    labels, chosen = rows.labels.copy(), np.repeat(lists, np.diff(rows.offsets))
    labels[chosen] = np.random.default_rng(3).permutation(labels[chosen])
    return replace(rows, labels=labels, late=np.zeros_like(labels))


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    return usual()[1]


@pytest.fixture(scope="module")
def found(rows: TrainingSet) -> Tuning:
    return tune(rows, START, 9)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare the best with the first by one refit of each, which takes most of the time: for what is not its gain."""
    monkeypatch.setattr(tuning, "_REFITS", 1)


@pytest.fixture(scope="module")
def begun(rows: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of two trials."""
    store = tmp_path_factory.mktemp("begun") / "tuning.journal"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "_REFITS", 1)
        tune(rows, START, 2, store=store)
    return store.read_bytes()


def test_given_a_search_then_the_first_trial_is_the_start_chosen_as_in_training(
    rows: TrainingSet, found: Tuning
) -> None:
    development = rows.select(holdout(rows, maturity=rows.maturity)[0])
    columns = {"monotone": monotone_directions(rows.names), "ranks": ranking_columns(rows.names)}
    choice = choose_trees(development, START, **columns, maturity=rows.maturity)
    first = found.trials.iloc[0]
    assert {name: first[name] for name in SEARCHED} == {name: getattr(START, name) for name in SEARCHED}
    assert (first["trees"], first["value"]) == (choice.trees, choice.curve[choice.trees - 1])
    assert found.trials["trial"].tolist() == list(range(9))
    assert found.trials[list(SEARCHED)].drop_duplicates().shape == (9, len(SEARCHED))


def test_given_a_search_then_the_best_is_that_of_the_highest_value(found: Tuning) -> None:
    complete = found.trials[found.trials["state"] == COMPLETE]
    best = complete.loc[complete["value"].idxmax()]
    assert {name: best[name] for name in SEARCHED} == {name: getattr(found.best, name) for name in SEARCHED}
    assert replace(found.best, **{name: getattr(START, name) for name in SEARCHED}) == START


def test_given_a_curve_below_the_others_then_its_trial_is_given_up_early(found: Tuning) -> None:
    pruned, complete = (found.trials[found.trials["state"] == state] for state in (PRUNED, COMPLETE))
    assert len(pruned) > 0
    assert pruned["trees"].isna().all()
    assert complete["trees"].notna().all()
    assert pruned["value"].max() < complete["value"].median()


def test_given_a_poor_start_then_a_better_one_wins_and_is_used(rows: TrainingSet) -> None:
    found = tune(rows, POOR, 4)
    assert found.trials["state"].iloc[0] == COMPLETE
    assert found.gain.low > 0
    assert found.parameters == found.best != POOR


def test_given_labels_that_nothing_explains_then_the_start_stays(rows: TrainingSet) -> None:
    found = tune(shuffled(rows, np.ones(len(rows), dtype=bool)), START, 5)
    assert found.best != START
    assert found.gain.low < 0 < found.gain.high
    assert found.parameters == START
    assert "chance" in found.verdict()


def test_given_nothing_better_than_the_start_then_there_is_no_gain(rows: TrainingSet) -> None:
    found = tune(rows, START, 1)
    assert found.parameters == found.best == START
    assert (found.gain.value, found.gain.low, found.gain.high) == (0, 0, 0)
    assert not found.won
    assert "the first stay" in found.verdict()


def test_given_other_labels_in_the_last_part_then_nothing_changes(rows: TrainingSet, found: Tuning) -> None:
    _, last = holdout(rows, maturity=rows.maturity)
    other = tune(shuffled(rows, last), START, 9)
    pd.testing.assert_frame_equal(without_time(other), without_time(found))
    assert (other.best, other.gain) == (found.best, found.gain)


def test_given_a_search_in_two_calls_then_the_second_goes_on_and_ends_as_one(
    rows: TrainingSet, found: Tuning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "home" / "tuning.journal"
    told: list[tuple[str, int, int]] = []
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "_REFITS", 1)
        tune(rows, START, 3, store=store)
    whole = tune(rows, START, 9, store=store, progress=lambda *step: told.append(step))
    pd.testing.assert_frame_equal(without_time(whole), without_time(found))
    assert whole.gain == found.gain
    assert told[0] == ("Tuning", 3 * START.max_trees + 1, 9 * START.max_trees)
    assert ("Tuning", 9 * START.max_trees, 9 * START.max_trees) in told
    assert told[-1] == ("Comparing with the first", 3, 3)
    monkeypatch.setattr(tuning, "_REFITS", 1)
    assert len(tune(rows, START, 2, store=store).trials) == 9


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("rest", [b"", b'{"op_code":5,"tri', b"\0\0\0"], ids=["shortened", "begun", "not written"])
def test_given_a_write_that_was_cut_off_then_the_search_goes_on_from_what_is_whole(
    rows: TrainingSet, found: Tuning, begun: bytes, tmp_path: Path, rest: bytes
) -> None:
    store = tmp_path / "tuning.journal"
    store.write_bytes(begun + rest if rest else begun[:-40])
    again = tune(rows, START, 3, store=store)
    pd.testing.assert_frame_equal(without_time(again), without_time(found).head(3))
    assert not rest or store.read_bytes().startswith(begun + b"{")
    assert len(tune(rows, START, 3, store=store).trials) == 3


@pytest.mark.parametrize("content", [b"garbage\n", b"{}\n", b"[]\n", b"\0\0\n", b"\xff\xfe\n", None])
def test_given_a_file_of_trials_that_makes_no_sense_then_the_error_says_which_and_what_to_do(
    rows: TrainingSet, tmp_path: Path, content: bytes | None
) -> None:
    store = tmp_path / "tuning.journal"
    if content is None:
        store.mkdir()
    else:
        store.write_bytes(content)
    with pytest.raises(CocokError, match=r"tuning\.journal cannot be read .*move it away"):
        tune(rows, START, 1, store=store)


def test_given_more_threads_then_the_search_is_the_same(rows: TrainingSet, tmp_path: Path) -> None:
    store = tmp_path / "tuning.journal"
    told: list[tuple[str, int, int]] = []
    tune(rows, START, 1, store=store)
    tune(rows, replace(START, num_threads=2), 1, store=store, progress=lambda *step: told.append(step))
    assert told == [("Tuning", START.max_trees, START.max_trees)]


def test_given_other_rows_or_another_start_then_a_search_of_their_own_begins(
    rows: TrainingSet, begun: bytes, tmp_path: Path
) -> None:
    store = tmp_path / "tuning.journal"
    store.write_bytes(begun)
    fewer = rows.select(np.arange(len(rows)) >= 50)
    for other, start in (
        (fewer, START),
        (rows.without("context"), START),
        (rows, replace(START, min_trees=15, max_trees=20)),
    ):
        kept = tune(other, start, 1, store=store)
        pd.testing.assert_frame_equal(without_time(kept), without_time(tune(other, start, 1)))


def interrupted_at(call: int) -> Callable[..., TreeChoice]:
    calls = iter(range(call + 1))

    def choose(*arguments: Any, **options: Any) -> TreeChoice:
        if next(calls) == call:
            raise KeyboardInterrupt
        return choose_trees(*arguments, **options)

    return choose


@pytest.mark.usefixtures("brief")
def test_given_an_interrupt_then_finished_trials_are_kept_and_it_is_said_how_to_go_on(
    rows: TrainingSet, found: Tuning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "tuning.journal"
    for call, message in ((0, r"kept \(0\)"), (2, r"kept \(2\): the same command .* --tune 2")):
        monkeypatch.setattr(tuning, "choose_trees", interrupted_at(call))
        with pytest.raises(CocokError, match=message):
            tune(rows, START, 9, store=store)
    monkeypatch.undo()
    after = tune(rows, START, 9, store=store)
    pd.testing.assert_frame_equal(without_time(after), without_time(found))


def test_given_an_interrupt_without_a_store_then_it_is_said_that_nothing_is_kept(
    rows: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "choose_trees", interrupted_at(0))
    with pytest.raises(CocokError, match="nothing of it is kept"):
        tune(rows, START, 9)


def test_given_nothing_to_learn_then_the_error_says_what_is_missing(rows: TrainingSet) -> None:
    with pytest.raises(CocokError, match="taken and one that was passed over"):
        tune(replace(rows, labels=np.zeros_like(rows.labels), late=np.zeros_like(rows.labels)), START, 2)
