"""Who leaves: workers who earn too little for their time go sooner. Good lists keep workers in the market."""

import math

import numpy as np

from training.simulation.chance import Dice
from training.simulation.config import WorkerConfig
from training.simulation.population import Floats
from training.simulation.postings import DAY, NEVER

_LEAST, _MOST = 0.1, 10.0


class Attrition:
    """Earnings for each hour, unpaid time included, against the reservation wage; and who has left because of it.

    A worker begins with one hour at just the reservation wage, as a hope. Hours and pay are forgotten alike as hours
    pass, so that satisfaction is a smoothed ratio. After a session the worker leaves for good if a probability that is
    logistic in the log of that ratio exceeds a number drawn once for the worker and the day (UTC). So the probability
    is that of the first session of a day; a later one is left after only if its own exceeds the same number.

    Args:
        law: of workers.
        reservation: workers, USD an hour.
        dice: chance by worker and day, the same under every policy.

    Attributes:
        left: workers, microseconds since 1970, ``NEVER`` for who is still there.
    """

    def __init__(self, law: WorkerConfig, reservation: Floats, dice: Dice) -> None:
        self._law, self._reservation, self._dice = law, reservation, dice
        self._hours = np.ones(len(reservation))
        # Pay counts in hours at the reservation wage.
        self._worth = np.ones(len(reservation))
        self._sessions = np.zeros(len(reservation), np.int64)
        self.left = np.full(len(reservation), NEVER)

    def paid(self, worker: int, usd: float) -> None:
        """Count what a worker was paid."""
        self._worth[worker] += usd / self._reservation[worker]

    def satisfaction(self, worker: int) -> float:
        """Return smoothed earnings an hour over the reservation wage, within 0.1..10."""
        return min(_MOST, max(_LEAST, float(self._worth[worker] / self._hours[worker])))

    def hazard(self, worker: int) -> float:
        """Return the probability that a worker leaves after a day's first session; 0 for who has hardly begun."""
        law = self._law
        if self._sessions[worker] < law.leave_after_sessions:
            return 0.0
        return 1 / (1 + math.exp(law.leave_weight * math.log(self.satisfaction(worker)) - law.leave_bias))

    def session(self, worker: int, hours: float, now: int) -> bool:
        """Count a session of so many hours, paid and unpaid, and tell whether the worker leaves after it."""
        kept = math.exp(-hours / self._law.leave_memory_hours)
        self._hours[worker] = self._hours[worker] * kept + hours
        self._worth[worker] *= kept
        self._sessions[worker] += 1
        leaves = bool(self._dice.named("leave", worker, now // DAY).random() < self.hazard(worker))
        if leaves:
            self.left[worker] = now
        return leaves
