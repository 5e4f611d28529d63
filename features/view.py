"""A worker and the market, brought to the instant of a list."""

from typing import NamedTuple

from features.estimates import FAST, SLOW, decay, market_approval, smoothed
from features.jit import lean
from features.layout import Arrays, Record

SHARE_PRIOR = 5.0
"""What the prior of a share, or of a worker's own mean, is worth: observations."""

PULL_PRIOR = 20.0
"""What the prior of the market's pull is worth: acceptances that were compared."""

GIVE_UP_PRIOR = 0.1
"""Share of assignments returned or abandoned (0..1) where nothing is known."""


class View(NamedTuple):
    """What is the same for all tasks of a list: the worker and the market, brought to the instant of the list.

    ``slow`` and ``fast`` are what is left of 1 since ``epoch``, the beginning of the instant's span of ``SLOW``.
    """

    worker: int
    now: int
    accepted_slow: float
    accepted_fast: float
    speed: float
    worker_approval: float
    market_approval: float
    market_give_up: float
    taken: float
    chances_slow: float
    chances_fast: float
    chances_newcomer: float
    market_pull: tuple[float, float]
    worker_pull: tuple[float, float]
    epoch: int
    slow: float
    fast: float


@lean
def _pull(market: Record, half: int, slow: float, fast: float) -> float:
    usual = market.pull_slow[half] * slow / (market.compared_slow[half] * slow + PULL_PRIOR)
    return (market.pull_fast[half] * fast + PULL_PRIOR * usual) / (market.compared_fast[half] * fast + PULL_PRIOR)


@lean
def _own_pull(worker: Record, half: int, left: float, usual: float) -> float:
    return (worker.pull_slow[half] * left + SHARE_PRIOR * usual) / (worker.compared_slow[half] * left + SHARE_PRIOR)


@lean
def view_of(s: Arrays, worker: int, now: int) -> View:
    """Bring a worker and the market to an instant.

    In a kernel, ``worker`` is an int64: all that takes a view would be compiled once more for any other type.
    """
    record, market = s.workers[worker], s.market[0]
    slow, fast = decay(market.at, now, SLOW), decay(market.at, now, FAST)
    approval = market_approval(s)
    pulls = _pull(market, 0, slow, fast), _pull(market, 1, slow, fast)
    left = decay(record.at, now, SLOW)
    epoch = now // SLOW * SLOW
    return View(
        worker,
        now,
        record.accepted_slow * left,
        record.accepted_fast * decay(record.at, now, FAST),
        record.speed / (record.speed_count + SHARE_PRIOR),
        smoothed(record.approved, record.rejected, approval, SHARE_PRIOR),
        approval,
        smoothed(market.given_up, market.accepted - market.given_up, GIVE_UP_PRIOR, SHARE_PRIOR),
        market.taken_slow * slow,
        market.chances_slow * slow,
        market.chances_fast * fast,
        market.chances_newcomer * slow,
        pulls,
        (_own_pull(record, 0, left, pulls[0]), _own_pull(record, 1, left, pulls[1])),
        epoch,
        decay(epoch, now, SLOW),
        decay(epoch, now, FAST),
    )
