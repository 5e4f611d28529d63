"""What Mechanical Turk asks of workers, as requirements of the contract; the rows of docs/formats/mturk.md."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import EventError
from service.adapters.clauses import requirements
from service.adapters.mturk.requirements import COMPARATORS, nodes_of
from service.adapters.payloads import Fields

CUSTOM = "3QUALSIGNS0000000000000000001"
PERCENT = "000000000000000000L0"
NUMBER = "00000000000000000040"
LOCALE = "00000000000000000071"
ADULT = "00000000000000000060"
MASTERS = "2F1QJWKUDD8XADTFD2Q0G6UTO95ALH"


def asked(*given: dict[str, Any]) -> Any:
    fields = Fields({"QualificationRequirements": list(given)})
    return json.loads(msgspec.json.encode(requirements(nodes_of(fields), "QualificationRequirements")))


def ask(kind: str, comparator: str, *values: object, **more: object) -> dict[str, Any]:
    name = "LocaleValues" if kind == LOCALE else "IntegerValues"
    return {"QualificationTypeId": kind, "Comparator": comparator, **({name: list(values)} if values else {}), **more}


def clause(attribute: str, comparator: str, **more: object) -> dict[str, Any]:
    return {"attribute": attribute, "comparator": comparator, **more}


def test_no_requirement_asks_nothing() -> None:
    assert asked() is None


@pytest.mark.parametrize(
    ("comparator", "values", "expected"),
    [
        ("LessThan", [5], {"comparator": "lt", "value": 5}),
        ("LessThanOrEqualTo", [5], {"comparator": "le", "value": 5}),
        ("GreaterThan", [5], {"comparator": "gt", "value": 5}),
        ("GreaterThanOrEqualTo", [5], {"comparator": "ge", "value": 5}),
        ("EqualTo", [5], {"comparator": "eq", "value": 5}),
        ("NotEqualTo", [5], {"comparator": "ne", "value": 5, "absent": False}),
        ("Exists", [], {"comparator": "exists"}),
        ("DoesNotExist", [], {"comparator": "not_exists"}),
        ("In", [5, 7], {"comparator": "in", "values": [5, 7]}),
        ("NotIn", [5, 7], {"comparator": "not_in", "values": [5, 7], "absent": False}),
    ],
)
def test_every_comparator_has_its_counterpart(comparator: str, values: list[int], expected: dict[str, Any]) -> None:
    assert asked(ask(CUSTOM, comparator, *values)) == [{"attribute": f"qualification:{CUSTOM}", **expected}]


def test_requirements_are_anded() -> None:
    written = asked(ask(CUSTOM, "Exists"), ask("3OTHER", "DoesNotExist"))

    assert written == [clause(f"qualification:{CUSTOM}", "exists"), clause("qualification:3OTHER", "not_exists")]


def test_requirements_with_alternatives_become_a_tree() -> None:
    written = asked(ask(CUSTOM, "Exists"), ask(PERCENT, "GreaterThanOrEqualTo", 95))

    assert written == {
        "and": [
            clause(f"qualification:{CUSTOM}", "exists"),
            {
                "or": [
                    clause("approval_rate", "ge", value=95, absent=True),
                    clause("approved_count", "lt", value=95),
                ]
            },
        ]
    }


def test_ten_requirements_are_taken_and_eleven_refused() -> None:
    assert len(asked(*[ask(f"3QUAL{place}", "Exists") for place in range(10)])) == 10
    with pytest.raises(EventError, match=r"`QualificationRequirements\[10\]`: 11 requirements, a HIT has at most 10"):
        asked(*[ask(f"3QUAL{place}", "Exists") for place in range(11)])


@pytest.mark.parametrize(
    ("actions", "guards"),
    [("Accept", None), ("PreviewAndAccept", "preview"), ("DiscoverPreviewAndAccept", "discover")],
)
def test_actions_guarded_are_guards(actions: str, guards: str | None) -> None:
    expected = clause(f"qualification:{CUSTOM}", "exists") | ({"guards": guards} if guards else {})

    assert asked(ask(CUSTOM, "Exists", ActionsGuarded=actions)) == [expected]


def test_the_legacy_required_to_preview_guards_the_preview() -> None:
    assert asked(ask(CUSTOM, "Exists", RequiredToPreview=True))[0]["guards"] == "preview"
    assert "guards" not in asked(ask(CUSTOM, "Exists", RequiredToPreview=False))[0]


def test_actions_guarded_goes_before_required_to_preview() -> None:
    requirement = ask(CUSTOM, "Exists", RequiredToPreview=False, ActionsGuarded="DiscoverPreviewAndAccept")

    assert asked(requirement)[0]["guards"] == "discover"


def test_every_clause_of_an_alternative_bears_its_guards() -> None:
    written = asked(ask(PERCENT, "GreaterThanOrEqualTo", 95, ActionsGuarded="PreviewAndAccept"))

    assert [node["guards"] for node in written["or"]] == ["preview", "preview"]


@pytest.mark.parametrize(
    ("comparator", "values", "expected"),
    [
        (
            "GreaterThanOrEqualTo",
            [95],
            {"or": [clause("approval_rate", "ge", value=95, absent=True), clause("approved_count", "lt", value=95)]},
        ),
        (
            "GreaterThan",
            [95],
            {"or": [clause("approval_rate", "gt", value=95, absent=True), clause("approved_count", "lt", value=95)]},
        ),
        (
            "LessThan",
            [95],
            {"and": [clause("approval_rate", "lt", value=95), clause("approved_count", "ge", value=95)]},
        ),
        (
            "EqualTo",
            [100],
            {"or": [clause("approval_rate", "eq", value=100, absent=True), clause("approved_count", "lt", value=100)]},
        ),
    ],
)
def test_percent_approved_is_100_below_100_submissions(comparator: str, values: list[int], expected: Any) -> None:
    written = asked(ask(PERCENT, comparator, *values))

    assert (written if "or" in expected else {"and": written}) == expected


def value_of_service(approved: int, rejected: int) -> float:
    """The system qualification: 100 below 100 submissions."""
    submitted = approved + rejected
    return 100.0 if submitted < 100 else 100 * approved / submitted


def holds(node: Any, approved: int, rejected: int) -> bool:
    """The contract's rule for a worker with so many verdicts."""
    if isinstance(node, list):
        return all(holds(inner, approved, rejected) for inner in node)
    if "and" in node:
        return all(holds(inner, approved, rejected) for inner in node["and"])
    if "or" in node:
        return any(holds(inner, approved, rejected) for inner in node["or"])
    judged = approved + rejected
    found: float | None = approved
    if node["attribute"] == "approval_rate":
        found = 100 * approved / judged if judged else None
    comparator = node["comparator"]
    if found is None:
        return bool(node.get("absent", comparator in ("ne", "not_in", "not_exists")))
    return compare(comparator, found, node.get("value"))


