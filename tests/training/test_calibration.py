"""A calibrated probability means what it says, and keeps the model's order."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

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


@pytest.mark.parametrize("sign", [1, -1], ids=["surely not", "surely"])
@pytest.mark.parametrize("sure", [20_000, 200_000])
def test_a_wide_block_keeps_the_share_that_came_about_in_it(sign: int, sure: int) -> None:
    random = np.random.default_rng(0)
    margins = sign * np.concatenate([random.uniform(-20, -3, sure), random.normal(-0.7, 0.3, 2_000)])
    rarer = np.concatenate([np.zeros(sure, np.bool_), random.random(2_000) < 0.33])
    curve = calibrate(margins, rarer if sign > 0 else ~rarer)
    said = probabilities(curve, margins)
    said = said if sign > 0 else 1 - said
    assert said.mean() == pytest.approx(rarer.mean(), rel=0.04)
    assert said[:sure].mean() < 2e-4
    assert said[sure:].mean() == pytest.approx(rarer[sure:].mean(), rel=0.04)
    # Within the block rows still keep their order.
    assert (np.diff(probabilities(curve, np.linspace(-19, 19, 50))) >= 0).all()
    assert (np.diff(probabilities(curve, sign * np.linspace(-4, -19, 50)[::sign])) != 0).all()


def test_wide_steps_keep_their_shares() -> None:
    random = np.random.default_rng(1)
    margins = random.uniform(-20, 2, 60_000)
    step = np.searchsorted([-8, -4, -1], margins)
    target = random.random(60_000) < np.array([1e-4, 0.004, 0.03, 0.3])[step]
    said = probabilities(calibrate(margins, target), margins)
    assert said.mean() == pytest.approx(target.mean(), rel=0.01)
    for each in range(1, 4):
        rows = step == each
        assert said[rows].mean() == pytest.approx(target[rows].mean(), rel=0.1)


@pytest.mark.parametrize("rate", [0.007, 0.02], ids=["sigmoid", "isotonic"])
def test_the_curve_is_the_same_on_any_number_of_threads(rate: float) -> None:
    # Many rows, so that sums are shared among threads where they may be.
    random = np.random.default_rng(1)
    margins = random.normal(-4, 1.5, 60_000)
    truth = sigmoid(margins - 1)
    target = random.random(60_000) < truth * rate / truth.mean()
    curves = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            curves.append(calibrate(margins, target))
    assert curves[0].x.tolist() == curves[1].x.tolist()
    assert curves[0].y.tolist() == curves[1].y.tolist()


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
