"""What can be told of an open task at a glance: so little, and so laid out, that all open tasks are read for a worker.

A worker wants the most promising of a million tasks, and to build rows for all of them would take seconds. So a sketch
of the content of each is kept: its tokens folded into ``SKETCH`` numbers by their hash, those of words with a sign, a
count sketch (Charikar, Chen and Farach-Colton 2002). A worker's sketch is the decayed sum of those of the tasks taken,
and the product of the two estimates how much of such content the worker took. A few numbers make an affinity of it.

No part of the state but the workers' sketches: whoever reads it writes it, of the tasks that changed. It decides which
tasks are looked at more closely, and never enters a row of a list.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.compared import POPULARITY_PRIOR
from features.estimates import FAST, HOUR, SLOW, decay, expected, market_approval, smoothed, usual_log_minutes
from features.jit import kernel, lean
from features.layout import SKETCH, SKETCH_SKILLS, SKETCH_WORDS, Arrays, Record
from features.tokens import SKILL
from features.view import SHARE_PRIOR

NUMBERS = 9
"""Numbers that are kept of a task beside the sketch."""

LIFT, LIFT_FAST, LIFT_NEWCOMERS, CHANCE, CHANCE_SKILL, SKILL_WEIGHT, REWARD, HOURLY, POSTED = range(NUMBERS)
"""Places of the numbers that are kept. A lift is what a popularity is the log of; chances are what random choice would
have taken of the content and of its skills, in weight of tokens; ``REWARD`` and ``HOURLY`` are logs, NaN where nothing
tells them; ``POSTED`` is in hours."""

SCALE = 127.0
"""A weight of 1 in a sketch of small integers."""


PROSPECT = np.dtype([("numbers", "f4", (NUMBERS,)), ("sketch", "i1", (SKETCH,))], align=True)
"""What is kept of a task. It lies together, since few of the open tasks are looked at; the sketch is in parts of
``1 / SCALE``."""


@lean
def skill_place(token: int) -> int:
    """Return the place of a skill in a sketch."""
    return token & (SKETCH_SKILLS - 1)


@lean
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
def describe_prospects(s: Arrays, places: NDArray[np.int64], out: NDArray[np.void]) -> None:
    """Write down what is known of the tasks at some places of the open-task index, by the market's clock.

    Args:
        s: the state.
        places: int64.
        out: records of ``PROSPECT``, in the order of the index.
    """
    market, tokens = s.market[0], s.tokens
    now, approval = market.clock, market_approval(s)
    market_slow, market_fast = decay(market.at, now, SLOW), decay(market.at, now, FAST)
    chances, chances_fast, chances_newcomer = (
        market.chances_slow * market_slow,
        market.chances_fast * market_fast,
        market.chances_newcomer * market_slow,
    )
    sketch = np.empty(SKETCH, np.float32)
    for place in places:
        task = s.tasks[s.open_tasks[place]]
        requester = s.requesters[task.facts.requester]
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
        numbers = out[place].numbers
        numbers[LIFT] = (taken + POPULARITY_PRIOR) / (chance + POPULARITY_PRIOR)
        numbers[LIFT_FAST] = (taken_fast + POPULARITY_PRIOR) / (chance_fast + POPULARITY_PRIOR)
        numbers[LIFT_NEWCOMERS] = (taken_newcomer + POPULARITY_PRIOR) / (chance_newcomer + POPULARITY_PRIOR)
        numbers[CHANCE] = chance
        numbers[CHANCE_SKILL] = chance_skill
        numbers[SKILL_WEIGHT] = skill_weight
        numbers[REWARD] = task.log_reward
        trust = smoothed(requester.approved, requester.rejected, approval, SHARE_PRIOR) / approval
        hourly = task.log_reward - usual_log_minutes(market, tokens, task) + math.log(60.0)
        numbers[HOURLY] = hourly + math.log(min(1.0, max(0.01, trust)))
        numbers[POSTED] = task.posted / HOUR
        sketch[:] = 0.0
        add_sketch(task, sketch)
        for k in range(SKETCH):
            out[place].sketch[k] = np.int8(np.floor(SCALE * min(1.0, max(-1.0, sketch[k])) + 0.5))
