"""Lists for training where a log holds no impressions: what was chosen, among what else was open.

The negatives are drawn from all open tasks alike, which nobody was really shown; hence the policy `sampled`, which
gives rows of training data and changes no state.
"""

import hashlib
import math
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from pathlib import Path
from random import Random
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from features.events import (
    EVENT_TYPES,
    SAMPLED,
    AssignmentAbandoned,
    AssignmentAccepted,
    AssignmentApproved,
    AssignmentRejected,
    AssignmentReturned,
    AssignmentSubmitted,
    Event,
    FeedItem,
    FeedServed,
    TaskClosed,
    TaskPosted,
    TaskSaved,
    TaskUpdated,
    TaskViewed,
    instant,
    micros,
)
from service.adapters.mapping.shape import SampledLists
from service.adapters.mapping.values import duration

_MICROSECOND = timedelta(microseconds=1)


class _What(IntEnum):
    """What changes for a task, in the order in which it counts at one instant."""

    EXPIRED = 0
    CLOSED = 1
    POSTED = 2
    UPDATED = 3
    TAKEN = 4
    WORKED = 5
    GIVEN_UP = 6


_Worked = AssignmentSubmitted | AssignmentApproved | AssignmentRejected
_GivenUp = AssignmentReturned | AssignmentAbandoned
_OfWorker = AssignmentAccepted | _Worked | _GivenUp
_OfTask = TaskPosted | TaskUpdated


class _Change(NamedTuple):
    at: int
    kind: _What
    task: str
    worker: str = ""
    slots: int | UnsetType | None = UNSET
    expires: int | UnsetType | None = UNSET


@dataclass(frozen=True, slots=True)
class _Chosen:
    at: int
    worker: str
    task: str
    file: Path
    row: int


class Sampler:
    """Sees the events of an export in any order, then gives the lists.

    Memory: about 300 bytes for each event of a task or an assignment, and as much for each choice.
    """

    def __init__(self, given: SampledLists) -> None:
        self._given = given
        self._lead = duration(given.lead, "sampled_lists.lead") // _MICROSECOND
        self._apart = duration(given.apart, "sampled_lists.apart") // _MICROSECOND
        self._posted: dict[str, list[int]] = defaultdict(list)
        self._changes: list[_Change] = []
        self._chosen: dict[tuple[str, str], _Chosen] = {}
        kinds = TaskViewed, TaskSaved, AssignmentAccepted
        self._choices = tuple(kind for kind in kinds if kind in {EVENT_TYPES[name] for name in given.on})

    def see(self, event: Event, file: Path, row: int) -> None:
        """Take note of a task that opens, fills or closes, and of one that is chosen."""
        at = micros(event.at)
        if isinstance(event, _OfTask):
            expires = micros(event.expires_at) if isinstance(event.expires_at, datetime) else event.expires_at
            kind = _What.POSTED if isinstance(event, TaskPosted) else _What.UPDATED
            self._changes.append(_Change(at, kind, event.task_id, slots=event.slots, expires=expires))
            if isinstance(expires, int):
                self._changes.append(_Change(expires, _What.EXPIRED, event.task_id))
            if kind == _What.POSTED:
                self._posted[event.task_id].append(at)
        elif isinstance(event, TaskClosed):
            self._changes.append(_Change(at, _What.CLOSED, event.task_id))
        elif isinstance(event, _OfWorker):
            done = _What.WORKED if isinstance(event, _Worked) else _What.GIVEN_UP
            kind = _What.TAKEN if isinstance(event, AssignmentAccepted) else done
            self._changes.append(_Change(at, kind, event.task_id, event.worker_id))
        if isinstance(event, self._choices):
            who = event.worker_id, event.task_id
            if who not in self._chosen or at < self._chosen[who].at:
                self._chosen[who] = _Chosen(at, *who, file, row)

    def lists(self) -> Iterator[tuple[Path, int, FeedServed]]:
        """Yield a list for what was chosen, with the row that says that it was.

        The draw depends on nothing but the events up to the list, so an export that goes on later gives the same again.
        Left out are lists of one task, tasks that were closed or full, and what the worker had chosen before.
        """
        open_ = _Open(self._changes)
        for moment, chosen, name in sorted(self._moments(), key=lambda found: (found[0], found[2])):
            open_.move_to(moment)
            if chosen.task not in open_:
                continue
            random = Random(name)  # noqa: S311  # a draw that can be repeated is what is wanted
            others = [
                task
                for task in random.sample(open_.tasks, min(len(open_.tasks), 2 * self._given.size))
                if task != chosen.task and self._first(chosen.worker, task) > moment
            ]
            tasks = [chosen.task, *others[: self._given.size - 1]]
            if len(tasks) == 1:
                continue
            random.shuffle(tasks)
            items = tuple(FeedItem(task_id=task, position=place) for place, task in enumerate(tasks, start=1))
            yield (
                chosen.file,
                chosen.row,
                FeedServed(
                    event_id=name,
                    at=instant(moment),
                    feed_id=name,
                    worker_id=chosen.worker,
                    items=items,
                    policy=SAMPLED,
                ),
            )

    def _first(self, worker: str, task: str) -> float:
        chosen = self._chosen.get((worker, task))
        return math.inf if chosen is None else chosen.at

    def _moments(self) -> Iterator[tuple[int, _Chosen, str]]:
        """Yield when each list is dated, what was chosen from it, and its name."""
        last: dict[str, int] = {}
        for chosen in sorted(self._chosen.values(), key=lambda each: (each.at, each.worker, each.task)):
            posted = max((at for at in self._posted.get(chosen.task, ()) if at < chosen.at), default=None)
            if posted is None:
                continue
            text = f"{chosen.worker}\0{chosen.task}\0{chosen.at}"
            name = f"sampled-{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"
            if self._given.moment == "open":
                # Its own source of chance, so that the instant says nothing of the draw.
                moment = Random(f"{name}-moment").randrange(posted, chosen.at)  # noqa: S311
            else:
                moment = max(posted, chosen.at - max(self._lead, 1))
            if moment >= last.get(chosen.worker, moment):
                last[chosen.worker] = moment + self._apart
                yield moment, chosen, name


