"""Policies: who decides the order of a list. A policy sees what the marketplace sees, never the truth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.simulation.population import Floats, Ints

HOUR = 3_600_000_000


@dataclass(frozen=True)
class Occasion:
    """A list is to be made.

    Attributes:
        worker_id: for whom.
        at: now, microseconds since 1970.
        session_minutes: what the worker has left.
        device: the device in hand.
        limit: most tasks that will be shown.
        tasks: int64, indices of the open tasks that the worker may take; the order means nothing.
        task_ids: external ids of *all* tasks by index.
        posted: when each of ``tasks`` was posted, microseconds since 1970.
        groups: batch of each of ``tasks``.
        rewards: of each of ``tasks``, USD.
        rng: randomness for the policy; the same for every policy in the same situation.
    """

    worker_id: str
    at: int
    session_minutes: float
    device: str
    limit: int
    tasks: Ints
    task_ids: list[str]
    posted: Ints
    groups: Ints
    rewards: Floats
    rng: np.random.Generator


@dataclass(frozen=True)
class Ranking:
    """What a policy answers.

    Attributes:
        order: places in `Occasion.tasks`, best first, at most ``limit`` are shown.
        policy: name of the policy.
        scores: of each of ``order``; None if there are none.
        propensities: probability with which each stood at its position, in (0, 1]; None if unknown.
        model_version: of the model behind it.
        feed_id: id of the list, if whoever ranked it gave it one.
    """

    order: Ints
    policy: str
    scores: Floats | None = None
    propensities: Floats | None = None
    model_version: str | None = None
    feed_id: str | None = None


Policy = Callable[[Occasion], Ranking]
"""Orders the tasks of an occasion. It is called after all earlier events of the log have been yielded."""


def random_order(occasion: Occasion) -> Ranking:
    """Show tasks in random order."""
    return Ranking(occasion.rng.permutation(len(occasion.tasks)), "random")


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
        age = np.log((occasion.at - occasion.posted) / HOUR + 1.0)
        order = np.argsort(age - self.noise * occasion.rng.gumbel(size=len(age)), kind="stable")
        return Ranking(order[few_of_each(occasion.groups[order], self.per_group)][: occasion.limit], "newest")


def few_of_each(groups: Ints, most: int) -> NDArray[np.bool_]:
    """Return which entries are among the first ``most`` of their group."""
    by_group = np.argsort(groups, kind="stable")
    ordered = groups[by_group]
    first = np.searchsorted(ordered, ordered)
    kept = np.empty(len(groups), np.bool_)
    kept[by_group] = np.arange(len(groups)) - first < most
    return kept
