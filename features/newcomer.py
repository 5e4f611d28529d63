"""Rows as they would be for a newcomer or a regular: all that a list tells of its tasks, and nothing of tastes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_AFFINITIES = ("affinity", "affinity_fast", "affinity_skill", "affinity_text")

_PAY = {"minutes", "hourly", "worker_speed", "kind_approval", "requester_approval", "market_approval"}

_VALUES = {
    **dict.fromkeys(
        (
            "affinity_category",
            "affinity_requester",
            "group_taken",
            "kind_approval",
            "skill_overlap",
            "skill_experience",
            "worker_accepts",
            "worker_accepts_slow",
            "worker_accepts_fast",
            "worker_approval",
            "worker_give_up",
            "worker_speed",
            "task_taken",
            "task_served_before",
            "task_viewed",
            "task_saved",
            "skill_overlap_z",
        ),
        0.0,
    ),
    "skill_overlap_rank": 0.5,
    **dict.fromkeys(
        (
            "skill_coverage",
            "language_known",
            "worker_rating",
            "worker_idle_hours",
            "worker_age_days",
            "hour_fit",
            "task_served_hours",
            "hourly_against_declared",
            "hourly_against_revealed",
            "reward_against_taken",
            "session_fit",
        ),
        np.nan,
    ),
}
"""Columns that tell of the worker, and what they are where nothing is known."""


_REGULAR = {
    "worker_accepts": np.log1p(10.0),
    "worker_accepts_slow": np.log1p(9.0),
    "worker_accepts_fast": np.log1p(6.0),
    "worker_idle_hours": np.log1p(0.3),
    "worker_age_days": np.log1p(7.0),
    "hour_fit": 2.0,
}
"""What a worker is like who has taken ten tasks, the last one a short while ago; all else is as for a newcomer."""


def as_newcomer(features: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
    """Return rows (float32, rows x columns of these names) with what they tell of the worker unknown.

    The same as `features.build.rows` gives for worker 0, but that what stands relative to the open tasks keeps the
    shape that it has for the worker.
    """
    found, place = features.copy(), {name: number for number, name in enumerate(names)}
    if place.keys() >= _PAY:
        speed, kind, requester, market = (
            features[:, place[name]]
            for name in ("worker_speed", "kind_approval", "requester_approval", "market_approval")
        )
        approval = requester + market
        anyone, held = (np.clip(share * approval / market, 0.01, 1.0) for share in (market, kind + market))
        found[:, place["minutes"]] -= speed
        found[:, place["hourly"]] += speed + np.log(anyone / held)
    for name in _AFFINITIES:
        for suffix in ("", "_z", "_rank"):
            own, usual = f"{name}{suffix}", f"popularity{suffix}"
            if own in place and usual in place:
                missing = np.isnan(features[:, place[own]])
                found[:, place[own]] = np.where(missing, np.nan, features[:, place[usual]])
    for name, value in _VALUES.items():
        if name in place:
            missing = np.isnan(features[:, place[name]])
            found[:, place[name]] = np.where(missing, np.nan, np.float32(value))
    if {"reward_pull", "reward_pull_worker"} <= place.keys():
        found[:, place["reward_pull_worker"]] = found[:, place["reward_pull"]]
    return found


def as_regular(features: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float32]:
    """Return rows of a newcomer (float32, rows x columns of these names) as those of somebody in the midst of work."""
    found = features.copy()
    for name, value in _REGULAR.items():
        if name in names:
            found[:, names.index(name)] = value
    return found
