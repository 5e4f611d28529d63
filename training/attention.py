"""Attention by position, from logged swaps: how much less likely a task is looked at for standing further down.

A list of the policy ``swapped`` has one pair of neighbours in the order of a fair coin (`matching.explore.Swap`). Over
such lists the same tasks stand at both positions equally often, so that what is opened less often at the lower one is
opened less often for its position alone (Joachims, Swaminathan & Schnabel 2017, "Unbiased Learning-to-Rank with Biased
Feedback", section 5.3). The ratios of neighbours are chained to attention relative to the first position.

Workers who take a task mostly leave the list, and then nobody knows whether they would have opened the next one. That
is concluded from those who opened the upper task and did not take it, since they looked as far; and as who opens much
takes much, too, the workers' other lists tell how much more often takers open (`_takers`). So attention is what it
would be if nothing were taken, and does not depend on how good the lists are that it is measured on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from features.errors import CocokError
from features.estimates import HOUR
from features.events import (
    SAMPLED,
    SWAPPED,
    AssignmentAccepted,
    Entry,
    FeedServed,
    TaskSaved,
    TaskViewed,
    WorkerErased,
    micros,
)

LEAST_SEEN = 30
"""Tasks opened at each of two positions from which their ratio is worth telling."""

_OPENED = (TaskViewed, TaskSaved, AssignmentAccepted)
_WITHIN = HOUR
_LEVEL = 0.95


@dataclass(frozen=True)
class Swaps:
    """Pairs of neighbours whose order was drawn, one entry for each list.

    Attributes:
        positions: int64, position of the upper one, 1-based.
        workers: int64, number of the worker.
        upper: bool, whether the task at the upper position was opened.
        taken: bool, whether it was accepted, too.
        lower: bool, whether the task below was opened.
    """

    positions: NDArray[np.int64]
    workers: NDArray[np.int64]
    upper: NDArray[np.bool_]
    taken: NDArray[np.bool_]
    lower: NDArray[np.bool_]


def read_swaps(batches: Iterable[Sequence[Entry]]) -> Swaps:
    """Collect pairs and what became of them.

    A task was opened from a list if it was viewed, saved or accepted from it: by the event's ``feed_id`` or, where it
    has none, within an hour after the list, if that is the last that held the task. Lists that were never shown, of the
    policy ``sampled``, and workers who asked to be forgotten are left out.

    Args:
        batches: the log from its beginning, as (sequence number, ``known_at`` in microseconds since 1970, event).
    """
    pairs: dict[str, _Pair] = {}
    latest: dict[tuple[str, str], tuple[str, int]] = {}
    for batch in batches:
        for _, _, event in batch:
            if isinstance(event, FeedServed):
                if event.policy == SAMPLED:
                    continue
                listed = {(event.worker_id, item.task_id) for item in event.items} & latest.keys()
                if event.policy == SWAPPED and (pair := _Pair.of(event)) is not None:
                    pairs[event.feed_id] = pair
                    listed |= {(event.worker_id, pair.upper), (event.worker_id, pair.lower)}
                # Only of tasks that were once at stake does it matter which list held them last.
                latest |= dict.fromkeys(listed, (event.feed_id, micros(event.at)))
            elif isinstance(event, _OPENED):
                feed_id = event.feed_id
                if feed_id is None:
                    last, served = latest.get((event.worker_id, event.task_id), ("", 0))
                    feed_id = last if 0 <= micros(event.at) - served <= _WITHIN else ""
                if (pair := pairs.get(feed_id)) is not None and event.worker_id == pair.worker_id:
                    pair.opened.add(event.task_id)
                    pair.taken |= isinstance(event, AssignmentAccepted) and event.task_id == pair.upper
            elif isinstance(event, WorkerErased):
                pairs = {feed_id: pair for feed_id, pair in pairs.items() if pair.worker_id != event.worker_id}
    found = list(pairs.values())
    return Swaps(
        positions=np.array([pair.position for pair in found], np.int64),
        workers=np.asarray(pd.factorize(np.array([pair.worker_id for pair in found], object))[0], np.int64),
        upper=np.array([pair.upper in pair.opened for pair in found], np.bool_),
        taken=np.array([pair.taken for pair in found], np.bool_),
        lower=np.array([pair.lower in pair.opened for pair in found], np.bool_),
    )


def attention(swaps: Swaps) -> pd.DataFrame:
    """Estimate attention by position.

    The interval, at 95 %, is that of the logarithm, from a jackknife over workers with Student's t for the effective
    number of them, as in `training.metrics.cluster_interval`: what one worker does on many lists is alike.

    Args:
        swaps: of `read_swaps`.

    Returns:
        One row for each ``position`` (int64) from 1 to where the chain breaks, which it does where fewer than
        ``LEAST_SEEN`` tasks were opened at either side, or opened and not taken at the upper: ``lists`` (int64) whose
        pair was the position before and this one; ``ratio``, ``ratio_low``, ``ratio_high`` (float64), attention
        relative to the position before; ``attention``, ``low``, ``high`` (float64), relative to the first. Those of the
        first are 1, its lists 0.

    Raises:
        CocokError: the log has no swaps, or too few of them for a single ratio.
    """
    if not len(swaps.positions):
        raise CocokError(
            "the log has no swapped lists: set COCOK_SWAP_SHARE for `cocok serve`, and wait for workers to see them"
        )
    deepest, workers = int(swaps.positions.max()), int(swaps.workers.max()) + 1
    cells = swaps.workers * deepest + swaps.positions - 1
    declined, untaken = swaps.upper & ~swaps.taken, swaps.lower & ~swaps.taken
    everyone = np.ones(len(cells), np.bool_)
    lists, *counts = (
        np.asarray(np.bincount(cells, chosen, workers * deepest).reshape(workers, deepest), np.float64)
        for chosen in (everyone, swaps.upper, untaken, declined & swaps.lower, swaps.taken)
    )
    upper, lower, both, taken = (count.sum(axis=0) for count in counts)
    enough = np.minimum(np.minimum(upper, upper - taken), lower) >= LEAST_SEEN
    told = deepest if enough.all() else int(enough.argmin())
    if not told:
        raise CocokError(
            f"too few swaps: of {lists[:, 0].sum():.0f} lists with a pair at the top {upper[0]:.0f} had its upper task"
            f" opened, {upper[0] - taken[0]:.0f} had it opened and not taken, and {lower[0]:.0f} had its lower task "
            f"opened; {LEAST_SEEN} each are the least, and it takes task_viewed events"
        )
    taking, leaving = _takers(lists.sum(axis=1), counts[0].sum(axis=1), counts[3].sum(axis=1))
    lists = lists[:, :told]
    # A worker without whom nothing is left to divide by makes an interval infinite.
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = (taking.sum() - taking) / (leaving.sum() - leaving)
        ratios = _log_ratio(upper, lower, both, taking.sum() / leaving.sum())[:told]
        without_one = _log_ratio(upper - counts[0], lower - counts[1], both - counts[2], odds[:, None])[:, :told]
    ratio = _with_interval(ratios, without_one, lists)
    chain = _with_interval(np.cumsum(ratios), np.cumsum(without_one, axis=1), np.cumsum(lists, axis=1))
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
    taken: bool = False

    @classmethod
    def of(cls, event: FeedServed) -> "_Pair | None":
        """Return the pair that the propensities tell; None of a list of a single task."""
        at_stake = sorted((item.position, item.task_id) for item in event.items if item.propensity == 0.5)
        if len(at_stake) != 2 or at_stake[1][0] != at_stake[0][0] + 1:
            return None
        (position, upper), (_, lower) = at_stake
        return cls(event.worker_id, position, upper, lower, set())


def _takers(
    lists: NDArray[np.float64], upper: NDArray[np.float64], taken: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how often takers open, and how often those do who opened and did not take: one number for each worker.

    The ratio of the two sums is how many open the next task after taking one, for each who does after leaving one. A
    worker's lists are compared with the same worker's *other* lists, each product of two lists once: so that the same
    chance does not stand on both sides.

    Args:
        lists: of each worker, with a pair.
        upper: of these, those whose upper task was opened.
        taken: of these, those whose upper task was taken.
    """
    left = upper - taken
    others = np.where(lists > 1, upper - 1.0, 0.0) / np.maximum(lists - 1.0, 1.0)
    if not (left * others).any():
        # Nobody has lists enough to compare: takers and leavers are taken for the same kind of people.
        return taken, left
    return taken * others, left * others


