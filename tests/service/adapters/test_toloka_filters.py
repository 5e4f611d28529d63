"""Whom Toloka's pools ask for and what they pay, as requirements; the rows of docs/formats/toloka.md."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import EventError
from service.adapters.clauses import requirements
from service.adapters.payloads import Fields
from service.adapters.toloka.filters import COMPUTED, PROFILE, language, level, nodes_of
from service.adapters.toloka.prices import Price, prices_of

SKILL_OPERATORS = {"EQ": "eq", "NE": "ne", "GT": "gt", "GTE": "ge", "LT": "lt", "LTE": "le"}


def asked(condition: Any, **pool: object) -> Any:
    fields = Fields({"filter": condition, **pool})
    return json.loads(msgspec.json.encode(requirements(nodes_of(fields), "filter")))


def ask(category: str, key: str, operator: str, *value: object) -> dict[str, Any]:
    given = {"value": value[0]} if value else {}
    return {"category": category, "key": key, "operator": operator, **given}


def clause(attribute: str, comparator: str, **more: object) -> dict[str, Any]:
    return {"attribute": attribute, "comparator": comparator, **more}


COUNTRY = ask("profile", "country", "EQ", "ID")
HELD = clause("country", "eq", value="ID")


def test_a_pool_without_a_filter_asks_nothing() -> None:
    assert asked(None) is None
    assert asked({"and": []}) is None


def test_conditions_nest_in_and_and_or() -> None:
    skill = ask("skill", "2", "GTE", 60)
    android = ask("computed", "os_family", "EQ", "ANDROID")

    written = asked({"and": [{"or": [COUNTRY, {"and": [skill, android]}]}, {"or": [android]}]})

    assert written == {
        "and": [
            {
                "or": [
                    HELD,
                    {
                        "and": [
                            clause("skill:2", "ge", value=0.6),
                            clause("qualification:os_family", "eq", value="ANDROID"),
                        ]
                    },
                ]
            },
            clause("qualification:os_family", "eq", value="ANDROID"),
        ]
    }


def test_and_around_single_alternatives_is_a_list() -> None:
    assert asked({"and": [{"or": [COUNTRY]}, {"or": [ask("skill", "2", "GT", 50)]}]}) == [
        HELD,
        clause("skill:2", "gt", value=0.5),
    ]


def test_a_filter_beside_the_issuing_of_assignments_counts_as_well() -> None:
    assert asked(None, assignments_issuing_config={"filter": {"and": [COUNTRY]}}) == [HELD]


@pytest.mark.parametrize(("operator", "comparator"), SKILL_OPERATORS.items())
def test_every_operator_of_a_skill_has_its_counterpart(operator: str, comparator: str) -> None:
    assert asked(ask("skill", "55", operator, 59.7)) == [clause("skill:55", comparator, value=0.597)]


@pytest.mark.parametrize("absent", [(), (None,)])
def test_a_skill_of_null_is_one_that_is_lacked(absent: tuple[None, ...]) -> None:
    assert asked(ask("skill", "55", "EQ", *absent)) == [clause("skill:55", "not_exists")]
    assert asked(ask("skill", "55", "NE", *absent)) == [clause("skill:55", "exists")]


def test_a_skill_may_be_written_as_text() -> None:
    assert asked({"category": "skill", "key": 2, "operator": "GTE", "value": "60"}) == [
        clause("skill:2", "ge", value=0.6)
    ]


@given(st.decimals(0, 100, places=2))
def test_a_skill_from_0_to_100_is_a_level_from_0_to_1_however_it_is_written(value: Any) -> None:
    assert level(str(value)) == level(float(value))
    assert 0 <= level(str(value)) <= 1


@pytest.mark.parametrize(
    ("key", "operator", "value", "expected"),
    [
        ("country", "EQ", "ID", HELD),
        ("country", "NE", "ID", clause("country", "ne", value="ID")),
        ("languages", "IN", "ID", clause("language", "in", values=["id"])),
        ("languages", "IN", ["ID", "EN"], clause("language", "in", values=["id", "en"])),
        ("languages", "NOT_IN", ["RU"], clause("language", "not_in", values=["ru"])),
        ("city", "IN", 213, clause("qualification:city", "in", values=[213])),
        ("gender", "EQ", "FEMALE", clause("qualification:gender", "eq", value="FEMALE")),
        ("citizenship", "EQ", "ID", clause("qualification:citizenship", "eq", value="ID")),
        ("education", "NE", "BASIC", clause("qualification:education", "ne", value="BASIC")),
        ("date_of_birth", "LT", 1000000000, clause("qualification:date_of_birth", "lt", value=1000000000)),
        ("adult_allowed", "EQ", True, clause("qualification:adult_allowed", "eq", value=1)),
        ("verified", "EQ", False, clause("qualification:verified", "eq", value=0)),
    ],
)
def test_profile_conditions(key: str, operator: str, value: object, expected: Any) -> None:
    assert asked(ask("profile", key, operator, value)) == [expected]


@pytest.mark.parametrize(
    ("key", "operator", "value", "expected"),
    [
        ("device_category", "EQ", "SMARTPHONE", clause("device", "eq", value="mobile")),
        ("device_category", "EQ", "PERSONAL_COMPUTER", clause("device", "eq", value="desktop")),
        ("os_family", "EQ", "WINDOWS", clause("qualification:os_family", "eq", value="WINDOWS")),
        ("os_version", "GTE", 14.4, clause("qualification:os_version", "ge", value=14.4)),
        ("os_version_major", "GT", 9, clause("qualification:os_version_major", "gt", value=9)),
        ("client_type", "EQ", "TOLOKA_APP", clause("qualification:client_type", "eq", value="TOLOKA_APP")),
        ("user_agent_family", "NE", "IE", clause("qualification:user_agent_family", "ne", value="IE")),
        ("region_by_phone", "IN", 225, clause("qualification:region_by_phone", "in", values=[225])),
        ("region_by_ip", "NOT_IN", [225, 187], clause("qualification:region_by_ip", "not_in", values=[225, 187])),
        ("region_by_ip", "IN", None, clause("qualification:region_by_ip", "not_exists")),
        ("os_family", "NE", "UNKNOWN", clause("qualification:os_family", "exists")),
        (
            "os_family",
            "IN",
            ["ANDROID", "UNKNOWN"],
            {
                "or": [
                    clause("qualification:os_family", "in", values=["ANDROID"]),
                    clause("qualification:os_family", "not_exists"),
                ]
            },
        ),
        ("os_family", "IN", ["UNKNOWN"], clause("qualification:os_family", "not_exists")),
        ("rating", "GTE", 70, clause("qualification:rating", "ge", value=70)),
    ],
)
def test_computed_conditions(key: str, operator: str, value: object, expected: Any) -> None:
    written = asked(ask("computed", key, operator, value))

    assert written == (expected if "or" in expected else [expected])


def test_a_list_without_the_unknown_asks_that_a_value_is_held() -> None:
    assert asked(ask("computed", "os_family", "NOT_IN", ["ANDROID", "UNKNOWN"])) == [
        clause("qualification:os_family", "not_in", values=["ANDROID"]),
        clause("qualification:os_family", "exists"),
    ]


def test_language_codes_become_tags() -> None:
    assert [language(code) for code in ("ID", "ZH-HANS", "PT-BR")] == ["id", "zh-Hans", "pt-BR"]


def test_a_training_to_pass_is_a_qualification() -> None:
    control = {"training_requirement": {"training_pool_id": "21", "training_passing_skill_value": 70}}

    assert asked(None, quality_control=control) == [clause("qualification:training:21", "ge", value=70)]


@pytest.mark.parametrize(
    ("condition", "path", "reason"),
    [
        (ask("horoscope", "sign", "EQ", "LEO"), "category", 'found "horoscope", allowed: profile'),
        ({"key": "country", "operator": "EQ", "value": "ID"}, "category", "missing; one of profile"),
        ({"category": "profile", "operator": "EQ", "value": "ID"}, "key", "missing"),
        (ask("profile", "shoe_size", "EQ", 42), "key", 'found "shoe_size", allowed: country'),
        (ask("computed", "country", "EQ", "ID"), "key", 'found "country", allowed: device_category'),
        ({"category": "profile", "key": "country", "value": "ID"}, "operator", "missing"),
        (ask("profile", "country", "GT", "ID"), "operator", 'found "GT", allowed: EQ, NE'),
        (ask("profile", "languages", "EQ", "ID"), "operator", 'found "EQ", allowed: IN, NOT_IN'),
        (ask("skill", "2", "IN", [1]), "operator", 'found "IN", allowed: EQ'),
        (ask("skill", "2", "GT"), "value", "missing, the operator compares numbers"),
        (ask("skill", "2", "GT", 101), "value", "expected a number from 0 to 100"),
        (ask("skill", "2", "GT", -0.5), "value", "expected a number from 0 to 100"),
        (ask("skill", "2", "GT", "NaN"), "value", "expected a number from 0 to 100"),
        (ask("skill", "2", "GT", True), "value", "expected a number from 0 to 100"),
        (ask("profile", "languages", "IN", []), "value", "empty"),
        (ask("profile", "country", "EQ", "Indonesia"), "value", "expected an ISO 3166-1 code"),
        (ask("profile", "city", "IN", 2.5), "value", "expected a whole number"),
        (ask("computed", "os_version", "GT", "new"), "value", "expected a number"),
        (ask("profile", "verified", "EQ", "yes"), "value", "expected true or false"),
        (COUNTRY | {"weight": 2}, "weight", "unknown field; known: category"),
        ({"or": []}, "or", "empty: nobody could take the task"),
        ({"and": [COUNTRY], "or": [COUNTRY]}, "or", "unknown field; known: and"),
        ({"and": COUNTRY}, "and", "found an object, expected a list"),
        ({"not": [COUNTRY]}, "not", "unknown field; known: category"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_path(condition: Any, path: str, reason: str) -> None:
    with pytest.raises(EventError) as refusal:
        asked({"and": [{"or": [COUNTRY]}, condition]})

    assert str(refusal.value).startswith(f"`filter.and[1].{path}`: {reason}")


def test_a_filter_deeper_than_the_log_allows_is_refused() -> None:
    condition: dict[str, Any] = COUNTRY
    for place in range(10):
        condition = {"or" if place % 2 else "and": [condition, ask("skill", str(place), "GT", 1)]}

    with pytest.raises(EventError, match=r"`filter`: .*nested deeper than 8"):
        asked(condition)


SKILLS = st.one_of(st.none(), st.integers(0, 100))


def _conditions() -> st.SearchStrategy[dict[str, Any]]:
    leaves = st.builds(
        lambda key, operator, value: ask("skill", key, operator, value),
        st.sampled_from(["a", "b"]),
        st.sampled_from(sorted(SKILL_OPERATORS)),
        st.integers(0, 100),
    ) | st.builds(
        lambda key, operator: ask("skill", key, operator, None),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["EQ", "NE"]),
    )
    return st.recursive(
        leaves,
        lambda inner: st.builds(
            lambda key, parts: {key: parts}, st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)
        ),
        max_leaves=6,
    )


def _of_toloka(condition: dict[str, Any], skills: dict[str, int | None]) -> bool:
    if "and" in condition:
        return all(_of_toloka(part, skills) for part in condition["and"])
    if "or" in condition:
        return any(_of_toloka(part, skills) for part in condition["or"])
    held, value, operator = skills[condition["key"]], condition["value"], condition["operator"]
    if value is None or held is None:
        return (held == value) == (operator == "EQ") if operator in ("EQ", "NE") else False
    return _compared(SKILL_OPERATORS[operator], held, value)


def _of_contract(node: Any, skills: dict[str, int | None]) -> bool:
    if isinstance(node, list):
        return all(_of_contract(part, skills) for part in node)
    if "and" in node:
        return _of_contract(node["and"], skills)
    if "or" in node:
        return any(_of_contract(part, skills) for part in node["or"])
    held, comparator = skills[node["attribute"].removeprefix("skill:")], node["comparator"]
    if comparator in ("exists", "not_exists"):
        return (held is not None) == (comparator == "exists")
    if held is None:
        return bool(node.get("absent", comparator == "ne"))
    return _compared(comparator, held / 100, node["value"])


def _compared(comparator: str, held: float, value: float) -> bool:
    return {
        "eq": held == value,
        "ne": held != value,
        "gt": held > value,
        "ge": held >= value,
        "lt": held < value,
        "le": held <= value,
    }[comparator]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(10 / 3, 10 / 300), (2 / 3, 2 / 300), (1e-05, 1e-07), ("1E-5", 1e-07), (1e2, 1), ("5e-324", 0)],
)
def test_a_skill_has_as_many_decimals_as_a_float(value: float | str, expected: float) -> None:
    assert level(value) == pytest.approx(expected)


@given(_conditions(), SKILLS, SKILLS)
def test_requirements_let_in_whom_the_filter_lets_in(condition: Any, a: int | None, b: int | None) -> None:
    skills = {"a": a, "b": b}

    assert _of_contract(asked(condition), skills) == _of_toloka(condition, skills)


def priced(*intervals: tuple[int | None, int | None, float], basic: float = 0.02) -> list[Price]:
    config = {
        "type": "SKILL",
        "skill_id": "9",
        "intervals": [
            {name: value for name, value in (("from", low), ("to", high)) if value is not None}
            | {"reward_per_assignment": amount}
            for low, high, amount in intervals
        ],
    }
    return prices_of(Fields({"reward_per_assignment": basic, "dynamic_pricing_config": config}))


def test_a_pool_without_intervals_pays_everybody_the_same() -> None:
    (price,) = prices_of(Fields({"reward_per_assignment": 0.02}))

    assert (str(price.amount), price.nodes) == ("0.02", [])


def test_every_price_is_for_the_skills_of_its_interval() -> None:
    basic, low, high = priced((0, 60, 0.03), (61, 100, 0.04))

    assert low.nodes == [clause("skill:9", "le", value=0.6)]
    assert high.nodes == [clause("skill:9", "ge", value=0.61)]
    assert basic.nodes == [
        clause("skill:9", "gt", value=0.6, absent=True),
        clause("skill:9", "lt", value=0.61, absent=True),
    ]


def test_intervals_of_one_price_are_one_task() -> None:
    _, price = priced((10, 20, 0.03), (30, 40, 0.03))

    assert price.nodes == [
        {
            "or": [
                {"and": [clause("skill:9", "ge", value=0.1), clause("skill:9", "le", value=0.2)]},
                {"and": [clause("skill:9", "ge", value=0.3), clause("skill:9", "le", value=0.4)]},
            ]
        }
    ]


def test_an_interval_for_all_skills_leaves_the_basic_price_to_those_without() -> None:
    basic, price = priced((None, None, 0.03))

    assert basic.nodes == [clause("skill:9", "not_exists")]
    assert price.nodes == [clause("skill:9", "exists")]


def test_an_interval_at_the_basic_price_makes_no_task_of_its_own() -> None:
    assert [price.nodes for price in priced((0, 60, 0.02))] == [[]]


@given(st.lists(st.integers(0, 100), min_size=2, max_size=6, unique=True), SKILLS, st.data())
def test_exactly_one_price_is_for_a_worker(bounds: list[int], skill: int | None, data: st.DataObject) -> None:
    ordered = sorted(bounds)
    pairs = list(zip(ordered[::2], ordered[1::2], strict=False))
    amounts = [data.draw(st.sampled_from([0.02, 0.03, 0.04])) for _ in pairs]
    expected = next(
        (
            amount
            for (low, high), amount in zip(pairs, amounts, strict=True)
            if skill is not None and low <= skill <= high
        ),
        0.02,
    )

    prices = priced(*[(low, high, amount) for (low, high), amount in zip(pairs, amounts, strict=True)])

    assert [float(price.amount) for price in prices if _of_contract(price.nodes, {"9": skill})] == [expected]


@pytest.mark.parametrize(
    ("pool", "path"),
    [
        ({}, "reward_per_assignment"),
        ({"reward_per_assignment": -1}, "reward_per_assignment"),
        ({"reward_per_assignment": 1, "dynamic_pricing_config": {"type": "AGE"}}, "dynamic_pricing_config.type"),
        ({"reward_per_assignment": 1, "dynamic_pricing_config": {}}, "dynamic_pricing_config.skill_id"),
        (
            {"reward_per_assignment": 1, "dynamic_pricing_config": {"skill_id": "9"}},
            "dynamic_pricing_config.intervals",
        ),
        (
            {"reward_per_assignment": 1, "dynamic_pricing_config": {"skill_id": "9", "intervals": [{"from": 1}]}},
            "dynamic_pricing_config.intervals[0].reward_per_assignment",
        ),
    ],
)
def test_a_wrong_price_is_refused_with_its_path(pool: dict[str, Any], path: str) -> None:
    with pytest.raises(EventError) as refusal:
        prices_of(Fields(pool))

    assert str(refusal.value).startswith(f"`{path}`: ")


@pytest.mark.parametrize(
    ("intervals", "path"),
    [
        (((0, 101, 0.03),), "intervals[0].to"),
        (((70, 60, 0.03),), "intervals[0].from"),
        (((0, 60, 0.03), (60, 100, 0.04)), "intervals[1]"),
    ],
)
def test_a_wrong_interval_is_refused_with_its_path(intervals: Any, path: str) -> None:
    with pytest.raises(EventError) as refusal:
        priced(*intervals)

    assert str(refusal.value).startswith(f"`dynamic_pricing_config.{path}`: ")


def test_every_fact_is_held_under_a_name_of_its_own() -> None:
    attributes = [fact.attribute for fact in (PROFILE | COMPUTED).values()]

    assert len(set(attributes)) == len(attributes)
