"""Models of one outcome of a row: will it be accepted, will it be approved."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from matching.calibration import CalibratedModel, MinutesModel, predict_rows
from training.calibration import calibrate
from training.ranker import monotone_parameters, reproducible, safe_names
from training.splits import boundary, split_at

LEAST_OF_A_CLASS = 20
"""Rows of each class without which neither side of the split says anything."""


@dataclass(frozen=True)
class OutcomeParameters:
    """How an outcome model is fitted.

    Attributes:
        learning_rate: shrinkage of every tree.
        num_leaves: leaves of a tree.
        min_data_in_leaf: rows that a leaf must hold.
        feature_fraction: part of the columns that a tree may look at.
        lambda_l2: ridge penalty on leaf values.
        max_trees: growing ends here at the latest.
        patience: growing ends after so many trees without a better held-out loss.
        held_out: part of the rows, the latest, that stops growing and calibrates.
        seed: of the choice of columns.
        num_threads: 0 for all cores. It changes the speed, not the trees.
    """

    learning_rate: float = 0.1
    num_leaves: int = 15
    min_data_in_leaf: int = 50
    feature_fraction: float = 0.8
    lambda_l2: float = 1.0
    max_trees: int = 200
    patience: int = 20
    held_out: float = 0.2
    seed: int = 0
    num_threads: int = 0

    def to_lightgbm(self, monotone: Sequence[int]) -> dict[str, Any]:
        """Return the parameters under LightGBM's names; ``monotone`` is -1, 0 or 1 for every column."""
        return {
            "objective": "binary",
            "metric": "binary_logloss",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_data_in_leaf,
            "feature_fraction": self.feature_fraction,
            "lambda_l2": self.lambda_l2,
            **monotone_parameters(monotone),
            **reproducible(self.seed, self.num_threads),
        }


@dataclass(frozen=True)
class Unfitted:
    """Why there is no model; a half sentence that fits behind "no model of approval:"."""

    reason: str


def fit_probability(
    features: NDArray[np.float32],
    target: NDArray[np.bool_],
    times: NDArray[np.int64],
    names: Sequence[str],
    monotone: Sequence[int],
    *,
    maturity: int = 0,
    parameters: OutcomeParameters | None = None,
) -> CalibratedModel | Unfitted:
    """Fit a calibrated probability of an outcome.

    The latest rows are held out: they stop the growth of trees and then calibrate the model. One whole number chosen
    from them costs the calibration next to nothing, while a third part would cost the model its most recent rows.

    Args:
        features: rows x columns.
        target: rows; whether the outcome came about. Rows whose outcome is still open are left out by the caller.
        times: rows, in any order; instant of the list in microseconds.
        names: name of each column.
        monotone: -1, 0 or 1 for every column.
        maturity: microseconds after an instant until its outcome is known; see `training.splits`.
        parameters: how to fit; the defaults if None.

    Returns:
        The model, or the reason why the rows do not suffice for one.
    """
    parameters = parameters or OutcomeParameters()
    split = split_at(times, boundary(np.sort(times), 1 - parameters.held_out), maturity=maturity)
    for rows, side in ((split.training, "to learn from"), (split.validation, "to calibrate with")):
        positives = int(target[rows].sum())
        negatives = int(rows.sum()) - positives
        if min(positives, negatives) < LEAST_OF_A_CLASS:
            return Unfitted(
                f"{positives} positive and {negatives} negative rows {side}, and {LEAST_OF_A_CLASS} of each are needed"
            )
    settings = parameters.to_lightgbm(monotone)
    training = lgb.Dataset(
        features[split.training], target[split.training], feature_name=safe_names(names), params=settings
    )
    validation = lgb.Dataset(features[split.validation], target[split.validation], reference=training, params=settings)
    booster = _grown(settings, training, validation, parameters)
    margins = predict_rows(booster, features[split.validation])
    return CalibratedModel(booster, calibrate(margins, target[split.validation]))


def fit_minutes(
    features: NDArray[np.float32],
    minutes: NDArray[np.float32],
    times: NDArray[np.int64],
    names: Sequence[str],
    *,
    maturity: int = 0,
    parameters: OutcomeParameters | None = None,
) -> MinutesModel | Unfitted:
    """Fit the median of the minutes of work, and how far the work strays from it.

    Trees learn the median of the log of the minutes (quantile loss, Koenker & Bassett 1978). The latest rows are held
    out: they stop the growth of trees, and their residuals shift the median and give the interval, which so holds as
    often as it says (Romano, Patterson & Candès 2019, with constant width in the log).

    Args:
        features: rows x columns.
        minutes: rows; NaN where no work was handed in.
        times: rows, in any order; instant of the list in microseconds.
        names: name of each column.
        maturity: microseconds after an instant until its outcome is known.
        parameters: how to fit; the defaults if None.
    """
    parameters = parameters or OutcomeParameters()
    kept = minutes > 0
    target, rows, when = np.log(minutes[kept].astype(np.float64)), features[kept], times[kept]
    split = split_at(when, boundary(np.sort(when), 1 - parameters.held_out), maturity=maturity)
    least = 5 * LEAST_OF_A_CLASS
    if min(split.training.sum(), split.validation.sum()) < least:
        return Unfitted(f"{kept.sum()} rows with minutes of work, and {least} on each side of a split are needed")
    settings = {
        **parameters.to_lightgbm([0] * len(names)),
        "objective": "quantile",
        "alpha": 0.5,
        "metric": "quantile",
    }
    training = lgb.Dataset(
        rows[split.training], target[split.training], feature_name=safe_names(names), params=settings
    )
    validation = lgb.Dataset(rows[split.validation], target[split.validation], reference=training, params=settings)
    booster = _grown(settings, training, validation, parameters)
    residuals = target[split.validation] - predict_rows(booster, rows[split.validation])
    low, middle, high = np.quantile(residuals, [0.1, 0.5, 0.9])
    return MinutesModel(booster, shift=float(middle), low=float(low), high=float(high))


def _grown(
    settings: dict[str, Any], training: lgb.Dataset, validation: lgb.Dataset, parameters: OutcomeParameters
) -> lgb.Booster:
    grown = lgb.train(
        settings,
        training,
        num_boost_round=parameters.max_trees,
        valid_sets=[validation],
        callbacks=[lgb.early_stopping(parameters.patience, verbose=False)],
    )
    # Reading it back leaves the trees after the best one behind, and the data.
    return lgb.Booster(model_str=grown.model_to_string(num_iteration=grown.best_iteration))
