"""The choice model: how a worker sees tasks, and how the work then goes. Vectorised over the tasks of a list.

Opening and taking are binary logit models (McFadden 1974, "Conditional logit analysis of qualitative choice behavior").
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.simulation.chance import lasting, logistic
from training.simulation.config import SimulationConfig
from training.simulation.kinds import KINDS
from training.simulation.population import Floats, Ints, Requesters, Workers
from training.simulation.postings import Tasks


@dataclass
class Memory:
    """What workers carry from one assignment to the next; it grows as they work.

    Attributes:
        done: workers x kinds, assignments submitted.
        trust: workers x requesters, 0 for a stranger.
        groups: (worker, group) of the batches a worker has taken from.
    """

    done: Floats
    trust: Floats
    groups: set[tuple[int, int]]

    @classmethod
    def blank(cls, workers: int, requesters: int) -> "Memory":
        """Return the memory of workers who have not worked yet."""
        return cls(np.zeros((workers, len(KINDS))), np.zeros((workers, requesters)), set())


class ChoiceModel:
    """Probabilities and durations for a worker and tasks, as the worker's memory stands now."""

    def __init__(
        self, config: SimulationConfig, workers: Workers, requesters: Requesters, tasks: Tasks, memory: Memory
    ) -> None:
        self._seed = config.seed
        self._law = config.behaviour
        self._workers, self._requesters, self._tasks, self._memory = workers, requesters, tasks, memory

    def skill(self, worker: int, tasks: Ints) -> Floats:
        """Return the worker's skill in what each task asks for, 0..1, with what was learned by doing."""
        level: Floats = self._tasks.demand[tasks] @ self._workers.skill[worker]
        return np.clip(level + self._law.learning * self._practice(worker, tasks), 0.0, 1.0)

    def minutes(self, worker: int, tasks: Ints) -> Floats:
        """Return the minutes that each task takes the worker in the middle."""
        law = self._law
        saved = (
            self._workers.speed[worker]
            + law.skill_quicker * (self.skill(worker, tasks) - 0.5)
            + law.quicker * self._practice(worker, tasks)
        )
        minutes: Floats = self._tasks.minutes[tasks] * np.exp(-saved)
        return minutes

    def approval(self, worker: int, tasks: Ints) -> Floats:
        """Return the probability that the worker's submission is approved."""
        law, requester = self._law, self._tasks.requester[tasks]
        return logistic(
            self._requesters.leniency[requester]
            + law.approval_skill * (self.skill(worker, tasks) - self._tasks.difficulty[tasks])
            + law.approval_clarity * (self._requesters.clarity[requester] - 0.5)
        )

    def hourly(self, worker: int, tasks: Ints) -> Floats:
        """Return the pay that the worker can expect of each task, USD an hour, unpaid work included."""
        hours = (self.minutes(worker, tasks) + self._law.overhead_minutes) / 60
        expected: Floats = self._tasks.reward[tasks] * self.approval(worker, tasks) / hours
        return expected

    def view(self, worker: int, tasks: Ints, minutes_left: float) -> Floats:
        """Return the probability that a task is opened once it is taken in."""
        return self.chances(worker, tasks, minutes_left)[0]

    def accept(self, worker: int, tasks: Ints, minutes_left: float) -> Floats:
        """Return the probability that an opened task is taken."""
        return self.chances(worker, tasks, minutes_left)[1]

    def chances(self, worker: int, tasks: Ints, minutes_left: float) -> tuple[Floats, Floats]:
        """Return the probabilities of opening a task that was taken in, and of taking it once it is open.

        On the list the stated pay counts. Inside, the worker sees what the task is worth to him: his minutes, his
        chance of approval, the clarity of the instructions.
        """
        law = self._law
        stated = self._tasks.stated[tasks]
        minutes = np.where(np.isnan(stated), self._tasks.minutes[tasks], stated)
        reservation = self._workers.reservation[worker]
        promised = np.log(self._tasks.reward[tasks] / (minutes + law.overhead_minutes) * 60 / reservation)
        expected = np.log(self.hourly(worker, tasks) / reservation)
        clarity = self._requesters.clarity[self._tasks.requester[tasks]] - 0.5
        interest = self._interest(worker, tasks, minutes_left)
        view = logistic(law.view_bias + law.pay_weight * promised + interest)
        return view, logistic(law.accept_bias + law.pay_weight * expected + law.clarity_weight * clarity + interest)

    def _interest(self, worker: int, tasks: Ints, minutes_left: float) -> Floats:
        """Return what draws the worker beside pay, in log-odds."""
        law, world, workers = self._law, self._tasks, self._workers
        kind, requester = world.kind[tasks], world.requester[tasks]
        too_long = np.log(np.maximum(1.0, world.minutes[tasks] / max(minutes_left, 1.0)))
        interest: Floats = (
            law.taste_weight * workers.taste[worker, kind]
            + law.topic_weight * workers.topic_taste[worker, world.topic[tasks]]
            + law.skill_weight * (self.skill(worker, tasks) - world.difficulty[tasks])
            + law.habit_weight * self._practice(worker, tasks)
            + law.group_weight * self._same_group(worker, tasks)
            + law.trust_weight * np.clip(self._memory.trust[worker, requester], -2.0, 2.0)
            + law.own_weight * lasting(self._seed, worker, tasks)
            - law.foreign_penalty * ~workers.languages[worker, world.language[tasks]]
            - law.length_weight * too_long
        )
        return interest

    def _practice(self, worker: int, tasks: Ints) -> Floats:
        practice: Floats = np.log1p(self._memory.done[worker, self._tasks.kind[tasks]])
        return practice

    def _same_group(self, worker: int, tasks: Ints) -> NDArray[np.bool_]:
        groups = self._memory.groups
        return np.array([(worker, int(group)) in groups for group in self._tasks.group[tasks]], np.bool_)
