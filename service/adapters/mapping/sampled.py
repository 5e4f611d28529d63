"""Lists for training where a log holds no impressions: what was chosen, among what else was open.

The negatives are drawn from all open tasks alike, which nobody was really shown; hence the policy `sampled`, which
gives rows of training data and changes no state.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

from features.events import (
    EVENT_TYPES,
    AssignmentAccepted,
    Event,
    FeedItem,
    FeedServed,
    TaskClosed,
    TaskPosted,
    TaskSaved,
    TaskViewed,
    instant,
    micros,
)
from service.adapters.mapping.shape import SampledLists
from service.adapters.mapping.values import duration

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Chosen:
    at: int
    worker: str
    task: str
    file: Path
    row: int


class Sampler:
    """Sees the events of an export in any order, then gives the lists.

    Memory: about 300 bytes for each task that was posted and for each choice.
    """

    def __init__(self, given: SampledLists) -> None:
        self._given = given
        self._lead = duration(given.lead, "sampled_lists.lead") // _MICROSECOND
        self._apart = duration(given.apart, "sampled_lists.apart") // _MICROSECOND
        self._posted: dict[str, list[tuple[int, int | None]]] = {}
        self._ends: list[tuple[int, str]] = []
        self._chosen: dict[tuple[str, str], _Chosen] = {}
        kinds = TaskViewed, TaskSaved, AssignmentAccepted
        self._choices = tuple(kind for kind in kinds if kind in {EVENT_TYPES[name] for name in given.on})

    def see(self, event: Event, file: Path, row: int) -> None:
        """Take note of a task that opens or closes, and of one that is chosen."""
        if isinstance(event, TaskPosted):
            expires = None if event.expires_at is None else micros(event.expires_at)
            self._posted.setdefault(event.task_id, []).append((micros(event.at), expires))
        elif isinstance(event, TaskClosed):
            self._ends.append((micros(event.at), event.task_id))
        elif isinstance(event, self._choices):
            who = event.worker_id, event.task_id
            at = micros(event.at)
            if who not in self._chosen or at < self._chosen[who].at:
                self._chosen[who] = _Chosen(at, *who, file, row)

    def lists(self) -> Iterator[tuple[Path, int, FeedServed]]:
        """Yield a list for what was chosen, with the row that says that it was.

        The draw depends on nothing but the events up to the list, so an export that goes on later gives the same again.
        Left out are lists of one task, tasks that were not open, and what the worker had chosen before.
        """
        open_ = _Open(self._changes())
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
                    policy="sampled",
                ),
            )

    def _first(self, worker: str, task: str) -> float:
        chosen = self._chosen.get((worker, task))
        return math.inf if chosen is None else chosen.at

    def _changes(self) -> list[tuple[int, bool, str]]:
        """Return when tasks open (true) and close; those that close at an instant come before those that open."""
        changes = [(at, False, task) for at, task in self._ends]
        for task, postings in self._posted.items():
            postings.sort(key=lambda posting: posting[0])
            again = [at for at, _ in postings[1:]] + [math.inf]
            for (at, expires), next_at in zip(postings, again, strict=True):
                changes.append((at, True, task))
                if expires is not None and expires < next_at:  # else the next posting has replaced it
                    changes.append((expires, False, task))
        return changes

    def _moments(self) -> Iterator[tuple[int, _Chosen, str]]:
        """Yield when each list is dated, what was chosen from it, and its name."""
        last: dict[str, int] = {}
        for chosen in sorted(self._chosen.values(), key=lambda each: (each.at, each.worker, each.task)):
            posted = max((at for at, _ in self._posted.get(chosen.task, ()) if at < chosen.at), default=None)
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


class _Open:
    """The tasks that are open, as time goes on."""

    def __init__(self, changes: list[tuple[int, bool, str]]) -> None:
        self._changes = sorted(changes, reverse=True)
        self._places: dict[str, int] = {}
        self.tasks: list[str] = []

    def __contains__(self, task: str) -> bool:
        return task in self._places

    def move_to(self, moment: int) -> None:
        while self._changes and self._changes[-1][0] <= moment:
            _, opens, task = self._changes.pop()
            if opens:
                if task not in self._places:
                    self._places[task] = len(self.tasks)
                    self.tasks.append(task)
            elif task in self._places:
                # The last one takes its place: a list that is drawn from needs no order.
                place = self._places.pop(task)
                last = self.tasks.pop()
                if last != task:
                    self.tasks[place] = last
                    self._places[last] = place
