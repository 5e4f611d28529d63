"""Why an event was refused, in words: slow and only walked when something is wrong."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from features.errors import EventError

_AT = re.compile(r" - at `(?P<path>.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_KIND = re.compile(r"Expected `(?P<allowed>.*)`, got `(?P<found>.*)`")
_BYTE = re.compile(r"\(byte (?P<place>\d+)\)")
# What our own checks raise: the place in backticks, then the reason.
_OWN = re.compile(r"`(?P<place>[\w.\[\]]+)` (?P<reason>.*)", re.DOTALL)
_PATTERNS = {
    "[A-Z]{3}": "an ISO 4217 code of three capital letters, like IDR",
    "[A-Z]{2}": "an ISO 3166-1 alpha-2 code of two capital letters, like ID",
    "[A-Za-z]{1,8}": "a BCP 47 language tag, like id or pt-BR",
}
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")


def explain(error: Exception, text: bytes, types: Mapping[str, type]) -> EventError:
    """Turn what the decoder raised for ``text`` into an error that says where, what was found and what is allowed."""
    if isinstance(error, UnicodeDecodeError):
        return EventError("the text is not valid UTF-8; save the file as UTF-8")
    if isinstance(error, RecursionError):
        return EventError("the JSON is nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return EventError(_malformed(str(error), text))
    message = str(error)
    path = "$"
    if at := _AT.search(message):
        message, path = message[: at.start()], at["path"]
    try:
        raw = msgspec.json.decode(text)
    except msgspec.ValidationError:  # an integer too large for any field
        return EventError(message[0].lower() + message[1:], path)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as worse:
        return explain(worse, text, types)
    return EventError(*_reason(message, path, raw, types))


def _malformed(message: str, text: bytes) -> str:
    if "truncated" in message:
        if not text.strip():
            return "the line is empty, expected a JSON object"
        return "the JSON is cut off before its end; was the file written completely?"
    if (at := _BYTE.search(message)) and text[int(at["place"]) :].lstrip(b"-").startswith((b"N", b"I")):
        return "NaN and Infinity are no JSON; leave the field out when there is no value"
    return message.replace("JSON is malformed", "malformed JSON")


def _reason(message: str, path: str, raw: Any, types: Mapping[str, type]) -> tuple[str, str]:
    """Return the sentence and the JSON path of the field at fault."""
    if not isinstance(raw, dict):
        return f"found {_show(raw)}, expected a JSON object", path
    kind = raw.get("type")
    if not isinstance(kind, str) or kind not in types:
        if "type" not in raw:
            return f"missing; one of {', '.join(types)}", "$.type"
        return f"found {_show(kind)}, known types: {', '.join(types)}", "$.type"
    if unknown := _UNKNOWN.fullmatch(message):
        fields = _fields(inspect.type_info(types[kind]), path)
        owner = kind if path == "$" else path.removeprefix("$.")
        return f"unknown field, {owner} has: {', '.join(fields)}", f"{path}.{unknown['name']}"
    if message.startswith("Object missing required field"):
        return f"missing, {kind} needs it", f"{path}.{message.split('`')[1]}"
    if own := _OWN.match(message):
        path, message = path + ("" if own["place"] == "." else _step(own["place"])), own["reason"]
    found, value = _find(raw, path)
    if allowed := _KIND.fullmatch(message):
        return f"found {_show(value) if found else allowed['found']}, expected {allowed['allowed']}", path
    for pattern, words in _PATTERNS.items():
        if pattern in message:
            message = f"expected {words}"
    if found and isinstance(value, str | int | float):
        return f"found {_show(value)}, {message[0].lower()}{message[1:]}", path
    return message, path


def _step(place: str) -> str:
    return place if place.startswith((".", "[")) else f".{place}"


def _show(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _find(raw: Any, path: str) -> tuple[bool, Any]:
    for name, index in _STEP.findall(path):
        try:
            raw = raw[name] if name else raw[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            return False, None
    return True, raw


def _fields(kind: inspect.Type, path: str) -> list[str]:
    """Return the names of the fields of the object at ``path`` within the type ``kind``."""
    for name, _ in _STEP.findall(path):
        options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
        for option in options:
            if name and isinstance(option, inspect.StructType):
                kind = next(field.type for field in option.fields if field.encode_name == name)
            elif not name and isinstance(option, inspect.VarTupleType):
                kind = option.item_type
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    structs = [option for option in options if isinstance(option, inspect.StructType)]
    names = [field.encode_name for struct in structs for field in struct.fields]
    return names if path != "$" else ["type", *names]
