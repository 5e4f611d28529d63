"""Who may take what. A filter drops nothing silently: it says of every task whether it is kept, or why not.

What stands against a task is found by what it shares with others: its signature, its requester, its category and its
text each have a table of reasons, made for the worker who asks, and a task is judged by looking into them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.events import WorkerUpdated
from features.jit import kernel
from features.layout import NEVER, OFFER, Arrays, blank
from features.open_tasks import describe_offer
from features.pairs import find, pair_key
from features.requirements import LEVELS, Compiler, Program, Sheet, evaluate
from features.requirements_shape import Guard
from features.state import MarketState
from features.text import normalise

REQUIREMENT = "requirement"

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
_LANGUAGE, _COUNTRY = int(BIT["language"]), int(BIT["country"])
_REQUIREMENT = int(BIT[REQUIREMENT])

_BLOCK = 4_096
"""Tasks that are counted at once: few enough that their bits stay in the nearest cache."""


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


@dataclass(frozen=True, eq=False)
class Judgement:
    """What stands against each of some tasks for one worker.

    Attributes:
        tasks: int32, dense indices.
        bits: uint32, tasks; bits of ``CODES``, 0 for a task that may be offered.
        signatures: int32, tasks; their signatures.
        sheet: the worker's answers to the clauses of these tasks.
        compiled: what the sheet answers.
    """

    tasks: NDArray[np.int32]
    bits: NDArray[np.uint32]
    signatures: NDArray[np.int32]
    sheet: Sheet
    compiled: Compiler
    _failed: dict[int, list[str]] = field(default_factory=dict)

    @property
    def kept(self) -> NDArray[np.int32]:
        """The tasks that may be offered (int32)."""
        return _kept(self.tasks, self.bits)

    def codes(self, place: int) -> list[str]:
        """Return the reasons against the task at a place, in the order of ``CODES``."""
        codes = codes_of(int(self.bits[place]))
        if codes and codes[-1] == REQUIREMENT:
            signature = int(self.signatures[place])
            if signature not in self._failed:
                self._failed[signature] = self.compiled.failed(self.sheet, signature)
            codes[-1:] = [f"{REQUIREMENT}:{attribute}" for attribute in self._failed[signature]]
        return codes

    def remove(self, tasks: NDArray[np.int32], code: str) -> None:
        """Add a reason to some of the tasks."""
        if len(tasks):
            self.bits[np.isin(self.tasks, tasks)] |= BIT[code]

    def counts(self) -> dict[str, int]:
        """Return reason -> number of tasks, for reasons that occur."""
        by_code = _count(self.bits)
        found = {code: count for code, count in zip(CODES[:-1], by_code[:-1].tolist(), strict=True) if count}
        failing = _failing(self.bits, self.signatures, len(self.compiled))
        failures = self.compiled.failures(self.sheet, failing)
        return found | {f"{REQUIREMENT}:{attribute}": count for attribute, count in failures.items()}


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
    offers, bits = blank(OFFER, len(tasks)), np.zeros(len(tasks), np.uint32)
    _look_up(state.arrays, worker, tasks, offers, bits)
    if wishes.excluded:
        excluded = [state.catalogue.tasks.get(external) for external in wishes.excluded]
        bits[(bits != _UNKNOWN) & np.isin(tasks, excluded)] |= BIT["excluded"]
    # Those of unknown tasks are 0, which harms nothing but is no signature of an empty market.
    met = np.unique(offers["signature"]) if len(state.catalogue.compiled) else np.zeros(0, np.int32)
    sheet, _ = _judge(state, worker, offers, met, now, wishes, level, bits)
    return Judgement(tasks, bits, offers["signature"], sheet, state.catalogue.compiled)


def judge_open(
    state: MarketState, worker: int, now: int, wishes: Wishes | None = None, *, level: Guard = "accept"
) -> Judgement:
    """Say of every task that is open now whether it may be offered to a worker, or why not.

    The same as `judge` of these tasks, at a fraction of the cost. The tasks are in the order of the open-task index.
    """
    wishes = wishes or Wishes()
    arrays = state.arrays
    size = int(arrays.market["n_open"][0])
    offers, bits = arrays.offers[:size], np.zeros(size, np.uint32)
    _bar(arrays, worker, bits)
    if wishes.excluded:
        places = [arrays.tasks["open_at"][state.catalogue.tasks.get(external)] for external in wishes.excluded]
        bits[[place for place in places if place >= 0]] |= BIT["excluded"]
    every = np.arange(len(state.catalogue.compiled), dtype=np.int32)
    sheet, expired = _judge(state, worker, offers, every, now, wishes, level, bits)
    tasks, signatures = arrays.open_tasks[:size], offers["signature"]
    # Open by the clock of the log may be no longer open now.
    if expired:
        left = (bits & _EXPIRED) == 0
        tasks, bits, signatures = tasks[left], bits[left], signatures[left]
    return Judgement(tasks, bits, signatures, sheet, state.catalogue.compiled)


def reasons_against(
    state: MarketState, worker: int, tasks: NDArray[np.int32], now: int, wishes: Wishes | None = None
) -> NDArray[np.uint32]:
    """Return why each task may not be offered to a worker now, as bits of ``CODES``; see `judge`."""
    return judge(state, worker, tasks, now, wishes).bits


def codes_of(bits: int) -> list[str]:
    """Return the reasons behind bits, in the order of ``CODES``."""
    return [code for place, code in enumerate(CODES) if bits >> place & 1]


class _Tables(NamedTuple):
    """Bits of reasons by what tasks share; that of texts is empty where none is blocked."""

    signatures: NDArray[np.uint32]
    requesters: NDArray[np.uint32]
    categories: NDArray[np.uint32]
    texts: NDArray[np.uint32]


def _judge(
    state: MarketState,
    worker: int,
    offers: NDArray[np.void],
    signatures: NDArray[np.int32],
    now: int,
    wishes: Wishes,
    level: Guard,
    bits: NDArray[np.uint32],
) -> tuple[Sheet, int]:
    """Add to bits what stands against each offer; return the worker's answers to signatures, and how many expired.

    The signatures are at least those of the offers.
    """
    compiled, record = state.catalogue.compiled, state.arrays.workers[worker]
    profile = state.catalogue.profiles.get(worker)
    facts = compiled.facts(profile, record, now, (wishes.device,) if wishes.device else None)
    asked = _LANGUAGE | _COUNTRY | _DEVICE if profile else _DEVICE if wishes.device else 0
    minimum = float(record["min_reward"] if np.isnan(wishes.min_reward) else wishes.min_reward)
    sheet, program = compiled.sheet(), compiled.program
    evaluate(program, facts, sheet, signatures, LEVELS.index(level))
    tables = _Tables(
        signatures=np.zeros(len(compiled), np.uint32),
        requesters=_requesters(state, profile, wishes),
        categories=_categories(state, profile, wishes),
        texts=_texts(state, profile),
    )
    _of_signatures(program, sheet, signatures, asked, tables.signatures)
    return sheet, _scan(offers, now, minimum, tables, bits)


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


def _texts(state: MarketState, profile: WorkerUpdated | None) -> NDArray[np.uint32]:
    """Return the bits by text; an empty table where no text is blocked."""
    if profile is None or not profile.blocked_keywords:
        return np.zeros(0, np.uint32)
    texts = state.catalogue.texts
    table = np.zeros(len(texts), np.uint32)
    for pattern in profile.blocked_keywords:
        table[texts.found_in(pattern)] = BIT["blocked_keyword"]
    return table


@kernel
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
def _look_up(
    s: Arrays, worker: int, tasks: NDArray[np.int32], offers: NDArray[np.void], bits: NDArray[np.uint32]
) -> None:
    for i in range(tasks.size):
        task = s.tasks[tasks[i]]
        if task.posted == NEVER:
            bits[i] = _UNKNOWN
            continue
        describe_offer(offers[i], tasks[i], task)
        bits[i] = _dealt(s, worker, tasks[i])[0]
        if task.closed != 0:
            bits[i] |= _CLOSED


@kernel
def _bar(s: Arrays, worker: int, bits: NDArray[np.uint32]) -> None:
    """Set the bits, by place in the open-task index, of the tasks that the worker took or hid."""
    task = s.workers[worker].barred
    while task != 0:
        found, before = _dealt(s, worker, task)
        place = s.tasks[task].open_at
        if place >= 0:
            bits[place] = found
        task = before


@kernel
def _of_signatures(
    program: Program, sheet: Sheet, signatures: NDArray[np.int32], asked: int, table: NDArray[np.uint32]
) -> None:
    for i in range(signatures.size):
        record = program.signatures[signatures[i]]
        found = 0
        if sheet.signatures[signatures[i]] == 0:
            found |= _REQUIREMENT
        if record.language >= 0 and sheet.clauses[record.language] == 0:
            found |= asked & _LANGUAGE
        if record.country >= 0 and sheet.clauses[record.country] == 0:
            found |= asked & _COUNTRY
        if record.device >= 0 and sheet.clauses[record.device] == 0:
            found |= asked & _DEVICE
        table[signatures[i]] = found


@kernel
def _scan(offers: NDArray[np.void], now: int, min_reward: float, tables: _Tables, bits: NDArray[np.uint32]) -> int:
    """Add to bits what stands against each offer; return how many have expired."""
    expired = 0
    for i in range(offers.size):
        found = bits[i]
        if found == _UNKNOWN:
            continue
        offer = offers[i]
        if offer.expires <= now and not found & _CLOSED:
            found |= _EXPIRED
            expired += 1
        if offer.full != 0:
            found |= _FULL
        # Without a reward nothing says that the minimum is reached.
        if min_reward > 0.0 and not offer.reward >= min_reward:
            found |= _MIN_REWARD
        found |= tables.signatures[offer.signature]
        found |= tables.requesters[offer.requester] | tables.categories[offer.category]
        if tables.texts.size:
            found |= tables.texts[offer.text]
        bits[i] = found
    return expired


@kernel
def _kept(tasks: NDArray[np.int32], bits: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Return the tasks that nothing stands against; the same as by a mask, at a third of the cost."""
    kept, size = np.empty(tasks.size, np.int32), 0
    for i in range(tasks.size):
        kept[size] = tasks[i]
        size += bits[i] == 0
    return kept[:size].copy()


@kernel
def _count(bits: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the number of tasks by code (int64, codes)."""
    counts = np.zeros(len(CODES), np.int64)
    for start in range(0, bits.size, _BLOCK):
        part, present = bits[start : start + _BLOCK], np.uint32(0)
        for i in range(part.size):
            present |= part[i]
        # A pass for each code: the compiler adds up many tasks with one instruction.
        for code in range(counts.size):
            if present >> code & 1:
                count = np.uint32(0)
                for i in range(part.size):
                    count += part[i] >> np.uint32(code) & np.uint32(1)
                counts[code] += count
    return counts


@kernel
def _failing(bits: NDArray[np.uint32], signatures: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Return by signature the tasks that fail their requirements (int64, ``size``)."""
    counts = np.zeros(size, np.int64)
    for i in range(bits.size):
        # Without a branch, since many tasks fail and none can be foreseen; one that fails nothing adds 0.
        counts[signatures[i]] += (bits[i] & _REQUIREMENT) != 0
    return counts