def compare(comparator: str, found: float, value: Any) -> bool:
    return {
        "lt": lambda: found < value,
        "le": lambda: found <= value,
        "gt": lambda: found > value,
        "ge": lambda: found >= value,
        "eq": lambda: found == value,
        "ne": lambda: found != value,
        "exists": lambda: True,
        "not_exists": lambda: False,
    }[comparator]()


ORDERS = [name for name, comparator in COMPARATORS.items() if comparator in ("ge", "gt")]


@given(st.sampled_from(ORDERS), st.integers(0, 100), st.integers(0, 200), st.integers(0, 200))
def test_whom_the_service_lets_in_for_the_percentage_is_let_in(
    name: str, bound: int, approved: int, rejected: int
) -> None:
    written = asked(ask(PERCENT, name, bound))
    comparator = COMPARATORS[name]

    if compare(comparator, value_of_service(approved, rejected), bound):
        assert holds(written, approved, rejected)
    elif approved >= max(bound, 1):  # beyond that many approvals, nobody else is
        assert not holds(written, approved, rejected)


@given(st.sampled_from(["LessThan", "LessThanOrEqualTo", "NotEqualTo"]), st.integers(0, 100), st.data())
def test_opposite_comparators_of_the_percentage_exclude_each_other(name: str, bound: int, data: st.DataObject) -> None:
    opposite = {"LessThan": "GreaterThanOrEqualTo", "LessThanOrEqualTo": "GreaterThan", "NotEqualTo": "EqualTo"}[name]
    approved, rejected = data.draw(st.integers(0, 200)), data.draw(st.integers(0, 200))

    answers = [holds(asked(ask(PERCENT, which, bound)), approved, rejected) for which in (name, opposite)]

    assert sorted(answers) == [False, True]


