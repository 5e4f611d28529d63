"""QualificationRequirements of a HIT as requirements of a task.

Rules of the service: the API reference of 2017-01-17, data structures QualificationRequirement and Locale.
"""

import operator
import re
from collections.abc import Sequence

from service.adapters.clauses import Node, all_of, any_of, clause
from service.adapters.payloads import Fields

MAX_REQUIREMENTS = 10
MAX_INTEGERS = 15
MAX_LOCALES = 30
COMPARATORS = {
    "LessThan": "lt",
    "LessThanOrEqualTo": "le",
    "GreaterThan": "gt",
    "GreaterThanOrEqualTo": "ge",
    "EqualTo": "eq",
    "NotEqualTo": "ne",
    "Exists": "exists",
    "DoesNotExist": "not_exists",
    "In": "in",
    "NotIn": "not_in",
}
GUARDS = {"Accept": "accept", "PreviewAndAccept": "preview", "DiscoverPreviewAndAccept": "discover"}
PERCENT_APPROVED = "000000000000000000L0"
NUMBER_APPROVED = "00000000000000000040"
LOCALE = "00000000000000000071"
ADULT = "00000000000000000060"
MASTERS = frozenset(
    {
        "2F1QJWKUDD8XADTFD2Q0G6UTO95ALH",  # Masters
        "2NDP2L92HECWY8NS8H3CK0CP5L9GHO",  # Categorization Masters
        "21VZU98JHSTLZ5BPP4A9NOBJEK3DPG",  # Photo Moderation Masters
        "2ARFPLSP75KLA8M8DH1HTEQVJT3SY6",  # the same three in the sandbox
        "2F1KVCNHMVHV8E9PBUB2A4J79LU20F",
        "2TGBB6BFMFFOM08IBMAFGGESC1UWJX",
    }
)
_BOUNDS = {PERCENT_APPROVED: (0, 100), NUMBER_APPROVED: (0, 2**31 - 1), ADULT: (0, 1)}
_FIELDS = (
    "QualificationTypeId",
    "Comparator",
    "IntegerValues",
    "LocaleValues",
    "ActionsGuarded",
    "RequiredToPreview",
)
_COMPARE = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}
_ORDERS = frozenset({"lt", "le", "gt", "ge"})
_BAND = 10
"""Width of the bands of the rate in which newcomers are told by their approvals, in percent."""
# Of a rate within 0 to 100 these hold for everybody or for nobody.
_SAME_FOR_ALL = {("ge", 0), ("lt", 0), ("le", 100), ("gt", 100)}
_COUNTRY = re.compile(r"[A-Z]{2}")
_SUBDIVISION = re.compile(r"[A-Z0-9]{2}")
# The whole numbers are compared as the service compares them, in 32 bits.
_INTEGER = (-(2**31), 2**31 - 1)


def nodes_of(task: Fields) -> list[Node]:
    """Return what the ``QualificationRequirements`` of a HIT or HIT type ask; all of it must hold.

    Raises:
        EventError: more than ten, an unknown field or comparator, or values against the rules of the service.
    """
    asked = task.objects("QualificationRequirements")
    if len(asked) > MAX_REQUIREMENTS:
        reason = f"{len(asked)} requirements, a HIT has at most {MAX_REQUIREMENTS}"
        raise task.error(f"QualificationRequirements[{MAX_REQUIREMENTS}]", reason)
    return [_node(requirement) for requirement in asked]


def region_names(country: str, subdivision: str) -> list[str]:
    """Return how a profile may write a subdivision: as ISO 3166-2 code, or as the part behind the hyphen."""
    return [f"{country}-{subdivision}", subdivision]


def _node(requirement: Fields) -> Node:
    requirement.only(_FIELDS)
    kind = requirement.need("QualificationTypeId")
    if requirement.text("Comparator") is None:
        raise requirement.error("Comparator", f"missing; one of {', '.join(COMPARATORS)}")
    comparator = COMPARATORS[requirement.choice("Comparator", tuple(COMPARATORS)) or ""]
    guards = _guards(requirement)
    if kind == LOCALE:
        return _guarded(_locale(requirement, comparator), guards)
    if "LocaleValues" in requirement:
        raise requirement.error("LocaleValues", f"only with the qualification type {LOCALE}")
    values = _integers(requirement, kind, comparator)
    if kind == PERCENT_APPROVED:
        return _guarded(_percent_approved(comparator, values), guards)
    if kind == NUMBER_APPROVED:
        return _guarded(_number_approved(comparator, values), guards)
    return _guarded(_held(f"qualification:{kind}", comparator, values), guards)


def _guards(requirement: Fields) -> str:
    """Responses carry the deprecated field beside the new one, which then decides."""
    actions = requirement.choice("ActionsGuarded", tuple(GUARDS))
    if actions is not None:
        return GUARDS[actions]
    return "preview" if requirement.flag("RequiredToPreview") else "accept"


def _guarded(node: Node, guards: str) -> Node:
    if guards == "accept":
        return node
    for key in ("and", "or"):
        if key in node:
            return {key: [_guarded(inner, guards) for inner in node[key]]}
    return {**node, "guards": guards}


def _count(requirement: Fields, name: str, comparator: str, most: int) -> list[object]:
    values = requirement.values(name)
    if comparator in ("exists", "not_exists"):
        if values:
            raise requirement.error(name, "must be absent with Exists and DoesNotExist")
    elif not values:
        raise requirement.error(name, "missing, the comparator needs it")
    elif comparator in ("in", "not_in"):
        if len(values) > most:
            raise requirement.error(name, f"{len(values)} values, at most {most}")
    elif len(values) > 1:
        raise requirement.error(name, f"{len(values)} values, the comparator takes one")
    return values


