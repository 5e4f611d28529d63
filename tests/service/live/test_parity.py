"""What is served is what training sees: rows replayed from the log equal the rows that were ranked, bit for bit."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from random import Random
from threading import Event as Flag
from threading import Lock
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from features.build import rows
from features.events import FeedServed, micros
from features.state import MarketState
from matching.query import Query
from service.engine import Engine
from service.listing import Ranked
from service.store import Stored
from tests.market import KINDS, RATES, Record, ranker_of, usual, usual_bundle
from tests.service.api.server import serving
from tests.service.live.server import ending_now, fill, now, posted, promoted
from training.lists import mature, read_history
from training.registry import Registry
from training.replay import training_set

FEEDS = 250
BETWEEN = 40
"""Lists wanted that have other events between what they knew and their own place in the log."""

MOST_FEEDS = 3_000


@dataclass
class Run:
    """What happened while the server was under load.

    Attributes:
        rows: feed id -> the rows that were ranked, in order of the list.
        answers: feed id -> what the client got.
        log: the whole log afterwards.
    """

    rows: dict[str, NDArray[np.float32]]
    answers: dict[str, dict[str, Any]]
    log: list[Stored]

    def lists(self) -> list[tuple[int, FeedServed]]:
        """The lists that were served, with their places in the log."""
        return [
            (entry.seq, entry.event)
            for entry in self.log
            if isinstance(entry.event, FeedServed) and entry.event.feed_id in self.rows
        ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("parity") / "home"
    fill(home, ending_now(usual()[0]))
    promoted(home, usual_bundle())
    served: dict[str, NDArray[np.float32]] = {}

    def watching(rank: Callable[..., tuple[Ranked, Query]]) -> Callable[..., tuple[Ranked, Query]]:
        def watched(*arguments: object) -> tuple[Ranked, Query]:
            ranked, query = rank(*arguments)
            if ranked.items:
                served[ranked.listing.feed_id] = np.stack([item.row for item in ranked.items])
            return ranked, query

        return watched

    with pytest.MonkeyPatch.context() as patch, serving(home, registry=Registry.at(home)) as api:
        patch.setattr(Engine, "feed", watching(Engine.feed))
        patch.setattr(Engine, "ranking", watching(Engine.ranking))
        answers = _load(str(api.base_url), lambda: _between(api.runtime.engine.store.read(), served))
        log = [entry for batch in api.runtime.engine.store.read() for entry in batch]
    return Run(served, answers, log)


def _between(batches: Iterable[Sequence[Stored]], served: dict[str, Any]) -> int:
    return sum(
        entry.event.log_seq is not None and entry.event.log_seq < entry.seq - 1
        for batch in batches
        for entry in batch
        if isinstance(entry.event, FeedServed) and entry.event.feed_id in served
    )


def _load(address: str, between: Callable[[], int]) -> dict[str, dict[str, Any]]:
    """Ask for lists from three sides while two others write, until there are lists enough of each kind."""
    stop, answers, lock = Flag(), dict[str, dict[str, Any]](), Lock()

    def write(seed: int) -> None:
        random, numbers = Random(seed), count()
        with httpx.Client(base_url=address, timeout=30) as client:
            while not stop.is_set():
                batch = [_deed(random, f"{seed}-{next(numbers)}") for _ in range(random.randint(1, 5))]
                posted(client, "/v1/events", batch)

    def ask(seed: int) -> None:
        random = Random(seed)
        with httpx.Client(base_url=address, timeout=30) as client:
            while not stop.is_set():
                found = [answer for answer in _asked(client, random) if answer["items"]]
                with lock:
                    answers.update({answer["feed_id"]: answer for answer in found})
                    enough = len(answers) >= FEEDS
                if enough and (len(answers) >= MOST_FEEDS or between() >= BETWEEN):
                    stop.set()

    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(write, seed) for seed in (1, 2)] + [pool.submit(ask, seed) for seed in (3, 4, 5)]
        for each in running:
            # One that fails must not leave the others running.
            each.add_done_callback(lambda done: stop.set() if done.exception() else None)
    for each in running:
        each.result()
    return answers


def _deed(random: Random, number: str) -> Record:
    """Anything that changes what is known; a third of it is told late."""
    late = timedelta(seconds=random.uniform(1, 7_200) if random.random() < 0.35 else 0)
    event: Record = {"event_id": f"live-{number}", "at": now(late)}
    worker, task = _worker(random), f"t{random.randrange(240, 280)}"
    kind = random.choice(sorted(KINDS))
    match random.choice(["post", "post", "update", "profile", "close", "rate", *["deed"] * 8]):
        case "post":
            fields = {"task_id": f"new-{random.randrange(60)}", "requester_id": f"r-{kind}-0", "slots": 40}
            pay = {"amount": f"{random.uniform(0.1, 9):.2f}", "currency": random.choice(["USD", "EUR"])}
            more = {"title": " ".join(KINDS[kind]), "category": kind, "skills": [kind], "reward": pay}
            return {**event, "type": "task_posted", **fields, **more, "estimated_minutes": random.randint(1, 60)}
        case "update":
            return {**event, "type": "task_updated", "task_id": task, "slots": random.randint(3, 30)}
        case "profile":
            profile = {"skills": random.sample(sorted(KINDS), 2), "languages": ["en"], "session_minutes": 45}
            return {**event, "type": "worker_updated", "worker_id": worker, **profile}
        case "close":
            return {**event, "type": "task_closed", "task_id": f"new-{random.randrange(60)}"}
        case "rate":
            rating = {"requester_id": f"r-{kind}-0", "rating": random.randint(1, 5)}
            return {**event, "type": random.choice(["requester_rated", "worker_rated"]), "worker_id": worker, **rating}
    stages = ("accepted", "accepted", "submitted", "approved", "rejected", "returned")
    deeds = ("task_viewed", "task_saved", "task_hidden", *(f"assignment_{stage}" for stage in stages))
    return {**event, "type": random.choice(deeds), "worker_id": worker, "task_id": task}


def _worker(random: Random) -> str:
    # Strangers are few, so that some become known while they wait for their list.
    return f"stranger{random.randrange(30)}" if random.random() < 0.3 else f"w{random.randrange(40)}"


def _asked(client: httpx.Client, random: Random) -> list[dict[str, Any]]:
    wish: dict[str, Any] = {"worker_id": _worker(random), "locale": random.choice(["en", "id"])}
    if random.random() < 0.7:
        wish["session_minutes"] = random.choice([0.1, 5, 30.25, 60, 480])
    if random.random() < 0.3:
        wish["min_reward"] = {"amount": "0.8", "currency": random.choice(["USD", "EUR"])}
    if random.random() < 0.2:
        wish["exclude_task_ids"] = [f"t{random.randrange(250, 280)}"]
    if random.random() < 0.1:
        candidates = [f"t{number}" for number in random.sample(range(240, 290), 20)]
        return [posted(client, "/v1/rankings", {**wish, "candidates": candidates})]
    if random.random() < 0.2:
        wish["categories"] = random.sample(sorted(KINDS), 3)
    wish |= {"limit": random.randint(1, 30), "explore": random.random() < 0.2, "explain": random.random() < 0.5}
    if random.random() < 0.1:
        return list(posted(client, "/v1/feeds/batch", [wish, {**wish, "worker_id": _worker(random)}]))
    return [posted(client, "/v1/feeds", wish)]


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Bit for bit, also where a value is missing."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def replayed(run: Run) -> dict[str, NDArray[np.float32]]:
    """The rows of each list as training builds them."""
    until = run.log[-1].known_at + 3_600_000_000
    found = training_set(lambda: [run.log], RATES, until=until, maturity=1)
    lists = mature(read_history([run.log]), None, until, 1)
    return {
        served.feed_id: found.features[start:stop]
        for served, start, stop in zip(lists, found.offsets[:-1], found.offsets[1:], strict=True)
    }


def test_given_feeds_under_concurrent_writes_then_there_are_lists_of_every_kind(run: Run) -> None:
    lists = run.lists()
    assert {served.feed_id for _, served in lists} == run.rows.keys() == run.answers.keys()
    assert len(lists) >= 200
    assert sum(seq - 1 > (served.log_seq or 0) for seq, served in lists) >= 20
    known: set[str] = set()
    strangers = 0
    late = 0
    clock = 0
    for entry in run.log:
        late += micros(entry.event.at) < clock
        clock = entry.known_at
        if isinstance(entry.event, FeedServed) and entry.event.feed_id in run.rows:
            strangers += entry.event.worker_id not in known
        known.add(getattr(entry.event, "worker_id", ""))
    assert strangers >= 10
    assert late >= 50
    contexts = [served.context for _, served in lists if served.context]
    assert len({context.session_minutes for context in contexts}) >= 5
    assert {context.surface for context in contexts} == {"feed", "batch", "ranking"}
    print(f"{len(lists)} lists, {sum(seq - 1 > (served.log_seq or 0) for seq, served in lists)} with events between")


def test_given_the_log_then_the_rows_of_training_are_those_that_were_served(run: Run) -> None:
    found = replayed(run)
    assert [feed_id for feed_id, rows_ in run.rows.items() if not same(found[feed_id], rows_)] == []


def test_given_the_log_then_folding_event_by_event_gives_the_rows_that_were_served(run: Run) -> None:
    at_prefix: dict[int, list[FeedServed]] = {}
    for _, served in run.lists():
        assert served.log_seq is not None
        at_prefix.setdefault(served.log_seq, []).append(served)
    state, compared = MarketState(RATES), 0
    for entry in run.log:
        state.apply([entry])
        for served in at_prefix.get(entry.seq, ()):
            tasks = np.array([state.catalogue.tasks.get(item.task_id) for item in served.items], np.int32)
            worker = state.catalogue.workers.get(served.worker_id)
            minutes = served.context.session_minutes if served.context else None
            row = rows(state, worker, tasks, micros(served.at), float("nan") if minutes is None else minutes)
            assert same(row, run.rows[served.feed_id])
            compared += 1
    assert compared == len(run.rows)


def test_given_the_log_then_the_scores_answered_and_logged_are_those_of_the_replayed_rows(run: Run) -> None:
    ranker, found = ranker_of(usual_bundle()), replayed(run)
    for _, served in run.lists():
        answer = run.answers[served.feed_id]
        scores = ranker.answers(found[served.feed_id]).scores
        assert [item["score"] for item in answer["items"]] == scores.tolist()
        assert [item.score for item in served.items] == scores.astype(np.float32).astype(float).tolist()
        assert [item["task_id"] for item in answer["items"]] == [item.task_id for item in served.items]
        assert answer["model_version"] == served.model_version == "1"


def test_given_another_prefix_than_the_logged_one_then_the_comparison_would_notice(run: Run) -> None:
    shifted = [
        entry._replace(event=_without_log_seq(entry.event)) if isinstance(entry.event, FeedServed) else entry
        for entry in run.log
    ]
    found = replayed(Run(run.rows, run.answers, shifted))
    differing = {feed_id for feed_id, rows_ in run.rows.items() if not same(found[feed_id], rows_)}
    between = {served.feed_id for seq, served in run.lists() if seq - 1 > (served.log_seq or 0)}
    assert len(differing) >= 10
    assert differing <= between


def _without_log_seq(event: FeedServed) -> FeedServed:
    return msgspec.structs.replace(event, log_seq=None)
