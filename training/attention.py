"""Attention by position, from logged swaps: how much less likely a task is looked at for standing further down.

A list of the policy ``swapped`` has one pair of neighbours in the order of a fair coin (`matching.explore.Swap`). Over
such lists the same tasks stand at both positions equally often, so that what is opened less often at the lower one is
opened less often for its position alone (Joachims, Swaminathan & Schnabel 2017, "Unbiased Learning-to-Rank with Biased
Feedback", section 5.3). The ratios of neighbours are chained to attention relative to the first position.

What is measured is attention as it comes about under the lists served, so also that a worker who takes a task looks no
further.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from features.errors import CocokError
from features.estimates import HOUR
from features.events import AssignmentAccepted, Event, FeedServed, TaskSaved, TaskViewed, WorkerErased, micros

SWAPPED = "swapped"
"""Policy of the lists that are read."""

LEAST_SEEN = 30
"""Tasks opened at each of two positions from which their ratio is worth telling."""

_OPENED = (TaskViewed, TaskSaved, AssignmentAccepted)
_WITHIN = HOUR


@dataclass(frozen=True)
class Swaps:
    """Pairs of neighbours whose order was drawn, one entry for each list.

    Attributes:
        positions: int64, position of the upper one, 1-based.
        workers: int64, number of the worker.
        upper: bool, whether the task at the upper position was opened.
        lower: bool, the same of the one below.
    """

    positions: NDArray[np.int64]
    workers: NDArray[np.int64]
    upper: NDArray[np.bool_]
    lower: NDArray[np.bool_]


def read_swaps(batches: Iterable[Sequence[tuple[int, int, Event]]], *, accepted: bool = False) -> Swaps:
    """Collect pairs and what became of them.

    A task was opened from a list if it was viewed, saved or accepted from it: by the event's ``feed_id`` or, where it
    has none, within an hour of the list, if that is the last that held the task. Workers who asked to be forgotten are
    left out.

    Args:
        batches: the log from its beginning, as (sequence number, ``known_at`` in microseconds since 1970, event).
        accepted: count acceptances alone, which are rarer and further from attention, for logs without views.
    """
    outcomes = AssignmentAccepted if accepted else _OPENED
    pairs: dict[str, _Pair] = {}
    latest: dict[tuple[str, str], tuple[str, int]] = {}
    for batch in batches:
        for _, _, event in batch:
            if isinstance(event, FeedServed):
                at = micros(event.at)
                for item in event.items:
                    latest[event.worker_id, item.task_id] = (event.feed_id, at)
                if event.policy == SWAPPED and (pair := _Pair.of(event)) is not None:
                    pairs[event.feed_id] = pair
            elif isinstance(event, outcomes):
                feed_id = event.feed_id
                if feed_id is None:
                    last, served = latest.get((event.worker_id, event.task_id), ("", 0))
                    feed_id = last if micros(event.at) - served <= _WITHIN else ""
                if (pair := pairs.get(feed_id)) is not None and event.worker_id == pair.worker_id:
                    pair.opened.add(event.task_id)
            elif isinstance(event, WorkerErased):
                pairs = {feed_id: pair for feed_id, pair in pairs.items() if pair.worker_id != event.worker_id}
    found = list(pairs.values())
    return Swaps(
        positions=np.array([pair.position for pair in found], np.int64),
        workers=np.asarray(pd.factorize(np.array([pair.worker_id for pair in found], object))[0], np.int64),
        upper=np.array([pair.upper in pair.opened for pair in found], np.bool_),
        lower=np.array([pair.lower in pair.opened for pair in found], np.bool_),
    )


def attention(swaps: Swaps, *, level: float = 0.95) -> pd.DataFrame:
    """Estimate attention by position.

    The interval is that of the logarithm, from a jackknife over workers with Student's t for the effective number of
    them, as in `training.metrics.cluster_interval`: what one worker does on many lists is alike.

    Args:
        swaps: of `read_swaps`.
        level: how often an interval shall cover the truth.

    Returns:
        One row for each ``position`` (int64) from 1 to where the chain breaks, which it does where fewer than
        ``LEAST_SEEN`` tasks were opened at either side: ``lists`` (int64) whose pair was the position before and this
        one; ``ratio``, ``ratio_low``, ``ratio_high`` (float64), attention relative to the position before;
        ``attention``, ``low``, ``high`` (float64), relative to the first. Those of the first are 1, its lists 0.

    Raises:
        CocokError: the log has no swaps, or too few of them for a single ratio.
    """
    if not len(swaps.positions):
        raise CocokError(
            "the log has no swapped lists: set COCOK_SWAP_SHARE for `cocok serve`, and wait for workers to see them"
        )
    deepest = int(swaps.positions.max())
    workers = int(swaps.workers.max()) + 1
    cells = swaps.workers * deepest + swaps.positions - 1

    def count(weights: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(cells, weights, workers * deepest).reshape(workers, deepest)

    lists, upper, lower = count(np.ones(len(cells), np.bool_)), count(swaps.upper), count(swaps.lower)
    enough = np.minimum(upper.sum(axis=0), lower.sum(axis=0)) >= LEAST_SEEN
    told = int(enough.argmin()) if not enough.all() else deepest
    if not told:
        raise CocokError(
            f"too few swaps: of {int(lists[:, 0].sum())} lists with a pair at the top, {int(upper[:, 0].sum())} led to "
            f"its first task and {int(lower[:, 0].sum())} to its second; {LEAST_SEEN} each are the least"
        )
    lists, upper, lower = lists[:, :told], upper[:, :told], lower[:, :told]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log(lower.sum(axis=0)) - np.log(upper.sum(axis=0))
        without_one = np.log(lower.sum(axis=0) - lower) - np.log(upper.sum(axis=0) - upper)
    ratio = _with_interval(ratios, without_one, lists, level)
    chain = _with_interval(np.cumsum(ratios), np.cumsum(without_one, axis=1), np.cumsum(lists, axis=1), level)
    first = np.ones((3, 1))
    return pd.DataFrame(
        {
            "position": np.arange(1, told + 2),
            "lists": np.concatenate([[0], lists.sum(axis=0)]).astype(np.int64),
            **dict(zip(("ratio", "ratio_low", "ratio_high"), np.hstack([first, ratio]), strict=True)),
            **dict(zip(("attention", "low", "high"), np.hstack([first, chain]), strict=True)),
        }
    )


@dataclass
class _Pair:
    """The pair of a list, and which tasks of the list were opened."""

    worker_id: str
    position: int
    upper: str
    lower: str
    opened: set[str]

    @classmethod
    def of(cls, event: FeedServed) -> "_Pair | None":
        """Return the pair that the propensities tell; None of a list of a single task."""
        at_stake = sorted((item.position, item.task_id) for item in event.items if item.propensity == 0.5)
        if len(at_stake) != 2 or at_stake[1][0] != at_stake[0][0] + 1:
            return None
        (position, upper), (_, lower) = at_stake
        return cls(event.worker_id, position, upper, lower, set())


def _with_interval(
    logs: NDArray[np.float64], without_one: NDArray[np.float64], lists: NDArray[np.float64], level: float
) -> NDArray[np.float64]:
    """Return value, low and high of each column, given its logarithm and that without each worker.

    Args:
        logs: positions.
        without_one: workers x positions.
        lists: workers x positions; how many are behind each.
        level: of the interval.
    """
    workers = len(lists)
    # A worker without whom nothing is left to tell of makes the interval infinite.
    variance = (workers - 1) / workers * np.square(without_one - logs).sum(axis=0)
    effective = 1.0 / np.square(lists / lists.sum(axis=0)).sum(axis=0)
    error = np.sqrt(np.where(np.isfinite(variance) & (effective > 1.0), variance, np.inf))
    reach = stdtrit(np.maximum(effective - 1.0, 1.0), (1.0 + level) / 2.0) * error
    return np.exp(np.stack([logs, logs - reach, logs + reach]))
