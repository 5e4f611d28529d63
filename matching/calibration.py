"""From the margin of a model to a probability that means what it says."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from matching.forest import Forest, ForestError

Scorer = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""Gives the raw score of each row."""

_ROWS_PER_THREAD = 5_000


@dataclass(frozen=True, eq=False)
class Calibration:
    """A non-decreasing curve from margins (log-odds as the model sees them) to probabilities.

    Attributes:
        x: float64, knots; margins, increasing.
        y: float64, knots; probabilities, non-decreasing.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def apply(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities: linear between knots, level beyond the outermost."""
        return np.asarray(np.interp(margins, self.x, self.y), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class MinutesModel:
    """The median minutes of work of a row.

    Attributes:
        booster: predicts the log of the minutes.
        shift: added to it, so that half of the held-out work took longer and half took less.
        low: added to it for the lower end of an interval that holds 80 % of the work.
        high: added to it for the upper end.
    """

    booster: lgb.Booster
    shift: float
    low: float
    high: float

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return minutes for each row of ``features`` (rows x columns)."""
        return np.exp(self._score(features) + self.shift)

    @cached_property
    def _score(self) -> Scorer:
        return scorer(self.booster)


@dataclass(frozen=True, eq=False)
class CalibratedModel:
    """A binary model with its calibration.

    Attributes:
        booster: predicts log-odds.
        calibration: turns them into probabilities.
    """

    booster: lgb.Booster
    calibration: Calibration

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a probability for each row of ``features`` (rows x columns)."""
        return self.calibration.apply(self._score(features))

    @cached_property
    def _score(self) -> Scorer:
        return scorer(self.booster)


def scorer(booster: lgb.Booster) -> Scorer:
    """Return what scores rows as `predict_rows` does: the model's forest, or LightGBM where it cannot be held as one.

    It is made once for a model, and for lists: it is several times as fast with a few hundred rows, on one core.
    """
    try:
        return Forest.of(booster).score
    except ForestError:
        return partial(predict_rows, booster)


def predict_rows(booster: lgb.Booster, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the raw score of each row (float64, rows); no row depends on the others or on the number of threads.

    Raises:
        ValueError: the number of columns is not that of the model.
    """
    if features.ndim != 2 or features.shape[1] != booster.num_feature():
        raise ValueError(f"features of shape {features.shape} for a model of {booster.num_feature()} columns")
    if len(features) == 0:
        return np.empty(0)
    # For a single list, waking further threads costs more than they save.
    threads = 1 if len(features) < _ROWS_PER_THREAD else 0
    return np.asarray(booster.predict(features, raw_score=True, num_threads=threads), dtype=np.float64)
