"""The marketplace's books: what is open, how many slots are left, who took what, and who may see what."""

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from training.simulation.population import PLACES, Ints, Workers
from training.simulation.postings import Tasks


class Dealing(IntFlag):
    """What stands between a worker and a task."""

    TAKEN = 1
    HIDDEN = 2


class Market:
    """Open tasks and slots. Rules are the product's own: accepted takes a slot, returned and abandoned give it back.

    Attributes:
        open: tasks, whether it is posted and not closed; an expired task may still be open here.
        taken: tasks, slots in use.
        profiled: workers, whether a profile has been declared: then languages, country and device must match.
        approved, rejected: workers, verdicts so far.
    """

    def __init__(self, workers: Workers, tasks: Tasks) -> None:
        self._workers, self._tasks = workers, tasks
        self.open = np.zeros(len(tasks), np.bool_)
        self.taken = np.zeros(len(tasks), np.int64)
        self.profiled = np.zeros(len(workers), np.bool_)
        self.approved = np.zeros(len(workers), np.int64)
        self.rejected = np.zeros(len(workers), np.int64)
        self._dealings: dict[int, dict[int, Dealing]] = {}
        countries = sorted({place.country for place in PLACES})
        self._country = np.array([countries.index(place.country) for place in PLACES])[workers.place]
        self._allowed = np.array([[not only or name in only for name in countries] for only in tasks.countries])

    def is_open(self, task: int, now: int) -> bool:
        """Tell whether a task is posted, not closed, not expired and not full."""
        there = self.open[task] and self._tasks.expires[task] > now
        return bool(there and self.taken[task] < self._tasks.slots[task])

    def may_take(self, worker: int, task: int, now: int) -> bool:
        """Tell whether a task can still be accepted by a worker who could see it."""
        return self.is_open(task, now) and not self.dealing(worker, task)

    def available(self, worker: int, device: int, now: int) -> Ints:
        """Return the indices of all tasks that may be listed to a worker on a device, in order of posting."""
        tasks: Ints = np.flatnonzero(self.open)
        world = self._tasks
        tasks = tasks[(world.expires[tasks] > now) & (self.taken[tasks] < world.slots[tasks])]
        fits = world.devices[tasks, device] & self._qualifies(worker, tasks)
        if self.profiled[worker]:
            fits &= self._workers.languages[worker, world.language[tasks]]
            fits &= self._allowed[tasks, self._country[worker]]
        dealt = self._dealings.get(worker)
        if dealt:
            fits &= ~np.isin(tasks, np.fromiter(dealt, np.int64, len(dealt)))
        available: Ints = tasks[fits]
        return available

    def dealing(self, worker: int, task: int) -> Dealing:
        """Return what stands between a worker and a task."""
        return self._dealings.get(worker, {}).get(task, Dealing(0))

    def hide(self, worker: int, task: int) -> None:
        """Keep a task from a worker's lists for good."""
        self._mark(worker, task, Dealing.HIDDEN)

    def take(self, worker: int, task: int) -> None:
        """Use a slot."""
        self.taken[task] += 1
        self._mark(worker, task, Dealing.TAKEN)

    def give_back(self, worker: int, task: int, *, again: bool) -> None:
        """Free a slot; ``again``: the worker may take the task once more."""
        self.taken[task] -= 1
        if again:
            left = self._dealings[worker][task] & ~Dealing.TAKEN
            if left:
                self._dealings[worker][task] = left
            else:
                del self._dealings[worker][task]

    def open_at(self, now: int) -> int:
        """Return how many tasks are open and not full."""
        world = self._tasks
        return int((self.open & (world.expires > now) & (self.taken < world.slots)).sum())

    def _mark(self, worker: int, task: int, mark: Dealing) -> None:
        dealings = self._dealings.setdefault(worker, {})
        dealings[task] = dealings.get(task, Dealing(0)) | mark

    def _qualifies(self, worker: int, tasks: Ints) -> NDArray[np.bool_]:
        world = self._tasks
        which = world.qualification[tasks]
        # Without a profile the marketplace knows of no qualification.
        scores = self._workers.qualifications[worker][np.maximum(which, 0)]
        fits: NDArray[np.bool_] = (which < 0) | (self.profiled[worker] & (scores >= world.qualification_floor[tasks]))
        verdicts = self.approved[worker] + self.rejected[worker]
        if verdicts:
            rate = 100 * self.approved[worker] / verdicts
            fits &= np.isnan(world.approval_floor[tasks]) | (rate >= world.approval_floor[tasks])
        return fits
