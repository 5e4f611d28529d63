"""Lists for training where a log holds no impressions: what was taken, among what else was open.

The negatives are drawn from all open tasks alike, which nobody was really shown; hence the policy `sampled`, which
gives rows of training data and changes no state.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

from features.events import AssignmentAccepted, Event, FeedItem, FeedServed, TaskClosed, TaskPosted, instant, micros
from service.adapters.mapping.shape import SampledLists
from service.adapters.mapping.values import duration

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Taken:
    at: int
    worker: str
    task: str
    file: Path
    row: int


class Sampler:
    """Sees the events of an export in any order, then gives the lists.

    Memory: about 300 bytes for each task that was posted and for each acceptance.
    """

    def __init__(self, given: SampledLists) -> None:
        self._given = given
        self._lead = duration(given.lead) // _MICROSECOND
        self._apart = duration(given.apart) // _MICROSECOND
        self._posted: dict[str, list[int]] = {}
        self._ends: list[tuple[int, str]] = []
        self._taken: list[_Taken] = []

    def see(self, event: Event, file: Path, row: int) -> None:
        """Take note of a task that opens or closes, and of one that is taken."""
        if isinstance(event, TaskPosted):
            self._posted.setdefault(event.task_id, []).append(micros(event.at))
            if event.expires_at is not None:
                self._ends.append((micros(event.expires_at), event.task_id))
        elif isinstance(event, TaskClosed):
            self._ends.append((micros(event.at), event.task_id))
        elif isinstance(event, AssignmentAccepted):
            self._taken.append(_Taken(micros(event.at), event.worker_id, event.task_id, file, row))

    def lists(self) -> Iterator[tuple[Path, int, FeedServed]]:
        """Yield a list for what was taken, with the row that says that it was.

        The draw depends on nothing but the events up to the list, so an export that goes on later gives the same again.
        Left out are lists of one task, tasks that were not open, and what the worker had taken before.
        """
        first: dict[tuple[str, str], int] = {}
        for taken in self._taken:
            who = taken.worker, taken.task
            first[who] = min(first.get(who, taken.at), taken.at)
        open_ = _Open(self._posted, self._ends)
        for moment, taken, name in sorted(self._moments(), key=lambda found: (found[0], found[2])):
            open_.move_to(moment)
            if taken.task not in open_:
                continue
            random = Random(name)  # noqa: S311  # a draw that can be repeated is what is wanted
            others = [
                task
                for task in random.sample(open_.tasks, min(len(open_.tasks), 2 * self._given.size))
                if task != taken.task and first.get((taken.worker, task), moment + 1) > moment
            ]
            tasks = [taken.task, *others[: self._given.size - 1]]
            if len(tasks) == 1:
                continue
            random.shuffle(tasks)
            items = tuple(FeedItem(task_id=task, position=place) for place, task in enumerate(tasks, start=1))
            yield (
                taken.file,
                taken.row,
                FeedServed(
                    event_id=name,
                    at=instant(moment),
                    feed_id=name,
                    worker_id=taken.worker,
                    items=items,
                    policy="sampled",
                ),
            )

    def _moments(self) -> Iterator[tuple[int, _Taken, str]]:
        """Yield when each list is dated, what was taken from it, and its name."""
        last: dict[str, int] = {}
        for taken in sorted(self._taken, key=lambda taken: (taken.at, taken.worker, taken.task)):
            posted = max((at for at in self._posted.get(taken.task, ()) if at < taken.at), default=None)
            if posted is None:
                continue
            text = f"{taken.worker}\0{taken.task}\0{taken.at}"
            name = f"sampled-{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"
            if self._given.moment == "open":
                # Its own source of chance, so that the instant says nothing of the draw.
                moment = Random(f"{name}-moment").randrange(posted, taken.at)  # noqa: S311
            else:
                moment = max(posted, taken.at - max(self._lead, 1))
            if moment >= last.get(taken.worker, moment):
                last[taken.worker] = moment + self._apart
                yield moment, taken, name


class _Open:
    """The tasks that are open, as time goes on."""

    def __init__(self, posted: dict[str, list[int]], ends: list[tuple[int, str]]) -> None:
        starts = [(at, 1, task) for task, instants in posted.items() for at in instants]
        self._changes = sorted([*((at, 0, task) for at, task in ends), *starts], reverse=True)
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
