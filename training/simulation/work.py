"""How an assignment goes: how long it takes, whether it is handed in, and what the requester says to it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.money import Money
from training.simulation.choice import ChoiceModel
from training.simulation.config import SimulationConfig
from training.simulation.population import Requesters, money
from training.simulation.postings import Tasks

_REASONS = ("Incomplete", "Instructions not followed", "Low quality", "Hasil tidak sesuai")


@dataclass(frozen=True)
class Work:
    """The course of an assignment, decided by chance when it is accepted.

    Attributes:
        end: how the worker's part ends.
        seconds: from acceptance to that end; for abandoned work the end is the task's time limit.
        approved: the requester's verdict on a submission.
        verdict_after: seconds from submission to verdict.
        bonus: beside an approval, None for none.
        reason: of a rejection.
        requester_rating, worker_rating: 1..5, 0 for none.
        rated_after: seconds from the verdict to the worker's rating.
    """

    end: Literal["submitted", "returned", "abandoned"]
    seconds: float
    approved: bool
    verdict_after: float
    bonus: Money | None
    reason: str | None
    requester_rating: int
    worker_rating: int
    rated_after: float


def draw_work(
    config: SimulationConfig,
    choice: ChoiceModel,
    requesters: Requesters,
    tasks: Tasks,
    worker: int,
    task: int,
    rng: np.random.Generator,
) -> Work:
    """Draw the course of an assignment.

    Args:
        config: of the world.
        choice: the worker's skill, minutes and chance of approval as they stand.
        requesters: of the world.
        tasks: of the world.
        worker: index.
        task: index.
        rng: what chance decides.
    """
    law, one = config.behaviour, np.array([task])
    luck = rng.random(8)
    noise = rng.normal(size=5)
    requester = int(tasks.requester[task])
    clarity = float(requesters.clarity[requester])
    minutes = float(choice.minutes(worker, one)[0] * np.exp(law.work_noise * noise[0]))
    minutes = min(max(minutes, 0.3), 0.95 * float(tasks.time_limit[task]))
    return_share = min(0.5, law.return_share * (2.0 - 2.0 * clarity))
    end: Literal["submitted", "returned", "abandoned"] = "submitted"
    if luck[0] < return_share:
        end, minutes = "returned", minutes * (0.05 + 0.5 * float(luck[1]))
    elif luck[0] < return_share + law.abandon_share:
        end = "abandoned"
    chance = float(choice.approval(worker, one)[0])
    approved = bool(luck[2] < chance)
    hours = requesters.verdict_hours[requester] * np.exp(0.7 * noise[1])
    if hours > config.requester.verdict_limit_hours:
        # Nobody looked at it in time.
        hours, approved = config.requester.verdict_limit_hours, True
    reward = float(tasks.reward[task])
    bonus = money(reward * 0.25, bool(requesters.in_rupiah[requester]), config.idr_per_usd)
    value = np.log(max(choice.hourly(worker, one)[0], 0.05) / config.requester.pay_hourly)
    liked = 3.0 + 0.6 * value + 2.0 * (clarity - 0.5) + (0.5 if approved else -1.5) + 0.6 * noise[2]
    praised = 2.0 + 2.5 * chance + 0.6 * noise[3] - (0.0 if approved else 1.5)
    return Work(
        end=end,
        seconds=minutes * 60,
        approved=approved,
        verdict_after=float(hours) * 3600,
        bonus=bonus if approved and luck[3] < law.bonus_share else None,
        reason=None if approved else _REASONS[int(luck[4] * len(_REASONS))],
        requester_rating=_stars(liked) if luck[5] < law.rating_share else 0,
        worker_rating=_stars(praised) if luck[6] < law.worker_rating_share else 0,
        rated_after=60 + 7200 * float(luck[7]),
    )


def _stars(value: float) -> int:
    return int(np.clip(np.rint(value), 1, 5))
