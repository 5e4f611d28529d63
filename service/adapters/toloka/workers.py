"""Skills, restrictions and metadata as what is known of workers."""

from datetime import datetime

from service.adapters.derived import Profiles, Record
from service.adapters.toloka.filters import COMPUTED, UNKNOWN, device, language, level, truth
from service.adapters.toloka.offers import BANNED
from service.adapters.toloka.records import instant, moment

SCOPES = ("SYSTEM", "ALL_PROJECTS", "PROJECT", "POOL")


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


def ban_of(record: Record) -> str:
    """Return the qualification that stands for a restriction, which the tasks concerned ask not to be held.

    Raises:
        EventError: a field is missing or wrong.
    """
    fields = record.fields
    scope = fields.choice("scope", SCOPES)
    if scope in ("PROJECT", "POOL"):
        kind = scope.lower()
        return f"{BANNED}:{kind}:{fields.need(f'{kind}_id')}"
    return BANNED


def restrict(record: Record, profiles: Profiles) -> None:
    """Note a restriction from when it was made until it ends.

    Raises:
        EventError: a field is missing or wrong.
    """
    fields = record.fields
    worker, key = fields.need("user_id"), ban_of(record)
    start, end = moment(fields, "created"), fields.instant("will_expire", instant)
    if end is None or end > start:
        profiles.hold(worker, start, "qualifications", key, None, record)
    if end is not None and end > start:
        profiles.drop(worker, end, "qualifications", key, record)


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
