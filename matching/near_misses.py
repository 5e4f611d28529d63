"""Near misses: the one thing that a worker could change to be let into the best-paid of the tasks that are closed now.

A change is a qualification, a skill, a language, a device, or further approvals; `matching.openings` finds what each
would open. Here they are valued and told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from features.build import rows
from features.jit import kernel
from features.money import MAX_AMOUNT, Money
from features.requirements_shape import Value
from features.state import MarketState
from matching.eligibility import Judgement
from matching.near_miss_texts import describe
from matching.openings import Opening, Person, openings, waiting_for_one
from matching.query import Query
from matching.scoring import Ranker

MOST = 3
"""Near misses in an answer at the most."""

SCORED = 4
"""Changes whose tasks the models score: those that promise most by what requesters say of pay and time."""

TASKS_SCORED = 25
"""Tasks scored for a change: the best-paid ones, more than a session holds."""

USUAL_SESSION = 60.0
"""Minutes of a session where the worker says nothing."""


@dataclass(frozen=True)
class NearMiss:
    """What would open tasks.

    Attributes:
        attribute: as requirements name it.
        comparator: with ``value`` the simplest clause that the change fulfils.
        value: None for ``exists``.
        tasks: open tasks that the change alone would open.
        expected_hourly: pay per hour of the best of them, as many as a session holds; None where no pay is known.
        text: the same in words.
    """

    attribute: str
    comparator: str
    value: Value | None
    tasks: int
    expected_hourly: Money | None
    text: str


@dataclass(frozen=True)
class _Promise:
    """What a change opens, the best-paid tasks of it alone (int32), and what a session with them earns."""

    opening: Opening
    tasks: NDArray[np.int32]
    earned: float
    minutes: float


def near_misses(state: MarketState, ranker: Ranker, query: Query, judgement: Judgement) -> list[NearMiss]:
    """Return the changes that promise the worker of a query the most, at most ``MOST``, the best first.

    They are ranked by what the worker could earn with the tasks that they open: reward x P(approved), the best-paid per
    hour first, as many as fit into a session. Rows and models see the worker as before the change.

    Args:
        state: the market.
        ranker: what expects approvals and minutes.
        query: who asks, and what for.
        judgement: of all open tasks for this query.
    """
    person = Person.of(state, query)
    session = _session_minutes(query, float(person.record["session_minutes"]))
    waiting = waiting_for_one(judgement)
    if not len(waiting.tasks):
        return []
    pay = _Pay.of(state, waiting.tasks, session)
    promises = [_stated(pay, opening, session) for opening in openings(judgement, waiting, person)]
    best = sorted(_best_of_topics(promises), key=_order)[:SCORED]
    scored = sorted(_expected(state, ranker, query, session, best), key=_order)
    if not np.isnan(query.wishes.min_hourly):
        scored = [promise for promise in scored if promise.minutes > 0.0]
    return [_told(state, promise, person, query.locale) for promise in scored[:MOST]]


@dataclass(frozen=True)
class _Pay:
    """What requesters say that tasks pay (base currency) and take (minutes; the median where they do not say)."""

    tasks: NDArray[np.int32]
    rewards: NDArray[np.float64]
    minutes: NDArray[np.float64]
    hourly: NDArray[np.float64]

    @classmethod
    def of(cls, state: MarketState, tasks: NDArray[np.int32], session: float) -> "_Pay":
        facts = state.arrays.tasks["facts"]
        rewards, minutes = facts["reward"][tasks], facts["stated_minutes"][tasks].astype(np.float64)
        known = minutes[~np.isnan(minutes)]
        minutes[np.isnan(minutes)] = np.median(known) if known.size else session
        return cls(tasks, rewards, minutes, np.nan_to_num(rewards / minutes))


def _session_minutes(query: Query, usual: float) -> float:
    """Return the minutes there are: what is said now, else what the profile says, else a usual session."""
    return next((minutes for minutes in (query.session_minutes, usual) if minutes > 0.0), USUAL_SESSION)


def _stated(pay: _Pay, opening: Opening, session: float) -> _Promise:
    """Return a promise by what requesters say, with the tasks that look best-paid."""
    first = min(TASKS_SCORED, len(opening.places))
    best = opening.places[np.argpartition(-pay.hourly[opening.places], first - 1)[:first]]
    return _Promise(opening, pay.tasks[best], *_session(pay.rewards[best], pay.minutes[best], session))


@kernel
def _session(pay: NDArray[np.float64], minutes: NDArray[np.float64], available: float) -> tuple[float, float]:
    """Return what a session earns and how long it lasts: the best-paid per minute first, the last in part."""
    earned, worked = 0.0, 0.0
    known = np.flatnonzero((pay > 0.0) & (minutes > 0.0))
    for place in known[np.argsort(-pay[known] / minutes[known], kind="mergesort")]:
        share = min(max(available - worked, 0.0), minutes[place])
        earned += pay[place] * share / minutes[place]
        worked += share
    return earned, worked


def _order(promise: _Promise) -> tuple[float, int, float, str]:
    # Of equal promises, the one that asks for less.
    opening = promise.opening
    return -promise.earned, -opening.count, opening.change.number, opening.change.attribute


def _best_of_topics(promises: list[_Promise]) -> list[_Promise]:
    best: dict[tuple[str, Value | None], _Promise] = {}
    for promise in sorted(promises, key=_order):
        best.setdefault(promise.opening.change.topic, promise)
    return list(best.values())


def _expected(
    state: MarketState, ranker: Ranker, query: Query, session: float, promises: list[_Promise]
) -> Iterator[_Promise]:
    """Yield the promises by what the models expect of the tasks of each."""
    if not promises:
        return
    tasks, places = np.unique(np.concatenate([promise.tasks for promise in promises]), return_inverse=True)
    worker = state.catalogue.workers.get(query.worker_id)
    outcomes = ranker.outcomes(rows(state, worker, tasks, query.now, query.session_minutes))
    pay = state.arrays.tasks["facts"]["reward"][tasks] * outcomes.p_approve
    if not np.isnan(query.wishes.min_hourly):
        pay = np.where(60.0 * pay / outcomes.minutes >= query.wishes.min_hourly, pay, np.nan)
    ends = np.cumsum([len(promise.tasks) for promise in promises])[:-1]
    for promise, own in zip(promises, np.split(places, ends), strict=True):
        earned, minutes = _session(pay[own], outcomes.minutes[own], session)
        yield _Promise(promise.opening, promise.tasks, earned, minutes)


def _told(state: MarketState, promise: _Promise, person: Person, locale: str) -> NearMiss:
    change, count = promise.opening.change, promise.opening.count
    hourly = _in_usual_currency(state, promise)
    text = describe(
        change.attribute,
        change.comparator,
        change.value,
        held=(person.profile.qualifications or {}).get(change.attribute.partition(":")[2]),
        approvals=promise.opening.approvals,
        tasks=count,
        hourly=hourly,
        locale=locale,
    )
    return NearMiss(change.attribute, change.comparator, change.value, count, hourly, text)


def _in_usual_currency(state: MarketState, promise: _Promise) -> Money | None:
    """Return pay per hour in the currency in which most of the best-paid tasks pay."""
    if not promise.earned > 0.0:
        return None
    worth = state.arrays.tasks["facts"]["reward"][promise.tasks].tolist()
    by_currency: dict[str, list[tuple[Money, float]]] = {}
    for task, in_base in zip(promise.tasks.tolist(), worth, strict=True):
        reward = state.catalogue.postings[task].reward
        if reward is not None and in_base > 0.0:
            by_currency.setdefault(reward.currency, []).append((reward, in_base))
    currency, paid = max(by_currency.items(), key=lambda item: len(item[1]))
    reward, in_base = paid[-1]
    hourly = 60.0 * promise.earned / promise.minutes * (float(reward.amount) / in_base)
    return Money(amount=Decimal(f"{hourly:.2f}"), currency=currency) if hourly <= float(MAX_AMOUNT) else None
