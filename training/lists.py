"""The lists that were served, and what became of each of their items."""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import nan
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import CocokError
from features.estimates import DAY, HOUR, LEAST_MINUTES
from features.events import (
    AssignmentAccepted,
    AssignmentApproved,
    AssignmentRejected,
    AssignmentSubmitted,
    Entry,
    Event,
    FeedItem,
    FeedServed,
    FeedShown,
    TaskSaved,
    TaskViewed,
    WorkerErased,
    instant,
    micros,
)

NOTHING, VIEWED, ACCEPTED, SUBMITTED, APPROVED = range(5)
"""Labels, from nothing to the best outcome."""

MATURITY_QUANTILE = 0.95
PATIENCE_QUANTILE = 0.99
PATIENCE_SHARE = 0.05
"""Part of the history, at the most, by which patience is longer than the maturity."""

SHORTEST_MATURITY, LONGEST_MATURITY = HOUR, 14 * DAY

_NONE, _NEVER = -(1 << 63), (1 << 63) - 1
_REJECTED = -1
_STAGES: dict[type, int] = {
    TaskViewed: VIEWED,
    TaskSaved: VIEWED,
    AssignmentAccepted: ACCEPTED,
    AssignmentSubmitted: SUBMITTED,
    AssignmentApproved: APPROVED,
    AssignmentRejected: _REJECTED,
}
_POSITION = attrgetter("position")
_INSTANT = itemgetter(1)

Outcome = tuple[int, int, int, float, int, str | None]
"""Sequence number, its own instant in microseconds, stage, minutes of work, NaN where none are given, the instant from
which it was known: later than its own where the log tells it late, and of an acceptance the id of the list it names."""


@dataclass(slots=True)
class ServedList:
    """A list as the log has it.

    Attributes:
        prefix: sequence number of the last event that its rows may know.
        at: instant of the list, microseconds since 1970.
        feed_id: its id.
        worker_id: who it was served to.
        task_ids: its items in order of position.
        positions: their positions, 1-based.
        propensities: probability of each standing there given those before it, NaN if not said.
        session_minutes: what the worker had, NaN if not said.
        told: when its rows were known, if the log tells the list late and they know all before it; else 0.
    """

    prefix: int
    at: int
    feed_id: str
    worker_id: str
    task_ids: list[str]
    positions: list[int]
    propensities: list[float]
    session_minutes: float
    told: int = 0


@dataclass
class History:
    """The lists of a prefix of the log and everything that tells their labels.

    Lists of a worker who asked to be forgotten are left out, with all that the worker did before: also a list that was
    logged after the erasure but made from what was known before it.

    Attributes:
        lists: in order of the log.
        outcomes: worker id -> task id -> what happened, in order of its own time.
        shown: feed id -> how far down the worker saw it.
        erased: worker id -> sequence number of the last erasure.
    """

    lists: list[ServedList] = field(default_factory=list)
    outcomes: dict[str, dict[str, list[Outcome]]] = field(default_factory=lambda: defaultdict(_nothing_happened))
    shown: dict[str, int] = field(default_factory=dict)
    erased: dict[str, int] = field(default_factory=dict)

    def extend(self, entries: Iterable[Entry]) -> None:
        """Take in the next events of the log, each with its sequence number and ``known_at``."""
        stages, by_worker = _STAGES, self.outcomes
        for seq, known_at, event in entries:
            stage = stages.get(type(event))
            if stage is None:
                self._take_in(seq, known_at, event)
            else:
                # In place, for these are most of the log.
                deed: Any = event
                minutes = _minutes(deed) if stage == SUBMITTED else nan
                outcomes, at = by_worker[deed.worker_id][deed.task_id], micros(deed.at)
                named = deed.feed_id if stage == ACCEPTED else None
                outcomes.append((seq, at, stage, minutes, known_at if known_at > at else at, named))
                if len(outcomes) > 1 and outcomes[-2][1] > at:
                    outcomes.sort(key=_INSTANT)

    def _take_in(self, seq: int, known_at: int, event: Event) -> None:
        if isinstance(event, FeedServed):
            served = _served(seq, known_at, event)
            if served.task_ids and served.prefix >= self.erased.get(served.worker_id, 0):
                self.lists.append(served)
        elif isinstance(event, FeedShown):
            self.shown[event.feed_id] = max(event.up_to_position, self.shown.get(event.feed_id, 0))
        elif isinstance(event, WorkerErased):
            self.erased[event.worker_id] = seq
            _forget(self, event.worker_id)

    def forget(self, before: int) -> None:
        """Drop the lists, and the outcomes, that are older than an instant, microseconds since 1970."""
        dropped = {served.feed_id for served in self.lists if served.at < before}
        self.lists = [served for served in self.lists if served.feed_id not in dropped]
        self.shown = {feed_id: depth for feed_id, depth in self.shown.items() if feed_id not in dropped}
        for worker_id, by_task in list(self.outcomes.items()):
            for task_id, found in list(by_task.items()):
                if found[0][1] < before:
                    by_task[task_id] = [outcome for outcome in found if outcome[1] >= before]
                    if not by_task[task_id]:
                        del by_task[task_id]
            if not by_task:
                del self.outcomes[worker_id]


