"""Orders as races: an item's clock rings after an exponential time whose rate is its weight (Yellott 1977).

The order in which they ring is drawn by Plackett and Luce.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Orders = NDArray[np.int64]
"""Orders x lists x longest: which place of the logged page comes to each place."""

SHORT, LONG = -30.0, 700.0
"""Logs of times: below, ``1 - exp(-t)`` is ``t``; up to this, ``exp`` is still a number."""


@dataclass(frozen=True, eq=False)
class Race:
    """Drawn orders of pages. What has no clock keeps its place.

    Attributes:
        rates: float64, lists x longest; log of the rate of each item's clock, -inf for no clock.
        limit: float64, orders x lists; log of the time by which all clocks of the page are known to have rung, or inf.
        times: float64, orders x lists x longest; log of the time at which each clock rings, inf for no clock. They are
            independent given ``limit``.
    """

    rates: Floats
    limit: Floats
    times: Floats

    def orders(self) -> Orders:
        """Return the items by rising time."""
        # Items and places, either with those first that move: so the others meet their own place again.
        items = np.argsort(self.times, axis=2, kind="stable")
        places = np.argsort(np.isinf(self.times), axis=2, kind="stable")
        orders = np.empty_like(items)
        np.put_along_axis(orders, places, items, axis=2)
        return orders

    def between(self, begin: Floats, end: Floats) -> Floats:
        """Return how likely each clock rings between two logs of times, given the limit (orders x lists x longest)."""
        rates = np.where(np.isfinite(self.rates), self.rates, 0.0)
        first, last, whole = (np.exp(np.minimum(rates + time, LONG)) for time in (begin, end, self.limit[:, :, None]))
        within = -np.expm1(-whole)
        # A clock that hardly rings before the limit rings at any time before it alike.
        slow = whole < np.exp(SHORT)
        share = np.exp(-first) * -np.expm1(first - last)
        return np.where(slow, last - first, share) / np.where(slow, np.maximum(whole, np.finfo(float).tiny), within)
