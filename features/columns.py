"""Columns that tell of a task, of the worker, and of their dealings.

Throughout, ``out`` is float64, tasks x columns of the spec.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.compared import against, token_share
from features.counts import hour_bin
from features.elementary import take_logs
from features.estimates import DAY, FAST, HOUR, LEAST_MINUTES, SECOND, decay, seconds, smoothed
from features.jit import lean
from features.layout import FOREVER, HOUR_BINS, LANGUAGES, NEVER, UNLIMITED, WAS_SAVED, WAS_VIEWED, Arrays
from features.pairs import find, foresee, pair_key
from features.readings import TOOK, Readings
from features.spec import COLUMN
from features.view import SHARE_PRIOR, View

TAKE_PRIOR = 50.0
"""Lists that the prior of a task's take rate is worth."""

# Numba takes module globals as constants, so a column's place costs nothing at run time.
REWARD = COLUMN["reward"]
HOURLY = COLUMN["hourly"]
MINUTES = COLUMN["minutes"]
KIND_APPROVAL = COLUMN["kind_approval"]
REQUESTER_APPROVAL = COLUMN["requester_approval"]
AFFINITY_CATEGORY = COLUMN["affinity_category"]
AFFINITY_REQUESTER = COLUMN["affinity_requester"]
GROUP_TAKEN = COLUMN["group_taken"]
WORKER_ACCEPTS = COLUMN["worker_accepts"]
WORKER_ACCEPTS_SLOW = COLUMN["worker_accepts_slow"]
WORKER_ACCEPTS_FAST = COLUMN["worker_accepts_fast"]
WORKER_APPROVAL = COLUMN["worker_approval"]
WORKER_GIVE_UP = COLUMN["worker_give_up"]
WORKER_SPEED = COLUMN["worker_speed"]
WORKER_RATING = COLUMN["worker_rating"]
WORKER_IDLE_HOURS = COLUMN["worker_idle_hours"]
WORKER_AGE_DAYS = COLUMN["worker_age_days"]
TASK_TAKEN = COLUMN["task_taken"]
TASK_SERVED_BEFORE = COLUMN["task_served_before"]
TASK_SERVED_HOURS = COLUMN["task_served_hours"]
TASK_VIEWED = COLUMN["task_viewed"]
TASK_SAVED = COLUMN["task_saved"]
HOURLY_STATED = COLUMN["hourly_stated"]
AGAINST_DECLARED = COLUMN["hourly_against_declared"]
AGAINST_REVEALED = COLUMN["hourly_against_revealed"]
AGAINST_TAKEN = COLUMN["reward_against_taken"]
LIMIT_MINUTES = COLUMN["limit_minutes"]
TASK_HOURS_LEFT = COLUMN["task_hours_left"]
SLOTS_LEFT = COLUMN["slots_left"]
FILL_SHARE = COLUMN["fill_share"]
TASK_ACCEPTS = COLUMN["task_accepts"]
TASK_UPTAKE = COLUMN["task_uptake"]
VIEWS_PER_ACCEPT = COLUMN["views_per_accept"]
TASK_SERVED_FAST = COLUMN["task_served_fast"]
TAKE_RATE = COLUMN["take_rate"]
TASK_GIVE_UP = COLUMN["task_give_up"]
OPEN_TASKS = COLUMN["open_tasks"]
MARKET_APPROVAL = COLUMN["market_approval"]
REQUESTER_HOURS = COLUMN["requester_hours"]
REQUESTER_RATING = COLUMN["requester_rating"]
REQUESTER_GIVE_UP = COLUMN["requester_give_up"]
REQUESTER_POSTED = COLUMN["requester_posted"]
SESSION_FIT = COLUMN["session_fit"]
HOUR_FIT = COLUMN["hour_fit"]
LANGUAGE_KNOWN = COLUMN["language_known"]

