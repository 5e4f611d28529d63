"""What a worker could bring about to fulfil a clause: a qualification, a skill, a language, a device, or approvals.

Nobody changes a country or an age. Changes are kept once each and by clause, so that whoever asks what would help a
worker counts by numbers.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.forms import attribute_of, compared
from features.growing import Growing
from features.requirements_shape import Clause, Value

APPROVALS = ("approval_rate", "approved_count")
"""Attributes that further approvals raise."""

PLURAL = ("language", "device")
"""Attributes of which a worker may have several."""


KINDS = ("qualification", "skill", *PLURAL, *APPROVALS)
"""What changes are about."""


class Change(NamedTuple):
    """A fact that would have to be so: the simplest clause that it fulfils, ``attribute`` as requirements write it."""

    attribute: str
    comparator: str
    value: Value | None

    @property
    def topic(self) -> tuple[str, Value | None]:
        """What it is about: of the changes of one topic one is enough."""
        if self.attribute in APPROVALS:
            return "approvals", None
        return attribute_of(self.attribute), self.value if self.attribute in PLURAL else None

    @property
    def number(self) -> float:
        """The value as a number, infinite if it is none."""
        return math.inf if self.value is None or isinstance(self.value, str) else float(self.value)

    @property
    def kind(self) -> str:
        """One of ``KINDS``."""
        return self.attribute.partition(":")[0]

    @property
    def held(self) -> Value | None:
        """The least value that fulfils it; None for what is held without a value, and for approvals.

        A qualification is a whole number, a skill without a level to reach is known in full.
        """
        if self.attribute in APPROVALS:
            return None
        if self.kind == "skill":
            return max(0.0, self.number) if self.comparator in ("ge", "eq") else 1.0
        if isinstance(self.value, str) or self.value is None:
            return self.value
        return math.floor(self.value) + 1 if self.comparator == "gt" else math.ceil(self.value)


class Changes:
    """The changes that fulfil clauses; these are added in the order of their places, and nothing is taken back.

    Attributes:
        distinct: each change, in the order in which they first came.
    """

    def __init__(self) -> None:
        self.distinct: list[Change] = []
        self._places: dict[Change, int] = {}
        self._starts, self._of_clauses = Growing(np.int64), Growing(np.int32)
        self._starts.append(0)

    def add(self, clause: Clause) -> None:
        """Add the next clause."""
        found = []
        for change in changes_of(clause):
            place = self._places.setdefault(change, len(self.distinct))
            if place == len(self.distinct):
                self.distinct.append(change)
            found.append(place)
        self._of_clauses.extend(found)
        self._starts.append(self._of_clauses.used)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where the changes of each clause begin in ``of_clauses``, and where those of the last one end (int64)."""
        return self._starts.rows[: self._starts.used]

    @property
    def of_clauses(self) -> NDArray[np.int32]:
        """Places in ``distinct`` (int32), by clause."""
        return self._of_clauses.rows[: self._of_clauses.used]


def changes_of(clause: Clause) -> Iterator[Change]:
    """Yield the changes by which a worker would fulfil a clause; nothing for what nobody can bring about.

    How many approvals one about approvals asks for, and whether anyone could reach them, lies with the worker.
    """
    attribute, comparator = clause.attribute, clause.comparator
    kind = attribute.partition(":")[0]
    if attribute in APPROVALS:
        if comparator in ("ge", "gt"):
            yield Change(attribute, comparator, clause.value)
    elif kind in ("qualification", "skill", *PLURAL):
        changes = [Change(attribute, comparator, clause.value)]
        if comparator in ("eq", "in"):
            values = clause.values or (clause.value,)
            changes = [Change(attribute, "eq", compared(attribute, value)) for value in values if value is not None]
        for change in changes:
            if _feasible(kind, change):
                yield change


def _feasible(kind: str, change: Change) -> bool:
    """Tell whether there is a value that fulfils a change."""
    match change.comparator:
        case "exists":
            return kind not in PLURAL
        case "eq" if kind == "qualification":
            return change.value == change.held
        case "eq":
            return kind != "skill" or 0.0 <= change.number <= 1.0
        case "ge" | "gt":
            return kind != "skill" or change.number < 1.0 or (change.comparator == "ge" and change.value == 1)
    return False
