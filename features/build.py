"""The builder: rows of features for a worker and tasks at an instant. Compiled; it reads the state and never writes."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compared import COMPUTED, PLACES, Block, against, fill_compared, no_block, token_share
from features.counts import half_of, hour_bin
from features.elementary import take_logs
from features.estimates import DAY, FAST, HOUR, SECOND, decay, seconds, smoothed
from features.jit import kernel, lean
from features.layout import FOREVER, HOUR_BINS, LANGUAGES, NEVER, REFERENCE, UNLIMITED, WAS_SAVED, WAS_VIEWED, Arrays
from features.pairs import find, foresee, pair_key
from features.readings import BLOCK, TOOK, Readings, forget, no_readings, read_reference, read_tokens, renew
from features.spec import COLUMN, NAMES, RELATIVE
from features.state import MarketState
from features.view import SHARE_PRIOR, View, view_of

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
REWARD_Z = COLUMN["reward_z"]
REWARD_PULL = COLUMN["reward_pull"]
REWARD_PULL_WORKER = COLUMN["reward_pull_worker"]
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

COMPARED = np.array([COLUMN[name] for name in RELATIVE], np.int64)
STANDARD_SCORES = np.array([COLUMN[f"{name}_z"] for name in RELATIVE], np.int64)
RANKS = np.array([COLUMN[f"{name}_rank"] for name in RELATIVE], np.int64)


@lean
def _above(positive: float, negative: float, usual: float) -> float:
    """Return how far a share, with the market's as its prior, lies above the market's."""
    return smoothed(positive, negative, usual, SHARE_PRIOR) - usual


@lean
def _take_logs(size: int, memory: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Take the logarithms of the columns of ``TASK_LOGARITHMS``; ``memory`` is two rows of at least so many numbers."""
    column, exponents = memory[0, :size], memory[1, :size]
    for c in TASK_LOGARITHMS:
        for i in range(size):
            column[i] = out[i, c]
        take_logs(column, exponents)
        for i in range(size):
            out[i, c] = column[i]


