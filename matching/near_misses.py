"""Near misses: the one thing that a worker could change to be let into the best-paid of the tasks that are closed now.

A change is a qualification, a skill, a language, a device, or further approvals; `matching.openings` finds what each
would open. Here they are valued and told.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.build import rows
from features.changes import Change
from features.jit import kernel, lean, prefetch
from features.money import MAX_AMOUNT, Money
from features.requirements_shape import Value
from features.state import MarketState
from matching.judgement import Judgement
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

USUAL_SESSION = 60.0
"""Minutes of a session where the worker says nothing."""

_ASKED = 5
"""Tasks whose currency is looked at, as each posting has to be read for it."""

_AHEAD = 8
"""Offers whose records are asked for before they are looked at."""

_MIDDLE_OF = 256
"""Offers of which the middle time is taken."""


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
    outcomes = ranker.answers(features).outcomes()
    return valued(state, query, judgement, sought, outcomes.p_approve, outcomes.minutes)


def seek(state: MarketState, query: Query, judgement: Judgement) -> Sought:
    """Return what to value for `near_misses`, of the same arguments."""
    record, options = state.arrays.workers[state.catalogue.workers.get(query.worker_id)], judgement.compiled.options
    found = openings(judgement, record, in_hand=query.wishes.device is not None)
    session = _session_minutes(query, float(record["session_minutes"]))
    own = judgement.own_of_all.bits
    arrays = state.arrays
    best = _best_paid(
        arrays.chains,
        arrays.open_links,
        arrays.open_tasks,
        found.changes,
        found.approvals,
        found.counts,
        found.offers,
        found.by,
        options.changes,
        own,
        session,
    )
    return Sought(found, *best, session)


def valued(
    state: MarketState,
    query: Query,
    judgement: Judgement,
    sought: Sought,
    p_approve: NDArray[np.float64],
    minutes: NDArray[np.float64],
) -> list[NearMiss]:
    """Return the near misses among what was sought, given what is expected of its tasks (float64, tasks each)."""
    if not len(sought.chosen):
        return []
    found, minimum, rewards = sought.found, query.wishes.min_hourly, sought.rewards.tolist()
    earned, worked = _sessions(sought.rewards, p_approve, minutes, sought.ends, sought.session, minimum)
    tasks, ends, distinct = sought.tasks.tolist(), sought.ends.tolist(), judgement.compiled.changes.distinct
    changes, approvals, counts = (of_each[sought.chosen].tolist() for of_each in found[:3])
    parts = zip(changes, approvals, counts, [0, *ends], ends, earned.tolist(), worked.tolist(), strict=False)
    promises = [
        _Promise(distinct[change], needed, opens, tasks[start:end], rewards[start:end], *session_with)
        for change, needed, opens, start, end, *session_with in parts
    ]
    if not np.isnan(minimum):
        promises = [promise for promise in promises if promise.minutes > 0.0]
    profile = state.catalogue.profiles.get(state.catalogue.workers.get(query.worker_id))
    held = (profile and profile.qualifications) or {}
    best = sorted(promises, key=lambda promise: promise.order)[:MOST]
    return [_told(state, promise, held, query.locale) for promise in best]


def _session_minutes(query: Query, usual: float) -> float:
    """Return the minutes there are: what is said now, else what the profile says, else a usual session."""
    if query.session_minutes > 0.0:
        return query.session_minutes
    return usual if usual > 0.0 else USUAL_SESSION


class _Market(NamedTuple):
    """What is looked at of `features.layout.Arrays`."""

    chains: NDArray[np.void]
    open_links: NDArray[np.void]
    open_tasks: NDArray[np.int32]


class _Best(NamedTuple):
    """The best-paid tasks by change, as many as fill ``SPARE`` sessions, the best first.

    Attributes:
        sizes: int64, changes; how many there are.
        places: int32, changes x ``TASKS_SCORED``; in the open-task index.
        pay: float64, changes x ``TASKS_SCORED``.
        minutes: float64, changes x ``TASKS_SCORED``.
        filled: float64, changes; minutes of all of them.
        least: float64, changes; what a task must pay per minute to be among them.
    """

    sizes: NDArray[np.int64]
    places: NDArray[np.int32]
    pay: NDArray[np.float64]
    minutes: NDArray[np.float64]
    filled: NDArray[np.float64]
    least: NDArray[np.float64]


@kernel
def _best_paid(
    chains: NDArray[np.void],
    open_links: NDArray[np.void],
    open_tasks: NDArray[np.int32],
    opened_by: NDArray[np.int32],
    approvals: NDArray[np.int64],
    counts: NDArray[np.int64],
    offers: NDArray[np.int32],
    by: NDArray[np.uint8],
    changes: NDArray[np.void],
    own: NDArray[np.uint16],
    session: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Find what promises most by what requesters say of pay and time; the middle of these where they do not say a time.

    Tasks are looked at offer by offer, where one of the offer may pay as much as what has been found. `_Market` and
    `Openings` come one by one: Numba takes several times as long to tell the type of a tuple of arrays.

    Args:
        chains: records of ``CHAIN``, offers; of `_Market`.
        open_links: records of ``LINK``, open tasks; of `_Market`.
        open_tasks: int32, open tasks; of `_Market`.
        opened_by: int32, at most `matching.openings.CONSIDERED`; ``changes`` of `Openings`.
        approvals: int64, as many; of `Openings`.
        counts: int64, as many; of `Openings`.
        offers: int32, those that a change opens; of `Openings`.
        by: uint8, these offers; of `Openings`.
        changes: records of ``CHANGE``, all changes.
        own: uint16, by place in the open-task index; what stands against tasks by themselves.
        session: minutes.

    Returns:
        Places in ``found`` (int64), the best first and of those of one topic the best alone; where the tasks of each
        end (int64) among the best-paid tasks (int32); and the rewards of these (float64).
    """
    s, found = _Market(chains, open_links, open_tasks), Openings(opened_by, approvals, counts, offers, by)
    size = found.counts.size
    best = _Best(
        np.zeros(size, np.int64),
        np.empty((size, TASKS_SCORED), np.int32),
        np.empty((size, TASKS_SCORED)),
        np.empty((size, TASKS_SCORED)),
        np.zeros(size),
        np.zeros(size),
    )
    middle = _middle_time(s, found.offers, session)
    at_most, most = np.empty(found.offers.size), np.full(size, -1, np.int64)
    for n in range(found.offers.size):
        prefetch(s.chains, found.offers[min(n + _AHEAD, found.offers.size - 1)], 0)
        chain = s.chains[found.offers[n]]
        at_most[n] = max(chain.paying, chain.reward / middle)
        for k in range(size):
            if found.by[n] >> k & 1 and (most[k] < 0 or at_most[n] > at_most[most[k]]):
                most[k] = n
    # The most promising first, after which most others need not be looked at.
    for place in most:
        if place >= 0 and at_most[place] >= 0.0:
            _look_through(s, s.chains[found.offers[place]].first, found.by[place], own, middle, SPARE * session, best)
            at_most[place] = -1.0
    for n in range(found.offers.size):
        wanted = False
        for k in range(size):
            wanted |= (found.by[n] >> k & 1 != 0) & (at_most[n] >= best.least[k])
        if wanted:
            _look_through(s, s.chains[found.offers[n]].first, found.by[n], own, middle, SPARE * session, best)
    earned = np.zeros(size)
    for k in range(size):
        earned[k], _ = _session(best.pay[k, : best.sizes[k]], best.minutes[k, : best.sizes[k]], session)
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
        total += int(best.sizes[first])
        chosen[n], ends[n] = first, total
        topic = changes[found.changes[first]].topic
        for k in range(size):
            left[k] = left[k] and changes[found.changes[k]].topic != topic
    tasks, paid, end = np.empty(total, np.int32), np.empty(total), 0
    for change in chosen:
        for n in range(int(best.sizes[change])):
            tasks[end], paid[end] = s.open_tasks[best.places[change, n]], best.pay[change, n]
            end += 1
    return chosen, ends, tasks, paid


