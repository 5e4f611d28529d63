"""The builder: rows of features for a worker and tasks at an instant. Compiled; it reads the state and never writes."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.estimates import (
    DAY,
    FAST,
    HOUR,
    SECOND,
    SLOW,
    decay,
    decay_seconds,
    expected,
    market_approval,
    seconds,
    smoothed,
    usual_log_minutes,
)
from features.fold import half_of, hour_bin
from features.jit import kernel
from features.layout import HOUR_BINS, LANGUAGES, NEVER, UNLIMITED, Arrays, Record
from features.pairs import find, pair_key
from features.spec import COLUMN, NAMES, RELATIVE
from features.state import MarketState
from features.text import SKILL, WORD

CONTENT_PRIOR = 0.1
"""Similarity mass added to both sides of an affinity: about two acceptances of an average task."""

POPULARITY_PRIOR = 0.3
"""Similarity mass of acceptances of average popularity that is added to both sides of a popularity."""

KIND_PRIOR = 3.0
SHARE_PRIOR = 5.0
PULL_PRIOR = 20.0
TAKE_PRIOR = 50.0
"""Observations that the prior of a share is worth."""

# Numba takes module globals as constants, so a column's place costs nothing at run time.
AFFINITY, AFFINITY_FAST = COLUMN["affinity"], COLUMN["affinity_fast"]
AFFINITY_SKILL, AFFINITY_TEXT = COLUMN["affinity_skill"], COLUMN["affinity_text"]
AFFINITY_CATEGORY, AFFINITY_REQUESTER = COLUMN["affinity_category"], COLUMN["affinity_requester"]
GROUP_TAKEN = COLUMN["group_taken"]
POPULARITY, POPULARITY_FAST = COLUMN["popularity"], COLUMN["popularity_fast"]
POPULARITY_NEWCOMERS = COLUMN["popularity_newcomers"]
SKILL_COVERAGE, SKILL_OVERLAP = COLUMN["skill_coverage"], COLUMN["skill_overlap"]
SKILL_EXPERIENCE, SKILL_COUNT, LANGUAGE_KNOWN = (
    COLUMN["skill_experience"],
    COLUMN["skill_count"],
    COLUMN["language_known"],
)
WORKER_ACCEPTS, WORKER_ACCEPTS_SLOW = COLUMN["worker_accepts"], COLUMN["worker_accepts_slow"]
WORKER_ACCEPTS_FAST, WORKER_APPROVAL = COLUMN["worker_accepts_fast"], COLUMN["worker_approval"]
WORKER_GIVE_UP, WORKER_SPEED, WORKER_RATING = COLUMN["worker_give_up"], COLUMN["worker_speed"], COLUMN["worker_rating"]
WORKER_IDLE_HOURS, WORKER_AGE_DAYS = COLUMN["worker_idle_hours"], COLUMN["worker_age_days"]
KIND_APPROVAL = COLUMN["kind_approval"]
TASK_TAKEN, TASK_SERVED_BEFORE = COLUMN["task_taken"], COLUMN["task_served_before"]
TASK_SERVED_HOURS, TASK_VIEWED, TASK_SAVED = COLUMN["task_served_hours"], COLUMN["task_viewed"], COLUMN["task_saved"]
REWARD, HOURLY_STATED, HOURLY = COLUMN["reward"], COLUMN["hourly_stated"], COLUMN["hourly"]
AGAINST_DECLARED, AGAINST_REVEALED = COLUMN["hourly_against_declared"], COLUMN["hourly_against_revealed"]
AGAINST_TAKEN, AGAINST_KIND = COLUMN["reward_against_taken"], COLUMN["reward_against_kind"]
MINUTES, LIMIT_MINUTES = COLUMN["minutes"], COLUMN["limit_minutes"]
TASK_AGE_HOURS, TASK_HOURS_LEFT = COLUMN["task_age_hours"], COLUMN["task_hours_left"]
SLOTS_LEFT, FILL_SHARE = COLUMN["slots_left"], COLUMN["fill_share"]
TASK_ACCEPTS, TASK_UPTAKE, VIEWS_PER_ACCEPT = COLUMN["task_accepts"], COLUMN["task_uptake"], COLUMN["views_per_accept"]
TASK_SERVED_FAST, TAKE_RATE, TASK_GIVE_UP = COLUMN["task_served_fast"], COLUMN["take_rate"], COLUMN["task_give_up"]
OPEN_TASKS, MARKET_APPROVAL = COLUMN["open_tasks"], COLUMN["market_approval"]
REWARD_Z, REWARD_PULL, REWARD_PULL_WORKER = COLUMN["reward_z"], COLUMN["reward_pull"], COLUMN["reward_pull_worker"]
REQUESTER_APPROVAL, REQUESTER_HOURS = COLUMN["requester_approval"], COLUMN["requester_hours"]
REQUESTER_RATING, REQUESTER_GIVE_UP = COLUMN["requester_rating"], COLUMN["requester_give_up"]
REQUESTER_POSTED = COLUMN["requester_posted"]
SESSION_FIT, HOUR_FIT = COLUMN["session_fit"], COLUMN["hour_fit"]

COMPARED = np.array([COLUMN[name] for name in RELATIVE], np.int64)
STANDARD_SCORES = np.array([COLUMN[f"{name}_z"] for name in RELATIVE], np.int64)
RANKS = np.array([COLUMN[f"{name}_rank"] for name in RELATIVE], np.int64)


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
def _view(s: Arrays, worker: int, now: int) -> View:
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
def _above(positive: float, negative: float, usual: float) -> float:
    """Return how far a share, with the market's as its prior, lies above the market's."""
    return smoothed(positive, negative, usual, SHARE_PRIOR) - usual


@kernel
def _against(pay: float, mean: float) -> float:
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
        out[AGAINST_KIND] = _against(task.log_reward, reward / paid)


@kernel
def _token_affinity(s: Arrays, view: View, token: int) -> float:
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
    return math.log((_took(s, view, token) + CONTENT_PRIOR) / (share * chance + CONTENT_PRIOR))


@kernel
def _took(s: Arrays, view: View, token: int) -> float:
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
        declared = taste.profile == worker.profile and taste.profile > 0
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
def _compared(s: Arrays, view: View, index: int, out: NDArray[np.float64]) -> None:
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


@kernel
def _task_columns(s: Arrays, view: View, index: int, session_minutes: float, out: NDArray[np.float64]) -> None:
    task = s.tasks[index]
    worker = s.workers[view.worker]
    facts = task.facts
    requester = s.requesters[facts.requester]
    if facts.category_token >= 0:
        out[AFFINITY_CATEGORY] = _token_affinity(s, view, facts.category_token)
    out[AFFINITY_REQUESTER] = _token_affinity(s, view, facts.requester_token)
    if facts.group_token >= 0:
        out[GROUP_TAKEN] = math.log1p(_took(s, view, facts.group_token))
    if worker.languages[0] != 0 and facts.languages[0] != 0:
        out[LANGUAGE_KNOWN] = 0.0
        for k in range(LANGUAGES):
            for j in range(LANGUAGES):
                if facts.languages[k] != 0 and facts.languages[k] == worker.languages[j]:
                    out[LANGUAGE_KNOWN] = 1.0
    out[HOURLY_STATED] = out[REWARD] - math.log(facts.stated_minutes) + math.log(60.0)
    out[AGAINST_DECLARED] = out[HOURLY] - math.log(max(worker.expected_hourly, 1e-4))
    if math.isnan(worker.expected_hourly):
        out[AGAINST_DECLARED] = math.nan
    if worker.timed_slow > 0.0:
        out[AGAINST_REVEALED] = _against(out[HOURLY], worker.hourly_slow / worker.timed_slow + math.log(60.0))
    if worker.paid_slow > 0.0:
        out[AGAINST_TAKEN] = _against(out[REWARD], worker.reward_slow / worker.paid_slow)
    out[LIMIT_MINUTES] = math.log(facts.limit_minutes)
    out[SESSION_FIT] = math.log(session_minutes) - out[MINUTES]
    hours = max(0, view.now - task.posted) / HOUR
    if facts.expires != np.iinfo(np.int64).max:
        out[TASK_HOURS_LEFT] = math.log1p(max(0, facts.expires - view.now) / HOUR)
    if facts.slots != UNLIMITED:
        out[SLOTS_LEFT] = math.log1p(max(0, facts.slots - task.occupied))
        out[FILL_SHARE] = task.occupied / facts.slots if facts.slots > 0 else 1.0
    out[TASK_ACCEPTS] = math.log1p(task.accepted)
    out[TASK_UPTAKE] = math.log1p(task.accepted / (hours + 1.0))
    out[VIEWS_PER_ACCEPT] = math.log((task.viewed + 1.0) / (task.accepted + 1.0))
    out[TASK_SERVED_FAST] = math.log1p(task.served_fast * decay(task.at, view.now, FAST))
    market = s.market[0]
    if market.served > 0.0 and market.accepted > 0.0:
        usual = market.accepted / market.served
        out[TAKE_RATE] = math.log((task.accepted / usual + TAKE_PRIOR) / (task.served + TAKE_PRIOR))
    out[TASK_GIVE_UP] = _above(task.given_up, task.accepted - task.given_up, view.market_give_up)
    if requester.approvals_timed > 0.0:
        out[REQUESTER_HOURS] = requester.approval_hours / requester.approvals_timed
    if requester.ratings > 0.0:
        out[REQUESTER_RATING] = requester.rating / requester.ratings
    out[REQUESTER_GIVE_UP] = _above(requester.given_up, requester.accepted - requester.given_up, view.market_give_up)
    out[REQUESTER_POSTED] = math.log(max(1.0, requester.posted) / max(1.0, s.market[0].documents))


@kernel
def _worker_columns(s: Arrays, view: View, index: int, out: NDArray[np.float64]) -> None:
    worker = s.workers[view.worker]
    out[WORKER_ACCEPTS] = math.log1p(worker.accepted)
    out[WORKER_ACCEPTS_SLOW] = math.log1p(view.accepted_slow)
    out[WORKER_ACCEPTS_FAST] = math.log1p(view.accepted_fast)
    out[MARKET_APPROVAL] = view.market_approval
    out[WORKER_APPROVAL] = view.worker_approval - view.market_approval
    out[KIND_APPROVAL] -= view.market_approval
    out[REQUESTER_APPROVAL] -= view.market_approval
    out[WORKER_GIVE_UP] = _above(worker.given_up, worker.accepted - worker.given_up, view.market_give_up)
    out[WORKER_SPEED] = view.speed
    if worker.ratings > 0.0:
        out[WORKER_RATING] = worker.rating / worker.ratings
    if worker.last_accept != NEVER:
        out[WORKER_IDLE_HOURS] = math.log1p(max(0, view.now - worker.last_accept) / HOUR)
        total = 0.0
        for k in range(HOUR_BINS):
            total += worker.hours_slow[k]
        out[HOUR_FIT] = HOUR_BINS * smoothed(
            worker.hours_slow[hour_bin(view.now)], total - worker.hours_slow[hour_bin(view.now)], 1.0 / HOUR_BINS, 2.0
        )
    if worker.first_seen != NEVER:
        out[WORKER_AGE_DAYS] = math.log1p(max(0, view.now - worker.first_seen) / DAY)
    out[OPEN_TASKS] = math.log1p(s.market[0].n_open)
    out[TASK_TAKEN] = 0.0
    out[TASK_SERVED_BEFORE] = 0.0
    out[TASK_VIEWED] = 0.0
    out[TASK_SAVED] = 0.0
    place = find(s.dealing_keys, pair_key(view.worker, index))
    if place >= 0:
        dealing = s.dealings[place]
        out[TASK_TAKEN] = dealing.accepted
        out[TASK_SERVED_BEFORE] = math.log1p(dealing.served)
        out[TASK_VIEWED] = dealing.viewed
        out[TASK_SAVED] = dealing.saved
        if dealing.served > 0:
            out[TASK_SERVED_HOURS] = math.log1p(max(0, seconds(view.now) - dealing.served_at) / (HOUR // SECOND))


@kernel
def _reference_columns(s: Arrays, view: View, scratch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the compared columns of the reference tasks open at the instant, compared columns x tasks."""
    columns = np.empty((len(COMPARED), s.market[0].n_reference))
    count = 0
    for k in range(s.market[0].n_reference):
        index = s.reference[k]
        if s.tasks[index].facts.expires <= view.now:
            continue
        _compared(s, view, index, scratch)
        for c in range(len(COMPARED)):
            columns[c, count] = scratch[COMPARED[c]]
        count += 1
    return columns[:, :count]


