"""Skills, restrictions and metadata as what is known of workers."""

from datetime import datetime

from service.adapters.derived import Profiles, Record
from service.adapters.payloads import Fields
from service.adapters.toloka.filters import COMPUTED, UNKNOWN, device, language, level, truth
from service.adapters.toloka.offers import BANNED
from service.adapters.toloka.records import instant, moment

SCOPES = ("SYSTEM", "ALL_PROJECTS", "PROJECT", "POOL")
_Span = tuple[datetime, datetime | None, Record]


def skill(record: Record, profiles: Profiles) -> None:
    """Note the value of a skill, from when it was last changed: earlier values the API does not tell.

    Raises:
        EventError: a field is missing or wrong.
    """
    fields = record.fields
    name = "exact_value" if "exact_value" in fields else "value"
    if name not in fields:
        raise fields.error("value", "missing")
    try:
        value = level(fields.body[name])
    except ValueError as error:
        raise fields.error(name, str(error)) from error
    at = fields.instant("modified", instant) or moment(fields, "created")
    profiles.hold(fields.need("user_id"), at, "skills", fields.need("skill_id"), value, record)


class Restrictions:
    """The restrictions of workers, as qualifications that the tasks concerned ask not to be held."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._spans: dict[tuple[str, str], list[_Span]] = {}

    def add(self, record: Record) -> None:
        """Note a restriction.

        Raises:
            EventError: a field is missing or wrong.
        """
        fields = record.fields
        worker, key = fields.need("user_id"), _ban_of(fields)
        start, end = moment(fields, "created"), fields.instant("will_expire", instant)
        self._keys.add(key)
        if end is None or end > start:
            self._spans.setdefault((worker, key), []).append((start, end, record))

    def keys(self) -> frozenset[str]:
        """Return the qualifications that stand for the restrictions."""
        return frozenset(self._keys)

    def tell(self, profiles: Profiles, now: datetime) -> None:
        """Note since when each worker is restricted, and until when if that is over: the last of several counts.

        An end that is still to come is left to a later import: an event in the future would stop the log's clock.
        """
        for (worker, key), spans in self._spans.items():
            for start, end, record in _joined(spans):
                profiles.hold(worker, start, "qualifications", key, None, record)
                if end is not None and end <= now:
                    profiles.drop(worker, end, "qualifications", key, record)


def _joined(spans: list[_Span]) -> list[_Span]:
    """Return spans without those that others go on with, in order of time; a span without an end goes on for ever."""
    found: list[_Span] = []
    for start, end, record in sorted(spans, key=lambda span: span[0]):
        if not found or (found[-1][1] is not None and start > found[-1][1]):
            found.append((start, end, record))
            continue
        first, until, told = found[-1]
        found[-1] = (first, None if until is None or end is None else max(until, end), told)
    return found


def _ban_of(restriction: Fields) -> str:
    scope = restriction.choice("scope", SCOPES)
    if scope in ("PROJECT", "POOL"):
        kind = scope.lower()
        return f"{BANNED}:{kind}:{restriction.need(f'{kind}_id')}"
    return BANNED


def describe(record: Record, at: datetime, profiles: Profiles) -> None:
    """Note what the metadata of a worker tells; the service does not say since when.

    Args:
        record: user metadata.
        at: when it counts as known.
        profiles: where to.

    Raises:
        EventError: a field is missing or wrong.
    """
    fields = record.fields
    worker = fields.need("id")
    country = fields.text("country")
    if country is not None:
        profiles.hold(worker, at, "country", "", country, record)
    for place, code in enumerate(fields.values("languages")):
        try:
            profiles.hold(worker, at, "languages", language(code), None, record)
        except ValueError as error:
            raise fields.error(f"languages[{place}]", str(error)) from error
    if "adult_allowed" in fields:
        allowed = truth(fields.flag("adult_allowed"))
        profiles.hold(worker, at, "qualifications", "adult_allowed", allowed, record)
    attributes = fields.object("attributes")
    if attributes is None:
        return
    for name, value in attributes.body.items():
        if value == UNKNOWN:
            continue
        if name == "device_category" and isinstance(value, str):
            try:
                profiles.hold(worker, at, "devices", device(value), None, record)
            except ValueError as error:
                raise attributes.error(name, str(error)) from error
        elif name in COMPUTED and isinstance(value, int | str):
            profiles.hold(worker, at, "qualifications", name, value, record)
