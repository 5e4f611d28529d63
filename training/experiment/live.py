"""A world, and beside it the market state that Cocok serves from, folded from the world's events as they come."""

from collections.abc import Iterator

from features.events import Entry, micros
from features.money import Rates
from features.state import MarketState
from training.simulation import Occasion, Policy, Ranking, World


class Live:
    """A marketplace that runs, with its log folded up to now. A pickled copy goes on independently, and identically.

    Args:
        world: nothing of it has run yet.
        rates: currency rates.

    Attributes:
        world: the marketplace.
    """

    def __init__(self, world: World, rates: Rates) -> None:
        self.world = world
        self._state = MarketState(rates)
        self._waiting: list[Entry] = []
        self._seq, self._clock = 0, world.start
        self._policy: Policy | None = None

    @property
    def state(self) -> MarketState:
        """The market after every event so far; what has come since the last time it was asked is folded now."""
        if self._waiting:
            self._state.apply(self._waiting)
            self._waiting = []
        return self._state

    def run(self, policy: Policy, until: int) -> Iterator[Entry]:
        """Yield the events of the log, as `World.run` does, with their place in it."""
        # The world remembers whom it asked, and a copy of it would take that policy along.
        self._policy = policy
        for event in self.world.run(self._ask, until):
            self._seq, self._clock = self._seq + 1, max(self._clock, micros(event.at))
            entry = (self._seq, self._clock, event)
            self._waiting.append(entry)
            yield entry
        self._policy = None

    def _ask(self, occasion: Occasion) -> Ranking:
        if self._policy is None:
            raise RuntimeError("a marketplace makes lists while it runs")
        return self._policy(occasion)
