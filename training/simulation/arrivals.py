"""When workers come: sessions over the days, drawn before the market opens. They do not depend on what is listed."""

from typing import NamedTuple

import numpy as np

from training.simulation.chance import stream
from training.simulation.config import SimulationConfig
from training.simulation.population import DEVICES, PLACES, Workers
from training.simulation.postings import DAY, HOUR, MINUTE


class Arrival(NamedTuple):
    """A session begins.

    Attributes:
        at: microseconds since 1970.
        worker: index.
        device: index into ``DEVICES``.
        minutes: how long the worker means to stay.
    """

    at: int
    worker: int
    device: int
    minutes: float


def draw_arrivals(config: SimulationConfig, workers: Workers, start: int, end: int) -> list[Arrival]:
    """Draw the sessions of all workers within ``[start, end)``, microseconds since 1970, in order of time.

    Days of a worker differ by a gamma factor, hours follow the worker's own rhythm in local time.
    """
    rng, law = stream(config.seed, "arrivals"), config.worker
    days = np.arange(start // DAY - 1, end // DAY + 1)
    mood = rng.gamma(law.burstiness, 1 / law.burstiness, (len(workers), len(days)))
    counts = rng.poisson(workers.sessions_per_day[:, None] * mood)
    worker, column = np.nonzero(counts)
    times = counts[worker, column]
    worker, day = np.repeat(worker, times), np.repeat(days[column], times)
    usual = rng.normal(workers.peak_hour[worker], 2.0)
    hour = np.where(rng.random(len(worker)) < 0.15, rng.uniform(7, 24, len(worker)), usual) % 24
    offset = np.array([place.utc_offset for place in PLACES])[workers.place[worker]]
    at = day * DAY + ((hour - offset) * HOUR).astype(np.int64)
    # Whoever joins comes to look around.
    late = np.flatnonzero(workers.joined >= start + MINUTE)
    worker = np.concatenate([worker, late])
    at = np.concatenate([at, workers.joined[late] + rng.integers(MINUTE, 20 * MINUTE, len(late))])
    at = at // 1000 * 1000
    minutes = np.maximum(3.0, workers.session_minutes[worker] * np.exp(rng.normal(0.0, 0.5, len(worker))))
    device = np.where(rng.random(len(worker)) < 0.6, 0, 1)
    owned = workers.devices[worker, device]
    device = np.where(owned, device, len(DEVICES) - 1 - device)
    order = np.argsort(at, kind="stable")
    order = order[(at[order] >= np.maximum(start, workers.joined[worker[order]] + MINUTE)) & (at[order] < end)]
    return [Arrival(int(at[i]), int(worker[i]), int(device[i]), round(float(minutes[i]), 1)) for i in order]
