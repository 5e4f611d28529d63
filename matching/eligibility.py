"""Who may take what. A filter drops nothing silently: it says of every task whether it is kept, or why not.

What stands against a task is mostly what stands against its offer, which it shares with others: signature, requester
and category each have a table of reasons, made for the worker who asks, an offer is judged by looking into them, and a
task by looking at its offer. What is its own, such as its reward, is looked at where somebody asks for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.events import WorkerUpdated
from features.jit import kernel, lean
from features.layout import NEVER, OFFER, WAS_HIDDEN, Arrays, Record, blank
from features.open_tasks import describe_offer, is_full
from features.pairs import find, pair_key
from features.requirements_evaluation import evaluate, evaluate_all
from features.requirements_layout import LEVELS, REQUIREMENT, Program, Sheet
from features.requirements_shape import Guard
from features.state import MarketState
from features.tokens import normalise
from features.worker_facts import facts_of
from matching.judgement import BIT, BLOCK, Judgement, Offers, Own, Tally

_UNKNOWN, _CLOSED, _EXPIRED = int(BIT["unknown_task"]), int(BIT["closed"]), int(BIT["expired"])
_FULL, _TAKEN, _HIDDEN = int(BIT["full"]), int(BIT["already_taken"]), int(BIT["hidden"])
_MIN_REWARD, _DEVICE = int(BIT["min_reward"]), int(BIT["device"])
_KEYWORD = int(BIT["blocked_keyword"])
_LANGUAGE, _COUNTRY = int(BIT["language"]), int(BIT["country"])
_REQUIREMENT = int(BIT[REQUIREMENT])


@dataclass(frozen=True)
class Wishes:
    """What a worker asks for this time, beyond the profile.

    Attributes:
        device: the device in hand; None for those of the profile.
        min_reward: least reward, in the base currency; NaN for that of the profile.
        min_hourly: least expected pay per hour, in the base currency; NaN for any. It is known of scored tasks alone.
        min_requester_rating: least mean rating of the requester, 1 to 5; NaN for any.
        categories: only these; empty for all.
        excluded: not these tasks, by external id.
    """

    device: str | None = None
    min_reward: float = float("nan")
    min_hourly: float = float("nan")
    min_requester_rating: float = float("nan")
    categories: frozenset[str] = frozenset()
    excluded: frozenset[str] = field(default_factory=frozenset)


def judge(
    state: MarketState,
    worker: int,
    tasks: NDArray[np.int32],
    now: int,
    wishes: Wishes | None = None,
    *,
    level: Guard = "accept",
) -> Judgement:
    """Say of each task whether it may be offered to a worker now, or why not.

    A worker whose profile was never given is not judged by the languages, countries and devices that a task names:
    nothing is known. In a profile that was given, what is absent does not match. Requirements say themselves what they
    make of what is absent, so they judge everybody.

    Args:
        state: the market; its clock is not after ``now``.
        worker: dense index, 0 for a worker never seen.
        tasks: int32, dense indices, 0 for a task never seen.
        now: microseconds since 1970.
        wishes: what is asked for this time.
        level: for what the worker must be fit: requirements that guard a later one are left aside.
    """
    wishes = wishes or Wishes()
    arrays, catalogue = state.arrays, state.catalogue
    # Each is an offer by itself.
    records, counts, places = (
        blank(OFFER, len(tasks)),
        np.zeros(2 * len(tasks), np.int32),
        np.zeros(len(tasks), np.int32),
    )
    _describe(arrays, tasks, records, counts, places)
    facts = arrays.tasks["facts"]
    columns = _Columns(
        *(tasks, places),
        *(facts[name][tasks] for name in ("reward", "text", "expires")),
    )
    met = np.unique(records["signature"][arrays.tasks["posted"][tasks] != NEVER])
    judgement = _judge(state, worker, records, counts, columns, met, now, wishes, level)
    _look_up(arrays, worker, tasks, judgement.own)
    if wishes.excluded:
        excluded = [catalogue.tasks.get(external) for external in wishes.excluded]
        known = judgement.own.bits != _UNKNOWN
        judgement.own.add(np.flatnonzero(known & np.isin(tasks, excluded)), "excluded")
    return judgement


def judge_open(
    state: MarketState, worker: int, now: int, wishes: Wishes | None = None, *, level: Guard = "accept"
) -> Judgement:
    """Say of every task that is open now whether it may be offered to a worker, or why not.

    The same as `judge` of these tasks, at a fraction of the cost. The tasks are in the order of the open-task index.
    """
    wishes = wishes or Wishes()
    arrays, catalogue = state.arrays, state.catalogue
    size = int(arrays.market["n_open"][0])
    # Open by the clock of the log may be no longer open now; mostly, the first to expire tells that none is due.
    due = bool(arrays.market["n_expiring"][0]) and arrays.expiring[0] <= now
    columns = _Columns(
        arrays.open_tasks[:size],
        arrays.open_offers[:size],
        arrays.open_rewards[:size],
        arrays.open_texts[:size],
        arrays.open_expires[: size if due else 0],
    )
    records = arrays.offers[: len(catalogue.offers)]
    judgement = _judge(state, worker, records, arrays.offered[: 2 * len(records)], columns, None, now, wishes, level)
    _bar(arrays, worker, judgement.own)
    if wishes.excluded:
        excluded = arrays.tasks["open_at"][[catalogue.tasks.get(external) for external in wishes.excluded]]
        judgement.own.add(excluded[excluded >= 0], "excluded")
    return judgement.only(np.flatnonzero(columns.expires > now).astype(np.int32)) if due else judgement


class _Columns(NamedTuple):
    """Tasks as they are judged: each field but the last as long as the first, the last empty where none can be due."""

    tasks: NDArray[np.int32]
    places: NDArray[np.int32]
    rewards: NDArray[np.float64]
    texts: NDArray[np.int32]
    expires: NDArray[np.int64]


class _Tables(NamedTuple):
    """Bits of reasons by what offers consist of, beside their signatures."""

    requesters: NDArray[np.uint32]
    categories: NDArray[np.uint32]


def _judge(
    state: MarketState,
    worker: int,
    records: NDArray[np.void],
    counts: NDArray[np.int32],
    columns: _Columns,
    signatures: NDArray[np.int32] | None,
    now: int,
    wishes: Wishes,
    level: Guard,
) -> Judgement:
    """Judge offers, and tasks as far as the offers and what is in the columns goes.

    Args:
        state: the market.
        worker: dense index.
        records: of ``OFFER``, offers.
        counts: int32, places; how many of the tasks are there, see `Offers`.
        columns: the tasks.
        signatures: int32, at least those of the offers that a task is in; None for all there are.
        now: microseconds since 1970.
        wishes: what is asked for this time.
        level: for what the worker must be fit.
    """
    compiled, record = state.catalogue.compiled, state.arrays.workers[worker]
    profile = state.catalogue.profiles.get(worker)
    facts = facts_of(compiled, profile, record, now, (wishes.device,) if wishes.device else None)
    asked = _LANGUAGE | _COUNTRY | _DEVICE if profile else _DEVICE if wishes.device else 0
    minimum = float(record["min_reward"] if np.isnan(wishes.min_reward) else wishes.min_reward)
    sheet, program = compiled.sheet(), compiled.program
    of_signatures = np.zeros(len(compiled), np.uint32)
    if signatures is None:
        evaluate_all(program, facts, sheet, LEVELS.index(level))
        _of_all_signatures(program, sheet, compiled.sets, asked, of_signatures)
    else:
        evaluate(program, facts, sheet, signatures, LEVELS.index(level))
        _of_signatures(program, sheet, signatures, asked, of_signatures)
    tables = _Tables(_requesters(state, profile, wishes), _categories(state, profile, wishes))
    offers, tally = Offers.none(len(records)), Tally.none(len(compiled))
    _of_offers(records, counts, of_signatures, tables, offers, tally)
    own = Own.none(len(columns.tasks))
    if minimum > 0.0:
        _of_rewards(columns.rewards, minimum, own)
    if profile is not None and profile.blocked_keywords:
        _of_texts(columns.texts, _texts(state, profile.blocked_keywords), own)
    if len(columns.expires):
        _of_expiry(columns.expires, now, own)
    return Judgement(
        columns.tasks,
        columns.places,
        own,
        own,
        offers,
        tally,
        sheet,
        compiled,
        facts,
        asked,
        of_signatures,
    )


def _requesters(state: MarketState, profile: WorkerUpdated | None, wishes: Wishes) -> NDArray[np.uint32]:
    table = np.zeros(len(state.catalogue.requesters), np.uint32)
    if profile is not None and profile.blocked_requesters:
        table[[state.catalogue.requesters.get(external) for external in profile.blocked_requesters]] |= BIT[
            "blocked_requester"
        ]
    if not np.isnan(wishes.min_requester_rating):
        requesters = state.arrays.requesters[: len(table)]
        # Without a rating nothing says that the minimum is reached.
        enough = requesters["rating"] >= wishes.min_requester_rating * requesters["ratings"]
        table[~(enough & (requesters["ratings"] > 0.0))] |= BIT["requester_rating"]
    return table


def _categories(state: MarketState, profile: WorkerUpdated | None, wishes: Wishes) -> NDArray[np.uint32]:
    labels = state.catalogue.labels
    table = np.zeros(len(labels), np.uint32)

    def places(names: Iterable[str]) -> list[int]:
        # A name never seen has index 0, and so has a task without a category: neither is the other's.
        return [place for name in names if (place := labels.get(f"category:{normalise(name)}"))]

    if profile is not None and profile.blocked_categories:
        table[places(profile.blocked_categories)] |= BIT["blocked_category"]
    if wishes.categories:
        others = np.ones(len(table), np.bool_)
        others[places(wishes.categories)] = False
        table[others] |= BIT["category"]
    return table


def _texts(state: MarketState, keywords: Iterable[str]) -> NDArray[np.uint32]:
    """Return the bits by text where some keywords are blocked."""
    texts = state.catalogue.texts
    table = np.zeros(len(texts), np.uint32)
    for pattern in keywords:
        table[texts.found_in(pattern)] = BIT["blocked_keyword"]
    return table


@lean
def may_take_again(dealing: Record, task: Record) -> bool:
    """Tell whether what a worker took of a task allows taking it once more: fewer than its limit, none abandoned.

    `features.deeds` asks instead whether an event can be of a further assignment: one that was abandoned does not rule
    that out, and of a task that was not posted yet, which nobody may take, there can be one.
    """
    taken = np.int64(dealing.accepted) - dealing.returned
    return bool(taken < task.facts.per_worker_limit and dealing.abandoned == 0)


@lean
def _dealt(s: Arrays, worker: int, task: int) -> tuple[int, int]:
    """Return the reasons that lie in what a worker did with a task, and the task barred before it."""
    place = find(s.dealing_keys, pair_key(worker, task))
    if place < 0:
        return 0, 0
    dealing = s.dealings[place]
    bits = 0
    if not may_take_again(dealing, s.tasks[task]):
        bits |= _TAKEN
    if dealing.marks & WAS_HIDDEN:
        bits |= _HIDDEN
    return bits, dealing.barred_before


@kernel
def _describe(
    s: Arrays,
    tasks: NDArray[np.int32],
    records: NDArray[np.void],
    counts: NDArray[np.int32],
    places: NDArray[np.int32],
) -> None:
    """Make an offer of each task; that of an unknown task stays blank and counts none."""
    for i in range(tasks.size):
        task = s.tasks[tasks[i]]
        places[i] = 2 * i + is_full(task)
        if task.posted != NEVER:
            describe_offer(records[i], task)
            counts[places[i]] = 1


@lean
def _add(own: Own, place: int, bits: int) -> None:
    own.bits[place] |= np.uint16(bits)
    own.blocks[place // BLOCK] |= np.uint16(bits)


@kernel
def _look_up(s: Arrays, worker: int, tasks: NDArray[np.int32], own: Own) -> None:
    """Add what lies in what the worker did with a task, and whether it is known and open."""
    for i in range(tasks.size):
        task = s.tasks[tasks[i]]
        if task.posted == NEVER:
            own.bits[i] = 0
            _add(own, i, _UNKNOWN)
            continue
        _add(own, i, _dealt(s, worker, tasks[i])[0])
        if task.closed != 0:
            own.bits[i] &= ~np.uint16(_EXPIRED)
            _add(own, i, _CLOSED)


@kernel
def _bar(s: Arrays, worker: int, own: Own) -> None:
    """Add, by place in the open-task index, what lies in what the worker did."""
    task = s.workers[worker].barred
    while task != 0:
        found, before = _dealt(s, worker, task)
        place = s.tasks[task].open_at
        if place >= 0:
            _add(own, place, found)
        task = before


@lean
def _of_sets(program: Program, sheet: Sheet, sets: int, asked: int) -> int:
    """Return what stands against sets of languages, countries and devices."""
    record, found = program.sets[sets], 0
    if record.language >= 0 and sheet.clauses[record.language] == 0:
        found |= asked & _LANGUAGE
    if record.country >= 0 and sheet.clauses[record.country] == 0:
        found |= asked & _COUNTRY
    if record.device >= 0 and sheet.clauses[record.device] == 0:
        found |= asked & _DEVICE
    return found


@kernel
def _of_signatures(
    program: Program, sheet: Sheet, signatures: NDArray[np.int32], asked: int, table: NDArray[np.uint32]
) -> None:
    for i in range(signatures.size):
        record = program.signatures[signatures[i]]
        fails = sheet.trees[record.tree] == 0
        table[signatures[i]] = _of_sets(program, sheet, record.sets, asked) | _REQUIREMENT * fails


@kernel
def _of_all_signatures(program: Program, sheet: Sheet, sets: int, asked: int, table: NDArray[np.uint32]) -> None:
    """Find what stands against all signatures, whose sets are far fewer."""
    of_sets = np.empty(sets, np.uint32)
    for k in range(sets):
        of_sets[k] = _of_sets(program, sheet, k, asked)
    for k in range(table.size):
        fails = np.uint32(sheet.trees[np.uint32(program.signatures[k].tree)] == 0)
        table[k] = of_sets[np.uint32(program.signatures[k].sets)] | np.uint32(_REQUIREMENT) * fails


@kernel
def _of_offers(
    records: NDArray[np.void],
    counts: NDArray[np.int32],
    of_signatures: NDArray[np.uint32],
    tables: _Tables,
    offers: Offers,
    tally: Tally,
) -> None:
    """Find what stands against offers that a task is in, and count their tasks."""
    full, others = np.int32(0), np.uint32(0)
    for k in range(records.size):
        offer, place, after = records[k], np.uint32(2 * k), np.uint32(2 * k + 1)
        free, filled, signature = counts[place], counts[after], np.uint32(offer.signature)
        against = tables.requesters[np.uint32(offer.requester)] | tables.categories[np.uint32(offer.category)]
        met = np.uint32(free + filled > 0)
        offers.signatures[k] = offer.signature
        found = np.uint32((of_signatures[signature] | against) * met)
        offers.tasks[place], offers.tasks[after] = free, filled
        offers.bits[place], offers.bits[after] = found, found | np.uint32(_FULL) * met
        offers.welcome[place], offers.welcome[after] = found == 0, 0
        tally.every[signature] += free + filled
        tally.free[signature] += free * (against == 0)
        full += filled
        others |= against * met
    tally.full[0], tally.others[0] = full, others


@kernel
def _of_rewards(rewards: NDArray[np.float64], minimum: float, own: Own) -> None:
    for i in range(rewards.size):
        # Without a reward nothing says that the minimum is reached.
        own.bits[i] |= np.uint16(_MIN_REWARD * (not rewards[i] >= minimum))
    own.blocks[:] |= np.uint16(_MIN_REWARD)


@kernel
def _of_texts(texts: NDArray[np.int32], of_texts: NDArray[np.uint32], own: Own) -> None:
    for i in range(texts.size):
        own.bits[i] |= np.uint16(of_texts[np.uint32(texts[i])])
    own.blocks[:] |= np.uint16(_KEYWORD)


@kernel
def _of_expiry(expires: NDArray[np.int64], now: int, own: Own) -> None:
    for i in range(expires.size):
        own.bits[i] |= np.uint16(_EXPIRED * (expires[i] <= now))
    own.blocks[:] |= np.uint16(_EXPIRED)
