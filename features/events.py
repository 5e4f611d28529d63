"""The events: everything the system knows arrives as one of these, one JSON object a line of the log.

`decode_event` is the only door in. It refuses what it does not know, so whoever holds an `Event` need not check again.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Annotated, Any, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import force_setattr

from features.errors import EventError
from features.event_errors import explain
from features.money import Money
from features.requirements_shape import Requirements, parse_once, unparse

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Names = Annotated[tuple[Name, ...], Meta(max_length=1000)]
Text = Annotated[str, Meta(max_length=2000)]
LongText = Annotated[str, Meta(max_length=100_000)]
Language = Annotated[str, Meta(pattern=r"^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*\Z", max_length=64)]  # BCP 47
Languages = Annotated[tuple[Language, ...], Meta(max_length=1000)]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]  # ISO 3166-1 alpha-2
Countries = Annotated[tuple[Country, ...], Meta(max_length=1000)]
Level = Annotated[float, Meta(ge=0, le=1)]
Minutes = Annotated[float, Meta(gt=0, le=10_000_000)]
Seconds = Annotated[float, Meta(ge=0, le=600_000_000)]
Rating = Annotated[float, Meta(ge=1, le=5)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Ordinal = Annotated[int, Meta(ge=1, le=2**31 - 1)]
QualificationValue = Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=256)] | None
Skills = Names | Annotated[dict[Name, Level], Meta(max_length=1000)]
Qualifications = Annotated[dict[Name, QualificationValue], Meta(max_length=1000)]

RANKED, EXPLORED, SWAPPED, SAMPLED = "ranked", "explored", "swapped", "sampled"
"""Policies of served lists: as scored, with positions drawn, with two neighbours swapped; ``sampled`` ones were
reconstructed for training and never shown."""

_TASK_ID = attrgetter("task_id")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400  # seconds
# What int64 nanoseconds, and with them pandas timestamps, can hold.
_FIRST_YEAR, _LAST_YEAR = 1970, 2261


def micros(instant: datetime) -> int:
    """Return the whole microseconds from 1970-01-01T00:00:00Z to ``instant``, exactly.

    Raises:
        TypeError: ``instant`` has no time zone.
    """
    since = instant - _EPOCH
    # A quotient of two spans takes longer.
    return (since.days * _DAY + since.seconds) * 1_000_000 + since.microseconds


def instant(microseconds: int) -> datetime:
    """Return the instant that many microseconds after 1970-01-01T00:00:00Z; the inverse of `micros`."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _type_name(class_name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


def in_utc(field: str, moment: datetime) -> datetime:
    """Return an instant in UTC.

    Raises:
        ValueError: it has no time zone, or its year in UTC is none that a log may hold; the message names ``field``.
    """
    if moment.tzinfo is None:
        raise ValueError(f"`{field}` has no time zone; write UTC, like 2026-03-01T12:00:00Z")
    # What is next to the years has to be converted first: what is kept is read back as it is in UTC.
    if _FIRST_YEAR - 1 <= moment.year <= _LAST_YEAR + 1:
        moment = moment.astimezone(UTC)
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"`{field}` must lie between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    return moment


class _Event(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="type",
    tag=_type_name,
    gc=False,
):
    """What all events share: an identity and an instant, always in UTC.

    Nothing in an event leads back to it, so the garbage collector need not look at events: with a log of them in memory
    it would do little else.
    """

    event_id: Annotated[str, Meta(min_length=1, max_length=128)]
    at: Annotated[datetime, Meta(tz=True)]

    def __post_init__(self) -> None:
        at = self.at
        if at.tzinfo is not UTC or not _FIRST_YEAR <= at.year <= _LAST_YEAR:
            force_setattr(self, "at", in_utc("at", at))
        if "\x00" in self.event_id:
            raise ValueError("`event_id` holds a NUL character, which databases cannot keep")


