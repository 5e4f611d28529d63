"""What can be told of an open task at a glance: so little, and so laid out, that all open tasks are read for a worker.

A worker wants the most promising of a million tasks, and to build rows for all of them would take a second. So three
things are kept of each open task. The row that it has for a newcomer holds all that says nothing of the worker: what a
ranker makes of it is the prior of the task, and stays until the row is written anew. A sketch of its content is its
tokens folded into ``SKETCH`` numbers by their hash, those of words with a sign, a count sketch (Charikar, Chen and
Farach-Colton 2002); a worker's sketch is the decayed sum of those of the tasks taken, and the product of the two
estimates how much of such content the worker took. A few numbers make an affinity of it.

All this lags behind: it is written when the task changes, and in turn, round by round. It decides which tasks are
looked at more closely, and never enters a row of a list.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.compared import POPULARITY_PRIOR, SHARE_PRIOR
from features.estimates import FAST, HOUR, SLOW, decay, expected, market_approval, smoothed, usual_log_minutes
from features.jit import kernel
from features.layout import LANES, PROSPECT, SKETCH, SKETCH_SKILLS, SKETCH_WORDS, Arrays, Record
from features.text import SKILL

LIFT, LIFT_FAST, LIFT_NEWCOMERS, CHANCE, CHANCE_SKILL, SKILL_WEIGHT, REWARD, HOURLY, POSTED = range(PROSPECT)
"""Places of the numbers that are kept. A lift is what a popularity is the log of; chances are what random choice would
have taken of the content and of its skills, in weight of tokens; ``REWARD`` and ``HOURLY`` are logs, NaN where nothing
tells them; ``POSTED`` is in hours."""

SCALE = 127.0
"""A weight of 1 in a sketch of small integers."""


@kernel
def skill_place(token: int) -> int:
    """Return the place of a skill in a sketch."""
    return token & (SKETCH_SKILLS - 1)


@kernel
def add_sketch(task: Record, sketch: NDArray[np.float32]) -> None:
    """Add the sketch of a task's content to another (float32, ``SKETCH``)."""
    for k in range(task.n_tokens):
        token = task.tokens[k]
        # Skills are few, and one must not take away from another: they have no sign.
        if task.kinds[k] == SKILL:
            sketch[skill_place(token)] += task.weights[k]
        else:
            sign = 1.0 if token & SKETCH_WORDS else -1.0
            sketch[SKETCH_SKILLS + (token & (SKETCH_WORDS - 1))] += sign * task.weights[k]


@kernel
def describe_prospect(s: Arrays, task: Record) -> None:
    """Write down what is known of an open task by the market's clock."""
    market, requester, tokens = s.market[0], s.requesters[task.facts.requester], s.tokens
    now, approval = market.clock, market_approval(s)
    slow, fast = decay(market.at, now, SLOW), decay(market.at, now, FAST)
    chances, chances_fast, chances_newcomer = (
        market.chances_slow * slow,
        market.chances_fast * fast,
        market.chances_newcomer * slow,
    )
    taken, taken_fast, taken_newcomer = 0.0, 0.0, 0.0
    chance, chance_fast, chance_newcomer, chance_skill, skill_weight = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(task.n_tokens):
        record, weight = tokens[task.tokens[k]], task.weights[k]
        slow, fast = decay(record.at, now, SLOW), decay(record.at, now, FAST)
        here = weight * expected(record.expected_slow, record.available, record.chances_slow, chances, slow)
        chance += here
        chance_fast += weight * expected(
            record.expected_fast, record.available, record.chances_fast, chances_fast, fast
        )
        chance_newcomer += weight * expected(
            record.expected_newcomer, record.available, record.chances_newcomer, chances_newcomer, slow
        )
        taken += weight * record.taken_slow * slow
        taken_fast += weight * record.taken_fast * fast
        taken_newcomer += weight * record.taken_newcomer * slow
        if task.kinds[k] == SKILL:
            chance_skill += here
            skill_weight += weight
    block, lane = task.open_at // LANES, task.open_at % LANES
    numbers = s.prospects[block]
    numbers[LIFT, lane] = (taken + POPULARITY_PRIOR) / (chance + POPULARITY_PRIOR)
    numbers[LIFT_FAST, lane] = (taken_fast + POPULARITY_PRIOR) / (chance_fast + POPULARITY_PRIOR)
    numbers[LIFT_NEWCOMERS, lane] = (taken_newcomer + POPULARITY_PRIOR) / (chance_newcomer + POPULARITY_PRIOR)
    numbers[CHANCE, lane] = chance
    numbers[CHANCE_SKILL, lane] = chance_skill
    numbers[SKILL_WEIGHT, lane] = skill_weight
    numbers[REWARD, lane] = task.log_reward
    trust = smoothed(requester.approved, requester.rejected, approval, SHARE_PRIOR) / approval
    hourly = task.log_reward - usual_log_minutes(market, tokens, task) + math.log(60.0)
    numbers[HOURLY, lane] = hourly + math.log(min(1.0, max(0.01, trust)))
    numbers[POSTED, lane] = task.posted / HOUR
    sketch = np.zeros(SKETCH, np.float32)
    add_sketch(task, sketch)
    for k in range(SKETCH):
        s.sketches[block, k, lane] = np.int8(np.floor(SCALE * min(1.0, max(-1.0, sketch[k])) + 0.5))


@kernel
def move_prospect(s: Arrays, place: int, to: int) -> None:
    """Move what is known of a task to another place in the open-task index."""
    for k in range(PROSPECT):
        s.prospects[to // LANES, k, to % LANES] = s.prospects[place // LANES, k, place % LANES]
    for k in range(SKETCH):
        s.sketches[to // LANES, k, to % LANES] = s.sketches[place // LANES, k, place % LANES]
    s.newcomer_rows[to] = s.newcomer_rows[place]
    s.market[0].writes += 1
    s.written[to] = s.market[0].writes if s.written[place] > 0 else -s.market[0].writes


@kernel
def note_change(s: Arrays, index: int) -> None:
    """Write down what changed of an open task; its row waits for the end of the round."""
    market, place = s.market[0], s.tasks[index].open_at
    describe_prospect(s, s.tasks[index])
    if s.written[place] <= 0:
        market.writes += 1
        s.written[place] = -market.writes
    if market.n_changed < s.changed.size:
        s.changed[market.n_changed] = index
        market.n_changed += 1
