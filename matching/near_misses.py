"""Near misses: the one thing that a worker could change to be let into the best-paid of the tasks that are closed now.

A change is a qualification, a skill, a language, a device, or further approvals. It is judged by making it: the worker
is taken as if the fact were so, and the signatures that stand in the way are evaluated again, so that a task counts
exactly if the change alone would open it.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from features.build import rows
from features.events import WorkerUpdated, instant
from features.jit import kernel
from features.layout import Record
from features.money import MAX_AMOUNT, Money
from features.requirements import (
    ALL_OF,
    LEVELS,
    Compiler,
    Facts,
    Program,
    Sheet,
    Value,
    attribute_of,
    compared,
    evaluate,
)
from features.requirements_shape import Clause
from features.state import MarketState
from matching.eligibility import BIT, Judgement
from matching.near_miss_texts import describe
from matching.query import Query
from matching.scoring import Ranker

MOST = 3
"""Near misses in an answer at the most."""

CONSIDERED = 8
"""Changes that are tried: those that most tasks wait for."""

SCORED = 4
"""Changes whose tasks the models score: those that promise most by what requesters say of pay and time."""

TASKS_SCORED = 25
"""Tasks scored for a change: the best-paid ones, more than a session holds."""

SAMPLED = 2_048
"""Tasks whose pay is looked at: of each signature that stands in the way an equal number, evenly over its tasks. How
many tasks a change opens is counted over all of them, by signature."""

USUAL_SESSION = 60.0
"""Minutes of a session where the worker says nothing."""

MOST_APPROVALS = 10_000
"""Approvals that anyone could be asked for."""

_APPROVALS = ("approval_rate", "approved_count")
_SEVERAL = ("language", "device")
_LANGUAGE, _COUNTRY, _DEVICE = (int(BIT[name]) for name in ("language", "country", "device"))
_REQUIREMENT = int(BIT["requirement"])
_SETS = 2
"""Sets of a signature that a worker may come to be in: languages and devices."""

_CHANGEABLE = np.uint32(_LANGUAGE | _DEVICE | _REQUIREMENT)


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
class _Change:
    """A fact that is not so yet. ``approvals`` are how many more are needed, 0 for another kind of change."""

    attribute: str
    comparator: str
    value: Value | None
    approvals: int = 0

    @property
    def topic(self) -> tuple[str, Value | None]:
        """What it is about: of the changes of one topic the best is told."""
        if self.approvals:
            return "approvals", None
        return attribute_of(self.attribute), self.value if self.attribute in _SEVERAL else None


@dataclass(frozen=True)
class _Promise:
    """What a change opens: a sample of the tasks, their number, and what a session with the best of them earns."""

    change: _Change
    tasks: NDArray[np.int32]
    count: int
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
    against = np.zeros(len(judgement.compiled), np.uint32)
    waiting = np.zeros(len(judgement.compiled), np.int64)
    _count_near(judgement.bits, judgement.signatures, against, waiting)
    places = _sample(judgement.bits, judgement.signatures, waiting)
    if not len(places):
        return []
    tasks, signatures = judgement.tasks[places], judgement.signatures[places]
    worker = _Worker.of(state, query)
    compiled = judgement.compiled
    known = worker.facts(compiled)
    ways = _ways(compiled.program, judgement.sheet, np.flatnonzero(waiting), against)
    hoped: Counter[_Change] = Counter()
    for clause, count in _totals(ways[:, 1], waiting[ways[:, 0]]):
        for change in _changes(compiled.clauses[clause], worker.record):
            hoped[change] += count
    promises, pay = [], _Pay.of(state, tasks, worker.session)
    attributes = compiled.program.clauses["attribute"][ways[:, 1]]
    for change, _ in hoped.most_common(CONSIDERED):
        concerned = np.zeros(len(ways), np.bool_)
        for name in _APPROVALS if change.approvals else (attribute_of(change.attribute),):
            concerned |= attributes == compiled.attributes.get(name)
        facts = worker.with_change(compiled, known, change)
        opened = np.zeros(len(against), np.bool_)
        signatures_concerned = np.unique(ways[concerned, 0])
        opened[signatures_concerned] = _opened(compiled, facts, signatures_concerned, worker.asked)
        if (found := np.flatnonzero(opened[signatures])).size:
            promises.append(_stated(pay, change, found, int(waiting[opened].sum()), worker.session))
    best = sorted(_best_of_topics(promises), key=_order)[:SCORED]
    scored = sorted(_expected(state, ranker, query, worker.session, best), key=_order)
    if not np.isnan(query.wishes.min_hourly):
        scored = [promise for promise in scored if promise.minutes > 0.0]
    return [_told(state, promise, worker, query.locale) for promise in scored[:MOST]]


@kernel
def _count_near(
    bits: NDArray[np.uint32], signatures: NDArray[np.int32], against: NDArray[np.uint32], waiting: NDArray[np.int64]
) -> None:
    """Count by signature the tasks that nothing but what is changeable stands against, and write down what does."""
    for i in range(bits.size):
        if bits[i] != 0 and bits[i] & ~_CHANGEABLE == 0:
            against[signatures[i]] = bits[i]
            waiting[signatures[i]] += 1


@kernel
def _sample(bits: NDArray[np.uint32], signatures: NDArray[np.int32], waiting: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return places of near tasks (int64, rising), of each signature evenly; all of them up to ``SAMPLED``."""
    total, kinds = 0, 0
    for count in waiting:
        total += count
        kinds += count > 0
    each = total if total <= SAMPLED else max(1, SAMPLED // max(1, kinds))
    size = 0
    for count in waiting:
        size += min(count, each)
    seen, places, found = np.zeros(waiting.size, np.int64), np.empty(size, np.int64), 0
    for i in range(bits.size):
        if bits[i] != 0 and bits[i] & ~_CHANGEABLE == 0:
            signature = signatures[i]
            step = -(-waiting[signature] // each)
            if seen[signature] % step == 0:
                places[found] = i
                found += 1
            seen[signature] += 1
    return places[:found]


def _totals(clauses: NDArray[np.int64], counts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    found, places = np.unique(clauses, return_inverse=True)
    yield from zip(found.tolist(), np.bincount(places, counts, len(found)).astype(int).tolist(), strict=True)


@dataclass(frozen=True)
class _Worker:
    """Who asks: what is known, what is looked at (bits of ``CODES``), and the minutes there are."""

    profile: WorkerUpdated
    record: Record
    now: int
    devices: tuple[str, ...] | None
    asked: int
    session: float

    @classmethod
    def of(cls, state: MarketState, query: Query) -> "_Worker":
        index = state.catalogue.workers.get(query.worker_id)
        profile, record = state.catalogue.profiles.get(index), state.arrays.workers[index]
        device = query.wishes.device
        asked = _LANGUAGE | _COUNTRY | _DEVICE if profile else _DEVICE if device else 0
        stated = (query.session_minutes, float(record["session_minutes"]))
        return cls(
            profile or WorkerUpdated(event_id="-", at=instant(query.now), worker_id=query.worker_id),
            record,
            query.now,
            (device,) if device else None,
            asked,
            next((minutes for minutes in stated if minutes > 0.0), USUAL_SESSION),
        )

    def facts(self, compiled: Compiler) -> Facts:
        """Return what is known of the worker."""
        return compiled.facts(self.profile, self.record, self.now, self.devices)

    def with_change(self, compiled: Compiler, known: Facts, change: _Change) -> Facts:
        """Return what would be known of the worker; only what the change is about is found anew."""
        record, devices, value = self.record, None, str(change.value)
        kind, _, name = change.attribute.partition(":")
        changed = WorkerUpdated(event_id="-", at=self.profile.at, worker_id=self.profile.worker_id)
        if change.approvals:
            record = record.copy()
            record["approved"] += change.approvals
        elif kind == "qualification":
            changed = replace(changed, qualifications={name: _held(change)})
        elif kind == "skill":
            changed = replace(changed, skills={name: _level(change)})
        elif kind == "language":
            changed = replace(changed, languages=(*(self.profile.languages or ()), value))
        else:
            devices = (*(self.profile.devices or ()), value) if self.devices is None else (value,)
        return compiled.facts(changed, record, self.now, devices, known)


def _held(change: _Change) -> int | str | None:
    """Return the least value of a qualification that fulfils a change."""
    value = change.value
    if isinstance(value, str) or value is None:
        return value
    return math.floor(value) + 1 if change.comparator == "gt" else math.ceil(value)


def _level(change: _Change) -> float:
    """Return a level of a skill that fulfils a change; in full where none is named, or more than a level."""
    return max(0.0, _number(change.value)) if change.comparator in ("ge", "eq") else 1.0


def _changes(clause: Clause, record: Record) -> Iterator[_Change]:
    """Yield the changes by which a worker would fulfil a clause; nothing for what nobody can bring about."""
    attribute, comparator = clause.attribute, clause.comparator
    kind = attribute.partition(":")[0]
    if attribute in _APPROVALS:
        if comparator in ("ge", "gt") and (more := _approvals(clause, record)):
            yield _Change(attribute, comparator, clause.value, more)
    elif kind in ("qualification", "skill", *_SEVERAL):
        changes = [_Change(attribute, comparator, clause.value)]
        if comparator in ("eq", "in"):
            values = clause.values or (clause.value,)
            changes = [_Change(attribute, "eq", compared(attribute, value)) for value in values if value is not None]
        for change in changes:
            if _feasible(kind, change):
                yield change


def _feasible(kind: str, change: _Change) -> bool:
    """Tell whether there is a value that fulfils a change."""
    value = change.value
    match change.comparator:
        case "exists":
            return kind not in _SEVERAL
        case "eq" if kind == "qualification":
            return value == _held(change)
        case "eq":
            return kind != "skill" or 0.0 <= _number(value) <= 1.0
        case "ge" | "gt":
            return kind != "skill" or _number(value) < 1.0 or (change.comparator == "ge" and value == 1)
    return False


def _number(value: Value | None) -> float:
    return math.inf if value is None or isinstance(value, str) else float(value)


def _approvals(clause: Clause, record: Record) -> int:
    """Return how many approvals in a row fulfil a clause about approvals, 0 if no number anyone could reach does."""
    approved, rejected, wanted = float(record["approved"]), float(record["rejected"]), _number(clause.value)
    if clause.attribute == "approved_count":
        more = wanted - approved
    elif wanted >= 100.0:
        more = math.inf if rejected > 0.0 or wanted > 100.0 or clause.comparator == "gt" else 1.0
    else:
        # 100 (a + k) / (a + k + r) = w, solved for k.
        more = wanted * rejected / (100.0 - wanted) - approved
    if not more < MOST_APPROVALS:
        return 0
    whole = max(1, math.floor(more) + 1 if clause.comparator == "gt" else math.ceil(more - 1e-9))
    rate = clause.attribute == "approval_rate"
    while True:
        reached = 100.0 * (approved + whole) / (approved + whole + rejected) if rate else approved + whole
        if reached > wanted or (reached == wanted and clause.comparator == "ge"):
            return whole
        whole += 1


@kernel
def _ways(
    program: Program, sheet: Sheet, signatures: NDArray[np.int64], against: NDArray[np.uint32]
) -> NDArray[np.int64]:
    """Return pairs of a signature and a failing clause of it (int64, pairs x 2) whose attribute alone it fails for.

    All failing clauses of such an attribute are given: one change may have to fulfil several.
    """
    clauses, nodes = program.clauses, program.nodes
    size = 0
    for signature in signatures:
        size += program.signatures[signature].stop - program.signatures[signature].start + _SETS
    found, count = np.empty((size, 2), np.int64), 0
    owed, answers = np.zeros(sheet.nodes.size, np.bool_), np.zeros(sheet.nodes.size, np.bool_)
    for signature in signatures:
        record, bits = program.signatures[signature], against[signature]
        start, stop = record.start, record.stop if bits & _REQUIREMENT else record.start
        failing, sets = np.empty(stop - start + _SETS, np.int64), 0
        for bit, place in ((_LANGUAGE, record.language), (_DEVICE, record.device)):
            if bits & bit:
                failing[sets] = place
                sets += 1
        n = sets
        for k in range(start, stop):
            owed[k] = sheet.nodes[k] == 0 and (nodes[k].parent < 0 or owed[nodes[k].parent])
            if owed[k] and nodes[k].clause >= 0:
                failing[n] = nodes[k].clause
                n += 1
        for i in range(n):
            attribute = clauses[failing[i]].attribute
            alone = True
            for j in range(sets):
                alone = alone and clauses[failing[j]].attribute == attribute
            # As if every failing clause of the attribute held.
            for k in range(start, stop):
                answers[k] = nodes[k].kind == ALL_OF
            for k in range(stop - 1, start - 1, -1):
                node = nodes[k]
                if node.clause >= 0:
                    answers[k] = sheet.nodes[k] != 0 or (owed[k] and clauses[node.clause].attribute == attribute)
                if node.parent >= 0 and nodes[node.parent].kind == ALL_OF:
                    answers[node.parent] = answers[node.parent] and answers[k]
                elif node.parent >= 0:
                    answers[node.parent] = answers[node.parent] or answers[k]
            if alone and (start == stop or answers[start]):
                found[count, 0], found[count, 1] = signature, failing[i]
                count += 1
    return found[:count]


def _opened(compiled: Compiler, facts: Facts, signatures: NDArray[np.int64], asked: int) -> NDArray[np.bool_]:
    """Tell of each signature whether it would let a worker with these facts in."""
    program, sheet = compiled.program, compiled.sheet()
    evaluate(program, facts, sheet, signatures.astype(np.int32), LEVELS.index("accept"))
    opened: NDArray[np.bool_] = sheet.signatures[signatures] == 1
    for name, bit in (("language", _LANGUAGE), ("country", _COUNTRY), ("device", _DEVICE)):
        if asked & bit:
            places = program.signatures[name][signatures]
            opened &= (places < 0) | (sheet.clauses[places] == 1)
    return opened


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


def _stated(pay: _Pay, change: _Change, places: NDArray[np.intp], count: int, session: float) -> _Promise:
    """Return a promise by what requesters say, with the tasks that look best-paid in front."""
    first = min(TASKS_SCORED, len(places))
    order = places[np.argpartition(-pay.hourly[places], first - 1)]
    best = order[:first]
    return _Promise(change, pay.tasks[order], count, *_session(pay.rewards[best], pay.minutes[best], session))


def _session(pay: NDArray[np.float64], minutes: NDArray[np.float64], available: float) -> tuple[float, float]:
    """Return what a session earns and how long it lasts: the best-paid per minute first, the last in part."""
    known = (pay > 0.0) & (minutes > 0.0)
    pay, minutes = pay[known], minutes[known]
    order = np.argsort(-pay / minutes, kind="stable")
    pay, minutes = pay[order], minutes[order]
    begun = np.cumsum(minutes) - minutes
    worked = np.clip(available - begun, 0.0, minutes)
    return float((pay * worked / minutes).sum()), float(worked.sum())


def _order(promise: _Promise) -> tuple[float, int, float, str]:
    # Of equal promises, the one that asks for less.
    return -promise.earned, -promise.count, _number(promise.change.value), promise.change.attribute


def _best_of_topics(promises: list[_Promise]) -> list[_Promise]:
    best: dict[tuple[str, Value | None], _Promise] = {}
    for promise in sorted(promises, key=_order):
        best.setdefault(promise.change.topic, promise)
    return list(best.values())


def _expected(
    state: MarketState, ranker: Ranker, query: Query, session: float, promises: list[_Promise]
) -> Iterator[_Promise]:
    """Yield the promises by what the models expect of the tasks in front of each."""
    parts = [promise.tasks[:TASKS_SCORED] for promise in promises]
    if not parts:
        return
    tasks, places = np.unique(np.concatenate(parts), return_inverse=True)
    worker = state.catalogue.workers.get(query.worker_id)
    outcomes = ranker.answers(rows(state, worker, tasks, query.now, query.session_minutes)).outcomes()
    pay = state.arrays.tasks["facts"]["reward"][tasks] * outcomes.p_approve
    if not np.isnan(query.wishes.min_hourly):
        pay = np.where(60.0 * pay / outcomes.minutes >= query.wishes.min_hourly, pay, np.nan)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    for promise, own in zip(promises, np.split(places, ends), strict=True):
        earned, minutes = _session(pay[own], outcomes.minutes[own], session)
        yield _Promise(promise.change, promise.tasks, promise.count, earned, minutes)


def _told(state: MarketState, promise: _Promise, worker: _Worker, locale: str) -> NearMiss:
    change = promise.change
    hourly = _in_usual_currency(state, promise)
    text = describe(
        change.attribute,
        change.comparator,
        change.value,
        held=(worker.profile.qualifications or {}).get(change.attribute.partition(":")[2]),
        approvals=change.approvals,
        tasks=promise.count,
        hourly=hourly,
        locale=locale,
    )
    return NearMiss(change.attribute, change.comparator, change.value, promise.count, hourly, text)


def _in_usual_currency(state: MarketState, promise: _Promise) -> Money | None:
    """Return pay per hour in the currency in which most of the best-paid tasks pay."""
    if not promise.earned > 0.0:
        return None
    facts = state.arrays.tasks["facts"]
    by_currency: Counter[str] = Counter()
    rate: dict[str, float] = {}
    for task in promise.tasks[:TASKS_SCORED].tolist():
        reward = state.catalogue.postings[task].reward
        if reward is not None and facts["reward"][task] > 0.0:
            by_currency[reward.currency] += 1
            rate[reward.currency] = float(reward.amount) / float(facts["reward"][task])
    currency = by_currency.most_common(1)[0][0]
    hourly = 60.0 * promise.earned / promise.minutes * rate[currency]
    return Money(amount=Decimal(f"{hourly:.2f}"), currency=currency) if hourly <= float(MAX_AMOUNT) else None