class _Nested(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """An object inside an event."""


class WorkerUpdated(_Event, frozen=True, kw_only=True):
    """The whole profile of a worker: what is ``None`` is unset from now on."""

    worker_id: Id
    skills: Skills | None = None
    languages: Languages | None = None
    country: Country | None = None
    region: Name | None = None
    qualifications: Qualifications | None = None
    expected_hourly: Money | None = None
    min_reward: Money | None = None
    session_minutes: Minutes | None = None
    devices: Names | None = None
    blocked_requesters: Names | None = None
    blocked_categories: Names | None = None
    blocked_keywords: Names | None = None


class WorkerErased(_Event, frozen=True, kw_only=True):
    """The worker asked to be forgotten."""

    worker_id: Id


class TaskPosted(_Event, frozen=True, kw_only=True):
    """A task opens, or opens again with other content. ``None`` is unlimited ``slots``, and a limit of 1."""

    task_id: Id
    requester_id: Id
    title: Text | None = None
    reward: Money | None = None
    slots: Count | None = None
    per_worker_limit: Ordinal | None = 1
    group_id: Id | None = None
    description: LongText | None = None
    category: Name | None = None
    skills: Names | None = None
    keywords: Names | None = None
    estimated_minutes: Minutes | None = None
    time_limit_minutes: Minutes | None = None
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    languages: Languages | None = None
    countries: Countries | None = None
    devices: Names | None = None
    requirements: Requirements | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.expires_at is not None:
            force_setattr(self, "expires_at", in_utc("expires_at", self.expires_at))
        if self.per_worker_limit is None:
            force_setattr(self, "per_worker_limit", 1)


class TaskUpdated(_Event, frozen=True, kw_only=True):
    """Some fields of a task change: ``UNSET`` leaves a field as it is, ``None`` clears it (``slots``: unlimited)."""

    task_id: Id
    title: Text | UnsetType | None = UNSET
    reward: Money | UnsetType | None = UNSET
    slots: Count | UnsetType | None = UNSET
    per_worker_limit: Ordinal | UnsetType | None = UNSET
    group_id: Id | UnsetType | None = UNSET
    description: LongText | UnsetType | None = UNSET
    category: Name | UnsetType | None = UNSET
    skills: Names | UnsetType | None = UNSET
    keywords: Names | UnsetType | None = UNSET
    estimated_minutes: Minutes | UnsetType | None = UNSET
    time_limit_minutes: Minutes | UnsetType | None = UNSET
    expires_at: Annotated[datetime, Meta(tz=True)] | UnsetType | None = UNSET
    languages: Languages | UnsetType | None = UNSET
    countries: Countries | UnsetType | None = UNSET
    devices: Names | UnsetType | None = UNSET
    requirements: Requirements | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.expires_at, datetime):
            force_setattr(self, "expires_at", in_utc("expires_at", self.expires_at))
        if self.per_worker_limit is None:
            force_setattr(self, "per_worker_limit", 1)


class TaskClosed(_Event, frozen=True, kw_only=True):
    """A task takes no more work until it is posted again."""

    task_id: Id
    reason: Text | None = None


