"""What workers do, and what is done to their work: each deed and all the counts that it moves."""

import math

import numpy as np
from numpy.typing import NDArray

from features.counts import (
    TOKEN_ROWS,
    half_of,
    hour_bin,
    settle_counts,
    token_of,
    touch_market,
    touch_token,
    touch_worker,
)
from features.estimates import FAST, HOUR, SECOND, SLOW, decay, decay_seconds, seconds, usual_log_minutes
from features.jit import lean, prefetch
from features.layout import (
    FROM_EARLIER,
    HALVES,
    MOST_DEALT,
    ONE_FROM_EARLIER,
    TASK,
    WAS_APPROVED,
    WAS_BARRED,
    WAS_JUDGED,
    WAS_REJECTED,
    Arrays,
    Record,
)
from features.pairs import claim, foresee, pair_key
from features.prospects import add_sketch
from features.tastes import claim_taste, foresee_taste

MOST_SURPRISE = 4.0
"""How far the log of the minutes of work may lie from what was to be expected; what lies beyond counts as that far, 55
times as long or a 55th. In simulated markets, work lies a half from it, and none of 12,000 pieces more than 2.4."""

NEWCOMER = 3
"""A worker is a newcomer to the market until this many assignments were accepted."""


SERVED_AT = dict(TASK.fields or {})["served"][1]
"""Where in a task the counts lie that serving moves."""


@lean
def dealing_of(s: Arrays, worker: int, task: int) -> int:
    """Return the place of what a worker had to do with a task, made if need be."""
    place, new = claim(s.dealing_keys, pair_key(worker, task))
    if new:
        s.market[0].n_dealings += 1
    return place


@lean
def bar(s: Arrays, worker: int, task: int) -> int:
    """Return the place of a dealing in which a worker takes or hides a task, chained to the others of the worker."""
    place = dealing_of(s, worker, task)
    dealing = s.dealings[place]
    if not dealing.marks & WAS_BARRED:
        dealing.marks |= WAS_BARRED
        dealing.barred_before = s.workers[worker].barred
        s.workers[worker].barred = task
    return place


@lean
def forget(s: Arrays, worker: int, workers: int) -> None:
    """Erase a worker; ``workers``: how many are known. Unsettled work stays reachable by its task."""
    task = s.workers[worker].barred
    s.workers[worker].barred = 0
    s.workers[worker].forgotten = workers
    while task != 0:
        dealing = s.dealings[dealing_of(s, worker, task)]
        before = dealing.barred_before
        if _open_assignments(dealing) > 0 or dealing.settled < dealing.submitted:
            dealing.barred_before = s.tasks[task].nameless
            s.tasks[task].nameless = worker
        task = before


@lean
def taker(s: Arrays, worker: int, task: int, judged: bool) -> int:
    """Return whose assignment a deed is about: the worker's, or that of one who was erased and may be the same.

    Requesters judge, and time runs out, after an account is gone. Without this it would be a further assignment. An id
    that was known beside the erased one is somebody else, and so is one that has taken the task since.

    Args:
        s: the state.
        worker: by the id that is told.
        task: which.
        judged: whether it is about work that was handed in, if there is any.
    """
    nameless = s.tasks[task].nameless
    if nameless == 0 or s.dealings[dealing_of(s, worker, task)].accepted > 0:
        return worker
    found = worker
    while nameless != 0:
        dealing = s.dealings[dealing_of(s, nameless, task)]
        if worker >= s.workers[nameless].forgotten:
            if judged and dealing.settled < dealing.submitted:
                return nameless
            if found == worker and _open_assignments(dealing) > 0:
                found = nameless
        nameless = dealing.barred_before
    return found


