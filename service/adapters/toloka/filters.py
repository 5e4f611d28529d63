"""Filters of a pool as requirements, and the names under which a profile holds what they ask.

Keys, operators and values: Toloka's API documentation, "Filters" and its parts on profile, computed and skill data.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from service.adapters.clauses import Node, all_of, any_of, clause
from service.adapters.payloads import Fields

_SAME = {"EQ": "eq", "NE": "ne", "IN": "in", "NOT_IN": "not_in"}
_ORDER = {"EQ": "eq", "NE": "ne", "GT": "gt", "GTE": "ge", "LT": "lt", "LTE": "le"}
_OPPOSITE = frozenset({"ne", "not_in"})
_LISTS = frozenset({"in", "not_in"})
_DEVICES = {
    "PERSONAL_COMPUTER": "desktop",
    "SMARTPHONE": "mobile",
    "TABLET": "tablet",
    "WEARABLE_COMPUTER": "wearable",
}
_NUMBER = re.compile(r"-?\d{1,15}(\.\d+)?(e(-\d{1,3}|\+?\d{1,2}))?", re.ASCII | re.IGNORECASE)
_MOST_WHOLE = 2**53
# What the service writes where it could not find something out.
UNKNOWN = "UNKNOWN"
_CATEGORIES = ("profile", "computed", "skill")


class Fact(NamedTuple):
    """Something a filter may ask.

    Attributes:
        attribute: the attribute of the contract that holds it.
        operators: operators of the filter -> comparators of the contract.
        convert: turns one value of the filter into one of the clause; raises `ValueError`.
    """

    attribute: str
    operators: dict[str, str]
    convert: Callable[[Any], object]


def device(value: object) -> str:
    """Return the name of a device for a category of devices.

    Raises:
        ValueError: it is no text.
    """
    name = _word(value)
    return _DEVICES.get(name, name.lower())


def language(value: object) -> str:
    """Return the BCP 47 tag for a code of the service, which writes them in capitals.

    Raises:
        ValueError: it is no text.
    """
    primary, *rest = _word(value).split("-")
    return "-".join([primary.lower(), *(part.title() if len(part) == 4 else part for part in rest)])


def level(value: object) -> float:
    """Return a skill of 0 to 100 as a level of 0 to 1; equal decimals give equal levels.

    Raises:
        ValueError: it is no number from 0 to 100.
    """
    text = str(value).strip()
    if isinstance(value, bool) or not _NUMBER.fullmatch(text) or not 0 <= (number := Decimal(text)) <= 100:
        raise ValueError("expected a number from 0 to 100")
    return float(number / 100)


def _word(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected text")
    return value.strip()


def _number(value: object) -> int | float:
    text = str(value).strip()
    if isinstance(value, bool) or not _NUMBER.fullmatch(text):
        raise ValueError("expected a number")
    return int(text) if text.removeprefix("-").isdecimal() else float(text)


def _whole(value: object) -> int:
    number = _number(value)
    if number != int(number) or abs(number) > _MOST_WHOLE:
        raise ValueError("expected a whole number")
    return int(number)


def truth(value: object) -> int:
    """Return a truth value as a qualification holds it.

    Raises:
        ValueError: it is none.
    """
    if value is not True and value is not False:
        raise ValueError("expected true or false")
    return int(value)


def _country(value: object) -> str:
    name = _word(value)
    if not (len(name) == 2 and name.isascii() and name.isalpha() and name.isupper()):
        raise ValueError("expected an ISO 3166-1 code of two capital letters")
    return name


def _held(key: str, operators: dict[str, str], convert: Callable[[Any], object]) -> Fact:
    return Fact(f"qualification:{key}", operators, convert)


def _all_held(convert: Callable[[Any], object], operators: dict[str, str], *keys: str) -> dict[str, Fact]:
    return {key: _held(key, operators, convert) for key in keys}


PROFILE = {
    "country": Fact("country", _SAME, _country),
    "languages": Fact("language", {"IN": "in", "NOT_IN": "not_in"}, language),
    **_all_held(_word, _SAME, "gender", "citizenship", "education"),
    **_all_held(truth, _SAME, "adult_allowed", "verified"),
    **_all_held(_whole, _SAME, "city"),
    **_all_held(_whole, _ORDER, "date_of_birth"),
}
_VERSIONS = (
    *("os_version", "os_version_major", "os_version_minor", "os_version_bugfix"),
    *("user_agent_version", "user_agent_version_major", "user_agent_version_minor", "user_agent_version_bugfix"),
)
COMPUTED = {
    "device_category": Fact("device", _SAME, device),
    **_all_held(_word, _SAME, "client_type", "os_family", "user_agent_type", "user_agent_family"),
    **_all_held(_whole, _SAME, "region_by_phone", "region_by_ip"),
    **_all_held(_number, _ORDER, "rating", *_VERSIONS),
}


def node_of(condition: Fields) -> Node | None:
    """Return what a filter, or a part of one, asks; None for one that asks nothing.

    Raises:
        EventError: an unknown category, key or operator, a value out of bounds, or an alternative without a way.
    """
    for key, join in (("and", all_of), ("or", any_of)):
        if key in condition:
            condition.only((key,))
            nodes = [node_of(part) for part in condition.objects(key)]
            asked = [node for node in nodes if node is not None]
            if key == "or" and not nodes:
                raise condition.error(key, "empty: nobody could take the task")
            if key == "or" and len(asked) < len(nodes):
                return None
            return join(asked) if asked else None
    condition.only(("category", "key", "operator", "value"))
    category = condition.choice("category", _CATEGORIES)
    if category is None:
        raise condition.error("category", f"missing; one of {', '.join(_CATEGORIES)}, or `and`, or `or`")
    key = condition.need("key")
    if category == "skill":
        return _compare(condition, Fact(f"skill:{key}", _ORDER, level))
    facts = PROFILE if category == "profile" else COMPUTED
    if key not in facts:
        raise condition.error("key", f'found "{key[:40]}", allowed: {", ".join(facts)}')
    return _compare(condition, facts[key])


def _compare(condition: Fields, fact: Fact) -> Node:
    operator = condition.need("operator")
    if operator not in fact.operators:
        raise condition.error("operator", f'found "{operator[:40]}", allowed: {", ".join(fact.operators)}')
    comparator = fact.operators[operator]
    given = condition.body.get("value")
    several = comparator in _LISTS
    operands = given if several and isinstance(given, list) else [given]
    known = [value for value in operands if value is not None and value != UNKNOWN]
    nodes = [_missing(condition, fact.attribute, comparator)] if len(known) < len(operands) else []
    try:
        values = [fact.convert(value) for value in known]
    except ValueError as error:
        raise condition.error("value", str(error)) from error
    if values:
        nodes.insert(0, clause(fact.attribute, comparator, values if several else values[0]))
    if not nodes:
        raise condition.error("value", "empty")
    return all_of(nodes) if comparator in _OPPOSITE else any_of(nodes)


def _missing(condition: Fields, attribute: str, comparator: str) -> Node:
    """No value stands for what is not known of a worker, such as a skill that is not held."""
    if comparator in ("eq", "in"):
        return clause(attribute, "not_exists")
    if comparator in _OPPOSITE:
        return clause(attribute, "exists")
    raise condition.error("value", "missing, the operator compares numbers")


def nodes_of(pool: Fields) -> list[Node]:
    """Return what a pool asks of workers by its filter and by its training; all of it must hold.

    Raises:
        EventError: as `node_of`.
    """
    nodes = []
    issuing = pool.object("assignments_issuing_config")
    for holder in (pool, issuing):
        condition = holder.object("filter") if holder is not None else None
        if condition is not None and (node := node_of(condition)) is not None:
            nodes.append(node)
    control = pool.object("quality_control")
    training = control.object("training_requirement") if control is not None else None
    if training is not None:
        passing = training.integer("training_passing_skill_value", 0, 100)
        if passing is None:
            raise training.error("training_passing_skill_value", "missing")
        nodes.append(clause(f"qualification:training:{training.need('training_pool_id')}", "ge", passing))
    return nodes
