"""What is said of tasks for one worker: which may be offered, what stands against the others, and how often.

A reason lies in a task itself or in its offer, which it shares with others; tasks are counted by offer and signature.
"""

from dataclasses import dataclass, field, replace
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel, lean
from features.requirements_compiler import Compiler
from features.requirements_failures import count_failures, failed
from features.requirements_layout import REQUIREMENT, Facts, Program, Sheet

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
_REQUIREMENT = int(BIT[REQUIREMENT])
OF_SIGNATURES = int(BIT["language"]) | int(BIT["country"]) | int(BIT["device"]) | _REQUIREMENT
"""Reasons that lie in a signature; those of an offer beside these lie in its requester and category."""

_PLACE_OF_FULL = CODES.index("full")

BLOCK = 4_096
"""Tasks that are looked at together: few enough that their bits stay in the nearest cache."""


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

    @classmethod
    def none(cls, size: int) -> "Offers":
        """Return arrays for so many offers, to be filled.

        All are copies: the market goes on counting, and a field of records is to Numba another type where there is one.
        """
        places = 2 * size
        arrays = np.empty(size, np.int32), np.empty(places, np.uint32), np.empty(places, np.uint8)
        return cls(*arrays, np.empty(places, np.int32))


@dataclass(frozen=True, eq=False)
class Judgement:
    """What stands against each of some tasks for one worker.

    Attributes:
        tasks: int32, dense indices.
        places: int32, tasks; where each is in ``offers``.
        own: what stands against tasks by themselves.
        own_of_all: the same, before `only` left some of them out.
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
    own: Own
    own_of_all: Own
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
                self._failed[signature] = failed(self.compiled, self.sheet, signature)
            codes[-1:] = self._failed[signature]
        return codes

    def only(self, at: NDArray[np.int32]) -> "Judgement":
        """Return what is said of those of all open tasks that are at some places of the index (int32, rising)."""
        places, bits = self.places[at], self.own.bits[at]
        own = Own(bits, np.bitwise_or.reduceat(bits, np.arange(0, len(at), BLOCK)))
        tasks = np.bincount(places, minlength=len(self.offers.tasks)).astype(np.int32)
        offers, tally = self.offers._replace(tasks=tasks), Tally.none(len(self.of_signatures))
        _tally(offers, tally)
        return replace(self, tasks=self.tasks[at], places=places, own=own, offers=offers, tally=tally, at=at)

    def remove(self, tasks: NDArray[np.int32], code: str) -> None:
        """Add a reason that is a task's own, not its offer's, to some of the tasks."""
        if len(tasks):
            self.own.add(np.flatnonzero(np.isin(self.tasks, tasks)), code)

    def counts(self) -> dict[str, int]:
        """Return reason -> number of tasks, for reasons that occur."""
        names = [*CODES[:-1], *self.compiled.reasons.ids()]
        counts = _counted(
            self.own, self.offers, self.tally, self.of_signatures, self.compiled.program, self.sheet, len(names)
        ).tolist()
        return dict(zip(compress(names, counts), filter(None, counts), strict=True))


def codes_of(bits: int) -> list[str]:
    """Return the reasons behind bits, in the order of ``CODES``."""
    return [code for place, code in enumerate(CODES) if bits >> place & 1]


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
def _counted(
    own: Own,
    offers: Offers,
    tally: Tally,
    of_signatures: NDArray[np.uint32],
    program: Program,
    sheet: Sheet,
    size: int,
) -> NDArray[np.int64]:
    """Return how many tasks have each code against them but the last, and behind these each reason of requirements."""
    counts, others = np.zeros(size, np.int64), len(CODES) - 1
    by_code, failing = np.zeros(len(CODES), np.int64), np.zeros(sheet.trees.size, np.int64)
    _count(own, by_code)
    by_code[_PLACE_OF_FULL] = tally.full[0]
    _count_signatures(program, of_signatures, tally.every, by_code, failing)
    _count_offers(offers, tally.others[0], by_code)
    counts[:others] = by_code[:others]
    count_failures(program, sheet, failing, np.zeros(sheet.nodes.size, np.bool_), counts[others:])
    return counts


@lean
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
        against = offers.bits[place] & ~np.uint32(OF_SIGNATURES)
        tally.every[signature] += free + filled
        tally.free[signature] += free * (against == 0)
        full += filled
        others |= against
    tally.full[0], tally.others[0] = full, others


@lean
def _count_signatures(
    program: Program,
    of_signatures: NDArray[np.uint32],
    tasks: NDArray[np.int32],
    counts: NDArray[np.int64],
    failing: NDArray[np.int64],
) -> None:
    """Add to counts by code the tasks that bear signatures, and to counts by tree those that fail its requirements."""
    for code in range(counts.size):
        if np.uint32(OF_SIGNATURES) & np.uint32(1) << np.uint32(code):
            count = np.uint32(0)
            for k in range(tasks.size):
                count += (of_signatures[k] >> np.uint32(code) & np.uint32(1)) * np.uint32(tasks[k])
            counts[code] += count
    for k in range(tasks.size):
        fails = of_signatures[k] & np.uint32(_REQUIREMENT) != 0
        failing[np.uint32(program.signatures[k].tree)] += tasks[k] * fails


@lean
def _count_offers(offers: Offers, codes: int, counts: NDArray[np.int64]) -> None:
    """Add to counts by code the tasks behind offers, for some codes."""
    for code in range(counts.size):
        if codes & 1 << code:
            for k in range(offers.signatures.size):
                # What stands against the full tasks of an offer stands against its others, but that they are full.
                tasks = offers.tasks[np.uint32(2 * k)] + offers.tasks[np.uint32(2 * k + 1)]
                counts[code] += np.int64(offers.bits[np.uint32(2 * k)] >> np.uint32(code) & np.uint32(1)) * tasks
