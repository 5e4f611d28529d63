from datetime import UTC, datetime

import pytest

from features.events import Event, micros
from training.simulation import NewestFirst, SimulationConfig, World

END = micros(datetime(2026, 3, 1, 12, tzinfo=UTC))
SMALL = SimulationConfig(workers=60, tasks_per_day=40, days=6, seed=3)


@pytest.fixture(scope="session")
def world() -> World:
    """A world that has run."""
    return _ran()[0]


@pytest.fixture(scope="session")
def log() -> list[Event]:
    return _ran()[1]


_CACHE: list[tuple[World, list[Event]]] = []


def _ran() -> tuple[World, list[Event]]:
    if not _CACHE:
        world = World(SMALL, END)
        _CACHE.append((world, list(world.run(NewestFirst()))))
    return _CACHE[0]
