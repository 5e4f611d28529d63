"""The most promising of all open tasks, found at a glance at each: the first look of a worker who asks for a list.

It adds to the prior of each task the sum of weighted compared columns, each as `features.prospects` tells it: with a
sketch in place of every token, and a rough logarithm. Products of sketches are of whole numbers, whose sum is the same
in any order, so one instruction takes many; for all else tasks are put side by side, and one instruction takes eight.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compared import CONTENT_PRIOR
from features.estimates import HOUR, SECOND, SLOW, decay
from features.jit import LINE, kernel, lean, prefetch
from features.layout import SKETCH, SKETCH_SKILLS, Arrays
from features.prospects import (
    CHANCE,
    CHANCE_SKILL,
    HOURLY,
    LIFT,
    LIFT_FAST,
    LIFT_NEWCOMERS,
    NUMBERS,
    POSTED,
    REWARD,
    SCALE,
    SKILL_WEIGHT,
)
from features.spec import RELATIVE
from features.state import MarketState
from features.view import view_of

LANES = 32
"""Tasks that are looked at together."""

_WHOLE = 32_767
"""The largest number of a worker's sketch, once these are whole."""

_LOG_SLOPE = math.log(2.0) / (1 << 23)
_LOG_OFFSET = 126.9427 * math.log(2.0)
"""The bits of a positive float32, read as an integer, are nearly its logarithm: this one is off by .03 at the most."""

_AFFINITY, _AFFINITY_FAST, _AFFINITY_SKILL, _AFFINITY_TEXT = (
    RELATIVE.index(name) for name in ("affinity", "affinity_fast", "affinity_skill", "affinity_text")
)
_POPULARITY, _POPULARITY_FAST, _POPULARITY_NEWCOMERS = (
    RELATIVE.index(name) for name in ("popularity", "popularity_fast", "popularity_newcomers")
)
_OVERLAP, _REWARD, _HOURLY, _AGE = (
    RELATIVE.index(name) for name in ("skill_overlap", "reward", "hourly", "task_age_hours")
)


