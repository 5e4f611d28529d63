"""Models of one outcome of a row: will it be accepted, will it be approved, how long will it take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.spec import BY_REWARD
from matching.calibration import LEVELS, Additive, CalibratedModel, MinutesModel, predict_rows
from matching.linear import Linear
from training.calibration import calibrate, rarer_count
from training.linear import fit_linear
from training.ranker import LEAST_OF_A_CLASS, monotone_parameters, reproducible, safe_names
from training.splits import Fold, boundary, split_at

BLOCKS = 5
"""Blocks of time, each predicted from all the others, on which a model is calibrated."""

WINDOWS = (0.4, 0.6, 0.8)
"""Parts of the rows, in order of time, before each of the windows on which the number of trees is chosen."""

BY_LENGTH = frozenset(("minutes", "session_fit"))
"""Columns that move with how long the task takes, beside those of `BY_REWARD`."""

DATES = frozenset(
    ("worker_accepts", "worker_accepts_slow", "open_tasks", "market_approval", "worker_age_days", "requester_posted")
)
"""Columns that tell the day in disguise: a model would learn how much was taken on it, and expect that of later days.
Counts of what a worker took grow with the log; those of the last days do not."""

QUALITY = (
    *("requester_approval", "worker_approval", "kind_approval"),
    *("skill_coverage", "skill_overlap", "affinity_skill", "affinity_category"),
)
"""Columns of the linear part of the model of approval: few, as rejections are. Who judges, and what the worker can."""

PACE = (
    *("minutes", "worker_speed", "limit_minutes", "worker_accepts", "worker_accepts_slow", "worker_approval"),
    *("kind_approval", "skill_coverage", "skill_overlap", "skill_experience", "skill_count", "language_known"),
    *("affinity", "affinity_skill", "affinity_category", "popularity", "task_accepts", "slots_left"),
    *("requester_approval", "requester_hours", "requester_give_up"),
)
"""Columns of the linear part of the model of minutes."""

_LEAST_RESIDUAL = 0.02
_HUBER = 0.5
"""A residual of the log of the minutes beyond which it is taken for a forgotten tab, and no longer squared."""


@dataclass(frozen=True)
class OutcomeParameters:
    """How the trees of an outcome model are fitted. The defaults are those of acceptance, which has rows enough.

    Attributes:
        learning_rate: shrinkage of every tree.
        num_leaves: leaves of a tree.
        min_data_in_leaf: rows that a leaf must hold.
        feature_fraction: part of the columns that a tree may look at.
        lambda_l2: ridge penalty on leaf values.
        max_trees: growing ends here at the latest.
        patience: growing ends after so many trees without a better loss on the windows.
        seed: of the choice of columns.
        num_threads: 0 for all cores. It changes the speed, not the trees.
    """

    learning_rate: float = 0.1
    num_leaves: int = 7
    min_data_in_leaf: int = 100
    feature_fraction: float = 0.3
    lambda_l2: float = 5.0
    max_trees: int = 200
    patience: int = 20
    seed: int = 0
    num_threads: int = 0

    def to_lightgbm(
        self, objective: dict[str, Any], monotone: Sequence[int], usable: Sequence[bool] | None = None
    ) -> dict[str, Any]:
        """Return the parameters under LightGBM's names.

        Args:
            objective: LightGBM's ``objective`` and ``metric``.
            monotone: -1, 0 or 1 for every column.
            usable: whether trees may split on a column; all of them if None.
        """
        return {
            **objective,
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_data_in_leaf": self.min_data_in_leaf,
            "feature_fraction": self.feature_fraction,
            "lambda_l2": self.lambda_l2,
            # A split is never worth anything where its gain counts for nothing.
            **({} if usable is None else {"feature_contri": [float(use) for use in usable]}),
            **monotone_parameters(monotone),
            **reproducible(self.seed, self.num_threads),
        }


CORRECTIONS = OutcomeParameters(learning_rate=0.05, num_leaves=4, lambda_l2=10.0)
"""Of trees that correct a linear part, and need only tell where it is wrong."""

_SPREAD_TREES = 40


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
    unseen: frozenset[str] = frozenset(),
    linear: Sequence[str] = (),
    linear_monotone: Sequence[int] | None = None,
    maturity: int = 0,
    known: NDArray[np.int64] | None = None,
    parameters: OutcomeParameters | None = None,
) -> CalibratedModel | Unfitted:
    """Fit a calibrated probability of an outcome: a linear part, trees that correct it, and a curve over both.

    Windows of time, each predicted from what was known before it, choose the number of trees. Blocks of time, each
    predicted from all the others, make the calibration, so that it holds over days that differ rather than on the last
    ones. The model is then fitted on all rows.

    Args:
        features: rows x columns.
        target: rows; whether the outcome came about. Rows whose outcome is still open are left out by the caller.
        times: rows, in any order; instant of the list in microseconds.
        names: name of each column.
        monotone: -1, 0 or 1 for every column.
        unseen: names of columns that the model must not look at.
        linear: names of the columns of the linear part, as far as they are there.
        linear_monotone: -1, 0 or 1 for every column, for the weights of the linear part; ``monotone`` if None.
        maturity: microseconds after an instant until its outcome is known; see `training.splits`.
        known: rows; instant at which the outcome came about, where that may be later than ``maturity`` after the list.
            What is learned from before a boundary came about before it.
        parameters: how to fit the trees; the defaults if None.

    Returns:
        The model, or the reason why the rows do not suffice for one.
    """
    parameters = parameters or OutcomeParameters()
    blocks = _blocks(times, maturity, known)
    # All that is calibrated with counts together: to take only blocks with enough of either class would be to choose
    # those in which the rarer one was frequent.
    usable = [
        fold for fold in blocks if fold.validation.any() and rarer_count(target[fold.training]) >= LEAST_OF_A_CLASS
    ]
    judged = np.any([fold.validation for fold in usable], axis=0) if usable else blocks[-1].validation
    for part, side in ((usable or blocks)[-1].training, "to learn from"), (judged, "to calibrate with"):
        positives = int(target[part].sum())
        negatives = int(part.sum()) - positives
        if min(positives, negatives) < LEAST_OF_A_CLASS:
            return Unfitted(
                f"{positives} positive and {negatives} negative rows {side}, and {LEAST_OF_A_CLASS} of each are needed"
            )
    windows = [fold for fold in _windows(times, maturity, known) if _has_both(target, fold)]
    seen = [name not in unseen for name in names]
    settings = parameters.to_lightgbm({"objective": "binary", "metric": "binary_logloss"}, monotone, seen)
    signs = monotone if linear_monotone is None else linear_monotone
    fitted = _fitted(features, target, names, signs, linear, usable, windows, settings, parameters)
    predicted = ~np.isnan(fitted.held_out)
    curve = calibrate(fitted.held_out[predicted], target[predicted])
    return CalibratedModel(fitted.model.booster, curve, fitted.model.base)


def fit_minutes(
    features: NDArray[np.float32],
    minutes: NDArray[np.float32],
    times: NDArray[np.int64],
    names: Sequence[str],
    *,
    maturity: int = 0,
    known: NDArray[np.int64] | None = None,
    parameters: OutcomeParameters | None = None,
) -> MinutesModel | Unfitted:
    """Fit the distribution of the minutes of work.

    The log of the minutes is a linear part and trees with Huber's loss; it never falls as the minutes that counts
    expect rise, and sees nothing that depends on the reward. Blocks of time are predicted, each by a model of the
    others: the size of their residuals teaches the scale, and their quantiles, scaled, give the intervals (conformal
    prediction with a scale of the row: Lei et al. 2018, section 5.2).

    Args:
        features: rows x columns.
        minutes: rows; NaN where no work was handed in.
        times: rows, in any order; instant of the list in microseconds.
        names: name of each column.
        maturity: microseconds after an instant until its outcome is known.
        known: rows; instant at which the work was handed in; see `fit_probability`.
        parameters: how to fit the trees; `CORRECTIONS` if None.
    """
    parameters = parameters or CORRECTIONS
    kept = minutes > 0
    target, rows, when = np.log(minutes[kept].astype(np.float64)), features[kept], times[kept]
    handed_in = None if known is None else known[kept]
    least = 5 * LEAST_OF_A_CLASS
    blocks, windows = (
        [fold for fold in cut if min(fold.training.sum(), fold.validation.sum()) >= least]
        for cut in (_blocks(when, maturity, handed_in), _windows(when, maturity, handed_in))
    )
    if not blocks:
        return Unfitted(f"{kept.sum()} rows with minutes of work, and {least} on each side of a split are needed")
    monotone = [int(name == "minutes") for name in names]
    hidden = BY_REWARD | BY_LENGTH
    objective = {"objective": "huber", "alpha": _HUBER, "metric": "huber"}
    settings = parameters.to_lightgbm(objective, monotone, [name == "minutes" or name not in hidden for name in names])
    fitted = _fitted(rows, target, names, monotone, PACE, blocks, windows, settings, parameters)
    predicted = ~np.isnan(fitted.held_out)
    residuals = target[predicted] - fitted.held_out[predicted]
    spread = _spread(rows[predicted], residuals, names, [name not in hidden for name in names], parameters)
    scaled = residuals / np.exp(spread.predict(rows[predicted]))
    return MinutesModel(fitted.model, spread, np.quantile(scaled, LEVELS))


def _spread(
    features: NDArray[np.float32],
    residuals: NDArray[np.float64],
    names: Sequence[str],
    usable: Sequence[bool],
    parameters: OutcomeParameters,
) -> Additive:
    """Fit the log of how far the minutes stray, by how well worker and work are known."""
    sizes = np.log(np.maximum(np.abs(residuals), _LEAST_RESIDUAL))
    base = fit_linear(features, sizes, [], [0] * len(names))
    settings = parameters.to_lightgbm({"objective": "regression"}, [0] * len(names), usable)
    return Additive(_grown(features, sizes, names, base, settings, _SPREAD_TREES), base)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A model fitted on all rows, and what others said of the blocks (float64, rows; NaN outside of them)."""

    model: Additive
    held_out: NDArray[np.float64]


