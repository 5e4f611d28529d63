"""Who may take what. A filter drops nothing silently: it says of every task whether it is kept, or why not.

What stands against a task is mostly what stands against its offer, which it shares with others: signature, requester
and category each have a table of reasons, made for the worker who asks, an offer is judged by looking into them, and a
task by looking at its offer. What is its own, such as its reward, is looked at where somebody asks for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.events import WorkerUpdated
from features.jit import kernel, lean
from features.layout import NEVER, OFFER, Arrays, blank
from features.open_tasks import describe_offer, is_full
from features.pairs import find, pair_key
from features.requirements import LEVELS, REQUIREMENT, Compiler, Facts, Program, Sheet, evaluate, evaluate_all
from features.requirements_shape import Guard
from features.state import MarketState
from features.text import normalise

CODES = (
    "unknown_task",
    "closed",
    "expired",
    "full",
    "already_taken",
    "hidden",
    "language",
    "country",
    "device",
    "min_reward",
    "min_hourly",
    "blocked_requester",
    "blocked_category",
    "blocked_keyword",
    "excluded",
    "category",
    "requester_rating",
    REQUIREMENT,
)
"""Reasons for removal; bit ``i`` of a task's reasons stands for code ``i``. The last one is told by attribute."""

BIT = {code: np.uint32(1 << place) for place, code in enumerate(CODES)}
_UNKNOWN, _CLOSED, _EXPIRED = int(BIT["unknown_task"]), int(BIT["closed"]), int(BIT["expired"])
_FULL, _TAKEN, _HIDDEN = int(BIT["full"]), int(BIT["already_taken"]), int(BIT["hidden"])
_MIN_REWARD, _DEVICE = int(BIT["min_reward"]), int(BIT["device"])
_KEYWORD = int(BIT["blocked_keyword"])
_LANGUAGE, _COUNTRY = int(BIT["language"]), int(BIT["country"])
_REQUIREMENT = int(BIT[REQUIREMENT])
_OF_SIGNATURES = _LANGUAGE | _COUNTRY | _DEVICE | _REQUIREMENT
_PLACE_OF_FULL = CODES.index("full")

BLOCK = 4_096
"""Tasks that are looked at together: few enough that their bits stay in the nearest cache."""


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


