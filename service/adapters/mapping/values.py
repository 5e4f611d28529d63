"""Values: what a mapping says of a field becomes a function from a row to what the field wants."""

import math
import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.adapters.mapping.columns import GROUP, Get, RefusalError, Row, View, as_text, column, joined_rows, template
from service.adapters.mapping.shape import Collected, Condition, Leaf, MappingError, Since, part
from service.adapters.mapping.targets import ANY, Target

MICROSECONDS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
DURATION = Target("duration", unit="s")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTS = {"unix": Since(since=_EPOCH, unit="s"), "unix_ms": Since(since=_EPOCH, unit="ms")}
_DURATION = re.compile(r"(?P<count>\d+(?:\.\d+)?) ?(?P<unit>[a-z]+)")
_BEYOND = "which is beyond all calendars"
_NO_ROW = Row(Path(), 0, {})
_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0+)?")


def compiled(raw: Any, target: Target, view: View, path: str) -> Get:
    """Return the function from a row to a value of a field, or ``None`` where it is absent.

    Args:
        raw: what the mapping says: a constant, a template, a table.
        target: what the field wants.
        view: the rows it is made from.
        path: of the value in the mapping, for errors.

    Raises:
        MappingError: the value cannot be meant.
    """
    return _compiled(raw, target, view, path)[0]


def duration(text: str, path: str) -> timedelta:
    """Return a duration as it is written in a mapping, as in ``31h``.

    Raises:
        MappingError: it is too long.
    """
    match = _DURATION.fullmatch(text)
    assert match is not None  # noqa: S101  # the shape of the file has been checked
    try:
        return timedelta(microseconds=int(Decimal(match["count"]) * MICROSECONDS[match["unit"]]))
    except OverflowError:
        raise MappingError(path, "is longer than any calendar") from None


def condition(given: str | Condition, view: View, path: str) -> Callable[[Row], bool]:
    """Return the function that tells whether a condition holds for a row; a template alone must have a value."""
    given = Condition(text=given) if isinstance(given, str) else given
    get, constant = template(given.text, view, path)
    if constant:
        raise MappingError(path, f'"{given.text}" is the same for all rows; write a column as {{column}}')
    if given.among is not None:
        return _among(get, given.text, given.among, given.known)
    if given.not_in is not None:
        but = frozenset(given.not_in)
        return lambda row: (value := get(row)) is None or as_text(value) not in but
    if given.empty:
        return lambda row: get(row) is None
    return lambda row: get(row) is not None


def _among(get: Get, text: str, among: Sequence[str], known: Sequence[str] | None) -> Callable[[Row], bool]:
    wanted = frozenset(among)
    others = None if known is None else frozenset(known)

    def holds(row: Row) -> bool:
        value = get(row)
        if value is None:
            return False
        found = as_text(value)
        if found not in wanted and others is not None and found not in others:
            raise RefusalError(f'found "{found}" in {text}, expected one of {", ".join([*among, *sorted(others)])}')
        return found in wanted

    return holds


def _compiled(raw: Any, target: Target, view: View, path: str) -> tuple[Get, bool]:
    """Return the function of a value, and whether it is the same for all rows."""
    if isinstance(raw, str):
        return _leaf(Leaf(text=raw), target, view, path)
    if isinstance(raw, dict) and "text" in raw:
        return _leaf(part(raw, Leaf, path), target, view, path)
    if isinstance(raw, dict) and "from" in raw:
        return _collected(part(raw, Collected, path), target, view, path), False
    if isinstance(raw, dict):
        return _object(raw, target, view, path)
    if isinstance(raw, list):
        return _list(raw, target, view, path)
    constant = _checked(_coerce(target, Leaf(text=""), path), raw, path)
    return (lambda _: constant), True


def _checked(coerce: Callable[[Any], Any], constant: Any, path: str) -> Any:
    try:
        return coerce(constant)
    except RefusalError as refusal:
        raise MappingError(path, refusal.reason) from refusal