@lean
def serve(s: Arrays, worker: int, tasks: NDArray[np.int32], start: int, stop: int) -> None:
    """A worker was shown the tasks ``start:stop``."""
    if start == stop:
        return
    now = s.market[0].clock
    for k in range(start, stop):
        foresee(s.dealing_keys, s.dealings, pair_key(worker, tasks[k]))
        prefetch(s.tasks, tasks[k], SERVED_AT)
    record = s.workers[worker]
    touch_worker(record, now)
    for k in range(start, stop):
        dealing = s.dealings[dealing_of(s, worker, tasks[k])]
        if dealing.served < MOST_DEALT:
            dealing.served += 1
        dealing.served_at = seconds(now)
        task = s.tasks[tasks[k]]
        task.served += 1
        s.market[0].served += 1.0
        task.served_fast = task.served_fast * decay(task.at, now, FAST) + 1.0
        task.at = now
        record.served_fast += 1.0


@lean
def accept(s: Arrays, index: int, task_index: int, told: bool) -> None:
    """A worker took a task: a slot, and a choice among all that could have been taken.

    If no event reported it (``told`` is false), a later stage implies it; if one does later, it is not counted again.
    """
    market = s.market[0]
    now = market.clock
    worker = s.workers[index]
    task = s.tasks[task_index]
    dealing = s.dealings[bar(s, index, task_index)]
    if not told:
        dealing.accepted_untold = min(255, dealing.accepted_untold + 1)
    elif dealing.accepted_untold > 0 and _took_all(dealing, task):
        dealing.accepted_untold -= 1
        return
    _enter_round(dealing, task)
    _count_acceptance(dealing)
    task.accepted += 1
    task.occupied += 1
    s.requesters[task.facts.requester].accepted += 1.0
    newcomer = 1.0 if worker.accepted < NEWCOMER else 0.0
    touch_market(market)
    market.accepted += 1.0
    market.taken_slow += 1.0
    market.taken_fast += 1.0
    market.taken_newcomer += newcomer
    if market.n_available > 0:
        market.chances_slow += 1.0 / market.n_available
        market.chances_fast += 1.0 / market.n_available
        market.chances_newcomer += newcomer / market.n_available
    touch_worker(worker, now)
    worker.accepted += 1.0
    worker.accepted_slow += 1.0
    worker.accepted_fast += 1.0
    worker.hours_slow[hour_bin(now)] += 1.0
    add_sketch(task, worker.sketch_slow)
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
        hourly = task.log_reward - usual_log_minutes(s.market[0], s.tokens, task)
        if not math.isnan(hourly):
            worker.timed_slow += 1.0
            worker.hourly_slow += hourly
    since = seconds(now)
    slow, fast = 1.0, 1.0
    for k in range(TOKEN_ROWS):
        row, weight = token_of(task, k)
        if row < 0:
            continue
        record = s.tokens[row]
        touch_token(market, record)
        record.taken_slow += weight
        record.taken_fast += weight
        record.taken_newcomer += newcomer * weight
        taste = s.tastes[claim_taste(s, index, row)]
        if taste.at != since:
            since = taste.at
            slow, fast = decay_seconds(since, seconds(now), SLOW), decay_seconds(since, seconds(now), FAST)
        taste.took_slow = taste.took_slow * slow + weight
        taste.took_fast = taste.took_fast * fast + weight
        taste.at = seconds(now)
    settle_counts(s, task_index)


@lean
def _count_acceptance(dealing: Record) -> None:
    """Count an assignment; where no more can be counted, it takes the place of one that is over, if there is any.

    Every other count of assignments is of such as were accepted, so none of them exceeds this one.
    """
    if dealing.accepted < MOST_DEALT:
        dealing.accepted += 1
    elif dealing.returned > 0:
        dealing.returned -= 1
    elif dealing.submitted > 0:
        dealing.submitted -= 1
        dealing.settled = max(0, dealing.settled - 1)
    elif dealing.abandoned > 1:
        # One is kept: it bars the worker from the task.
        dealing.abandoned -= 1


