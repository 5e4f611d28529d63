"""The choice model: how a worker sees tasks, and how the work then goes. Vectorised over the tasks of a list.

Opening and taking are binary logit models (McFadden 1974, "Conditional logit analysis of qualitative choice behavior").
"""

from typing import NamedTuple

import numpy as np

from training.simulation.chance import lasting, logistic
from training.simulation.config import SimulationConfig
from training.simulation.memory import Memory, Mind
from training.simulation.population import Floats, Ints, Requesters, Workers
from training.simulation.postings import Tasks


class Outlook(NamedTuple):
    """What tasks hold for a worker, one entry a task.

    Attributes:
        view: probability of opening it once it is taken in.
        accept: probability of taking it once it is open.
        finish: probability of handing it in once it is taken.
        approve: probability of approval once it is handed in.
        minutes: of work, median.
        hourly: pay to be expected, USD an hour, unpaid minutes of searching and reading included.
    """

    view: Floats
    accept: Floats
    finish: Floats
    approve: Floats
    minutes: Floats
    hourly: Floats


class ChoiceModel:
    """Probabilities and durations for a worker and tasks, as the worker's memory stands now, or stood at an instant."""

    def __init__(
        self, config: SimulationConfig, workers: Workers, requesters: Requesters, tasks: Tasks, memory: Memory
    ) -> None:
        law = config.behaviour
        self._seed, self._law = config.seed, law
        self._workers, self._tasks, self._memory = workers, tasks, memory
        clarity = requesters.clarity[tasks.requester]
        stated = np.where(np.isnan(tasks.stated), tasks.minutes, tasks.stated)
        # What never changes is looked up at once, a row a task.
        self._facts = np.column_stack(
            [
                tasks.difficulty,
                tasks.minutes,
                (stated + law.overhead_minutes) / 60,
                clarity - 0.5,
                requesters.leniency[tasks.requester] + law.approval_clarity * (clarity - 0.5),
                1.0 - np.minimum(0.5, law.return_share * (2.0 - 2.0 * clarity)) - law.abandon_share,
            ]
        )

    def outlook(self, worker: int, tasks: Ints, minutes_left: float, at: int | None = None) -> Outlook:
        """Return what tasks hold for a worker with so many minutes left.

        On the list the stated pay counts. Inside, the worker sees what the task is worth to them: their minutes, their
        chance of approval, the clarity of the instructions.

        Args:
            worker: world index.
            tasks: world indices.
            minutes_left: in the session.
            at: an earlier instant, microseconds since 1970, to ask with the memory and the rewards as they stood then.
        """
        law, world, workers = self._law, self._tasks, self._workers
        mind, reward = self._memory.mind(worker, at), world.reward_at(tasks, at)
        difficulty, typical, stated_hours, clarity, leniency, finish = self._facts[tasks].T
        practice = np.log1p(mind.done)[world.kind[tasks]]
        learnt = world.demand[tasks] @ workers.skill[worker] + law.learning * practice
        skill = np.minimum(np.maximum(learnt, 0.0), 1.0)
        margin = skill - difficulty
        saved = workers.speed[worker] + law.skill_quicker * (skill - 0.5) + law.quicker * practice
        minutes = typical * np.exp(-saved)
        approve = logistic(leniency + law.approval_skill * margin)
        hourly = reward * approve / ((minutes + law.overhead_minutes) / 60)
        reservation = workers.reservation[worker]
        promised = np.log(reward / stated_hours / reservation)
        expected = np.log(hourly / reservation)
        interest = self._interest(worker, tasks, typical / max(minutes_left, 1.0), mind, practice, margin)
        return Outlook(
            view=logistic(law.view_bias + law.pay_weight * promised + interest),
            accept=logistic(law.accept_bias + law.pay_weight * expected + law.clarity_weight * clarity + interest),
            finish=finish,
            approve=approve,
            minutes=minutes,
            hourly=hourly,
        )

    def _interest(
        self, worker: int, tasks: Ints, length: Floats, mind: Mind, practice: Floats, margin: Floats
    ) -> Floats:
        """Return what draws the worker beside pay, in log-odds; ``length`` is against the time that is left."""
        law, world, workers = self._law, self._tasks, self._workers
        trust = np.minimum(np.maximum(mind.trust[world.requester[tasks]], -2.0), 2.0)
        interest: Floats = (
            law.taste_weight * workers.taste[worker][world.kind[tasks]]
            + law.topic_weight * workers.topic_taste[worker][world.topic[tasks]]
            + law.skill_weight * margin
            + law.habit_weight * practice
            + law.trust_weight * trust
            + law.own_weight * lasting(self._seed, worker, tasks)
            - law.foreign_penalty * ~workers.languages[worker][world.language[tasks]]
            - law.length_weight * np.log(np.maximum(1.0, length))
        )
        if mind.groups:
            interest += law.group_weight * np.array([group in mind.groups for group in world.group[tasks].tolist()])
        return interest
