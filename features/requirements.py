"""What `requirements` mean: compiled once for each distinct signature, evaluated for a worker over all that are met.

Every distinct clause is kept once, whatever trees it stands in, and a worker's answer to it is found once. A tree is a
run of nodes in which a node comes before what is below it, so that one pass backwards brings answers up to the root
and one pass forwards finds what is to blame. Nothing is kept of a worker: age and history move by themselves, and an
evaluation is cheaper than finding out whether an earlier one still holds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from features.changes import KINDS, Change, Changes
from features.estimates import DAY
from features.events import WorkerUpdated
from features.forms import attribute_of, compared
from features.growing import Growing
from features.jit import kernel, lean
from features.layout import NEVER, Record
from features.requirements_shape import (
    AllOf,
    Clause,
    Comparator,
    Guard,
    Node,
    Requirements,
    Value,
)
from features.text import normalise
from features.vocabulary import Vocabulary

REQUIREMENT = "requirement"
"""With an attribute behind a colon, the reason why a worker may not take a task that asks for it."""

COMPARATORS: tuple[str, ...] = get_args(Comparator)
LEVELS: tuple[str, ...] = get_args(Guard)
"""From what is open to most to what is open to fewest."""

_LT, _LE, _GT, _GE, _EQ, _NE, _IN, _NOT_IN, _EXISTS, _NOT_EXISTS = range(len(COMPARATORS))
_CLAUSE, ALL_OF, _ANY = range(3)
"""Kinds of nodes: ``ALL_OF`` holds where everything directly below it does."""
_NOT_HELD, _BARE, VALUED = range(3)
"""What facts know of an attribute: ``VALUED`` is what is held with a value."""
NONE = -1
"""In the place of a clause or a node: there is none."""
_UNASKED = -1

CLAUSE = np.dtype(
    [
        ("attribute", "i4"),
        ("comparator", "i4"),
        ("number", "f8"),
        ("start", "i4"),
        ("stop", "i4"),
        ("absent", "i4"),
    ],
    align=True,
)
"""A distinct clause: ``number`` is what it is compared with by size, ``start:stop`` its operands in rising order,
``absent`` the answer for a worker without a value."""

NODE = np.dtype(
    [
        ("kind", "i1"),
        ("holds", "i1"),
        ("guards", "i1"),
        ("alone", "i1"),
        ("parent", "i4"),
        ("clause", "i4"),
        ("reason", "i4"),
    ],
    align=True,
)
"""A node of a tree; ``holds`` is its answer before anything is asked, ``alone`` tells that no other clause of the tree
is of its attribute, ``parent`` is the node above, ``reason`` numbers what is said where it fails."""

TREE = np.dtype([("start", "i4"), ("stop", "i4"), ("apart", "i4"), ("plain", "i4")], align=True)
"""The nodes ``start:stop`` of requirements, the root first; those that ask for nothing have none. ``apart`` tells that
the root asks for all of its parts, no two of which have an attribute in common, and ``plain`` that these are clauses,
as of most: nothing to climb."""

SETS = np.dtype([("language", "i4"), ("country", "i4"), ("device", "i4")], align=True)
"""The clauses that languages, countries and devices come to. Equal ones are kept once: there are few."""

SIGNATURE = np.dtype([("tree", "i4"), ("sets", "i4")], align=True)
"""The tree of a signature's requirements, and its sets. Equal requirements are one tree."""

CHANGE = np.dtype(
    [
        ("kind", "i4"),
        ("attribute", "i4"),
        ("held", "i4"),
        ("operand", "i4"),
        ("number", "f8"),
        ("asked", "f8"),
        ("above", "i4"),
        ("topic", "i4"),
    ],
    align=True,
)
"""A change: ``kind`` is its place in ``KINDS``; ``held``, ``number`` and ``operand`` are what facts would say of the
attribute, by the value that is added to a set or that takes the place of another; ``asked`` is the number that it is
compared with, infinite without one, and ``above`` tells that it must be exceeded; ``topic`` numbers what it is about.
What facts would say after further approvals lies with the worker."""

