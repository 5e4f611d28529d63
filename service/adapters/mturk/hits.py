"""HITs as tasks."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from features.events import Event
from service.adapters.clauses import requirements
from service.adapters.derived import Record, make, offered
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
_FIXED = ("task_id", "requester_id", "slots", "expires_at")
"""What of a posting never changes under its id."""
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


def identity_of(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the ids of a HIT's events begin with; a HIT that was extended, be it in time, is another offer."""
    until = facts["expires_at"]
    span = "" if until is None else until.isoformat()
    return "mturk", "hit", facts["task_id"], facts["requester_id"], str(facts["slots"]), span


def postings(facts: Mapping[str, Any], at: datetime, record: Record) -> list[Event]:
    """Return the events by which a HIT is offered."""
    return offered((*identity_of(facts), "posted"), at, _FIXED, facts, record, _NAMES)


def reopenings(facts: Mapping[str, Any], left: int, at: datetime, record: Record) -> list[Event]:
    """Return the events by which a HIT that had ended is offered again, with the slots that are left."""
    identity = (*identity_of(facts), "extended", at.isoformat())
    return offered(identity, at, ("task_id", "requester_id"), {**facts, "slots": left}, record, _NAMES)


def created(hit: Record) -> datetime:
    """Return when a HIT was created.

    Raises:
        EventError: it does not say.
    """
    at = hit.fields.instant("CreationTime", instant)
    if at is None:
        raise hit.fields.error("CreationTime", "missing")
    return at


def closing(hit: Record, facts: Mapping[str, Any], last: datetime) -> Iterator[Event]:
    """Yield the end of a HIT that can no longer be accepted.

    The API does not say when that happened. It is taken to be the last thing known of the HIT, or its expiry if that
    came first.

    Args:
        hit: a HIT of the API.
        facts: its facts.
        last: the last instant at which something is known to have happened to it.
    """
    status = hit.fields.choice("HITStatus", STATUSES)
    if status not in (None, "Assignable"):
        end = facts["expires_at"]
        at = last if end is None else max(min(end, last), created(hit))
        closed = {"task_id": facts["task_id"], "reason": status}
        yield make("task_closed", (*identity_of(facts), str(status), at.isoformat()), at, closed, hit, _NAMES)


def _reward(fields: Fields) -> dict[str, str] | None:
    """Return the reward, a decimal in US dollars, with a dollar sign in a results file."""
    value = fields.body.get("Reward")
    if value is None:
        return None
    text = str(value).strip().removeprefix("$")
    if isinstance(value, bool) or not _AMOUNT.fullmatch(text):
        raise fields.error("Reward", "expected an amount of US dollars, like 0.05")
    return {"amount": text, "currency": "USD"}
