"""The fold: what each event does to the market's state. Compiled, and the same code for training and for serving."""

import math

import numpy as np
from numpy.typing import NDArray

from features.batch import (
    ABANDONED,
    ACCEPTED,
    APPROVED,
    CLOSED,
    ERASED,
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
from features.counts import TOKEN_ROWS, expire, set_available, settle_counts, token_of, touch_market, touch_token
from features.deeds import accept, bar, dealing_of, foresee_tokens, forget, give_up, judge, serve, submit, taker
from features.jit import LINE, lean, prefetch
from features.layout import (
    FOREVER,
    NEVER,
    ROUNDS,
    TASK,
    TOKENS,
    WAS_HIDDEN,
    WAS_SAVED,
    WAS_VIEWED,
    WORKER,
    Arrays,
    Record,
)
from features.open_tasks import is_full, is_open, watch_expiry
from features.pairs import foresee, pair_key
from features.prospects import skill_place
from features.tastes import ask, claim_taste, room_for, withdraw_levels

LEAST_REWARD = 1e-4
"""A reward counts as no less when its log is taken: the log of nothing would be minus infinity."""


AHEAD, NEXT = 8, 2
"""Events by which it is told beforehand which records an event asks for, and then which tokens: which these are, and
where the block of the worker lies, is known only from the records."""

_TASK, _WORKER = TASK.itemsize, dict(WORKER.fields or {})["sketch_slow"][1]
"""Bytes of the record of a task, and those of a worker's record that most deeds ask for."""


@lean
def fold(s: Arrays, batch: Batch, start: int, stop: int) -> None:
    """Apply events ``start:stop`` of a batch, in order. The arrays have room for all of them."""
    market, last = s.market[0], batch.events.size - 1
    for i in range(start, stop):
        event = batch.events[i]
        _foresee_records(s, batch.events[min(i + AHEAD, last)])
        _foresee_tokens(s, batch.events[min(i + NEXT, last)])
        market.clock = max(market.clock, event.known_at)
        market.seq = event.seq
        expire(s)
        kind = event.kind
        if event.worker != 0 and s.workers[event.worker].first_seen == NEVER:
            s.workers[event.worker].first_seen = market.clock
        if kind == SERVED:
            serve(s, event.worker, batch.item_tasks, event.start, event.stop)
        elif kind in (POSTED, UPDATED):
            _post(s, event, batch)
        elif kind == CLOSED:
            s.tasks[event.task].closed = 1
            settle_counts(s, event.task)
        elif kind == PROFILE:
            _declare(s, event, batch)
        elif kind == ERASED:
            forget(s, event.worker, event.detail)
        elif kind == ACCEPTED:
            accept(s, event.worker, event.task, True)
        elif kind in (RETURNED, ABANDONED):
            give_up(s, taker(s, event.worker, event.task, False), event.task, kind == ABANDONED)
        elif kind == SUBMITTED:
            submit(s, taker(s, event.worker, event.task, False), event.task, event.value, True)
        elif kind in (APPROVED, REJECTED):
            judge(s, taker(s, event.worker, event.task, True), event.task, kind == APPROVED)
        elif kind == VIEWED:
            s.dealings[dealing_of(s, event.worker, event.task)].marks |= WAS_VIEWED
            s.tasks[event.task].viewed += 1
        elif kind == SAVED:
            s.dealings[dealing_of(s, event.worker, event.task)].marks |= WAS_SAVED
        elif kind == HIDDEN:
            s.dealings[bar(s, event.worker, event.task)].marks |= WAS_HIDDEN
        elif kind == REQUESTER_RATED:
            s.requesters[event.requester].rating += event.value
            s.requesters[event.requester].ratings += 1.0
        elif kind == WORKER_RATED:
            s.workers[event.worker].rating += event.value
            s.workers[event.worker].ratings += 1.0


@lean
def _foresee_records(s: Arrays, event: Record) -> None:
    prefetch(s.histories, event.worker, 0)
    if VIEWED <= event.kind <= REJECTED:
        foresee(s.dealing_keys, s.dealings, pair_key(event.worker, event.task))
        for offset in range(0, _WORKER, LINE):
            prefetch(s.workers, event.worker, offset)
        for offset in range(0, _TASK, LINE):
            prefetch(s.tasks, event.task, offset)


@lean
def _foresee_tokens(s: Arrays, event: Record) -> None:
    if ACCEPTED <= event.kind <= REJECTED:
        foresee_tokens(s, event.worker, s.tasks[event.task])


@lean
def _post(s: Arrays, event: Record, batch: Batch) -> None:
    market = s.market[0]
    task = s.tasks[event.task]
    if event.kind == UPDATED and task.posted == NEVER:
        return
    fresh = event.kind == POSTED and (not is_open(task, market.clock) or is_full(task))
    if fresh and task.posted != NEVER:
        # A further round: its slots are new ones. Sending an open task again, as a catalogue does, keeps the count.
        task.occupied = 0
        task.round = (task.round + 1) % ROUNDS
    # What is told of a posting at its very instant is part of it: it counts once, as it is described in the end.
    joined = not fresh and task.posted == market.clock
    if joined:
        _count_posting(s, task, -1)
    set_available(s, task, False)
    watched = task.facts.expires
    task.facts = batch.facts[event.detail]
    task.log_reward = math.nan
    if not math.isnan(task.facts.reward):
        task.log_reward = math.log(max(task.facts.reward, LEAST_REWARD))
    if task.open_at >= 0:
        market.rewards_known = 0
    if event.kind == POSTED:
        task.closed = 0
        if fresh:
            task.posted = market.clock
    _describe(s, task, batch, event.start, event.stop)
    if fresh or joined:
        _count_posting(s, task, 1)
    if task.facts.expires not in (FOREVER, watched):
        watch_expiry(s, event.task)
    settle_counts(s, event.task)


@lean
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


@lean
def _count_posting(s: Arrays, task: Record, by: int) -> None:
    market = s.market[0]
    touch_market(market)
    market.documents += by
    s.requesters[task.facts.requester].posted += by
    for k in range(TOKEN_ROWS):
        row, weight = token_of(task, k)
        if row < 0:
            continue
        record = s.tokens[row]
        touch_token(market, record)
        record.documents += by
        if not math.isnan(task.facts.reward):
            record.paid_slow += by * weight
            record.reward_slow += by * weight * task.log_reward


@lean
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
    worker.declared = 0
    withdraw_levels(s, event.worker)
    for k in range(event.start, event.stop):
        if batch.skill_levels[k] > 0.0:
            worker.declared |= np.uint32(1) << np.uint32(skill_place(batch.skill_rows[k]))
        taste = s.tastes[claim_taste(s, event.worker, batch.skill_rows[k])]
        taste.level = batch.skill_levels[k]


@lean
def tally(histories: NDArray[np.void], events: NDArray[np.void]) -> tuple[int, int]:
    """Return upper bounds of the places that blocks of tastes take and of the dealings that a batch makes."""
    places, dealings = 0, 0
    for event in events:
        if event.kind == SERVED:
            dealings += event.stop - event.start
        elif event.kind == PROFILE:
            ask(histories, event.worker, event.stop - event.start)
        elif event.kind >= VIEWED:
            dealings += 1
            if event.kind >= ACCEPTED:
                ask(histories, event.worker, TOKEN_ROWS)
    for event in events:
        places += room_for(histories, event.worker)
    return places, dealings
