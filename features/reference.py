"""The reference: some open tasks that rows are compared with, and the columns that say where a task stands in it."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compared import Block, fill_compared
from features.counts import half_of
from features.jit import kernel, lean
from features.layout import REFERENCE, Arrays
from features.readings import Readings, read_reference
from features.spec import COLUMN, RELATIVE
from features.view import View

COMPARED = np.array([COLUMN[name] for name in RELATIVE], np.int64)
STANDARD_SCORES = np.array([COLUMN[f"{name}_z"] for name in RELATIVE], np.int64)
RANKS = np.array([COLUMN[f"{name}_rank"] for name in RELATIVE], np.int64)
REWARD_Z = COLUMN["reward_z"]
REWARD_PULL = COLUMN["reward_pull"]
REWARD_PULL_WORKER = COLUMN["reward_pull_worker"]


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
def no_reference() -> Reference:
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
def refer(s: Arrays, view: View, readings: Readings, block: Block, reference: Reference) -> None:
    """Write down what rows are compared with; the block is lost."""
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
def relative_columns(
    s: Arrays, view: View, reference: Reference, tasks: NDArray[np.int32], out: NDArray[np.float64]
) -> None:
    """Fill the relative columns of ``out`` (float64, tasks x columns of the spec), where the compared ones stand."""
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
