"""The columns that are also given relative to the open tasks: affinity, popularity, skills, pay and age of a task.

Each kernel goes through a block of tasks. Called task by task, it would take longer to count the references to the
arrays it is given than to compute.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.elementary import take_logs
from features.estimates import HOUR, log_minutes, smoothed
from features.jit import kernel, lean
from features.layout import NEVER, Arrays
from features.readings import (
    APPROVED,
    BLOCK,
    DECLARED,
    EXPECTED,
    EXPECTED_FAST,
    EXPECTED_NEWCOMER,
    EXPERIENCE,
    KNOWN,
    LOG_AFFINITY,
    LOG_AFFINITY_FAST,
    LOG_AFFINITY_SKILL,
    LOG_AFFINITY_TEXT,
    LOG_AGE,
    LOG_CHANCE,
    LOG_POPULARITY,
    LOG_POPULARITY_FAST,
    LOG_POPULARITY_NEWCOMERS,
    LOGS,
    PAID,
    PAY,
    REJECTED,
    TAKEN,
    TAKEN_FAST,
    TAKEN_NEWCOMER,
    TOOK,
    TOOK_FAST,
    Readings,
    read_reference,
    read_tokens,
)
from features.spec import COLUMN, RELATIVE
from features.sums import OF_FIRST, OF_SECOND, add_weighted
from features.view import SHARE_PRIOR, View

CONTENT_PRIOR = 0.1
"""Similarity mass added to both sides of an affinity: about two acceptances of an average task."""

POPULARITY_PRIOR = 0.3
"""Similarity mass of acceptances of average popularity that is added to both sides of a popularity."""

KIND_PRIOR = 3.0
"""Observations that the prior of a share of a kind of work is worth."""

COMPUTED: tuple[str, ...] = (
    *RELATIVE,
    "skill_coverage",
    "kind_approval",
    "reward_against_kind",
    "minutes",
    "requester_approval",
    "skill_experience",
    "skill_count",
)
"""Columns that are filled here, in this order: first those that are also given relative to the open tasks."""

# Numba takes module globals as constants, so a column's place costs nothing at run time.
AFFINITY = COMPUTED.index("affinity")
AFFINITY_FAST = COMPUTED.index("affinity_fast")
AFFINITY_SKILL = COMPUTED.index("affinity_skill")
AFFINITY_TEXT = COMPUTED.index("affinity_text")
POPULARITY = COMPUTED.index("popularity")
POPULARITY_FAST = COMPUTED.index("popularity_fast")
POPULARITY_NEWCOMERS = COMPUTED.index("popularity_newcomers")
SKILL_COVERAGE = COMPUTED.index("skill_coverage")
SKILL_OVERLAP = COMPUTED.index("skill_overlap")
KIND_APPROVAL = COMPUTED.index("kind_approval")
REWARD = COMPUTED.index("reward")
HOURLY = COMPUTED.index("hourly")
AGAINST_KIND = COMPUTED.index("reward_against_kind")
MINUTES = COMPUTED.index("minutes")
TASK_AGE_HOURS = COMPUTED.index("task_age_hours")
REQUESTER_APPROVAL = COMPUTED.index("requester_approval")
SKILL_EXPERIENCE = COMPUTED.index("skill_experience")
SKILL_COUNT = COMPUTED.index("skill_count")

PLACES = np.array([COLUMN[name] for name in COMPUTED], np.int64)
"""Where the columns filled here stand in a row."""


@lean
def against(pay: float, mean: float) -> float:
    """Return how far a log of pay lies above a mean; it never falls as the pay rises, not even by rounding."""
    # A mean of little but this pay leaves rounding noise, which could fall as the pay rises: a grid swallows it.
    return np.floor((pay - mean) * 1e6 + 0.5) / 1e6


@lean
def _content(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    """Fill what the tokens of tasks tell but for quotients, and their logarithms, which are left to be taken."""
    records, sums = s.tasks, readings.sums
    # What the worker would have taken at random: the market's mix, as often as the worker took anything.
    share = view.accepted_slow / view.taken if view.taken > 0.0 else 0.0
    share_fast = view.accepted_fast / view.taken if view.taken > 0.0 else 0.0
    for i in range(tasks.size):
        task, row = records[tasks[i]], readings.rows[i]
        if task.posted == NEVER or task.n_tokens == 0:
            continue
        add_weighted(readings.told, readings.spots[row], task.weights, task.kinds, readings.apart, task.n_tokens, sums)
        over, under = readings.logs[LOGS * i : LOGS * i + LOGS], readings.under[LOGS * i : LOGS * i + LOGS]
        out[i, KIND_APPROVAL] = smoothed(sums[APPROVED], sums[REJECTED], view.worker_approval, KIND_PRIOR)
        chance = sums[EXPECTED]
        over[LOG_POPULARITY], under[LOG_POPULARITY] = sums[TAKEN] + POPULARITY_PRIOR, chance + POPULARITY_PRIOR
        over[LOG_POPULARITY_FAST] = sums[TAKEN_FAST] + POPULARITY_PRIOR
        under[LOG_POPULARITY_FAST] = sums[EXPECTED_FAST] + POPULARITY_PRIOR
        over[LOG_POPULARITY_NEWCOMERS] = sums[TAKEN_NEWCOMER] + POPULARITY_PRIOR
        under[LOG_POPULARITY_NEWCOMERS] = sums[EXPECTED_NEWCOMER] + POPULARITY_PRIOR
        prior = CONTENT_PRIOR * (over[LOG_POPULARITY] / under[LOG_POPULARITY])
        over[LOG_AFFINITY], under[LOG_AFFINITY] = sums[TOOK] + prior, share * chance + CONTENT_PRIOR
        over[LOG_AFFINITY_FAST] = sums[TOOK_FAST] + prior
        under[LOG_AFFINITY_FAST] = share_fast * chance + CONTENT_PRIOR
        if readings.mixed[row, 0]:
            over[LOG_AFFINITY_SKILL] = sums[OF_FIRST + TOOK] + prior
            under[LOG_AFFINITY_SKILL] = share * sums[OF_FIRST + EXPECTED] + CONTENT_PRIOR
        if readings.mixed[row, 1]:
            over[LOG_AFFINITY_TEXT] = sums[OF_SECOND + TOOK] + prior
            under[LOG_AFFINITY_TEXT] = share * sums[OF_SECOND + EXPECTED] + CONTENT_PRIOR
        if sums[PAID] > 0.0:
            out[i, AGAINST_KIND] = against(task.log_reward, sums[PAY] / sums[PAID])


@lean
def token_affinity(view: View, told: NDArray[np.float64]) -> float:
    """Return the affinity to one token: the worker's share of acceptances with it against its share of postings."""
    share = view.accepted_slow / view.taken if view.taken > 0.0 else 0.0
    return math.log((told[TOOK] + CONTENT_PRIOR) / (share * told[EXPECTED] + CONTENT_PRIOR))


