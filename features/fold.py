"""The fold: what each event does to the market's state. Compiled, and the same code for training and for serving."""

import math

import numpy as np
from numpy.typing import NDArray

from features.batch import (
    ABANDONED,
    ACCEPTED,
    APPROVED,
    CLOSED,
    HIDDEN,
    POSTED,
    PROFILE,
    REJECTED,
    REQUESTER_RATED,
    RETURNED,
    SAVED,
    SERVED,
    SUBMITTED,
    UPDATED,
    VIEWED,
    WORKER_RATED,
    Batch,
)
from features.estimates import FAST, HOUR, SECOND, SLOW, decay, decay_seconds, expected, seconds, usual_log_minutes
from features.jit import kernel
from features.layout import FOREVER, HALVES, HOUR_BINS, NEVER, TOKENS, Arrays, Record
from features.open_tasks import is_full, is_open, next_expired, settle, watch_expiry
from features.pairs import claim, pair_key

LEAST_REWARD = 1e-4
"""A reward counts as no less when its log is taken: the log of nothing would be minus infinity."""

NEWCOMER = 3
"""A worker is a newcomer to the market until this many assignments were accepted."""

TOKEN_ROWS = TOKENS + 3
"""Rows of the token table that a task touches: its content, its category, its requester and its group."""


@kernel
def fold(s: Arrays, batch: Batch, start: int, stop: int) -> None:
    """Apply events ``start:stop`` of a batch, in order. The arrays have room for all of them."""
    market = s.market[0]
    for i in range(start, stop):
        event = batch.events[i]
        market.clock = max(market.clock, event.known_at)
        market.seq = event.seq
        _expire(s)
        kind = event.kind
        if event.worker != 0 and s.workers[event.worker].first_seen == NEVER:
            s.workers[event.worker].first_seen = market.clock
        if kind == SERVED:
            for k in range(event.start, event.stop):
                _serve(s, event.worker, batch.item_tasks[k])
        elif kind in (POSTED, UPDATED):
            _post(s, event, batch)
        elif kind == CLOSED:
            s.tasks[event.task].closed = 1
            _settle(s, event.task)
        elif kind == PROFILE:
            _declare(s, event, batch)
        elif kind == ACCEPTED:
            _accept(s, event.worker, event.task)
        elif kind in (RETURNED, ABANDONED):
            _give_up(s, event.worker, event.task, kind == ABANDONED)
        elif kind == SUBMITTED:
            _submit(s, event.worker, event.task, event.value)
        elif kind in (APPROVED, REJECTED):
            _settle_assignment(s, event.worker, event.task, kind == APPROVED)
        elif kind == VIEWED:
            s.dealings[_dealing(s, event.worker, event.task)].viewed = 1
            s.tasks[event.task].viewed += 1
        elif kind == SAVED:
            s.dealings[_dealing(s, event.worker, event.task)].saved = 1
        elif kind == HIDDEN:
            s.dealings[_dealing(s, event.worker, event.task)].hidden = 1
        elif kind == REQUESTER_RATED:
            s.requesters[event.requester].rating += event.value
            s.requesters[event.requester].ratings += 1.0
        elif kind == WORKER_RATED:
            s.workers[event.worker].rating += event.value
            s.workers[event.worker].ratings += 1.0


@kernel
def _dealing(s: Arrays, worker: int, task: int) -> int:
    place, new = claim(s.dealing_keys, pair_key(worker, task))
    if new:
        s.market[0].n_dealings += 1
    return place


@kernel
def _taste(s: Arrays, worker: int, token: int) -> int:
    place, new = claim(s.taste_keys, pair_key(worker, token))
    if new:
        s.market[0].n_tastes += 1
    return place


@kernel
def _settle(s: Arrays, index: int) -> None:
    """Bring everything that counts open tasks up to date with a task that changed."""
    settle(s, index)
    task = s.tasks[index]
    _set_available(s, task, task.open_at >= 0 and not is_full(task))


@kernel
def _set_available(s: Arrays, task: Record, available: bool) -> None:
    if (task.available != 0) == available:
        return
    task.available = available
    change = 1 if available else -1
    market = s.market[0]
    market.n_available += change
    _touch_market(market)
    for k in range(TOKEN_ROWS):
        row, weight = token_of(task, k)
        if row >= 0:
            _touch_token(market, s.tokens[row])
            s.tokens[row].available += change * weight


@kernel
def _expire(s: Arrays) -> None:
    while True:
        index = next_expired(s)
        if index < 0:
            return
        _settle(s, index)


