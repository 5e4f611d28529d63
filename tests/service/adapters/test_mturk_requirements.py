"""What Mechanical Turk asks of workers, as requirements of the contract; the rows of docs/formats/mturk.md."""

import json
import math
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
    written = asked(ask(CUSTOM, "Exists"), ask(PERCENT, "GreaterThanOrEqualTo", 5))

    assert written == {
        "and": [
            clause(f"qualification:{CUSTOM}", "exists"),
            {
                "or": [
                    clause("approval_rate", "ge", value=5, absent=True),
                    clause("approved_count", "lt", value=5),
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
    written = asked(ask(PERCENT, "GreaterThanOrEqualTo", 10, ActionsGuarded="PreviewAndAccept"))

    assert [node["guards"] for node in written["or"]] == ["preview", "preview"]


@pytest.mark.parametrize(
    ("comparator", "values", "expected"),
    [
        (
            "GreaterThanOrEqualTo",
            [15],
            {
                "or": [
                    clause("approval_rate", "ge", value=15, absent=True),
                    clause("approved_count", "lt", value=10),
                    {"and": [clause("approval_rate", "gt", value=10), clause("approved_count", "lt", value=15)]},
                ]
            },
        ),
        (
            "LessThan",
            [15],
            {
                "and": [
                    clause("approval_rate", "lt", value=15),
                    {"or": [clause("approval_rate", "le", value=0), clause("approved_count", "ge", value=10)]},
                    {"or": [clause("approval_rate", "le", value=10), clause("approved_count", "ge", value=15)]},
                ]
            },
        ),
        (
            "LessThanOrEqualTo",
            [0],
            {
                "and": [
                    clause("approval_rate", "le", value=0),
                    {"or": [clause("approval_rate", "le", value=0), clause("approved_count", "ge", value=1)]},
                ]
            },
        ),
    ],
)
def test_percent_approved_is_100_below_100_submissions(comparator: str, values: list[int], expected: Any) -> None:
    assert asked(ask(PERCENT, comparator, *values)) == expected


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
    return compare(comparator, found, node.get("value", node.get("values")))


def compare(comparator: str, found: float, value: Any) -> bool:
    return {
        "lt": lambda: found < value,
        "le": lambda: found <= value,
        "gt": lambda: found > value,
        "ge": lambda: found >= value,
        "eq": lambda: found == value,
        "ne": lambda: found != value,
        "in": lambda: found in value,
        "not_in": lambda: found not in value,
        "exists": lambda: True,
        "not_exists": lambda: False,
    }[comparator]()


@given(st.data(), st.integers(0, 400), st.integers(0, 400))
def test_the_percentage_asks_what_the_service_asks(data: st.DataObject, approved: int, rejected: int) -> None:
    name = data.draw(st.sampled_from([name for name in COMPARATORS if "Exist" not in name]))
    comparator = COMPARATORS[name]
    values = data.draw(st.lists(st.integers(0, 100), min_size=1, max_size=15 if name in ("In", "NotIn") else 1))
    operand = values if comparator in ("in", "not_in") else values[0]

    answer = holds(asked(ask(PERCENT, name, *values)), approved, rejected)

    submitted = approved + rejected
    rate = 100 * approved / submitted if submitted else 100
    as_new, as_rated = compare(comparator, 100, operand), compare(comparator, rate, operand)
    if submitted and not approved:  # nothing tells whether there were 100 submissions
        assert answer == (as_new or as_rated)
    elif submitted < 100:
        assert answer == as_new
    elif approved >= 10 * math.ceil(rate / 10):
        assert answer == as_rated
    elif as_new:  # in the rest of the band, a worker may count as new
        assert answer >= as_rated
    else:
        assert answer <= as_rated


@pytest.mark.parametrize(
    ("name", "bound", "answer"),
    [("GreaterThanOrEqualTo", 95, False), ("LessThan", 95, True), ("LessThanOrEqualTo", 60, True)],
)
def test_half_of_100_submissions_approved_is_a_rate_of_50(name: str, bound: int, answer: bool) -> None:
    assert holds(asked(ask(PERCENT, name, bound)), 50, 50) is answer


def test_every_worker_has_the_percentage() -> None:
    assert asked(ask(PERCENT, "Exists")) == [clause("approval_rate", "exists", absent=True)]
    assert asked(ask(PERCENT, "DoesNotExist")) == [clause("approval_rate", "not_exists", absent=False)]


def test_the_number_approved_is_that_of_the_log_and_zero_for_newcomers() -> None:
    assert asked(ask(NUMBER, "GreaterThan", 500)) == [clause("approved_count", "gt", value=500)]
    assert asked(ask(NUMBER, "LessThan", 10)) == [clause("approved_count", "lt", value=10, absent=True)]
    assert asked(ask(NUMBER, "NotEqualTo", 0)) == [clause("approved_count", "ne", value=0, absent=False)]


@pytest.mark.parametrize(
    ("comparator", "locales", "expected"),
    [
        ("EqualTo", [{"Country": "US"}], [clause("country", "eq", value="US")]),
        ("NotEqualTo", [{"Country": "US"}], [clause("country", "ne", value="US", absent=False)]),
        ("In", [{"Country": "US"}, {"Country": "CA"}], [clause("country", "in", values=["US", "CA"])]),
        (
            "NotIn",
            [{"Country": "US"}, {"Country": "CA"}],
            [clause("country", "not_in", values=["US", "CA"], absent=False)],
        ),
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
        "and": [
            clause("country", "exists"),
            {"or": [clause("country", "ne", value="US"), clause("region", "not_in", values=region)]},
        ]
    }


def test_countries_and_subdivisions_mix_in_a_list() -> None:
    locales = [{"Country": "CA"}, {"Country": "US", "Subdivision": "WA"}]
    inside = {"and": [clause("country", "eq", value="US"), clause("region", "in", values=["US-WA", "WA"])]}
    outside = {"or": [clause("country", "ne", value="US"), clause("region", "not_in", values=["US-WA", "WA"])]}

    assert asked(ask(LOCALE, "In", *locales)) == {"or": [clause("country", "eq", value="CA"), inside]}
    assert asked(ask(LOCALE, "NotIn", *locales)) == {
        "and": [clause("country", "ne", value="CA", absent=False), outside]
    }


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
