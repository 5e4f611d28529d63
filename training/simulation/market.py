"""The marketplace's books: what is open, how many slots are left, who took what, and who may see what."""

from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.simulation.memory import Memory
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
    """

    def __init__(self, workers: Workers, tasks: Tasks, memory: Memory) -> None:
        self._workers, self._tasks, self._memory = workers, tasks, memory
        self.open = np.zeros(len(tasks), np.bool_)
        self.taken = np.zeros(len(tasks), np.int64)
        self.profiled = np.zeros(len(workers), np.bool_)
        self._asks_nothing = (tasks.qualification < 0) & np.isnan(tasks.approval_floor)
        self._dealings: dict[int, dict[int, Dealing]] = {}
        self._suiting: dict[tuple[Any, ...], NDArray[np.bool_]] = {}
        countries = sorted({place.country for place in PLACES})
        self._country = np.array([countries.index(place.country) for place in PLACES])[workers.place]
        self._allowed = np.array([[not only or name in only for name in countries] for only in tasks.countries])

    def is_open(self, task: int, now: int) -> bool:
        """Tell whether a task is posted, not closed, not expired and not full."""
        there = self.open[task] and self._tasks.expires[task] > now
        return bool(there and self.taken[task] < self._tasks.slots[task])

    def may_take(self, worker: int, task: int, now: int) -> bool:
        """Tell whether a task can be accepted by a worker who could see it."""
        there = self.is_open(task, now) and not self.dealing(worker, task)
        return there and bool(self._asks_nothing[task] or self.qualifies(worker, np.array([task]))[0])

    def available(self, worker: int, device: int, now: int) -> Ints:
        """Return the indices of all tasks that a worker on a device may take, in order of posting."""
        fits = self._there(now) & self._suits(worker, device)
        fits[list(self._dealings.get(worker, ()))] = False
        tasks = np.flatnonzero(fits)
        available: Ints = tasks[self.qualifies(worker, tasks)]
        return available

    def refused(self, worker: int, device: int, now: int, tasks: Ints) -> list[int]:
        """Return which of ``tasks`` may not be listed to a worker on a device, or stand there twice.

        A qualification that is missing does not keep a task from a list: the worker finds out on opening it.
        """
        fits, dealt = self._suits(worker, device), self._dealings.get(worker, {})
        met: set[int] = set()
        refused = []
        for task in tasks.tolist():
            if task in met or task in dealt or not fits[task] or not self.is_open(task, now):
                refused.append(task)
            met.add(task)
        return refused

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
        return int(self._there(now).sum())

    def qualifies(self, worker: int, tasks: Ints, at: int | None = None) -> NDArray[np.bool_]:
        """Tell which tasks ask for nothing that the worker cannot show now, or could not at an earlier instant."""
        world = self._tasks
        which = world.qualification[tasks]
        # Without a profile the marketplace knows of no qualification.
        scores = self._workers.qualifications[worker][np.maximum(which, 0)]
        fits: NDArray[np.bool_] = (which < 0) | (self.profiled[worker] & (scores >= world.qualification_floor[tasks]))
        mind = self._memory.mind(worker, at)
        if verdicts := mind.approved + mind.rejected:
            floor = world.approval_floor[tasks]
            fits &= np.isnan(floor) | (100 * mind.approved / verdicts >= floor)
        return fits

    def _there(self, now: int) -> NDArray[np.bool_]:
        world = self._tasks
        there: NDArray[np.bool_] = self.open & (world.expires > now) & (self.taken < world.slots)
        return there

    def _suits(self, worker: int, device: int) -> NDArray[np.bool_]:
        """Tell which of all tasks suit a worker on a device by language, country and device."""
        country = int(self._country[worker])
        spoken = tuple(self._workers.languages[worker].tolist())
        key = (device, country, spoken) if self.profiled[worker] else (device,)
        fits = self._suiting.get(key)
        if fits is None:
            fits = self._tasks.devices[:, device].copy()
            if self.profiled[worker]:
                fits &= self._allowed[:, country] & np.array(spoken)[self._tasks.language]
            self._suiting[key] = fits
        return fits

    def _mark(self, worker: int, task: int, mark: Dealing) -> None:
        dealings = self._dealings.setdefault(worker, {})
        dealings[task] = dealings.get(task, Dealing(0)) | mark
