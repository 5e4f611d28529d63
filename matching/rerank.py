"""Re-ranking: small steps that reorder a scored list for reasons that no score of a single row knows."""

import math
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.jit import kernel, lean
from features.layout import UNLIMITED
from features.spec import COLUMN
from features.state import MarketState

WINDOW = 10
"""Positions among which the tasks of a group are counted."""

_NO_GROUP = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Ranking:
    """Tasks in order, best first; every array but the last is aligned with ``tasks``.

    Attributes:
        tasks: int32, dense indices.
        places: int64; where each task's row is in ``features`` and in the answers.
        scores: float64; what the order was made by.
        propensities: float64; probability of each task being drawn here given those before it, 1 where none was drawn.
        before: int32; the tasks that earlier pages ended with, in order; 0 for one that is no longer open.
    """

    tasks: NDArray[np.int32]
    places: NDArray[np.int64]
    scores: NDArray[np.float64]
    propensities: NDArray[np.float64]
    before: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))

    def reordered(self, order: NDArray[np.intp], propensities: NDArray[np.float64] | None = None) -> "Ranking":
        """Return the ranking in another order; ``propensities`` are given in the new order."""
        return Ranking(
            self.tasks[order],
            self.places[order],
            self.scores[order],
            self.propensities[order] if propensities is None else propensities,
            self.before,
        )

    def followed_by(self, other: "Ranking") -> "Ranking":
        """Return the ranking with another one of the same rows behind it."""
        return Ranking(
            np.concatenate((self.tasks, other.tasks)),
            np.concatenate((self.places, other.places)),
            np.concatenate((self.scores, other.scores)),
            np.concatenate((self.propensities, other.propensities)),
            self.before,
        )


class Step(Protocol):
    """Reorders a ranking; it neither drops nor adds."""

    def __call__(self, ranking: Ranking, state: MarketState, features: NDArray[np.float32]) -> Ranking:
        """Return the same tasks in a better order for the market."""
        ...


@dataclass(frozen=True)
class PayWeight:
    """Moves a task up that pays the worker more per hour, for the ranker learns what is taken, not what pays.

    The score of a task rises by ``weight`` standard deviations of the list for every factor e by which its expected pay
    per hour (the column ``hourly``: for this worker and kind of work, chance of approval included) lies above the
    list's geometric mean, and falls likewise below it; where nothing tells the pay per hour, the score stays. Factors
    are not measured against their spread in the list: that would make much of small differences where all pay alike,
    and a task of a short list could fall by paying more, as the spread grows with what it pays.

    Attributes:
        weight: standard deviations of the scores per unit of log pay per hour; 0 leaves the order to the ranker.
    """

    weight: float

    def __call__(self, ranking: Ranking, state: MarketState, features: NDArray[np.float32]) -> Ranking:
        """Return the ranking with what pays better higher."""
        if self.weight == 0.0:
            return ranking
        hourly = features[ranking.places, COLUMN["hourly"]].astype(np.float64)
        known = ~np.isnan(hourly)
        if not known.any():
            return ranking
        above = np.where(known, hourly - hourly[known].mean(), 0.0)
        weighed = replace(ranking, scores=ranking.scores + self.weight * ranking.scores.std() * above)
        return weighed.reordered(np.argsort(-weighed.scores, kind="stable"))


@dataclass(frozen=True)
class SlotBalance:
    """Moves a task down when far more workers have been shown it lately than it has slots left.

    The score of such a task falls by ``strength`` standard deviations of the list for every factor e of crowding: a
    thousand people are not sent to three slots, and what still fits many workers stays where it is.

    Attributes:
        lists_per_slot: lists with a task that a free slot bears before it counts as crowded.
        strength: standard deviations of the scores per unit of log oversubscription.
    """

    lists_per_slot: float = 20.0
    strength: float = 0.5

    def __call__(self, ranking: Ranking, state: MarketState, features: NDArray[np.float32]) -> Ranking:
        """Return the ranking with crowded tasks lower."""
        shown = features[ranking.places, COLUMN["task_served_fast"]]
        crowding = _crowding(state.arrays.tasks, ranking.tasks, shown, self.lists_per_slot)
        if not crowding.any():
            return ranking
        # The next steps see the lowered scores, or a drawn order would bring the crowd back.
        lowered = replace(ranking, scores=ranking.scores - self.strength * ranking.scores.std() * crowding)
        return lowered.reordered(np.argsort(-lowered.scores, kind="stable"))


@dataclass(frozen=True)
class GroupSpread:
    """Keeps batches apart: of one group, or one requester without groups, no more than ``most`` in any ``window``.

    Positions go on from page to page, so what earlier pages ended with counts.

    Attributes:
        most: tasks of one group in a window.
        window: positions looked at.
    """

    most: int = 3
    window: int = WINDOW

    def __call__(self, ranking: Ranking, state: MarketState, features: NDArray[np.float32]) -> Ranking:
        """Return the ranking where a further task of a crowded group waits for its turn."""
        return ranking.reordered(_spread(state.arrays.tasks, ranking.before, ranking.tasks, self.most, self.window))


@kernel
def _crowding(
    records: NDArray[np.void], tasks: NDArray[np.int32], shown: NDArray[np.float32], lists_per_slot: float
) -> NDArray[np.float64]:
    """Return the log of how far tasks are oversubscribed (float64, tasks), 0 where they are not.

    Args:
        records: of all tasks.
        tasks: int32, dense indices.
        shown: float32, tasks; log(1 + recent lists) with each.
        lists_per_slot: lists that a free slot bears.
    """
    crowding = np.zeros(tasks.size)
    for i in range(tasks.size):
        slots = records[tasks[i]].facts.slots
        if slots != UNLIMITED:
            left = max(slots - records[tasks[i]].occupied, 1)
            crowding[i] = math.log(max(1.0, math.expm1(np.float64(shown[i])) / (lists_per_slot * left)))
    return crowding


@lean
def _group(records: NDArray[np.void], task: int) -> np.int64:
    facts = records[task].facts
    return np.int64(facts.group_token) if facts.group_token >= 0 else -1 - np.int64(facts.requester)


@kernel
def _spread(
    records: NDArray[np.void], before: NDArray[np.int32], tasks: NDArray[np.int32], most: int, window: int
) -> NDArray[np.intp]:
    """Return the places in an order where the first one waiting whose group has room in the window comes next.

    Args:
        records: of all tasks.
        before: int32, dense indices of what stands before them; 0 for what is of no group.
        tasks: int32, dense indices.
        most: tasks of one group in a window.
        window: positions looked at.
    """
    keys, listed = np.empty(tasks.size, np.int64), np.empty(before.size + tasks.size, np.int64)
    for position in range(before.size):
        listed[position] = _group(records, before[position]) if before[position] != 0 else _NO_GROUP
    for place in range(tasks.size):
        keys[place] = _group(records, tasks[place])
    order = np.empty(keys.size, np.intp)
    placed = np.zeros(keys.size, np.bool_)
    first = 0
    for position in range(keys.size):
        end = before.size + position
        recent = listed[max(0, end - window + 1) : end]
        while placed[first]:
            first += 1
        # Where every group that is left is crowded, the best one waiting comes all the same.
        chosen, crowded = first, -1
        for place in range(first, keys.size):
            # Of a long run of one group only the first need be looked at.
            if placed[place] or (crowded >= 0 and keys[place] == keys[crowded]):
                continue
            times = 0
            for other in recent:
                times += other == keys[place]
            if times < most:
                chosen = place
                break
            crowded = place
        order[position] = chosen
        listed[end] = keys[chosen]
        placed[chosen] = True
    return order
