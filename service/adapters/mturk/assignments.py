"""Assignments as what workers did with tasks."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from features.events import Event
from service.adapters.derived import Record, make
from service.adapters.mturk.instants import instant

STATUSES = ("Submitted", "Approved", "Rejected")
NAMES = {"worker_id": "WorkerId", "task_id": "HITId", "work_seconds": "WorkTimeInSeconds"}
_VERDICTS = {"Approved": "ApprovalTime", "Rejected": "RejectionTime"}


class Stage(NamedTuple):
    """One step of an assignment.

    Attributes:
        kind: type of the event.
        at: when it happened.
        more: fields of the event beyond worker and task.
    """

    kind: str
    at: datetime
    more: dict[str, Any]


def stages(assignment: Record) -> Iterator[Stage]:
    """Yield the steps that an assignment of the API, or a row of a results file, has gone through.

    Raises:
        EventError: a field is missing or wrong.
    """
    fields = assignment.fields
    status = fields.choice("AssignmentStatus", STATUSES)
    accepted = fields.instant("AcceptTime", instant)
    submitted = fields.instant("SubmitTime", instant)
    if accepted is not None:
        yield Stage("assignment_accepted", accepted, {})
    if submitted is not None:
        seconds = fields.number("WorkTimeInSeconds", 0)
        if seconds is None and accepted is not None and submitted >= accepted:
            seconds = (submitted - accepted).total_seconds()
        yield Stage("assignment_submitted", submitted, {"work_seconds": seconds})
    elif status is not None:
        raise fields.error("SubmitTime", "missing in an assignment that was submitted")
    approved = fields.instant("ApprovalTime", instant)
    if approved is None and status == "Approved":
        approved = fields.instant("AutoApprovalTime", instant)  # approved by the passing of time
    rejected = fields.instant("RejectionTime", instant)
    if status in _VERDICTS and (approved if status == "Approved" else rejected) is None:
        raise fields.error(_VERDICTS[status], f"missing in an assignment that was {status.lower()}")
    # A rejection that was overridden stands before the approval.
    verdicts = [("assignment_rejected", rejected), ("assignment_approved", approved)]
    for kind, at in sorted(((kind, at) for kind, at in verdicts if at is not None), key=lambda verdict: verdict[1]):
        yield Stage(kind, at, {})


def deed(assignment_id: str, stage: Stage, worker: str, task: str, record: Record) -> Event:
    """Return the event of a step; its id follows from the assignment and the step alone, whichever record tells it."""
    identity = ("mturk", "assignment", assignment_id, stage.kind.removeprefix("assignment_"))
    return make(stage.kind, identity, stage.at, {"worker_id": worker, "task_id": task, **stage.more}, record, NAMES)


def ids(record: Record) -> tuple[str, str, str]:
    """Return assignment, worker and HIT.

    Raises:
        EventError: one is missing.
    """
    fields = record.fields
    return fields.need("AssignmentId"), fields.need("WorkerId"), fields.need("HITId")
