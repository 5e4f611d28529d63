"""Lists: as they are logged, and as they are answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from features.events import FeedContext, FeedItem, FeedServed, instant
from matching.near_misses import NearMiss
from matching.pipeline import Item
from matching.query import Query
from service.ids import new_id
from service.models import Serving

LEAST_PROPENSITY = 1e-300
"""A drawn item never stands at its place with probability 0, though rounding may say so."""


@dataclass(frozen=True)
class Listing:
    """A list as it is logged: the order, and what it was computed from.

    Attributes:
        feed_id: identity of the list.
        model_version: of the ranker that made it.
        log_seq: sequence number of the last event it knew.
        at: its instant, microseconds since 1970.
        first: position of the first task.
        tasks: ids, in order.
        scores: float64, of each.
        propensities: float64; the probability with which each stands at its place.
    """

    feed_id: str
    model_version: str
    log_seq: int
    at: int
    first: int
    tasks: Sequence[str]
    scores: NDArray[np.float64]
    propensities: NDArray[np.float64]


@dataclass(frozen=True)
class Ranked:
    """An answer: a list with what is said of it.

    Attributes:
        listing: the list.
        items: in order.
        removed: reason -> count for a feed, or (task id, reasons) for the caller's own candidates.
        listed: hashes of the ids on earlier pages and this one; see `Query.listed`.
        more: whether a further page would hold anything.
        near_misses: what would open the most to the worker.
    """

    listing: Listing
    items: Sequence[Item]
    removed: dict[str, int] | list[tuple[str, list[str]]]
    listed: Sequence[int] = ()
    more: bool = False
    near_misses: Sequence[NearMiss] = ()


def listed(
    serving: Serving,
    seq: int,
    query: Query,
    tasks: Sequence[str],
    scores: NDArray[np.float64],
    propensities: NDArray[np.float64],
) -> Listing:
    """Return the listing of a page, which gets its identity here.

    Args:
        serving: what ranked it.
        seq: sequence number of the last event that was known.
        query: what was asked.
        tasks: ids, in order.
        scores: float64, of each.
        propensities: float64; the probability with which each stands at its place.
    """
    first = len(query.listed) + 1
    return Listing(new_id(), serving.version, seq, query.now, first, tasks, scores, propensities)


def served_event(listing: Listing, query: Query, context: FeedContext | None, policy: str) -> FeedServed:
    """Return the event that logs a list, with all that a replay needs to compute its rows again."""
    scores, propensities = listing.scores.astype(np.float32), np.maximum(listing.propensities, LEAST_PROPENSITY)
    entries = zip(count(listing.first), listing.tasks, scores.tolist(), propensities.tolist(), strict=False)
    return FeedServed(
        event_id=f"feed-{listing.feed_id}",
        at=instant(listing.at),
        feed_id=listing.feed_id,
        worker_id=query.worker_id,
        items=tuple(
            FeedItem(task_id=task_id, position=position, score=score, propensity=propensity)
            for position, task_id, score, propensity in entries
        ),
        context=context,
        model_version=listing.model_version,
        policy=policy,
        log_seq=listing.log_seq,
    )