def test_every_worker_has_the_percentage() -> None:
    assert asked(ask(PERCENT, "Exists")) == [clause("approval_rate", "exists", absent=True)]
    assert asked(ask(PERCENT, "DoesNotExist")) == [clause("approval_rate", "not_exists", absent=False)]


def test_percentages_out_of_a_list_are_alternatives() -> None:
    written = asked(ask(PERCENT, "In", 99, 100))

    assert written == {
        "or": [
            {"and": [clause("approval_rate", "eq", value=99), clause("approved_count", "ge", value=99)]},
            clause("approval_rate", "eq", value=100, absent=True),
            clause("approved_count", "lt", value=100),
        ]
    }


def test_the_number_approved_is_that_of_the_log_and_zero_for_newcomers() -> None:
    assert asked(ask(NUMBER, "GreaterThan", 500)) == [clause("approved_count", "gt", value=500)]
    assert asked(ask(NUMBER, "LessThan", 10)) == [clause("approved_count", "lt", value=10, absent=True)]
    assert asked(ask(NUMBER, "NotEqualTo", 0)) == [clause("approved_count", "ne", value=0, absent=False)]


@pytest.mark.parametrize(
    ("comparator", "locales", "expected"),
    [
        ("EqualTo", [{"Country": "US"}], [clause("country", "eq", value="US")]),
        ("NotEqualTo", [{"Country": "US"}], [clause("country", "ne", value="US")]),
        ("In", [{"Country": "US"}, {"Country": "CA"}], [clause("country", "in", values=["US", "CA"])]),
        ("NotIn", [{"Country": "US"}, {"Country": "CA"}], [clause("country", "not_in", values=["US", "CA"])]),
        ("Exists", [], [clause("country", "exists")]),
        ("DoesNotExist", [], [clause("country", "not_exists")]),
    ],
)
def test_a_locale_is_the_country(comparator: str, locales: list[Any], expected: Any) -> None:
    assert asked(ask(LOCALE, comparator, *locales)) == expected


def test_a_subdivision_is_the_region_within_the_country() -> None:
    here = {"Country": "US", "Subdivision": "WA"}
    region = ["US-WA", "WA"]

    assert asked(ask(LOCALE, "EqualTo", here)) == [
        clause("country", "eq", value="US"),
        clause("region", "in", values=region),
    ]
    assert asked(ask(LOCALE, "NotEqualTo", here)) == {
        "or": [clause("country", "ne", value="US"), clause("region", "not_in", values=region)]
    }


def test_countries_and_subdivisions_mix_in_a_list() -> None:
    locales = [{"Country": "CA"}, {"Country": "US", "Subdivision": "WA"}]
    inside = {"and": [clause("country", "eq", value="US"), clause("region", "in", values=["US-WA", "WA"])]}
    outside = {"or": [clause("country", "ne", value="US"), clause("region", "not_in", values=["US-WA", "WA"])]}

    assert asked(ask(LOCALE, "In", *locales)) == {"or": [clause("country", "eq", value="CA"), inside]}
    assert asked(ask(LOCALE, "NotIn", *locales)) == {"and": [clause("country", "ne", value="CA"), outside]}


def test_adult_content_is_a_qualification() -> None:
    assert asked(ask(ADULT, "EqualTo", 1)) == [clause(f"qualification:{ADULT}", "eq", value=1)]


