"""From the margin of a model to a probability that means what it says."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from matching.additive import NO_CURVE, NO_LINEARS, Curve, Linears, at_levels, contributions, predict
from matching.forest import Forest, ForestError
from matching.linear import Linear, Newcomers

Scorer = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""Gives the raw score of each row."""

_ROWS_PER_THREAD = 5_000


@dataclass(frozen=True, eq=False)
class Calibration:
    """A non-decreasing curve from margins (log-odds as the model sees them) to probabilities.

    It is linear between knots, and level beyond the outermost.

    Attributes:
        x: float64, knots; margins, increasing.
        y: float64, knots; probabilities, non-decreasing.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    @cached_property
    def curve(self) -> Curve:
        """The same, as kernels take it."""
        return Curve(*(np.ascontiguousarray(knots, np.float64) for knots in (self.x, self.y)))


@dataclass(frozen=True, eq=False)
class Additive:
    """Trees and a linear part, added up.

    Attributes:
        booster: the trees.
        base: the linear part; what is smooth and rests on few rows is safer there than in trees.
        newcomers: what stands for it in rows of workers who have taken nothing; the same for all rows if None.
    """

    booster: lgb.Booster
    base: Linear = field(default_factory=Linear.constant)
    newcomers: Newcomers | None = None

    def predict(self, features: NDArray[np.float32], curve: Curve = NO_CURVE) -> NDArray[np.float64]:
        """Return the raw score of each row of ``features`` (rows x columns), or where a curve leads from there."""
        if self._forest is None:
            found = self.linear(features) + predict_rows(self.booster, features)
            return found if curve is NO_CURVE else np.asarray(np.interp(found, *curve))
        self._forest.check(features)
        return predict(self._linears, self._forest.trees, curve, features)

    def linear(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what the linear part says of each row of ``features`` (rows x columns)."""
        found = self.base.predict(features)
        if self.newcomers and (new := self.newcomers.among(features)).any():
            found[new] = self.newcomers.linear.predict(features[new])
        return found

    def linear_contributions(
        self, features: NDArray[np.float32], owners: NDArray[np.int64], players: int
    ) -> NDArray[np.float64]:
        """Return what the columns of each player add to the linear part; see `Linear.contributions`."""
        return contributions(self._linears, features, owners, players)

    @cached_property
    def _forest(self) -> Forest | None:
        return forest_of(self.booster)

    @cached_property
    def _linears(self) -> Linears:
        if self.newcomers is None:
            return NO_LINEARS._replace(base=self.base.terms)
        return Linears(self.base.terms, self.newcomers.column, self.newcomers.linear.terms)


LEVELS = np.linspace(0.01, 0.99, 99)
"""Levels of the quantiles that a `MinutesModel` knows."""


@dataclass(frozen=True, eq=False)
class MinutesModel:
    """The distribution of the minutes of work of a row.

    The log of the minutes is a location plus a scale, each of the row, times a residual whose quantiles are the same
    for all rows: so quantiles never cross. The location may follow the minutes that counts expect; the scale tells how
    well the worker and the kind of work are known, and does not see how long the task takes.

    Attributes:
        location: predicts the log of the minutes.
        spread: predicts the log of the scale.
        residuals: float64, at ``LEVELS``; quantiles of the scaled residuals of work that was not learned from.
    """

    location: Additive
    spread: Additive
    residuals: NDArray[np.float64]

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the median minutes for each row of ``features`` (rows x columns)."""
        return np.asarray(self.quantiles(features, 0.5)[0])

    def quantiles(self, features: NDArray[np.float32], *levels: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the minutes than which a share ``level`` of such work takes less (float64, levels x rows).

        Args:
            features: rows x columns.
            levels: 0.01..0.99, what lies beyond counts as the nearer end; each one number, or one for each row.
        """
        at = np.empty((len(levels), len(features)))
        for place, level in enumerate(levels):
            at[place] = level
        location, scale = self.location.predict(features), np.exp(self.spread.predict(features))
        residuals = Curve(LEVELS, np.ascontiguousarray(self.residuals))
        return np.asarray(np.exp(at_levels(location, scale, at, residuals)))


@dataclass(frozen=True, eq=False)
class CalibratedModel:
    """A binary model with its calibration.

    Attributes:
        booster: with ``base`` predicts log-odds.
        calibration: turns them into probabilities.
        base: added to what the trees say; see `Additive`.
    """

    booster: lgb.Booster
    calibration: Calibration
    base: Linear = field(default_factory=Linear.constant)

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a probability for each row of ``features`` (rows x columns)."""
        return self._log_odds.predict(features, self.calibration.curve)

    def log_odds(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what is calibrated, for each row of ``features`` (rows x columns)."""
        return self._log_odds.predict(features)

    @cached_property
    def _log_odds(self) -> Additive:
        return Additive(self.booster, self.base)


def scorer(booster: lgb.Booster) -> Scorer:
    """Return what scores rows as `predict_rows` does: the model's forest, or LightGBM where it cannot be held as one.

    It is made once for a model, and for lists: it is several times as fast with a few hundred rows, on one core.
    """
    forest = forest_of(booster)
    return partial(predict_rows, booster) if forest is None else forest.score


def forest_of(booster: lgb.Booster) -> Forest | None:
    """Return the trees of a model; None where only LightGBM can hold them."""
    try:
        return Forest.of(booster)
    except ForestError:
        return None


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