APPROVED_COUNT, APPROVAL_RATE, LANGUAGE, DEVICE = (
    KINDS.index(kind) for kind in ("approved_count", "approval_rate", "language", "device")
)


class Program(NamedTuple):
    """All that was compiled, as kernels take it; the arrays may have room behind what is used."""

    clauses: NDArray[np.void]
    operands: NDArray[np.int32]
    nodes: NDArray[np.void]
    trees: NDArray[np.void]
    sets: NDArray[np.void]
    signatures: NDArray[np.void]


class Facts(NamedTuple):
    """What is known of a worker, by attribute.

    ``held`` tells whether it is held at all, without a value, or with one; ``number`` is the value where it is a
    number, else NaN; ``start:stop`` are the places in ``values`` of those that any clause names.
    """

    held: NDArray[np.int8]
    number: NDArray[np.float64]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]
    values: NDArray[np.int32]


class Options(NamedTuple):
    """What would fulfil clauses, as kernels take it.

    ``changes`` has a record of ``CHANGE`` for each of `features.changes.Changes.distinct`; those of clause ``c`` are
    ``of_clauses[starts[c] : starts[c + 1]]``. ``numbers`` are the values behind operands, NaN for texts.
    """

    changes: NDArray[np.void]
    starts: NDArray[np.int64]
    of_clauses: NDArray[np.int32]
    numbers: NDArray[np.float64]


class Sheet(NamedTuple):
    """A worker's answers at one level: 1 where a clause, a node or a tree holds, 0 where not, -1 if not asked.

    ``lone`` tells which part of a tree whose parts are apart is the only one that fails, -1 where not just one does.
    """

    clauses: NDArray[np.int8]
    nodes: NDArray[np.int8]
    trees: NDArray[np.int8]
    lone: NDArray[np.int32]


_Key = tuple[int, int, float, tuple[int, ...], bool]