def read_history(batches: Iterable[Sequence[Entry]]) -> History:
    """Collect lists and outcomes from batches of (sequence number, ``known_at``, event)."""
    history = History()
    for batch in batches:
        history.extend(batch)
    return history


def _nothing_happened() -> dict[str, list[Outcome]]:
    return defaultdict(list)


def _minutes(event: AssignmentSubmitted) -> float:
    # As the state counts it: the log of less would outweigh all other work.
    return max(event.work_seconds / 60, LEAST_MINUTES) if event.work_seconds else nan


def prefix_of(seq: int, event: FeedServed) -> int:
    """Return the sequence number of the last event that a list knows, given that of the list."""
    return seq - 1 if event.log_seq is None else min(event.log_seq, seq - 1)


def _served(seq: int, known_at: int, event: FeedServed) -> ServedList:
    items: Sequence[FeedItem] = event.items
    positions = [item.position for item in items]
    # Nearly all are in order, and numbers that are take little time to sort.
    if positions != sorted(positions):
        items = sorted(items, key=_POSITION)
        positions = [item.position for item in items]
    minutes = event.context.session_minutes if event.context else None
    at = micros(event.at)
    return ServedList(
        prefix_of(seq, event),
        at,
        event.feed_id,
        event.worker_id,
        [item.task_id for item in items],
        positions,
        [nan if item.propensity is None else item.propensity for item in items],
        nan if minutes is None else minutes,
        known_at if event.log_seq is None and known_at > at else 0,
    )


def _forget(history: History, worker_id: str) -> None:
    history.lists = [served for served in history.lists if served.worker_id != worker_id]
    history.outcomes.pop(worker_id, None)


def maturity_of(history: History, delays: Sequence[int] | None = None) -> int:
    """Return how long after a list its outcomes are waited for, in microseconds.

    It is the 95th percentile of the delay from a list to the acceptance of one of its tasks, where the list is the last
    one before the acceptance that held the task; at least an hour and at most 14 days.

    Args:
        history: tells the delays.
        delays: of `delays_of`, if they are known already.
    """
    delays = delays_of(history) if delays is None else delays
    if not delays:
        return LONGEST_MATURITY
    return int(np.clip(np.quantile(delays, MATURITY_QUANTILE), SHORTEST_MATURITY, LONGEST_MATURITY))


def patience_of(history: History, maturity: int, delays: Sequence[int] | None = None) -> int:
    """Return how long after a list an outcome still tells what the worker preferred, in microseconds.

    It is the 99th percentile of the delays of `maturity_of`: the slowest twentieth of acceptances is no random one, and
    an order learned without it puts down what is taken late. At least the maturity, and longer by a twentieth of the
    history at the most, so that there is enough left to learn from.

    Args:
        history: tells the delays.
        maturity: of `maturity_of`, or another.
        delays: of `delays_of`, if they are known already.
    """
    delays = delays_of(history) if delays is None else delays
    if not delays:
        return maturity
    instants = [served.at for served in history.lists]
    longest = maturity + int(PATIENCE_SHARE * (max(instants) - min(instants)))
    return max(maturity, min(int(np.quantile(delays, PATIENCE_QUANTILE)), longest, LONGEST_MATURITY))


