"""Probabilities beside what came about, computed by hand."""

import lightgbm as lgb
import numpy as np
import pytest
from numpy.testing import assert_allclose

from matching.calibration import LEVELS, Additive, MinutesModel
from matching.linear import Linear
from matching.scoring import HIGH, LOW
from training.reliability import last_of_each_work, minutes_reliability, reliability


def test_given_two_bins_then_the_error_is_the_mean_distance_over_rows() -> None:
    predicted = [0.1, 0.3, 0.6, 0.8]
    found = reliability(predicted, [False, False, True, True], bins=2)
    assert_allclose(found.bins["predicted"], [0.2, 0.7])
    assert_allclose(found.bins["observed"], [0.0, 1.0])
    assert found.bins["rows"].tolist() == [2, 2]
    assert found.error == pytest.approx((0.2 + 0.3) / 2)
    assert found.base_rate == 0.5
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.7, 0.6, 0.8]).mean())
    assert found.constant_log_loss == pytest.approx(np.log(2))


def test_given_independent_rows_then_the_interval_is_that_of_wilson() -> None:
    # 3 of 10: the textbook example of an interval that is not symmetric.
    found = reliability(np.full(10, 0.5), [True] * 3 + [False] * 7)
    assert_allclose(found.bins[["low", "high"]].iloc[0], [0.1078, 0.6032], atol=1e-4)


def test_given_workers_whose_rows_are_alike_then_the_interval_is_that_of_as_many_workers() -> None:
    outcomes = np.repeat([True] * 5 + [False] * 5, 40)
    predicted = np.full(400, 0.5)
    apart = reliability(predicted, outcomes).bins.iloc[0]
    alike = reliability(predicted, outcomes, workers=np.repeat(np.arange(10), 40)).bins.iloc[0]
    ten = reliability(np.full(10, 0.5), [True] * 5 + [False] * 5, workers=np.arange(10)).bins.iloc[0]
    assert alike["high"] - alike["low"] == pytest.approx(ten["high"] - ten["low"], rel=0.06)
    assert alike["high"] - alike["low"] > 4 * (apart["high"] - apart["low"])


@pytest.mark.parametrize("workers", [3, 10, 20])
def test_given_few_workers_of_whom_some_have_most_rows_then_the_interval_holds_the_truth(workers: int) -> None:
    random = np.random.default_rng(workers)
    markets, size = 500, 200
    sizes = random.pareto(1.5, (markets, workers)) + 1
    rows = np.array([random.multinomial(size, one) for one in sizes / sizes.sum(axis=1, keepdims=True)])
    chances = random.beta(1.5, 3.5, (markets, workers))
    outcomes = random.random(markets * size) < np.repeat(chances.ravel(), rows.ravel())
    owners = np.repeat(np.tile(np.arange(workers), markets), rows.ravel())
    # Each market has a bin for itself.
    predicted = np.repeat(np.linspace(0.1, 0.9, markets), size)
    found = reliability(predicted, outcomes, owners, bins=markets).bins
    assert len(found) == markets
    assert ((found["low"] <= 0.3) & (found["high"] >= 0.3)).mean() > 0.94


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_given_rows_of_one_worker_alone_then_they_say_nothing_of_others(share: float) -> None:
    outcomes = np.arange(500) < share * 500
    found = reliability(np.full(500, 0.1), outcomes, workers=np.full(500, 7)).bins.iloc[0]
    assert (found["low"], found["high"]) == (0, 1)
    assert found["observed"] == pytest.approx(share)


def test_given_one_outcome_alone_then_the_interval_ends_at_it_and_has_width() -> None:
    never = reliability(np.full(20, 0.1), np.zeros(20, bool), workers=np.arange(20)).bins.iloc[0]
    assert never["low"] == 0
    assert 0.1 < never["high"] < 0.2