class Compiler:
    """Compiles signatures as they appear; nothing is ever taken back.

    Attributes:
        attributes: what clauses ask for, in the form in which it is compared.
        reasons: the reason of each attribute as requesters wrote it.
        clauses: a sample of each distinct clause, by its place in ``Program.clauses``.
        changes: what would fulfil each of these.
    """

    def __init__(self) -> None:
        self.attributes = Vocabulary()
        self.reasons = Vocabulary()
        self.clauses: list[Clause] = []
        self.changes = Changes()
        self._written: dict[Clause, int] = {}
        self._allowances: dict[tuple[str, tuple[str, ...]], int] = {}
        self._places: dict[_Key, int] = {}
        self._places_of_trees: dict[Requirements | None, int] = {}
        self._values: dict[Value, int] = {}
        self._numbers = Growing(np.float64)
        self._clauses, self._nodes = Growing(CLAUSE), Growing(NODE)
        self._trees, self._signatures = Growing(TREE), Growing(SIGNATURE)
        self._sets, self._places_of_sets = Growing(SETS), dict[tuple[int, ...], int]()
        self._operands, self._changes = Growing(np.dtype(np.int32)), Growing(CHANGE)
        self._topics: dict[object, int] = {}

    def __len__(self) -> int:
        """Return the number of signatures."""
        return self._signatures.used

    @property
    def trees(self) -> int:
        """The number of distinct trees of requirements."""
        return self._trees.used

    @property
    def sets(self) -> int:
        """The number of distinct sets of languages, countries and devices."""
        return self._sets.used

    @property
    def program(self) -> Program:
        """What has been compiled so far."""
        return Program(
            self._clauses.rows,
            self._operands.rows,
            self._nodes.rows,
            self._trees.rows,
            self._sets.rows,
            self._signatures.rows,
        )

    @property
    def options(self) -> Options:
        """What would fulfil the clauses compiled so far."""
        return Options(
            self._changes.rows[: self._changes.used],
            self.changes.starts,
            self.changes.of_clauses,
            self._numbers.rows[: self._numbers.used],
        )

    def add(
        self,
        requirements: Requirements | None,
        *,
        languages: Iterable[str] = (),
        countries: Iterable[str] = (),
        devices: Iterable[str] = (),
    ) -> int:
        """Compile a signature; return its index. An empty set allows everybody."""
        place = self._grown(requirements)
        given = (("language", languages), ("country", countries), ("device", devices))
        clauses = tuple(self._allowed(attribute, tuple(values)) for attribute, values in given)
        sets = self._places_of_sets.setdefault(clauses, self._sets.used)
        if sets == self._sets.used:
            self._sets.append(clauses)
        self._signatures.append((place, sets))
        return self._signatures.used - 1

    def facts(
        self,
        profile: WorkerUpdated | None,
        record: Record,
        now: int,
        devices: Sequence[str] | None = None,
    ) -> Facts:
        """Return what is known of a worker.

        Args:
            profile: the profile in force; None for one that was never given.
            record: of ``Arrays.workers``.
            now: microseconds since 1970.
            devices: those in hand, in place of the profile's.
        """
        size = len(self.attributes)
        held, number = np.zeros(size, np.int8), np.full(size, np.nan)
        start, stop = np.zeros(size, np.int32), np.zeros(size, np.int32)
        values: list[int] = []
        # Of an attribute that is known twice, the last one counts.
        noted = {
            self.attributes.get(name): self._noted(given, values)
            for name, given in _known(profile, record, now, devices)
        }
        places = list(noted)
        held[places], number[places], start[places], stop[places] = zip(*noted.values(), strict=True)
        return Facts(held, number, start, stop, np.array(values, np.int32))

    def _noted(self, given: Sequence[Value], values: list[int]) -> tuple[int, float, int, int]:
        """Return what facts say of an attribute with these values, which come behind ``values``."""
        number, start = np.nan, len(values)
        for value in given:
            if not isinstance(value, str):
                number = value
            if (operand := self._values.get(value)) is not None:
                values.append(operand)
        return VALUED if given else _BARE, number, start, len(values)

    def sheet(self) -> Sheet:
        """Return a sheet without answers."""
        return Sheet(
            np.full(self._clauses.used, _UNASKED, np.int8),
            np.full(self._nodes.used, _UNASKED, np.int8),
            np.full(self._trees.used, _UNASKED, np.int8),
            np.full(self._trees.used, NONE, np.int32),
        )

    def failed(self, sheet: Sheet, signature: int) -> list[str]:
        """Return the reasons why a signature does not hold.

        Every attribute that fails in a part that fails is named once, as it was written: of an ``or`` all branches, of
        an ``and`` the branches that do not hold.
        """
        tasks = np.zeros(self.trees, np.int64)
        tasks[self._signatures.rows["tree"][signature]] = 1
        marks, _ = self._blame(sheet, tasks)
        nodes = self._nodes.rows[np.flatnonzero(marks)]
        reasons = nodes["reason"][nodes["kind"] == _CLAUSE].tolist()
        return self.reasons.externals(dict.fromkeys(reasons))

    def failures(self, sheet: Sheet, tasks: NDArray[np.int64]) -> dict[str, int]:
        """Return reason -> tasks that it keeps from the worker.

        Args:
            sheet: with the answers to every signature that counts.
            tasks: int64, trees; how many tasks bear each, 0 for what holds or does not matter.
        """
        _, counts = self._blame(sheet, tasks)
        places = np.flatnonzero(counts)
        return dict(zip(self.reasons.externals(places.tolist()), counts[places].tolist(), strict=True))

    def _blame(self, sheet: Sheet, tasks: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        marks, counts = np.zeros(len(sheet.nodes), np.bool_), np.zeros(len(self.reasons), np.int64)
        _count_failures(self.program, sheet, tasks, marks, counts)
        return marks, counts

    def _grown(self, requirements: Requirements | None) -> int:
        """Return the place of a tree, which is added if no signature has it yet."""
        place = self._places_of_trees.setdefault(requirements, self._trees.used)
        if place == self._trees.used:
            start = self._nodes.used
            if requirements is not None:
                self._nodes.extend(self._tree(requirements.root, start))
            self._trees.append((start, self._nodes.used, *_division(requirements)))
        return place

    def _tree(self, root: Node, first: int) -> list[tuple[int, int, int, bool, int, int, int]]:
        found: list[tuple[int, int, int, bool, int, int, int]] = []
        asked = Counter(attribute_of(clause.attribute) for clause in Requirements(root).clauses())
        stack: list[tuple[Node, int]] = [(root, NONE)]
        while stack:
            node, parent = stack.pop()
            place = first + len(found)
            if isinstance(node, Clause):
                guards = LEVELS.index(node.guards)
                alone = asked[attribute_of(node.attribute)] == 1
                reason = self.reasons.add(f"{REQUIREMENT}:{node.attribute}")
                found.append((_CLAUSE, 0, guards, alone, parent, self._clause(node), reason))
            else:
                every = isinstance(node, AllOf)
                found.append((ALL_OF if every else _ANY, every, 0, False, parent, NONE, 0))
                stack.extend((child, place) for child in reversed(node.nodes))
        return found

    def _allowed(self, attribute: str, values: tuple[str, ...]) -> int:
        if not values:
            return NONE
        place = self._allowances.get((attribute, values))
        if place is None:
            clause = Clause(attribute=attribute, comparator="in", values=values)
            place = self._allowances[attribute, values] = self._clause(clause)
        return place

    def _clause(self, clause: Clause) -> int:
        place = self._written.get(clause)
        if place is None:
            place = self._written[clause] = self._compiled(clause)
        return place

    def _compiled(self, clause: Clause) -> int:
        comparator = COMPARATORS.index(clause.comparator)
        given = clause.values or (() if clause.value is None else (clause.value,))
        number = float(given[0]) if comparator <= _GE and not isinstance(given[0], str) else 0.0
        operands: tuple[int, ...] = ()
        if _EQ <= comparator <= _NOT_IN:
            values = (compared(clause.attribute, value) for value in given)
            operands = tuple(sorted({self._operand(value) for value in values}))
        absent = clause.absent if clause.absent is not None else comparator in (_NE, _NOT_IN, _NOT_EXISTS)
        key = (self.attributes.add(attribute_of(clause.attribute)), comparator, number, operands, absent)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self.clauses)
            self.clauses.append(clause)
            self.changes.add(clause)
            self._changes.extend([self._changed(change) for change in self.changes.distinct[self._changes.used :]])
            start = self._operands.used
            self._operands.extend(operands)
            self._clauses.append((key[0], comparator, number, start, self._operands.used, absent))
        return place

    def _operand(self, value: Value) -> int:
        """Return the operand of a value, a new one if it is new."""
        operand = self._values.setdefault(value, len(self._values))
        if operand == self._numbers.used:
            self._numbers.append(np.nan if isinstance(value, str) else float(value))
        return operand

    def _changed(self, change: Change) -> tuple[int, int, int, int, float, float, bool, int]:
        """Return the record of a change."""
        value, number, operand = change.held, np.nan, NONE
        if value is not None:
            operand = self._operand(value)
            number = np.nan if isinstance(value, str) else float(value)
        return (
            KINDS.index(change.kind),
            self.attributes.get(attribute_of(change.attribute)),
            _BARE if value is None else VALUED,
            operand,
            number,
            change.number,
            change.comparator == "gt",
            self._topics.setdefault(change.topic, len(self._topics)),
        )