def _object(raw: dict[str, Any], target: Target, view: View, path: str) -> tuple[Get, bool]:
    target = target.as_("map")
    if target.kind not in ("object", "map", "any"):
        raise MappingError(path, f"{_wanted(target)}; a table with a value has `text` or `from`")
    members: dict[str, Get] = {}
    constants = set()
    for name, inner in raw.items():
        if target.kind == "object" and name not in target.fields:
            raise MappingError(f"{path}.{name}", f"no such field; there are {', '.join(target.fields)}")
        wanted = target.fields[name] if target.kind == "object" else target.item or ANY
        members[name], constant = _compiled(inner, wanted, view, f"{path}.{name}")
        if constant:
            constants.add(name)
    # Constants alone say nothing of a row: a currency without an amount is no money.
    telling = (
        ["amount"] if target.money and "amount" in members else [name for name in members if name not in constants]
    )

    def build(row: Row) -> dict[str, Any] | None:
        made = {name: value for name, get in members.items() if (value := _at(name, get, row)) is not None}
        return made if not telling or any(name in made for name in telling) else None

    return build, not telling


def _list(raw: list[Any], target: Target, view: View, path: str) -> tuple[Get, bool]:
    target = target.as_("list")
    if target.kind not in ("list", "any"):
        raise MappingError(path, _wanted(target))
    parts = [_compiled(inner, target.item or ANY, view, f"{path}[{place}]") for place, inner in enumerate(raw)]
    gets = [get for get, _ in parts]

    def build(row: Row) -> list[Any] | None:
        return [value for place, get in enumerate(gets) if (value := _at(place, get, row)) is not None] or None

    return build, all(constant for _, constant in parts)


def _collected(given: Collected, target: Target, view: View, path: str) -> Get:
    members, inside = _members(given.source, view, path)
    target = target.as_("list" if given.key is None else "map")
    if target.kind not in ("any", "list" if given.key is None else "map"):
        raise MappingError(path, _wanted(target))
    each = compiled(given.each, target.item or ANY, inside, f"{path}.each")
    key = None if given.key is None else compiled(given.key, Target("text"), inside, f"{path}.key")
    order = None if given.order is None else compiled(given.order, ANY, inside, f"{path}.order")
    holds = condition(given.where, inside, f"{path}.where") if given.where else None

    def collect(row: Row) -> Any:
        rows = [row.within(item, place) for place, item in enumerate(members(row), start=1)]
        if holds is not None:
            rows = [inner for inner in rows if holds(inner)]
        if order is not None:
            rows.sort(key=lambda inner: _sortable(order(inner)))
        if order is not None or holds is not None:
            rows = [row.within(inner.item, place) for place, inner in enumerate(rows, start=1)]
        made = [(key(inner) if key else None, _at(place, each, inner)) for place, inner in enumerate(rows)]
        if key is None:
            return _listed(target.item or ANY, [value for _, value in made if value is not None])
        found: dict[str, Any] = {}
        for name, value in made:
            if name is None or value is None:
                continue
            if found.setdefault(name, value) != value:
                raise RefusalError(f'"{name}" has two values, {found[name]} and {value}')
        return found or None

    return collect


def _members(source: str, view: View, path: str) -> tuple[Callable[[Row], Sequence[Any]], View]:
    """Return what gives the members of a list in a row, and how they are seen."""
    if source == GROUP:
        return (lambda row: row.group), View(view.scope, inside=True, items=view.scope)
    if (found := joined_rows(source, view.scope)) is not None:
        of, scope = found
        return of, View(view.scope, inside=True, items=scope)
    return items_of(column(source, view, f"{path}.from")), View(view.scope, inside=True)


def items_of(get: Get) -> Callable[[Row], list[Any]]:
    """Return what gives a list from a row, empty where it is absent.

    Raises, when called:
        RefusalError: there is something else than a list.
    """

    def items(row: Row) -> list[Any]:
        found = get(row)
        if found is None:
            return []
        if not isinstance(found, list):
            raise RefusalError(f"found {_show(found)}, expected a list; `split` makes one of a text")
        return found

    return items


