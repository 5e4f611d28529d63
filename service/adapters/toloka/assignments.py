"""Assignments as what workers did with tasks."""

from collections.abc import Iterator
from typing import Any

from features.events import Event
from service.adapters.derived import Record, make
from service.adapters.payloads import Fields
from service.adapters.toloka.records import instant

# Each status with the time at which an assignment took it.
STATUSES = {
    "ACTIVE": "created",
    "SUBMITTED": "submitted",
    "ACCEPTED": "accepted",
    "REJECTED": "rejected",
    "SKIPPED": "skipped",
    "EXPIRED": "expired",
}
_KINDS = {
    "created": "assignment_accepted",
    "submitted": "assignment_submitted",
    "accepted": "assignment_approved",
    "rejected": "assignment_rejected",
    "skipped": "assignment_returned",
    "expired": "assignment_abandoned",
}
_NAMES = {"worker_id": "user_id", "task_id": "task_suite_id"}


def deeds(assignment: Record, tasks: list[str]) -> Iterator[Event]:
    """Yield the steps that an assignment has gone through, for each of the tasks it is about.

    Raises:
        EventError: a field is missing or wrong.
    """
    fields = assignment.fields
    identity, worker = fields.need("id"), fields.need("user_id")
    fields.need("status")
    status = fields.choice("status", tuple(STATUSES)) or ""
    times = {name: at for name in _KINDS if (at := fields.instant(name, instant)) is not None}
    for name in ("created", STATUSES[status]):
        if name not in times:
            raise fields.error(name, f"missing in an assignment that is {status}")
    for name, at in times.items():
        for place, task in enumerate(tasks):
            facts = {"worker_id": worker, "task_id": task, **(_seconds(fields) if name == "submitted" else {})}
            # The id names no task: told again of other tasks, as of a suite instead of the pool, it is a conflict.
            yield make(
                _KINDS[name], ("toloka", "assignment", identity, name, str(place)), at, facts, assignment, _NAMES
            )


def _seconds(fields: Fields) -> dict[str, Any]:
    start, end = fields.instant("created", instant), fields.instant("submitted", instant)
    return {"work_seconds": (end - start).total_seconds()} if start and end and end >= start else {}
