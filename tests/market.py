"""A small marketplace for tests: what workers take follows their skills, their history and the pay, and chance."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from math import exp, log
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.events import Entry, decode_event, micros
from features.money import Rates
from matching.bundle import Bundle
from matching.first_stage import FirstStage
from matching.scoring import BundleRanker, Ranker
from training.dataset import TrainingSet
from training.ranker import RankerParameters
from training.replay import training_set
from training.train import Trained, train

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
RATES = Rates.shipped("USD", {})
KINDS = {
    "labelling": ("draw", "boxes", "around", "cars", "pictures"),
    "transcription": ("write", "down", "spoken", "audio", "words"),
    "translation": ("translate", "short", "sentences", "into", "Javanese"),
    "survey": ("answer", "questions", "about", "shopping", "habits"),
    "moderation": ("judge", "comments", "for", "harmful", "content"),
    "search": ("find", "the", "telephone", "number", "shop"),
}
LIST_LENGTH = 8
SMALL = RankerParameters(min_trees=20, max_trees=25, folds=2, num_threads=1)
"""Parameters of small models."""

Record = dict[str, Any]
Batch = list[Entry]


@dataclass
class _Worker:
    name: str
    likes: frozenset[str]
    care: float
    done: dict[str, int] = field(default_factory=dict)


@dataclass
class _Task:
    name: str
    kind: str
    requester: str
    reward: float
    opened: datetime
    closes: datetime
    takers: set[str] = field(default_factory=set)


def market(
    seed: int = 0,
    *,
    workers: int = 40,
    days: int = 28,
    pay: bool = True,
    skills: bool = True,
    titles: bool = True,
    profiles: bool = True,
    explored: bool = False,
) -> list[Record]:
    """Return the events of a marketplace in order of time.

    The same seed gives the same workers, tasks and choices whatever is left out of the log.

    Args:
        seed: of everything.
        workers: how many there are.
        days: how long it lasts.
        pay: tasks say their reward.
        skills: tasks and profiles name skills.
        titles: tasks have a title.
        profiles: workers have told about themselves.
        explored: lists, whose order is random, tell their propensities.
    """
    random = Random(seed)
    log_ = _Log()
    people = [
        _Worker(f"w{number}", frozenset(random.sample(sorted(KINDS), 2)), random.uniform(0.3, 1.0))
        for number in range(workers)
    ]
    for worker in people:
        said = {"skills": sorted(worker.likes)} if skills else {}
        if profiles:
            log_.add(BEGIN, "worker_updated", worker_id=worker.name, languages=["en"], **said)
    tasks: list[_Task] = []
    for day in range(days):
        for _ in range(10):
            task = _posted(random, len(tasks), BEGIN + timedelta(days=day, minutes=random.randrange(1440)))
            tasks.append(task)
            log_.add(task.opened, "task_posted", **_posting(task, pay=pay, skills=skills, titles=titles))
        for worker in people:
            if random.random() < 0.6:
                at = BEGIN + timedelta(days=day, minutes=random.randrange(1440))
                _visit(random, log_, worker, tasks, at, explored=explored)
    return sorted(log_.events, key=lambda event: str(event["at"]))


class _Log:
    def __init__(self) -> None:
        self.events: list[Record] = []

    def add(self, at: datetime, kind: str, **fields: Any) -> None:
        self.events.append({"event_id": f"e{len(self.events)}", "type": kind, "at": written(at), **fields})


def written(at: datetime) -> str:
    """An instant as the log has it; texts of one length, so that they sort by time."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _posted(random: Random, number: int, opened: datetime) -> _Task:
    kind = random.choice(sorted(KINDS))
    return _Task(
        name=f"t{number}",
        kind=kind,
        # Three requesters for each kind of work.
        requester=f"r-{kind}-{random.randrange(3)}",
        reward=round(exp(random.gauss(0, 0.5)), 2),
        opened=opened,
        closes=opened + timedelta(days=3),
    )


def _posting(task: _Task, *, pay: bool, skills: bool, titles: bool) -> Record:
    posting: Record = {
        "task_id": task.name,
        "requester_id": task.requester,
        "category": task.kind,
        "estimated_minutes": 20,
        "slots": 5,
        "expires_at": written(task.closes),
    }
    if pay:
        posting["reward"] = {"amount": str(task.reward), "currency": "USD"}
    if skills:
        posting["skills"] = [task.kind]
    if titles:
        posting["title"] = " ".join(KINDS[task.kind])
    return posting


