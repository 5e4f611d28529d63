"""Events from the JSON that a store keeps, as far as a state that is folded reads them: in half the time of all of it.

What is kept was checked when it came in, so lengths, ranges and patterns are not looked at again. Of what a worker did
only worker and task are read, of a list only the tasks; requirements are looked up as they are written.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Raw, Struct, defstruct
from msgspec.structs import fields, force_setattr

from features import events as ev
from features.batch import DEEDS
from features.money import Money
from features.requirements_shape import parse_written


class _Amount(Struct, frozen=True, gc=False):
    """An amount of money, which is in canonical form already: as text it is read, converted and packed sooner."""

    amount: str
    currency: str


_AS_KEPT: dict[Any, Any] = {Money: _Amount}
Said = TypeVar("Said")


def _bare(annotation: Any) -> Any:
    """Return a type without what it demands of values."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _AS_KEPT:
        return _AS_KEPT[annotation]
    if origin is Annotated:
        return _bare(arguments[0])
    if origin in (Union, UnionType):
        return reduce(or_, map(_bare, arguments))
    return origin[tuple(map(_bare, arguments))] if arguments else annotation


def _type(kind: type[Struct], names: Sequence[str] | None = None, **other: Any) -> type[Struct]:
    """Return what is read in place of a type of events: these fields of it, or all; and fields of other types."""
    parts: list[Any] = [
        (field.name, other.get(field.name, _bare(field.type)), msgspec.field(default=field.default))
        if field.default is not NODEFAULT
        else (field.name, other.get(field.name, _bare(field.type)))
        for field in fields(kind)
        if names is None or field.name in names
    ]
    namespace = {"__post_init__": _look_up} if kind is ev.TaskPosted else None
    options: dict[str, Any] = {"frozen": True, "kw_only": True, "omit_defaults": True, "gc": False}
    return defstruct(
        kind.__name__, parts, namespace=namespace, tag_field="type", tag=kind.__struct_config__.tag, **options
    )


def _look_up(event: Any) -> None:
    if event.requirements is not None:
        force_setattr(event, "requirements", parse_written(bytes(event.requirements)))


class _Item(Struct, frozen=True, gc=False):
    task_id: str


IN_PLACE: dict[type[Any], type[Any]] = {
    ev.WorkerUpdated: _type(ev.WorkerUpdated),
    # What is missing is None, and null is never kept.
    ev.TaskPosted: _type(ev.TaskPosted, requirements=Raw),
    ev.FeedServed: _type(ev.FeedServed, ("worker_id", "items", "policy"), items=tuple[_Item, ...]),
    **{kind: _type(kind, ("worker_id", "task_id", "work_seconds")) for kind in DEEDS},
}
"""Types of events, and what is read in their place; other events are read as they are."""


def also_kept(by_type: Mapping[type, Said]) -> dict[type, Said]:
    """Return what is said of types of events, and the same of the types that are read in their place."""
    return {**by_type, **{IN_PLACE[kind]: said for kind, said in by_type.items() if kind in IN_PLACE}}


_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    reduce(or_, (IN_PLACE.get(kind, kind) for kind in ev.EVENT_TYPES.values())), dec_hook=ev.decode_hook
)


def decode_kept(payloads: Sequence[bytes]) -> list[Any]:
    """Decode what `features.events.encode_event` returned, as far as `features.state.MarketState.apply` reads it.

    Raises:
        EventError: as `features.events.decode_event`, of the first event at fault.
    """
    decode = _decoder.decode
    try:
        return [decode(payload) for payload in payloads]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return [ev.decode_event(payload) for payload in payloads]