def _division(requirements: Requirements | None) -> tuple[bool, bool]:
    """Tell whether requirements ask for all of some parts without an attribute in common, and if these are clauses."""
    if requirements is None or not isinstance(requirements.root, AllOf):
        return False, False
    parts = requirements.root.nodes
    asked = [{attribute_of(clause.attribute) for clause in Requirements(part).clauses()} for part in parts]
    apart = len(set().union(*asked)) == sum(map(len, asked))
    return apart, apart and all(isinstance(part, Clause) for part in parts)


def _known(
    profile: WorkerUpdated | None, record: Record, now: int, devices: Sequence[str] | None
) -> Iterator[tuple[str, Sequence[Value]]]:
    """Yield attribute and values of what is known of a worker; no values where it is held without one."""
    approved, rejected = float(record["approved"]), float(record["rejected"])
    yield "approved_count", (approved,)
    if approved + rejected > 0.0:
        yield "approval_rate", (100.0 * approved / (approved + rejected),)
    if record["first_seen"] != NEVER:
        yield "age_days", ((now - int(record["first_seen"])) / DAY,)
    if profile is not None:
        yield from declared(profile, devices or profile.devices)
    elif devices:
        yield "device", [compared("device", device) for device in devices]


def declared(profile: WorkerUpdated, devices: Sequence[str] | None) -> Iterator[tuple[str, Sequence[Value]]]:
    """Yield attribute and values, as they are compared, of what a profile declares; no values where it gives none."""
    for identity, value in (profile.qualifications or {}).items():
        yield f"qualification:{identity}", () if value is None else (value,)
    skills = profile.skills or ()
    levels = skills.items() if isinstance(skills, Mapping) else ((name, 1.0) for name in skills)
    for name, level in levels:
        yield f"skill:{normalise(name)}", (level,)
    texts: dict[str, Sequence[str] | None] = {
        "language": profile.languages,
        "country": profile.country and (profile.country,),
        "region": profile.region and (profile.region,),
        "device": devices,
    }
    for attribute, values in texts.items():
        if values:
            yield attribute, [compared(attribute, value) for value in values]