def _visit(random: Random, log_: _Log, worker: _Worker, tasks: list[_Task], at: datetime, *, explored: bool) -> None:
    choices = [task for task in tasks if task.opened < at < task.closes and len(task.takers) < 5]
    shown = random.sample(choices, min(LIST_LENGTH, len(choices)))
    feed = f"f{len(log_.events)}"
    items: list[Record] = [{"task_id": task.name, "position": place} for place, task in enumerate(shown, 1)]
    if explored:
        items = [{**item, "propensity": 1 / (len(choices) - place)} for place, item in enumerate(items)]
    log_.add(at, "feed_served", feed_id=feed, worker_id=worker.name, items=items)
    for task in shown:
        names = {"worker_id": worker.name, "task_id": task.name}
        fondness = 3.5 * (task.kind in worker.likes) + 1.2 * log(task.reward) + 0.2 * worker.done.get(task.requester, 0)
        if worker.name in task.takers or random.random() > 1 / (1 + exp(4.2 - fondness)):
            if random.random() < 0.1:
                log_.add(at + timedelta(minutes=1), "task_viewed", **names, feed_id=feed)
            continue
        at += timedelta(minutes=random.randrange(2, 40))
        task.takers.add(worker.name)
        log_.add(at, "assignment_accepted", **names, feed_id=feed)
        if random.random() < 0.08:
            log_.add(at + timedelta(minutes=9), "assignment_returned", **names)
            continue
        worker.done[task.requester] = worker.done.get(task.requester, 0) + 1
        work = random.randrange(300, 1800)
        handed_in = at + timedelta(seconds=work)
        log_.add(handed_in, "assignment_submitted", **names, work_seconds=work)
        well_done = random.random() < worker.care * (1 if task.kind in worker.likes else 0.5)
        verdict = "assignment_approved" if well_done else "assignment_rejected"
        log_.add(handed_in + timedelta(minutes=random.randrange(5, 90)), verdict, **names)


def disordered(events: Sequence[Record], seed: int = 0) -> list[Record]:
    """Return a log in which half a day's events come in any order, as several late imports leave it."""
    random = Random(seed)
    halves: dict[tuple[str, bool], list[Record]] = {}
    for event in events:
        halves.setdefault((event["at"][:10], event["at"][11:13] < "12"), []).append(event)
    for half in halves.values():
        random.shuffle(half)
    return [event for half in halves.values() for event in half]


def thinned(events: Sequence[Record], seed: int = 0, share: float = 0.1) -> list[Record]:
    """Return the log without a share of its events, whichever they are."""
    random = Random(seed)
    return [event for event in events if random.random() >= share]


def entries(events: Iterable[Record]) -> Batch:
    """Return the log as a store gives it back: (sequence number, ``known_at``, event)."""
    batch: Batch = []
    known_at = 0
    for seq, record in enumerate(events, 1):
        event = decode_event(json.dumps(record).encode())
        known_at = max(known_at, micros(event.at))
        batch.append((seq, known_at, event))
    return batch


def batches(log_: Batch, size: int = 1_000) -> list[Batch]:
    """Cut a log as a store does."""
    return [log_[begin : begin + size] for begin in range(0, len(log_), size)]


def rows_of(events: Sequence[Record], maturity: timedelta = timedelta(hours=6)) -> TrainingSet:
    """Return the training set of all that a log knows."""
    log_ = batches(entries(events))
    return training_set(lambda: log_, RATES, until=end_of(log_), maturity=maturity // timedelta(microseconds=1))


def end_of(log_: list[Batch]) -> int:
    """Return the first instant at which all of a log is known."""
    return log_[-1][-1][1] + 1


@cache
def usual() -> tuple[list[Record], TrainingSet]:
    """Return the market of seed 0 with its training set; made once, so leave it as it is."""
    events = market()
    return events, rows_of(events)


def trained_on(rows: TrainingSet, parameters: RankerParameters = SMALL) -> Trained:
    """Train a small model."""
    return train(rows, RATES.fingerprint(), parameters)


def bundle_of(rows: TrainingSet) -> Bundle:
    """Return a small model of a training set."""
    return trained_on(rows).bundle


@cache
def usual_training() -> Trained:
    """Return the training of a small model of `usual`; made once, so leave it as it is."""
    # On a busy machine, threads that wait for each other make small models slow.
    with threadpool_limits(1):
        return trained_on(usual()[1])


def usual_bundle() -> Bundle:
    """Return the model of `usual_training`."""
    return usual_training().bundle


def ranker_of(bundle: Bundle) -> Ranker:
    """Return what ranks with a bundle."""
    return BundleRanker(bundle, "1")


def weighed(stage: FirstStage, columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first stage's score of each row of compared columns."""
    return np.asarray(np.where(np.isnan(columns), stage.fill, columns) @ stage.weights)


def write(path: Path, events: Iterable[Record]) -> Path:
    """Write a log file."""
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path