def test_given_equal_predictions_then_they_share_a_bin() -> None:
    predicted = np.repeat([0.1, 0.2], [90, 10])
    found = reliability(predicted, np.arange(100) % 10 == 0, bins=5)
    assert_allclose(found.bins["predicted"], [0.1, 0.2])
    assert found.bins["rows"].tolist() == [90, 10]


def test_given_rows_in_another_order_then_nothing_changes() -> None:
    random = np.random.default_rng(0)
    predicted, workers = random.random(300), random.integers(0, 20, 300)
    outcomes = random.random(300) < predicted
    order = random.permutation(300)
    first = reliability(predicted, outcomes, workers)
    second = reliability(predicted[order], outcomes[order], workers[order])
    assert_allclose(first.bins, second.bins)
    assert first.error == pytest.approx(second.error)


def test_given_true_predictions_then_the_error_exceeds_the_noise_about_once_in_twenty() -> None:
    random = np.random.default_rng(1)
    exceeded = 0
    for _ in range(100):
        predicted = random.beta(1, 6, 400)
        found = reliability(predicted, random.random(400) < predicted)
        exceeded += found.error > found.noise
    assert 0 < exceeded <= 12


def test_given_predictions_twice_too_high_then_the_error_exceeds_the_noise() -> None:
    random = np.random.default_rng(2)
    truth = random.beta(1, 6, 4000)
    found = reliability(np.minimum(2 * truth, 1), random.random(4000) < truth)
    assert found.error > 3 * found.noise
    assert found.error == pytest.approx(truth.mean(), rel=0.1)


def test_given_predictions_then_percentiles_tell_how_they_are_spread() -> None:
    found = reliability(np.linspace(0, 1, 1001), np.arange(1001) % 2 == 0)
    assert_allclose(found.percentiles, np.arange(0.005, 1, 0.01))


def test_given_no_row_then_it_says_so() -> None:
    with pytest.raises(ValueError, match="no row"):
        reliability([], [])


@pytest.fixture(scope="module")
def model() -> MinutesModel:
    """Says 10 minutes where the column is 0 and 20 where it is 1, give or take a factor of two."""
    nothing = lgb.train(
        {"objective": "regression", "verbosity": -1, "num_threads": 1}, lgb.Dataset(np.zeros((9, 1)), np.zeros(9)), 1
    )
    columns, unbounded = np.zeros(1, np.int64), np.full(1, np.inf)
    location = Linear(columns, np.log([2.0]), np.zeros(1), -unbounded, unbounded, offset=float(np.log(10)))
    residuals = np.interp(LEVELS, [LOW, HIGH], [-np.log(2), np.log(2)])
    return MinutesModel(Additive(nothing, location), Additive(nothing), residuals)


def test_given_minutes_of_work_then_those_within_the_interval_are_counted(model: MinutesModel) -> None:
    features = np.array([[0], [0], [1], [1], [1]], dtype=np.float32)
    # Against what was said: 0.9, 3, 1.1, 0.25, and one that nobody timed.
    found = minutes_reliability(model, features, np.array([9, 30, 22, 5, np.nan], dtype=np.float32))
    assert found.rows == 4
    assert found.inside == 2 / 4
    assert found.ratio == pytest.approx((0.9 + 1.1) / 2, rel=1e-5)


def test_given_work_that_nobody_timed_then_there_is_nothing_to_say(model: MinutesModel) -> None:
    found = minutes_reliability(model, np.zeros((2, 1), np.float32), np.full(2, np.nan, np.float32))
    assert found.rows == 0
    assert np.isnan([found.inside, found.ratio]).all()


def test_given_a_work_that_many_lists_led_to_then_the_last_one_stands_for_it() -> None:
    workers = np.array([0, 0, 1, 0, 0, 0, 1])
    tasks = np.array([5, 6, 5, 5, 5, 6, 5])
    # The first worker did task 5 twice, and the second list that held it came between; task 6 has led to nothing.
    instants = np.array([10, 0, 10, 20, 20, 0, 10], dtype=np.int64)
    assert last_of_each_work(workers, tasks, instants).tolist() == [True, False, False, False, True, False, True]
