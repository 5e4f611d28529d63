"""What has come of assignments so far: workers remember it, the marketplace counts it, and the evaluator looks back."""

from typing import Literal, NamedTuple

import numpy as np

from training.simulation.kinds import KINDS
from training.simulation.population import Floats

_APPROVED, _REJECTED = 0.25, -1.0


class Mind(NamedTuple):
    """What is remembered of one worker at an instant; not to be written to.

    Attributes:
        done: kinds of work, assignments submitted.
        trust: requesters, 0 for a stranger.
        groups: batches the worker has taken from.
        approved, rejected: verdicts, count.
    """

    done: Floats
    trust: Floats
    groups: set[int]
    approved: int
    rejected: int


class _Entry(NamedTuple):
    at: int
    what: Literal["done", "group", "approved", "rejected"]
    which: int


class Memory:
    """What workers carry from one assignment to the next; it grows as they work, and a journal tells how it grew.

    Args:
        workers: count.
        requesters: count.

    Attributes:
        done: workers x kinds, assignments submitted.
        trust: workers x requesters; an approval adds 0.25, a rejection takes 1.
        verdicts: workers x 2, how many were approvals, and how many rejections.
    """

    def __init__(self, workers: int, requesters: int) -> None:
        self.done: Floats = np.zeros((workers, len(KINDS)))
        self.trust: Floats = np.zeros((workers, requesters))
        self.verdicts = np.zeros((workers, 2), np.int64)
        self._groups: list[set[int]] = [set() for _ in range(workers)]
        self._journal: list[list[_Entry]] = [[] for _ in range(workers)]

    def took(self, worker: int, group: int, at: int) -> None:
        """Remember that a worker took a task of a batch."""
        if group not in self._groups[worker]:
            self._groups[worker].add(group)
            self._journal[worker].append(_Entry(at, "group", group))

    def submitted(self, worker: int, kind: int, at: int) -> None:
        """Remember that a worker has done a kind of work."""
        self.done[worker, kind] += 1
        self._journal[worker].append(_Entry(at, "done", kind))

    def judged(self, worker: int, requester: int, at: int, *, approved: bool) -> None:
        """Remember a verdict."""
        self.trust[worker, requester] += _APPROVED if approved else _REJECTED
        self.verdicts[worker, 0 if approved else 1] += 1
        self._journal[worker].append(_Entry(at, "approved" if approved else "rejected", requester))

    def mind(self, worker: int, at: int | None = None) -> Mind:
        """Return what is remembered of a worker now, or what was at an earlier instant (microseconds since 1970)."""
        journal = self._journal[worker]
        approved, rejected = self.verdicts[worker].tolist()
        if at is None or not journal or journal[-1].at <= at:
            return Mind(self.done[worker], self.trust[worker], self._groups[worker], approved, rejected)
        done, trust, groups = self.done[worker].copy(), self.trust[worker].copy(), self._groups[worker].copy()
        for entry in reversed(journal):
            if entry.at <= at:
                break
            match entry.what:
                case "done":
                    done[entry.which] -= 1
                case "group":
                    groups.remove(entry.which)
                case "approved":
                    trust[entry.which] -= _APPROVED
                    approved -= 1
                case "rejected":
                    trust[entry.which] -= _REJECTED
                    rejected -= 1
        return Mind(done, trust, groups, approved, rejected)
