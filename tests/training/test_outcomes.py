"""Outcome models: true probabilities on rows to come, or a reason why there is no model."""

import numpy as np
import pytest

from matching.calibration import CalibratedModel, MinutesModel
from training.outcomes import OutcomeParameters, Unfitted, _blocks, _windows, fit_minutes, fit_probability

NAMES = ("reward", "b", "c")
WORK_NAMES = ("a", "b", "c")
PARAMETERS = OutcomeParameters(feature_fraction=1.0, num_threads=1)


def rows(count: int = 6000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, 3)).astype(np.float32)
    truth = 1 / (1 + np.exp(-(1.2 * features[:, 0] + np.abs(features[:, 1]) - 3)))
    return features, random.random(count) < truth, np.arange(count) * 1_000, truth


@pytest.fixture(scope="module")
def model() -> CalibratedModel:
    features, target, times, _ = rows()
    fitted = fit_probability(features, target, times, NAMES, (1, 0, 0), parameters=PARAMETERS)
    assert isinstance(fitted, CalibratedModel)
    return fitted


def test_probabilities_are_near_the_truth_on_new_rows(model: CalibratedModel) -> None:
    features, target, _, truth = rows(seed=1)
    predicted = model.predict(features)
    assert np.abs(predicted - truth).mean() < 0.04
    for part in np.array_split(np.argsort(predicted), 5):
        assert predicted[part].mean() == pytest.approx(target[part].mean(), abs=0.05)


def test_growth_stops_before_it_learns_noise(model: CalibratedModel) -> None:
    assert 5 < model.booster.num_trees() < PARAMETERS.max_trees


def test_a_better_reward_never_lowers_the_probability(model: CalibratedModel) -> None:
    grid = np.zeros((200, 3), dtype=np.float32)
    grid[:, 0] = np.linspace(-4, 4, 200)
    assert (np.diff(model.predict(grid)) >= 0).all()


def test_the_order_of_the_given_rows_does_not_matter_only_their_time(model: CalibratedModel) -> None:
    features, target, times, _ = rows()
    order = np.concatenate([np.arange(3000, 6000), np.arange(3000)])
    late_rows_only = features[times >= 4_800_000]
    again = fit_probability(features[order], target[order], times[order], NAMES, (1, 0, 0), parameters=PARAMETERS)
    assert isinstance(again, CalibratedModel)
    np.testing.assert_allclose(again.predict(late_rows_only), model.predict(late_rows_only), atol=0.02)


def test_the_linear_part_may_go_its_own_way_but_where_it_is_bound() -> None:
    features, target, times, _ = rows()
    features[:, 2] = -features[:, 0] + 0.1 * features[:, 2]
    for signs, used in ((None, [0]), ((1, 0, 0), [0, 2])):
        fitted = fit_probability(
            features,
            target,
            times,
            NAMES,
            (1, 0, 1),
            linear=("reward", "c"),
            linear_monotone=signs,
            parameters=PARAMETERS,
        )
        assert isinstance(fitted, CalibratedModel)
        assert fitted.base.columns.tolist() == used


@pytest.mark.parametrize(
    ("count", "share", "reason"),
    [
        (0, 0.5, "0 positive and 0 negative rows to learn from"),
        (40, 0.5, "16 positive and 16 negative rows to learn from"),
        (6000, 0.0, "0 positive"),
    ],
    ids=["no rows", "few rows", "one class"],
)
def test_too_little_gives_a_reason_instead_of_a_model(count: int, share: float, reason: str) -> None:
    features, _, times, _ = rows(count)
    target = np.arange(count) % 2 < 2 * share
    fitted = fit_probability(features, target, times, NAMES, (0, 0, 0), parameters=PARAMETERS)
    assert isinstance(fitted, Unfitted)
    assert reason in fitted.reason


SPREAD = 0.5
"""Standard deviation of the log of the minutes around their median."""


