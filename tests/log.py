"""Logs for tests: written event by event, or drawn at random."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count, pairwise
from typing import Any

from hypothesis import strategies as st

from features.estimates import HOUR
from features.events import Entry, decode_event, instant, micros
from features.money import Rates
from features.state import MarketState

START = micros(datetime(2026, 3, 1, tzinfo=UTC))
RATES = Rates.shipped()


def hour(hours: float) -> int:
    """The instant that many hours after the start of every test's log."""
    return START + round(hours * HOUR)


def written_at(hours: float) -> str:
    return instant(hour(hours)).isoformat()


def usd(amount: float) -> dict[str, Any]:
    return {"amount": repr(amount), "currency": "USD"}


class Log:
    """A log in the making: sequence numbers rise by one, and ``known_at`` is the running maximum of ``at``."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, kind: str, at: float = 0.0, **fields: Any) -> "Log":
        """Append an event of a type, ``at`` hours after the start."""
        seq = len(self.entries) + 1
        body = {"event_id": f"e{seq}", "type": kind, "at": written_at(at), **fields}
        event = decode_event(json.dumps(body).encode())
        known_at = max(micros(event.at), self.entries[-1][1] if self.entries else micros(event.at))
        self.entries.append((seq, known_at, event))
        return self

    def post(self, task_id: str, at: float = 0.0, requester_id: str = "r1", **fields: Any) -> "Log":
        return self.add("task_posted", at, task_id=task_id, requester_id=requester_id, **fields)

    def serve(self, worker_id: str, task_ids: Iterable[str], at: float = 0.0, **fields: Any) -> "Log":
        items = [{"task_id": task_id, "position": place} for place, task_id in enumerate(task_ids, 1)]
        fields = {"feed_id": f"f{len(self.entries) + 1}", **fields}
        return self.add("feed_served", at, worker_id=worker_id, items=items, **fields)

    def on(self, kind: str, worker_id: str, task_id: str, at: float = 0.0, **fields: Any) -> "Log":
        """Append what a worker did with a task, or what became of the work."""
        return self.add(kind, at, worker_id=worker_id, task_id=task_id, **fields)

    def take(self, worker_id: str, task_id: str, at: float = 0.0) -> "Log":
        return self.on("assignment_accepted", worker_id, task_id, at)

    def state(self) -> MarketState:
        return folded(self.entries)


def folded(entries: Sequence[Entry]) -> MarketState:
    """The market after these events."""
    state = MarketState(RATES)
    state.apply(entries)
    return state


def cut(entries: Sequence[Entry], places: Iterable[int]) -> list[Sequence[Entry]]:
    """The entries as batches that end at these places."""
    bounds = sorted({0, len(entries), *(place for place in places if place < len(entries))})
    return [entries[start:stop] for start, stop in pairwise(bounds)]


# Random logs: few workers, tasks and names, so that events meet.

WORKERS = st.sampled_from(["w1", "w2", "w3"])
TASKS = st.sampled_from(["t1", "t2", "t3", "t4", "t5", "t6"])
REQUESTERS = st.sampled_from(["r1", "r2"])
NAMES = st.sampled_from(["python", "survey", "audio", "Python "])
TEXTS = st.sampled_from(["Label images", "Transcribe audio", "!", "Python survey in C++"])
REWARDS = st.sampled_from([usd(0.02), usd(1.5), usd(40.0), usd(0.0), {"amount": 50_000, "currency": "IDR"}])
MINUTES = st.sampled_from([0.5, 5.0, 90.0])
HOURS_LEFT = st.sampled_from([-1.0, 0.5, 8.0, 900.0])
PAUSES = st.sampled_from([0.0, 0.0, 0.01, 0.3, 5.0, 100.0, 1500.0, -0.2, -40.0])
"""Hours between an event and the next in the log; one that comes late carries an earlier instant."""


def _nullable(**fields: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return {name: st.none() | values for name, values in fields.items()}


_FACTS = {
    "title": TEXTS,
    "description": TEXTS,
    "reward": REWARDS,
    "slots": st.integers(0, 3),
    "group_id": st.just("g1"),
    "category": NAMES,
    "skills": st.lists(NAMES, max_size=3),
    "keywords": st.lists(NAMES, max_size=2),
    "estimated_minutes": MINUTES,
    "time_limit_minutes": MINUTES,
    "expires_in": HOURS_LEFT,
    "languages": st.just(["en", "id"]),
}
_PROFILE = {
    "skills": st.lists(NAMES, max_size=2) | st.dictionaries(NAMES, st.sampled_from([0.0, 0.5, 1.0]), max_size=2),
    "languages": st.just(["en-GB"]),
    "country": st.just("ID"),
    "expected_hourly": REWARDS,
    "min_reward": REWARDS,
    "session_minutes": MINUTES | st.just(1e-46),
}
_DEED = {"worker_id": WORKERS, "task_id": TASKS}
_RATED = {"worker_id": WORKERS, "requester_id": REQUESTERS, "rating": st.integers(1, 5)}


def _of(
    kind: str, fields: dict[str, st.SearchStrategy[Any]], optional: dict[str, st.SearchStrategy[Any]] | None = None
) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"type": st.just(kind), "pause": PAUSES, **fields}, optional=optional or {})


POSTED = _of("task_posted", {"task_id": TASKS, "requester_id": REQUESTERS}, _FACTS)
UPDATED = _of("task_updated", {"task_id": TASKS}, _nullable(**_FACTS))
CLOSED = _of("task_closed", {"task_id": TASKS})
ACCEPTED = _of("assignment_accepted", _DEED)
RETURNED = _of("assignment_returned", _DEED)
ABANDONED = _of("assignment_abandoned", _DEED)
SUBMITTED = _of("assignment_submitted", _DEED, {"work_seconds": st.sampled_from([0, 1e-300, 20, 4000, 6e8])})
SERVED = _of(
    "feed_served",
    {"worker_id": WORKERS, "tasks": st.lists(TASKS, min_size=1, max_size=4, unique=True)},
    {"log_seq": st.integers(0, 60), "policy": st.sampled_from(["ranked", "sampled"]), "minutes": MINUTES},
)
SERVED_HERE = _of("feed_served", {"worker_id": WORKERS, "tasks": st.lists(TASKS, min_size=1, max_size=4, unique=True)})
REST = st.one_of(
    _of("worker_updated", {"worker_id": WORKERS}, _PROFILE),
    _of("worker_erased", {"worker_id": WORKERS}),
    _of("feed_shown", {"feed_id": st.sampled_from(["f3", "f9"]), "up_to_position": st.integers(0, 3)}),
    *(_of(kind, _DEED) for kind in ("task_viewed", "task_saved", "task_hidden")),
    *(_of(kind, _DEED) for kind in ("assignment_approved", "assignment_rejected")),
    *(_of(kind, _RATED) for kind in ("requester_rated", "worker_rated")),
)
ANY = st.one_of(POSTED, POSTED, UPDATED, CLOSED, ACCEPTED, ACCEPTED, RETURNED, ABANDONED, SUBMITTED, SERVED, REST)


Drawn = list[dict[str, Any]]
"""Random events before they have instants and numbers; what they become does not depend on what follows them."""


def drawn(events: st.SearchStrategy[dict[str, Any]] = ANY, size: int = 30) -> st.SearchStrategy[Drawn]:
    """Random events for `built`, some ``size`` of them or only a few, which hypothesis prefers to show."""
    return st.lists(events, min_size=1, max_size=size) | st.lists(events, min_size=2 * size // 3, max_size=2 * size)


def logs(events: st.SearchStrategy[dict[str, Any]] = ANY, size: int = 30) -> st.SearchStrategy[list[Entry]]:
    """Random logs of the given events; none is empty."""
    return drawn(events, size).map(built)


def built(events: Drawn) -> list[Entry]:
    """The log that drawn events make."""
    log = Log()
    clock, numbers = 0.0, count(1)
    for fields in events:
        kind, pause = fields["type"], fields["pause"]
        at = max(0.0, clock + pause)
        clock = max(clock, at)
        rest = {name: value for name, value in fields.items() if name not in ("type", "pause")}
        if "expires_in" in rest:
            left = rest.pop("expires_in")
            rest["expires_at"] = None if left is None else written_at(max(0.0, at + left))
        if kind == "feed_served":
            minutes = rest.pop("minutes", None)
            if minutes is not None:
                rest["context"] = {"session_minutes": minutes}
            log.serve(rest.pop("worker_id"), rest.pop("tasks"), at, **{"feed_id": f"f{next(numbers)}", **rest})
        else:
            log.add(kind, at, **rest)
    return log.entries
