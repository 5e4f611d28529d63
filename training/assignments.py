"""Assignments: what the log tells of work event by event, put together as one record for each time a task was taken."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from features.events import (
    AssignmentAbandoned,
    AssignmentAccepted,
    AssignmentApproved,
    AssignmentRejected,
    AssignmentReturned,
    AssignmentSubmitted,
    event_type,
    micros,
)

AssignmentEvent = (
    AssignmentAccepted
    | AssignmentReturned
    | AssignmentAbandoned
    | AssignmentSubmitted
    | AssignmentApproved
    | AssignmentRejected
)

OUTCOMES = ("accepted", "submitted", "approved", "rejected", "returned", "abandoned")
"""How far an assignment has come; the first two may still move."""

_FOLLOWS: dict[type[AssignmentEvent], tuple[str, ...]] = {
    AssignmentAccepted: (),
    AssignmentReturned: ("accepted",),
    AssignmentAbandoned: ("accepted",),
    AssignmentSubmitted: ("accepted",),
    AssignmentApproved: ("submitted", "accepted"),
    AssignmentRejected: ("submitted", "accepted"),
}
"""The outcomes that an event moves on from, the likelier first."""


@dataclass
class Assignment:
    """One time that a worker took a task.

    Attributes:
        seq: sequence number of the first event that tells of it.
        worker_id: who took it.
        task_id: what was taken.
        attempt: the how manieth time it is that this worker took this task, from 1.
        outcome: the last of `OUTCOMES` that it came to.
        instants: outcome -> when it came about, microseconds since 1970.
        work_seconds: how long the work took, None if not told.
    """

    seq: int
    worker_id: str
    task_id: str
    attempt: int
    outcome: str = "accepted"
    instants: dict[str, int] = field(default_factory=dict)
    work_seconds: float | None = None


class Assignments:
    """The assignments of a log that is read from its beginning.

    An event belongs to the oldest assignment of its worker and task that it can move on; if there is none, it implies
    one of which the earlier instants are unknown.
    """

    def __init__(self) -> None:
        self._of: dict[str, dict[str, list[Assignment]]] = {}

    def __iter__(self) -> Iterator[Assignment]:
        """Yield the assignments in order of the log."""
        found = (each for tasks in self._of.values() for attempts in tasks.values() for each in attempts)
        return iter(sorted(found, key=lambda assignment: assignment.seq))

    def add(self, seq: int, event: AssignmentEvent) -> None:
        """Take in the next event."""
        attempts = self._of.setdefault(event.worker_id, {}).setdefault(event.task_id, [])
        follows = _FOLLOWS[type(event)]
        assignment = next((each for outcome in follows for each in attempts if each.outcome == outcome), None)
        if assignment is None:
            assignment = Assignment(seq, event.worker_id, event.task_id, len(attempts) + 1)
            attempts.append(assignment)
        assignment.outcome = event_type(event).removeprefix("assignment_")
        assignment.instants[assignment.outcome] = micros(event.at)
        if isinstance(event, AssignmentSubmitted):
            assignment.work_seconds = event.work_seconds

    def forget(self, worker_id: str) -> None:
        """Drop the assignments that a worker has had so far."""
        self._of.pop(worker_id, None)