@lean
def answer(clause: Record, operands: NDArray[np.int32], facts: Facts) -> bool:
    """Tell whether a worker fulfils a clause, a record of ``CLAUSE``."""
    attribute, comparator = clause.attribute, clause.comparator
    held, number = facts.held[attribute], facts.number[attribute]
    if _EQ <= comparator <= _NOT_IN:
        found = False
        for k in range(facts.start[attribute], facts.stop[attribute]):
            low, high = clause.start, clause.stop
            while low < high:
                middle = (low + high) // 2
                if operands[middle] < facts.values[k]:
                    low = middle + 1
                else:
                    high = middle
            found |= low < clause.stop and operands[low] == facts.values[k]
        met = found == (comparator in (_EQ, _IN))
    else:
        # Without branches, since neither the comparator nor the answer can be foreseen. A text is NaN here, so that
        # no number comes before or after it.
        met = (comparator <= _LE) & (number < clause.number)
        met |= ((comparator == _LE) | (comparator == _GE)) & (number == clause.number)
        met |= ((comparator == _GT) | (comparator == _GE)) & (number > clause.number)
        met |= comparator == _EXISTS
    told = (held == VALUED) | ((held == _BARE) & (comparator >= _EXISTS))
    holds: bool = (told & met) | (~told & (clause.absent != 0))
    return holds


@lean
def climb(
    nodes: NDArray[np.void], start: int, stop: int, level: int, answers: NDArray[np.int8], held: NDArray[np.int8]
) -> None:
    """Bring answers to clauses up to the root of a tree.

    Args:
        nodes: of the program; those of the tree are ``start:stop``.
        start: the root.
        stop: one behind the last node.
        level: clauses that guard a later one count as true.
        answers: by clause, 1 where it holds.
        held: by node, what is written.
    """
    for k in range(start, stop):
        # Before anything below it is asked, an `and` holds and an `or` does not.
        held[k] = nodes[k].holds
    for k in range(stop - 1, start - 1, -1):
        node = nodes[k]
        if node.kind == _CLAUSE:
            held[k] = node.guards > level or answers[node.clause] == 1
        if node.parent >= 0:
            if nodes[node.parent].kind == ALL_OF:
                held[node.parent] &= held[k]
            else:
                held[node.parent] |= held[k]


