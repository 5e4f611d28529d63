"""Decayed sums of the market, its tokens and its workers: brought to the present before they are added to.

Here is also what an open task contributes to them while it has a slot left.
"""

from features.estimates import FAST, HOUR, SLOW, decay, expected
from features.jit import lean
from features.layout import HALVES, HOUR_BINS, NEVER, SKETCH, TOKENS, Arrays, Record
from features.open_tasks import is_full, next_expired, settle

TOKEN_ROWS = TOKENS + 3
"""Rows of the token table that a task touches: its content, its category, its requester and its group."""


@lean
def half_of(task: Record) -> int:
    """Return the half of the market that a task belongs to, by the hash of its id."""
    return int(task.facts.order & HALVES - 1)


@lean
def hour_bin(instant: int) -> int:
    """Return which of the day's bins (in UTC) an instant falls into."""
    return (instant // (24 // HOUR_BINS * HOUR)) % HOUR_BINS


@lean
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


@lean
def touch_market(market: Record) -> None:
    """Bring the market's sums to its clock."""
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


@lean
def touch_token(market: Record, record: Record) -> None:
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


@lean
def touch_worker(worker: Record, now: int) -> None:
    """Bring a worker's sums to an instant."""
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
    for k in range(SKETCH):
        worker.sketch_slow[k] *= slow
    worker.at = now


@lean
def settle_counts(s: Arrays, index: int) -> None:
    """Bring everything that counts open tasks up to date with a task that changed."""
    settle(s, index)
    task = s.tasks[index]
    set_available(s, task, task.open_at >= 0 and not is_full(task))


@lean
def set_available(s: Arrays, task: Record, available: bool) -> None:
    """Count a task among those with a slot left, or no longer; whoever changes its tokens must take it out before."""
    if (task.available != 0) == available:
        return
    task.available = available
    change = 1 if available else -1
    market = s.market[0]
    market.n_available += change
    touch_market(market)
    for k in range(TOKEN_ROWS):
        row, weight = token_of(task, k)
        if row >= 0:
            touch_token(market, s.tokens[row])
            s.tokens[row].available += change * weight


@lean
def expire(s: Arrays) -> None:
    """Take the tasks that have expired by the market's clock out of every count of open tasks."""
    while True:
        index = next_expired(s)
        if index < 0:
            return
        settle_counts(s, index)
