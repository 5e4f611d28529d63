"""What chance alone makes of a calibration error, with rows of one worker as alike as they are."""

import numpy as np
import pytest

from benchmarks.calibration import by_chance
from training.reliability import reliability

WORKERS, EACH = 300, 20


def true_ones(alike: bool, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True probabilities, what came about, and whose row it is; a worker who is alike draws once for all rows."""
    random = np.random.default_rng(seed)
    workers = np.repeat(np.arange(WORKERS), EACH)
    predicted = np.repeat(random.uniform(0.02, 0.2, WORKERS), EACH)
    luck = np.repeat(random.random(WORKERS), EACH) if alike else random.random(WORKERS * EACH)
    return predicted, luck < predicted, workers


@pytest.mark.parametrize("alike", [False, True], ids=["independent rows", "workers all of a piece"])
def test_it_is_the_error_that_true_probabilities_have_on_average(alike: bool) -> None:
    errors, told = [], []
    for seed in range(60):
        predicted, observed, workers = true_ones(alike, seed)
        # Ties of one worker are split over bins, as a predicted probability would.
        errors.append(reliability(predicted + 1e-9 * np.arange(len(predicted)), observed).error)
        told.append(by_chance(predicted, observed, workers))
    assert np.mean(told) == pytest.approx(np.mean(errors), rel=0.15)


def test_a_false_level_is_no_chance() -> None:
    predicted, observed, workers = true_ones(False, 0)
    assert by_chance(3 * predicted, observed, workers) == pytest.approx(by_chance(predicted, observed, workers))
