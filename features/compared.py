"""The columns that are also given relative to the open tasks: affinity, popularity, skills, pay and age of a task."""

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
from features.jit import kernel
from features.layout import NEVER, Arrays, Record
from features.pairs import find, pair_key
from features.spec import COLUMN
from features.text import SKILL, WORD

CONTENT_PRIOR = 0.1
"""Similarity mass added to both sides of an affinity: about two acceptances of an average task."""

POPULARITY_PRIOR = 0.3
"""Similarity mass of acceptances of average popularity that is added to both sides of a popularity."""

KIND_PRIOR = 3.0
SHARE_PRIOR = 5.0
PULL_PRIOR = 20.0
"""Observations that the prior of a share is worth."""

# Numba takes module globals as constants, so a column's place costs nothing at run time.
AFFINITY = COLUMN["affinity"]
AFFINITY_FAST = COLUMN["affinity_fast"]
AFFINITY_SKILL = COLUMN["affinity_skill"]
AFFINITY_TEXT = COLUMN["affinity_text"]
POPULARITY = COLUMN["popularity"]
POPULARITY_FAST = COLUMN["popularity_fast"]
POPULARITY_NEWCOMERS = COLUMN["popularity_newcomers"]
SKILL_COVERAGE = COLUMN["skill_coverage"]
SKILL_OVERLAP = COLUMN["skill_overlap"]
KIND_APPROVAL = COLUMN["kind_approval"]
REWARD = COLUMN["reward"]
HOURLY = COLUMN["hourly"]
AGAINST_KIND = COLUMN["reward_against_kind"]
MINUTES = COLUMN["minutes"]
TASK_AGE_HOURS = COLUMN["task_age_hours"]
REQUESTER_APPROVAL = COLUMN["requester_approval"]
SKILL_EXPERIENCE = COLUMN["skill_experience"]
SKILL_COUNT = COLUMN["skill_count"]


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
def _taste(s: Arrays, view: View, token: int) -> int:
    return find(s.taste_keys, pair_key(view.worker, token))


@kernel
def _lift(taken: float, by_chance: float) -> float:
    return math.log((taken + POPULARITY_PRIOR) / (by_chance + POPULARITY_PRIOR))


@kernel
def _content(s: Arrays, view: View, task: Record, out: NDArray[np.float64]) -> None:
    """Fill affinities and popularity by content, and what else the same tokens tell."""
    now, now_seconds = view.now, seconds(view.now)
    took_slow, took_fast = 0.0, 0.0
    took_skill, chance_skill, took_text, chance_text = 0.0, 0.0, 0.0, 0.0
    taken, taken_fast, taken_newcomer = 0.0, 0.0, 0.0
    chance, chance_fast, chance_newcomer = 0.0, 0.0, 0.0
    paid, reward, approved, rejected = 0.0, 0.0, 0.0, 0.0
    skills, text = False, False
    for k in range(task.n_tokens):
        weight = task.weights[k]
        record = s.tokens[task.tokens[k]]
        slow, fast = decay(record.at, now, SLOW), decay(record.at, now, FAST)
        here = weight * expected(record.expected_slow, record.available, record.chances_slow, view.chances_slow, slow)
        chance += here
        chance_fast += weight * expected(
            record.expected_fast, record.available, record.chances_fast, view.chances_fast, fast
        )
        chance_newcomer += weight * expected(
            record.expected_newcomer, record.available, record.chances_newcomer, view.chances_newcomer, slow
        )
        taken += weight * record.taken_slow * slow
        taken_fast += weight * record.taken_fast * fast
        taken_newcomer += weight * record.taken_newcomer * slow
        paid += weight * record.paid_slow * slow
        reward += weight * record.reward_slow * slow
        took = 0.0
        place = _taste(s, view, task.tokens[k])
        if place >= 0:
            taste = s.tastes[place]
            took = weight * taste.took_slow * decay_seconds(taste.at, now_seconds, SLOW)
            took_fast += weight * taste.took_fast * decay_seconds(taste.at, now_seconds, FAST)
            approved += weight * taste.approved
            rejected += weight * taste.rejected
        took_slow += took
        if task.kinds[k] == SKILL:
            skills = True
            took_skill += took
            chance_skill += here
        elif task.kinds[k] == WORD:
            text = True
            took_text += took
            chance_text += here
    out[KIND_APPROVAL] = smoothed(approved, rejected, view.worker_approval, KIND_PRIOR)
    if task.n_tokens == 0:
        return
    out[POPULARITY] = _lift(taken, chance)
    out[POPULARITY_FAST] = _lift(taken_fast, chance_fast)
    out[POPULARITY_NEWCOMERS] = _lift(taken_newcomer, chance_newcomer)
    prior = CONTENT_PRIOR * math.exp(out[POPULARITY])
    # What the worker would have taken at random: the market's mix, as often as the worker took anything.
    share = view.accepted_slow / view.taken if view.taken > 0.0 else 0.0
    share_fast = view.accepted_fast / view.taken if view.taken > 0.0 else 0.0
    out[AFFINITY] = math.log((took_slow + prior) / (share * chance + CONTENT_PRIOR))
    out[AFFINITY_FAST] = math.log((took_fast + prior) / (share_fast * chance + CONTENT_PRIOR))
    if skills:
        out[AFFINITY_SKILL] = math.log((took_skill + prior) / (share * chance_skill + CONTENT_PRIOR))
    if text:
        out[AFFINITY_TEXT] = math.log((took_text + prior) / (share * chance_text + CONTENT_PRIOR))
    if paid > 0.0:
        out[AGAINST_KIND] = against(task.log_reward, reward / paid)