def delays_of(history: History) -> list[int]:
    """Return for each acceptance the microseconds since the last list before it that held the task."""
    # What a worker accepted: task id -> sequence number and instant of each acceptance, and the last list before it.
    accepted: dict[str, dict[str, list[list[int]]]] = defaultdict(dict)
    for worker_id, by_task in history.outcomes.items():
        for task_id, outcomes in by_task.items():
            found = [[seq, at, _NONE] for seq, at, stage, *_ in outcomes if stage == ACCEPTED]
            if found:
                accepted[worker_id][task_id] = found
    for served in history.lists:
        if known := accepted.get(served.worker_id):
            for task_id in filter(known.__contains__, served.task_ids):
                for acceptance in known[task_id]:
                    if served.prefix < acceptance[0] and acceptance[2] < served.at <= acceptance[1]:
                        acceptance[2] = served.at
    return [
        at - last for known in accepted.values() for found in known.values() for _, at, last in found if last != _NONE
    ]


def mature(history: History, since: int | None, until: int, maturity: int, *, whole: bool = False) -> list[ServedList]:
    """Return the lists within ``[since, until)`` whose outcomes are all known before ``until``, cut to what was shown.

    Lists without an item left are dropped; the rest comes in order of time. ``whole``: they are not cut.

    Raises:
        CocokError: the log has no lists, or none is mature.
    """
    if not history.lists:
        raise CocokError(
            f"the log has no feed_served lists known before {instant(until).isoformat()} (its end, or --until): "
            "nothing to learn from; import what was listed, or choose a later --until"
        )
    kept = []
    for served in history.lists:
        if served.at + maturity >= until or (since is not None and served.at < since):
            continue
        depth = None if whole else history.shown.get(served.feed_id)
        if depth is not None:
            count = bisect_right(served.positions, depth)
            if count < len(served.positions):
                served = _cut(served, count)
        if served.task_ids:
            kept.append(served)
    if not kept:
        accepted = bool(delays_of(history))
        why = "" if accepted else ", and no assignment_accepted follows any of them to tell how long they take"
        raise CocokError(
            f"none of the {len(history.lists)} lists is mature: outcomes are waited for {maturity / HOUR:.1f} h{why}; "
            f"{'' if accepted else 'import what was accepted, or '}choose a later --until or a shorter --maturity"
        )
    return sorted(kept, key=lambda served: served.at)


def _cut(served: ServedList, count: int) -> ServedList:
    """Return the first items of a list."""
    return ServedList(
        served.prefix,
        served.at,
        served.feed_id,
        served.worker_id,
        served.task_ids[:count],
        served.positions[:count],
        served.propensities[:count],
        served.session_minutes,
        served.told,
    )


@dataclass(frozen=True)
class Labels:
    """What became of the items of lists; each array has one value for each item.

    Attributes:
        labels, late: int8; see `training.dataset.TrainingSet`.
        verdicts: int8; 1 if work on it was approved, 0 if it was rejected and none approved, -1 without a verdict.
        minutes: float32; minutes of work of the first submission, NaN without any.
        decided, timed: int64; from when verdict and minutes were known, microseconds since 1970; 0 without. A verdict
            that was said before it was said again counts from the first time.
        told, named: int64 and bool; see `training.dataset.TrainingSet`.
    """

    labels: NDArray[np.int8]
    late: NDArray[np.int8]
    verdicts: NDArray[np.int8]
    minutes: NDArray[np.float32]
    decided: NDArray[np.int64]
    timed: NDArray[np.int64]
    told: NDArray[np.int64]
    named: NDArray[np.bool_]