@lean
def _task_columns(
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
    session, hour, declared = math.log(session_minutes), math.log(60.0), math.log(max(worker.expected_hourly, 1e-4))
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
def _worker_columns(s: Arrays, view: View, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
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
def _dealing_columns(s: Arrays, view: View, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
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


class Reference(NamedTuple):
    """The compared columns of the reference tasks, to stand against: values, how many exist, and moments.

    The values are float32 (columns x ``REFERENCE``, NaN behind the last task), as a row gives them: tasks alike but for
    rounding stand level.
    ``size`` is the number of tasks, in an array of one; -1 before anything is known. It is the same for all rows of one
    worker at one instant of one market. The other arrays are working memory: the tasks, and numbers of which a sum is
    taken.
    """

    values: NDArray[np.float32]
    counts: NDArray[np.int64]
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    size: NDArray[np.int64]
    tasks: NDArray[np.int32]
    summed: NDArray[np.float64]


@kernel
def _no_reference() -> Reference:
    """Return memory for a reference of which nothing is known yet."""
    columns = len(RELATIVE)
    return Reference(
        np.empty((columns, REFERENCE), np.float32),
        np.empty(columns, np.int64),
        np.empty(columns),
        np.empty(columns),
        np.full(1, -1, np.int64),
        np.empty(REFERENCE, np.int32),
        np.empty(REFERENCE),
    )


class Common(NamedTuple):
    """What the rows of one worker at one instant of one market have in common: found once, and kept from call to call.

    Attributes:
        readings: the tokens of the tasks.
        reference: what the rows are compared with.
        block: working memory, as is ``wide`` (float64, ``BLOCK`` x columns of the spec).
    """

    readings: Readings
    reference: Reference
    block: Block
    wide: NDArray[np.float64]


@kernel
def nothing_common(s: Arrays) -> Common:
    """Return memory for what rows have in common, of which nothing is known yet."""
    return Common(no_readings(s), _no_reference(), no_block(), np.empty((BLOCK, len(NAMES))))


@lean
def _find_open(s: Arrays, now: int, reference: Reference) -> int:
    """Write down the reference tasks that are open at an instant; return how many they are."""
    tasks, size, records = s.reference, s.market[0].n_reference, s.tasks
    # Rarely does a task expire between the last event and the instant.
    all_open, count = s.market[0].n_expiring == 0 or s.expiring[0] > now, 0
    for k in range(size):
        if all_open or records[tasks[k]].facts.expires > now:
            reference.tasks[count] = tasks[k]
            count += 1
    return count


@lean
def _refer(s: Arrays, view: View, common: Common) -> None:
    """Write down what the rows are compared with."""
    readings, reference, block = common.readings, common.reference, common.block
    size = _find_open(s, view.now, reference)
    tasks = reference.tasks[:size]
    read_reference(s, view, readings, tasks)
    for k in range(size):
        readings.rows[k] = readings.order[k]
    fill_compared(s, view, readings, tasks, block)
    reference.size[0] = size
    for c in range(len(RELATIVE)):
        _describe_column(block.columns[c], c, reference)


@lean
def _describe_column(column: NDArray[np.float64], c: int, reference: Reference) -> None:
    """Write down the values and moments of a column (float64, ``REFERENCE``; what is behind the last task is lost)."""
    values, summed, count = reference.values[c], reference.summed, 0
    for k in range(reference.size[0], REFERENCE):
        column[k] = math.nan
    for k in range(REFERENCE):
        values[k] = column[k]
        count += not math.isnan(column[k])
        summed[k] = 0.0 if math.isnan(column[k]) else column[k]
    mean = _total(summed) / count
    for k in range(REFERENCE):
        apart = column[k] - mean
        summed[k] = 0.0 if math.isnan(apart) else apart * apart
    reference.counts[c], reference.means[c], reference.deviations[c] = count, mean, math.sqrt(_total(summed) / count)


@lean
def _total(summed: NDArray[np.float64]) -> float:
    """Return the sum of ``REFERENCE`` numbers, which are lost: by halves, as no sum then waits for another."""
    half = REFERENCE
    while half > 1:
        half //= 2
        for k in range(half):
            summed[k] += summed[half + k]
    return summed[0]


@lean
def _relative_columns(
    s: Arrays, view: View, reference: Reference, tasks: NDArray[np.int32], out: NDArray[np.float64]
) -> None:
    for c in range(len(COMPARED)):
        count, mean, spread = reference.counts[c], reference.means[c], reference.deviations[c]
        if count == 0:
            continue
        others = reference.values[c]
        for i in range(tasks.size):
            value = out[i, COMPARED[c]]
            if math.isnan(value):
                continue
            out[i, STANDARD_SCORES[c]] = (value - mean) / spread if spread > 1e-12 else 0.0
            # Many comparisons at once are faster than a search, and nothing need be in order.
            rounded, twice_below = np.float32(value), np.int32(0)
            for k in range(REFERENCE):
                twice_below = np.int32(twice_below + (others[k] < rounded) + (others[k] <= rounded))
            out[i, RANKS[c]] = 0.5 * twice_below / count
    _pull_columns(s, view, tasks, out)


@lean
def _pull_columns(s: Arrays, view: View, tasks: NDArray[np.int32], out: NDArray[np.float64]) -> None:
    records = s.tasks
    for i in range(tasks.size):
        # Where pay has not drawn anyone lately it says nothing; a negative pull must not turn it round.
        other = 1 - half_of(records[tasks[i]])
        out[i, REWARD_PULL] = max(0.0, view.market_pull[other]) * out[i, REWARD_Z]
        out[i, REWARD_PULL_WORKER] = max(0.0, view.worker_pull[other]) * out[i, REWARD_Z]


@lean
def _fill_wide(
    s: Arrays,
    view: View,
    readings: Readings,
    tasks: NDArray[np.int32],
    session_minutes: float,
    block: Block,
    out: NDArray[np.float64],
) -> None:
    """Fill all columns of ``out`` (float64, tasks x columns of the spec) but the relative ones, which become NaN.

    ``block`` is what `fill_compared` fills for these tasks, whose tokens are in the readings; its ``under`` is lost.
    """
    out[:] = math.nan
    for i in range(tasks.size):
        for c in range(len(PLACES)):
            out[i, PLACES[c]] = block.columns[c, i]
    _task_columns(s, view, readings, tasks, session_minutes, out)
    _take_logs(tasks.size, block.under, out)
    _worker_columns(s, view, tasks, out)
    _dealing_columns(s, view, tasks, out)


@lean
def build(
    s: Arrays,
    view: View,
    common: Common,
    tasks: NDArray[np.int32],
    session_minutes: float,
    computed: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` (float32, tasks x columns of the spec) for the worker and instant of a view.

    ``tasks`` are dense indices; index 0 stands for what is not known. ``session_minutes`` is what the worker has now,
    NaN for what the profile says. ``common`` holds no readings, or what was read for this view or renewed for it, and
    more afterwards; the reference is filled if nothing is known of it yet. ``computed`` is what `compared` would
    return of all of these tasks, or empty.
    """
    readings, block = common.readings, common.block
    if math.isnan(session_minutes):
        session_minutes = s.workers[view.worker].session_minutes
    if common.reference.size[0] < 0:
        _refer(s, view, common)
    for start in range(0, tasks.size, BLOCK):
        part = tasks[start : start + BLOCK]
        filled = common.wide[: part.size]
        read_tokens(s, view, readings, part, True)
        if len(computed):
            for i in range(part.size):
                for c in range(len(COMPUTED)):
                    block.columns[c, i] = computed[start + i, c]
        else:
            fill_compared(s, view, readings, part, block)
        _fill_wide(s, view, readings, part, session_minutes, block, filled)
        _relative_columns(s, view, common.reference, part, filled)
        for i in range(part.size):
            for c in range(len(NAMES)):
                out[start + i, c] = filled[i, c]


@kernel
def _build(
    s: Arrays,
    common: Common,
    worker: int,
    tasks: NDArray[np.int32],
    now: int,
    session_minutes: float,
    computed: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    build(s, view_of(s, worker, now), common, tasks, session_minutes, computed, out)


@kernel
def _compare(
    s: Arrays, common: Common, worker: int, tasks: NDArray[np.int32], now: int, out: NDArray[np.float64]
) -> None:
    view = view_of(s, worker, now)
    for start in range(0, tasks.size, BLOCK):
        part = tasks[start : start + BLOCK]
        read_tokens(s, view, common.readings, part, False)
        fill_compared(s, view, common.readings, part, common.block)
        for i in range(part.size):
            out[start + i] = common.block.columns[:, i]


@kernel
def forget_common(common: Common) -> None:
    """Make what rows had in common ready for other rows, of which nothing is known yet."""
    forget(common.readings)
    common.reference.size[0] = -1


@kernel
def build_crowd(
    s: Arrays, workers: NDArray[np.int32], task: int, now: int, relative: bool, out: NDArray[np.float32]
) -> None:
    """Fill ``out`` (float32, workers x columns of the spec) for many workers and one task at one instant.

    What tokens tell is read once for all of them. Without ``relative`` the columns relative to the open tasks are NaN.
    """
    tasks, common = np.array([task], np.int32), nothing_common(s)
    readings, filled = common.readings, common.wide[:1]
    for i in range(workers.size):
        view = view_of(s, workers[i], now)
        renew(s, view, readings)
        session_minutes = np.float64(s.workers[workers[i]].session_minutes)
        if relative:
            _refer(s, view, common)
        read_tokens(s, view, readings, tasks, True)
        fill_compared(s, view, readings, tasks, common.block)
        _fill_wide(s, view, readings, tasks, session_minutes, common.block, filled)
        if relative:
            _relative_columns(s, view, common.reference, tasks, filled)
        out[i] = filled[0]


def rows(
    state: MarketState,
    worker: int,
    tasks: NDArray[np.int32],
    now: int,
    session_minutes: float = math.nan,
    common: Common | None = None,
    computed: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Return the rows of features of a worker and tasks at an instant.

    Args:
        state: the market as far as it is known.
        worker: dense index, 0 for a worker never seen.
        tasks: int32, dense indices; 0 for a task never seen.
        now: the instant, in microseconds since 1970; rows do not change within a second.
        session_minutes: minutes the worker has now; NaN for what the profile says.
        common: to other rows of this worker at this instant, which saves finding it again; filled if it is blank.
        computed: what `compared` returned of these tasks, if it was asked.

    Returns:
        float32, tasks x columns of `features.spec.FEATURES`; missing is NaN.
    """
    out = np.empty((len(tasks), len(NAMES)), np.float32)
    given = np.empty((0, len(COMPUTED))) if computed is None else computed
    known = common or nothing_common(state.arrays)
    _build(state.arrays, known, worker, tasks, now // SECOND * SECOND, session_minutes, given, out)
    return out


def rows_of_workers(
    state: MarketState, workers: NDArray[np.int32], task: int, now: int, *, relative: bool = True
) -> NDArray[np.float32]:
    """Return the rows of features of many workers and one task, the same as `rows` would give for each worker.

    Args:
        state: the market as far as it is known.
        workers: int32, dense indices.
        task: dense index of a task that was posted.
        now: the instant, in microseconds since 1970.
        relative: whether columns relative to the open tasks are wanted; they take most of the time, and are NaN else.
    """
    out = np.empty((len(workers), len(NAMES)), np.float32)
    build_crowd(state.arrays, workers, task, now // SECOND * SECOND, relative, out)
    return out


def compared(
    state: MarketState, worker: int, tasks: NDArray[np.int32], now: int, common: Common | None = None
) -> NDArray[np.float64]:
    """Return only the columns of `features.compared.COMPUTED` (float64, tasks x columns), at a part of the cost of all.

    The first of them are those of `features.spec.RELATIVE`. The arguments are those of `rows`.
    """
    out = np.empty((len(tasks), len(COMPUTED)))
    _compare(state.arrays, common or nothing_common(state.arrays), worker, tasks, now // SECOND * SECOND, out)
    return out