@kernel
def token_affinity(s: Arrays, view: View, token: int) -> float:
    """Return the affinity to one token: the worker's share of acceptances with it against its share of postings."""
    record = s.tokens[token]
    chance = expected(
        record.expected_slow,
        record.available,
        record.chances_slow,
        view.chances_slow,
        decay(record.at, view.now, SLOW),
    )
    share = view.accepted_slow / view.taken if view.taken > 0.0 else 0.0
    return math.log((took(s, view, token) + CONTENT_PRIOR) / (share * chance + CONTENT_PRIOR))


@kernel
def took(s: Arrays, view: View, token: int) -> float:
    """Return how much the worker took of a token, decayed to the instant of the view."""
    place = _taste(s, view, token)
    if place < 0:
        return 0.0
    return s.tastes[place].took_slow * decay_seconds(s.tastes[place].at, seconds(view.now), SLOW)


@kernel
def _skills(s: Arrays, view: View, task: Record, out: NDArray[np.float64]) -> None:
    worker = s.workers[view.worker]
    out[SKILL_COUNT] = task.facts.n_skills
    if task.facts.n_skills == 0:
        return
    level, known, experience = 0.0, 0.0, 0.0
    for k in range(task.facts.n_skills):
        place = _taste(s, view, task.facts.skills[k])
        if place < 0:
            continue
        taste = s.tastes[place]
        declared = taste.profile == worker.profile and taste.profile > 0 and taste.level > 0.0
        if declared:
            level += taste.level
        took = taste.took_slow * decay_seconds(taste.at, seconds(view.now), SLOW)
        experience += math.log1p(took)
        if declared or taste.took_slow > 0.0:
            known += 1.0
    if worker.n_skills > 0:
        out[SKILL_COVERAGE] = level / task.facts.n_skills
    out[SKILL_OVERLAP] = known / task.facts.n_skills
    out[SKILL_EXPERIENCE] = experience / task.facts.n_skills


@kernel
def _pay(s: Arrays, view: View, task: Record, out: NDArray[np.float64]) -> None:
    requester = s.requesters[task.facts.requester]
    approval = smoothed(requester.approved, requester.rejected, view.market_approval, SHARE_PRIOR)
    out[REQUESTER_APPROVAL] = approval
    out[MINUTES] = usual_log_minutes(s, task) + view.speed
    out[REWARD] = task.log_reward
    chance = min(1.0, max(0.01, out[KIND_APPROVAL] * approval / view.market_approval))
    out[HOURLY] = out[REWARD] + math.log(chance) - out[MINUTES] + math.log(60.0)


@kernel
def fill_compared(s: Arrays, view: View, index: int, out: NDArray[np.float64]) -> None:
    """Fill the columns that are also given relative to the open tasks, and what they rest on."""
    task = s.tasks[index]
    out[:] = math.nan
    out[KIND_APPROVAL] = view.worker_approval
    if task.posted == NEVER:
        return
    _content(s, view, task, out)
    _skills(s, view, task, out)
    _pay(s, view, task, out)
    out[TASK_AGE_HOURS] = math.log1p(max(0, view.now - task.posted) / HOUR)