@kernel
def _middle_time(s: _Market, offers: NDArray[np.int32], session: float) -> float:
    """Return the middle of the minutes that tasks of some offers state, one of each; a session if none does."""
    stated, size = np.empty(_MIDDLE_OF), 0
    for k in range(0, offers.size, max(1, -(-offers.size // _MIDDLE_OF))):
        minutes = np.float64(s.chains[offers[k]].minutes)
        if minutes > 0.0:
            stated[size] = minutes
            size += 1
    return np.median(stated[:size]) if size > 0 else session


@lean
def _look_through(
    s: _Market, first: int, by: int, own: NDArray[np.uint16], middle: float, wanted: float, best: _Best
) -> None:
    """Put what belongs there among the best-paid of some changes: of a chain that begins at a place, 1 more given."""
    place = first - 1
    while place >= 0:
        stated, pay = np.float64(s.open_links[place].minutes), s.open_links[place].reward
        minutes = middle if math.isnan(stated) else float(stated)
        if own[place] == 0 and pay > 0.0 and minutes > 0.0:
            for k in range(best.sizes.size):
                if by >> k & 1:
                    _enter(best, k, place, pay, minutes, wanted)
        place = s.open_links[place].next - 1


@lean
def _enter(best: _Best, k: int, place: int, pay: float, minutes: float, wanted: float) -> None:
    """Put a task among the best-paid of a change, if it is; those that are not needed for so many minutes leave."""
    hourly, size = pay / minutes, int(best.sizes[k])
    n = size
    # Of tasks that pay the same, the one that stands first in the index comes first.
    while n > 0 and _pays_more(hourly, place, best, k, n - 1):
        n -= 1
    if n == size and (size == TASKS_SCORED or best.filled[k] >= wanted):
        return
    if size == TASKS_SCORED:
        size -= 1
        best.filled[k] -= best.minutes[k, size]
    for m in range(size, n, -1):
        best.places[k, m], best.pay[k, m], best.minutes[k, m] = (
            best.places[k, m - 1],
            best.pay[k, m - 1],
            best.minutes[k, m - 1],
        )
    best.places[k, n], best.pay[k, n], best.minutes[k, n] = place, pay, minutes
    best.filled[k] += minutes
    size += 1
    while best.filled[k] - best.minutes[k, size - 1] >= wanted:
        size -= 1
        best.filled[k] -= best.minutes[k, size]
    best.sizes[k] = size
    if size == TASKS_SCORED or best.filled[k] >= wanted:
        best.least[k] = best.pay[k, size - 1] / best.minutes[k, size - 1]


@lean
def _pays_more(hourly: float, place: int, best: _Best, k: int, n: int) -> bool:
    other = best.pay[k, n] / best.minutes[k, n]
    return bool(hourly > other or (hourly == other and place < best.places[k, n]))


@lean
def _session(pay: NDArray[np.float64], minutes: NDArray[np.float64], available: float) -> tuple[float, float]:
    """Return what a session earns and how long it lasts with tasks in their order, the last in part."""
    earned, worked = 0.0, 0.0
    for k in range(pay.size):
        share = min(max(available - worked, 0.0), minutes[k])
        earned += pay[k] * share / minutes[k]
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
            # A task without a reward earns nothing.
            paid[count] = i
            count += pay[i] > 0.0 and minutes[i] > 0.0 and not 60.0 * pay[i] / minutes[i] < minimum
        hourly = pay[paid[:count]] / minutes[paid[:count]]
        order = paid[:count][np.argsort(-hourly, kind="mergesort")]
        earned[part], worked[part] = _session(pay[order], minutes[order], session)
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