def _integers(requirement: Fields, kind: str, comparator: str) -> list[int]:
    if kind in MASTERS and comparator not in ("exists", "not_exists"):
        raise requirement.error("Comparator", "Masters has no value; only Exists and DoesNotExist can ask for it")
    values = _count(requirement, "IntegerValues", comparator, MAX_INTEGERS)
    low, high = _BOUNDS.get(kind, _INTEGER)
    whole = []
    for place, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise requirement.error(f"IntegerValues[{place}]", f"expected a whole number from {low} to {high}")
        whole.append(value)
    return whole


def _held(attribute: str, comparator: str, values: list[int]) -> Node:
    """On Mechanical Turk a comparison needs a value to compare: without one, not even `NotEqualTo` and `NotIn` hold."""
    if comparator in ("ne", "not_in"):
        return clause(attribute, comparator, _operand(comparator, values), absent=False)
    return clause(attribute, comparator, _operand(comparator, values))


def _operand(comparator: str, values: Sequence[int | str]) -> object:
    if not values:
        return None
    return list(values) if comparator in ("in", "not_in") else values[0]


def _number_approved(comparator: str, values: list[int]) -> Node:
    """Every worker of the service has the number, newcomers zero."""
    operand = _operand(comparator, values)
    return clause("approved_count", comparator, operand, **_absent(comparator, _holds(comparator, 0, values)))


def _percent_approved(comparator: str, values: list[int]) -> Node:
    """The rate of a worker with fewer than 100 submissions is 100.

    There is no attribute for the number of submissions, so it is judged by that of approvals: at a rate of r percent,
    100 submissions are r approvals. A worker counts as new below the approvals at the top of the band in which the rate
    lies. At a rate of 0 nothing tells the two apart: such a worker meets what is asked if either would.
    """
    newcomer = _holds(comparator, 100, values)
    rate = clause("approval_rate", comparator, _operand(comparator, values), **_absent(comparator, newcomer))
    if not values or (comparator, values[0]) in _SAME_FOR_ALL:
        return rate
    # Above what is asked it makes no difference whether a worker is new.
    tops = [top for top in range(_BAND, 100, _BAND) if comparator not in _ORDERS or top < values[0]]
    tops.append(max(values[0], 1) if comparator in _ORDERS else 100)
    bands = list(zip([0, *tops], tops, strict=False))
    if newcomer:
        few = [
            all_of([clause("approval_rate", "gt", low), clause("approved_count", "lt", top)]) for low, top in bands[1:]
        ]
        return any_of([rate, clause("approved_count", "lt", bands[0][1]), *few])
    enough = [any_of([clause("approval_rate", "le", low), clause("approved_count", "ge", top)]) for low, top in bands]
    return all_of([rate, *enough])


def _holds(comparator: str, value: int, values: list[int]) -> bool:
    if comparator in ("in", "not_in"):
        return (value in values) == (comparator == "in")
    return bool(_COMPARE[comparator](value, values[0])) if values else comparator == "exists"


def _absent(comparator: str, answer: bool) -> dict[str, bool]:
    """Say what holds of a worker without a value, where that is not the rule of the comparator anyway."""
    return {} if answer == (comparator in ("ne", "not_in", "not_exists")) else {"absent": answer}


def _locale(requirement: Fields, comparator: str) -> Node:
    if "IntegerValues" in requirement:
        raise requirement.error("IntegerValues", "a locale is compared with LocaleValues")
    if comparator in ("lt", "le", "gt", "ge"):
        reason = "a locale takes only EqualTo, NotEqualTo, In, NotIn, Exists and DoesNotExist"
        raise requirement.error("Comparator", reason)
    _count(requirement, "LocaleValues", comparator, MAX_LOCALES)
    if comparator in ("exists", "not_exists"):
        return clause("country", comparator)
    places = [place_of(locale) for locale in requirement.objects("LocaleValues")]
    countries = [country for country, subdivision in places if subdivision is None]
    regions = [(country, subdivision) for country, subdivision in places if subdivision is not None]
    if comparator in ("eq", "in"):
        inside = [_one_of("country", countries)] if countries else []
        inside += [
            all_of([clause("country", "eq", country), clause("region", "in", region_names(country, subdivision))])
            for country, subdivision in regions
        ]
        return any_of(inside)
    # As for every qualification, without a value not even this holds.
    outside = [_none_of("country", countries)] if countries else [clause("country", "exists")]
    outside += [
        any_of([clause("country", "ne", country), clause("region", "not_in", region_names(country, subdivision))])
        for country, subdivision in regions
    ]
    return all_of(outside)


def _one_of(attribute: str, values: list[str]) -> Node:
    return clause(attribute, "eq", values[0]) if len(values) == 1 else clause(attribute, "in", values)


def _none_of(attribute: str, values: list[str]) -> Node:
    comparator = "ne" if len(values) == 1 else "not_in"
    return clause(attribute, comparator, _operand(comparator, values), absent=False)


def place_of(locale: Fields) -> tuple[str, str | None]:
    """Return country and subdivision of a locale.

    Raises:
        EventError: one is missing or no code.
    """
    locale.only(("Country", "Subdivision"))
    country, subdivision = locale.need("Country"), locale.text("Subdivision")
    if not _COUNTRY.fullmatch(country):
        raise locale.error("Country", "expected an ISO 3166 code of two capital letters, like ID")
    if subdivision is not None and not _SUBDIVISION.fullmatch(subdivision):
        raise locale.error("Subdivision", "expected an ISO 3166-2 code of two characters, like WA")
    return country, subdivision
