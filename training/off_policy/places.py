"""How often a policy has an item at its place, and what follows it there: what a correction at that place weighs.

How likely an item stands at a place with nothing above it taken is a mean over orders. To count drawn orders would make
it 0 for what is rare. So of a drawn race all other clocks are kept; given these, the chance that the item's own clock
rings between two of them is exact (Rao-Blackwell), and what it then has above and below is known.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from training.off_policy.hazard import Hazard
from training.off_policy.race import Floats, Orders, Race

Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Standing:
    """Of pages in the orders of a race, means over these.

    Attributes:
        value: float64, lists; the reward to expect of a list.
        reached: float64, lists x longest; how often the item that was logged at a place stands there with nothing taken
            above it.
        below: float64, lists x longest; the reward to expect of what is below in these cases, if the item is not taken:
            over all orders, so ``below / reached`` is the mean of one case.
    """

    value: Floats
    reached: Floats
    below: Floats

    @classmethod
    def of(cls, race: Race, hazard: Hazard, worth: Floats) -> "Standing":
        """Average over the orders.

        Args:
            race: of the pages.
            hazard: the chance of items and places.
            worth: float64, lists x longest; the reward to expect of an item once it is taken.
        """
        orders, here = race.orders(), np.arange(race.rates.shape[1])
        found = np.empty_like(orders)
        np.put_along_axis(found, orders, np.broadcast_to(here, orders.shape), axis=2)
        before, after = _neighbours(np.isfinite(race.rates))
        # Put at its place, an item moves all that was drawn between there and its own by one clock, down or up.
        drawn, down, up = (_Walk.of(hazard, worth, _moved(orders, by)) for by in (None, before, after))
        near, far = np.minimum(found, here), np.maximum(found, here) + 1
        reached = drawn.spared_at(near) + up.spared[:, :, :-1] - up.spared_at(near)
        passed = reached - down.spared[:, :, 1:]
        moved = (down.gained_at(far) - down.gained[:, :, 1:]) * np.exp(passed)
        rest = drawn.gained[:, :, -1:] - drawn.gained_at(far)
        rest *= np.exp(passed + down.spared_at(far) - drawn.spared_at(far))
        chance = _chance(race, orders, found, before, after)
        return cls(
            value=drawn.gained[:, :, -1].mean(axis=0),
            reached=np.mean(chance * np.exp(reached), axis=0),
            below=np.mean(chance * (moved + rest), axis=0),
        )


@dataclass(frozen=True, eq=False)
class _Walk:
    """Down the pages of orders; both are orders x lists x (longest + 1), from before the first place to the end.

    ``spared`` is the log of the chance that nothing was taken so far, ``gained`` the reward to expect so far.
    """

    spared: Floats
    gained: Floats

    @classmethod
    def of(cls, hazard: Hazard, worth: Floats, orders: Orders) -> "_Walk":
        logits = hazard.logits(orders)
        spared = _from_nothing(-np.logaddexp(0.0, logits))
        at = np.exp(spared[:, :, :-1]) * expit(logits) * np.take_along_axis(worth[None], orders, axis=2)
        return cls(spared, _from_nothing(at))

    def spared_at(self, places: Places) -> Floats:
        return np.take_along_axis(self.spared, places, axis=2)

    def gained_at(self, places: Places) -> Floats:
        return np.take_along_axis(self.gained, places, axis=2)


def _from_nothing(values: Floats) -> Floats:
    found = np.zeros((*values.shape[:2], values.shape[2] + 1))
    np.cumsum(values, axis=2, out=found[:, :, 1:])
    return found


def _neighbours(clocks: NDArray[np.bool_]) -> tuple[Places, Places]:
    """Return the place before and after each with a clock of its own, or the place itself (lists x longest)."""
    here = np.broadcast_to(np.arange(clocks.shape[1]), clocks.shape)
    last = np.maximum.accumulate(np.where(clocks, here, -1), axis=1)
    before = np.column_stack([np.full(len(here), -1), last[:, :-1]])
    far = clocks.shape[1]
    following = np.minimum.accumulate(np.where(clocks, here, far)[:, ::-1], axis=1)[:, ::-1]
    after = np.column_stack([following[:, 1:], np.full(len(here), far)])
    return np.where(clocks & (before >= 0), before, here), np.where(clocks & (after < far), after, here)


def _moved(orders: Orders, by: Places | None) -> Orders:
    return orders if by is None else np.take_along_axis(orders, by[None], axis=2)


def _chance(race: Race, orders: Orders, found: Places, before: Places, after: Places) -> Floats:
    """Return how likely each item comes to the place where it was logged, given all other clocks of the race."""
    here, clocks = np.arange(race.rates.shape[1]), np.isfinite(race.rates)
    rung = np.take_along_axis(race.times, orders, axis=2)
    begin = np.where(before == here, -np.inf, np.take_along_axis(rung, before[None], axis=2))
    end = np.where(after == here, race.limit[:, :, None], np.take_along_axis(rung, after[None], axis=2))
    return np.where(clocks, race.between(np.where(found < here, rung, begin), np.where(found > here, rung, end)), 1.0)
