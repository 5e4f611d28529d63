"""The columns that are also given relative to the open tasks: affinity, popularity, skills, pay and age of a task.

Each kernel goes through a block of tasks. Called task by task, it would take longer to count the references to the
arrays it is given than to compute.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.estimates import (
    FAST,
    HOUR,
    SLOW,
    decay,
    decay_seconds,
    expected,
    market_approval,
    seconds,
    smoothed,
    usual_log_minutes,
)
from features.jit import kernel, lean, prefetch
from features.layout import NEVER, SKILLS, TASK, TOKEN, TOKENS, Arrays, Record
from features.spec import COLUMN, RELATIVE
from features.tastes import find_taste
from features.text import SKILL, WORD

CONTENT_PRIOR = 0.1
"""Similarity mass added to both sides of an affinity: about two acceptances of an average task."""

POPULARITY_PRIOR = 0.3
"""Similarity mass of acceptances of average popularity that is added to both sides of a popularity."""

KIND_PRIOR = 3.0
SHARE_PRIOR = 5.0
PULL_PRIOR = 20.0
"""Observations that the prior of a share is worth."""

_RECORD, _TOKEN, LINE = TASK.itemsize, TOKEN.itemsize, 64
"""Bytes of the records of a task and of a token, and those that come from memory together."""

BLOCK = 128
"""Tasks that a kernel goes through at a time."""

MOST_READINGS = 8_192
"""Tokens that are kept at the instant of a list; more than those of a block."""

READING = np.dtype(
    [
        ("expected_slow", "f8"),
        ("expected_fast", "f8"),
        ("expected_newcomer", "f8"),
        ("taken_slow", "f8"),
        ("taken_fast", "f8"),
        ("taken_newcomer", "f8"),
        ("paid_slow", "f8"),
        ("reward_slow", "f8"),
        ("took_slow", "f8"),
        ("took_fast", "f8"),
        ("approved", "f4"),
        ("rejected", "f4"),
        ("taste", "i8"),
        ("token", "i8"),
    ],
    align=True,
)
"""A token at the instant of a list: its decayed sums, what random choice would have taken of it, and where the worker's
taste for it is (-1 if there is none) with what is left of that. Tasks share tokens, so a record of the tables is read
once for all of them."""

LEFT = np.dtype([("at", "i8"), ("slow", "f8"), ("fast", "f8")])
"""What is left of 1 since an instant, over the slow and the fast half-life."""

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


class View(NamedTuple):
    """What is the same for all tasks of a list: the worker and the market, brought to the instant of the list."""

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


class Readings(NamedTuple):
    """Tokens at the instant of a list, each brought there when it is first met, as tasks share most of theirs.

    ``place`` says where in ``tokens`` a row of the token table is, 0 if it is not there; ``size`` is their number, in
    an array of one. ``left``, another array of one, is of the token that was read last: those of a task were often
    touched together.
    """

    place: NDArray[np.uint16]
    tokens: NDArray[np.void]
    size: NDArray[np.int64]
    left: NDArray[np.void]


@kernel
def no_readings(s: Arrays) -> Readings:
    """Return memory for the tokens of a list."""
    readings = Readings(
        np.zeros(s.tokens.size, np.uint16),
        np.empty(MOST_READINGS + 1, READING),
        np.zeros(1, np.int64),
        np.empty(1, LEFT),
    )
    forget(readings)
    return readings


@kernel
def forget(readings: Readings) -> None:
    """Make the memory ready for the tokens of another list."""
    for k in range(1, readings.size[0] + 1):
        readings.place[readings.tokens[k].token] = 0
    readings.size[0] = 0
    readings.left[0].at, readings.left[0].slow, readings.left[0].fast = NEVER, 1.0, 1.0


@lean
def _enlist(s: Arrays, readings: Readings, token: int) -> None:
    """Give a token a place, and have its record brought near."""
    readings.size[0] += 1
    readings.place[token] = readings.size[0]
    readings.tokens[readings.size[0]].token = token
    for offset in range(0, _TOKEN, LINE):
        prefetch(s.tokens, token, offset)


@kernel
def _read(s: Arrays, view: View, readings: Readings, first: int) -> None:
    """Bring the tokens from the place ``first`` on to the instant of the list."""
    left = readings.left[0]
    for k in range(first, readings.size[0] + 1):
        reading = readings.tokens[k]
        record = s.tokens[reading.token]
        if record.at != left.at:
            left.at = record.at
            left.slow, left.fast = decay(record.at, view.now, SLOW), decay(record.at, view.now, FAST)
        slow, fast = left.slow, left.fast
        reading.taken_slow, reading.taken_fast = record.taken_slow * slow, record.taken_fast * fast
        reading.taken_newcomer = record.taken_newcomer * slow
        reading.paid_slow, reading.reward_slow = record.paid_slow * slow, record.reward_slow * slow
        reading.expected_slow = expected(
            record.expected_slow, record.available, record.chances_slow, view.chances_slow, slow
        )
        reading.expected_fast = expected(
            record.expected_fast, record.available, record.chances_fast, view.chances_fast, fast
        )
        reading.expected_newcomer = expected(
            record.expected_newcomer, record.available, record.chances_newcomer, view.chances_newcomer, slow
        )


@kernel
def read_tastes(s: Arrays, view: View, readings: Readings, first: int = 1) -> None:
    """Bring tokens to a worker, from the place ``first`` on; those read for one worker may be brought to another."""
    tokens, size, now = readings.tokens, readings.size[0] + 1 - first, seconds(view.now)
    at, slow, fast = now, 1.0, 1.0
    for k in range(size):
        reading = tokens[first + k]
        reading.taste = find_taste(s.histories, s.taste_tokens, view.worker, reading.token)
        if reading.taste >= 0:
            taste = s.tastes[reading.taste]
            if taste.at != at:
                # Those of a task were often touched together.
                at = int(taste.at)
                slow, fast = decay_seconds(at, now, SLOW), decay_seconds(at, now, FAST)
            reading.took_slow, reading.took_fast = taste.took_slow * slow, taste.took_fast * fast
            reading.approved, reading.rejected = taste.approved, taste.rejected
        else:
            reading.took_slow, reading.took_fast, reading.approved, reading.rejected = 0.0, 0.0, 0.0, 0.0


@kernel
def read_tokens(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32]) -> None:
    """Bring all tokens of a block of tasks to the instant of the list."""
    records, place = s.tasks, readings.place
    if readings.size[0] + tasks.size * (TOKENS + SKILLS + 3) > MOST_READINGS:
        forget(readings)
    before = readings.size[0]
    for i in range(tasks.size):
        for offset in range(0, _RECORD, LINE):
            prefetch(records, tasks[i], offset)
    for i in range(tasks.size):
        task = records[tasks[i]]
        if task.posted == NEVER:
            continue
        for k in range(task.n_tokens):
            if place[task.tokens[k]] == 0:
                _enlist(s, readings, task.tokens[k])
        for k in range(task.facts.n_skills):
            if place[task.facts.skills[k]] == 0:
                _enlist(s, readings, task.facts.skills[k])
        for token in (task.facts.category_token, task.facts.requester_token, task.facts.group_token):
            if token >= 0 and place[token] == 0:
                _enlist(s, readings, token)
    if readings.size[0] > before:
        _read(s, view, readings, before + 1)
        read_tastes(s, view, readings, before + 1)


@kernel
def _pull(market: Record, half: int, slow: float, fast: float) -> float:
    usual = market.pull_slow[half] * slow / (market.compared_slow[half] * slow + PULL_PRIOR)
    return (market.pull_fast[half] * fast + PULL_PRIOR * usual) / (market.compared_fast[half] * fast + PULL_PRIOR)


@kernel
def _own_pull(worker: Record, half: int, left: float, usual: float) -> float:
    return (worker.pull_slow[half] * left + SHARE_PRIOR * usual) / (worker.compared_slow[half] * left + SHARE_PRIOR)


@kernel
def view_of(s: Arrays, worker: int, now: int) -> View:
    """Bring a worker and the market to an instant."""
    record, market = s.workers[worker], s.market[0]
    slow, fast = decay(market.at, now, SLOW), decay(market.at, now, FAST)
    approval = market_approval(s)
    pulls = _pull(market, 0, slow, fast), _pull(market, 1, slow, fast)
    left = decay(record.at, now, SLOW)
    return View(
        worker,
        now,
        record.accepted_slow * decay(record.at, now, SLOW),
        record.accepted_fast * decay(record.at, now, FAST),
        record.speed / (record.speed_count + SHARE_PRIOR),
        smoothed(record.approved, record.rejected, approval, SHARE_PRIOR),
        approval,
        smoothed(market.given_up, market.accepted, 0.1, SHARE_PRIOR),
        market.taken_slow * slow,
        market.chances_slow * slow,
        market.chances_fast * fast,
        market.chances_newcomer * slow,
        pulls,
        (_own_pull(record, 0, left, pulls[0]), _own_pull(record, 1, left, pulls[1])),
    )


@kernel
def against(pay: float, mean: float) -> float:
    """Return how far a log of pay lies above a mean; it never falls as the pay rises, not even by rounding."""
    # A mean of little but this pay leaves rounding noise, which could fall as the pay rises: a grid swallows it.
    return np.floor((pay - mean) * 1e6 + 0.5) / 1e6


@kernel
def _lift(taken: float, by_chance: float) -> float:
    return (taken + POPULARITY_PRIOR) / (by_chance + POPULARITY_PRIOR)


@kernel
def _content(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    """Fill affinities and popularity by content, and what else the same tokens tell."""
    records, place, read = s.tasks, readings.place, readings.tokens
    # What the worker would have taken at random: the market's mix, as often as the worker took anything.
    share = view.accepted_slow / view.taken if view.taken > 0.0 else 0.0
    share_fast = view.accepted_fast / view.taken if view.taken > 0.0 else 0.0
    for i in range(tasks.size):
        task = records[tasks[i]]
        if task.posted == NEVER:
            continue
        took_slow, took_fast = 0.0, 0.0
        took_skill, chance_skill, took_text, chance_text = 0.0, 0.0, 0.0, 0.0
        taken, taken_fast, taken_newcomer = 0.0, 0.0, 0.0
        chance, chance_fast, chance_newcomer = 0.0, 0.0, 0.0
        paid, reward, approved, rejected = 0.0, 0.0, 0.0, 0.0
        skills, text = False, False
        for k in range(task.n_tokens):
            weight = task.weights[k]
            reading = read[place[task.tokens[k]]]
            here, took = weight * reading.expected_slow, weight * reading.took_slow
            chance += here
            chance_fast += weight * reading.expected_fast
            chance_newcomer += weight * reading.expected_newcomer
            taken += weight * reading.taken_slow
            taken_fast += weight * reading.taken_fast
            taken_newcomer += weight * reading.taken_newcomer
            paid += weight * reading.paid_slow
            reward += weight * reading.reward_slow
            took_slow += took
            took_fast += weight * reading.took_fast
            approved += weight * reading.approved
            rejected += weight * reading.rejected
            if task.kinds[k] == SKILL:
                skills = True
                took_skill += took
                chance_skill += here
            elif task.kinds[k] == WORD:
                text = True
                took_text += took
                chance_text += here
        out[i, KIND_APPROVAL] = smoothed(approved, rejected, view.worker_approval, KIND_PRIOR)
        if task.n_tokens == 0:
            continue
        lift = _lift(taken, chance)
        out[i, POPULARITY] = math.log(lift)
        out[i, POPULARITY_FAST] = math.log(_lift(taken_fast, chance_fast))
        out[i, POPULARITY_NEWCOMERS] = math.log(_lift(taken_newcomer, chance_newcomer))
        prior = CONTENT_PRIOR * lift
        out[i, AFFINITY] = math.log((took_slow + prior) / (share * chance + CONTENT_PRIOR))
        out[i, AFFINITY_FAST] = math.log((took_fast + prior) / (share_fast * chance + CONTENT_PRIOR))
        if skills:
            out[i, AFFINITY_SKILL] = math.log((took_skill + prior) / (share * chance_skill + CONTENT_PRIOR))
        if text:
            out[i, AFFINITY_TEXT] = math.log((took_text + prior) / (share * chance_text + CONTENT_PRIOR))
        if paid > 0.0:
            out[i, AGAINST_KIND] = against(task.log_reward, reward / paid)


@kernel
def token_affinity(view: View, reading: Record) -> float:
    """Return the affinity to one token: the worker's share of acceptances with it against its share of postings."""
    share = view.accepted_slow / view.taken if view.taken > 0.0 else 0.0
    return math.log((reading.took_slow + CONTENT_PRIOR) / (share * reading.expected_slow + CONTENT_PRIOR))


