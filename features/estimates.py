"""Smoothed estimates of what is uncertain: how long a task takes, how likely it is approved, how fast a count decays.

They are counts with a prior, never a learned model: the same numbers when training replays the log and when serving.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.jit import lean
from features.layout import NEVER, Arrays, Record

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
SLOW = 30 * DAY
FAST = 3 * DAY
_YEAR_2000 = 946_684_800 * SECOND

LEAST_MINUTES = 1e-3
"""Minutes of work, and of a session, count as no less: the log of what 32 bits take for 0 would be minus infinity."""

APPROVAL_PRIOR = 0.9
"""Share of submissions approved where nothing is known; Hara et al. (2018) report rejections of well under a tenth."""

MARKET_STRENGTH = 10.0
"""What that prior of the market's share is worth: submissions judged."""

MINUTES_STRENGTH = 3.0
"""What the guess before experience with tasks is worth: assignments timed."""


@lean
def seconds(instant: int) -> int:
    """Return an instant (microseconds since 1970) in whole seconds since 2000, which fit 32 bits until 2068."""
    return (instant - _YEAR_2000) // SECOND


@lean
def decay(since: int, now: int, half_life: int) -> float:
    """Return what is left of 1 after ``now - since`` microseconds; a clock that runs back leaves 1."""
    if since == NEVER or now <= since:
        return 1.0
    return 2.0 ** (-(now - since) / half_life)


@lean
def decay_seconds(since: int, now: int, half_life: int) -> float:
    """Return what is left of 1, with both instants in seconds and the half-life in microseconds."""
    if now <= since:
        return 1.0
    return 2.0 ** (-(now - since) / (half_life // SECOND))


@lean
def expected(before: float, available: float, chances_before: float, chances: float, decayed: float) -> float:
    """Return a decayed sum of what random choice would have taken, brought to the present.

    Between two instants ``available`` stays as it is, and ``chances``, a sum over acceptances that decays at the same
    speed, grew by ``chances - chances_before * decayed``.
    """
    return before * decayed + available * max(0.0, chances - chances_before * decayed)


@lean
def smoothed(positive: float, negative: float, prior: float, strength: float) -> float:
    """Return a rate with a beta prior worth ``strength`` observations."""
    return (positive + strength * prior) / (positive + negative + strength)


@lean
def market_approval(s: Arrays) -> float:
    """Return the market's share of submissions approved."""
    market = s.market[0]
    return smoothed(market.approved, market.rejected, APPROVAL_PRIOR, MARKET_STRENGTH)


@lean
def usual_log_minutes(market: Record, tokens: NDArray[np.void], task: Record) -> float:
    """Return the log of the minutes a task takes workers in general, or NaN where nothing tells.

    Experience with the task itself outweighs what its requester states, and that outweighs tasks of the same content.
    """
    return log_minutes(market, tokens, task, math.log(task.facts.stated_minutes))


@lean
def log_minutes(market: Record, tokens: NDArray[np.void], task: Record, stated: float) -> float:
    """Return `usual_log_minutes` where the log of the stated minutes is known."""
    prior = stated
    if math.isnan(prior):
        if market.minutes_count == 0.0:
            return math.nan
        total, count = MINUTES_STRENGTH * (market.minutes / market.minutes_count), MINUTES_STRENGTH
        for k in range(task.n_tokens):
            record = tokens[task.tokens[k]]
            total += task.weights[k] * record.minutes
            count += task.weights[k] * record.minutes_count
        prior = total / count
    return (MINUTES_STRENGTH * prior + task.minutes) / (MINUTES_STRENGTH + task.minutes_count)
