"""The roster: what profiles declare, turned round, so that one task is held against all workers at once.

Kept beside the state and brought up to date from it: a worker's record says how many profiles were declared, so only
those that changed are read again. Facts are only ever appended; one that an older profile declared does not count.
"""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from features.estimates import DAY
from features.events import WorkerUpdated
from features.forms import attribute_of, compared
from features.growing import Growing
from features.jit import kernel
from features.keyword_search import finder
from features.layout import NEVER
from features.requirements_shape import AllOf, Clause, Node, Value
from features.state import MarketState
from features.tokens import normalise
from features.worker_facts import declared

Mask = NDArray[np.bool_]

FACT = np.dtype([("worker", "i4"), ("profile", "i4"), ("value", "i4")])
"""A worker, which of the worker's profiles declares it, and the number of the value."""

_BARE = 0
"""The number of no value: the attribute is held without one."""

_SETS = ("language", "country", "device")

_BLOCKS = "blocks"
"""What a profile blocks is kept as if it were an attribute; no clause can name it."""


class Roster:
    """Tells of every worker whether a task may be offered by what is declared on both sides.

    One thread at a time may use it.

    Attributes:
        size: rows of workers as of the last ``refresh``, with the blank one.
    """

    def __init__(self) -> None:
        self.size = 0
        self._profile = np.zeros(0, np.int32)
        self._min_reward = np.zeros(0)
        self._facts: dict[str, Growing] = {}
        self._values: dict[Value, int] = {}
        self._numbers = [np.nan]
        self._patterns: dict[str, Callable[[str], bool] | None] = {}
        self._stale = 0
        self._next = 0

    @property
    def outdated(self) -> bool:
        """Whether more profiles have been replaced than there are workers: a new roster would be quicker."""
        return self._stale > max(1_000, self.size)

    def refresh(self, state: MarketState, most: int | None = None) -> bool:
        """Read the profiles that were declared since the last time; return whether any may be left to read.

        Args:
            state: the market, always the same.
            most: profiles read at the most; all of them if None.
        """
        size = len(state.catalogue.workers)
        self._grow(size)
        records = state.arrays.workers[:size]
        changed = _changed(records, self._profile, self._next % max(1, size), size if most is None else most)
        if len(changed):
            self._next = int(changed[-1]) + 1
        numbers = records["profile"][changed]
        self._stale += int(np.count_nonzero(self._profile[changed]))
        self._profile[changed] = numbers
        self._min_reward[changed] = records["min_reward"][changed]
        added: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for worker, number in zip(changed.tolist(), numbers.tolist(), strict=True):
            if (profile := state.catalogue.profiles.get(worker)) is not None:
                self._read(worker, number, profile, added)
        for attribute, facts in added.items():
            self._facts.setdefault(attribute, Growing(FACT)).extend(facts)
        return len(changed) == most

    def _grow(self, size: int) -> None:
        if size > len(self._profile):
            grown = np.zeros(max(size, 2 * len(self._profile)), np.int32)
            grown[: len(self._profile)] = self._profile
            self._profile = grown
            self._min_reward = np.concatenate([self._min_reward, np.full(len(grown) - len(self._min_reward), np.nan)])
        self.size = size

    def _read(
        self, worker: int, number: int, profile: WorkerUpdated, added: defaultdict[str, list[tuple[int, int, int]]]
    ) -> None:
        for attribute, values in dict(declared(profile, profile.devices)).items():
            found = [self._number(value) for value in values] or [_BARE]
            added[attribute].extend((worker, number, value) for value in found)
        blocks = [f"requester:{name}" for name in profile.blocked_requesters or ()]
        blocks += [f"category:{normalise(name)}" for name in profile.blocked_categories or ()]
        for pattern in profile.blocked_keywords or ():
            blocks.append(f"keyword:{pattern}")
            if pattern not in self._patterns:
                self._patterns[pattern] = finder(pattern)
        if blocks:
            added[_BLOCKS].extend((worker, number, self._number(value)) for value in blocks)

    def _number(self, value: Value) -> int:
        number = self._values.get(value)
        if number is None:
            number = self._values[value] = len(self._numbers)
            self._numbers.append(np.nan if isinstance(value, str) else float(value))
        return number

    def fit(self, state: MarketState, task: int, now: int) -> Mask:
        """Tell of each worker (bool, workers) what `matching.eligibility.judge` says of a task, as far as it goes.

        What the worker did with the task, and whether the worker was forgotten, is not looked at.

        Args:
            state: as of the last ``refresh``.
            task: dense index.
            now: microseconds since 1970.
        """
        facts = state.arrays.tasks["facts"][task]
        signature = state.catalogue.signatures[int(facts["signature"])]
        known = self._profile[: self.size] > 0
        found = np.ones(self.size, np.bool_)
        found[0] = False
        for attribute, allowed in zip(
            _SETS, (signature.languages, signature.countries, signature.devices), strict=True
        ):
            if allowed:
                clause = Clause(attribute=attribute, comparator="in", values=tuple(allowed))
                found &= self._clause(state, clause, now) | ~known
        minimum = self._min_reward[: self.size]
        found &= ~(minimum > 0.0) | (minimum <= facts["reward"])
        if signature.requirements is not None:
            found &= self._tree(state, signature.requirements.root, now)
        if _BLOCKS in self._facts:
            found &= ~self._blocking(state, task)
        return found

    def _blocking(self, state: MarketState, task: int) -> Mask:
        """Tell of each worker whether the requester, the category or the text of a task is blocked."""
        catalogue, facts = state.catalogue, state.arrays.tasks["facts"][task]
        text = catalogue.texts.plain(int(facts["text"]))
        against = [
            f"requester:{catalogue.requesters.external(int(facts['requester']))}",
            # The label of a category is written as what blocks it.
            catalogue.labels.external(int(facts["category"])),
            *(f"keyword:{pattern}" for pattern, found_in in self._patterns.items() if found_in and found_in(text)),
        ]
        met = np.zeros(len(self._numbers), np.bool_)
        met[[number for value in against if (number := self._values.get(value)) is not None]] = True
        found, blocks = np.zeros(self.size, np.bool_), self._facts[_BLOCKS]
        _answer(blocks.rows[: blocks.used], self._profile, met, False, False, found)
        return found

    def _tree(self, state: MarketState, node: Node, now: int) -> Mask:
        if isinstance(node, Clause):
            # A task that may be offered may be taken: clauses of every level count.
            return self._clause(state, node, now)
        every = isinstance(node, AllOf)
        found = np.full(self.size, every)
        for inner in node.nodes:
            found = found & self._tree(state, inner, now) if every else found | self._tree(state, inner, now)
        return found

    def _clause(self, state: MarketState, clause: Clause, now: int) -> Mask:
        """Tell of each worker whether a clause holds."""
        comparator = clause.comparator
        negative = comparator in ("ne", "not_in", "not_exists")
        found = np.full(self.size, negative if clause.absent is None else clause.absent)
        history = self._history(state, clause.attribute, now)
        if history is not None:
            held = ~np.isnan(history)
            found[held] = self._compare(clause, history[held], None)
            return found
        facts = self._facts.get(attribute_of(clause.attribute))
        if facts is None:
            return found
        rows = facts.rows[: facts.used]
        # Each distinct value is compared once; that of those who hold the attribute without one is left as it is.
        if comparator in ("exists", "not_exists"):
            met = np.full(len(self._numbers), comparator == "exists")
        else:
            met = self._compare(clause, np.array(self._numbers), np.arange(len(self._numbers), dtype=np.int32))
        _answer(rows, self._profile, met, negative, comparator in ("exists", "not_exists"), found)
        return found

    def _compare(self, clause: Clause, numbers: NDArray[np.float64], values: NDArray[np.int32] | None) -> Mask:
        """Compare numbers, or their numbered values, one by one with the operand of a clause."""
        match clause.comparator:
            case "exists":
                return np.ones(len(numbers), np.bool_)
            case "not_exists":
                return np.zeros(len(numbers), np.bool_)
            case "lt" | "le" | "gt" | "ge" as order:
                operand = clause.value if isinstance(clause.value, int | float) else np.nan
                compare = {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}[order]
                return np.asarray(compare(numbers, operand), np.bool_)
        operands = [
            compared(clause.attribute, value) for value in clause.values or (clause.value,) if value is not None
        ]
        if values is None:
            among = np.isin(numbers, [operand for operand in operands if not isinstance(operand, str)])
        else:
            among = np.isin(values, [self._values.get(operand, -1) for operand in operands])
        found: Mask = among == (clause.comparator in ("eq", "in"))
        return found

    def _history(self, state: MarketState, attribute: str, now: int) -> NDArray[np.float64] | None:
        """Return what the state counts of each worker (float64, workers; NaN where absent), else None."""
        records = state.arrays.workers[: self.size]
        if attribute == "age_days":
            seen = records["first_seen"]
            return np.where(seen == NEVER, np.nan, (now - np.where(seen == NEVER, now, seen)) / DAY)
        approved = records["approved"].astype(np.float64)
        if attribute == "approved_count":
            return approved
        if attribute == "approval_rate":
            judged = approved + records["rejected"]
            return 100.0 * approved / np.where(judged > 0.0, judged, np.nan)
        return None