@kernel
def _skills(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    worker = s.workers[view.worker]
    records, tastes, place, read = s.tasks, s.tastes, readings.place, readings.tokens
    for i in range(tasks.size):
        task = records[tasks[i]]
        if task.posted == NEVER:
            continue
        out[i, SKILL_COUNT] = task.facts.n_skills
        if task.facts.n_skills == 0:
            continue
        level, known, experience = 0.0, 0.0, 0.0
        for k in range(task.facts.n_skills):
            reading = read[place[task.facts.skills[k]]]
            if reading.taste < 0:
                continue
            taste = tastes[reading.taste]
            declared = taste.level > 0.0
            if declared:
                level += taste.level
            experience += math.log1p(reading.took_slow)
            if declared or taste.took_slow > 0.0:
                known += 1.0
        if worker.n_skills > 0:
            out[i, SKILL_COVERAGE] = level / task.facts.n_skills
        out[i, SKILL_OVERLAP] = known / task.facts.n_skills
        out[i, SKILL_EXPERIENCE] = experience / task.facts.n_skills


@kernel
def _pay_and_age(s: Arrays, view: View, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    market, records, requesters, tokens = s.market[0], s.tasks, s.requesters, s.tokens
    for i in range(tasks.size):
        task = records[tasks[i]]
        if task.posted == NEVER:
            continue
        requester = requesters[task.facts.requester]
        approval = smoothed(requester.approved, requester.rejected, view.market_approval, SHARE_PRIOR)
        out[i, REQUESTER_APPROVAL] = approval
        out[i, MINUTES] = usual_log_minutes(market, tokens, task) + view.speed
        out[i, REWARD] = task.log_reward
        chance = min(1.0, max(0.01, out[i, KIND_APPROVAL] * approval / view.market_approval))
        out[i, HOURLY] = out[i, REWARD] + math.log(chance) - out[i, MINUTES] + math.log(60.0)
        out[i, TASK_AGE_HOURS] = math.log1p(max(0, view.now - task.posted) / HOUR)


@kernel
def fill_compared(
    s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], out: NDArray[np.float64]
) -> None:
    """Fill the columns that are also given relative to the open tasks, and what they rest on.

    ``tasks`` are at most ``BLOCK``; ``out`` is float64, tasks x ``COMPUTED``. The tokens of these tasks are in
    ``readings`` when it returns.
    """
    out[:] = math.nan
    out[:, KIND_APPROVAL] = view.worker_approval
    read_tokens(s, view, readings, tasks)
    _content(s, view, readings, tasks, out)
    _skills(s, view, readings, tasks, out)
    _pay_and_age(s, view, tasks, out)
