"""What a field of an event wants, read from the event types themselves."""

from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from msgspec import inspect

from features.events import EVENT_TYPES
from features.money import Money

Kind = Literal[
    "text", "whole", "number", "decimal", "yes_no", "time", "list", "map", "object", "duration", "code", "any"
]


@dataclass(frozen=True)
class Target:
    """What a value becomes.

    Attributes:
        kind: ``any`` = as it comes; ``code`` = a text, or the whole number that it looks like; ``decimal`` = a number
            that keeps its digits; ``duration`` = seconds.
        unit: of a duration in a field, ``min`` or ``s``.
        item: of a list, or of the values of a map.
        fields: of an object.
        other: what it may be instead: skills are a list or a map.
        money: an object that is nothing without its amount.
    """

    kind: Kind
    unit: Literal["min", "s"] | None = None
    item: "Target | None" = None
    fields: "dict[str, Target]" = field(default_factory=dict)
    other: "Target | None" = None
    money: bool = False

    def as_(self, kind: Kind) -> "Target":
        """Return the alternative of that kind, itself if there is none."""
        return self.other if self.kind != kind and self.other is not None else self


ANY = Target("any")
_PLAIN: dict[type[inspect.Type], Kind] = {
    inspect.StrType: "text",
    inspect.IntType: "whole",
    inspect.FloatType: "number",
    inspect.DecimalType: "decimal",
    inspect.BoolType: "yes_no",
    inspect.DateTimeType: "time",
}


@cache
def fields_of(event_type: str) -> dict[str, Target]:
    """Return the fields of an event type, without those that all events have."""
    found = _fields(EVENT_TYPES[event_type])
    return {name: target for name, target in found.items() if name not in ("event_id", "at")}


def _fields(kind: type) -> dict[str, Target]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)  # noqa: S101  # events and what is in them are structs
    return {each.encode_name: _target(each.type, each.encode_name) for each in info.fields}


def _target(kind: inspect.Type, name: str = "") -> Target:
    if isinstance(kind, inspect.UnionType):
        options = [_target(option, name) for option in kind.types if not isinstance(option, inspect.NoneType)]
        options = [option for option in options if option != ANY] or [ANY]
        if len(options) == 1:
            return options[0]
        if {option.kind for option in options} == {"list", "map"}:
            first, second = options
            return Target(first.kind, item=first.item, other=second)
        return Target("code") if {option.kind for option in options} == {"whole", "text"} else ANY
    if isinstance(kind, inspect.VarTupleType):
        return Target("list", item=_target(kind.item_type))
    if isinstance(kind, inspect.DictType):
        return Target("map", item=_target(kind.value_type))
    if isinstance(kind, inspect.StructType):
        return Target("object", fields=_fields(kind.cls), money=kind.cls is Money)
    unit: Literal["min", "s"] | None = (
        "min" if name.endswith("_minutes") else "s" if name.endswith("_seconds") else None
    )
    plain = _PLAIN.get(type(kind))
    return Target(plain, unit=unit) if plain else ANY
