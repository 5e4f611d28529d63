"""The columns that are also given relative to the open tasks: affinity, popularity, skills, pay and age of a task.

Each kernel goes through a block of tasks. The columns of a block lie one behind the other, each in one run, so that
several tasks are done in one instruction.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.elementary import take_logs
from features.estimates import HOUR, log_minutes, smoothed
from features.jit import kernel, lean, shared
from features.layout import NEVER, Arrays
from features.readings import (
    APPROVED,
    DECLARED,
    EXPECTED,
    EXPECTED_FAST,
    EXPECTED_NEWCOMER,
    EXPERIENCE,
    KNOWN,
    MOST_TASKS,
    PAID,
    PAY,
    REJECTED,
    TAKEN,
    TAKEN_FAST,
    TAKEN_NEWCOMER,
    TOOK,
    TOOK_FAST,
    Readings,
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

LOGARITHMS = np.array(
    (
        AFFINITY,
        AFFINITY_FAST,
        AFFINITY_SKILL,
        AFFINITY_TEXT,
        POPULARITY,
        POPULARITY_FAST,
        POPULARITY_NEWCOMERS,
        HOURLY,
        TASK_AGE_HOURS,
    ),
    np.int64,
)
"""Columns that are logarithms of quotients, or, as pay per hour, come of one: of the chance of approval."""


class Block(NamedTuple):
    """Columns of the tasks of a block, each in one run.

    Attributes:
        columns: float64, ``COMPUTED`` x ``MOST_TASKS``; at first numbers of which the logarithms are to be taken.
        under: float64, columns that are also relative x ``MOST_TASKS``; what these numbers are divided by.
    """

    columns: NDArray[np.float64]
    under: NDArray[np.float64]


@kernel
def no_block() -> Block:
    """Return memory for a block."""
    return Block(np.empty((len(COMPUTED), MOST_TASKS)), np.empty((len(RELATIVE), MOST_TASKS)))


@lean
def against(pay: float, mean: float) -> float:
    """Return how far a log of pay lies above a mean; it never falls as the pay rises, not even by rounding."""
    # A mean of little but this pay leaves rounding noise, which could fall as the pay rises: a grid swallows it.
    return np.floor((pay - mean) * 1e6 + 0.5) / 1e6


@lean
def _content(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], block: Block) -> None:
    """Fill what the tokens of tasks tell but for quotients, and their logarithms, which are left to be taken."""
    records, sums, over, under = s.tasks, readings.sums, block.columns, block.under
    # What the worker would have taken at random: the market's mix, as often as the worker took anything.
    share = view.accepted_slow / view.taken if view.taken > 0.0 else 0.0
    share_fast = view.accepted_fast / view.taken if view.taken > 0.0 else 0.0
    for i in range(tasks.size):
        task, row = records[tasks[i]], readings.rows[i]
        if task.posted == NEVER or task.n_tokens == 0:
            continue
        add_weighted(readings.told, readings.spots[row], task.weights, task.kinds, readings.apart, task.n_tokens, sums)
        over[KIND_APPROVAL, i] = smoothed(sums[APPROVED], sums[REJECTED], view.worker_approval, KIND_PRIOR)
        chance = sums[EXPECTED]
        over[POPULARITY, i], under[POPULARITY, i] = sums[TAKEN] + POPULARITY_PRIOR, chance + POPULARITY_PRIOR
        over[POPULARITY_FAST, i] = sums[TAKEN_FAST] + POPULARITY_PRIOR
        under[POPULARITY_FAST, i] = sums[EXPECTED_FAST] + POPULARITY_PRIOR
        over[POPULARITY_NEWCOMERS, i] = sums[TAKEN_NEWCOMER] + POPULARITY_PRIOR
        under[POPULARITY_NEWCOMERS, i] = sums[EXPECTED_NEWCOMER] + POPULARITY_PRIOR
        prior = CONTENT_PRIOR * ((sums[TAKEN] + POPULARITY_PRIOR) / (chance + POPULARITY_PRIOR))
        over[AFFINITY, i], under[AFFINITY, i] = sums[TOOK] + prior, share * chance + CONTENT_PRIOR
        over[AFFINITY_FAST, i] = sums[TOOK_FAST] + prior
        under[AFFINITY_FAST, i] = share_fast * chance + CONTENT_PRIOR
        if readings.mixed[row, 0]:
            over[AFFINITY_SKILL, i] = sums[OF_FIRST + TOOK] + prior
            under[AFFINITY_SKILL, i] = share * sums[OF_FIRST + EXPECTED] + CONTENT_PRIOR
        if readings.mixed[row, 1]:
            over[AFFINITY_TEXT, i] = sums[OF_SECOND + TOOK] + prior
            under[AFFINITY_TEXT, i] = share * sums[OF_SECOND + EXPECTED] + CONTENT_PRIOR
        if sums[PAID] > 0.0:
            over[AGAINST_KIND, i] = against(task.log_reward, sums[PAY] / sums[PAID])


@lean
def token_share(view: View, told: NDArray[np.float64]) -> float:
    """Return what the affinity to a token is the log of: what the worker took of it against what chance would have."""
    share = view.accepted_slow / view.taken if view.taken > 0.0 else 0.0
    return (told[TOOK] + CONTENT_PRIOR) / (share * told[EXPECTED] + CONTENT_PRIOR)


@lean
def _skills(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    declares = s.workers[view.worker].n_skills > 0
    for i in range(tasks.size):
        task = s.tasks[tasks[i]]
        if task.posted == NEVER:
            continue
        n_skills = task.facts.n_skills
        out[SKILL_COUNT, i] = n_skills
        if n_skills == 0:
            continue
        level, known, experience, row = 0.0, 0.0, 0.0, readings.rows[i]
        for k in range(n_skills):
            skill = readings.skills[readings.skill_spots[row, k]]
            level += skill[DECLARED]
            known += skill[KNOWN]
            experience += skill[EXPERIENCE]
        if declares:
            out[SKILL_COVERAGE, i] = level / n_skills
        out[SKILL_OVERLAP, i] = known / n_skills
        out[SKILL_EXPERIENCE, i] = experience / n_skills


@lean
def _pay_and_age(s: Arrays, view: View, tasks: NDArray[np.int32], block: Block) -> None:
    records, requesters, out = s.tasks, s.requesters, block.columns
    for i in range(tasks.size):
        task = records[tasks[i]]
        if task.posted == NEVER:
            continue
        requester = requesters[task.facts.requester]
        approval = smoothed(requester.approved, requester.rejected, view.market_approval, SHARE_PRIOR)
        out[REQUESTER_APPROVAL, i] = approval
        out[REWARD, i] = task.log_reward
        out[HOURLY, i] = min(1.0, max(0.01, out[KIND_APPROVAL, i] * approval / view.market_approval))
        out[TASK_AGE_HOURS, i] = max(HOUR, HOUR + view.now - task.posted)
        block.under[TASK_AGE_HOURS, i] = HOUR


@lean
def _logs(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], block: Block) -> None:
    """Fill the columns that are logarithms, and those that rest on them."""
    market, tokens, size, out = s.market[0], s.tokens, tasks.size, block.columns
    for c in LOGARITHMS:
        column, under = out[c, :size], block.under[c, :size]
        for i in range(size):
            column[i] /= under[i]
        # The quotients are taken: the memory of what is under them serves for the exponents.
        take_logs(column, under)
    for i in range(size):
        task = s.tasks[tasks[i]]
        if task.posted == NEVER:
            continue
        out[MINUTES, i] = log_minutes(market, tokens, task, readings.stated[readings.rows[i]]) + view.speed
        out[HOURLY, i] = out[REWARD, i] + out[HOURLY, i] - out[MINUTES, i] + math.log(60.0)


@shared
def fill_compared(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], block: Block) -> None:
    """Fill the columns that are also given relative to the open tasks, and what they rest on.

    ``tasks`` are at most ``MOST_TASKS``; their tokens have been read, and their ``rows`` are known.
    """
    columns, size = block.columns, tasks.size
    for c in range(len(COMPUTED)):
        columns[c, :size] = view.worker_approval if c == KIND_APPROVAL else math.nan
    for c in LOGARITHMS:
        block.under[c, :size] = 1.0
    _content(s, view, readings, tasks, block)
    _skills(s, view, readings, tasks, columns)
    _pay_and_age(s, view, tasks, block)
    _logs(s, view, readings, tasks, block)
