"""Events made from another marketplace's records: ids that come out the same every time, refusals with their path."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from features.errors import EventError
from features.events import Event, decode_event
from service.adapters import Found
from service.adapters.payloads import Fields

_MAX_ID = 128
_UNSET = object()


class Record(NamedTuple):
    """An object of a payload and where it was found.

    Attributes:
        file: as it was given.
        line: line or row from 1.
        fields: the object.
    """

    file: Path
    line: int
    fields: Fields


def each(records: Sequence[Record], step: Callable[[Record], Iterator[Event]]) -> Iterator[Found]:
    """Yield the events that a step makes of each record, or the refusal that ends them."""
    for record in records:
        try:
            for event in step(record):
                yield record.file, record.line, event
        except EventError as error:
            yield record.file, record.line, error


def event_id(*parts: str) -> str:
    """Return an id that is the same whenever the same parts are given."""
    text = ":".join(parts)
    return text if len(text) <= _MAX_ID else f"{parts[0]}:{_digest(parts)}"


def make(
    kind: str,
    identity: tuple[str, ...],
    at: datetime,
    facts: Mapping[str, Any],
    record: Record,
    names: Mapping[str, str],
) -> Event:
    """Build an event.

    Args:
        kind: type of the event.
        identity: parts of its id.
        at: when it happened.
        facts: its fields; ``None`` leaves one out.
        record: what it was made from.
        names: field of the event -> field of the record, where they are not called alike; for refusals.

    Raises:
        EventError: a fact is out of the log's bounds; the path is that of the record's field.
    """
    given = {name: value for name, value in facts.items() if value is not None}
    return _decoded({"event_id": event_id(*identity), "type": kind, "at": at, **given}, record, names)


def offered(
    identity: tuple[str, ...],
    at: datetime,
    fixed: Collection[str],
    facts: Mapping[str, Any],
    record: Record,
    names: Mapping[str, str],
) -> list[Event]:
    """Return what posts a task: a posting that is the same in every export, and its facts as an update.

    An export that comes later with other facts then changes the task, but neither opens it again nor frees its slots.

    Args:
        identity: parts of the id of the posting; a task is posted anew for each.
        at: when it was offered.
        fixed: the facts that never change under this identity.
        facts: fields of `task_posted`; ``None`` for one that is not set.
        record: what it was made from.
        names: as in `make`.

    Raises:
        EventError: as `make`.
    """
    told = {name: value for name, value in facts.items() if name != "requester_id"}
    raw = {"event_id": event_id(*versioned((*identity, "facts"), facts)), "type": "task_updated", "at": at, **told}
    posted = make("task_posted", identity, at, {name: facts[name] for name in fixed}, record, names)
    return [posted, _decoded(raw, record, names)]


def _decoded(raw: Mapping[str, Any], record: Record, names: Mapping[str, str]) -> Event:
    try:
        return decode_event(msgspec.json.encode(raw))
    except EventError as error:
        first, _, rest = error.path.removeprefix("$.").partition(".")
        bare, bracket, index = first.partition("[")
        path = record.fields.where(names.get(bare, bare)) + bracket + index + (f".{rest}" if rest else "")
        # The reason without what was found: it may be somebody's words.
        found, _, expected = error.reason.rpartition(", expected ")
        raise EventError(f"expected {expected}" if found else error.reason, path) from error


def versioned(identity: tuple[str, ...], facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Add a fingerprint of the facts to an identity: a record that changed gives a new event, no conflict."""
    return (*identity, _digest({name: value for name, value in facts.items() if value is not None}))


def _digest(value: object) -> str:
    return blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=8).hexdigest()


_Change = tuple[datetime, str, str, object, Record]


class Profiles:
    """What is told about workers in bits: each change of a worker gives the whole profile as known from then on."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._changes: dict[str, list[_Change]] = {}

    def hold(self, worker: str, at: datetime, field: str, key: str, value: object, record: Record) -> None:
        """From ``at`` on, the entry ``key`` of a list or map of the profile has a value; for lists it is ignored."""
        self._changes.setdefault(worker, []).append((at, field, key, value, record))

    def drop(self, worker: str, at: datetime, field: str, key: str, record: Record) -> None:
        """From ``at`` on, the entry ``key`` is no more."""
        self.hold(worker, at, field, key, _UNSET, record)

    def since(self, worker: str) -> datetime | None:
        """Return the first instant at which something is known of a worker."""
        return min((change[0] for change in self._changes.get(worker, ())), default=None)

    def events(self) -> Iterator[Found]:
        """Yield `worker_updated` for every instant at which a profile changed.

        The last one bears a fingerprint of all that is told of the worker, so that an export which tells less than an
        earlier one, as after a revocation, brings the profile to where it ends now. A profile that an earlier export
        ended with is known already, and brings nothing back.
        """
        for worker, changes in self._changes.items():
            changes.sort(key=lambda change: change[0])
            profiles = list(_profiles(worker, changes))
            for place, (at, facts, record) in enumerate(profiles, start=1):
                identity = versioned((self._source, "worker", at.isoformat()), facts)
                if place == len(profiles):
                    identity = (*identity, _fingerprint(changes))
                try:
                    yield record.file, record.line, make("worker_updated", identity, at, facts, record, {})
                except EventError as error:
                    yield record.file, record.line, error


def _profiles(worker: str, changes: Sequence[_Change]) -> Iterator[tuple[datetime, dict[str, Any], Record]]:
    """Yield the first profile and each that differs from the one before."""
    profile: dict[str, dict[str, object]] = {}
    before: dict[str, Any] | None = None
    for place, (at, field, key, value, record) in enumerate(changes):
        entries = profile.setdefault(field, {})
        if value is _UNSET:
            entries.pop(key, None)
        else:
            entries[key] = value
        if place + 1 < len(changes) and changes[place + 1][0] == at:
            continue
        facts = {"worker_id": worker, **{name: _shape(name, held) for name, held in profile.items() if held}}
        if facts != before:
            yield at, facts, record
        before = facts


def _fingerprint(changes: Sequence[_Change]) -> str:
    told = [(at, field, key, [] if value is _UNSET else [value]) for at, field, key, value, _ in changes]
    return _digest(sorted(map(msgspec.json.encode, told)))


def _shape(field: str, held: Mapping[str, object]) -> object:
    if field in ("skills", "qualifications"):
        return dict(held)
    if field in ("country", "region"):
        return held[""]
    return sorted(held)
