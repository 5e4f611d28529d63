"""Pages whose order was drawn, and how likely each order was.

Exploration draws a page place by place (Luce 1959, Plackett 1975): of all candidates left, each with probability
proportional to its weight. The log holds the page and not the other candidates, so only other orders *of the same page*
can be judged. What counts is therefore the probability of an order given what stands on the page.

Propensities tell it. With all weights adding up to 1, the item at the ``k``-th drawn place has the weight
``p_k (1 - p_1) ... (1 - p_{k-1})``, and the candidates that were not drawn have ``(1 - p_1) ... (1 - p_K)`` together.
A draw by weight is a race of exponential clocks with the weights as rates (Yellott 1977): a set comes before the rest,
of weight ``r``, with probability ``G = E[prod_i (1 - exp(-w_i T))]`` over ``T ~ Exp(r)``, an integral in one dimension.
The item at place ``k`` then stood there, given the page, with probability ``p_k G(below k) / G(k and below)``.

A place with propensity 1 was not drawn: it lies below all that were, was given away (`matching.explore.Explore`), or
went to the last candidate. It keeps its item under every policy, and the order of the others is given that. So this is
exact for all lists that `Explore` makes; for any other draw the weights are those that would have given the same
propensities, and the probability is an approximation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.dataset import TrainingSet
from training.off_policy.race import LONG, SHORT, Floats, Race

_STEP = 0.1
_LOG_TIMES = np.arange(-38.0, 4.3, _STEP)
"""Where the integral over the log of time is evaluated: beyond, the integrand is nothing, or all clocks have rung."""

_AT_ONCE = 4_000
"""Places."""

_PADDING = 8
"""Places of a block, its pages being side by side, for each that is there, at the most."""


@dataclass(frozen=True, eq=False)
class Pages:
    """Lists of which at least two places were drawn, side by side; one line for each list.

    Attributes:
        lists: int64, lists; which of the training set's.
        rows: int64, lists x longest; row of the training set at each place, 0 beyond the end of the page.
        there: bool, lists x longest; whether the page reaches so far.
        drawn: bool, lists x longest; whether the place was drawn. What was not keeps its place under every policy.
        ties: uint64, lists x longest; a number of each task, the same wherever it is listed, that hangs on nothing but
            its id.
        weights: float64, lists x longest; log of the weight that the item was drawn with, -inf where it was not.
        rest: float64, lists; log of the weight of the candidates that were not drawn.
        chances: float64, lists x longest; log of the probability of the item standing here, given those before it and
            what stands on the page; 0 where nothing was drawn.
    """

    lists: NDArray[np.int64]
    rows: NDArray[np.int64]
    there: NDArray[np.bool_]
    drawn: NDArray[np.bool_]
    ties: NDArray[np.uint64]
    weights: Floats
    rest: Floats
    chances: Floats

    @classmethod
    def blocks(cls, rows: TrainingSet) -> "list[Pages]":
        """Return the explored lists as `of` does, but where a few are far longer than the others, these apart.

        Without that a single list of ten thousand items would make every page as long.
        """
        lists = np.flatnonzero(explored(rows))
        return [cls.of(rows, lists[block]) for block in _of_a_size(rows.sizes[lists])]

    @classmethod
    def of(cls, rows: TrainingSet, lists: NDArray[np.int64] | None = None) -> "Pages":
        """Return the explored lists of a training set of whole lists side by side.

        Args:
            rows: the training set.
            lists: int64; which ones, in order; all of them if None.
        """
        lists = np.flatnonzero(explored(rows)) if lists is None else lists
        sizes = rows.sizes[lists]
        places = np.arange(sizes.max(initial=0))
        there = places < sizes[:, None]
        at = np.where(there, rows.offsets[:-1][lists][:, None] + places, 0)
        chances = np.where(there, rows.propensities[at], 1.0)
        drawn = chances < 1
        left = np.log1p(-chances, out=np.zeros(at.shape), where=drawn)
        before = np.cumsum(left, axis=1) - left
        weights = np.where(drawn, np.log(chances) + before, -np.inf)
        rest = left.sum(axis=1)
        first = np.zeros(at.shape)
        for part in parts(at.shape):
            comes_first = _comes_first(weights[part], rest[part])
            first[part] = comes_first[:, 1:] - comes_first[:, :-1]
        ties = pd.util.hash_array(rows.catalogue["task_id"].to_numpy(object), categorize=False)[rows.tasks[at]]
        return cls(lists, at, there, drawn, ties, weights, rest, np.where(drawn, np.log(chances) + first, 0.0))

    def __len__(self) -> int:
        """Return the number of lists."""
        return len(self.lists)

    def part(self, part: slice) -> "Pages":
        """Return some of the lists."""
        return Pages(*(getattr(self, name)[part] for name in self.__dataclass_fields__))

    def spread(self, values: NDArray[np.generic]) -> Floats:
        """Lay values of the training set's rows out as the pages are; NaN beyond the end of a page."""
        return np.where(self.there, values[self.rows].astype(np.float64), np.nan)

    def race(self, orders: int, random: np.random.Generator) -> Race:
        """Draw other orders of the same pages, as the log's policy would have drawn them.

        The instant at which the first clock of the rest rings is drawn given that all those of the page rang before;
        theirs are then independent of each other.
        """
        limit = np.empty((orders, len(self)))
        log_density = _log_density(self.weights, self.rest)[:, 0]
        density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
        reached = np.cumsum(density, axis=1) / density.sum(axis=1, keepdims=True)
        # The density at an instant stands for the step around it.
        luck, ends = random.random(limit.shape), _LOG_TIMES + _STEP / 2
        for place in range(len(self)):
            limit[:, place] = np.interp(luck[:, place], reached[place], ends) - self.rest[place]
        rates = np.where(self.drawn, self.weights, 0.0)
        within = -np.expm1(-np.exp(np.minimum(rates + limit[:, :, None], LONG)))
        rung = -np.log1p(-random.random((orders, *rates.shape)) * within)
        times = np.where(self.drawn, np.log(np.maximum(rung, np.finfo(float).tiny)) - rates, np.inf)
        return Race(self.weights, limit, times)


