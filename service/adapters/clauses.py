"""Requirements in the making: clauses and trees as plain JSON, kept as flat as they can be."""

from collections.abc import Sequence
from typing import Any

from features.errors import EventError
from features.requirements_shape import parse, unparse

Node = dict[str, Any]


def clause(attribute: str, comparator: str, value: object = None, **more: object) -> Node:
    """Return one clause; a list goes to ``values``, and ``None`` gives a clause without an operand."""
    operand = {} if value is None else {"values" if isinstance(value, list) else "value": value}
    return {"attribute": attribute, "comparator": comparator, **operand, **more}


def all_of(nodes: Sequence[Node]) -> Node:
    """Return the node that holds when all of ``nodes`` do; at least one."""
    return _join("and", nodes)


def any_of(nodes: Sequence[Node]) -> Node:
    """Return the node that holds when one of ``nodes`` does; at least one."""
    return _join("or", nodes)


def _join(key: str, nodes: Sequence[Node]) -> Node:
    flat = [inner for node in nodes for inner in node.get(key, [node])]
    return flat[0] if len(flat) == 1 else {key: flat}


def requirements(nodes: Sequence[Node], path: str) -> object | None:
    """Return the requirements of a task of whom all of ``nodes`` are asked, as an event writes them; None for none.

    Args:
        nodes: clauses and trees.
        path: where they come from, for the refusal.

    Raises:
        EventError: the tree is deeper or larger than the log allows.
    """
    if not nodes:
        return None
    try:
        return unparse(parse(all_of(nodes)))
    except ValueError as error:
        raise EventError(str(error).replace("`.` ", ""), path) from error
