"""Metrics against values computed by hand, and what must hold for every list."""

import time
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from training.dataset import TrainingSet, task_catalogue
from training.metrics import (
    Estimate,
    cluster_interval,
    means,
    ndcg,
    paired_difference,
    per_list,
    recall,
    reciprocal_rank,
)

ONE_LIST = [0, 4]


def test_ndcg_of_a_list_computed_by_hand() -> None:
    # Order by score: labels 0, 4, 2, 0; gains 0, 15, 3, 0. The best order has 15, 3.
    value = ndcg([0.9, 0.8, 0.3, 0.1], [0, 4, 2, 0], ONE_LIST)
    assert_allclose(value, [(15 / log2(3) + 3 / log2(4)) / (15 / log2(2) + 3 / log2(3))])


def test_ndcg_sees_only_the_first_k() -> None:
    assert_allclose(ndcg([4, 3, 2, 1], [0, 0, 4, 4], ONE_LIST, k=2), [0.0])
    # At depth 1 the best possible is the single best row.
    assert_allclose(ndcg([4, 3, 2, 1], [2, 4, 0, 0], ONE_LIST, k=1), [3 / 15])


def test_ndcg_with_other_gains() -> None:
    value = ndcg([2, 1], [1, 2], [0, 2], gains=(0, 1, 2))
    assert_allclose(value, [(1 + 2 / log2(3)) / (2 + 1 / log2(3))])


def test_each_list_is_judged_by_its_own_rows() -> None:
    labels = [0, 4, 2, 0, 0, 3]
    value = ndcg([1, 2, 5, 4, 3, 9], labels, [0, 2, 2, 5, 6])
    assert_array_equal(value, [1.0, np.nan, 1.0, 1.0])


def test_reciprocal_rank_is_that_of_the_first_accepted_row() -> None:
    assert_allclose(reciprocal_rank([9, 8, 7, 6], [0, 1, 2, 4], ONE_LIST), [1 / 3])
    assert_allclose(reciprocal_rank([9, 8, 7, 6], [0, 1, 2, 4], ONE_LIST, positive=1), [1 / 2])


def test_recall_divides_by_what_could_be_found_at_that_depth() -> None:
    labels = [2, 0, 3, 4]
    assert_allclose(recall([4, 3, 2, 1], labels, ONE_LIST, 2), [1 / 2])
    assert_allclose(recall([4, 3, 2, 1], labels, ONE_LIST, 3), [2 / 3])
    assert_allclose(recall([4, 3, 2, 1], labels, ONE_LIST, 10), [1.0])


def test_a_list_without_anything_to_find_has_no_value() -> None:
    viewed = [1, 0, 0, 0]
    scores = [4, 3, 2, 1]
    assert_allclose(ndcg(scores, viewed, ONE_LIST), [1.0])  # a view is worth something to NDCG,
    assert np.isnan(reciprocal_rank(scores, viewed, ONE_LIST)).all()  # but is not yet an acceptance
    assert np.isnan(recall(scores, viewed, ONE_LIST, 3)).all()
    assert np.isnan(ndcg(scores, [0, 0, 0, 0], ONE_LIST)).all()


def test_a_row_without_a_score_stands_last() -> None:
    assert_allclose(reciprocal_rank([np.nan, -5, -np.inf], [4, 0, 0], [0, 3]), [1 / 3])


def test_a_constant_score_is_worth_chance_wherever_the_positive_was_served() -> None:
    lists, size = 4000, 10
    labels = np.tile([4] + [0] * (size - 1), lists)
    offsets = np.arange(lists + 1) * size
    expected = np.mean(1 / np.arange(1, size + 1))
    assert reciprocal_rank(np.zeros(lists * size), labels, offsets).mean() == pytest.approx(expected, abs=0.02)


@st.composite
def ragged(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=6))
    rows = sum(sizes)
    # Whole numbers: a monotone transform keeps them apart.
    scores = draw(st.lists(st.integers(-20, 20), min_size=rows, max_size=rows))
    labels = draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows))
    return np.array(scores, dtype=float), np.array(labels, dtype=int), np.concatenate([[0], np.cumsum(sizes)])


@given(ragged(), st.integers(1, 12))
def test_metrics_are_bounded_perfect_for_the_perfect_order_and_see_only_the_order(
    case: tuple[np.ndarray, np.ndarray, np.ndarray], k: int
) -> None:
    scores, labels, offsets = case

    def all_metrics(scores: np.ndarray) -> np.ndarray:
        return np.array(
            [
                ndcg(scores, labels, offsets, k),
                reciprocal_rank(scores, labels, offsets),
                recall(scores, labels, offsets, k),
            ]
        )

    values = all_metrics(scores)
    defined = ~np.isnan(values)
    assert ((values[defined] >= 0) & (values[defined] <= 1 + 1e-12)).all()
    assert_array_equal(values, all_metrics(np.exp(scores / 4)))
    perfect = all_metrics(labels.astype(float))
    assert_array_equal(~np.isnan(perfect), defined)
    assert_allclose(perfect[defined], 1.0)


