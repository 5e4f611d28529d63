"""Outcome models: true probabilities on rows to come, or a reason why there is no model."""

import numpy as np
import pytest

from matching.calibration import CalibratedModel
from training.outcomes import OutcomeParameters, Unfitted, fit_probability

NAMES = ("reward", "b", "c")
PARAMETERS = OutcomeParameters(num_threads=1)


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


def test_what_was_not_yet_known_is_not_learned_from() -> None:
    features, target, times, _ = rows()
    unknown = (times < 4_800_000) & (times + 600_000 > 4_800_000)
    changed = np.where(unknown, ~target, target)
    first, second = (
        fit_probability(features, each, times, NAMES, (0, 0, 0), maturity=600_000, parameters=PARAMETERS)
        for each in (target, changed)
    )
    assert isinstance(first, CalibratedModel)
    assert isinstance(second, CalibratedModel)
    np.testing.assert_array_equal(first.predict(features), second.predict(features))


@pytest.mark.parametrize(
    ("count", "share", "reason"),
    [(0, 0.5, "0 positive and 0 negative rows to learn from"), (60, 0.5, "to calibrate"), (6000, 0.0, "0 positive")],
    ids=["no rows", "few rows", "one class"],
)
def test_too_little_gives_a_reason_instead_of_a_model(count: int, share: float, reason: str) -> None:
    features, _, times, _ = rows(count)
    target = np.arange(count) % 2 < 2 * share
    fitted = fit_probability(features, target, times, NAMES, (0, 0, 0), parameters=PARAMETERS)
    assert isinstance(fitted, Unfitted)
    assert reason in fitted.reason