@kernel
def token_of(task: Record, k: int) -> tuple[int, float]:
    """Return row and weight of the k-th of ``TOKEN_ROWS`` tokens of a task; the row is -1 where there is none."""
    if k < TOKENS:
        if k < task.n_tokens:
            return task.tokens[k], task.weights[k]
        return -1, 0.0
    if task.posted == NEVER:
        return -1, 0.0
    if k == TOKENS:
        return task.facts.category_token, 1.0
    if k == TOKENS + 1:
        return task.facts.requester_token, 1.0
    return task.facts.group_token, 1.0


@kernel
def _touch_market(market: Record) -> None:
    slow, fast = decay(market.at, market.clock, SLOW), decay(market.at, market.clock, FAST)
    market.chances_slow *= slow
    market.chances_fast *= fast
    market.chances_newcomer *= slow
    market.taken_slow *= slow
    market.taken_fast *= fast
    market.taken_newcomer *= slow
    for half in range(HALVES):
        market.compared_slow[half] *= slow
        market.compared_fast[half] *= fast
        market.pull_slow[half] *= slow
        market.pull_fast[half] *= fast
    market.at = market.clock


@kernel
def _touch_token(market: Record, record: Record) -> None:
    """Bring a token to the market's clock; the market has been brought there before."""
    now = market.clock
    slow, fast = decay(record.at, now, SLOW), decay(record.at, now, FAST)
    record.expected_slow = expected(
        record.expected_slow, record.available, record.chances_slow, market.chances_slow, slow
    )
    record.expected_fast = expected(
        record.expected_fast, record.available, record.chances_fast, market.chances_fast, fast
    )
    record.expected_newcomer = expected(
        record.expected_newcomer, record.available, record.chances_newcomer, market.chances_newcomer, slow
    )
    record.chances_slow = market.chances_slow
    record.chances_fast = market.chances_fast
    record.chances_newcomer = market.chances_newcomer
    record.taken_slow *= slow
    record.taken_fast *= fast
    record.taken_newcomer *= slow
    record.paid_slow *= slow
    record.reward_slow *= slow
    record.at = now


@kernel
def _touch_worker(worker: Record, now: int) -> None:
    slow, fast = decay(worker.at, now, SLOW), decay(worker.at, now, FAST)
    worker.accepted_slow *= slow
    worker.accepted_fast *= fast
    worker.served_fast *= fast
    worker.paid_slow *= slow
    worker.reward_slow *= slow
    worker.timed_slow *= slow
    worker.hourly_slow *= slow
    for half in range(HALVES):
        worker.compared_slow[half] *= slow
        worker.pull_slow[half] *= slow
    for k in range(HOUR_BINS):
        worker.hours_slow[k] *= slow
    worker.at = now


@kernel
def _post(s: Arrays, event: Record, batch: Batch) -> None:
    market = s.market[0]
    task = s.tasks[event.task]
    if event.kind == UPDATED and task.posted == NEVER:
        return
    fresh = event.kind == POSTED and not is_open(task, market.clock)
    _set_available(s, task, False)
    task.facts = batch.facts[event.detail]
    task.log_reward = math.nan
    if not math.isnan(task.facts.reward):
        task.log_reward = math.log(max(task.facts.reward, LEAST_REWARD))
    if event.kind == POSTED:
        task.closed = 0
        if fresh:
            task.posted = market.clock
    _describe(s, task, batch, event.start, event.stop)
    if fresh:
        _count_posting(s, task)
    if task.facts.expires != FOREVER:
        watch_expiry(s, event.task)
    _settle(s, event.task)


@kernel
def _describe(s: Arrays, task: Record, batch: Batch, start: int, stop: int) -> None:
    # Weights are tf-idf with the document counts of this instant, of unit length; only the heaviest tokens are kept.
    documents = s.market[0].documents
    task.n_tokens = 0
    for k in range(start, stop):
        row = batch.token_rows[k]
        seen = s.tokens[row].documents
        weight = batch.token_weights[k] * math.log(1.0 + (documents + 1.0) / (seen + 1.0))
        if task.n_tokens < TOKENS:
            place = task.n_tokens
            task.n_tokens += 1
        elif weight > task.weights[TOKENS - 1]:
            place = TOKENS - 1
        else:
            continue
        while place > 0 and task.weights[place - 1] < weight:
            task.tokens[place] = task.tokens[place - 1]
            task.kinds[place] = task.kinds[place - 1]
            task.weights[place] = task.weights[place - 1]
            place -= 1
        task.tokens[place] = row
        task.kinds[place] = batch.token_kinds[k]
        task.weights[place] = weight
    norm = 0.0
    for k in range(task.n_tokens):
        norm += task.weights[k] * task.weights[k]
    for k in range(task.n_tokens):
        task.weights[k] /= math.sqrt(norm)


