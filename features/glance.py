"""The most promising of all open tasks, found at a glance at each: the first look of a worker who asks for a list.

It adds to the prior of each task the sum of weighted compared columns, each as `features.prospects` tells it: with a
sketch in place of every token, and a rough logarithm. Tasks lie side by side, so one instruction reads eight of them.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compared import CONTENT_PRIOR, view_of
from features.estimates import HOUR, SECOND, SLOW, decay
from features.jit import kernel, lean
from features.layout import SKETCH, SKETCH_SKILLS, Arrays
from features.prospects import (
    CHANCE,
    CHANCE_SKILL,
    HOURLY,
    LANES,
    LIFT,
    LIFT_FAST,
    LIFT_NEWCOMERS,
    POSTED,
    REWARD,
    SCALE,
    SKILL_WEIGHT,
    Prospects,
)
from features.spec import RELATIVE
from features.state import MarketState

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
    prospects: Prospects,
    worker: int,
    tasks: NDArray[np.int32],
    now: int,
    priors: NDArray[np.float32],
    weights: NDArray[np.float64],
    fill: NDArray[np.float64],
    size: int,
) -> NDArray[np.intp]:
    """Return the ``size`` tasks with the highest prior and weighted compared columns, as a glance tells.

    Args:
        state: the market.
        prospects: of its open tasks.
        worker: dense index.
        tasks: int32, open tasks, in the order of the open-task index.
        now: microseconds since 1970.
        priors: float32, places of the open-task index; what a task is worth to anyone.
        weights: of each column of `features.spec.RELATIVE`.
        fill: what stands for a missing value of each.
        size: how many are wanted.

    Returns:
        Places in ``tasks`` (intp, rising); all if there are no more.

    Raises:
        ValueError: the tasks are not open, or not in order.
    """
    arrays = state.arrays
    places = arrays.tasks["open_at"][tasks]
    if len(places) and (places[0] < 0 or (np.diff(places) <= 0).any()):
        raise ValueError("the tasks are not those of the open-task index, in its order")
    if size >= len(tasks):
        return np.arange(len(tasks))
    scores = np.empty(len(tasks), np.float32)
    narrow = weights.astype(np.float32), fill.astype(np.float32)
    _glance(arrays, prospects, worker, now // SECOND * SECOND, places, priors, *narrow, scores)
    return np.sort(np.argpartition(scores, len(tasks) - size)[-size:])


@lean
def _add_logs(ratios: NDArray[np.float32], weight: float, scores: NDArray[np.float32]) -> None:
    """Add the weighted logs of positive numbers to scores, roughly."""
    bits, lanes = ratios.view(np.int32), ratios.size
    slope, offset = np.float32(weight * _LOG_SLOPE), np.float32(weight * _LOG_OFFSET)
    for i in range(lanes):
        scores[i] += np.float32(bits[i]) * slope - offset


class _Worker(NamedTuple):
    """What the worker brings to a glance: the sketch of what was taken, and which skills are known, both scaled."""

    took: NDArray[np.float32]
    known: NDArray[np.float32]
    share: np.float32
    own: np.float32
    hour: np.float32


class _Block(NamedTuple):
    """Working memory for the tasks of a block."""

    skills: NDArray[np.float32]
    words: NDArray[np.float32]
    overlap: NDArray[np.float32]
    ratios: NDArray[np.float32]
    scores: NDArray[np.float32]


@lean
def _score_block(
    worker: _Worker,
    block: _Block,
    numbers: NDArray[np.float32],
    sketch: NDArray[np.int8],
    weights: NDArray[np.float32],
    fill: NDArray[np.float32],
) -> None:
    """Fill the scores of a block, without the priors of its tasks."""
    zero, prior, lanes = np.float32(0.0), np.float32(CONTENT_PRIOR), block.scores.size
    skills, words, overlap, ratios, scores = block
    took, known, share = worker.took, worker.known, worker.share
    for i in range(lanes):
        scores[i], skills[i], words[i], overlap[i] = zero, zero, zero, zero
    for k in range(SKETCH_SKILLS):
        if known[k] != zero:
            for i in range(lanes):
                here = np.float32(sketch[k, i])
                skills[i] += here * took[k]
                overlap[i] += here * known[k]
    for k in range(SKETCH_SKILLS, SKETCH):
        if took[k] != zero:
            for i in range(lanes):
                words[i] += np.float32(sketch[k, i]) * took[k]
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
    prospects: Prospects,
    places: NDArray[np.int32],
    priors: NDArray[np.float32],
    weights: NDArray[np.float32],
    fill: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    first = 0
    while first < places.size:
        number, last = places[first] // LANES, first
        while last < places.size and places[last] // LANES == number:
            last += 1
        _score_block(worker, block, prospects.numbers[number], prospects.sketches[number], weights, fill)
        for k in range(first, last):
            out[k] = priors[places[k]] + block.scores[places[k] - number * LANES]
        first = last


@kernel
def _glance(
    s: Arrays,
    prospects: Prospects,
    worker: int,
    now: int,
    places: NDArray[np.int32],
    priors: NDArray[np.float32],
    weights: NDArray[np.float32],
    fill: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Fill the scores of places of the open-task index, which rise: their priors and what the columns add.

    A block without any of the places is passed over.
    """
    view, record = view_of(s, worker, now), s.workers[worker]
    share = np.float32(view.accepted_slow / view.taken if view.taken > 0.0 else 0.0)
    own = np.float32(math.log(view.worker_approval) - view.speed)
    left = decay(record.at, now, SLOW)
    took, known = np.zeros(SKETCH, np.float32), np.zeros(SKETCH_SKILLS, np.float32)
    for k in range(SKETCH):
        took[k] = record.sketch_slow[k] * left / SCALE
    for k in range(SKETCH_SKILLS):
        if record.sketch_slow[k] > 0.0 or (record.declared >> np.uint32(k)) & np.uint32(1):
            known[k] = 1.0 / SCALE
    block = _Block(
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
        np.empty(LANES, np.float32),
    )
    brought = _Worker(took, known, share, own, np.float32(now / HOUR))
    _score_blocks(brought, block, prospects, places, priors, weights, fill, out)