def _at(place: str | int, get: Get, row: Row) -> Any:
    try:
        return get(row)
    except RefusalError as refusal:
        refusal.path = f"[{place}]{refusal.path}" if isinstance(place, int) else f".{place}{refusal.path}"
        raise


def _sortable(value: Any) -> tuple[int, Decimal, str]:
    if value is None:
        return 2, Decimal(0), ""
    text = as_text(value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        return 1, Decimal(0), text
    # "Nan" and "Infinity" are names.
    return (0, number, "") if number.is_finite() else (1, Decimal(0), text)


def _leaf(given: Leaf, target: Target, view: View, path: str) -> tuple[Get, bool]:
    get, constant = _text(given, view, path if given == Leaf(text=given.text) else f"{path}.text")
    if given.split is not None and target.kind != "any":
        if target.as_("list").kind != "list":
            raise MappingError(f"{path}.split", _wanted(target))
        target = target.as_("list")
    wanted = (target.item or ANY) if target.kind == "list" else target
    steps = [] if given.map is None else [_looked_up(given.map, given.unmapped)]
    steps.append(_coerce(wanted, given, path))
    plus = _added(given.plus, view, path) if given.plus is not None else None
    if plus and wanted.kind != "time":
        raise MappingError(f"{path}.plus", _wanted(wanted))
    listed = target.kind == "list" or given.split is not None
    default = None if given.default is None else _default(given.default, wanted, listed, path)

    def one(value: Any) -> Any:
        for step in steps:
            if value is None:
                return None
            value = step(value)
        return value

    def many(value: Any) -> list[Any] | None:
        parts = [item.strip() for item in as_text(value).split(given.split)] if given.split is not None else value
        parts = parts if isinstance(parts, list) else [parts]
        return _listed(wanted, [item for part in parts if part != "" and (item := one(part)) is not None])

    def evaluate(row: Row) -> Any:
        value = get(row)
        if value is not None:
            value = many(value) if listed else one(value)
        if value is None:
            return default
        if plus is not None:
            added = plus(row)
            return None if added is None else _later(value, added)
        return value

    if constant and plus is None:
        # Wrong constants are the mapping's fault, not a row's.
        fixed = _checked(many if listed else one, get(_NO_ROW), path)
        return (lambda _: fixed), True
    return evaluate, constant


def _default(given: Any, wanted: Target, listed: bool, path: str) -> Any:
    coerce = _coerce(wanted, Leaf(text=""), path)
    if not listed:
        return _checked(coerce, given, path)
    return [_checked(coerce, item, path) for item in (given if isinstance(given, list) else [given])]


def _later(moment: datetime, added: timedelta) -> datetime:
    try:
        return moment + added
    except OverflowError:
        raise RefusalError(f"found {moment.isoformat()} and {added} after it, {_BEYOND}") from None


def _text(given: Leaf, view: View, path: str) -> tuple[Get, bool]:
    if isinstance(given.text, str):
        return template(given.text, view, path)
    gets = [template(text, view, f"{path}[{place}]")[0] for place, text in enumerate(given.text)]
    return lambda row: next((value for get in gets if (value := get(row)) is not None), None), False


@cache
def _names() -> dict[str, dict[str, str]]:
    return tomllib.loads(files(__package__).joinpath("names.toml").read_text(encoding="utf-8"))


def _listed(item: Target, values: list[Any]) -> list[Any] | None:
    # Lists of names are sets to all who read them; a repeated name would only count twice.
    return (list(dict.fromkeys(values)) if item.kind == "text" else values) or None


def _looked_up(given: dict[str, Any] | str, unmapped: str) -> Callable[[Any], Any]:
    table: Mapping[str, Any] = _names()[given] if isinstance(given, str) else given
    title = f"the table of {given}" if isinstance(given, str) else "`map`"

    def look_up(value: Any) -> Any:
        text = as_text(value)
        if text in table:
            return table[text]
        if unmapped == "refuse":
            raise RefusalError(
                f'found "{text}", which {title} lacks; add it to a map, or write unmapped = "keep" or "drop"'
            )
        return value if unmapped == "keep" else None

    return look_up


def _added(raw: Any, view: View, path: str) -> Get:
    if isinstance(raw, str) and (match := _DURATION.fullmatch(raw)):
        unit = match["unit"]
        if unit not in MICROSECONDS:
            raise MappingError(f"{path}.plus", f"`{unit}` is no unit; there are {', '.join(MICROSECONDS)}")
        fixed = duration(raw, f"{path}.plus")
        return lambda _: fixed
    if not (isinstance(raw, dict) and "unit" in raw):
        raise MappingError(f"{path}.plus", 'write a duration, as in "31h", or a value with a `unit`')
    seconds = compiled(raw, DURATION, view, f"{path}.plus")

    def added(row: Row) -> timedelta | None:
        value = seconds(row)
        try:
            return None if value is None else timedelta(microseconds=round(value * 1_000_000))
        except OverflowError:
            raise RefusalError(f"found {value} seconds to add, {_BEYOND}") from None

    return added


def _coerce(target: Target, given: Leaf, path: str) -> Callable[[Any], Any]:
    """Return what turns a value of a cell into what a field wants."""
    kind = target.kind
    for name, kinds in (
        ("number", ("whole", "number", "decimal", "duration", "code", "any")),
        ("unit", ("number", "duration")),
        ("time", ("time",)),
        ("zone", ("time",)),
    ):
        if getattr(given, name) is not None and kind not in kinds:
            raise MappingError(f"{path}.{name}", _wanted(target))
    if given.unit is not None and target.unit is None:
        raise MappingError(f"{path}.unit", "the field is no duration")
    if kind == "time":
        return _time(given, path)
    if kind in ("whole", "number", "decimal", "duration"):
        return _number(target, given)
    if kind == "text":
        return as_text
    if kind == "yes_no":
        return _yes_no
    if kind == "code":
        return _code(given)
    if kind == "any":
        return _plain if given.number is None else _number_of_any(given.number)
    return lambda value: _refuse(f"found {_show(value)}, {_wanted(target)}")


def _number(target: Target, given: Leaf) -> Callable[[Any], Any]:
    read = _decimal(given.number or "1234.5")
    factor = Decimal(MICROSECONDS[given.unit]) if given.unit else None
    divisor = Decimal(MICROSECONDS[target.unit]) if target.unit else Decimal(1)

    def number(value: Any) -> Any:
        found = read(value)
        if factor is not None:
            found = found * factor / divisor
        if target.kind == "whole":
            if found != found.to_integral_value():
                raise RefusalError(f"found {_show(value)}, expected a whole number")
            return int(found)
        if target.kind == "decimal":
            return str(found)
        if not math.isfinite(float(found)):
            raise RefusalError(f"found {_show(value)}, which is too large")
        return float(found)

    return number


def _number_of_any(style: str) -> Callable[[Any], int | float]:
    read = _decimal(style)

    def number(value: Any) -> int | float:
        found = read(value)
        return int(found) if found == found.to_integral_value() else float(found)

    return number


def _decimal(style: str) -> Callable[[Any], Decimal]:
    """Return what reads numbers like ``style``; a sign of currency or up to three letters may stand beside."""
    group = "" if style.startswith("1234") else style[1]
    point = style[-2] if style.endswith("5") else ""
    fraction = rf"(?:{re.escape(point)}(?P<fraction>\d*))?" if point else "(?P<fraction>)"
    whole = rf"\d{{1,3}}(?:{re.escape(group)}\d{{3}})+|\d*" if group else r"\d*"
    letters = r"(?:[^\W\d_]{1,3}\.?)?"
    shape = re.compile(
        rf"(?P<sign>[-+]?){letters}(?P<whole>{whole}){fraction}(?P<exponent>[eE][-+]?\d{{1,3}})?{letters}"
    )

    def read(value: Any) -> Decimal:
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            if not math.isfinite(value):
                raise RefusalError(f"found {value}, expected a finite number")
            return Decimal(str(value))
        text = as_text(value)
        # A space of any width may separate thousands, so only those beside the number go.
        bare = text.replace("$", "")
        if not bare.isascii():
            kinds = [(letter, unicodedata.category(letter)) for letter in bare]
            bare = "".join(" " if kind == "Zs" else letter for letter, kind in kinds if kind != "Sc")
        bare = re.sub(r"(?<!\d) | (?!\d)", "", bare) if group == " " else bare.replace(" ", "")
        match = shape.fullmatch(bare)
        if match is None or not (match["whole"] or match["fraction"]):
            raise RefusalError(
                f"found {_show(value)}, expected a number like {style}; `number` says how 1234.5 is written"
            )
        digits = match["whole"].replace(group, "") if group else match["whole"]
        return Decimal(f"{match['sign']}{digits or 0}.{match['fraction'] or 0}{match['exponent'] or ''}")

    return read


def _yes_no(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = as_text(value).lower()
    if text not in ("true", "false"):
        raise RefusalError(f"found {_show(value)}, expected true or false; `map` can say what is which")
    return text == "true"


def _code(given: Leaf) -> Callable[[Any], Any]:
    if given.number is not None:
        return _number_of_any(given.number)

    def code(value: Any) -> Any:
        text = as_text(value)
        # Programs write 80 as 80.0 where a column has gaps.
        return int(whole[1]) if (whole := _WHOLE.fullmatch(text)) else text

    return code


def _plain(value: Any) -> Any:
    return value


def _time(given: Leaf, path: str) -> Callable[[Any], datetime]:
    zone = _zone(given.zone, f"{path}.zone")
    style = "iso" if given.time is None else given.time
    if not isinstance(style, str) or style in _COUNTS:
        return _counted(_COUNTS[style] if isinstance(style, str) else style, f"{path}.time.since")
    if style != "iso" and "%" not in style:
        raise MappingError(
            f"{path}.time", 'write "iso", "unix", "unix_ms", a format like "%d/%m/%Y %H:%M", or since and unit'
        )
    try:
        _parsed("", style)
    except re.error as error:
        raise MappingError(f"{path}.time", f"no format of strptime: {error}") from None
    except RefusalError:
        pass

    def read(value: Any) -> datetime:
        moment = value if isinstance(value, datetime) else _parsed(as_text(value), style)
        if moment.tzinfo is None:
            if zone is None:
                raise RefusalError(f"found {_show(value)}, which has no time zone; name one in `zone`")
            moment = moment.replace(tzinfo=zone)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise RefusalError(f"found {_show(value)}, {_BEYOND}") from None

    return read


def _counted(given: Since, path: str) -> Callable[[Any], datetime]:
    if given.since.tzinfo is None:
        raise MappingError(path, "has no time zone; write one like 2015-01-01T00:00:00Z")
    number = _decimal("1234.5")

    def read(value: Any) -> datetime:
        try:
            return given.since + timedelta(microseconds=round(number(value) * MICROSECONDS[given.unit]))
        except OverflowError:
            raise RefusalError(f"found {_show(value)}, {_BEYOND}") from None

    return read


def _parsed(text: str, style: str) -> datetime:
    try:
        return datetime.fromisoformat(text) if style == "iso" else datetime.strptime(text, style)
    except ValueError:
        wanted = "a time like 2026-03-01T12:00:00Z" if style == "iso" else f"a time like {style}"
        raise RefusalError(f"found {_show(text)}, expected {wanted}") from None


def _zone(name: str | None, path: str) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise MappingError(path, f'no time zone is called "{name}"; use an IANA name like Asia/Jakarta') from None


def _refuse(reason: str) -> Any:
    raise RefusalError(reason)


def _show(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wanted(target: Target) -> str:
    names = {"yes_no": "true or false", "code": "a text or a number", "object": "an object", "map": "a map"}
    return f"the field is {names.get(target.kind, 'a ' + target.kind)}"
