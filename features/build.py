"""The builder: rows of features for a worker and tasks at an instant. Compiled; it reads the state and never writes."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.columns import dealing_columns, take_column_logs, task_columns, worker_columns
from features.compared import COMPUTED, PLACES, Block, fill_compared, no_block
from features.estimates import SECOND
from features.jit import kernel, lean
from features.layout import Arrays
from features.readings import BLOCK, Readings, forget, no_readings, read_tokens, renew
from features.reference import Reference, no_reference, refer, relative_columns
from features.spec import NAMES
from features.state import MarketState
from features.view import View, view_of


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
    return Common(no_readings(s), no_reference(), no_block(), np.empty((BLOCK, len(NAMES))))


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
    task_columns(s, view, readings, tasks, session_minutes, out)
    take_column_logs(tasks.size, block.under, out)
    worker_columns(s, view, tasks, out)
    dealing_columns(s, view, tasks, out)


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
        refer(s, view, readings, block, common.reference)
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
        relative_columns(s, view, common.reference, part, filled)
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
    s: Arrays, workers: NDArray[np.int64], task: int, now: int, relative: bool, out: NDArray[np.float32]
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
            refer(s, view, readings, common.block, common.reference)
        read_tokens(s, view, readings, tasks, True)
        fill_compared(s, view, readings, tasks, common.block)
        _fill_wide(s, view, readings, tasks, session_minutes, common.block, filled)
        if relative:
            relative_columns(s, view, common.reference, tasks, filled)
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
        common: scratch shared by calls for one worker and instant; filled on first use.
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
    build_crowd(state.arrays, workers.astype(np.int64), task, now // SECOND * SECOND, relative, out)
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