@lean
def foresee_tokens(s: Arrays, worker: int, task: Record) -> None:
    """Have the tokens of a task brought near, and what a worker has to do with them."""
    for k in range(TOKEN_ROWS):
        row, _ = token_of(task, k)
        if row >= 0:
            prefetch(s.tokens, row, 0)
            prefetch(s.tokens, row, 64)
            foresee_taste(s, worker, row)


@lean
def _reward_score(s: Arrays, task: Record) -> float:
    """Return the standard score of a task's log reward among the reference tasks of its half.

    NaN where there are fewer than two, or their rewards do not differ.
    """
    market = s.market[0]
    if market.rewards_known == 0:
        for half in range(HALVES):
            market.reward_mean[half], market.reward_deviation[half] = _reward_moments(s, half)
        market.rewards_known = 1
    half = half_of(task)
    return (task.log_reward - market.reward_mean[half]) / market.reward_deviation[half]


@lean
def _reward_moments(s: Arrays, half: int) -> tuple[float, float]:
    total, squares, count = 0.0, 0.0, 0
    for k in range(s.market[0].n_reference):
        other = s.tasks[s.reference[k]]
        value = float(other.log_reward)
        if half_of(other) == half and not math.isnan(value):
            total += value
            squares += value * value
            count += 1
    if count < 2:
        return math.nan, math.nan
    mean = total / count
    variance = squares / count - mean * mean
    return mean, math.sqrt(variance) if variance > 1e-6 else math.nan


@lean
def _open_assignments(dealing: Record) -> int:
    return np.int64(dealing.accepted) - dealing.submitted - dealing.returned - dealing.abandoned


