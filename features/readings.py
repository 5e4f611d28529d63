"""What tokens tell of tasks, at the instant of a list and to its worker; most of it is kept from list to list."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.elementary import take_decays, take_logs
from features.estimates import FAST, SECOND, SLOW, seconds
from features.jit import LINE, kernel, lean, prefetch, shared
from features.layout import NEVER, REFERENCE, SKILLS, TASK, TOKEN, TOKENS, Arrays
from features.sums import PARTED, SUMMED, SUMS
from features.tastes import find_taste
from features.tokens import SKILL, WORD
from features.view import View

_RECORD, _TOKEN = TASK.itemsize, TOKEN.itemsize
"""Bytes of the record of a task and of a token."""

BLOCK = 128
"""Tasks that a kernel goes through at a time."""

MOST_TASKS = max(BLOCK, REFERENCE)
"""Tasks whose columns are filled at a time, at the most."""

MOST_READINGS = 1 << 13
"""Tokens that are kept at the most. Those of a block, with labels ``BLOCK * (TOKENS + SKILLS + 3)``, must find a place
beside those of the reference tasks; what is above that keeps the tokens of other blocks."""

(
    EXPECTED,
    TOOK,
    APPROVED,
    REJECTED,
    EXPECTED_FAST,
    EXPECTED_NEWCOMER,
    TAKEN,
    TAKEN_FAST,
    TAKEN_NEWCOMER,
    PAID,
    PAY,
    TOOK_FAST,
) = range(SUMMED)
"""What is known of a token at the instant of a list, in the order in which it stands: its decayed sums, what random
choice would have taken of it, and what is left of what the worker took of it."""

DECLARED, KNOWN, EXPERIENCE = range(3)
"""What a token tells as a skill: the level that the worker declares, whether the worker declared or took it at all, and
the log of what was taken."""

_APART = np.zeros((3, 2 * PARTED))
_APART[SKILL, :PARTED], _APART[WORD, PARTED:] = 1.0, 1.0


class Readings(NamedTuple):
    """Tokens at the instant of a list, each brought there when it is first met, as tasks share most of theirs.

    What the market knows of a token is kept as of the epoch of the view, from where its sums decay as a whole. So from
    one list to the next only those tokens are read again that an event changed in between. The epoch hangs on the
    instant alone: rows are the same to the bit, whether their tokens were kept or read for them.

    What is not described is working memory.

    Attributes:
        place: uint16; where a row of the token table is in what follows, 0 if it is not there.
        size: int64, one; how many tokens are there, from place 1 on.
        epoch: int64, one; of what is kept.
        tokens: int32; the row of each in the token table.
        since: int64; ``at`` of each when it was read, ``NEVER`` + 1 if what was read does not hold for another list.
        kept: float64, tokens x ``SUMMED``; what is known of each at the epoch, without what grows by chance.
        available: float64; what grows by chance is this, times the chances at the instant.
        told: float64, tokens x ``SUMMED``; what each tells.
        skills: float64, tokens x 3; what each tells as a skill.
        spots, skill_spots: int32; the places of the tokens and of the skills of tasks, in a row for each: the reference
            tasks in the first ``REFERENCE`` rows, behind them those of a block.
        stated: float64; the log of the minutes that each of these tasks is said to take.
        mixed: bool, x 2; whether each has tokens that are skills, and words.
        rows: int64; the row of each task of a block, or of each reference task.
        tasks: int32; the reference task of each row, -1 for none.
        opened: int32; where each of these tasks stood in the open-task index.
        seqs: int64; the last event that is known to each of these rows.
        order: int64; the rows of the reference tasks in order of these, behind them the free ones.
        apart: float64, kinds of tokens x two parts of ``PARTED``; whether tokens of a kind are in the part.
    """

    place: NDArray[np.uint16]
    size: NDArray[np.int64]
    epoch: NDArray[np.int64]
    tokens: NDArray[np.int32]
    since: NDArray[np.int64]
    kept: NDArray[np.float64]
    available: NDArray[np.float64]
    told: NDArray[np.float64]
    skills: NDArray[np.float64]
    stale: NDArray[np.int32]
    ages: NDArray[np.int64]
    slow: NDArray[np.float64]
    fast: NDArray[np.float64]
    powers: NDArray[np.float64]
    held: NDArray[np.int32]
    tastes: NDArray[np.int64]
    spots: NDArray[np.int32]
    skill_spots: NDArray[np.int32]
    stated: NDArray[np.float64]
    mixed: NDArray[np.bool_]
    rows: NDArray[np.int64]
    tasks: NDArray[np.int32]
    opened: NDArray[np.int32]
    seqs: NDArray[np.int64]
    order: NDArray[np.int64]
    sums: NDArray[np.float64]
    apart: NDArray[np.float64]


@kernel
def no_readings(s: Arrays) -> Readings:
    """Return memory for the tokens of a list."""
    size = MOST_READINGS + 1
    return Readings(
        np.zeros(s.tokens.size, np.uint16),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
        np.empty(size, np.int32),
        np.empty(size, np.int64),
        np.empty((size, SUMMED)),
        np.empty(size),
        np.empty((size, SUMMED)),
        np.empty((size, 3)),
        np.empty(size, np.int32),
        np.empty(size, np.int64),
        np.empty(size),
        np.empty(size),
        np.empty(size),
        np.empty(size, np.int32),
        np.empty(size, np.int64),
        np.empty((REFERENCE + BLOCK, TOKENS), np.int32),
        np.empty((REFERENCE + BLOCK, SKILLS), np.int32),
        np.empty(REFERENCE + BLOCK),
        np.empty((REFERENCE + BLOCK, 2), np.bool_),
        np.empty(MOST_TASKS, np.int64),
        np.full(REFERENCE, -1, np.int32),
        np.empty(REFERENCE, np.int32),
        np.empty(REFERENCE, np.int64),
        np.arange(REFERENCE),
        np.empty(SUMS),
        _APART.copy(),
    )


@lean
def forget(readings: Readings) -> None:
    """Make the memory ready for the tokens of another market."""
    for k in range(1, readings.size[0] + 1):
        readings.place[readings.tokens[k]] = 0
    readings.size[0] = 0
    readings.tasks[:] = -1


@lean
def _place(s: Arrays, readings: Readings, token: int) -> int:
    """Return the place of a token; one that is met for the first time gets the next, and is yet to be read."""
    place = int(readings.place[token])
    if place == 0:
        readings.size[0] += 1
        place = readings.size[0]
        readings.place[token] = place
        readings.tokens[place] = token
        for offset in range(0, _TOKEN, LINE):
            prefetch(s.tokens, token, offset)
    return place


@lean
def _keep(s: Arrays, view: View, readings: Readings, count: int) -> None:
    """Read the first ``count`` of the ``stale`` tokens from the table, as of the epoch."""
    clock = s.market[0].clock
    stale, ages, slow, fast, powers = (
        readings.stale[:count],
        readings.ages[:count],
        readings.slow[:count],
        readings.fast[:count],
        readings.powers[:count],
    )
    for k in range(count):
        at = s.tokens[readings.tokens[stale[k]]].at
        # Of what another event at this very instant changes it would tell nothing.
        readings.since[stale[k]] = at if at < clock and at <= view.now else NEVER + 1
        # A list stands at a whole second, and the market may have changed within it: nothing decays backwards.
        ages[k] = 0 if at == NEVER else view.epoch - min(at, view.now)
    take_decays(ages, SLOW, slow, powers)
    take_decays(ages, FAST, fast, powers)
    for k in range(count):
        record, kept = s.tokens[readings.tokens[stale[k]]], readings.kept[stale[k]]
        available = record.available
        readings.available[stale[k]] = available
        # What random choice would have taken, but for what it has taken since: see `features.estimates.expected`.
        kept[EXPECTED] = (record.expected_slow - available * record.chances_slow) * slow[k]
        kept[EXPECTED_FAST] = (record.expected_fast - available * record.chances_fast) * fast[k]
        kept[EXPECTED_NEWCOMER] = (record.expected_newcomer - available * record.chances_newcomer) * slow[k]
        kept[TAKEN], kept[TAKEN_FAST] = record.taken_slow * slow[k], record.taken_fast * fast[k]
        kept[TAKEN_NEWCOMER] = record.taken_newcomer * slow[k]
        kept[PAID], kept[PAY] = record.paid_slow * slow[k], record.reward_slow * slow[k]


@lean
def _bring(view: View, readings: Readings, first: int) -> None:
    """Bring what is kept of the tokens from a place on to the instant of the list, and nothing of the worker's yet."""
    slow, fast = view.slow, view.fast
    for place in range(first, readings.size[0] + 1):
        kept, told, skill, available = (
            readings.kept[place],
            readings.told[place],
            readings.skills[place],
            readings.available[place],
        )
        # Rounding must not leave less than nothing.
        told[EXPECTED] = max(0.0, kept[EXPECTED] * slow + available * view.chances_slow)
        told[EXPECTED_FAST] = max(0.0, kept[EXPECTED_FAST] * fast + available * view.chances_fast)
        told[EXPECTED_NEWCOMER] = max(0.0, kept[EXPECTED_NEWCOMER] * slow + available * view.chances_newcomer)
        told[TAKEN], told[TAKEN_FAST] = kept[TAKEN] * slow, kept[TAKEN_FAST] * fast
        told[TAKEN_NEWCOMER] = kept[TAKEN_NEWCOMER] * slow
        told[PAID], told[PAY] = kept[PAID] * slow, kept[PAY] * slow
        told[TOOK], told[TOOK_FAST], told[APPROVED], told[REJECTED] = 0.0, 0.0, 0.0, 0.0
        skill[DECLARED], skill[KNOWN], skill[EXPERIENCE] = 0.0, 0.0, 0.0


