"""What `requirements` mean, compiled once for each distinct signature.

Every distinct clause is kept once, whatever trees it stands in, so that a worker's answer to it is found once.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from features.changes import KINDS, Change, Changes
from features.forms import attribute_of, compared
from features.growing import Growing
from features.requirements_layout import (
    ALL_OF,
    ANY_OF,
    BARE,
    CHANGE,
    CLAUSE,
    COMPARATORS,
    EQ,
    GE,
    LEAF,
    LEVELS,
    NE,
    NODE,
    NONE,
    NOT_EXISTS,
    NOT_IN,
    REQUIREMENT,
    SETS,
    SIGNATURE,
    TREE,
    UNASKED,
    VALUED,
    Options,
    Program,
    Sheet,
)
from features.requirements_shape import AllOf, Clause, Node, Requirements, Value
from features.vocabulary import Vocabulary

_Key = tuple[int, int, float, tuple[int, ...], bool]


class Compiler:
    """Compiles signatures as they appear; nothing is ever taken back.

    Attributes:
        attributes: what clauses ask for, in the form in which it is compared.
        reasons: the reason of each attribute as requesters wrote it.
        clauses: a sample of each distinct clause, by its place in ``Program.clauses``.
        changes: what would fulfil each of these.
        values: the operand of each value that one of these names, or a change.
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
        self.values: dict[Value, int] = {}
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

    def sheet(self) -> Sheet:
        """Return a sheet without answers."""
        return Sheet(
            np.full(self._clauses.used, UNASKED, np.int8),
            np.full(self._nodes.used, UNASKED, np.int8),
            np.full(self._trees.used, UNASKED, np.int8),
            np.full(self._trees.used, NONE, np.int32),
        )

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
                found.append((LEAF, 0, guards, alone, parent, self._clause(node), reason))
            else:
                every = isinstance(node, AllOf)
                found.append((ALL_OF if every else ANY_OF, every, 0, False, parent, NONE, 0))
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
        number = float(given[0]) if comparator <= GE and not isinstance(given[0], str) else 0.0
        operands: tuple[int, ...] = ()
        if EQ <= comparator <= NOT_IN:
            values = (compared(clause.attribute, value) for value in given)
            operands = tuple(sorted({self._operand(value) for value in values}))
        absent = clause.absent if clause.absent is not None else comparator in (NE, NOT_IN, NOT_EXISTS)
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
        operand = self.values.setdefault(value, len(self.values))
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
            BARE if value is None else VALUED,
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