@kernel
def _count_posting(s: Arrays, task: Record) -> None:
    market = s.market[0]
    _touch_market(market)
    market.documents += 1.0
    s.requesters[task.facts.requester].posted += 1.0
    for k in range(TOKEN_ROWS):
        row, weight = token_of(task, k)
        if row < 0:
            continue
        record = s.tokens[row]
        _touch_token(market, record)
        record.documents += 1.0
        if not math.isnan(task.facts.reward):
            record.paid_slow += weight
            record.reward_slow += weight * task.log_reward


@kernel
def _declare(s: Arrays, event: Record, batch: Batch) -> None:
    worker = s.workers[event.worker]
    profile = batch.profiles[event.detail]
    worker.profile += 1
    worker.n_skills = event.stop - event.start
    worker.country = profile.country
    worker.expected_hourly = profile.expected_hourly
    worker.min_reward = profile.min_reward
    worker.session_minutes = profile.session_minutes
    for k in range(worker.languages.size):
        worker.languages[k] = profile.languages[k]
    for k in range(event.start, event.stop):
        taste = s.tastes[_taste(s, event.worker, batch.skill_rows[k])]
        taste.level = batch.skill_levels[k]
        taste.profile = worker.profile


@kernel
def _serve(s: Arrays, worker: int, index: int) -> None:
    now = s.market[0].clock
    dealing = s.dealings[_dealing(s, worker, index)]
    if dealing.served < 65535:
        dealing.served += 1
    dealing.served_at = seconds(now)
    task = s.tasks[index]
    task.served += 1
    s.market[0].served += 1.0
    task.served_fast = task.served_fast * decay(task.at, now, FAST) + 1.0
    task.at = now
    record = s.workers[worker]
    _touch_worker(record, now)
    record.served_fast += 1.0


@kernel
def _accept(s: Arrays, index: int, task_index: int) -> None:
    market = s.market[0]
    now = market.clock
    worker = s.workers[index]
    task = s.tasks[task_index]
    s.dealings[_dealing(s, index, task_index)].accepted += 1
    task.accepted += 1
    task.occupied += 1
    s.requesters[task.facts.requester].accepted += 1.0
    newcomer = 1.0 if worker.accepted < NEWCOMER else 0.0
    _touch_market(market)
    market.accepted += 1.0
    market.taken_slow += 1.0
    market.taken_fast += 1.0
    market.taken_newcomer += newcomer
    if market.n_available > 0:
        market.chances_slow += 1.0 / market.n_available
        market.chances_fast += 1.0 / market.n_available
        market.chances_newcomer += newcomer / market.n_available
    _touch_worker(worker, now)
    worker.accepted += 1.0
    worker.accepted_slow += 1.0
    worker.accepted_fast += 1.0
    worker.hours_slow[hour_bin(now)] += 1.0
    worker.last_accept = now
    if not math.isnan(task.facts.reward):
        worker.paid_slow += 1.0
        worker.reward_slow += task.log_reward
        pull = _reward_score(s, task)
        if not math.isnan(pull):
            half = half_of(task)
            worker.compared_slow[half] += 1.0
            worker.pull_slow[half] += pull
            market.compared_slow[half] += 1.0
            market.compared_fast[half] += 1.0
            market.pull_slow[half] += pull
            market.pull_fast[half] += pull
        hourly = task.log_reward - usual_log_minutes(s, task)
        if not math.isnan(hourly):
            worker.timed_slow += 1.0
            worker.hourly_slow += hourly
    for k in range(TOKEN_ROWS):
        row, weight = token_of(task, k)
        if row < 0:
            continue
        record = s.tokens[row]
        _touch_token(market, record)
        record.taken_slow += weight
        record.taken_fast += weight
        record.taken_newcomer += newcomer * weight
        taste = s.tastes[_taste(s, index, row)]
        taste.took_slow = taste.took_slow * decay_seconds(taste.at, seconds(now), SLOW) + weight
        taste.took_fast = taste.took_fast * decay_seconds(taste.at, seconds(now), FAST) + weight
        taste.at = seconds(now)
    _settle(s, task_index)


@kernel
def half_of(task: Record) -> int:
    """Return the half of the market that a task belongs to, by the hash of its id."""
    return int(task.facts.order & HALVES - 1)


