"""What a worker could change to fulfil a clause."""

from typing import Any

import pytest

from features.changes import Change, Changes, changes_of
from features.requirements_shape import Clause


def clause(attribute: str, comparator: str, **operand: Any) -> Clause:
    return Clause(attribute=attribute, comparator=comparator, **operand)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (clause("qualification:q", "exists"), [("exists", None)]),
        (clause("qualification:q", "ge", value=80), [("ge", 80)]),
        (clause("qualification:q", "eq", value=80), [("eq", 80)]),
        (clause("qualification:q", "eq", value=80.5), []),
        (clause("qualification:q", "in", values=("a", 2)), [("eq", "a"), ("eq", 2)]),
        (clause("qualification:q", "ne", value=80), []),
        (clause("skill:s", "ge", value=1), [("ge", 1)]),
        (clause("skill:s", "gt", value=1), []),
        (clause("skill:s", "eq", value=2), []),
        (clause("language", "in", values=("en-GB", "de")), [("eq", "en"), ("eq", "de")]),
        (clause("language", "exists"), []),
        (clause("device", "eq", value=" Phone "), [("eq", "phone")]),
        (clause("approval_rate", "ge", value=95), [("ge", 95)]),
        (clause("approved_count", "lt", value=5), []),
        (clause("country", "eq", value="ID"), []),
        (clause("age_days", "ge", value=30), []),
    ],
)
def test_given_a_clause_then_a_change_fulfils_it_if_anybody_can_bring_it_about(
    asked: Clause, expected: list[tuple[str, Any]]
) -> None:
    assert [(change.comparator, change.value) for change in changes_of(asked)] == expected


def test_given_clauses_then_their_changes_are_kept_once_and_found_by_clause() -> None:
    changes = Changes()
    for asked in (
        clause("device", "in", values=("phone", "desktop")),
        clause("country", "eq", value="ID"),
        clause("device", "eq", value="desktop"),
    ):
        changes.add(asked)
    assert changes.distinct == [Change("device", "eq", "phone"), Change("device", "eq", "desktop")]
    found = [changes.of_clauses[changes.starts[place] : changes.starts[place + 1]].tolist() for place in range(3)]
    assert found == [[0, 1], [], [1]]
