"""What requirements mean: the compiled evaluator against one written straight from the contract, and single rules."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.estimates import DAY
from features.events import WorkerUpdated, decode_event
from features.layout import NEVER, WORKER, Record, blank
from features.requirements_compiler import Compiler
from features.requirements_evaluation import evaluate
from features.requirements_failures import count_failures
from features.requirements_failures import failed as reasons_of
from features.requirements_layout import LEVELS, Sheet
from features.requirements_shape import parse
from features.worker_facts import facts_of
from tests.requirements import NOBODY, ORDERS, PEOPLE, PRESENCE, TREES, Json, clause, clauses, failed, known, someone

NOW = 60 * DAY


def attributes(reasons: Iterable[str]) -> list[str]:
    """The attributes that reasons name."""
    assert all(reason.startswith("requirement:") for reason in reasons)
    return [reason.removeprefix("requirement:") for reason in reasons]


def record_of(worker: Json) -> Record:
    record = blank(WORKER, 1)[0]
    record["approved"], record["rejected"] = worker["approved"], worker["rejected"]
    record["first_seen"] = NEVER if worker["age"] is None else NOW - round(worker["age"] * DAY)
    return record


def profile_of(worker: Json) -> WorkerUpdated | None:
    if worker["profile"] is None:
        return None
    head = {"event_id": "e", "type": "worker_updated", "at": "2026-03-01T00:00:00Z", "worker_id": "w"}
    event = decode_event(json.dumps({**head, **worker["profile"]}).encode())
    assert isinstance(event, WorkerUpdated)
    return event


def failures(compiler: Compiler, sheet: Sheet, tasks: list[int]) -> dict[str, int]:
    """The tasks, given by tree, that each reason keeps away."""
    marks, counts = np.zeros(len(sheet.nodes), np.bool_), np.zeros(len(compiler.reasons), np.int64)
    count_failures(compiler.program, sheet, np.array(tasks), marks, counts)
    return {compiler.reasons.external(place): int(counts[place]) for place in np.flatnonzero(counts).tolist()}


def outcome(compiler: Compiler, worker: Json, signatures: list[int], level: str = "accept") -> list[list[str]]:
    """The attributes each signature fails for; an empty list where it holds."""
    devices = (worker["device"],) if worker["device"] else None
    facts = facts_of(compiler, profile_of(worker), record_of(worker), NOW, devices)
    sheet = compiler.sheet()
    evaluate(compiler.program, facts, sheet, np.array(signatures, np.int32), LEVELS.index(level))
    found = [attributes(reasons_of(compiler, sheet, signature)) for signature in signatures]
    trees = compiler.program.signatures["tree"][signatures]
    assert [not failed for failed in found] == (sheet.trees[trees] == 1).tolist()
    return found


def fails(worker: Json, requirements: Any, level: str = "accept") -> list[str]:
    compiler = Compiler()
    (found,) = outcome(compiler, worker, [compiler.add(parse(requirements))], level)
    return found


@given(worker=PEOPLE, requirements=st.lists(TREES, min_size=1, max_size=3), level=st.sampled_from(LEVELS))
@settings(deadline=None, max_examples=2_000)
def test_given_any_requirements_then_they_hold_and_fail_for_what_the_contract_says(
    worker: Json, requirements: list[Any], level: str
) -> None:
    compiler = Compiler()
    signatures = [compiler.add(parse(each)) for each in requirements]
    expected = [list(dict.fromkeys(failed(worker, each, level))) for each in requirements]
    assert outcome(compiler, worker, signatures, level) == expected


@given(worker=PEOPLE, one=clauses())
@settings(deadline=None, max_examples=2_000)
def test_given_a_value_then_a_comparator_is_the_opposite_of_its_negation(worker: Json, one: Json) -> None:
    opposite = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt", "eq": "ne", "ne": "eq", "in": "not_in"}
    opposite |= {"not_in": "in", "exists": "not_exists", "not_exists": "exists"}
    negated = {**one, "comparator": opposite[one["comparator"]]}
    values = known(worker, one["attribute"])
    holds, opposed = not fails(worker, [one]), not fails(worker, [negated])
    if values and isinstance(values[0], str) and one["comparator"] in ORDERS:
        # A text has no place in an order of numbers.
        assert not holds
        assert not opposed
    elif values:
        assert holds != opposed
    elif values is None and "absent" in one:
        assert holds == opposed == one["absent"]


@pytest.mark.parametrize("comparator", ["lt", "le", "gt", "ge", "eq", "ne", "in", "not_in", "exists", "not_exists"])
@pytest.mark.parametrize("absent", [None, True, False])
@pytest.mark.parametrize("worker", [NOBODY, someone(country="ID"), someone(qualifications={"q": None})])
def test_given_no_value_then_the_clause_says_or_else_its_comparator(
    worker: Json, absent: bool | None, comparator: str
) -> None:
    operands = () if comparator in PRESENCE else (1,)
    options = {} if absent is None else {"absent": absent}
    bare = bool(worker["profile"] and "qualifications" in worker["profile"])
    expected = comparator in ("ne", "not_in", "not_exists") if absent is None else absent
    if bare and comparator in PRESENCE:
        expected = comparator == "exists"
    assert fails(worker, [clause("qualification:q", comparator, *operands, **options)]) == (
        [] if expected else ["qualification:q"]
    )


@pytest.mark.parametrize(
    ("held", "one", "holds"),
    [
        (5, clause("qualification:q", "eq", 5.0), True),
        (5, clause("qualification:q", "eq", "5"), False),
        ("5", clause("qualification:q", "eq", "5"), True),
        ("5", clause("qualification:q", "in", 5, 6), False),
        ("Gold", clause("qualification:q", "eq", "gold"), False),
        ("gold", clause("qualification:q", "ge", 1), False),
        ("gold", clause("qualification:q", "lt", 1), False),
        (2**53, clause("qualification:q", "gt", 2**53 - 1), True),
    ],
)
def test_given_a_qualification_then_numbers_and_texts_are_different_things(held: Any, one: Json, holds: bool) -> None:
    assert fails(someone(qualifications={"q": held}), [one]) == ([] if holds else ["qualification:q"])


@pytest.mark.parametrize(
    ("worker", "one", "holds"),
    [
        (someone(languages=["en-GB", "ja"]), clause("language", "eq", "EN"), True),
        (someone(languages=["en-GB", "ja"]), clause("language", "ne", "en-US"), False),
        (someone(languages=["en", "ja"]), clause("language", "not_in", "ko", "ja"), False),
        (someone(languages=["en", "ja"]), clause("language", "in", "ko", "ja"), True),
        (someone(languages=[]), clause("language", "exists"), False),
        (someone(country="ID"), clause("country", "in", "id", "my"), True),
        (someone(region="Jawa  Barat"), clause("region", "eq", "jawa barat"), True),
        (someone(devices=["Phone"]), clause("device", "eq", "PHONE"), True),
        (someone(devices=["Phone"], device="desktop"), clause("device", "eq", "phone"), False),
        ({**NOBODY, "device": "phone"}, clause("device", "eq", "phone"), True),
        (someone(skills=["Data  entry"]), clause("skill:data entry", "ge", 1), True),
        (someone(skills={"a": 0.4}), clause("skill:A", "gt", 0.4), False),
        (someone(skills={"a": 0.1, "A ": 0.9}), clause("skill:a", "eq", 0.9), True),
    ],
)
def test_given_texts_then_they_are_compared_as_everywhere_else(worker: Json, one: Json, holds: bool) -> None:
    assert bool(fails(worker, [one])) != holds


@pytest.mark.parametrize(
    ("worker", "one", "holds"),
    [
        ({**NOBODY, "approved": 1, "rejected": 2}, clause("approval_rate", "gt", 33), True),
        ({**NOBODY, "approved": 0, "rejected": 1}, clause("approval_rate", "eq", 0), True),
        (NOBODY, clause("approval_rate", "exists"), False),
        (NOBODY, clause("approval_rate", "ge", 95, absent=True), True),
        (NOBODY, clause("approved_count", "eq", 0), True),
        ({**NOBODY, "approved": 7}, clause("approved_count", "ge", 7), True),
        (NOBODY, clause("age_days", "ge", 0), False),
        ({**NOBODY, "age": 60.0}, clause("age_days", "ge", 60), True),
        ({**NOBODY, "age": 59.9}, clause("age_days", "ge", 60), False),
        ({**NOBODY, "age": 0.5}, clause("age_days", "gt", 0), True),
    ],
)
def test_given_a_history_then_it_is_what_the_log_has_seen(worker: Json, one: Json, holds: bool) -> None:
    assert bool(fails(worker, [one])) != holds


def test_given_a_ladder_then_a_level_asks_for_itself_and_what_comes_before() -> None:
    ladder = [clause(f"qualification:{level}", "exists", guards=level) for level in LEVELS]
    assert [fails(NOBODY, ladder, level) for level in LEVELS] == [
        ["qualification:discover"],
        ["qualification:discover", "qualification:preview"],
        ["qualification:discover", "qualification:preview", "qualification:accept"],
    ]
    either = {"or": [clause("country", "eq", "ID", guards="discover"), clause("qualification:q", "exists")]}
    assert fails(NOBODY, either, "preview") == []


def test_given_a_tree_then_only_what_made_it_fail_is_named_and_once_as_it_was_written() -> None:
    country, skill = clause("country", "eq", "ID"), clause("skill:Data Entry", "exists")
    again = clause("skill:Data Entry", "ge", 0.5)
    assert fails(NOBODY, {"and": [{"or": [country, skill]}, again]}) == ["country", "skill:Data Entry"]
    assert fails(someone(country="ID"), {"and": [{"or": [country, skill]}, again]}) == ["skill:Data Entry"]
    assert fails(someone(country="ID"), {"or": [country, skill, again]}) == []
    assert fails(NOBODY, []) == []
    assert fails(NOBODY, skill) == ["skill:Data Entry"]


def test_given_the_deepest_and_the_widest_tree_then_it_is_evaluated() -> None:
    deep: Json = clause("country", "eq", "ID")
    for place in range(8):
        deep = {"or" if place % 2 else "and": [clause("region", "eq", "Bali"), deep]}
    assert fails(someone(country="ID", region="Bali"), deep) == []
    assert fails(NOBODY, deep) == ["region", "country"]
    wide = {"or": [clause(f"qualification:{number}", "exists") for number in range(1_024)]}
    assert fails(someone(qualifications={"1023": None}), wide) == []
    assert len(fails(NOBODY, wide)) == 1_024
    many = clause("country", "in", *(f"{a}{b}" for a in "ABCDEFGHIJKLMNOPQRST" for b in "ABCDEFGHIJKLMNOPQRST"))
    assert fails(someone(country="ID"), [many]) == []
    assert fails(someone(country="ZZ"), [many]) == ["country"]


def test_given_clauses_that_mean_the_same_then_they_are_kept_once() -> None:
    compiler = Compiler()
    compiler.add(parse([clause("language", "in", "en-GB", "id"), clause("skill:Python", "exists")]))
    before = len(compiler.clauses)
    compiler.add(parse([clause("language", "in", "ID", "en", "EN"), clause("skill:python ", "exists")]))
    compiler.add(parse([clause("skill:python", "exists", guards="discover", absent=False)]))
    assert len(compiler.clauses) == before == 2


def test_given_many_signatures_then_failures_are_counted_by_attribute() -> None:
    compiler = Compiler()
    shapes = (
        [clause("country", "eq", "ID")],
        {"or": [clause("country", "eq", "MY"), clause("qualification:q", "exists")]},
        [clause("qualification:q", "ge", 1), clause("qualification:q", "le", -1)],
        [clause("age_days", "exists", absent=True)],
    )
    signatures = [compiler.add(parse(each)) for each in shapes]
    facts, sheet = facts_of(compiler, None, blank(WORKER, 1)[0], NOW), compiler.sheet()
    evaluate(compiler.program, facts, sheet, np.array(signatures, np.int32), LEVELS.index("accept"))
    found = failures(compiler, sheet, [5, 7, 11, 0])
    counts = dict(zip(attributes(found), found.values(), strict=True))
    assert counts == {"country": 12, "qualification:q": 18}


def test_given_equal_requirements_beside_other_sets_then_their_tree_is_kept_once_and_both_count() -> None:
    compiler = Compiler()
    asked = [clause("country", "eq", value="ID"), clause("region", "eq", value="x")]
    signatures = [compiler.add(parse(asked), languages=languages) for languages in ((), ("en",))]
    nothing = compiler.add(None, languages=("en",))
    assert len(compiler.sheet().nodes) == 3
    facts, sheet = facts_of(compiler, None, blank(WORKER, 1)[0], NOW), compiler.sheet()
    evaluate(compiler.program, facts, sheet, np.arange(3, dtype=np.int32), LEVELS.index("accept"))
    assert compiler.program.signatures["tree"][:3].tolist() == [0, 0, 1]
    assert sheet.trees.tolist() == [0, 1]
    assert [attributes(reasons_of(compiler, sheet, signature)) for signature in (*signatures, nothing)] == [
        ["country", "region"]
    ] * 2 + [[]]
    assert failures(compiler, sheet, [5, 4]) == {"requirement:country": 5, "requirement:region": 5}