def _fitted(
    features: NDArray[np.float32],
    target: NDArray[Any],
    names: Sequence[str],
    monotone: Sequence[int],
    linear: Sequence[str],
    blocks: Sequence[Fold],
    windows: Sequence[Fold],
    settings: dict[str, Any],
    parameters: OutcomeParameters,
) -> _Fitted:
    columns = [place for place, name in enumerate(names) if name in linear]
    # A short log may have no window with enough before it.
    windows = windows or blocks
    growing = []
    for fold in windows:
        rows, outcomes = features[fold.training], target[fold.training]
        base = fit_linear(rows, outcomes, columns, monotone)
        training = _dataset(rows, outcomes, names, base, settings)
        validation = _dataset(features[fold.validation], target[fold.validation], names, base, settings, training)
        growing.append(lgb.Booster(settings, training).add_valid(validation, "window"))
    trees = _trees(growing, [int(fold.validation.sum()) for fold in windows], parameters)

    def fitted(rows: NDArray[np.float32], outcomes: NDArray[Any]) -> Additive:
        base = fit_linear(rows, outcomes, columns, monotone)
        return Additive(_grown(rows, outcomes, names, base, settings, trees), base)

    held_out = np.full(len(target), np.nan)
    for fold in blocks:
        others = fitted(features[fold.training], target[fold.training])
        rows = features[fold.validation]
        held_out[fold.validation] = others.base.predict(rows) + predict_rows(others.booster, rows)
    return _Fitted(fitted(features, target), held_out)


