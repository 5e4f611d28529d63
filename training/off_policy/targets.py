"""Target policies: what could have been served in place of what was.

A target is an array of utilities (float64, lists x longest, in the order of the logged pages), -inf where nothing was
drawn. It draws the order of what was by Plackett and Luce, with weights ``exp(utility)``; utilities far apart are an
order without chance.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.off_policy.pages import Pages
from training.off_policy.race import Floats, Race

Target = Callable[[Pages], Floats]
"""Utilities of logged pages (float64, lists x longest)."""

_FAR = 1e3


@dataclass(frozen=True, eq=False)
class AsServed:
    """A ranker that explores as the log's did: as sharp on each page as the draw that the log has.

    The scores of a page are scaled to the standard deviation of the logs of the weights that it was drawn with.

    Attributes:
        scores: float64, rows of the training set; higher is better, NaN counts as the lowest of its page.
    """

    scores: NDArray[np.float64]

    def __call__(self, pages: Pages) -> Floats:
        """Return the utilities."""
        own = _known(pages, self.scores)
        center = np.mean(own, axis=1, keepdims=True, where=pages.drawn)
        spread = np.std(own, axis=1, keepdims=True, where=pages.drawn)
        sharpness = np.std(np.where(pages.drawn, pages.weights, 0.0), axis=1, keepdims=True, where=pages.drawn)
        standard: Floats = np.divide(own - center, spread, out=np.zeros_like(own), where=spread > 0)
        return np.where(pages.drawn, standard * sharpness, -np.inf)


@dataclass(frozen=True, eq=False)
class Strict:
    """A ranker that takes the best each time; tasks of equal scores stand in a fixed random order.

    Far less of a log speaks to it than to `AsServed`.

    Attributes:
        scores: as there.
    """

    scores: NDArray[np.float64]

    def __call__(self, pages: Pages) -> Floats:
        """Return the utilities."""
        own = _known(pages, self.scores)
        # By the task: an order of equals that hung on the logged one would be another policy for each order.
        ranks = np.argsort(np.lexsort((pages.ties, -own), axis=1), axis=1)
        return np.where(pages.drawn, -_FAR * ranks, -np.inf)


def log_chances(utilities: Floats) -> Floats:
    """Return the log of the probability of each item standing where it was logged, given those before it."""
    # Sums from the end, in logs.
    left = np.logaddexp.accumulate(utilities[:, ::-1], axis=1)[:, ::-1]
    return np.subtract(utilities, left, out=np.zeros_like(utilities), where=np.isfinite(utilities))


def race(utilities: Floats, orders: int, random: np.random.Generator) -> Race:
    """Draw orders of the pages; what is at -inf keeps its place."""
    times = -(utilities + random.gumbel(size=(orders, *utilities.shape)))
    return Race(utilities, np.full(times.shape[:2], np.inf), times)


def _known(pages: Pages, scores: NDArray[np.float64]) -> Floats:
    """Return scores without a gap."""
    own = pages.spread(scores)
    lowest = np.min(own, axis=1, keepdims=True, initial=np.inf, where=pages.drawn & ~np.isnan(own))
    return np.where(np.isnan(own), np.where(np.isfinite(lowest), lowest, 0.0), own)