@kernel
def evaluate(program: Program, facts: Facts, sheet: Sheet, signatures: NDArray[np.int32], level: int) -> None:
    """Find a worker's answers to some signatures (int32): to the trees and sets that they are made of.

    Args:
        program: what was compiled.
        facts: of the worker.
        sheet: what is written; it is new, or was written for the same worker at the same level.
        signatures: int32, which ones.
        level: the place of the level in ``LEVELS``.
    """
    nodes, answers = program.nodes, sheet.clauses
    for i in range(signatures.size):
        signature = program.signatures[signatures[i]]
        sets, tree = program.sets[signature.sets], program.trees[signature.tree]
        for place in (sets.language, sets.country, sets.device):
            if place >= 0 and answers[place] == _UNASKED:
                answers[place] = answer(program.clauses[place], program.operands, facts)
        if sheet.trees[signature.tree] != _UNASKED:
            continue
        for k in range(tree.start, tree.stop):
            place = nodes[k].clause
            if place >= 0 and answers[place] == _UNASKED:
                answers[place] = answer(program.clauses[place], program.operands, facts)
        sheet.trees[signature.tree] = _holds(program, sheet, signature.tree, level)


@kernel
def evaluate_all(program: Program, facts: Facts, sheet: Sheet, level: int) -> None:
    """Find a worker's answers to all signatures; see `evaluate`."""
    # Clauses are asked one after the other, not as the trees come upon them: most stand in many trees.
    for place in range(sheet.clauses.size):
        sheet.clauses[place] = answer(program.clauses[place], program.operands, facts)
    for tree in range(sheet.trees.size):
        sheet.trees[tree] = _holds(program, sheet, tree, level)


@lean
def _holds(program: Program, sheet: Sheet, tree: int, level: int) -> bool:
    """Tell whether a tree holds whose clauses have been asked, and write down which of its nodes do."""
    nodes, answers, held = program.nodes, sheet.clauses, sheet.nodes
    # Into variables, or they are read anew after every store.
    start, stop = program.trees[tree].start, program.trees[tree].stop
    if start == stop:
        return True
    failures, lone = 0, NONE
    if program.trees[tree].plain:
        for k in range(start + 1, stop):
            node = nodes[k]
            met = (node.guards > level) | (answers[node.clause] == 1)
            held[k] = met
            failures += not met
            lone = lone if met else k
        held[start] = failures == 0
    else:
        climb(nodes, start, stop, level, answers, held)
        for k in range(start + 1 if program.trees[tree].apart else stop, stop):
            fails = (nodes[k].parent == start) & (held[k] == 0)
            failures += fails
            lone = k if fails else lone
    sheet.lone[tree] = lone if failures == 1 else NONE
    found: bool = held[start] == 1
    return found


@kernel
def _count_failures(
    program: Program, sheet: Sheet, tasks: NDArray[np.int64], marks: NDArray[np.bool_], counts: NDArray[np.int64]
) -> None:
    """Add tasks to the attributes that trees fail for, and leave marks at the nodes that are to blame."""
    nodes, held = program.nodes, sheet.nodes
    counted = np.full(counts.size, -1, np.int64)
    for tree in range(tasks.size):
        weight = tasks[tree]
        if weight == 0:
            continue
        # Into variables, or they are read anew after every store.
        start, stop = program.trees[tree].start, program.trees[tree].stop
        if program.trees[tree].plain:
            lone = sheet.lone[tree]
            for k in range(start + 1 if lone < 0 else lone, stop if lone < 0 else lone + 1):
                fails = held[k] == 0
                marks[k] = fails
                counts[np.uint32(nodes[k].reason)] += weight * fails
            continue
        for k in range(start, stop):
            node = nodes[k]
            # Without branches, since which clauses fail cannot be foreseen.
            marks[k] = (held[k] == 0) & ((node.parent < 0) | marks[node.parent])
            # An attribute that fails in two clauses keeps a task away once.
            reason = np.uint32(node.reason)
            fails = marks[k] & (node.kind == _CLAUSE) & (counted[reason] != tree)
            counted[reason] = tree if fails else counted[reason]
            counts[reason] += weight * fails
