"""What the models say of rows: an order, and for each task what it takes and pays. Nothing is dropped or reordered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from features.events import TaskPosted
from features.money import Money
from features.spec import COLUMN, NAMES
from matching.bundle import Bundle, BundleError


@dataclass(frozen=True)
class Answers:
    """What is known of each row; float64, rows.

    Attributes:
        scores: higher is better, within a list.
        p_accept: P(accepted within the maturity | listed); NaN without such a model.
        p_approve: P(approved | submitted); the smoothed share of the worker in such tasks without a model.
        minutes: minutes expected for this worker; NaN where nothing tells.
    """

    scores: NDArray[np.float64]
    p_accept: NDArray[np.float64]
    p_approve: NDArray[np.float64]
    minutes: NDArray[np.float64]


def answers(bundle: Bundle, features: NDArray[np.float32]) -> Answers:
    """Apply a bundle's models to rows of features (float32, rows x columns of the spec).

    Each model sees the columns it was trained with, which may be a part of the spec's.

    Raises:
        BundleError: the model was trained with a column that the spec does not have.
    """
    seen = features if bundle.feature_names == NAMES else features[:, _places(bundle.feature_names)]
    accept, approve = bundle.p_accept(seen), bundle.p_approve(seen)
    return Answers(
        scores=bundle.score(seen),
        p_accept=np.full(len(features), np.nan) if accept is None else accept,
        p_approve=features[:, COLUMN["kind_approval"]].astype(np.float64) if approve is None else approve,
        minutes=np.exp(features[:, COLUMN["minutes"]].astype(np.float64)),
    )


def _places(names: Sequence[str]) -> list[int]:
    unknown = [name for name in names if name not in COLUMN]
    if unknown:
        raise BundleError(
            f"the model was trained with the column {unknown[0]!r}, which is not in the feature spec: "
            "add it to features.spec and train again"
        )
    return [COLUMN[name] for name in names]


def best_first(scores: NDArray[np.float64], order: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Return the order by falling score; equal scores stand in the order of the ids' hashes, NaN last."""
    return np.lexsort((order, -scores))


def expected_hourly(posting: TaskPosted | None, p_approve: float, minutes: float) -> Money | None:
    """Return what a task pays per hour of work: reward x P(approved) over the minutes, in the reward's own currency.

    None without a reward, or where nothing tells how long the task takes.
    """
    if posting is None or posting.reward is None or math.isnan(minutes):
        return None
    hourly = float(posting.reward.amount) * p_approve * 60 / minutes
    return Money(amount=Decimal(f"{hourly:.2f}"), currency=posting.reward.currency)