@dataclass(slots=True)
class _Task:
    """A task as time goes on; ``round`` counts how often it was posted anew."""

    closed: bool = True
    expires: float = math.inf
    slots: float = math.inf
    taken: int = 0
    round: int = 0

    def is_open(self, now: int) -> bool:
        return not self.closed and now < self.expires and self.taken < self.slots


class _Open:
    """The tasks that can be taken, as time goes on. Slots are counted as in the market (`docs/event-log.md`)."""

    def __init__(self, changes: list[_Change]) -> None:
        # Those of the same kind keep the order in which they were seen.
        self._changes = deque(sorted(changes, key=lambda change: change[:4]))
        self._states: dict[str, _Task] = defaultdict(_Task)
        self._held: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._places: dict[str, int] = {}
        self.tasks: list[str] = []

    def __contains__(self, task: str) -> bool:
        return task in self._places

    def move_to(self, moment: int) -> None:
        while self._changes and self._changes[0].at <= moment:
            change = self._changes.popleft()
            state = self._states[change.task]
            self._apply(change, state)
            if state.is_open(change.at) != (change.task in self._places):
                self._turn(change.task)

    def _apply(self, change: _Change, state: _Task) -> None:
        rounds = self._held[change.task, change.worker] if change.kind >= _What.TAKEN else []
        match change.kind:
            case _What.CLOSED:
                state.closed = True
            case _What.POSTED:
                if not state.is_open(change.at):
                    state.taken, state.round = 0, state.round + 1
                state.closed, state.slots, state.expires = False, _bound(change.slots), _bound(change.expires)
            case _What.UPDATED:
                state.slots = state.slots if change.slots is UNSET else _bound(change.slots)
                state.expires = state.expires if change.expires is UNSET else _bound(change.expires)
            case _What.GIVEN_UP:
                if rounds and rounds.pop(0) == state.round:
                    state.taken -= 1
            case _What.TAKEN | _What.WORKED if change.kind == _What.TAKEN or not rounds:
                rounds.append(state.round)
                state.taken += 1

    def _turn(self, task: str) -> None:
        """Let a task in, or out."""
        if task not in self._places:
            self._places[task] = len(self.tasks)
            self.tasks.append(task)
            return
        # The last one takes its place: a list that is drawn from needs no order.
        place = self._places.pop(task)
        last = self.tasks.pop()
        if last != task:
            self.tasks[place] = last
            self._places[last] = place


def _bound(given: int | UnsetType | None) -> float:
    return given if isinstance(given, int) else math.inf
