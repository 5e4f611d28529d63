"""Whether probabilities and minutes mean what they say, on rows that no model has learned from."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import log_loss

from matching.calibration import MinutesModel
from matching.scoring import HIGH, LOW
from training.metrics import jackknife

_NORMAL = 1.959963984540054
"""Of the normal distribution, 95 % lies this many standard deviations around the mean."""

_DRAWS = 200
_SEED = 20_250_311


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predicted probabilities beside what came about.

    Attributes:
        bins: a row for each bin, the lowest predictions first. Columns (float64 but for the last): predicted, the mean
            prediction; observed, the share of rows whose outcome came about; low, high, its interval of 95 %; rows
            (int64).
        percentiles: float64, 100, non-decreasing; predictions, each of which stands for one hundredth of the rows.
        base_rate: share of all rows whose outcome came about.
        error: expected calibration error, the mean over rows of how far the observed share of their bin is from the
            mean prediction (Naeini, Cooper & Hauskrecht 2015).
        noise: what chance alone makes of ``error``: were every prediction true and every row independent, the error
            would exceed this in one case out of twenty.
        log_loss: mean of ``-log`` of the probability given to what came about (natural logarithm).
        constant_log_loss: the same of always predicting the base rate, known with hindsight.
    """

    bins: pd.DataFrame
    percentiles: NDArray[np.float64]
    base_rate: float
    error: float
    noise: float
    log_loss: float
    constant_log_loss: float


@dataclass(frozen=True)
class MinutesReliability:
    """Predicted minutes of work beside the real ones.

    Attributes:
        rows: with work that was timed.
        inside: share of the work within its predicted interval of 80 %; NaN without any.
        ratio: median of real over predicted minutes; above 1, the work takes longer than was said. NaN without any.
    """

    rows: int
    inside: float
    ratio: float


def reliability(
    predicted: ArrayLike, observed: ArrayLike, workers: ArrayLike | None = None, bins: int = 15
) -> Reliability:
    """Compare probabilities with outcomes, in bins of about the same number of rows.

    Equal predictions share a bin, so there are fewer bins where many are equal. Each interval is Wilson's (1927), on
    the number of independent rows that say as much as those of the bin: rows of one worker are alike, and the variance
    between workers tells by how much (the effective sample size of Kish 1965; Dean & Pagano 2015 compare such
    intervals). Variance and quantile are those of `training.metrics.cluster_interval`, for as many workers as the bin
    has; rows of one worker alone say nothing of others, and their interval is all from 0 to 1.

    Args:
        predicted: rows; probabilities.
        observed: rows; whether the outcome came about.
        workers: integers, rows; whose row it is. None if the rows are independent.
        bins: how many, at most.

    Raises:
        ValueError: there is no row.
    """
    probabilities = np.asarray(predicted, dtype=np.float64)
    outcomes = np.asarray(observed, dtype=np.float64)
    if len(probabilities) == 0:
        raise ValueError("no row to compare a probability with its outcome")
    order = np.argsort(probabilities, kind="stable")
    probabilities, outcomes = probabilities[order], outcomes[order]
    begins = _begins(probabilities, bins)
    rows = np.diff(begins, append=len(outcomes))
    said = np.add.reduceat(probabilities, begins) / rows
    share = np.add.reduceat(outcomes, begins) / rows
    owner = None if workers is None else np.asarray(workers)[order]
    independent, quantile = rows.astype(np.float64), np.full(len(rows), _NORMAL)
    if owner is not None:
        for place, (begin, end) in enumerate(zip(begins, begins + rows, strict=True)):
            independent[place], quantile[place] = _independent_rows(outcomes[begin:end], owner[begin:end])
    low, high = _wilson(share, independent, quantile)
    base_rate = float(outcomes.mean())
    return Reliability(
        bins=pd.DataFrame({"predicted": said, "observed": share, "low": low, "high": high, "rows": rows}),
        percentiles=np.quantile(probabilities, (np.arange(100) + 0.5) / 100),
        base_rate=base_rate,
        error=float(rows @ np.abs(share - said) / len(outcomes)),
        noise=_noise(probabilities, begins),
        log_loss=float(log_loss(outcomes, probabilities, labels=[0, 1])),
        constant_log_loss=float(log_loss(outcomes, np.full(len(outcomes), base_rate), labels=[0, 1])),
    )


def minutes_reliability(
    model: MinutesModel, features: NDArray[np.float32], minutes: NDArray[np.float32]
) -> MinutesReliability:
    """Compare predicted minutes with those that the work took.

    Args:
        model: gives the median and an interval of 80 %.
        features: rows x columns.
        minutes: rows; NaN where no work was timed.
    """
    timed = minutes > 0
    if not timed.any():
        return MinutesReliability(0, np.nan, np.nan)
    taken = minutes[timed].astype(np.float64)
    low, middle, high = model.quantiles(features[timed], LOW, 0.5, HIGH)
    inside = (taken >= low) & (taken <= high)
    return MinutesReliability(int(timed.sum()), float(inside.mean()), float(np.median(taken / middle)))


def last_of_each_work(
    workers: NDArray[np.integer[Any]], tasks: NDArray[np.integer[Any]], instants: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which rows stand for a work (bool, rows): the last one of those with what came of the same work.

    A verdict and the minutes of a work belong to every list that held the task before, so that one work may have very
    many rows. They are one throw of chance, and many rows would make it look like many.

    Args:
        workers: rows, in order of time; whose row it is.
        tasks: rows; the task.
        instants: rows; when the verdict or the minutes came about, microseconds since 1970; 0 without.
    """
    works = pd.DataFrame({"worker": workers, "task": tasks, "at": instants})
    return np.asarray((instants > 0) & ~works.duplicated(keep="last").to_numpy())


def _begins(probabilities: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Return where in the sorted probabilities each bin begins: between different ones, as near as can be."""
    wanted = np.arange(bins) * len(probabilities) // bins
    before = np.searchsorted(probabilities, probabilities[wanted], side="left")
    after = np.searchsorted(probabilities, probabilities[wanted], side="right")
    begins = np.unique(np.where(wanted - before <= after - wanted, before, after))
    return begins[begins < len(probabilities)]


def _independent_rows(outcomes: NDArray[np.float64], workers: NDArray[np.generic]) -> tuple[float, float]:
    """Return how many independent rows would tell their mean as well as these do, and the quantile of its interval."""
    share, error, quantile = jackknife(outcomes, workers)
    # Less variance than independent rows have is taken for luck.
    least = share * (1 - share) / len(outcomes)
    return len(outcomes) * (least / max(least, error**2) if error > 0 else 1.0), quantile


def _wilson(
    share: NDArray[np.float64], rows: NDArray[np.float64], quantile: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # In this form without a division by the rows, which may say as much as none.
    squared = quantile**2
    middle = (rows * share + squared / 2) / (rows + squared)
    reach = quantile * np.sqrt(rows * share * (1 - share) + squared / 4) / (rows + squared)
    # Rounding may leave an end a hair outside of where the share is 0 or 1.
    return np.minimum(np.clip(middle - reach, 0, 1), share), np.maximum(np.clip(middle + reach, 0, 1), share)


def _noise(probabilities: NDArray[np.float64], begins: NDArray[np.int64]) -> float:
    random = np.random.default_rng(_SEED)
    expected = np.add.reduceat(probabilities, begins)
    errors = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        drawn = random.random(len(probabilities)) < probabilities
        errors[draw] = np.abs(np.add.reduceat(drawn.astype(np.int64), begins) - expected).sum() / len(probabilities)
    return float(np.quantile(errors, 0.95))