def _log_ratio(
    upper: NDArray[np.float64], lower: NDArray[np.float64], both: NDArray[np.float64], odds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the logarithm of attention below over attention above.

    Args:
        upper: lists whose upper task was opened.
        lower: lists whose lower task was opened, the upper not being taken.
        both: of these, those whose upper task was opened.
        odds: lists whose lower task would be opened if the upper had not been taken, for each of ``both``.
    """
    return np.asarray(np.log(lower + both * odds) - np.log(upper))


def _with_interval(
    logs: NDArray[np.float64], without_one: NDArray[np.float64], lists: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return value, low and high of each column, given its logarithm and that without each worker.

    Args:
        logs: positions.
        without_one: workers x positions.
        lists: workers x positions; how many are behind each.
    """
    workers = len(lists)
    variance = (workers - 1) / workers * np.square(without_one - logs).sum(axis=0)
    effective = 1.0 / np.square(lists / lists.sum(axis=0)).sum(axis=0)
    error = np.sqrt(np.where(np.isfinite(variance) & (effective > 1.0), variance, np.inf))
    reach = stdtrit(np.maximum(effective - 1.0, 1.0), (1.0 + _LEVEL) / 2.0) * error
    return np.asarray(np.exp(np.stack([logs, logs - reach, logs + reach])))