def promising(
    state: MarketState,
    prospects: NDArray[np.void],
    worker: int,
    places: NDArray[np.int32],
    now: int,
    priors: NDArray[np.float32],
    weights: NDArray[np.float64],
    fill: NDArray[np.float64],
    size: int,
) -> NDArray[np.int32]:
    """Return the ``size`` tasks with the highest prior and weighted compared columns, as a glance tells.

    Args:
        state: the market.
        prospects: records of `features.prospects.PROSPECT`, by place of the open-task index.
        worker: dense index.
        places: int32, of the tasks in the open-task index.
        now: microseconds since 1970.
        priors: float32, by place of the open-task index; what a task is worth to anyone.
        weights: of each column of `features.spec.RELATIVE`.
        fill: what stands for a missing value of each.
        size: how many are wanted.

    Returns:
        Their places (int32), in the order given; all if there are no more.
    """
    if size >= len(places):
        return places
    scores = np.empty(len(places), np.float32)
    narrow = weights.astype(np.float32), fill.astype(np.float32)
    # Made here, since the compiler would take loops of a size that it knows apart, and then one product at a time.
    sketch = np.empty(SKETCH, np.int16), np.empty(SKETCH_SKILLS, np.int16)
    _glance(state.arrays, prospects, worker, now // SECOND * SECOND, places, priors, *narrow, *sketch, scores)
    return places[np.sort(np.argpartition(scores, len(places) - size)[-size:])]


@lean
def _add_logs(ratios: NDArray[np.float32], weight: float, scores: NDArray[np.float32]) -> None:
    """Add the weighted logs of positive numbers to scores, roughly."""
    bits, lanes = ratios.view(np.int32), ratios.size
    slope, offset = np.float32(weight * _LOG_SLOPE), np.float32(weight * _LOG_OFFSET)
    for i in range(lanes):
        scores[i] += np.float32(bits[i]) * slope - offset


class _Worker(NamedTuple):
    """What the worker brings to a glance.

    Attributes:
        skills: int16; the sketch of the skills taken, in parts of ``unit`` by ``SCALE``.
        words: int16; that of all else.
        known: int16; 1 for a skill that is known.
        unit: what a product of two sketches is in parts of.
        share: of what was taken in the market.
        own: what the worker adds to the log of pay per hour.
        hour: the present, in hours.
    """

    skills: NDArray[np.int16]
    words: NDArray[np.int16]
    known: NDArray[np.int16]
    unit: np.float32
    share: np.float32
    own: np.float32
    hour: np.float32


class _Block(NamedTuple):
    """Working memory for the tasks of a block; the numbers are float32, ``NUMBERS`` x ``LANES``."""

    numbers: NDArray[np.float32]
    skills: NDArray[np.float32]
    words: NDArray[np.float32]
    overlap: NDArray[np.float32]
    ratios: NDArray[np.float32]
    scores: NDArray[np.float32]


@lean
def _product(sketch: NDArray[np.int8], first: int, worker: NDArray[np.int16]) -> np.int32:
    """Return the product of a part of a sketch and of a worker's."""
    # Of whole numbers that fit 32 bits, or the compiler takes one product at a time.
    total = np.int32(0)
    for k in range(worker.size):
        total = np.int32(total + np.int32(np.int32(sketch[first + k]) * np.int32(worker[k])))
    return total


@lean
def _read_block(worker: _Worker, block: _Block, prospects: NDArray[np.void], places: NDArray[np.int32]) -> None:
    """Put what is known of some tasks side by side, ``LANES`` at the most."""
    for i in range(places.size):
        prospect = prospects[places[i]]
        numbers, sketch = prospect.numbers, prospect.sketch
        block.skills[i] = np.float32(_product(sketch, 0, worker.skills)) * worker.unit
        block.words[i] = np.float32(_product(sketch, SKETCH_SKILLS, worker.words)) * worker.unit
        block.overlap[i] = np.float32(_product(sketch, 0, worker.known)) * np.float32(1.0 / SCALE)
        for k in range(NUMBERS):
            block.numbers[k, i] = numbers[k]


@lean
def _score_block(worker: _Worker, block: _Block, weights: NDArray[np.float32], fill: NDArray[np.float32]) -> None:
    """Fill the scores of a block, without the priors of its tasks."""
    zero, prior, lanes = np.float32(0.0), np.float32(CONTENT_PRIOR), block.scores.size
    numbers, skills, words, overlap, ratios, scores = block
    share = worker.share
    for i in range(lanes):
        scores[i] = zero
    for i in range(lanes):
        reward, hourly = numbers[REWARD, i], numbers[HOURLY, i] + worker.own
        scores[i] += weights[_REWARD] * (reward if reward == reward else fill[_REWARD])
        scores[i] += weights[_HOURLY] * (hourly if hourly == hourly else fill[_HOURLY])
    _add_logs(numbers[LIFT], weights[_POPULARITY], scores)
    _add_logs(numbers[LIFT_FAST], weights[_POPULARITY_FAST], scores)
    _add_logs(numbers[LIFT_NEWCOMERS], weights[_POPULARITY_NEWCOMERS], scores)
    for i in range(lanes):
        age = worker.hour - numbers[POSTED, i]
        ratios[i] = np.float32(1.0) + (age if age > zero else zero)
    _add_logs(ratios, weights[_AGE], scores)
    # Of the recent past there is no sketch: the affinity of a month stands for that of three days.
    for i in range(lanes):
        both = skills[i] + words[i]
        mass = (both if both > zero else zero) + prior * numbers[LIFT, i]
        ratios[i] = mass / (share * numbers[CHANCE, i] + prior)
    _add_logs(ratios, weights[_AFFINITY] + weights[_AFFINITY_FAST], scores)
    for i in range(lanes):
        mass = (words[i] if words[i] > zero else zero) + prior * numbers[LIFT, i]
        ratios[i] = mass / (share * (numbers[CHANCE, i] - numbers[CHANCE_SKILL, i]) + prior)
    _add_logs(ratios, weights[_AFFINITY_TEXT], scores)
    for i in range(lanes):
        mass = skills[i] + prior * numbers[LIFT, i]
        ratios[i] = mass / (share * numbers[CHANCE_SKILL, i] + prior)
        words[i] = zero
    _add_logs(ratios, weights[_AFFINITY_SKILL], words)
    missing = weights[_OVERLAP] * fill[_OVERLAP] + weights[_AFFINITY_SKILL] * fill[_AFFINITY_SKILL]
    for i in range(lanes):
        weight = numbers[SKILL_WEIGHT, i]
        told = words[i] + weights[_OVERLAP] * overlap[i] / weight
        scores[i] += told if weight > zero else missing


@lean
def _score_blocks(
    worker: _Worker,
    block: _Block,
    prospects: NDArray[np.void],
    places: NDArray[np.int32],
    priors: NDArray[np.float32],
    weights: NDArray[np.float32],
    fill: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    for first in range(0, places.size, LANES):
        for k in range(first + LANES, min(first + 2 * LANES, places.size)):
            prefetch(prospects, places[k], 0)
            prefetch(prospects, places[k], LINE)
            prefetch(priors, places[k], 0)
        part = places[first : first + LANES]
        _read_block(worker, block, prospects, part)
        _score_block(worker, block, weights, fill)
        for i in range(part.size):
            out[first + i] = priors[part[i]] + block.scores[i]


@kernel
def _glance(
    s: Arrays,
    prospects: NDArray[np.void],
    worker: int,
    now: int,
    places: NDArray[np.int32],
    priors: NDArray[np.float32],
    weights: NDArray[np.float32],
    fill: NDArray[np.float32],
    took: NDArray[np.int16],
    known: NDArray[np.int16],
    out: NDArray[np.float32],
) -> None:
    """Fill the scores of places of the open-task index: their priors and what the columns add.

    ``took`` and ``known`` are working memory, for what the worker brings.
    """
    view, record = view_of(s, worker, now), s.workers[worker]
    share = np.float32(view.accepted_slow / view.taken if view.taken > 0.0 else 0.0)
    own = np.float32(math.log(view.worker_approval) - view.speed)
    most = 0.0
    for k in range(SKETCH):
        most = max(most, abs(record.sketch_slow[k]))
    for k in range(SKETCH):
        took[k] = np.floor(record.sketch_slow[k] / most * _WHOLE + 0.5) if most > 0.0 else 0.0
    for k in range(SKETCH_SKILLS):
        known[k] = record.sketch_slow[k] > 0.0 or (record.declared >> np.uint32(k)) & np.uint32(1) != 0
    unit = np.float32(most * decay(record.at, now, SLOW) / _WHOLE / SCALE)
    brought = _Worker(took[: known.size], took[known.size :], known, unit, share, own, np.float32(now / HOUR))
    block = _Block(
        # What a last block leaves as it is must be numbers as well.
        np.ones((NUMBERS, LANES), np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.zeros(LANES, np.float32),
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
    )
    _score_blocks(brought, block, prospects, places, priors, weights, fill, out)