def test_the_interval_is_wider_when_lists_belong_to_few_workers() -> None:
    random = np.random.default_rng(0)
    taste = random.random(40)
    values = np.repeat(taste, 50)
    mean, low, high = cluster_interval(values, np.repeat(np.arange(40), 50))
    _, low_apart, high_apart = cluster_interval(values, np.arange(2000))
    assert mean == pytest.approx(taste.mean())
    assert low < mean < high
    assert high - low > 3 * (high_apart - low_apart)


def test_with_as_many_lists_for_everyone_the_interval_is_that_of_the_workers_means() -> None:
    values = np.random.default_rng(4).random((7, 3))
    estimate = cluster_interval(values.ravel(), np.repeat(np.arange(7), 3), level=0.9)
    means = values.mean(axis=1)
    expected = stats.t.interval(0.9, df=6, loc=means.mean(), scale=stats.sem(means))
    assert_allclose(estimate, (means.mean(), *expected))


def test_the_interval_of_lists_that_are_unequally_shared_computed_by_hand() -> None:
    # Shares 1/2, 1/4, 1/4: 8/3 effective workers. The mean is 1/2; without one of the workers 0, 2/3 and 2/3.
    mean, low, high = cluster_interval([1, 1, 0, 0], [3, 3, 5, 8])
    error = np.sqrt(2 / 3 * ((0 - 1 / 2) ** 2 + 2 * (2 / 3 - 1 / 2) ** 2))
    reach = stats.t.ppf(0.975, 8 / 3 - 1) * error
    assert_allclose((mean, low, high), (1 / 2, 1 / 2 - reach, 1 / 2 + reach))


@pytest.mark.parametrize("workers", [12, 60])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(workers: int) -> None:
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        owner = np.repeat(np.arange(workers), 1 + np.floor(3 * random.pareto(1.5, workers)).astype(int) % 100)
        values = random.normal(size=workers)[owner] * 0.5 + random.normal(size=len(owner))
        _, low, high = cluster_interval(values, owner)
        covered += low <= 0 <= high
    assert 0.92 <= covered / 400 <= 0.985


def test_one_worker_alone_says_nothing_of_others() -> None:
    assert cluster_interval([0.25, 0.75], [7, 7]) == (0.5, -np.inf, np.inf)
    assert paired_difference([0.25, 0.75], [0.0, 0.0], [7, 7]) == Estimate(0.5, -1.0, 1.0)


def test_the_interval_ends_at_the_bounds_of_the_metric() -> None:
    _, low, high = cluster_interval([0.0, 0.1, 0.5], [0, 1, 2])
    assert low < 0
    assert cluster_interval([0.0, 0.1, 0.5], [0, 1, 2], bounds=(0, 1))[1:] == (0, high)


def test_lists_without_a_value_are_left_out() -> None:
    judged = cluster_interval([1.0, np.nan, 0.0, np.nan, 0.5], [0, 0, 1, 2, 3])
    assert judged == cluster_interval([1.0, 0.0, 0.5], [0, 1, 3])
    assert np.isnan(cluster_interval([np.nan, np.nan], [0, 1])).all()


def test_a_ranker_does_not_differ_from_itself() -> None:
    values = np.array([0.3, np.nan, 0.7, 0.1])
    assert paired_difference(values, values, [0, 0, 1, 2]) == Estimate(0.0, 0.0, 0.0)


def test_a_paired_difference_is_sharper_than_its_parts() -> None:
    random = np.random.default_rng(2)
    b = random.random(300)
    a = b + 0.01
    difference = paired_difference(a, b, np.arange(300))
    assert difference.value == pytest.approx(0.01)
    assert difference.low > 0.009


def test_summary_names_its_metrics_and_reports_the_mean_over_lists() -> None:
    rows = TrainingSet(
        features=np.zeros((4, 1), dtype=np.float32),
        names=("x",),
        labels=np.array([2, 0, 0, 2], dtype=np.int8),
        late=np.zeros(4, dtype=np.int8),
        verdicts=np.full(4, -1, np.int8),
        minutes=np.full(4, np.nan, np.float32),
        decided=np.zeros(4, np.int64),
        timed=np.zeros(4, np.int64),
        told=np.zeros(4, np.int64),
        named=np.zeros(4, np.bool_),
        offsets=np.array([0, 2, 4]),
        workers=np.array([0, 1], dtype=np.int32),
        times=np.array([0, 1]),
        tasks=np.zeros(4, dtype=np.int32),
        positions=np.array([1, 2, 1, 2], dtype=np.int32),
        propensities=np.full(4, np.nan),
        worker_ids=np.array(["w1", "w2"], object),
        feed_ids=np.array(["f1", "f2"], object),
        catalogue=task_catalogue(["t1"], [None], [None]),
        until=0,
    )
    summary = means(per_list([2.0, 1.0, 2.0, 1.0], rows), rows.workers)
    assert set(summary) == {"ndcg@10", "mrr", "recall@5"}
    assert summary["mrr"] == Estimate(0.75, 0.0, 1.0)  # two workers say little


def test_a_million_rows_take_a_moment() -> None:
    random = np.random.default_rng(3)
    offsets = np.arange(50_001) * 20
    scores, labels = random.random(1_000_000), random.integers(0, 5, 1_000_000)
    begin = time.perf_counter()
    ndcg(scores, labels, offsets)
    assert time.perf_counter() - begin < 5
