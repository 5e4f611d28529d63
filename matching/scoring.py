"""What the models say of rows: an order, and for each task what it takes and pays. Nothing is dropped or reordered."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from features.jit import kernel
from features.money import MAX_AMOUNT, Money
from features.spec import COLUMN, GROUPS, NAMES
from matching.bundle import Bundle, BundleError
from matching.contributions import Contributor
from matching.first_stage import FirstStage

COMPARED_WITH = 44
"""Rows of a list with which contributions are compared: with those of a usual page they fill one block of a kernel."""

_STEPS = 1 + 2 * np.arange(COMPARED_WITH)
"""Where these lie in a list of ``2 * COMPARED_WITH``, by even steps."""

INTERVAL = 0.8
"""Share of what comes about that lies within an interval of an answer."""

LOW, HIGH = 0.1, 0.9
"""Levels of the ends of an interval of minutes."""

UNTOLD_MINUTES = 10.0
"""Minutes of a task where nothing tells how long any takes: the middle, by ratio, of a minute and some two hours."""

MOST_KEPT = 0.95
_MOST_PAID = float(MAX_AMOUNT)


@dataclass(frozen=True)
class Outcomes:
    """What is expected of each row; float64, rows.

    Attributes:
        p_accept: P(accepted within the maturity | listed); NaN without such a model.
        p_approve: P(approved | submitted); the smoothed share of the worker in such tasks without a model.
        minutes: minutes expected for this worker.
        minutes_low: 10th percentile of the minutes; NaN without a model of the minutes, as all that follow.
        minutes_high: 90th percentile of the minutes.
        paid_fast: with ``paid_slow``, minutes of approved work between which 80 % of all finished work lies; rejected
            work lies outside; see `paid_tails`.
        paid_slow: the longer one.
    """

    p_accept: NDArray[np.float64]
    p_approve: NDArray[np.float64]
    minutes: NDArray[np.float64]
    minutes_low: NDArray[np.float64]
    minutes_high: NDArray[np.float64]
    paid_fast: NDArray[np.float64]
    paid_slow: NDArray[np.float64]

    @classmethod
    def counted(cls, features: NDArray[np.float32]) -> "Outcomes":
        """Return what counts alone tell of rows (float32, rows x columns of the spec): no more than a middle."""
        unknown, minutes = _unknown(features), usual_minutes(features)
        return cls(unknown, smoothed_approval(features), minutes, unknown, unknown, unknown, unknown)

    def chances(self) -> NDArray[np.float64] | None:
        """Return P(accepted) x P(approved) (float64, rows), None without a model of the former.

        That compares rows of different workers, which the scores of a list-wise model do not.
        """
        return None if np.isnan(self.p_accept).all() else self.p_accept * self.p_approve

    def first(self, rows: int) -> "Outcomes":
        """Return what is expected of the first so many rows."""
        return Outcomes(*(column[:rows] for column in vars(self).values()))


class Expectation(Struct, frozen=True, gc=False):
    """The figures of an answer for one worker and task; each None where nothing tells it.

    Attributes:
        p_accept: P(accepted within the maturity | listed).
        p_approve: P(approved | submitted).
        expected_minutes: median minutes of work.
        minutes_low: 10th percentile of the minutes.
        minutes_high: 90th percentile of the minutes.
        expected_hourly: reward x P(approved) over the expected minutes.
        expected_hourly_low: with ``expected_hourly_high``, between which four fifths of finished work pay an hour. Work
            that is rejected pays nothing, and counts.
        expected_hourly_high: the upper end.
    """

    p_accept: float | None
    p_approve: float | None
    expected_minutes: float | None
    minutes_low: float | None
    minutes_high: float | None
    expected_hourly: Money | None
    expected_hourly_low: Money | None
    expected_hourly_high: Money | None


def no_contributions(features: NDArray[np.float32], asked: int) -> NDArray[np.float64]:
    """Return zeros, for an order that comes of no columns."""
    return np.zeros((asked, len(GROUPS)))


@dataclass(frozen=True)
class Answers:
    """What a ranker says of rows: scores at once, and all else of those that are asked for, as a page is few.

    Attributes:
        scores: float64, rows; higher is better, within a list.
        features: float32, the rows.
        expect: answers rows of features one by one.
        contribute: tells what each of `features.spec.GROUPS` contributes to the scores of rows above others.
    """

    scores: NDArray[np.float64]
    features: NDArray[np.float32]
    expect: Callable[[NDArray[np.float32]], Outcomes]
    contribute: Contributor = no_contributions

    def outcomes(self) -> Outcomes:
        """Return what is expected of all rows."""
        return self.expect(self.features)

    @cached_property
    def rising(self) -> NDArray[np.intp]:
        """The rows (intp) by rising score, equal ones as they come."""
        return np.argsort(self.scores, kind="stable")

    def lifts(self, places: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return what each group of columns adds to the scores at ``places``, above its mean over the list.

        That is what makes a row stand here and not there: what all rows have in common, such as the worker's history by
        itself, lifts none. Of two rows, the sums differ by as much as the scores do. The mean of a long list is that of
        ``COMPARED_WITH`` rows, from the best to the worst by even steps.

        Args:
            places: intp, rows.

        Returns:
            float64, rows x `features.spec.GROUPS`; rounded to millionths, so that 0 is what makes no difference.
        """
        size = len(self.scores)
        compared = self.rising[_STEPS * size // (2 * COMPARED_WITH)] if size > COMPARED_WITH else np.arange(size)
        found = self.contribute(self.features.take(np.concatenate((places, compared)), axis=0), len(places))
        # Adding 0 turns -0 into 0.
        return found.round(6) + 0.0


class Ranker(Protocol):
    """What scores rows: a trained model, or the fallback."""

    @property
    def version(self) -> str:
        """What answers call it."""
        ...

    @property
    def first_stage(self) -> FirstStage:
        """What chooses the rows to score where far more is eligible."""
        ...

    def answers(self, features: NDArray[np.float32]) -> Answers:
        """Score rows of features (float32, rows x columns of the spec)."""
        ...


class BundleRanker:
    """Applies a bundle's models; each sees the columns it was trained with, which may be a part of the spec's.

    Raises:
        BundleError: the model was trained with a column that the spec does not have.
    """

    def __init__(self, bundle: Bundle, version: str) -> None:
        self.version = version
        self.first_stage = bundle.first_stage
        self._bundle = bundle
        self._places = None if bundle.feature_names == NAMES else _places(bundle.feature_names)
        # Models read their trees when they are first asked: the first list must not wait for it.
        answers = self.answers(np.empty((0, len(NAMES)), np.float32))
        answers.outcomes()
        answers.lifts(np.arange(0))

    def answers(self, features: NDArray[np.float32]) -> Answers:
        """Score rows of features (float32, rows x columns of the spec)."""
        return Answers(self._bundle.score(self._seen(features)), features, self.outcomes, self._contribute)

    def _seen(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        return features if self._places is None else features[:, self._places]

    def _contribute(self, features: NDArray[np.float32], asked: int) -> NDArray[np.float64]:
        return self._bundle.contributions(self._seen(features), asked)

    def outcomes(self, features: NDArray[np.float32]) -> Outcomes:
        """Return what is expected of rows (float32, rows x columns of the spec)."""
        bundle, seen = self._bundle, self._seen(features)
        p_accept = _unknown(features) if bundle.accept is None else bundle.accept.predict(seen)
        p_approve = smoothed_approval(features) if bundle.approve is None else bundle.approve.predict(seen)
        if bundle.minutes is None:
            return Outcomes(p_accept, p_approve, usual_minutes(features), *[_unknown(features)] * 4)
        tail = paid_tails(p_approve)
        return Outcomes(p_accept, p_approve, *bundle.minutes.quantiles(seen, 0.5, LOW, HIGH, tail, 1.0 - tail))


def _unknown(features: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.full(len(features), np.nan)


def usual_minutes(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the minutes expected for the worker by counts alone (float64, rows).

    Where nothing tells, no statement of the task and no work in the market, they are ``UNTOLD_MINUTES``.
    """
    minutes = np.exp(features[:, COLUMN["minutes"]].astype(np.float64))
    return np.where(np.isnan(minutes), UNTOLD_MINUTES, minutes)


def smoothed_approval(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the smoothed share approved of what the worker submitted in such tasks (float64, rows)."""
    market, kind = (features[:, COLUMN[name]].astype(np.float64) for name in ("market_approval", "kind_approval"))
    return market + kind


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


def expectations(outcomes: Outcomes, rewards: Sequence[Money | None]) -> list[Expectation]:
    """Return the figures of each row of outcomes; see `figures`."""
    return list(map(Expectation, *figures(outcomes, rewards)))


def figures(outcomes: Outcomes, rewards: Sequence[Money | None]) -> list[list[Any]]:
    """Return the figures of rows of outcomes, a list for each field of `Expectation`.

    Pay per hour is reward x P(approved) over the minutes, in the reward's own currency. There is none without a reward,
    or where the figure is beyond all bounds.

    Args:
        outcomes: of rows.
        rewards: rows; of the task of each, None for a task without one.
    """
    amounts = np.array([math.nan if reward is None else float(reward.amount) for reward in rewards])
    paid = _paid(amounts, outcomes.p_approve, outcomes.minutes, outcomes.paid_slow, outcomes.paid_fast).tolist()
    told = (outcomes.p_accept, outcomes.p_approve, outcomes.minutes, outcomes.minutes_low, outcomes.minutes_high)
    money = [
        [
            # Only NaN is not itself.
            reward.rounded(figure) if figure == figure and reward is not None else None
            for figure, reward in zip(column, rewards, strict=True)
        ]
        for column in paid
    ]
    return [[value if value == value else None for value in column.tolist()] for column in told] + money


@kernel
def _paid(
    amounts: NDArray[np.float64],
    p_approve: NDArray[np.float64],
    minutes: NDArray[np.float64],
    slow: NDArray[np.float64],
    fast: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return pay per hour as expected, and where work is slow and where it is fast (float64, 3 x rows)."""
    paid = np.empty((3, len(amounts)))
    for i in range(len(amounts)):
        hourly = _an_hour(amounts[i] * p_approve[i], minutes[i])
        low, high = _an_hour(amounts[i], slow[i]), _an_hour(amounts[i], fast[i])
        # Where rejection is likely, work that is paid pays more than is to be expected.
        paid[0, i], paid[1, i], paid[2, i] = hourly, hourly if low > hourly else low, hourly if high < hourly else high
    return paid


@kernel
def _an_hour(pay: float, minutes: float) -> float:
    found = pay * 60 / minutes
    # A posting may state a millionth of a minute; what follows from it is no figure for anyone.
    return found if minutes > 0.0 and found <= _MOST_PAID else np.nan


@kernel
def paid_tails(p_approve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of approved work to leave out at either end, so that ``INTERVAL`` of all finished work is kept.

    Rejected work pays nothing and is left out first: the less likely approval is, the more of the approved is kept, but
    never more than ``MOST_KEPT``, as the very ends are anybody's guess. An unknown probability counts as certain.

    Args:
        p_approve: float64, rows.
    """
    tails = np.empty(len(p_approve))
    for i in range(len(p_approve)):
        chance = 1.0 if np.isnan(p_approve[i]) else p_approve[i]
        tails[i] = (1.0 - min(INTERVAL / max(chance, INTERVAL), MOST_KEPT)) / 2.0
    return tails
