"""What old lists cost in the database and in files: room, reading, moving, and forgetting a worker.

    python -m benchmarks.archive [--lists 100000] [--json archive.json]

The lists are of twenty tasks, with ids of 32 hex digits, scores and the usual context, as the API logs them; the tasks
are 10,000 at a time, one in ten lists brings a new one, and there are 20,000 workers. Between two lists lies another
event. Times are CPU of the process, medians of the runs.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.report import Figure, parser, ratio, report
from features.events import (
    Event,
    FeedContext,
    FeedItem,
    FeedServed,
    TaskViewed,
    WorkerErased,
    instant,
    micros,
)
from service.erasure import erase
from service.store import SqliteStore

COMMIT = 50
WHERE = ("in the database", "in files")
BEGIN = 1_772_323_200_000_000
MINUTE = 60_000_000


def events(lists: int) -> Iterator[Event]:
    chance = Random(1)
    scores = np.random.default_rng(1)

    def name() -> str:
        return f"{chance.getrandbits(128):032x}"

    tasks, workers = [name() for _ in range(10_000)], [name() for _ in range(20_000)]
    for number in range(lists):
        if number % 10 == 0:
            tasks[chance.randrange(len(tasks))] = name()
        feed, worker, at = name(), chance.choice(workers), instant(BEGIN + number * MINUTE + chance.randrange(MINUTE))
        drawn = scores.standard_normal(20).astype(np.float32).tolist()
        yield FeedServed(
            event_id=f"feed-{feed}",
            at=at,
            feed_id=feed,
            worker_id=worker,
            items=tuple(
                FeedItem(task, place, score, 1.0)
                for place, (task, score) in enumerate(zip(chance.sample(tasks, 20), drawn, strict=True), 1)
            ),
            context=FeedContext(surface="feed"),
            model_version="12",
            policy="ranked",
            log_seq=2 * number,
        )
        yield TaskViewed(event_id=name(), at=at, worker_id=worker, task_id=chance.choice(tasks))


def cpu(store: SqliteStore, step: Callable[[SqliteStore], object]) -> float:
    begun = time.process_time()
    step(store)
    return time.process_time() - begun


def read(store: SqliteStore) -> None:
    for _ in store.read():
        pass


def forget(store: SqliteStore) -> None:
    """Erase the worker of the first list."""
    first = next(store.read(batch=1))[0].event
    assert isinstance(first, FeedServed)
    erased = WorkerErased(event_id="erased", at=first.at, worker_id=first.worker_id)
    erase(store, [(store.append([erased]).seq, erased)])


def room(store: SqliteStore) -> int:
    """Return the bytes of the pages that are in use."""
    return store.archive(0).database_bytes


def stored(path: Path, log: list[Event]) -> SqliteStore:
    store = SqliteStore(path)
    for start in range(0, len(log), COMMIT):
        store.append(log[start : start + COMMIT])
    return store


def measured(lists: int, runs: int) -> list[Figure]:
    """Return the figures of a log with so many lists, all of them old."""
    log = list(events(lists))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cocok.db"
        stored(path, log).close()
        whole = SqliteStore(Path(shutil.copy(path, Path(folder) / "whole.db")))
        others = stored(Path(folder) / "others.db", [event for event in log if not isinstance(event, FeedServed)])
        rest, before = room(others), room(whole)
        store = SqliteStore(path)
        begun = time.process_time()
        done = store.archive(micros(log[-1].at) + 1)
        moving = time.process_time() - begun
        reads: tuple[list[float], list[float]] = ([], [])
        again: tuple[list[float], list[float]] = ([], [])
        for run in range(runs):
            for each, reading, appending in zip((whole, store), reads, again, strict=True):
                reading.append(cpu(each, read))
                sent = log[run * COMMIT : (run + 1) * COMMIT]
                appending.append(cpu(each, lambda each, sent=sent: each.append(sent)) * 1e3)
        forgetting = [cpu(each, forget) for each in (whole, store)]
        kept = room(store)
        for each in (whole, others, store):
            each.compact()
        packed = [(room(each) - room(others)) / done.lists for each in (whole, store)]
        for each in (whole, others, store):
            each.close()
    in_files = done.file_bytes / done.lists
    in_table, left = (before - rest) / done.lists, (kept - rest) / done.lists
    reading = [Figure(f"reading the log, {where}", "s", taken) for where, taken in zip(WHERE, reads, strict=True)]
    return [
        Figure("room in the database", "bytes a list", [in_table]),
        Figure("the same, compacted", "bytes a list", [packed[0]]),
        Figure("room in files", "bytes a list", [in_files]),
        Figure("what of them stays in the database", "bytes a list", [left]),
        Figure("the same, compacted", "bytes a list", [packed[1]]),
        Figure("both, of the room in the database", "", [(in_files + left) / in_table]),
        *reading,
        ratio("reading, of the time in the database", reading[1], reading[0]),
        *(
            Figure(f"{COMMIT} events sent again, {where}", "ms", taken)
            for where, taken in zip(WHERE, again, strict=True)
        ),
        *(
            Figure(f"forgetting a worker, {where}", "s", [taken])
            for where, taken in zip(WHERE, forgetting, strict=True)
        ),
        Figure("moving", "us a list", [moving / done.lists * 1e6]),
    ]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--lists", type=int, default=100_000)
    given = options.parse_args()
    figures = measured(given.lists, given.runs)
    report(f"Old lists, {given.lists:,} of twenty tasks", figures, given.json)


if __name__ == "__main__":
    main()
