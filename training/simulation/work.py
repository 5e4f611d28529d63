"""How an assignment goes: how long it takes, whether it is handed in, and what the requester says to it."""

import math
from dataclasses import dataclass

import numpy as np

from features.money import Money
from training.simulation.choice import Outlook
from training.simulation.config import SimulationConfig
from training.simulation.ledger import End
from training.simulation.population import Requesters, money, usd
from training.simulation.postings import Tasks

_REASONS = ("Incomplete", "Instructions not followed", "Low quality", "Hasil tidak sesuai")


@dataclass(frozen=True)
class Work:
    """The course of an assignment, decided by chance when it is accepted.

    Attributes:
        end: how the worker's part ends.
        seconds: from acceptance until the worker is done with it, or done for.
        approved: the requester's verdict on a submission.
        verdict_after: seconds from submission to verdict.
        pays: USD, bonus included; 0 if it is not approved.
        bonus: beside an approval, None for none.
        reason: of a rejection.
        requester_rating, worker_rating: 1..5, 0 for none.
        rated_after: seconds from the verdict to the worker's rating.
    """

    end: End
    seconds: float
    approved: bool
    verdict_after: float
    pays: float
    bonus: Money | None
    reason: str | None
    requester_rating: int
    worker_rating: int
    rated_after: float


def draw_work(
    config: SimulationConfig,
    requesters: Requesters,
    tasks: Tasks,
    task: int,
    outlook: Outlook,
    place: int,
    reservation: float,
    rng: np.random.Generator,
) -> Work:
    """Draw the course of an assignment.

    Args:
        config: of the world.
        requesters: of the world.
        tasks: of the world.
        task: index.
        outlook: the worker's, on the list from which the task was taken.
        place: of the task in it, from 0.
        reservation: the worker's reservation wage, USD an hour.
        rng: what chance decides.
    """
    law = config.behaviour
    luck, noise = rng.random(8).tolist(), rng.normal(size=5).tolist()
    requester = int(tasks.requester[task])
    chance, clarity = float(outlook.approve[place]), float(requesters.clarity[requester])
    minutes = float(outlook.minutes[place]) * math.exp(law.work_noise * noise[0])
    minutes = min(max(minutes, 0.3), 0.95 * float(tasks.time_limit[task]))
    end: End = "submitted"
    if luck[0] >= outlook.finish[place]:
        end = "returned" if luck[0] < 1.0 - law.abandon_share else "abandoned"
    if end != "submitted":
        minutes *= 0.05 + 0.5 * luck[1]
    approved = luck[2] < chance
    hours = float(requesters.verdict_hours[requester]) * math.exp(0.7 * noise[1])
    if hours > config.requester.verdict_limit_hours:
        # Nobody looked at it in time.
        hours, approved = config.requester.verdict_limit_hours, True
    reward, bonus = float(tasks.reward[task]), None
    if approved and luck[3] < law.bonus_share:
        bonus = money(reward * 0.25, bool(requesters.in_rupiah[requester]), config.idr_per_usd)
    value = math.log(max(float(outlook.hourly[place]) / reservation, 0.05))
    liked = 3.0 + 0.6 * value + 2.0 * (clarity - 0.5) + (0.5 if approved else -1.5) + 0.6 * noise[2]
    praised = 2.0 + 2.5 * chance + 0.6 * noise[3] - (0.0 if approved else 1.5)
    return Work(
        end=end,
        seconds=minutes * 60,
        approved=approved,
        verdict_after=hours * 3600,
        pays=(reward + (usd(bonus, config.idr_per_usd) if bonus else 0.0)) if approved else 0.0,
        bonus=bonus,
        reason=None if approved else _REASONS[int(luck[4] * len(_REASONS))],
        requester_rating=_stars(liked) if luck[5] < law.rating_share else 0,
        worker_rating=_stars(praised) if luck[6] < law.worker_rating_share else 0,
        rated_after=60 + 7200 * luck[7],
    )


def _stars(value: float) -> int:
    return min(5, max(1, round(value)))