@lean
def _read_new(s: Arrays, view: View, readings: Readings, first: int) -> None:
    """Read the tokens from a place on, which are new, if there are any."""
    count = readings.size[0] + 1 - first
    if count == 0:
        return
    readings.epoch[0] = view.epoch
    for k in range(count):
        readings.stale[k] = first + k
    _read(s, view, readings, count, first)


@shared
def _read(s: Arrays, view: View, readings: Readings, count: int, first: int) -> None:
    """Read the first ``count`` of the ``stale`` tokens, and bring those from a place on to the list."""
    _keep(s, view, readings, count)
    _bring(view, readings, first)
    _read_tastes(s, view, readings, first)


@lean
def renew(s: Arrays, view: View, readings: Readings) -> None:
    """Bring the tokens to another list, of any worker and instant and after any events of the same market."""
    if readings.epoch[0] != view.epoch:
        forget(readings)
    count = 0
    for place in range(1, readings.size[0] + 1):
        at = s.tokens[readings.tokens[place]].at
        if at != readings.since[place] or at > view.now:
            readings.stale[count] = place
            count += 1
    _read(s, view, readings, count, 1)


@lean
def _find_tastes(s: Arrays, view: View, readings: Readings, first: int) -> int:
    """Find the tastes for the tokens from a place on; return how many are ``held``."""
    stop, history, held = readings.size[0] + 1, s.histories[view.worker], 0
    if history.places < stop - first:
        # Most workers have to do with fewer tokens than the tasks have.
        for taste in range(history.start, history.start + history.places):
            token = s.taste_tokens[taste] - 1
            if token >= 0 and readings.place[token] >= first:
                readings.held[held], readings.tastes[held] = readings.place[token], taste
                held += 1
    else:
        for place in range(first, stop):
            taste = find_taste(s.histories, s.taste_tokens, view.worker, readings.tokens[place])
            if taste >= 0:
                readings.held[held], readings.tastes[held] = place, taste
                held += 1
    return held