@kernel
def _reward_score(s: Arrays, task: Record) -> float:
    """Return the standard score of a task's log reward among the reference tasks of its half.

    NaN where there are fewer than two, or their rewards do not differ.
    """
    half = half_of(task)
    total, squares, count = 0.0, 0.0, 0
    for k in range(s.market[0].n_reference):
        other = s.tasks[s.reference[k]]
        value = float(other.log_reward)
        if half_of(other) == half and not math.isnan(value):
            total += value
            squares += value * value
            count += 1
    if count < 2:
        return math.nan
    mean = total / count
    variance = squares / count - mean * mean
    return (task.log_reward - mean) / math.sqrt(variance) if variance > 1e-6 else math.nan


@kernel
def hour_bin(instant: int) -> int:
    """Return which of the day's bins (in UTC) an instant falls into."""
    return (instant // (24 // HOUR_BINS * HOUR)) % HOUR_BINS


@kernel
def _open_assignments(dealing: Record) -> int:
    return np.int64(dealing.accepted) - dealing.submitted - dealing.returned - dealing.abandoned


@kernel
def _give_up(s: Arrays, worker: int, task: int, abandoned: bool) -> None:
    dealing = s.dealings[_dealing(s, worker, task)]
    if _open_assignments(dealing) <= 0:
        _accept(s, worker, task)
    if abandoned:
        dealing.abandoned += 1
    else:
        dealing.returned += 1
    s.tasks[task].given_up += 1
    s.tasks[task].occupied -= 1
    s.workers[worker].given_up += 1.0
    s.requesters[s.tasks[task].facts.requester].given_up += 1.0
    s.market[0].given_up += 1.0
    _settle(s, task)


@kernel
def _submit(s: Arrays, index: int, task_index: int, minutes: float) -> None:
    now = s.market[0].clock
    worker = s.workers[index]
    task = s.tasks[task_index]
    dealing = s.dealings[_dealing(s, index, task_index)]
    if _open_assignments(dealing) <= 0:
        _accept(s, index, task_index)
    dealing.submitted += 1
    dealing.submitted_at = seconds(now)
    task.submitted += 1
    worker.submitted += 1.0
    s.requesters[task.facts.requester].submitted += 1.0
    if not minutes > 0.0:
        return
    log_minutes = math.log(minutes)
    surprise = log_minutes - usual_log_minutes(s, task)
    if not math.isnan(surprise):
        # One forgotten tab must not make a worker slow for ever.
        worker.speed += min(2.0, max(-2.0, surprise))
        worker.speed_count += 1.0
    task.minutes += log_minutes
    task.minutes_count += 1.0
    s.market[0].minutes += log_minutes
    s.market[0].minutes_count += 1.0
    for k in range(TOKEN_ROWS):
        row, weight = token_of(task, k)
        if row >= 0:
            s.tokens[row].minutes += weight * log_minutes
            s.tokens[row].minutes_count += weight


@kernel
def _settle_assignment(s: Arrays, index: int, task_index: int, approved: bool) -> None:
    now = s.market[0].clock
    task = s.tasks[task_index]
    requester = s.requesters[task.facts.requester]
    dealing = s.dealings[_dealing(s, index, task_index)]
    if dealing.settled >= dealing.submitted:
        _submit(s, index, task_index, math.nan)
    elif approved:
        requester.approval_hours += math.log1p(max(0, seconds(now) - dealing.submitted_at) / (HOUR // SECOND))
        requester.approvals_timed += 1.0
    dealing.settled += 1
    good, bad = (1.0, 0.0) if approved else (0.0, 1.0)
    task.approved += np.int32(good)
    task.rejected += np.int32(bad)
    s.workers[index].approved += good
    s.workers[index].rejected += bad
    requester.approved += good
    requester.rejected += bad
    s.market[0].approved += good
    s.market[0].rejected += bad
    for k in range(TOKEN_ROWS):
        row, weight = token_of(task, k)
        if row < 0:
            continue
        s.tokens[row].approved += good * weight
        s.tokens[row].rejected += bad * weight
        taste = s.tastes[_taste(s, index, row)]
        taste.approved += good * weight
        taste.rejected += bad * weight


@kernel
def tally(events: NDArray[np.void]) -> tuple[int, int]:
    """Return upper bounds of the new (worker x token) and (worker x task) pairs that a batch makes."""
    tastes, dealings = 0, 0
    for event in events:
        if event.kind == SERVED:
            dealings += event.stop - event.start
        elif event.kind == PROFILE:
            tastes += event.stop - event.start
        elif event.kind >= VIEWED:
            dealings += 1
            if event.kind >= ACCEPTED:
                tastes += TOKEN_ROWS
    return tastes, dealings
