"""Rankers beside each other, over all lists and where they differ."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.training.handmade import handmade
from training.dataset import TrainingSet
from training.evaluation import ALL, LEAST_LISTS, Evaluation, evaluate
from training.metrics import means, per_list

LISTS = 4 * LEAST_LISTS
NEW = LEAST_LISTS
"""The first lists are of new workers."""


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """Lists of three tasks of which the first is taken; four lists of each worker."""
    accepts = np.repeat(np.where(np.arange(LISTS) < NEW, 0.0, 1.0), 3)
    return handmade([[4, 0, 0]] * LISTS, {"worker_accepts": accepts.tolist()}, workers=[i // 4 for i in range(LISTS)])


def orders(*perfect: bool) -> np.ndarray:
    """Scores that put the task that was taken first, or last."""
    return np.concatenate([[3.0, 2.0, 1.0] if right else [1.0, 2.0, 3.0] for right in perfect])


@pytest.fixture(scope="module")
def evaluation(rows: TrainingSet) -> Evaluation:
    new = np.arange(LISTS) < NEW
    scores = {"rival": orders(*[False] * LISTS), "model": orders(*new), "twin": orders(*new)}
    return evaluate(rows, scores, "model")


def test_given_rankers_then_each_has_its_metrics_and_the_subject_comes_first(
    rows: TrainingSet, evaluation: Evaluation
) -> None:
    assert (evaluation.subject, evaluation.lists) == ("model", LISTS)
    assert list(evaluation.metrics["ranker"].unique()) == ["model", "rival", "twin"]
    of_rival = evaluation.metrics[evaluation.metrics["ranker"] == "rival"].set_index("metric")
    for metric, expected in means(per_list(orders(*[False] * LISTS), rows), rows.workers).items():
        assert of_rival.loc[metric, ["value", "low", "high"]].tolist() == [expected.value, expected.low, expected.high]


def test_given_few_workers_then_no_interval_leaves_what_a_metric_can_be() -> None:
    accepts = {"worker_accepts": [0.0] * 18}
    few = handmade([[4, 0, 0]] * 6, accepts, workers=[0, 0, 1, 1, 2, 2])
    found = evaluate(few, {"model": orders(False, False, True, True, True, True)}, "model").metrics
    assert found["high"].tolist() == [1.0] * len(found)
    assert (found["low"] >= 0).all()


def test_given_the_same_order_then_there_is_no_difference_anywhere(evaluation: Evaluation) -> None:
    same = evaluation.differences[evaluation.differences["rival"] == "twin"]
    assert set(same["slice"]) == {ALL, "workers: new", "workers: warm"}
    assert (same[["value", "low", "high"]] == 0).all(axis=None)


def test_given_a_ranker_that_helps_new_workers_alone_then_their_slice_shows_it(evaluation: Evaluation) -> None:
    found = evaluation.differences
    mrr = found[(found["rival"] == "rival") & (found["metric"] == "mrr")].set_index("slice")
    assert mrr.loc["workers: new", "value"] == pytest.approx(1 - 1 / 3)
    assert mrr.loc["workers: warm", "value"] == 0
    assert mrr.loc[ALL, "value"] == pytest.approx((1 - 1 / 3) * NEW / LISTS)
    assert mrr["lists"].to_dict() == {ALL: LISTS, "workers: new": NEW, "workers: warm": LISTS - NEW}


def test_given_slices_then_each_ranker_has_its_level_in_them(evaluation: Evaluation) -> None:
    level = evaluation.slices.pivot_table(index="slice", columns="ranker", values="value")
    # Third of three: 1 / log2(4).
    assert level.loc["workers: new"].to_dict() == {"model": 1.0, "rival": 0.5, "twin": 1.0}
    assert level.loc["workers: warm"].to_dict() == {"model": 0.5, "rival": 0.5, "twin": 0.5}


def test_given_a_slice_with_too_few_lists_that_can_be_judged_then_it_is_left_out_of_the_tables() -> None:
    # One of the lists of new workers has nothing to find.
    labels = [[0, 0, 0]] + [[4, 0, 0]] * (LISTS - 1)
    accepts = np.repeat(np.where(np.arange(LISTS) < NEW, 0.0, 1.0), 3)
    rows = handmade(labels, {"worker_accepts": accepts.tolist()})
    scores = {"model": orders(*[True] * LISTS), "rival": orders(*[False] * LISTS)}
    found = evaluate(rows, scores, "model")
    assert found.lists == LISTS - 1
    assert set(found.slices["slice"]) == {"workers: warm"}
    assert set(found.differences["slice"]) == {ALL, "workers: warm"}


def test_given_no_rival_then_the_table_of_differences_is_empty_and_has_its_columns(rows: TrainingSet) -> None:
    found = evaluate(rows, {"model": orders(*[True] * LISTS)}, "model")
    assert_array_equal(found.differences.columns, ["rival", "metric", "slice", "lists", "value", "low", "high"])
    assert found.differences.empty


def test_given_an_unknown_subject_then_the_rankers_are_named(rows: TrainingSet) -> None:
    with pytest.raises(ValueError, match=r"no ranker 'champion' among model"):
        evaluate(rows, {"model": orders(*[True] * LISTS)}, "champion")