def explored(rows: TrainingSet) -> NDArray[np.bool_]:
    """Return for each list whether its order was drawn: two places or more, and all its propensities are told.

    The propensities decide, whatever the policy of the list is called. A list in which a fair coin swapped two
    neighbours (`matching.explore.Swap`), and nothing else was drawn, says next to nothing of other orders and does not
    count.
    """
    told = np.where(np.isnan(rows.propensities), -np.inf, rows.propensities)
    least = np.minimum.reduceat(told, rows.offsets[:-1])
    drawn, even = (np.add.reduceat(kind, rows.offsets[:-1], dtype=np.int64) for kind in (told < 1, told == 0.5))
    found: NDArray[np.bool_] = (least > 0) & (drawn > 1) & ~((drawn == 2) & (even == 2))
    return found


def _of_a_size(sizes: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the places of ``sizes`` in blocks, those with the largest first: one if not much would be empty in it."""
    left = np.arange(len(sizes))
    while True:
        longest = sizes[left].max(initial=0)
        if len(left) * longest <= _PADDING * sizes[left].sum():
            yield left
            return
        long = 2 * sizes[left] > longest
        yield left[long]
        left = left[~long]


def parts(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield runs of lists that fit into memory with all that is computed for each place."""
    lists, longest = shape
    some = max(1, _AT_ONCE // max(longest, 1))
    yield from (slice(begin, begin + some) for begin in range(0, lists, some))


def _comes_first(weights: Floats, rest: Floats) -> Floats:
    """Return the log of the probability that what stands at each place and below comes before the rest.

    Returns:
        float64, lists x (longest + 1).
    """
    log_density = _log_density(weights, rest)
    highest = log_density.max(axis=2, keepdims=True)
    found: Floats = np.log(np.exp(log_density - highest).sum(axis=2) * _STEP) + highest[:, :, 0]
    return found


def _log_density(weights: Floats, rest: Floats) -> Floats:
    """Return the log of the integrand for what stands at each place and below (lists x (longest + 1) x times)."""
    rates = np.where(np.isfinite(weights), weights, 0.0) - rest[:, None]
    waited = rates[:, :, None] + _LOG_TIMES
    # Hardly any time is nearly no chance, of which the time itself is the share.
    rung = np.where(waited < SHORT, waited, np.log(-np.expm1(-np.exp(np.clip(waited, SHORT, LONG)))))
    rung[~np.isfinite(weights)] = 0.0
    below = np.cumsum(rung[:, ::-1], axis=1)[:, ::-1]
    below = np.concatenate([below, np.zeros_like(below[:, :1])], axis=1)
    density: Floats = below + _LOG_TIMES - np.exp(_LOG_TIMES)
    return density