@kernel
def _compare(s: Arrays, worker: int, tasks: NDArray[np.int32], now: int, out: NDArray[np.float64]) -> None:
    view = _view(s, worker, now)
    row = np.empty(len(NAMES))
    for i in range(tasks.size):
        _compared(s, view, tasks[i], row)
        for c in range(len(COMPARED)):
            out[i, c] = row[COMPARED[c]]


@kernel
def build(
    s: Arrays, worker: int, tasks: NDArray[np.int32], now: int, session_minutes: float, out: NDArray[np.float32]
) -> None:
    """Fill ``out`` (float32, tasks x columns of the spec) for one worker at one instant.

    ``tasks`` and ``worker`` are dense indices; index 0 stands for what is not known. ``session_minutes`` is what the
    worker has now, NaN for what the profile says.
    """
    view = _view(s, worker, now)
    if math.isnan(session_minutes):
        session_minutes = s.workers[worker].session_minutes
    row = np.empty(len(NAMES))
    reference = _reference_columns(s, view, row)
    means, deviations = np.empty(len(COMPARED)), np.empty(len(COMPARED))
    counts = np.empty(len(COMPARED), np.int64)
    ordered = np.empty_like(reference)
    for c in range(len(COMPARED)):
        # NaN sorts last, so the first `count` are the values that exist.
        ordered[c] = np.sort(reference[c])
        count = 0
        total = 0.0
        while count < len(ordered[c]) and not math.isnan(ordered[c, count]):
            total += ordered[c, count]
            count += 1
        counts[c] = count
        means[c] = total / count if count > 0 else math.nan
        squares = 0.0
        for k in range(count):
            squares += (ordered[c, k] - means[c]) ** 2
        deviations[c] = math.sqrt(squares / count) if count > 0 else math.nan
    for i in range(tasks.size):
        _compared(s, view, tasks[i], row)
        if s.tasks[tasks[i]].posted != NEVER:
            _task_columns(s, view, tasks[i], session_minutes, row)
        _worker_columns(s, view, tasks[i], row)
        for c in range(len(COMPARED)):
            value = row[COMPARED[c]]
            if math.isnan(value) or counts[c] == 0:
                continue
            spread = deviations[c]
            row[STANDARD_SCORES[c]] = (value - means[c]) / spread if spread > 1e-12 else 0.0
            below = np.searchsorted(ordered[c, : counts[c]], value)
            upto = np.searchsorted(ordered[c, : counts[c]], value, side="right")
            row[RANKS[c]] = 0.5 * (below + upto) / counts[c]
        # Where pay has not drawn anyone lately it says nothing; a negative pull must not turn it round.
        other = 1 - half_of(s.tasks[tasks[i]])
        row[REWARD_PULL] = max(0.0, view.market_pull[other]) * row[REWARD_Z]
        row[REWARD_PULL_WORKER] = max(0.0, view.worker_pull[other]) * row[REWARD_Z]
        for column in range(row.size):
            out[i, column] = row[column]


def rows(
    state: MarketState, worker: int, tasks: NDArray[np.int32], now: int, session_minutes: float = math.nan
) -> NDArray[np.float32]:
    """Return the rows of features of a worker and tasks at an instant.

    Args:
        state: the market as far as it is known.
        worker: dense index, 0 for a worker never seen.
        tasks: int32, dense indices; 0 for a task never seen.
        now: the instant, in microseconds since 1970; rows do not change within a second.
        session_minutes: minutes the worker has now; NaN for what the profile says.

    Returns:
        float32, tasks x columns of `features.spec.FEATURES`; missing is NaN.
    """
    out = np.empty((len(tasks), len(NAMES)), np.float32)
    build(state.arrays, worker, tasks, now // SECOND * SECOND, session_minutes, out)
    return out


def compared(state: MarketState, worker: int, tasks: NDArray[np.int32], now: int) -> NDArray[np.float64]:
    """Return only the columns of `features.spec.RELATIVE` (float64, tasks x columns), at a part of the cost of `rows`.

    The arguments are those of `rows`.
    """
    out = np.empty((len(tasks), len(RELATIVE)))
    _compare(state.arrays, worker, tasks, now // SECOND * SECOND, out)
    return out