class Own(NamedTuple):
    """Reasons that are a task's own, as bits of ``CODES``: none of these lies beyond the 16th.

    Attributes:
        bits: uint16, tasks.
        blocks: uint16, blocks of ``BLOCK`` tasks; all bits that their tasks have. Most blocks have none.
    """

    bits: NDArray[np.uint16]
    blocks: NDArray[np.uint16]

    @classmethod
    def none(cls, tasks: int) -> "Own":
        """Return that nothing stands against so many tasks by themselves."""
        return cls(np.zeros(tasks, np.uint16), np.zeros(-(-tasks // BLOCK), np.uint16))

    def add(self, places: NDArray[np.intp], code: str) -> None:
        """Add a reason to the tasks at some places."""
        self.bits[places] |= np.uint16(BIT[code])
        self.blocks[places // BLOCK] |= np.uint16(BIT[code])


class Tally(NamedTuple):
    """How many of the tasks that are judged there are.

    Attributes:
        every: int32, signatures; tasks that bear each.
        free: int32, signatures; those of them that have a slot left, and a requester and a category that are welcome.
        full: int32, an array of one; tasks without a slot left.
        others: uint32, an array of one; reasons that lie in requesters and categories.
    """

    every: NDArray[np.int32]
    free: NDArray[np.int32]
    full: NDArray[np.int32]
    others: NDArray[np.uint32]

    @classmethod
    def none(cls, signatures: int) -> "Tally":
        """Return that there are no tasks."""
        every, free = np.zeros(signatures, np.int32), np.zeros(signatures, np.int32)
        return cls(every, free, np.zeros(1, np.int32), np.zeros(1, np.uint32))


class Offers(NamedTuple):
    """What stands against offers for one worker. A place is twice that of an offer, and 1 more for its full tasks.

    Attributes:
        signatures: int32, offers.
        bits: uint32, places; bits of ``CODES``.
        welcome: uint8, places; 1 where nothing stands against them. In bytes, as these stay in the nearest cache.
        tasks: int32, places; how many of the tasks that are judged are there.
    """

    signatures: NDArray[np.int32]
    bits: NDArray[np.uint32]
    welcome: NDArray[np.uint8]
    tasks: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Judgement:
    """What stands against each of some tasks for one worker.

    Attributes:
        tasks: int32, dense indices.
        places: int32, tasks; where each is in ``offers``.
        rewards: float64, tasks; in the base currency, NaN where none is known.
        minutes: float32, tasks; what the requester says it takes, NaN where nothing is said.
        own: what stands against tasks by themselves.
        offers: what the tasks share.
        tally: how many of the tasks bear each signature.
        sheet: the worker's answers to the clauses of these tasks.
        compiled: what the sheet answers.
        facts: what is known of the worker.
        asked: the sets that are looked at, bits of ``CODES``.
        of_signatures: uint32, signatures; what stands against those of these tasks.
        at: int32, tasks; their places in the open-task index. None where these are 0, 1, 2, ..., or there is no index.
    """

    tasks: NDArray[np.int32]
    places: NDArray[np.int32]
    rewards: NDArray[np.float64]
    minutes: NDArray[np.float32]
    own: Own
    offers: Offers
    tally: Tally
    sheet: Sheet
    compiled: Compiler
    facts: Facts
    asked: int
    of_signatures: NDArray[np.uint32]
    at: NDArray[np.int32] | None = None
    _failed: dict[int, list[str]] = field(default_factory=dict)

    @property
    def bits(self) -> NDArray[np.uint32]:
        """What stands against each task (uint32, tasks): bits of ``CODES``, 0 for a task that may be offered."""
        return self.offers.bits[self.places] | self.own.bits

    @cached_property
    def signatures(self) -> NDArray[np.int32]:
        """The signatures of the tasks (int32)."""
        return self.offers.signatures[self.places // 2]

    @property
    def kept(self) -> NDArray[np.int32]:
        """The tasks that may be offered (int32)."""
        return self.tasks[_kept(self.places, self.own, self.offers.welcome)]

    @property
    def kept_at(self) -> NDArray[np.int32]:
        """The places in the open-task index of the tasks that may be offered (int32, rising)."""
        kept = _kept(self.places, self.own, self.offers.welcome)
        return kept if self.at is None else self.at[kept]

    def codes(self, place: int) -> list[str]:
        """Return the reasons against the task at a place, in the order of ``CODES``."""
        codes = codes_of(int(self.offers.bits[self.places[place]] | self.own.bits[place]))
        if codes and codes[-1] == REQUIREMENT:
            signature = int(self.offers.signatures[self.places[place] // 2])
            if signature not in self._failed:
                self._failed[signature] = self.compiled.failed(self.sheet, signature)
            codes[-1:] = self._failed[signature]
        return codes

    def remove(self, tasks: NDArray[np.int32], code: str) -> None:
        """Add a reason that is a task's own, not its offer's, to some of the tasks."""
        if len(tasks):
            self.own.add(np.flatnonzero(np.isin(self.tasks, tasks)), code)

    def counts(self) -> dict[str, int]:
        """Return reason -> number of tasks, for reasons that occur."""
        by_code, failing = np.zeros(len(CODES), np.int64), np.zeros(len(self.sheet.trees), np.int64)
        _count(self.own, by_code)
        by_code[_PLACE_OF_FULL] = self.tally.full[0]
        _count_signatures(self.compiled.program, self.of_signatures, self.tally.every, by_code, failing)
        if self.tally.others[0]:
            _count_offers(self.offers, self.tally.others[0], by_code)
        found = {code: count for code, count in zip(CODES[:-1], by_code[:-1].tolist(), strict=True) if count}
        return found | self.compiled.failures(self.sheet, failing)


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
        *(facts[name][tasks] for name in ("reward", "stated_minutes", "text", "expires")),
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
        arrays.open_minutes[:size],
        arrays.open_texts[:size],
        arrays.open_expires[: size if due else 0],
    )
    records = arrays.offers[: len(catalogue.offers)]
    judgement = _judge(state, worker, records, arrays.offered[: 2 * len(records)], columns, None, now, wishes, level)
    _bar(arrays, worker, judgement.own)
    if wishes.excluded:
        excluded = arrays.tasks["open_at"][[catalogue.tasks.get(external) for external in wishes.excluded]]
        judgement.own.add(excluded[excluded >= 0], "excluded")
    return _of_those(judgement, np.flatnonzero(columns.expires > now).astype(np.int32)) if due else judgement


def reasons_against(
    state: MarketState, worker: int, tasks: NDArray[np.int32], now: int, wishes: Wishes | None = None
) -> NDArray[np.uint32]:
    """Return why each task may not be offered to a worker now, as bits of ``CODES``; see `judge`."""
    return judge(state, worker, tasks, now, wishes).bits


def codes_of(bits: int) -> list[str]:
    """Return the reasons behind bits, in the order of ``CODES``."""
    return [code for place, code in enumerate(CODES) if bits >> place & 1]


def _of_those(judgement: Judgement, at: NDArray[np.int32]) -> Judgement:
    """Return what is said of those of all open tasks that are at some places of the open-task index (int32, rising)."""
    places, bits = judgement.places[at], judgement.own.bits[at]
    own = Own(bits, np.bitwise_or.reduceat(bits, np.arange(0, len(at), BLOCK)))
    tasks = np.bincount(places, minlength=len(judgement.offers.tasks)).astype(np.int32)
    offers, tally = judgement.offers._replace(tasks=tasks), Tally.none(len(judgement.of_signatures))
    _tally(offers, tally)
    parts = {name: getattr(judgement, name)[at] for name in ("tasks", "rewards", "minutes")}
    return replace(judgement, places=places, own=own, offers=offers, tally=tally, at=at, **parts)


class _Columns(NamedTuple):
    """Tasks as they are judged: each field but the last as long as the first, the last empty where none can be due."""

    tasks: NDArray[np.int32]
    places: NDArray[np.int32]
    rewards: NDArray[np.float64]
    minutes: NDArray[np.float32]
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

    The signatures are at least those of the offers that a task is in; None for all there are.
    """
    compiled, record = state.catalogue.compiled, state.arrays.workers[worker]
    profile = state.catalogue.profiles.get(worker)
    facts = compiled.facts(profile, record, now, (wishes.device,) if wishes.device else None)
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
    # The tasks are a copy, since the market goes on counting.
    of_places = np.empty(len(counts), np.uint32), np.empty(len(counts), np.uint8), np.empty(len(counts), np.int32)
    offers, tally = Offers(records["signature"], *of_places), Tally.none(len(compiled))
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
        columns.rewards,
        columns.minutes,
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
def _dealt(s: Arrays, worker: int, task: int) -> tuple[int, int]:
    """Return the reasons that lie in what a worker did with a task, and the task barred before it."""
    place = find(s.dealing_keys, pair_key(worker, task))
    if place < 0:
        return 0, 0
    dealing = s.dealings[place]
    bits = 0
    taken = np.int64(dealing.accepted) - dealing.returned
    if dealing.abandoned > 0 or taken >= s.tasks[task].facts.per_worker_limit:
        bits |= _TAKEN
    if dealing.hidden:
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


@kernel
def _kept(places: NDArray[np.int32], own: Own, welcome: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return which of the tasks nothing stands against, at a fraction of the cost of a mask."""
    kept, size = np.empty(places.size, np.int32), np.int32(0)
    for block in range(own.blocks.size):
        first, last = np.int32(block * BLOCK), np.int32(min((block + 1) * BLOCK, places.size))
        # Without a branch, since it cannot be foreseen which are kept.
        if own.blocks[block]:
            for i in range(first, last):
                kept[np.uint32(size)] = i
                size = np.int32(size + np.int32(welcome[np.uint32(places[i])] & (own.bits[i] == 0)))
        else:
            for i in range(first, last):
                kept[np.uint32(size)] = i
                size = np.int32(size + np.int32(welcome[np.uint32(places[i])]))
    return kept[:size].copy()


@kernel
def _count(own: Own, counts: NDArray[np.int64]) -> None:
    """Add to counts by code how many tasks have each as a reason of their own."""
    for block in range(own.blocks.size):
        present, part = own.blocks[block], own.bits[block * BLOCK : (block + 1) * BLOCK]
        # A pass for each code: the compiler adds up many tasks with one instruction.
        for code in range(counts.size):
            if present & np.uint32(1) << np.uint32(code):
                count = np.uint16(0)
                for i in range(part.size):
                    count = np.uint16(count + (part[i] >> np.uint16(code) & np.uint16(1)))
                counts[code] += count


@kernel
def _tally(offers: Offers, tally: Tally) -> None:
    full, others = np.int32(0), np.uint32(0)
    for k in range(offers.signatures.size):
        signature, place = np.uint32(offers.signatures[k]), np.uint32(2 * k)
        free, filled = offers.tasks[place], offers.tasks[np.uint32(2 * k + 1)]
        against = offers.bits[place] & ~np.uint32(_OF_SIGNATURES)
        tally.every[signature] += free + filled
        tally.free[signature] += free * (against == 0)
        full += filled
        others |= against
    tally.full[0], tally.others[0] = full, others


@kernel
def _count_signatures(
    program: Program,
    of_signatures: NDArray[np.uint32],
    tasks: NDArray[np.int32],
    counts: NDArray[np.int64],
    failing: NDArray[np.int64],
) -> None:
    """Add to counts by code the tasks that bear signatures, and to counts by tree those that fail its requirements."""
    for code in range(counts.size):
        if np.uint32(_OF_SIGNATURES) & np.uint32(1) << np.uint32(code):
            count = np.uint32(0)
            for k in range(tasks.size):
                count += (of_signatures[k] >> np.uint32(code) & np.uint32(1)) * np.uint32(tasks[k])
            counts[code] += count
    for k in range(tasks.size):
        fails = of_signatures[k] & np.uint32(_REQUIREMENT) != 0
        failing[np.uint32(program.signatures[k].tree)] += tasks[k] * fails


@kernel
def _count_offers(offers: Offers, codes: int, counts: NDArray[np.int64]) -> None:
    """Add to counts by code the tasks behind offers, for some codes."""
    for code in range(counts.size):
        if codes & 1 << code:
            for k in range(offers.signatures.size):
                # What stands against the full tasks of an offer stands against its others, but that they are full.
                tasks = offers.tasks[np.uint32(2 * k)] + offers.tasks[np.uint32(2 * k + 1)]
                counts[code] += np.int64(offers.bits[np.uint32(2 * k)] >> np.uint32(code) & np.uint32(1)) * tasks
