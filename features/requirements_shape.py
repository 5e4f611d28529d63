"""The shape of `requirements`: who may take a task, as an event has it. For its meaning: `requirements_compiler`."""

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

Comparator = Literal["lt", "le", "gt", "ge", "eq", "ne", "in", "not_in", "exists", "not_exists"]
Guard = Literal["discover", "preview", "accept"]
Value = Annotated[int, Meta(ge=-(2**53), le=2**53)] | float | Annotated[str, Meta(min_length=1, max_length=256)]

MAX_CLAUSES_IN_LIST = 32
MAX_DEPTH = 8
MAX_CLAUSES_IN_TREE = 1024

MOST_PARSED = 1 << 14
"""Distinct requirements that are kept to be given again."""

NUMBERS = frozenset({"approval_rate", "approved_count", "age_days"})
TEXTS = frozenset({"country", "region", "language", "device"})
PREFIXES = ("qualification:", "skill:")
_ORDERS = frozenset({"lt", "le", "gt", "ge"})
_MEMBERSHIP = frozenset({"in", "not_in"})
_PRESENCE = frozenset({"exists", "not_exists"})


class Clause(Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One condition on a worker.

    Attributes:
        attribute: ``qualification:ID``, ``skill:NAME`` or one of the fixed names.
        comparator: how the worker's value is compared.
        value: for ``lt le gt ge eq ne``.
        values: for ``in`` and ``not_in``, 1 to 1000 of them.
        guards: what a worker who fails is kept from.
        absent: the answer for a worker without a value; ``None`` = the rule of the comparator.

    Raises:
        ValueError: the attribute is unknown, or value and comparator do not go together.
    """

    attribute: Annotated[str, Meta(min_length=1, max_length=300)]
    comparator: Comparator
    value: Value | None = None
    values: Annotated[tuple[Value, ...], Meta(min_length=1, max_length=1000)] | None = None
    guards: Guard = "accept"
    absent: bool | None = None

    def __post_init__(self) -> None:
        attribute, comparator = self.attribute, self.comparator
        named = attribute.startswith(PREFIXES) and not attribute.endswith(":")
        if not named and attribute not in NUMBERS and attribute not in TEXTS:
            known = ", ".join(["qualification:ID", "skill:NAME", *sorted(TEXTS), *sorted(NUMBERS)])
            raise ValueError(f"unknown attribute {_short(attribute)}; allowed: {known}")
        for field, given, wanted in (
            ("value", self.value is not None, comparator not in _MEMBERSHIP | _PRESENCE),
            ("values", self.values is not None, comparator in _MEMBERSHIP),
        ):
            if given != wanted:
                raise ValueError(f"comparator `{comparator}` {'needs' if wanted else 'takes no'} `{field}`")
        if comparator in _ORDERS and (attribute in TEXTS or isinstance(self.value, str)):
            raise ValueError(f"comparator `{comparator}` compares numbers; use eq, ne, in or not_in for text")
        operands = self.values or (() if self.value is None else (self.value,))
        texts = sum(isinstance(operand, str) for operand in operands)
        if (attribute in NUMBERS or attribute.startswith("skill:")) and texts:
            raise ValueError(f"attribute {_short(attribute)} is a number, the clause gives text")
        if attribute in TEXTS and texts != len(operands):
            raise ValueError(f"attribute `{attribute}` is text, the clause gives a number")


class AllOf(Struct, frozen=True, gc=False, forbid_unknown_fields=True, rename={"nodes": "and"}):
    """Holds when every node does."""

    nodes: tuple["Node", ...]


class AnyOf(Struct, frozen=True, gc=False, forbid_unknown_fields=True, rename={"nodes": "or"}):
    """Holds when at least one node does."""

    nodes: tuple["Node", ...]


Node = Clause | AllOf | AnyOf


class Requirements:
    """The requirements of a task as an immutable tree; a plain list of clauses reads as ``AllOf`` of them.

    A plain class, no struct: the decoder then leaves it to `parse`, since it cannot choose between untagged structs.

    Attributes:
        root: the whole condition.
    """

    __slots__ = ("_hash", "root")

    def __init__(self, root: Node) -> None:
        self.root = root
        self._hash: int | None = None

    def __reduce__(self) -> tuple[type["Requirements"], tuple[Node]]:
        # Another process hashes text differently.
        return Requirements, (self.root,)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Requirements) and self.root == other.root)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.root)
        return self._hash

    def __repr__(self) -> str:
        return f"Requirements({self.root!r})"

    def clauses(self) -> Iterator[Clause]:
        """Yield every clause, depth first."""
        stack = [self.root]
        while stack:
            node = stack.pop()
            if isinstance(node, Clause):
                yield node
            else:
                stack.extend(reversed(node.nodes))


def parse_once(raw: object) -> Requirements:
    """Build requirements as `parse` does; what is written the same gives the very same tree, for tasks share theirs.

    Raises:
        ValueError: as `parse`.
    """
    return parse_written(msgspec.json.encode(raw))


def parse_written(written: bytes) -> Requirements:
    """Build requirements as `parse_once` does, from JSON.

    Raises:
        ValueError: as `parse`, or it is no JSON.
    """
    found = _parsed.get(written)
    if found is None:
        found = parse(msgspec.json.decode(written))
        if len(_parsed) >= MOST_PARSED:
            _parsed.clear()
        _parsed[written] = found
    return found


def parse(raw: object) -> Requirements:
    """Build requirements from decoded JSON: a list of clauses, or a tree of ``and`` and ``or``.

    Raises:
        ValueError: the shape is not allowed; the message starts with the place in backticks, ``.`` for the whole.
    """
    if isinstance(raw, list):
        if len(raw) > MAX_CLAUSES_IN_LIST:
            raise ValueError(f"`.` {len(raw)} clauses in a list, at most {MAX_CLAUSES_IN_LIST} are allowed")
        return Requirements(AllOf(tuple(_clause(item, f"[{i}]") for i, item in enumerate(raw))))
    requirements = Requirements(_node(raw, "", 1))
    total = sum(1 for _ in requirements.clauses())
    if total > MAX_CLAUSES_IN_TREE:
        raise ValueError(f"`.` {total} clauses in a tree, at most {MAX_CLAUSES_IN_TREE} are allowed")
    return requirements


def unparse(requirements: Requirements) -> object:
    """Return the canonical JSON value: a list where a list can say it, else the tree."""
    root = requirements.root
    if isinstance(root, Clause):
        root = AllOf((root,))
    if isinstance(root, AllOf) and len(root.nodes) <= MAX_CLAUSES_IN_LIST:
        clauses = [node for node in root.nodes if isinstance(node, Clause)]
        if len(clauses) == len(root.nodes):
            return clauses
    return root


_parsed: dict[bytes, Requirements] = {}


def _node(raw: object, where: str, depth: int) -> Node:
    if isinstance(raw, dict) and len(raw) == 1:
        for key, kind in (("and", AllOf), ("or", AnyOf)):
            if key in raw:
                if depth > MAX_DEPTH:
                    raise ValueError(f"`{where or '.'}` has `and` and `or` nested deeper than {MAX_DEPTH}")
                if not isinstance(raw[key], list) or not raw[key]:
                    raise ValueError(f"`{where}.{key}` must be a list of at least one clause or tree")
                return kind(tuple(_node(item, f"{where}.{key}[{i}]", depth + 1) for i, item in enumerate(raw[key])))
    return _clause(raw, where)


def _clause(raw: object, where: str) -> Clause:
    try:
        return msgspec.convert(raw, Clause)
    except msgspec.ValidationError as error:
        reason, _, inner = str(error).partition(" - at `$")
        if "comparator" in inner:
            reason = f"unknown, allowed: {', '.join(get_args(Comparator))}"
        elif "guards" in inner:
            reason = f"unknown, allowed: {', '.join(get_args(Guard))}"
        place = where + inner.rstrip("`")
        raise ValueError(f"`{place or '.'}` {reason}") from error


def _short(text: str) -> str:
    return f'"{text[:40]}"'
