"""Attention by position, from logged swaps: how much less likely a task is looked at for standing further down.

A list of the policy ``swapped`` has one pair of neighbours in the order of a fair coin (`matching.explore.Swap`). Over
such lists the same tasks stand at both positions equally often, so that what is opened less often at the lower one is
opened less often for its position alone (Joachims, Swaminathan & Schnabel 2017, "Unbiased Learning-to-Rank with Biased
Feedback", section 5.3). The ratios of neighbours are chained to attention relative to the first position.

A worker goes down the list and mostly leaves it with the first task taken (Craswell et al. 2008, "An experimental
comparison of click position-bias models", the cascade), so nobody knows what would have become of the task below.
Therefore only tasks that were opened and *left*, not taken, are counted. At the lower position those below a taking are
hidden. But the coin puts the same two tasks the other way round as often, the one that would be left above the one that
would be taken; there both are seen, and with the same probability. So such pairs are counted instead::

    attention below / above = (lower left, upper not taken + upper left, lower taken) / upper left

Nothing is assumed about who takes what: it may differ by worker, list and position, and lists that are good, at the top
or all the way, do not bias the ratio. What is assumed is that position bears on whether a task is opened and not on
whether it is then taken, and that a task that was left keeps nobody from going on. Attention is then what it would be
if nothing were taken, on the lists on which tasks are left: choosy workers count more, those who take what they open
hardly, and further down only those count who took nothing above.
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
"""Tasks opened and left at each of two positions from which their ratio is worth telling."""

_OPENED = (TaskViewed, TaskSaved, AssignmentAccepted)
_WITHIN = HOUR
_LEVEL = 0.95


@dataclass(frozen=True)
class Swaps:
    """Pairs of neighbours whose order was drawn, one entry for each list.

    Attributes:
        positions: int64, position of the upper one, 1-based.
        workers: int64, number of the worker.
        opened: bool, lists x 2, whether the upper and the lower task were opened.
        taken: bool, lists x 2, whether they were accepted.
    """

    positions: NDArray[np.int64]
    workers: NDArray[np.int64]
    opened: NDArray[np.bool_]
    taken: NDArray[np.bool_]


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
                    if isinstance(event, AssignmentAccepted):
                        pair.taken.add(event.task_id)
            elif isinstance(event, WorkerErased):
                pairs = {feed_id: pair for feed_id, pair in pairs.items() if pair.worker_id != event.worker_id}
    found = list(pairs.values())
    return Swaps(
        positions=np.array([pair.position for pair in found], np.int64),
        workers=np.asarray(pd.factorize(np.array([pair.worker_id for pair in found], object))[0], np.int64),
        opened=_of_pairs((pair.upper in pair.opened, pair.lower in pair.opened) for pair in found),
        taken=_of_pairs((pair.upper in pair.taken, pair.lower in pair.taken) for pair in found),
    )


def attention(swaps: Swaps) -> pd.DataFrame:
    """Estimate attention by position.

    The interval, at 95 %, is that of the logarithm, from a jackknife over workers with Student's t for the effective
    number of them, as in `training.metrics.cluster_interval`: what one worker does on many lists is alike.

    Args:
        swaps: of `read_swaps`.

    Returns:
        One row for each ``position`` (int64) from 1 to where the chain breaks, which it does where fewer than
        ``LEAST_SEEN`` tasks were opened and left at either side: ``lists`` (int64) whose pair was the position before
        and this one; ``ratio``, ``ratio_low``, ``ratio_high`` (float64), attention
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
    left = swaps.opened & ~swaps.taken
    left_above, left_below = left.T
    # In place of those below a taking: the same pairs in the other order.
    seen_below = (left_below & ~swaps.taken[:, 0]) | (left_above & swaps.taken[:, 1])
    lists, above, below = (
        np.asarray(np.bincount(cells, chosen, workers * deepest).reshape(workers, deepest), np.float64)
        for chosen in (np.ones(len(cells)), left_above, seen_below)
    )
    upper, lower = above.sum(axis=0), below.sum(axis=0)
    enough = np.minimum(upper, lower) >= LEAST_SEEN
    told = deepest if enough.all() else int(enough.argmin())
    if not told:
        raise CocokError(
            f"too few swaps: of {lists[:, 0].sum():.0f} lists with a pair at the top {upper[0]:.0f} had its upper task"
            f" opened and not taken, and {lower[0]:.0f} count for its lower task; {LEAST_SEEN} each are the least, and"
            " it takes task_viewed events"
        )
    lists, above, below, upper, lower = (counts[..., :told] for counts in (lists, above, below, upper, lower))
    ratios = np.log(lower / upper)
    # A worker without whom nothing is left to divide by makes an interval infinite.
    with np.errstate(divide="ignore", invalid="ignore"):
        without_one = np.log((lower - below) / (upper - above))
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
    """The pair of a list, and which tasks of the list were opened and taken."""

    worker_id: str
    position: int
    upper: str
    lower: str
    opened: set[str]
    taken: set[str]

    @classmethod
    def of(cls, event: FeedServed) -> "_Pair | None":
        """Return the pair that the propensities tell; None of a list of a single task."""
        at_stake = sorted((item.position, item.task_id) for item in event.items if item.propensity == 0.5)
        if len(at_stake) != 2 or at_stake[1][0] != at_stake[0][0] + 1:
            return None
        (position, upper), (_, lower) = at_stake
        return cls(event.worker_id, position, upper, lower, set(), set())


def _of_pairs(answers: Iterable[tuple[bool, bool]]) -> NDArray[np.bool_]:
    return np.array(list(answers), np.bool_).reshape(-1, 2)


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
