"""Notification messages: what they tell beyond the API's responses, and how they are joined to them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from features.errors import EventError
from features.events import Event
from service.adapters.derived import Record, make
from service.adapters.mturk.assignments import Stage, deed
from service.adapters.mturk.hits import identity_of, reopenings
from service.adapters.mturk.instants import instant

DEEDS = {
    "AssignmentAccepted": "assignment_accepted",
    "AssignmentAbandoned": "assignment_abandoned",
    "AssignmentReturned": "assignment_returned",
    "AssignmentSubmitted": "assignment_submitted",
    "AssignmentApproved": "assignment_approved",
    "AssignmentRejected": "assignment_rejected",
}
ENDS = {"HITReviewable": "reviewable", "HITExpired": "expired", "HITDisposed": "disposed"}
TYPES = (*DEEDS, *ENDS, "HITCreated", "HITExtended", "Ping")


def type_of(notice: Record) -> str:
    """Return the type of a notification event.

    Raises:
        EventError: it has none, or one that is not known.
    """
    notice.fields.need("EventType")
    return notice.fields.choice("EventType", TYPES) or ""


def moment(notice: Record) -> datetime:
    """Return when it happened.

    Raises:
        EventError: it does not say.
    """
    at = notice.fields.instant("EventTimestamp", instant)
    if at is None:
        raise notice.fields.error("EventTimestamp", "missing")
    return at


def deed_of(notice: Record, workers: Mapping[str, str]) -> Event:
    """Return the step of an assignment that a notice tells.

    Args:
        notice: of one of the types `DEEDS`.
        workers: who works on which assignment. Notices of the service name the assignment alone.

    Raises:
        EventError: a field is missing, or nobody is known to work on the assignment.
    """
    fields = notice.fields
    assignment, task = fields.need("AssignmentId"), fields.need("HITId")
    worker = fields.text("WorkerId") or workers.get(assignment)
    if worker is None:
        raise fields.error(
            "AssignmentId",
            "a notice names no worker, and no assignment in these files does; give the responses of"
            " ListAssignmentsForHIT or a results file along, or leave such notices out with --on-error skip",
        )
    return deed(assignment, Stage(DEEDS[type_of(notice)], moment(notice), {}), worker, task, notice)


def course(
    notices: list[tuple[datetime, Record]], facts: Mapping[str, Any] | None, taken: list[datetime]
) -> Iterator[tuple[Record, Event | EventError]]:
    """Yield how a HIT ended, and how it was offered again when it was extended after its end.

    Args:
        notices: the notices of one HIT, in the order of time.
        facts: the fields of its posting; None if the HIT is in none of the files.
        taken: when its assignments were accepted.
    """
    ended = False
    for at, notice in notices:
        kind = type_of(notice)
        try:
            if kind in ENDS:
                ended = True
                yield notice, _end(notice, ENDS[kind], at, facts)
            elif kind in ("HITCreated", "HITExtended") and facts is None:
                reason = (
                    "the HIT is in none of these files, and a notice does not describe it; give GetHIT's response along"
                )
                raise notice.fields.error("HITId", reason)
            elif kind == "HITExtended" and ended and facts is not None:
                ended = False
                left = max(0, facts["slots"] - sum(accepted <= at for accepted in taken))
                for event in reopenings(facts, left, at, notice):
                    yield notice, event
        except EventError as error:
            yield notice, error


def _end(notice: Record, reason: str, at: datetime, facts: Mapping[str, Any] | None) -> Event:
    task = notice.fields.need("HITId")
    # Where the HIT is posted anew, its end has to come again.
    identity = ("mturk", "hit", task) if facts is None else identity_of(facts)
    names = {"task_id": "HITId", "at": "EventTimestamp"}
    closed = {"task_id": task, "reason": reason}
    return make("task_closed", (*identity, reason, at.isoformat()), at, closed, notice, names)