@lean
def _enter_round(dealing: Record, task: Record) -> None:
    """Note which of the assignments under way are of earlier rounds of a task, if a further one has begun."""
    if dealing.round != task.round:
        dealing.round = task.round
        earlier = max(0, min(_open_assignments(dealing), FROM_EARLIER // ONE_FROM_EARLIER))
        dealing.marks = dealing.marks & ~FROM_EARLIER | earlier * ONE_FROM_EARLIER


@lean
def _move_on(dealing: Record, task: Record) -> bool:
    """Take the oldest assignment from those under way; tell whether it has a slot of the task's present round."""
    _enter_round(dealing, task)
    if dealing.marks & FROM_EARLIER:
        dealing.marks -= ONE_FROM_EARLIER
        return False
    return True


@lean
def _took_all(dealing: Record, task: Record) -> bool:
    """Tell whether a worker has taken a task as often as one may, which is once where it was not posted yet."""
    return np.int64(dealing.accepted) - dealing.returned >= max(1, task.facts.per_worker_limit)


@lean
def give_up(s: Arrays, worker: int, task: int, abandoned: bool) -> None:
    """A worker returned a task, or abandoned it: the slot is free again, unless it was one of an earlier round.

    An acceptance that was not told is implied.
    """
    dealing = s.dealings[dealing_of(s, worker, task)]
    if _open_assignments(dealing) <= 0:
        accept(s, worker, task, False)
    if _move_on(dealing, s.tasks[task]):
        s.tasks[task].occupied = max(0, s.tasks[task].occupied - 1)
    if abandoned:
        dealing.abandoned += 1
    else:
        dealing.returned += 1
    s.tasks[task].given_up += 1
    s.workers[worker].given_up += 1.0
    s.requesters[s.tasks[task].facts.requester].given_up += 1.0
    s.market[0].given_up += 1.0
    settle_counts(s, task)


@lean
def submit(s: Arrays, index: int, task_index: int, minutes: float, told: bool) -> None:
    """A worker handed work in; ``minutes`` is NaN where it is not told how long it took.

    If no event reported it, a verdict implies it; if one does later, only its minutes count. Where there can
    be no other work, as in `judge`, work is handed in again, and counts no further.
    """
    worker = s.workers[index]
    task = s.tasks[task_index]
    dealing = s.dealings[dealing_of(s, index, task_index)]
    underway = _open_assignments(dealing) > 0
    if told and dealing.submitted > 0 and not underway and _took_all(dealing, task):
        if dealing.submitted_untold == 0:
            return
        dealing.submitted_untold -= 1
    else:
        if not underway:
            accept(s, index, task_index, False)
        _move_on(dealing, task)
        if not told:
            dealing.submitted_untold = min(255, dealing.submitted_untold + 1)
        dealing.submitted += 1
        dealing.submitted_at = seconds(s.market[0].clock)
        task.submitted += 1
        worker.submitted += 1.0
        s.requesters[task.facts.requester].submitted += 1.0
    if minutes > 0.0:
        _time(s, worker, task, math.log(minutes))


@lean
def _time(s: Arrays, worker: Record, task: Record, log_minutes: float) -> None:
    """Count how long work on a task took, in log minutes."""
    usual = usual_log_minutes(s.market[0], s.tokens, task)
    if not math.isnan(usual):
        # One forgotten tab must not make a worker slow for ever, nor one mistaken number a task quick for everybody.
        worker.speed += min(2.0, max(-2.0, log_minutes - usual))
        worker.speed_count += 1.0
        log_minutes = min(usual + MOST_SURPRISE, max(usual - MOST_SURPRISE, log_minutes))
    task.minutes += log_minutes
    task.minutes_count += 1.0
    s.market[0].minutes += log_minutes
    s.market[0].minutes_count += 1.0
    for k in range(TOKEN_ROWS):
        row, weight = token_of(task, k)
        if row >= 0:
            s.tokens[row].minutes += weight * log_minutes
            s.tokens[row].minutes_count += weight


@lean
def judge(s: Arrays, index: int, task_index: int, approved: bool) -> None:
    """A requester approved or rejected work; a submission that was not told is implied.

    Where there can be no other work, as none is under way and the worker has taken all that one may, it corrects the
    last verdict.
    """
    now = s.market[0].clock
    task = s.tasks[task_index]
    requester = s.requesters[task.facts.requester]
    dealing = s.dealings[dealing_of(s, index, task_index)]
    verdict = WAS_APPROVED if approved else WAS_REJECTED
    if dealing.settled >= dealing.submitted:
        last = dealing.marks & WAS_JUDGED
        if last and _open_assignments(dealing) <= 0 and _took_all(dealing, task):
            if last != verdict:
                _count_verdict(s, index, task, last == WAS_APPROVED, -1.0)
                _count_verdict(s, index, task, approved, 1.0)
                dealing.marks ^= WAS_JUDGED
            return
        submit(s, index, task_index, math.nan, False)
    elif approved:
        requester.approval_hours += math.log1p(max(0, seconds(now) - dealing.submitted_at) / (HOUR // SECOND))
        requester.approvals_timed += 1.0
    dealing.settled += 1
    dealing.marks = dealing.marks & ~WAS_JUDGED | verdict
    _count_verdict(s, index, task, approved, 1.0)


@lean
def _count_verdict(s: Arrays, index: int, task: Record, approved: bool, count: float) -> None:
    """Count a verdict on a worker's work, or take it back where ``count`` is -1.

    What it is taken from may have other tokens, or another requester, than it was counted for, and falls to 0 at most.
    """
    good, bad = (count, 0.0) if approved else (0.0, count)
    _move(task, np.int32(good), np.int32(bad))
    _move(s.workers[index], good, bad)
    _move(s.requesters[task.facts.requester], good, bad)
    _move(s.market[0], good, bad)
    for k in range(TOKEN_ROWS):
        row, weight = token_of(task, k)
        if row < 0:
            continue
        _move(s.tokens[row], good * weight, bad * weight)
        # Skip an erased worker: `tally` reserved no room for one.
        if s.workers[index].forgotten == 0:
            _move(s.tastes[claim_taste(s, index, row)], good * weight, bad * weight)


@lean
def _move(record: Record, good: float | np.int32, bad: float | np.int32) -> None:
    record.approved = max(0, record.approved + good)
    record.rejected = max(0, record.rejected + bad)
