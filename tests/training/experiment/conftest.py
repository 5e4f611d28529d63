"""Small worlds that have been warmed up, for policies to go on from."""

import pickle
from collections.abc import Callable, Hashable
from functools import cache

import pytest

from features.money import Rates
from training.experiment.run import END
from training.experiment.trial import Start, warm_up
from training.simulation import SimulationConfig, World
from training.simulation.postings import DAY

RATES = Rates.shipped()
WARM_UP = 3
SMALL = SimulationConfig(workers=100, tasks_per_day=40, days=WARM_UP + 3, seed=1)
LEARNED = ("champion", "nightly")


@cache
def _start(make: Callable[..., World], arguments: tuple[Hashable, ...], policies: tuple[str, ...]) -> bytes:
    world = make(*arguments)
    return pickle.dumps(warm_up(world, RATES, world.start + WARM_UP * DAY, policies))


def start_of(make: Callable[..., World], *arguments: Hashable, policies: tuple[str, ...] = ()) -> Start:
    """What ``make`` returns for the arguments, after its warm-up; each call gives one of its own."""
    found: Start = pickle.loads(_start(make, arguments, policies))
    return found


def start(config: SimulationConfig = SMALL, policies: tuple[str, ...] = ()) -> Start:
    """A world after its warm-up; each call gives one of its own."""
    return start_of(World, config, END, policies=policies)


@pytest.fixture(scope="session")
def learned() -> Callable[[], Start]:
    """Gives a world after its warm-up, with a champion and the rows of the warm-up."""
    return lambda: start(SMALL, LEARNED)
