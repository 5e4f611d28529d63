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

_FOLLOWS = {
    "accepted": (),
    "returned": ("accepted",),
    "abandoned": ("accepted",),
    "submitted": ("accepted",),
    "approved": ("submitted", "accepted"),
    "rejected": ("submitted", "accepted"),
}
"""Outcome -> those that it follows on, the likelier first."""

_HANDED_IN = ("submitted", "approved", "rejected")


@dataclass
class Assignment:
    """One time that a worker took a task.

    Attributes:
        seq: sequence number of the first event that tells of it.
        worker_id: who took it.
        task_id: what was taken.
        attempt: ordinal of this attempt, from 1, by this worker at this task.
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

    def implies(self, outcome: str, at: int) -> bool:
        """Tell whether it came to an outcome of which nothing was told, if that was at an instant (microseconds)."""
        later = [instant for told, instant in self.instants.items() if outcome in _FOLLOWS[told]]
        return outcome not in self.instants and bool(later) and at <= min(later)

    def tell(self, event: AssignmentEvent, outcome: str) -> None:
        """Take in what an event tells of an outcome."""
        self.instants[outcome] = micros(event.at)
        if isinstance(event, AssignmentSubmitted):
            self.work_seconds = event.work_seconds


class Assignments:
    """The assignments of a log that is read from its beginning.

    An event belongs to the oldest assignment of its worker and task that it can move on. An acceptance or a submission
    that is told late belongs to one that a later event implied. Where the worker has taken the task as often as one
    may, a further verdict corrects the last one, and work that is handed in again is the same. If there is no such
    assignment, the event implies one of which the earlier instants are unknown.
    """

    def __init__(self) -> None:
        self._of: dict[str, dict[str, list[Assignment]]] = {}

    def __iter__(self) -> Iterator[Assignment]:
        """Yield the assignments in order of the log."""
        found = (each for tasks in self._of.values() for attempts in tasks.values() for each in attempts)
        return iter(sorted(found, key=lambda assignment: assignment.seq))

    def add(self, seq: int, event: AssignmentEvent, limit: int) -> None:
        """Take in the next event; ``limit`` is how often a worker may take its task."""
        attempts = self._of.setdefault(event.worker_id, {}).setdefault(event.task_id, [])
        told, at = event_type(event).removeprefix("assignment_"), micros(event.at)
        assignment = next((each for outcome in _FOLLOWS[told] for each in attempts if each.outcome == outcome), None)
        if assignment is None and (late := next((each for each in attempts if each.implies(told, at)), None)):
            late.tell(event, told)
            return
        if assignment is None and told in _HANDED_IN and sum(each.outcome != "returned" for each in attempts) >= limit:
            assignment = next((each for each in reversed(attempts) if each.outcome in _HANDED_IN), None)
            if assignment and told == "submitted":
                return
        if assignment is None:
            assignment = Assignment(seq, event.worker_id, event.task_id, len(attempts) + 1)
            attempts.append(assignment)
        assignment.outcome = told
        assignment.tell(event, told)

    def forget(self, worker_id: str) -> None:
        """Drop the assignments that a worker has had so far."""
        self._of.pop(worker_id, None)
