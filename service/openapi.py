"""The OpenAPI document: FastAPI's, with the shapes of events taken from what decodes them."""

from typing import Any

import msgspec
from fastapi import FastAPI

from features.events import Event
from features.money import Rates
from features.requirements_shape import Requirements
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
                    {"type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,15})?$"},
                ]
            },
            # Amounts in other currencies are refused, since nothing could compare them.
            "currency": {"enum": sorted(rates.per_base)},
        },
        "required": ["amount", "currency"],
        "additionalProperties": False,
    }
    found["Requirements"] = _REQUIREMENTS
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


_TEXT = {"type": "string", "minLength": 1, "maxLength": 256}
_VALUE = {"anyOf": [{"type": "number"}, _TEXT]}
_REQUIREMENTS: dict[str, Any] = {
    "title": "Requirements",
    "description": "Clauses that must all hold, or a tree of `and` and `or`.",
    "anyOf": [
        {"type": "array", "maxItems": 32, "items": {"$ref": _REF.format(name="Clause")}},
        {"$ref": _REF.format(name="RequirementTree")},
    ],
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