def labels(history: History, lists: Iterable[ServedList], maturity: int, patience: int | None = None) -> Labels:
    """Return what became of each item of lists, one list after the other.

    An outcome counts for the label if the log has it after what the list's rows know, and it came about within
    ``maturity`` of the list; for what is late within ``patience``, where None stands for none. An acceptance that names
    the list came after it, though its own time may be that of a slower clock. Verdicts and minutes
    come later than acceptances, and count whenever they came about; ``decided`` and ``timed`` say from when they were
    known, for splits that must not know them yet. An acceptance that the log tells late counts as any other, since to
    leave out the lists with one, and keep those without, would teach that less is taken.
    """
    size = 0
    met: list[tuple[int, ServedList, list[Outcome]]] = []
    late_lists: list[tuple[int, int, int]] = []
    for served in lists:
        if served.told:
            late_lists.append((size, size + len(served.task_ids), served.told))
        if known := history.outcomes.get(served.worker_id):
            # Few items have an outcome.
            met += [
                (place, served, known[task_id])
                for place, task_id in enumerate(served.task_ids, size)
                if task_id in known
            ]
        size += len(served.task_ids)
    found = Labels(
        np.zeros(size, np.int8),
        np.zeros(size, np.int8),
        np.full(size, -1, np.int8),
        np.full(size, np.nan, np.float32),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros(size, np.bool_),
    )
    for first, stop, known_at in late_lists:
        found.told[first:stop] = known_at
    places, courses, spent, decided, timed = array("q"), [], array("d"), array("q"), array("q")
    for place, served, outcomes in met:
        prefix, begin = served.prefix, served.at
        end, last = begin + maturity, begin + (maturity if patience is None else patience)
        stages, in_time, within, minutes, submitted = [], 0, 0, nan, 0
        first_said = {APPROVED: _NEVER, _REJECTED: _NEVER}
        for seq, at, stage, lasted, known_at, named in outcomes:
            if seq > prefix and (at >= begin or named == served.feed_id):
                stages.append(stage)
                if named == served.feed_id:
                    found.named[place] = True
                # In order of their time, so that these are the first ones.
                in_time += at <= end
                within += at <= last
                if lasted > 0 and not minutes > 0:
                    minutes, submitted = lasted, known_at
                if stage in first_said:
                    first_said[stage] = min(first_said[stage], known_at)
        if stages:
            course = _course(tuple(stages), in_time, within)
            places.append(place)
            courses.append(course)
            spent.append(minutes)
            timed.append(submitted)
            decided.append(0 if course[2] < 0 else first_said[APPROVED if course[2] else _REJECTED])
    if courses:
        found.labels[places], found.late[places], found.verdicts[places] = np.array(courses, np.int8).T
        found.minutes[places], found.decided[places], found.timed[places] = spent, decided, timed
    return found


@lru_cache(maxsize=1 << 10)
def _course(stages: tuple[int, ...], in_time: int, within: int) -> tuple[int, int, int]:
    """Return label, late label and verdict of a course of work, in order of its own time.

    Kept, since the same few courses come again and again.

    Args:
        stages: what happened.
        in_time: how many of them, the first ones, came about in time.
        within: how many were waited for.
    """
    label, late = _best(stages[:in_time]), _best(stages[:within])
    # What comes late is better than what came in time, or it is nothing.
    return label, late if within > in_time and late > label else NOTHING, _verdict(stages)


def _verdict(stages: Sequence[int]) -> int:
    """Return 1 for approved, 0 for rejected and -1 for neither: the last verdict on one work, the best on several."""
    verdicts = [stage == APPROVED for stage in stages if stage in (APPROVED, _REJECTED)]
    if not verdicts:
        return -1
    works = max(stages.count(ACCEPTED), stages.count(SUBMITTED))
    return int(any(verdicts) if works > 1 else verdicts[-1])


def _best(stages: Sequence[int]) -> int:
    """Return the best outcome; a submission that was rejected counts as accepted."""
    best, pending = NOTHING, 0
    for stage in stages:
        if stage == SUBMITTED:
            pending += 1
            best = max(best, ACCEPTED)
        elif stage == _REJECTED:
            # A verdict without a submission implies one; it does not use up a submission to come.
            pending = max(0, pending - 1)
            best = max(best, ACCEPTED)
        else:
            best = max(best, stage)
    return max(best, SUBMITTED) if pending > 0 else best