def _trees(boosters: Sequence[lgb.Booster], weights: Sequence[int], parameters: OutcomeParameters) -> int:
    """Grow models of several windows together, and return how many trees have the least loss over all of them."""
    losses: list[float] = []
    best = 0
    while len(losses) < parameters.max_trees and len(losses) - best <= parameters.patience:
        for booster in boosters:
            booster.update()
        losses.append(float(np.dot([booster.eval_valid()[0][2] for booster in boosters], weights)))
        best = int(np.argmin(losses))
    return best + 1


def _grown(
    features: NDArray[np.float32],
    target: NDArray[Any],
    names: Sequence[str],
    base: Linear,
    settings: dict[str, Any],
    trees: int,
) -> lgb.Booster:
    grown = lgb.train(settings, _dataset(features, target, names, base, settings), num_boost_round=trees)
    # Reading it back leaves the data behind.
    return lgb.Booster(model_str=grown.model_to_string())


def _dataset(
    features: NDArray[np.float32],
    target: NDArray[Any],
    names: Sequence[str],
    base: Linear,
    settings: dict[str, Any],
    reference: lgb.Dataset | None = None,
) -> lgb.Dataset:
    return lgb.Dataset(
        features,
        target,
        init_score=base.predict(features),
        reference=reference,
        feature_name=safe_names(names),
        params=settings,
    )


def _blocks(times: NDArray[np.int64], maturity: int, known: NDArray[np.int64] | None = None) -> list[Fold]:
    """Cut the time into blocks; what is learned from for one ends and begins again ``maturity`` away from it.

    Of what lies before a block only that counts which came about before it.

    Predicting each block from both sides, not only from what came before it (Roberts et al. 2017 compare the two),
    gives every block a model as good as the final one, and a calibration over the whole time.
    """
    ordered = np.sort(times)
    edges = [boundary(ordered, block / BLOCKS) for block in range(1, BLOCKS)]
    starts, ends = [np.iinfo(np.int64).min, *edges], [*edges, np.iinfo(np.int64).max]
    found = []
    for start, end in zip(starts, ends, strict=True):
        before = (times < start) & (times + maturity <= start) & _came_about(known, start)
        after = (times >= end) & (times - maturity >= end)
        found.append(Fold(before | after, (times >= start) & (times < end)))
    return found


def _windows(times: NDArray[np.int64], maturity: int, known: NDArray[np.int64] | None = None) -> list[Fold]:
    """Cut the later part of the time into windows; what is learned from for one was known before it."""
    ordered = np.sort(times)
    starts = [boundary(ordered, share) for share in WINDOWS]
    ends = [*starts[1:], None]
    cut = [split_at(times, start, end, maturity=maturity) for start, end in zip(starts, ends, strict=True)]
    return [
        Fold(fold.training & _came_about(known, start), fold.validation)
        for fold, start in zip(cut, starts, strict=True)
    ]


def _came_about(known: NDArray[np.int64] | None, boundary: int) -> NDArray[np.bool_] | bool:
    return True if known is None else known < boundary


def _has_both(target: NDArray[np.bool_], fold: Fold) -> bool:
    """Return whether each side has enough rows of each class."""
    return all(rarer_count(target[side]) >= LEAST_OF_A_CLASS for side in (fold.training, fold.validation))
