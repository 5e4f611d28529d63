"""Requirements for tests: drawn at random, and an evaluator written straight from the contract."""

from typing import Any

from hypothesis import strategies as st

from features.requirements_layout import LEVELS

Json = dict[str, Any]

# A worker as a requester would see one: the profile as JSON, and what there is of history.
QUALIFICATIONS = st.dictionaries(
    st.sampled_from(["q1", "q2"]), st.sampled_from([None, 0, 1, 2, 3, -1, "gold", "2"]), max_size=2
)
SKILLS = st.lists(st.sampled_from(["python", "audio"]), max_size=2) | st.dictionaries(
    st.sampled_from(["Python ", "audio"]), st.sampled_from([0.0, 0.5, 1.0]), max_size=2
)
PROFILES = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "qualifications": QUALIFICATIONS,
        "skills": SKILLS,
        "country": st.sampled_from(["ID", "MY"]),
        "region": st.sampled_from(["Jawa Barat", "Bali"]),
        "languages": st.lists(st.sampled_from(["id", "en-GB", "EN"]), max_size=3),
        "devices": st.lists(st.sampled_from(["Phone", "desktop"]), max_size=2),
    },
)
PEOPLE = st.fixed_dictionaries(
    {
        "profile": PROFILES,
        "approved": st.integers(0, 3),
        "rejected": st.integers(0, 2),
        "age": st.none() | st.sampled_from([0.0, 1.0, 2.5, 60.0]),
        "device": st.none() | st.just("PHONE"),
    }
)
NUMBERS = st.sampled_from([-1, 0, 0.5, 1, 2, 2.5, 3, 50, 66.0])
ORDERS, EQUALS, SETS, PRESENCE = ("lt", "le", "gt", "ge"), ("eq", "ne"), ("in", "not_in"), ("exists", "not_exists")
OPERANDS: dict[str, st.SearchStrategy[Any]] = {
    "qualification:q1": NUMBERS | st.sampled_from(["gold", "2"]),
    "qualification:q2": NUMBERS,
    "skill:python": NUMBERS,
    "skill:Audio": NUMBERS,
    "country": st.sampled_from(["ID", "id", "SG"]),
    "region": st.sampled_from(["Bali", "bali", "Sumatra"]),
    "language": st.sampled_from(["en", "en-US", "ID", "ja"]),
    "device": st.sampled_from(["phone", "Desktop"]),
    "approval_rate": NUMBERS,
    "approved_count": NUMBERS,
    "age_days": NUMBERS,
}
TEXTS = ("country", "region", "language", "device")


@st.composite
def clauses(draw: st.DrawFn) -> Json:
    attribute = draw(st.sampled_from(sorted(OPERANDS)))
    operand = OPERANDS[attribute]
    orders = () if attribute in TEXTS else ORDERS
    comparator = draw(st.sampled_from([*orders, *EQUALS, *SETS, *PRESENCE]))
    found: Json = {"attribute": attribute, "comparator": comparator}
    if comparator in ORDERS:
        found["value"] = draw(NUMBERS)
    elif comparator in EQUALS:
        found["value"] = draw(operand)
    elif comparator in SETS:
        found["values"] = draw(st.lists(operand, min_size=1, max_size=3))
    if guards := draw(st.sampled_from(["", "", *LEVELS])):
        found["guards"] = guards
    if (absent := draw(st.sampled_from([None, None, True, False]))) is not None:
        found["absent"] = absent
    return found


TREES = st.lists(clauses(), max_size=4) | st.recursive(
    clauses(),
    lambda inner: st.builds(
        lambda key, nodes: {key: nodes}, st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


def known(worker: Json, attribute: str) -> list[Any] | None:
    """What the contract lets a worker have: None is absent, an empty list is held without a value."""
    profile = worker["profile"] or {}
    judged = worker["approved"] + worker["rejected"]
    if attribute.startswith("qualification:"):
        held = profile.get("qualifications", {})
        name = attribute.removeprefix("qualification:")
        return None if name not in held else [] if held[name] is None else [held[name]]
    if attribute.startswith("skill:"):
        skills = profile.get("skills", [])
        levels = skills if isinstance(skills, dict) else dict.fromkeys(skills, 1.0)
        levels = {name.strip().lower(): level for name, level in levels.items()}
        name = attribute.removeprefix("skill:").strip().lower()
        return [levels[name]] if name in levels else None
    if attribute == "approval_rate":
        return [100 * worker["approved"] / judged] if judged else None
    if attribute == "approved_count":
        return [worker["approved"]]
    if attribute == "age_days":
        return None if worker["age"] is None else [worker["age"]]
    if attribute in ("country", "region"):
        return [plain(attribute, profile[attribute])] if attribute in profile else None
    if attribute == "device" and worker["device"]:
        return [plain(attribute, worker["device"])]
    several = profile.get({"language": "languages", "device": "devices"}[attribute])
    return [plain(attribute, value) for value in several] if several else None


def plain(attribute: str, value: Any) -> Any:
    if attribute == "language":
        return value.split("-")[0].lower()
    return value.lower() if attribute in TEXTS else value


def clause_holds(worker: Json, clause: Json) -> bool:
    attribute, comparator = clause["attribute"], clause["comparator"]
    values = known(worker, attribute)
    if values is None or (not values and comparator not in PRESENCE):
        return bool(clause.get("absent", comparator in ("not_exists", "ne", "not_in")))
    if comparator in PRESENCE:
        return bool(comparator == "exists")
    if comparator in ORDERS:
        (value,) = values
        if isinstance(value, str):
            return False
        limit = clause["value"]
        return bool({"lt": value < limit, "le": value <= limit, "gt": value > limit, "ge": value >= limit}[comparator])
    wanted = clause["values"] if comparator in SETS else [clause["value"]]
    met = any(plain(attribute, operand) == value for operand in wanted for value in values)
    return met == (comparator in ("eq", "in"))


def failed(worker: Json, node: Any, level: str) -> list[str]:
    """The attributes for which a tree fails, in order; none where it holds."""
    if isinstance(node, list):
        node = {"and": node}
    if "and" in node:
        return [name for child in node["and"] for name in failed(worker, child, level)]
    if "or" in node:
        branches = [failed(worker, child, level) for child in node["or"]]
        return [name for branch in branches for name in branch] if all(branches) else []
    later = LEVELS.index(node.get("guards", "accept")) > LEVELS.index(level)
    return [] if later or clause_holds(worker, node) else [node["attribute"]]


NOBODY: Json = {"profile": None, "approved": 0, "rejected": 0, "age": None, "device": None}


def someone(**fields: Any) -> Json:
    profile = {name: value for name, value in fields.items() if name not in NOBODY}
    return {**NOBODY, "profile": profile, **{name: value for name, value in fields.items() if name in NOBODY}}


def clause(attribute: str, comparator: str, *operands: Any, **options: Any) -> Json:
    found: Json = {"attribute": attribute, "comparator": comparator, **options}
    if comparator in SETS:
        return {**found, "values": list(operands)}
    return {**found, "value": operands[0]} if operands else found