@pytest.mark.parametrize(
    "masters",
    ["2F1QJWKUDD8XADTFD2Q0G6UTO95ALH", "2NDP2L92HECWY8NS8H3CK0CP5L9GHO", "21VZU98JHSTLZ5BPP4A9NOBJEK3DPG"],
)
def test_masters_is_held_or_not(masters: str) -> None:
    assert asked(ask(masters, "Exists")) == [clause(f"qualification:{masters}", "exists")]
    with pytest.raises(EventError, match=r"QualificationRequirements\[0\].Comparator`: Masters has no value"):
        asked(ask(masters, "GreaterThan", 1))


US = {"Country": "US"}


@pytest.mark.parametrize(
    ("requirement", "path", "reason"),
    [
        (ask(CUSTOM, "Above", 1), "Comparator", 'found "Above", allowed: LessThan'),
        ({"QualificationTypeId": CUSTOM}, "Comparator", "missing; one of LessThan"),
        ({"Comparator": "Exists"}, "QualificationTypeId", "missing"),
        (ask(CUSTOM, "Exists", MinimumAge=18), "MinimumAge", "unknown field"),
        (ask(CUSTOM, "Exists", ActionsGuarded="Submit"), "ActionsGuarded", 'found "Submit"'),
        (ask(CUSTOM, "Exists", RequiredToPreview="yes"), "RequiredToPreview", "found text, expected true or false"),
        (ask(CUSTOM, "Exists", 1), "IntegerValues", "must be absent with Exists"),
        (ask(CUSTOM, "DoesNotExist", 1), "IntegerValues", "must be absent with Exists"),
        (ask(CUSTOM, "EqualTo"), "IntegerValues", "missing"),
        (ask(CUSTOM, "EqualTo", 1, 2), "IntegerValues", "2 values, the comparator takes one"),
        (ask(CUSTOM, "In", *range(16)), "IntegerValues", "16 values, at most 15"),
        (ask(CUSTOM, "In", 1, "2"), "IntegerValues[1]", "expected a whole number"),
        (ask(CUSTOM, "In", 1, 2.5), "IntegerValues[1]", "expected a whole number"),
        (ask(PERCENT, "GreaterThan", 101), "IntegerValues[0]", "expected a whole number from 0 to 100"),
        (ask(NUMBER, "GreaterThan", -1), "IntegerValues[0]", "expected a whole number from 0"),
        (ask(ADULT, "EqualTo", 2), "IntegerValues[0]", "expected a whole number from 0 to 1"),
        (ask(CUSTOM, "EqualTo", LocaleValues=[US]), "LocaleValues", "only with the qualification type"),
        (ask(LOCALE, "EqualTo", US, IntegerValues=[1]), "IntegerValues", "a locale is compared with LocaleValues"),
        (ask(LOCALE, "LessThan", US), "Comparator", "a locale takes only EqualTo"),
        (ask(LOCALE, "EqualTo", US, US), "LocaleValues", "2 values, the comparator takes one"),
        (ask(LOCALE, "In", *[US] * 31), "LocaleValues", "31 values, at most 30"),
        (ask(LOCALE, "In", US, {"Country": "USA"}), "LocaleValues[1].Country", "expected an ISO 3166 code"),
        (
            ask(LOCALE, "In", {"Country": "US", "Subdivision": "W"}),
            "LocaleValues[0].Subdivision",
            "expected an ISO 3166-2 code",
        ),
        (ask(LOCALE, "In", {"Country": "US", "City": "Seattle"}), "LocaleValues[0].City", "unknown field"),
    ],
)
def test_what_breaks_the_rules_of_the_service_is_refused_with_its_path(
    requirement: dict[str, Any], path: str, reason: str
) -> None:
    with pytest.raises(EventError) as refusal:
        asked(ask(MASTERS, "Exists"), requirement)

    assert str(refusal.value).startswith(f"`QualificationRequirements[1].{path}`: {reason}")


def test_as_many_values_as_the_service_allows_are_taken() -> None:
    assert len(asked(ask(CUSTOM, "In", *range(15)))[0]["values"]) == 15
    countries = [{"Country": f"A{letter}"} for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"] + [US] * 4
    assert len(asked(ask(LOCALE, "In", *countries))[0]["values"]) == 30
