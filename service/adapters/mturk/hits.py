"""HITs as tasks."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from features.events import Event
from service.adapters.clauses import requirements
from service.adapters.derived import Record, make, versioned
from service.adapters.mturk.instants import instant
from service.adapters.mturk.requirements import nodes_of
from service.adapters.payloads import Fields

STATUSES = ("Assignable", "Unassignable", "Reviewable", "Reviewing", "Disposed")
_NAMES = {
    "task_id": "HITId",
    "requester_id": "RequesterId",
    "title": "Title",
    "description": "Description",
    "keywords": "Keywords",
    "reward": "Reward",
    "slots": "MaxAssignments",
    "group_id": "HITTypeId",
    "time_limit_minutes": "AssignmentDurationInSeconds",
    "expires_at": "Expiration",
    "requirements": "QualificationRequirements",
    "at": "CreationTime",
}
_SECONDS_IN_MINUTE = 60
_AMOUNT = re.compile(r"\d+\.?\d*|\.\d+")


def facts_of(hit: Record, types: Mapping[str, Record], requester: str) -> dict[str, Any]:
    """Return the fields of `task_posted` for a HIT; what it leaves to its HIT type is taken from there.

    Args:
        hit: a HIT of the API, or a row of a results file.
        types: HIT types by id.
        requester: whose HITs these are, where they do not say.

    Raises:
        EventError: a field is missing or wrong.
    """
    fields = hit.fields
    group = fields.text("HITTypeId")
    kind = types[group].fields if group is not None and group in types else None
    held = Fields({**kind.body, **fields.body}, fields.path) if kind else fields
    # A refusal names the object in which the requirements stand.
    asked = fields if kind is None or "QualificationRequirements" in fields else kind
    keywords = [word for part in (held.text("Keywords") or "").split(",") if (word := part.strip())]
    duration = held.number("AssignmentDurationInSeconds", 1)
    return {
        "task_id": held.need("HITId"),
        "requester_id": held.text("RequesterId") or requester,
        "title": held.text("Title"),
        "description": held.text("Description"),
        "keywords": keywords or None,
        "reward": _reward(held),
        "slots": 1 if (most := held.integer("MaxAssignments", 1, 10**9)) is None else most,
        "group_id": group,
        "time_limit_minutes": None if duration is None else duration / _SECONDS_IN_MINUTE,
        "expires_at": held.instant("Expiration", instant),
        "requirements": requirements(nodes_of(asked), asked.where("QualificationRequirements")),
    }


def posting(facts: dict[str, Any], at: datetime, record: Record, *occasion: str) -> Event:
    """Return the event by which a HIT is offered, or offered again on an ``occasion``."""
    identity = versioned(("mturk", "hit", str(facts["task_id"]), "posted", *occasion), facts)
    return make("task_posted", identity, at, facts, record, _NAMES)


def created(hit: Record) -> datetime:
    """Return when a HIT was created.

    Raises:
        EventError: it does not say.
    """
    at = hit.fields.instant("CreationTime", instant)
    if at is None:
        raise hit.fields.error("CreationTime", "missing")
    return at


def closing(hit: Record, last: datetime) -> Iterator[Event]:
    """Yield the end of a HIT that can no longer be accepted.

    The API does not say when that happened. It is taken to be the last thing known of the HIT, or its expiry if that
    came first.

    Args:
        hit: a HIT of the API.
        last: the last instant at which something is known to have happened to it.
    """
    status = hit.fields.choice("HITStatus", STATUSES)
    if status not in (None, "Assignable"):
        end = hit.fields.instant("Expiration", instant)
        at = last if end is None else max(min(end, last), created(hit))
        facts = {"task_id": hit.fields.need("HITId"), "reason": status}
        identity = ("mturk", "hit", facts["task_id"], str(status), at.isoformat())
        yield make("task_closed", identity, at, facts, hit, _NAMES)


def _reward(fields: Fields) -> dict[str, str] | None:
    """Return the reward, a decimal in US dollars, with a dollar sign in a results file."""
    value = fields.body.get("Reward")
    if value is None:
        return None
    text = str(value).strip().removeprefix("$")
    if isinstance(value, bool) or not _AMOUNT.fullmatch(text):
        raise fields.error("Reward", "expected an amount of US dollars, like 0.05")
    return {"amount": text, "currency": "USD"}
