"""A log read into tables: which columns each has, of what type, and which events they are made of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from msgspec import UNSET

from features.catalogue import Catalogue
from features.encode import Encoder
from features.events import (
    Entry,
    Event,
    FeedServed,
    FeedShown,
    TaskClosed,
    TaskPosted,
    TaskUpdated,
    WorkerErased,
    event_type,
    micros,
)
from features.money import Money, Rates
from features.tokens import normalise, primary_language
from training.assignments import OUTCOMES, AssignmentEvent, Assignments
from training.dataset import categorical
from training.lists import prefix_of

INSTANT: Final = "datetime64[us, UTC]"
"""Dtype of every instant."""

TASKS = {
    "task_id": "str",
    "requester_id": "str",
    "title": "str",
    "category": "category",
    "language": "category",
    "languages": "str",
    "skills": "str",
    "reward": "float64",
    "reward_amount": "float64",
    "reward_currency": "category",
    "slots": "Int64",
    "estimated_minutes": "float64",
    "time_limit_minutes": "float64",
    "posted_at": INSTANT,
    "closed_at": INSTANT,
    "expires_at": INSTANT,
}
WORKERS = {
    "worker_id": "str",
    "first_seen": INSTANT,
    "has_profile": "bool",
    "country": "category",
    "language": "category",
    "languages": "str",
    "skills": "str",
    "skill_count": "Int64",
    "expected_hourly": "float64",
    "min_reward": "float64",
    "session_minutes": "float64",
}
LISTS = {
    "feed_id": "str",
    "worker_id": "str",
    "at": INSTANT,
    "items": "int32",
    "policy": "category",
    "model_version": "category",
    "session_minutes": "float64",
    "device": "category",
    "shown": "Int64",
}
ITEMS = {"feed_id": "str", "task_id": "str", "position": "int32", "score": "float64", "propensity": "float64"}
ASSIGNMENTS = {
    "worker_id": "str",
    "task_id": "str",
    "attempt": "int32",
    "outcome": "category",
    **{f"{outcome}_at": INSTANT for outcome in OUTCOMES},
    "work_seconds": "float64",
}
EVENTS = {
    "seq": "int64",
    "known_at": INSTANT,
    "at": INSTANT,
    "type": "category",
    "worker_id": "str",
    "task_id": "str",
}
"""Columns and dtypes of each table."""


class LogTables:
    """The tables of `training.frames.Log`, of a log that is read from its beginning.

    Postings and profiles are those of the catalogue that features are computed from.
    """

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._catalogue = Catalogue()
        self._encoder = Encoder(self._catalogue, rates)
        self._events: list[tuple[Any, ...]] = []
        self._served: list[tuple[int, FeedServed]] = []
        self._shown: dict[str, int] = {}
        self._posted: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        self._closed: dict[str, int] = {}
        self._first_seen: dict[str, int] = {}
        self._erased: dict[str, int] = {}
        self._assignments = Assignments()

    def read(self, batch: Sequence[Entry]) -> None:
        """Take in the next events, as (sequence number, ``known_at`` in microseconds since 1970, event).

        Raises:
            CocokError: an amount is in a currency without a rate.
        """
        self._encoder.encode(batch)
        for seq, known_at, event in batch:
            if isinstance(event, FeedServed) and prefix_of(seq, event) < self._erased.get(event.worker_id, 0):
                continue
            at = micros(event.at)
            worker_id: str | None = getattr(event, "worker_id", None)
            if worker_id is not None:
                self._first_seen[worker_id] = min(at, self._first_seen.get(worker_id, at))
            self._events.append((seq, known_at, at, event_type(event), worker_id, getattr(event, "task_id", None)))
            self._take(seq, at, event)

    def _take(self, seq: int, at: int, event: Event) -> None:
        if isinstance(event, AssignmentEvent):
            self._assignments.add(seq, event, self._limits.get(event.task_id, 1))
        elif isinstance(event, FeedServed):
            self._served.append((seq, event))
        elif isinstance(event, FeedShown):
            self._shown[event.feed_id] = max(event.up_to_position, self._shown.get(event.feed_id, 0))
        elif isinstance(event, TaskPosted):
            self._limits[event.task_id] = event.per_worker_limit or 1
            self._posted.setdefault(event.task_id, at)
            self._closed.pop(event.task_id, None)
        elif isinstance(event, TaskUpdated) and event.per_worker_limit is not UNSET:
            self._limits[event.task_id] = event.per_worker_limit or 1
        elif isinstance(event, TaskClosed):
            self._closed[event.task_id] = at
        elif isinstance(event, WorkerErased):
            self._erased[event.worker_id] = seq
            self._first_seen.pop(event.worker_id)
            self._assignments.forget(event.worker_id)

    def tasks(self) -> pd.DataFrame:
        """Return the tasks that were posted, with the columns of `TASKS`."""
        return _table(TASKS, self._task_rows())

    def workers(self) -> pd.DataFrame:
        """Return the workers, with the columns of `WORKERS`."""
        return _table(WORKERS, self._worker_rows())

    def lists(self) -> pd.DataFrame:
        """Return the lists that were served, with the columns of `LISTS`."""
        return _table(LISTS, self._list_rows())

    def items(self) -> pd.DataFrame:
        """Return the items of the lists, with the columns of `ITEMS`."""
        return _table(ITEMS, self._item_rows())

    def assignments(self) -> pd.DataFrame:
        """Return the assignments, with the columns of `ASSIGNMENTS`."""
        # Outcomes in the order of work, also those that never came about.
        return _table(ASSIGNMENTS, self._assignment_rows()).astype({"outcome": pd.CategoricalDtype(list(OUTCOMES))})

    def events(self) -> pd.DataFrame:
        """Return the events, with the columns of `EVENTS`."""
        return _table(EVENTS, self._event_rows())

    def _task_rows(self) -> Iterator[tuple[Any, ...]]:
        for task_id, posted_at in self._posted.items():
            posting = self._catalogue.postings[self._catalogue.tasks.get(task_id)]
            yield (
                task_id,
                posting.requester_id,
                posting.title,
                normalise(posting.category) if posting.category else None,
                _first_language(posting.languages),
                _joined(posting.languages),
                _joined(posting.skills),
                self._in_base(posting.reward),
                float(posting.reward.amount) if posting.reward else None,
                posting.reward.currency if posting.reward else None,
                posting.slots,
                posting.estimated_minutes,
                posting.time_limit_minutes,
                posted_at,
                self._closed.get(task_id),
                micros(posting.expires_at) if posting.expires_at else None,
            )

    def _worker_rows(self) -> Iterator[tuple[Any, ...]]:
        for worker_id, first_seen in self._first_seen.items():
            profile = self._catalogue.profiles.get(self._catalogue.workers.get(worker_id))
            if profile is None:
                yield (worker_id, first_seen, False, *[None] * (len(WORKERS) - 3))
                continue
            yield (
                worker_id,
                first_seen,
                True,
                profile.country,
                _first_language(profile.languages),
                _joined(profile.languages),
                _joined(profile.skills),
                len(profile.skills or ()),
                self._in_base(profile.expected_hourly),
                self._in_base(profile.min_reward),
                profile.session_minutes,
            )

    def _list_rows(self) -> Iterator[tuple[Any, ...]]:
        for event in self._kept():
            yield (
                event.feed_id,
                event.worker_id,
                micros(event.at),
                len(event.items),
                event.policy,
                event.model_version,
                event.context.session_minutes if event.context else None,
                event.context.device if event.context else None,
                self._shown.get(event.feed_id),
            )

    def _item_rows(self) -> Iterator[tuple[Any, ...]]:
        for event in self._kept():
            for item in sorted(event.items, key=lambda item: item.position):
                yield event.feed_id, item.task_id, item.position, item.score, item.propensity

    def _assignment_rows(self) -> Iterator[tuple[Any, ...]]:
        for each in self._assignments:
            instants = (each.instants.get(outcome) for outcome in OUTCOMES)
            yield each.worker_id, each.task_id, each.attempt, each.outcome, *instants, each.work_seconds

    def _event_rows(self) -> Iterator[tuple[Any, ...]]:
        return (row for row in self._events if row[0] > self._erased.get(row[4], 0))

    def _kept(self) -> Iterator[FeedServed]:
        return (event for seq, event in self._served if seq > self._erased.get(event.worker_id, 0))

    def _in_base(self, money: Money | None) -> float | None:
        return self._rates.convert(money) if money else None


def _table(dtypes: Mapping[str, str], rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(dtypes)
    typed = zip(dtypes.items(), columns, strict=True)
    return pd.DataFrame({name: _column(values, dtype) for (name, dtype), values in typed})


def _column(values: Sequence[Any], dtype: str) -> Any:
    if dtype == INSTANT:
        missing = np.iinfo(np.int64).min  # NaT
        instants = np.array([missing if value is None else value for value in values], np.int64)
        return pd.DatetimeIndex(instants.view("datetime64[us]"), tz="UTC")
    if dtype == "category":
        return categorical(values)
    return pd.Series(values, dtype=dtype)


def _joined(names: Iterable[str] | None) -> str | None:
    return ", ".join(names or ()) or None


def _first_language(tags: Sequence[str] | None) -> str | None:
    return primary_language(tags[0]) if tags else None
