"""Near misses: the one thing that a worker could change to be let into the best-paid of the tasks that are closed now.

A change is a qualification, a skill, a language, a device, or further approvals; `matching.openings` finds what each
would open. Here they are valued and told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.build import rows
from features.changes import Change
from features.jit import kernel, lean
from features.money import MAX_AMOUNT, Money
from features.requirements_shape import Value
from features.state import MarketState
from matching.judgement import FEW, Judgement, Own
from matching.near_miss_texts import describe
from matching.openings import Openings, openings
from matching.query import Query
from matching.scoring import Ranker

MOST = 3
"""Near misses in an answer at the most."""

SCORED = 4
"""Changes whose tasks the models score: those that promise most by what requesters say of pay and time."""

TASKS_SCORED = 25
"""Tasks scored for a change at the most: the best-paid ones."""

SPARE = 1.5
"""Sessions that the tasks scored for a change fill, by what requesters say: room to choose from for one."""

LOOKED_AT = 1 << 17
"""Open tasks among which the best-paid are looked for: where there are more, an even sample."""

USUAL_SESSION = 60.0
"""Minutes of a session where the worker says nothing."""

_RUN = 16
"""Neighbours among the open tasks that are looked at together: as many as a line of the cache holds."""

_LOWEST = np.array([(by & -by).bit_length() - 1 for by in range(256)], np.int8)
"""Place of the lowest bit of a byte; -1 for 0."""

_ASKED = 5
"""Tasks whose currency is looked at, as each posting has to be read for it."""

_MIDDLE_OF = 256
"""Tasks of which the middle time is taken."""


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


class Sought(NamedTuple):
    """The changes that promise most by what requesters say of pay and time, and the best-paid tasks of each.

    Attributes:
        found: what changes open.
        chosen: int64, places in ``found``.
        ends: int64; where the tasks of each end.
        tasks: int32, dense indices.
        rewards: float64, tasks; in the base currency.
        session: minutes.
    """

    found: Openings
    chosen: NDArray[np.int64]
    ends: NDArray[np.int64]
    tasks: NDArray[np.int32]
    rewards: NDArray[np.float64]
    session: float


class _Promise(NamedTuple):
    """A change, what it opens, the best-paid tasks of it alone with their rewards, and what a session with them earns.

    Rewards are in the base currency, and so is what is earned.
    """

    change: Change
    approvals: int
    opens: int
    tasks: list[int]
    rewards: list[float]
    earned: float
    minutes: float

    @property
    def order(self) -> tuple[float, int, float, str]:
        """The best first; of equal promises, the one that asks for less."""
        return -self.earned, -self.opens, self.change.number, self.change.attribute


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
    sought = seek(state, query, judgement)
    worker = state.catalogue.workers.get(query.worker_id)
    features = rows(state, worker, sought.tasks, query.now, query.session_minutes)
    return valued(state, ranker, query, judgement, sought, features)


def seek(state: MarketState, query: Query, judgement: Judgement) -> Sought:
    """Return what to value for `near_misses`, of the same arguments."""
    record, options = state.arrays.workers[state.catalogue.workers.get(query.worker_id)], judgement.compiled.options
    found = openings(judgement, record, in_hand=query.wishes.device is not None)
    session = _session_minutes(query, float(record["session_minutes"]))
    tasks, places = judgement.tasks, judgement.places
    opened = judgement.followed(found.opened, LOOKED_AT // FEW)
    if opened is None:
        opened = _opened(found, judgement.own, places, max(1, -(-len(tasks) // LOOKED_AT)))
    columns = tasks, places, judgement.rewards, judgement.minutes
    return Sought(found, *_best_paid(found, options.changes, opened, *columns, session), session)


def valued(
    state: MarketState,
    ranker: Ranker,
    query: Query,
    judgement: Judgement,
    sought: Sought,
    features: NDArray[np.float32],
) -> list[NearMiss]:
    """Return the near misses among what was sought; ``features`` are the rows of its tasks for the worker."""
    if not len(sought.chosen):
        return []
    found, minimum, rewards = sought.found, query.wishes.min_hourly, sought.rewards.tolist()
    outcomes = ranker.approvals_and_minutes(features)
    earned, minutes = _sessions(sought.rewards, *outcomes, sought.ends, sought.session, minimum)
    tasks, ends, distinct = sought.tasks.tolist(), sought.ends.tolist(), judgement.compiled.changes.distinct
    parts = zip(sought.chosen.tolist(), [0, *ends], ends, earned.tolist(), minutes.tolist(), strict=False)
    promises = [
        _Promise(
            distinct[found.changes[place]],
            int(found.approvals[place]),
            int(found.counts[place]),
            tasks[start:end],
            rewards[start:end],
            *session_with,
        )
        for place, start, end, *session_with in parts
    ]
    if not np.isnan(minimum):
        promises = [promise for promise in promises if promise.minutes > 0.0]
    profile = state.catalogue.profiles.get(state.catalogue.workers.get(query.worker_id))
    held = (profile and profile.qualifications) or {}
    best = sorted(promises, key=lambda promise: promise.order)[:MOST]
    return [_told(state, promise, held, query.locale) for promise in best]


def _session_minutes(query: Query, usual: float) -> float:
    """Return the minutes there are: what is said now, else what the profile says, else a usual session."""
    return next((minutes for minutes in (query.session_minutes, usual) if minutes > 0.0), USUAL_SESSION)


@kernel
def _best_paid(
    found: Openings,
    changes: NDArray[np.void],
    opened: NDArray[np.int32],
    tasks: NDArray[np.int32],
    places: NDArray[np.int32],
    rewards: NDArray[np.float64],
    stated: NDArray[np.float32],
    session: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Find what promises most by what requesters say of pay and time; the middle of these where they do not say a time.

    Args:
        found: what changes open.
        changes: records of ``CHANGE``.
        opened: int32; which of the tasks are looked at, those that a change opens.
        tasks: int32, those that were judged.
        places: int32, tasks; where each is among the offers.
        rewards: float64, tasks.
        stated: float32, tasks; minutes.
        session: minutes.

    Returns:
        Places in ``found`` (int64), the best first and of those of one topic the best alone; where the tasks of each
        end (int64) among the best-paid tasks (int32); and the rewards of these (float64).
    """
    size = found.counts.size
    opened_by = np.empty(opened.size, np.uint8)
    for n in range(opened.size):
        opened_by[n] = found.offers[places[opened[n]] // 2]
    minutes = np.empty(opened.size)
    known = 0
    for n in range(opened.size):
        minutes[n] = stated[opened[n]]
        known += not np.isnan(minutes[n])
    if known < opened.size:
        said = minutes[~np.isnan(minutes)]
        middle = np.median(said[:: -(-known // _MIDDLE_OF)]) if known > 0 else session
        minutes[np.isnan(minutes)] = middle
    pay = rewards[opened]
    best, sizes = _best(pay, minutes, opened_by, size)
    earned = np.zeros(size)
    for k in range(size):
        earned[k], _ = _session(pay, minutes, best[k, : sizes[k]], session)
        filled = 0.0
        for n in range(sizes[k]):
            filled += minutes[best[k, n]]
            if filled >= SPARE * session:
                sizes[k] = n + 1
                break
    chosen, ends = np.empty(SCORED, np.int64), np.empty(SCORED, np.int64)
    left, total = found.counts > 0, 0
    for n in range(SCORED):
        first = -1
        for k in range(size):
            if left[k] and (first < 0 or _before(found, changes, earned, k, first)):
                first = k
        if first < 0:
            chosen, ends = chosen[:n], ends[:n]
            break
        total += int(sizes[first])
        chosen[n], ends[n] = first, total
        topic = changes[found.changes[first]].topic
        for k in range(size):
            left[k] = left[k] and changes[found.changes[k]].topic != topic
    best_paid, paid, end = np.empty(total, np.int32), np.empty(total), 0
    for change in chosen:
        for place in best[change, : sizes[change]]:
            best_paid[end], paid[end] = tasks[opened[place]], pay[place]
            end += 1
    return chosen, ends, best_paid, paid


@kernel
def _opened(found: Openings, own: Own, places: NDArray[np.int32], step: int) -> NDArray[np.int32]:
    """Return where the tasks stand that changes open (int32), of one run in so many."""
    size, near, of_offers = places.size, np.int32(0), found.offers
    opened = np.empty(size, np.int32)
    for start in range(0, size, _RUN * step):
        for i in range(start, min(start + _RUN, size) if step > 1 else size):
            # Without a branch, since it cannot be foreseen which tasks a change opens.
            opened[np.uint32(near)] = i
            near = np.int32(near + np.int32(of_offers[np.uint32(places[i]) >> np.uint32(1)] != 0))
        if step == 1:
            break
    count = 0
    for i in opened[:near]:
        opened[count] = i
        # Full tasks stay closed.
        count += own.bits[i] == 0 and places[i] & 1 == 0
    return opened[:count]


@kernel
def _best(
    pay: NDArray[np.float64], minutes: NDArray[np.float64], opened_by: NDArray[np.uint8], size: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return by change the tasks that pay best per minute, the best first (int32), and how many there are (int64)."""
    best, sizes = np.empty((size, TASKS_SCORED), np.int32), np.zeros(size, np.int64)
    hourly, least = np.zeros(pay.size), np.zeros(size)
    for n in range(pay.size):
        if pay[n] > 0.0 and minutes[n] > 0.0:
            hourly[n] = pay[n] / minutes[n]
        by = opened_by[n]
        while by:
            k = _LOWEST[by]
            by &= by - np.uint8(1)
            if hourly[n] > least[k]:
                place = min(sizes[k], TASKS_SCORED - 1)
                while place > 0 and hourly[best[k, place - 1]] < hourly[n]:
                    best[k, place] = best[k, place - 1]
                    place -= 1
                best[k, place] = n
                sizes[k] = min(sizes[k] + 1, TASKS_SCORED)
                if sizes[k] == TASKS_SCORED:
                    least[k] = hourly[best[k, TASKS_SCORED - 1]]
    return best, sizes


@lean
def _session(
    pay: NDArray[np.float64], minutes: NDArray[np.float64], order: NDArray[np.int32], available: float
) -> tuple[float, float]:
    """Return what a session earns and how long it lasts with tasks in an order, the last in part."""
    earned, worked = 0.0, 0.0
    for k in range(order.size):
        place = order[k]
        share = min(max(available - worked, 0.0), minutes[place])
        earned += pay[place] * share / minutes[place]
        worked += share
    return earned, worked


@lean
def _before(found: Openings, changes: NDArray[np.void], earned: NDArray[np.float64], a: int, b: int) -> bool:
    """Tell whether a change promises more than another; of equal promises, whether it asks for less."""
    before = changes[found.changes[a]].asked < changes[found.changes[b]].asked
    if found.counts[a] != found.counts[b]:
        before = found.counts[a] > found.counts[b]
    if earned[a] != earned[b]:
        before = earned[a] > earned[b]
    return bool(before)


@kernel
def _sessions(
    rewards: NDArray[np.float64],
    p_approve: NDArray[np.float64],
    minutes: NDArray[np.float64],
    ends: NDArray[np.int64],
    session: float,
    minimum: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what a session earns with each part of some tasks, and how long it lasts: the best-paid first.

    Args:
        rewards: float64, tasks.
        p_approve: float64, tasks.
        minutes: float64, tasks.
        ends: int64, parts; where each ends.
        session: minutes.
        minimum: pay per hour that a task must promise; NaN for any.
    """
    earned, worked = np.zeros(ends.size), np.zeros(ends.size)
    pay = rewards * p_approve
    start = 0
    for part in range(ends.size):
        paid = np.empty(ends[part] - start, np.int32)
        count = 0
        for i in range(start, ends[part]):
            # A task that nothing is known of earns nothing.
            paid[count] = i
            count += pay[i] > 0.0 and minutes[i] > 0.0 and not 60.0 * pay[i] / minutes[i] < minimum
        hourly = pay[paid[:count]] / minutes[paid[:count]]
        order = paid[:count][np.argsort(-hourly, kind="mergesort")]
        earned[part], worked[part] = _session(pay, minutes, order, session)
        start = ends[part]
    return earned, worked


def _told(state: MarketState, promise: _Promise, qualifications: Mapping[str, Value | None], locale: str) -> NearMiss:
    change, hourly = promise.change, _in_usual_currency(state, promise)
    text = describe(
        change.attribute,
        change.comparator,
        change.value,
        held=qualifications.get(change.attribute.partition(":")[2]),
        approvals=promise.approvals,
        tasks=promise.opens,
        hourly=hourly,
        locale=locale,
    )
    return NearMiss(change.attribute, change.comparator, change.value, promise.opens, hourly, text)


def _in_usual_currency(state: MarketState, promise: _Promise) -> Money | None:
    """Return pay per hour in the currency in which most of the very best-paid tasks pay."""
    if not promise.earned > 0.0:
        return None
    by_currency: dict[str, list[tuple[Money, float]]] = {}
    for task, in_base in zip(promise.tasks[:_ASKED], promise.rewards[:_ASKED], strict=True):
        if (reward := state.catalogue.postings.reward(task)) is not None:
            paid = by_currency.setdefault(reward.currency, [])
            paid.append((reward, in_base))
            if 2 * len(paid) > _ASKED:
                break
    reward, in_base = max(by_currency.values(), key=len)[-1]
    hourly = 60.0 * promise.earned / promise.minutes * (float(reward.amount) / in_base)
    return reward.rounded(hourly) if hourly <= float(MAX_AMOUNT) else None