TASK_LOGARITHMS = np.array(
    [
        AFFINITY_CATEGORY,
        AFFINITY_REQUESTER,
        GROUP_TAKEN,
        LIMIT_MINUTES,
        TASK_HOURS_LEFT,
        SLOTS_LEFT,
        TASK_ACCEPTS,
        TASK_UPTAKE,
        VIEWS_PER_ACCEPT,
        TASK_SERVED_FAST,
        TAKE_RATE,
        REQUESTER_POSTED,
    ],
    np.int64,
)
"""Columns that are logarithms of what a task tells: they are taken of many tasks at once."""


@lean
def _above(positive: float, negative: float, usual: float) -> float:
    """Return how far a share, with the market's as its prior, lies above the market's."""
    return smoothed(positive, negative, usual, SHARE_PRIOR) - usual


@lean
def take_column_logs(size: int, memory: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Take the logarithms of the columns of ``TASK_LOGARITHMS``; ``memory`` is two rows of at least so many numbers."""
    column, exponents = memory[0, :size], memory[1, :size]
    for c in TASK_LOGARITHMS:
        for i in range(size):
            column[i] = out[i, c]
        take_logs(column, exponents)
        for i in range(size):
            out[i, c] = column[i]


@lean
def task_columns(
    s: Arrays,
    view: View,
    readings: Readings,
    tasks: NDArray[np.int32],
    session_minutes: float,
    out: NDArray[np.float64],
) -> None:
    """Fill what tells of the task; of the columns of ``TASK_LOGARITHMS`` these are yet to be taken."""
    worker, market = s.workers[view.worker], s.market[0]
    records, requesters, place, told = s.tasks, s.requesters, readings.place, readings.told
    # A request may say of a session what no profile keeps.
    session = math.log(LEAST_MINUTES if session_minutes < LEAST_MINUTES else session_minutes)
    hour, declared = math.log(60.0), math.log(max(worker.expected_hourly, 1e-4))
    for i in range(tasks.size):
        task = records[tasks[i]]
        if task.posted == NEVER:
            continue
        facts = task.facts
        requester = requesters[facts.requester]
        if facts.category_token >= 0:
            out[i, AFFINITY_CATEGORY] = token_share(view, told[place[facts.category_token]])
        out[i, AFFINITY_REQUESTER] = token_share(view, told[place[facts.requester_token]])
        if facts.group_token >= 0:
            out[i, GROUP_TAKEN] = 1.0 + told[place[facts.group_token], TOOK]
        if worker.languages[0] != 0 and facts.languages[0] != 0:
            out[i, LANGUAGE_KNOWN] = 0.0
            for k in range(LANGUAGES):
                for j in range(LANGUAGES):
                    if facts.languages[k] != 0 and facts.languages[k] == worker.languages[j]:
                        out[i, LANGUAGE_KNOWN] = 1.0
        out[i, HOURLY_STATED] = out[i, REWARD] - readings.stated[readings.rows[i]] + hour
        if not math.isnan(worker.expected_hourly):
            out[i, AGAINST_DECLARED] = out[i, HOURLY] - declared
        if worker.timed_slow > 0.0:
            out[i, AGAINST_REVEALED] = against(out[i, HOURLY], worker.hourly_slow / worker.timed_slow + hour)
        if worker.paid_slow > 0.0:
            out[i, AGAINST_TAKEN] = against(out[i, REWARD], worker.reward_slow / worker.paid_slow)
        out[i, LIMIT_MINUTES] = facts.limit_minutes
        out[i, SESSION_FIT] = session - out[i, MINUTES]
        hours = max(0, view.now - task.posted) / HOUR
        if facts.expires != FOREVER:
            out[i, TASK_HOURS_LEFT] = 1.0 + max(0, facts.expires - view.now) / HOUR
        if facts.slots != UNLIMITED:
            out[i, SLOTS_LEFT] = 1.0 + max(0, facts.slots - task.occupied)
            out[i, FILL_SHARE] = task.occupied / facts.slots if facts.slots > 0 else 1.0
        out[i, TASK_ACCEPTS] = 1.0 + task.accepted
        out[i, TASK_UPTAKE] = 1.0 + task.accepted / (hours + 1.0)
        out[i, VIEWS_PER_ACCEPT] = (task.viewed + 1.0) / (task.accepted + 1.0)
        out[i, TASK_SERVED_FAST] = 1.0 + task.served_fast * decay(task.at, view.now, FAST)
        if market.served > 0.0 and market.accepted > 0.0:
            usual = market.accepted / market.served
            out[i, TAKE_RATE] = (task.accepted / usual + TAKE_PRIOR) / (task.served + TAKE_PRIOR)
        out[i, TASK_GIVE_UP] = _above(task.given_up, task.accepted - task.given_up, view.market_give_up)
        if requester.approvals_timed > 0.0:
            out[i, REQUESTER_HOURS] = requester.approval_hours / requester.approvals_timed
        if requester.ratings > 0.0:
            out[i, REQUESTER_RATING] = requester.rating / requester.ratings
        out[i, REQUESTER_GIVE_UP] = _above(
            requester.given_up, requester.accepted - requester.given_up, view.market_give_up
        )
        out[i, REQUESTER_POSTED] = max(1.0, requester.posted) / max(1.0, market.documents)


@lean
def worker_columns(s: Arrays, view: View, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    """Fill what tells of the worker, and hold the shares of approval of each task against the market's."""
    worker = s.workers[view.worker]
    rating, idle_hours, hour_fit, age_days = math.nan, math.nan, math.nan, math.nan
    if worker.ratings > 0.0:
        rating = worker.rating / worker.ratings
    if worker.last_accept != NEVER:
        idle_hours = math.log1p(max(0, view.now - worker.last_accept) / HOUR)
        total = 0.0
        for k in range(HOUR_BINS):
            total += worker.hours_slow[k]
        hour_fit = HOUR_BINS * smoothed(
            worker.hours_slow[hour_bin(view.now)], total - worker.hours_slow[hour_bin(view.now)], 1.0 / HOUR_BINS, 2.0
        )
    if worker.first_seen != NEVER:
        age_days = math.log1p(max(0, view.now - worker.first_seen) / DAY)
    out[:, WORKER_ACCEPTS] = math.log1p(worker.accepted)
    out[:, WORKER_ACCEPTS_SLOW] = math.log1p(view.accepted_slow)
    out[:, WORKER_ACCEPTS_FAST] = math.log1p(view.accepted_fast)
    out[:, MARKET_APPROVAL] = view.market_approval
    out[:, WORKER_APPROVAL] = view.worker_approval - view.market_approval
    out[:, WORKER_GIVE_UP] = _above(worker.given_up, worker.accepted - worker.given_up, view.market_give_up)
    out[:, WORKER_SPEED] = view.speed
    out[:, WORKER_RATING] = rating
    out[:, WORKER_IDLE_HOURS] = idle_hours
    out[:, HOUR_FIT] = hour_fit
    out[:, WORKER_AGE_DAYS] = age_days
    out[:, OPEN_TASKS] = math.log1p(s.market[0].n_open)
    for i in range(tasks.size):
        out[i, KIND_APPROVAL] -= view.market_approval
        out[i, REQUESTER_APPROVAL] -= view.market_approval


@lean
def dealing_columns(s: Arrays, view: View, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    """Fill what tells of the worker's dealings with each task."""
    keys, dealings = s.dealing_keys, s.dealings
    for i in range(tasks.size):
        foresee(keys, dealings, pair_key(view.worker, tasks[i]))
    for i in range(tasks.size):
        out[i, TASK_TAKEN] = 0.0
        out[i, TASK_SERVED_BEFORE] = 0.0
        out[i, TASK_VIEWED] = 0.0
        out[i, TASK_SAVED] = 0.0
        place = find(keys, pair_key(view.worker, tasks[i]))
        if place >= 0:
            dealing = dealings[place]
            out[i, TASK_TAKEN] = dealing.accepted
            out[i, TASK_SERVED_BEFORE] = math.log1p(dealing.served)
            out[i, TASK_VIEWED] = 1.0 if dealing.marks & WAS_VIEWED else 0.0
            out[i, TASK_SAVED] = 1.0 if dealing.marks & WAS_SAVED else 0.0
            if dealing.served > 0:
                out[i, TASK_SERVED_HOURS] = math.log1p(max(0, seconds(view.now) - dealing.served_at) / (HOUR // SECOND))