@lean
def _read_tastes(s: Arrays, view: View, readings: Readings, first: int) -> None:
    """Bring the tokens from a place on to the worker."""
    held, now = _find_tastes(s, view, readings, first), seconds(view.now)
    ages, slow, fast, powers = readings.ages[:held], readings.slow[:held], readings.fast[:held], readings.powers[:held]
    for k in range(held):
        ages[k] = max(0, now - s.tastes[readings.tastes[k]].at)
    take_decays(ages, SLOW // SECOND, slow, powers)
    take_decays(ages, FAST // SECOND, fast, powers)
    for k in range(held):
        taste, told, skill = (
            s.tastes[readings.tastes[k]],
            readings.told[readings.held[k]],
            readings.skills[readings.held[k]],
        )
        told[TOOK], told[TOOK_FAST] = taste.took_slow * slow[k], taste.took_fast * fast[k]
        told[APPROVED], told[REJECTED] = taste.approved, taste.rejected
        skill[DECLARED] = max(0.0, taste.level)
        skill[KNOWN] = 1.0 if taste.level > 0.0 or taste.took_slow > 0.0 else 0.0
        slow[k] = 1.0 + told[TOOK]
    take_logs(slow, powers)
    for k in range(held):
        readings.skills[readings.held[k], EXPERIENCE] = slow[k]


@lean
def _place_task(s: Arrays, readings: Readings, index: int, row: int) -> None:
    """Write down the places of the tokens and skills of a task in a row, and what else its posting tells."""
    task = s.tasks[index]
    skills, text = False, False
    for k in range(task.n_tokens):
        readings.spots[row, k] = _place(s, readings, task.tokens[k])
        skills |= task.kinds[k] == SKILL
        text |= task.kinds[k] == WORD
    readings.mixed[row, 0], readings.mixed[row, 1] = skills, text
    for k in range(task.facts.n_skills):
        readings.skill_spots[row, k] = _place(s, readings, task.facts.skills[k])
    readings.stated[row] = math.log(task.facts.stated_minutes)


@lean
def read_tokens(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32], labels: bool) -> None:
    """Bring the tokens of a block of tasks to the instant of the list.

    With ``labels`` also those of category, requester and group.
    """
    records = s.tasks
    if readings.size[0] + tasks.size * (TOKENS + SKILLS + 3) > MOST_READINGS:
        forget(readings)
    first = readings.size[0] + 1
    for i in range(tasks.size):
        for offset in range(0, _RECORD, LINE):
            prefetch(records, tasks[i], offset)
    for i in range(tasks.size):
        task, row = records[tasks[i]], REFERENCE + i
        readings.rows[i] = row
        if task.posted == NEVER:
            continue
        _place_task(s, readings, tasks[i], row)
        if labels:
            _place(s, readings, task.facts.requester_token)
            if task.facts.category_token >= 0:
                _place(s, readings, task.facts.category_token)
            if task.facts.group_token >= 0:
                _place(s, readings, task.facts.group_token)
    _read_new(s, view, readings, first)


@lean
def _row_of(readings: Readings, tasks: NDArray[np.int32], k: int) -> int:
    """Return the row of the ``k``-th reference task; those before it have theirs. A new one gets a free row."""
    order, last = readings.order, readings.order.size - 1
    row = order[k]
    if readings.tasks[row] == tasks[k] or readings.tasks[row] < 0:
        return row
    if k < last and readings.tasks[order[k + 1]] == tasks[k]:
        # The task before it has left.
        for j in range(k, last):
            order[j] = order[j + 1]
        order[last] = row
    else:
        row = order[last]
        for j in range(last, k, -1):
            order[j] = order[j - 1]
        order[k] = row
        readings.tasks[row] = -1
    return order[k]


@lean
def _holds(s: Arrays, readings: Readings, task: int, row: int) -> bool:
    """Tell whether a row is that of a reference task, which has not changed since; of its record nothing is read."""
    if readings.tasks[row] != task:
        return False
    place = readings.opened[row]
    stands = place < s.market[0].n_open and s.open_tasks[place] == task
    return stands and s.open_changed[place] <= readings.seqs[row]


@lean
def read_reference(s: Arrays, view: View, readings: Readings, tasks: NDArray[np.int32]) -> None:
    """Bring the tokens of the reference tasks, which are open, to the instant of the list; they are read once.

    Afterwards ``order`` begins with their rows.
    """
    first, k = readings.size[0] + 1, 0
    while k < tasks.size:
        row = _row_of(readings, tasks, k)
        if not _holds(s, readings, tasks[k], row):
            if readings.size[0] + TOKENS + SKILLS > MOST_READINGS:
                forget(readings)
                first, k = 1, 0
                continue
            _place_task(s, readings, tasks[k], row)
            readings.tasks[row], readings.seqs[row] = tasks[k], s.market[0].seq
            readings.opened[row] = s.tasks[tasks[k]].open_at
        k += 1
    _read_new(s, view, readings, first)