@kernel
def _changed(workers: NDArray[np.void], known: NDArray[np.int32], start: int, most: int) -> NDArray[np.int64]:
    """Return workers whose profile is not the known one, at most so many, looked for from ``start`` on and round."""
    found, count = np.empty(min(most, workers.size), np.int64), 0
    for k in range(workers.size):
        place = start + k if start + k < workers.size else start + k - workers.size
        if count < found.size and workers[place].profile != known[place]:
            found[count] = place
            count += 1
            if count == most:
                break
    return found[:count]


@kernel
def _answer(
    rows: NDArray[np.void], profile: NDArray[np.int32], met: Mask, negative: bool, bare_too: bool, found: Mask
) -> None:
    """Fill what a clause says of the workers who hold its attribute, by what it says of each value.

    Of several values one that meets a clause is enough; for ``ne`` and ``not_in``, which are ``negative``, none may be
    met. Rows of one worker and profile stand together.
    """
    last = -1
    for k in range(rows.size):
        row = rows[k]
        # What an earlier profile declared no longer counts.
        if row.profile != profile[row.worker] or (row.value == _BARE and not bare_too):
            continue
        if row.worker != last:
            found[row.worker] = met[row.value]
            last = row.worker
        elif negative:
            found[row.worker] &= met[row.value]
        else:
            found[row.worker] |= met[row.value]
