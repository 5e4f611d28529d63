"""Policies: who decides the order of a list. A policy sees what the marketplace sees, never the truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.simulation.chance import stream
from training.simulation.population import Floats, Ints
from training.simulation.postings import HOUR, Tasks


@dataclass(frozen=True)
class Board:
    """What hangs out in the marketplace, one entry for each task of the world, posted or yet to come; nothing hidden.

    Attributes:
        task_ids: external ids; the place of a task is its *world index*.
        index: external id -> world index.
        posted: microseconds since 1970.
        groups: batches.
        rewards: USD; follows raises of the reward.
    """

    task_ids: list[str]
    index: dict[str, int]
    posted: Ints
    groups: Ints
    rewards: Floats

    @classmethod
    def of(cls, tasks: Tasks) -> "Board":
        """Return what a marketplace shows of tasks."""
        index = {task_id: task for task, task_id in enumerate(tasks.ids)}
        return cls(tasks.ids, index, tasks.posted, tasks.group, tasks.reward)

    def indices(self, task_ids: Sequence[str]) -> Ints:
        """Return the world indices of external ids; an unknown one raises `KeyError`."""
        return np.fromiter(map(self.index.__getitem__, task_ids), np.int64, len(task_ids))


@dataclass(frozen=True)
class Occasion:
    """A list is to be made.

    Attributes:
        worker_id: for whom.
        worker: the worker's world index, which only an oracle has a use for.
        at: now, microseconds since 1970.
        session_minutes: what the worker has left.
        device: the device in hand.
        limit: most tasks that will be shown.
        board: what hangs out in the marketplace.
        available: finds the world indices of the tasks that the worker may take now, in order of posting. It is called
            while the list is made, by policies that do not find out by themselves.
        draw: names the randomness of this list.
    """

    worker_id: str
    worker: int
    at: int
    session_minutes: float
    device: str
    limit: int
    board: Board
    available: Callable[[], Ints]
    draw: tuple[int, ...]

    @cached_property
    def rng(self) -> np.random.Generator:
        """Randomness for the policy; the same for every policy in the same situation."""
        seed, *keys = self.draw
        return stream(seed, "policy", *keys)


@dataclass(frozen=True)
class Ranking:
    """What a policy answers.

    Attributes:
        tasks: world indices, best first; at most ``limit`` are shown. All of these must be ones that the marketplace
            lists to this worker.
        policy: name of the policy.
        scores: of each of ``tasks``; None if there are none.
        propensities: probability with which each stood at its position, in (0, 1]; None if unknown.
        model_version: of the model behind it.
    """

    tasks: Ints
    policy: str
    scores: Floats | None = None
    propensities: Floats | None = None
    model_version: str | None = None


Policy = Callable[[Occasion], Ranking]
"""Makes a list. It is called after all earlier events of the log have been yielded."""


def random_order(occasion: Occasion) -> Ranking:
    """Show tasks in random order."""
    return Ranking(occasion.rng.permutation(occasion.available()), "random")


@dataclass(frozen=True)
class NewestFirst:
    """What a simple marketplace does: the newest first, few of one batch, with noise so that positions vary.

    Without the limit on batches the order is a Plackett-Luce draw with strength ``1 / (age + 1 h) ** (1 / noise)``.

    Attributes:
        noise: scale of the Gumbel noise on the log of age; 0 = strictly the newest first.
        per_group: most tasks of one batch in a list.
    """

    noise: float = 1.2
    per_group: int = 2

    def __call__(self, occasion: Occasion) -> Ranking:
        """Return the order."""
        tasks, board = occasion.available(), occasion.board
        age = np.log((occasion.at - board.posted[tasks]) / HOUR + 1.0)
        tasks = tasks[np.argsort(age - self.noise * occasion.rng.gumbel(size=len(age)), kind="stable")]
        return Ranking(tasks[few_of_each(board.groups[tasks], self.per_group)][: occasion.limit], "newest")


def few_of_each(groups: Ints, most: int) -> NDArray[np.bool_]:
    """Return which entries are among the first ``most`` of their group."""
    by_group = np.argsort(groups, kind="stable")
    ordered = groups[by_group]
    first = np.searchsorted(ordered, ordered)
    kept = np.empty(len(groups), np.bool_)
    kept[by_group] = np.arange(len(groups)) - first < most
    return kept
