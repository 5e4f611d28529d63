"""A calibrated probability means what it says, and keeps the model's order."""

import numpy as np
import pytest

from matching.calibration import Calibration
from training.calibration import ISOTONIC_FROM, calibrate


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def probabilities(curve: Calibration, margins: np.ndarray) -> np.ndarray:
    return np.interp(margins, curve.x, curve.y)


def overconfident(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins twice as large as the truth and shifted, with the true probabilities and what came about."""
    random = np.random.default_rng(seed)
    truth = random.normal(-1.5, 1.0, rows)
    return 2 * truth + 1, sigmoid(truth), random.random(rows) < sigmoid(truth)


@pytest.mark.parametrize("rows", [400, 20_000], ids=["sigmoid for few rows", "isotonic for many"])
def test_probabilities_become_those_that_are_true(rows: int) -> None:
    margins, truth, target = overconfident(rows)
    calibrated = probabilities(calibrate(margins, target), margins)
    assert np.abs(calibrated - truth).mean() < 0.03
    assert np.abs(sigmoid(margins) - truth).mean() > 0.06


@pytest.mark.parametrize("rows", [400, 20_000])
def test_the_order_of_margins_is_kept_and_not_tied(rows: int) -> None:
    margins, _, target = overconfident(rows)
    low, high = np.quantile(margins, [0.05, 0.95])
    steps = probabilities(calibrate(margins, target), np.linspace(low, high, 50))
    assert (np.diff(steps) > 0).all()


def test_the_shape_is_left_to_the_data_only_when_there_is_enough() -> None:
    # The truth is a step, which no sigmoid of these margins can follow.
    random = np.random.default_rng(1)

    def at_one(rows: int) -> float:
        margins = random.uniform(-2, 2, rows)
        target = random.random(rows) < np.where(margins > 0, 0.6, 0.4)
        return float(probabilities(calibrate(margins, target), np.array([1.0, 1.9])) @ [-1, 1])

    assert at_one(40 * ISOTONIC_FROM) < 0.03
    assert at_one(ISOTONIC_FROM) > 0.05


@pytest.mark.parametrize("rows", [60, 5_000])
def test_nothing_is_certain(rows: int) -> None:
    margins = np.linspace(-3, 3, rows)
    said = probabilities(calibrate(margins, margins > 0), margins)
    assert 0 < said.min() < 0.1
    assert 0.9 < said.max() < 1


def test_few_rows_at_an_end_do_not_make_certain() -> None:
    margins = np.arange(8_000.0)
    target = np.arange(8_000) % 10 > 0
    # Of the highest nine rows none failed, of the lowest five none succeeded: of others nine in ten did.
    target[:5] = False
    low, high = probabilities(calibrate(margins, target), margins[[0, -1]])
    assert low == pytest.approx(0.9 / 6, abs=0.01)
    assert high == pytest.approx(9.9 / 10, abs=0.01)


@pytest.mark.parametrize("target", [np.arange(2_000) % 2 == 0, np.arange(2_000) < 1_000])
def test_a_curve_never_falls(target: np.ndarray) -> None:
    curve = calibrate(np.arange(2_000.0), target)
    assert (np.diff(curve.x) > 0).all()
    assert (np.diff(curve.y) >= 0).all()


def test_a_model_that_orders_the_wrong_way_gets_the_base_rate() -> None:
    margins = np.linspace(-3, 3, 100)
    said = probabilities(calibrate(margins, margins < -1.5), margins)
    assert np.ptp(said) == 0
    assert said[0] == pytest.approx(0.25, abs=0.02)


def test_one_class_cannot_be_calibrated() -> None:
    with pytest.raises(ValueError, match="both classes"):
        calibrate([0.1, 0.2], [True, True])