def work(count: int = 5000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, minutes of work (some rows led to none), instants, and the true median of each row."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, 3)).astype(np.float32)
    middle = np.log(12.0) + 0.8 * features[:, 0] - 0.5 * (features[:, 1] > 0.5)
    minutes = np.exp(middle + random.normal(0, SPREAD, count)).astype(np.float32)
    minutes[random.random(count) < 0.2] = np.nan
    return features, minutes, np.arange(count) * 1_000, np.exp(middle)


@pytest.fixture(scope="module")
def minutes_model() -> MinutesModel:
    features, minutes, times, _ = work()
    fitted = fit_minutes(features, minutes, times, WORK_NAMES, parameters=PARAMETERS)
    assert isinstance(fitted, MinutesModel)
    return fitted


def test_minutes_are_near_the_true_median_on_new_rows(minutes_model: MinutesModel) -> None:
    features, _, _, truth = work(seed=1)
    away = np.log(minutes_model.predict(features) / truth)
    assert np.abs(away).mean() < 0.12
    assert away.mean() == pytest.approx(0, abs=0.05)
    usual = np.log(np.median(truth) / truth)
    assert np.abs(away).mean() < 0.25 * np.abs(usual).mean()


def test_half_of_new_work_takes_less_than_the_minutes_said(minutes_model: MinutesModel) -> None:
    features, minutes, _, _ = work(seed=3)
    done = ~np.isnan(minutes)
    assert (minutes[done] < minutes_model.predict(features[done])).mean() == pytest.approx(0.5, abs=0.03)


def test_the_interval_holds_four_fifths_of_new_work_and_its_ends_never_cross(minutes_model: MinutesModel) -> None:
    features, minutes, _, _ = work(seed=2)
    done = ~np.isnan(minutes)
    low, middle, high = minutes_model.quantiles(features[done], 0.1, 0.5, 0.9)
    assert (low < middle).all()
    assert (middle < high).all()
    assert ((minutes[done] >= low) & (minutes[done] <= high)).mean() == pytest.approx(0.8, abs=0.03)


def test_given_workers_of_whom_little_is_known_then_their_intervals_are_wider_and_hold_as_often() -> None:
    features, _, times, truth = work(9000)
    random = np.random.default_rng(5)
    unknown = features[:, 2] < 0
    minutes = (truth * np.exp(random.normal(0, np.where(unknown, 0.6, 0.2)))).astype(np.float32)
    fitted = fit_minutes(features[:6000], minutes[:6000], times[:6000], WORK_NAMES, parameters=PARAMETERS)
    assert isinstance(fitted, MinutesModel)
    low, high = fitted.quantiles(features[6000:], 0.1, 0.9)
    inside = (minutes[6000:] >= low) & (minutes[6000:] <= high)
    for part in (unknown[6000:], ~unknown[6000:]):
        assert inside[part].mean() == pytest.approx(0.8, abs=0.06)
    assert np.median((high / low)[unknown[6000:]]) > 2 * np.median((high / low)[~unknown[6000:]])


def test_minutes_never_fall_as_counts_expect_more_and_do_not_look_at_the_reward() -> None:
    features, minutes, times, _ = work()
    names = ("minutes", "reward", "hourly")
    fitted = fit_minutes(features, minutes, times, names, parameters=PARAMETERS)
    assert isinstance(fitted, MinutesModel)
    grid = np.zeros((200, 3), dtype=np.float32)
    grid[:, 0] = np.linspace(-9, 9, 200)
    assert (np.diff(fitted.predict(grid)) > 0).all()
    other = features.copy()
    other[:, 1:] *= 3
    np.testing.assert_array_equal(fitted.quantiles(features, 0.1, 0.9), fitted.quantiles(other, 0.1, 0.9))


def test_given_few_rows_then_a_rare_rejection_does_not_make_anybody_certain() -> None:
    """One worker in whose work nothing was found wrong so far is not taken to be perfect."""
    random = np.random.default_rng(0)
    names = ("kind_approval", "worker_approval", "b")
    features = random.normal(0, 0.05, (1500, 3)).astype(np.float32)
    target = random.random(1500) < 0.9
    fitted = fit_probability(
        features, target, np.arange(1500), names, (0, 0, 0), linear=names[:2], parameters=PARAMETERS
    )
    assert isinstance(fitted, CalibratedModel)
    best = fitted.predict(np.full((1, 3), features.max(), dtype=np.float32))
    assert 0.8 < best[0] < 0.97


def test_given_a_time_of_many_rejections_then_the_others_count_as_well() -> None:
    """Few rejections but in one block of time: the calibration is not that of this block alone."""
    random = np.random.default_rng(0)
    features = random.normal(0, 0.05, (1000, 3)).astype(np.float32)
    target = np.arange(1000) % 20 > 0
    target[:200] = np.arange(200) % 5 > 0
    fitted = fit_probability(features, target, np.arange(1000), ("a", "b", "c"), (0, 0, 0), parameters=PARAMETERS)
    assert isinstance(fitted, CalibratedModel)
    assert fitted.predict(features).mean() == pytest.approx(target.mean(), abs=0.02)


def test_before_a_window_or_block_only_that_is_learned_from_which_came_about_before_it() -> None:
    times = np.arange(1000)
    known = times + np.where(times % 2 == 0, 300, 0)
    for fold in _windows(times, 10, known):
        start = times[fold.validation].min()
        assert known[fold.training].max() < start
        assert fold.training.sum() == ((times + 10 <= start) & (known < start)).sum()
    for fold in _blocks(times, 10, known):
        start = times[fold.validation].min()
        before = fold.training & (times < start)
        assert (known[before] < start).all()
        assert (times >= times[fold.validation].max() + 11).sum() == (fold.training & (times >= start)).sum()


def test_a_column_that_is_unseen_changes_nothing() -> None:
    features, target, times, _ = rows()
    fitted = fit_probability(
        features, target, times, NAMES, (1, 0, 0), unseen=frozenset({"reward"}), linear=("b",), parameters=PARAMETERS
    )
    assert isinstance(fitted, CalibratedModel)
    other = features.copy()
    other[:, 0] = 99
    np.testing.assert_array_equal(fitted.predict(features), fitted.predict(other))
    assert np.ptp(fitted.predict(features)) > 0.1


@pytest.mark.parametrize(
    ("count", "left"), [(0, 0), (400, 0), (400, 90), (400, 350)], ids=["no rows", "no work", "little work", "few late"]
)
def test_too_little_work_gives_a_reason_instead_of_minutes(count: int, left: int) -> None:
    features, _, times, _ = work(count)
    minutes = np.where(np.arange(count) < left, 5.0, np.nan).astype(np.float32)
    fitted = fit_minutes(features, minutes, times, WORK_NAMES, parameters=PARAMETERS)
    assert isinstance(fitted, Unfitted)
    assert fitted.reason.startswith(f"{left} rows with minutes of work")
    assert "100 on each side" in fitted.reason
