"""The OpenAPI document: FastAPI's, with the shapes of events taken from what decodes them."""

from typing import Any

import msgspec
from fastapi import FastAPI

from features.events import Event
from features.money import Rates
from features.requirements_shape import MAX_CLAUSES_IN_LIST, NUMBERS, TEXTS, Requirements
from service.errors import Kind

_HEAD = ("event_id", "type", "at")
_REF = "#/components/schemas/{name}"


def document(app: FastAPI, rates: Rates) -> dict[str, Any]:
    """Return FastAPI's document with the components that its routes point at."""
    found = FastAPI.openapi(app)
    schemas: dict[str, Any] = found.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(_events(rates))
    schemas["Problem"] = _PROBLEM
    return found


_AMOUNT = "|".join(
    (
        r"^[0-9]{1,15}(\.[0-9]{1,19})?$",
        r"^10{15}$",
        r"^0\.[0-9]{1,30}$",
        # Less than a millionth is written like this.
        *(rf"^[1-9](\.[0-9]{{1,{30 - places}}})?E-{places}$" for places in range(7, 30)),
        r"^[1-9]E-30$",
    )
)
"""Amounts that `features.money.Money` takes and writes, as nearly as a pattern tells."""


def _events(rates: Rates) -> dict[str, Any]:
    (union,), components = msgspec.json.schema_components([Event], schema_hook=_hook, ref_template=_REF)
    found: dict[str, Any] = {"Event": union, **components}
    for schema in found.values():
        _plain(schema)
    found["Money"] = {
        "type": "object",
        "title": "Money",
        "properties": {
            "amount": {
                "anyOf": [
                    {"type": "number", "minimum": 0, "maximum": 10**15},
                    {"type": "string", "pattern": _AMOUNT},
                ]
            },
            # Amounts in other currencies are refused, since nothing could compare them.
            "currency": {"enum": sorted(rates.per_base)},
        },
        "required": ["amount", "currency"],
        "additionalProperties": False,
    }
    found.update(_REQUIREMENTS)
    for name, event, identity in (("Profile", "WorkerUpdated", "worker_id"), ("Posting", "TaskPosted", "task_id")):
        whole = found[event]
        found[name] = {
            **whole,
            "title": name,
            "properties": {key: value for key, value in whole["properties"].items() if key not in (*_HEAD, identity)},
            "required": [key for key in whole["required"] if key not in (*_HEAD, identity)],
        }
    return found


def _hook(kind: type) -> dict[str, Any]:
    if kind is Requirements:
        return {"$ref": _REF.format(name="Requirements")}
    raise NotImplementedError(kind)


def _plain(schema: Any) -> None:
    """Bring what msgspec writes into what OpenAPI's readers know, in place."""
    if isinstance(schema, dict):
        if isinstance(pattern := schema.get("pattern"), str):
            schema["pattern"] = pattern.replace(r"\Z", "$")  # ECMA 262 has no \Z
        if isinstance(text := schema.get("description"), str):
            schema["description"] = text.partition("\n")[0]
        for value in schema.values():
            _plain(value)
    elif isinstance(schema, list):
        for value in schema:
            _plain(value)


def _clauses() -> list[dict[str, Any]]:
    """Return a schema for each way in which attribute, comparator and value go together in a clause."""
    number: dict[str, Any] = {"type": "number"}
    text: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 256}
    either = {"anyOf": [number, text]}
    order, equality = ["lt", "le", "gt", "ge"], ["eq", "ne"]
    found = []
    for attribute, ways in (
        ({"enum": sorted(TEXTS)}, [(equality, text, text)]),
        ({"enum": sorted(NUMBERS)}, [(order + equality, number, number)]),
        (_named("skill:"), [(order + equality, number, number)]),
        (_named("qualification:"), [(order, number, either), (equality, either, either)]),
    ):
        for comparators, value, _ in ways:
            found.append(_clause(attribute, comparators, value=value))
        among = {"type": "array", "items": ways[0][2], "minItems": 1, "maxItems": 1_000}
        found.append(_clause(attribute, ["in", "not_in"], values=among))
        found.append(_clause(attribute, ["exists", "not_exists"]))
    return found


def _named(prefix: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{prefix}.+$", "maxLength": 300}


def _clause(attribute: dict[str, Any], comparators: list[str], **operand: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "attribute": attribute,
            "comparator": {"enum": comparators},
            **operand,
            "guards": {"enum": ["discover", "preview", "accept"], "default": "accept"},
            "absent": {"type": ["boolean", "null"], "description": "The answer for a worker without a value."},
        },
        "required": ["attribute", "comparator", *operand],
        "additionalProperties": False,
    }


def _tree(key: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: {"type": "array", "minItems": 1, "items": {"$ref": _REF.format(name="Condition")}}},
        "required": [key],
        "additionalProperties": False,
    }


_REQUIREMENTS: dict[str, dict[str, Any]] = {
    "Requirements": {
        "description": "Who may take a task: clauses that must all hold, or a tree of `and` and `or`.",
        "anyOf": [
            {"type": "array", "maxItems": MAX_CLAUSES_IN_LIST, "items": {"$ref": _REF.format(name="Clause")}},
            {"$ref": _REF.format(name="Condition")},
        ],
    },
    "Condition": {
        "description": "Nested 8 deep at the most.",
        "anyOf": [{"$ref": _REF.format(name="Clause")}, _tree("and"), _tree("or")],
    },
    "Clause": {"description": "One condition on a worker.", "anyOf": _clauses()},
}

_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": [kind.type for kind in Kind]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body."},
                    "parameter": {"type": "string", "description": "Name of the parameter or header."},
                    "detail": {"type": "string"},
                },
                "required": ["detail"],
            },
        },
        "event_ids": {"type": "array", "items": {"type": "string"}, "description": "Of a conflict."},
    },
    "required": ["type", "title", "status", "detail", "instance"],
}