class FeedItem(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A task in a served list: its place from 1, its score, and the probability with which it stood at that place."""

    task_id: Id
    position: Ordinal
    score: float | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None


class FeedContext(_Nested, frozen=True, kw_only=True):
    """What the worker asked for when the list was made."""

    session_minutes: Minutes | None = None
    device: Name | None = None
    min_reward: Money | None = None
    categories: Names | None = None
    exclude_task_ids: Annotated[tuple[Id, ...], Meta(max_length=10_000)] | None = None
    surface: Name | None = None


class FeedServed(_Event, frozen=True, kw_only=True):
    """A list was served; it may be empty. ``policy`` of ``sampled`` = reconstructed for training, never shown."""

    feed_id: Id
    worker_id: Id
    items: Annotated[tuple[FeedItem, ...], Meta(max_length=10_000)]
    context: FeedContext | None = None
    model_version: Name | None = None
    policy: Name | None = None
    log_seq: Annotated[int, Meta(ge=0, le=2**62)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(map(_TASK_ID, self.items))) != len(self.items):
            raise ValueError("`items` holds a task_id twice; a list shows a task once")


class FeedShown(_Event, frozen=True, kw_only=True):
    """The worker saw the list down to a position; 0 = nothing of it."""

    feed_id: Id
    up_to_position: Count


class _OnTask(_Event, frozen=True, kw_only=True):
    """A worker did something with a task, perhaps led there by a list."""

    worker_id: Id
    task_id: Id
    feed_id: Id | None = None


class TaskViewed(_OnTask, frozen=True, kw_only=True):
    """The worker opened the task."""


class TaskSaved(_OnTask, frozen=True, kw_only=True):
    """The worker kept the task for later."""


class TaskHidden(_OnTask, frozen=True, kw_only=True):
    """The worker does not want to see the task again."""


class AssignmentAccepted(_OnTask, frozen=True, kw_only=True):
    """The worker took the task; one slot is used."""


class AssignmentReturned(_OnTask, frozen=True, kw_only=True):
    """The worker gave the task back and may take it again."""


class AssignmentAbandoned(_OnTask, frozen=True, kw_only=True):
    """The worker let the time run out and may not take the task again."""


class AssignmentSubmitted(_OnTask, frozen=True, kw_only=True):
    """The worker handed the work in."""

    work_seconds: Seconds | None = None


class _Verdict(_Event, frozen=True, kw_only=True):
    worker_id: Id
    task_id: Id
    bonus: Money | None = None
    reason: Text | None = None


class AssignmentApproved(_Verdict, frozen=True, kw_only=True):
    """The requester accepted the work and pays."""


class AssignmentRejected(_Verdict, frozen=True, kw_only=True):
    """The requester refused the work."""


class _Rated(_Event, frozen=True, kw_only=True):
    worker_id: Id
    requester_id: Id
    rating: Rating
    task_id: Id | None = None


class RequesterRated(_Rated, frozen=True, kw_only=True):
    """The worker rates the requester, 1 (bad) to 5."""


class WorkerRated(_Rated, frozen=True, kw_only=True):
    """The requester rates the worker, 1 (bad) to 5."""


Event = (
    WorkerUpdated
    | WorkerErased
    | TaskPosted
    | TaskUpdated
    | TaskClosed
    | FeedServed
    | FeedShown
    | TaskViewed
    | TaskSaved
    | TaskHidden
    | AssignmentAccepted
    | AssignmentReturned
    | AssignmentAbandoned
    | AssignmentSubmitted
    | AssignmentApproved
    | AssignmentRejected
    | RequesterRated
    | WorkerRated
)

Entry = tuple[int, int, Event]
"""Sequence number, ``known_at`` in microseconds since 1970, event."""

EVENT_TYPES: dict[str, type[Event]] = {_type_name(kind.__name__): kind for kind in get_args(Event)}
_MONEY_FIELDS: dict[type[Event], tuple[str, ...]] = {
    WorkerUpdated: ("expected_hourly", "min_reward"),
    TaskPosted: ("reward",),
    TaskUpdated: ("reward",),
    FeedServed: ("min_reward",),
    AssignmentApproved: ("bonus",),
    AssignmentRejected: ("bonus",),
}
_TYPE_NAMES = {kind: name for name, kind in EVENT_TYPES.items()}


def event_type(event: Event) -> str:
    """Return the name of an event's type as it is written in the log."""
    return _TYPE_NAMES[type(event)]


def moneys(event: Event) -> tuple[Money, ...]:
    """Return every amount of money in an event."""
    fields = _MONEY_FIELDS.get(type(event))
    holder = event.context if isinstance(event, FeedServed) else event
    if fields is None or holder is None:
        return ()
    found = (getattr(holder, field, None) for field in fields)
    return tuple(money for money in found if isinstance(money, Money))


def decode_hook(kind: type, raw: Any) -> Any:
    """Build requirements from decoded JSON, for a decoder of events."""
    if kind is Requirements:
        return parse_once(raw)
    raise NotImplementedError(kind)


def _encode_hook(value: Any) -> Any:
    if isinstance(value, Requirements):
        return unparse(value)
    raise NotImplementedError(type(value))


def _number(text: str) -> int | Decimal:
    number = Decimal(text)
    return int(number) if abs(number) <= _MOST_EXACT and number == number.to_integral_value() else number


_MOST_EXACT = 2**53
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event, dec_hook=decode_hook)
_number_decoder = msgspec.json.Decoder(float_hook=_number)
_number_encoder = msgspec.json.Encoder(decimal_format="number")
_encoder = msgspec.json.Encoder(enc_hook=_encode_hook, order="deterministic")
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def decode_event(line: bytes) -> Event:
    """Decode one event from JSON; another offset than UTC is normalised, beyond microseconds is rounded.

    JSON does not tell 20 from 20.0, and tables with gaps write whole numbers so: both are taken.

    Raises:
        EventError: the text is no JSON, or the event is not one of the contract; the message names the field, what was
            found and what is allowed.
    """
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError:
        line = _with_whole_numbers(line)
    except _UNREADABLE as error:
        raise explain(error, line, EVENT_TYPES) from error
    try:
        return _decoder.decode(line)
    except _UNREADABLE as error:
        raise explain(error, line, EVENT_TYPES) from error


def _with_whole_numbers(line: bytes) -> bytes:
    """Return a text with its whole numbers written as integers, or as it is where it cannot be read."""
    try:
        return _number_encoder.encode(_number_decoder.decode(line))
    except (*_UNREADABLE, ArithmeticError):
        return line


def decode_each(lines: Sequence[bytes]) -> list[Event]:
    """Decode events from JSON, each as `decode_event` does, and faster than one by one.

    Raises:
        EventError: as `decode_event`, of the first event at fault.
    """
    decode = _decoder.decode
    try:
        return [decode(line) for line in lines]
    except _UNREADABLE:
        return [decode_event(line) for line in lines]


def decode_events(body: bytes) -> list[Event]:
    """Decode a JSON array of events, or newline-delimited JSON where blank lines are skipped.

    Raises:
        EventError: as `decode_event`, with ``index`` set to the place of the first event at fault.
    """
    lines: list[msgspec.Raw] | list[bytes]
    if body.lstrip()[:1] == b"[":
        try:
            lines = _list_decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise explain(error, body, EVENT_TYPES) from error
    else:
        lines = [line for line in body.split(b"\n") if line.strip()]
    events = []
    for index, line in enumerate(lines):
        try:
            events.append(decode_event(bytes(line)))
        except EventError as error:
            raise EventError(error.reason, error.path, index) from error
    return events


def encode_event(event: Event) -> bytes:
    """Encode an event canonically: equal events give equal bytes, whatever text they were decoded from."""
    return _encoder.encode(event)