@lean
def _skills(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    declares = s.workers[view.worker].n_skills > 0
    for i in range(tasks.size):
        task = s.tasks[tasks[i]]
        if task.posted == NEVER:
            continue
        n_skills = task.facts.n_skills
        out[i, SKILL_COUNT] = n_skills
        if n_skills == 0:
            continue
        level, known, experience, row = 0.0, 0.0, 0.0, readings.rows[i]
        for k in range(n_skills):
            skill = readings.skills[readings.skill_spots[row, k]]
            level += skill[DECLARED]
            known += skill[KNOWN]
            experience += skill[EXPERIENCE]
        if declares:
            out[i, SKILL_COVERAGE] = level / n_skills
        out[i, SKILL_OVERLAP] = known / n_skills
        out[i, SKILL_EXPERIENCE] = experience / n_skills


@lean
def _pay_and_age(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    records, requesters = s.tasks, s.requesters
    for i in range(tasks.size):
        task = records[tasks[i]]
        if task.posted == NEVER:
            continue
        requester = requesters[task.facts.requester]
        approval = smoothed(requester.approved, requester.rejected, view.market_approval, SHARE_PRIOR)
        out[i, REQUESTER_APPROVAL] = approval
        out[i, REWARD] = task.log_reward
        over, under = readings.logs[LOGS * i : LOGS * i + LOGS], readings.under[LOGS * i : LOGS * i + LOGS]
        over[LOG_CHANCE] = min(1.0, max(0.01, out[i, KIND_APPROVAL] * approval / view.market_approval))
        over[LOG_AGE], under[LOG_AGE] = max(HOUR, HOUR + view.now - task.posted), HOUR


@lean
def _logs(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    """Fill the columns that are logarithms, and those that rest on them."""
    market, tokens = s.market[0], s.tokens
    logs, under = readings.logs[: LOGS * tasks.size], readings.under[: LOGS * tasks.size]
    for k in range(logs.size):
        logs[k] /= under[k]
    # The quotients are taken: their memory serves for the exponents.
    take_logs(logs, under)
    for i in range(tasks.size):
        task = s.tasks[tasks[i]]
        if task.posted == NEVER:
            continue
        each = logs[LOGS * i : LOGS * i + LOGS]
        out[i, AFFINITY], out[i, AFFINITY_FAST] = each[LOG_AFFINITY], each[LOG_AFFINITY_FAST]
        out[i, AFFINITY_SKILL], out[i, AFFINITY_TEXT] = each[LOG_AFFINITY_SKILL], each[LOG_AFFINITY_TEXT]
        out[i, POPULARITY], out[i, POPULARITY_FAST] = each[LOG_POPULARITY], each[LOG_POPULARITY_FAST]
        out[i, POPULARITY_NEWCOMERS] = each[LOG_POPULARITY_NEWCOMERS]
        out[i, MINUTES] = log_minutes(market, tokens, task, readings.stated[readings.rows[i]]) + view.speed
        out[i, HOURLY] = out[i, REWARD] + each[LOG_CHANCE] - out[i, MINUTES] + math.log(60.0)
        out[i, TASK_AGE_HOURS] = each[LOG_AGE]


@lean
def _fill(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    """Fill the columns of tasks whose tokens have been read, and whose ``rows`` are known."""
    out[:] = math.nan
    out[:, KIND_APPROVAL] = view.worker_approval
    readings.logs[: LOGS * tasks.size] = math.nan
    readings.under[: LOGS * tasks.size] = 1.0
    _content(s, view, readings, tasks, out)
    _skills(s, view, readings, tasks, out)
    _pay_and_age(s, view, readings, tasks, out)
    _logs(s, view, readings, tasks, out)


@kernel
def fill_compared(
    s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], labels: bool, out: NDArray[np.float64]
) -> None:
    """Fill the columns that are also given relative to the open tasks, and what they rest on.

    ``tasks`` are at most ``BLOCK``; ``out`` is float64, tasks x ``COMPUTED``. The tokens of these tasks are in
    ``readings`` when it returns, with ``labels`` also those of category, requester and group.
    """
    read_tokens(s, view, readings, tasks, labels)
    _fill(s, view, readings, tasks, out)


@kernel
def fill_reference(
    s: Arrays,
    view: View,
    readings: Readings,
    tasks: NDArray[np.int32],
    block: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill ``out`` (float64, tasks x relative columns) for the reference tasks.

    ``block`` is working memory (``BLOCK`` x computed columns).
    """
    read_reference(s, view, readings, tasks)
    for start in range(0, tasks.size, BLOCK):
        part = tasks[start : start + BLOCK]
        for k in range(part.size):
            readings.rows[k] = readings.order[start + k]
        _fill(s, view, readings, part, block[: part.size])
        out[start : start + BLOCK] = block[: part.size, : len(RELATIVE)]
