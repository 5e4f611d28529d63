"""The engine behind the API: what it must bear."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest

from features.errors import CocokError
from features.events import Event, WorkerErased, decode_event
from features.state import MarketState
from matching.bundle import Bundle
from matching.pipeline import Feed, Matcher, Page
from matching.query import Query
from matching.scoring import Ranker
from service.engine import Engine
from service.erasure import erase
from service.listing import served_event
from service.models import Models
from service.store import Appended, ConflictError, Store, ToFold
from tests.log import RATES
from tests.market import bundle_of, usual
from tests.service.api.engine import engine_of, post
from tests.service.api.server import Registry, event, task


def seen(engine: Engine, seq: int, seconds: float = 60) -> bool:
    """Wait until reads see a sequence number; nothing is submitted for it."""
    deadline = time.monotonic() + seconds
    while engine.seq < seq and time.monotonic() < deadline:
        time.sleep(0.001)
    return engine.seq >= seq


@pytest.fixture
def engine(store: Store) -> Iterator[Engine]:
    engine = engine_of(store)
    engine.start()
    yield engine
    engine.stop()


def test_given_many_submissions_when_it_stops_then_all_that_was_taken_is_written(store: Store) -> None:
    engine = engine_of(store)
    engine.start()
    futures = [engine.submit([post(f"t{number}")]) for number in range(200)]
    engine.stop()
    assert max(future.result(timeout=1).seq for future in futures) == 200
    assert store.last_seq() == 200


def test_given_it_has_stopped_then_submissions_are_refused_at_once(engine: Engine) -> None:
    engine.stop()
    with pytest.raises(CocokError, match="stopping"):
        engine.submit([post("t")]).result(timeout=1)


def test_given_it_never_started_then_what_waits_is_refused_when_it_stops(store: Store) -> None:
    engine = engine_of(store)
    waiting = engine.submit([post("t")])
    engine.stop()
    with pytest.raises(CocokError, match="stopping"):
        waiting.result(timeout=1)


def test_given_it_is_stopped_while_it_reads_the_log_then_it_does_not_start(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append([post(f"t{number}") for number in range(10)])
    engine = engine_of(store)
    read = store.read_to_fold
    monkeypatch.setattr(store, "read_to_fold", lambda after=0, batch=0: read(after, batch=1))
    follow = engine._state.apply
    monkeypatch.setattr(engine._state, "apply", lambda entries: (follow(entries), engine._stop.set()))
    engine.start()
    assert (engine.seq, engine.caught_up) == (1, False)
    engine.stop()


def test_given_a_caller_gives_up_then_its_events_are_not_written_and_the_writer_lives_on(engine: Engine) -> None:
    gate = threading.Event()
    append = engine.store.append_groups

    def slow(groups: list[list[Event]]) -> object:
        gate.wait(5)
        return append(groups)

    engine.store.append_groups = slow  # type: ignore[method-assign,assignment]
    first = engine.submit([post("first")])
    while not first.running():
        time.sleep(0.001)
    given_up = engine.submit([post("given up")])
    assert given_up.cancel()
    assert not first.cancel()
    gate.set()
    assert first.result(timeout=5) == Appended(1, 0, 1)
    assert engine.submit([post("later")]).result(timeout=5) == Appended(1, 0, 2)


def test_given_a_currency_without_a_rate_in_the_log_then_it_does_not_start_and_says_why(store: Store) -> None:
    store.append([post("t", reward={"amount": "1", "currency": "XXX"})])
    with pytest.raises(CocokError, match=r"no rate for the currency XXX"):
        engine_of(store).start()


def test_given_another_process_writes_what_cannot_be_folded_then_it_says_so_and_lives_on(
    engine: Engine, store: Store
) -> None:
    store.append([post("t", reward={"amount": "1", "currency": "XXX"})])
    deadline = time.monotonic() + 5
    while not engine.failure and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "XXX" in engine.failure
    with pytest.raises(CocokError, match="in the log but cannot be read"):
        engine.submit([post("u")]).result(timeout=5)
    assert engine.read(lambda state: state.seq) == 0


def test_given_the_log_cannot_be_written_then_who_only_looks_is_answered(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append([post("t1")])
    engine = engine_of(store)

    def full(_: object) -> list[Appended | ConflictError]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "append_groups", full)
    # Submitted before it starts, so that they are of one commit.
    written, look = engine.submit([post("t2")]), engine.look()
    engine.start()
    try:
        with pytest.raises(OSError, match="No space"):
            written.result(timeout=10)
        assert look.result(timeout=10) == (0, 0, 1)
    finally:
        engine.stop()


def test_given_a_reader_fails_then_the_next_one_reads_and_the_writer_writes(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        engine.read(lambda _: 1 // 0)
    assert engine.submit([post("t")]).result(timeout=5).seq == 1
    assert engine.read(lambda state: len(state.open_tasks)) == 1


def test_given_submissions_at_once_then_each_has_its_own_answer(engine: Engine) -> None:
    first = post("t")
    other = decode_event(json.dumps({**task("t"), "event_id": first.event_id}).encode())
    futures: list[Future[Appended]] = [engine.submit(group) for group in ([first], [other], [first, post("u")])]
    assert futures[0].result(timeout=5).accepted == 1
    with pytest.raises(CocokError, match=first.event_id):
        futures[1].result(timeout=5)
    assert futures[2].result(timeout=5) == Appended(1, 1, 2)


def test_given_a_served_list_then_what_is_logged_can_be_read_back(engine: Engine) -> None:
    engine.submit([post("t")]).result(timeout=5)
    ranked, query = engine.feed(lambda now: Query("w", now))
    impossible = replace(ranked.listing, scores=np.array([np.inf]), propensities=np.zeros(1))
    engine.submit([served_event(impossible, query, None, "ranked")]).result(timeout=5)
    assert engine.seq == 2
    assert engine.failure == ""


def test_given_who_notes_the_order_then_it_is_durable_before_anything_is_said_of_its_tasks(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.submit([post("t")]).result(timeout=5)
    written: list[int] = []

    def told(matcher: Matcher, state: MarketState, query: Query, page: Page) -> Feed:
        assert [done.result(timeout=5).seq for done in logged] == [2]
        written.append(state.seq)
        return say(matcher, state, query, page)

    logged: list[Future[Appended]] = []
    say = Matcher.told
    monkeypatch.setattr(Matcher, "told", told)
    ranked, _ = engine.feed(
        lambda now: Query("w", now),
        lambda listing, query: logged.append(engine.submit([served_event(listing, query, None, "ranked")], seen=False)),
    )
    assert written == [1]
    assert [item.task_id for item in ranked.items] == ranked.listing.tasks == ["t"]


def test_given_lists_that_need_not_be_seen_then_they_are_durable_while_others_read_and_then_seen(
    engine: Engine,
) -> None:
    engine.submit([post("t")]).result(timeout=5)
    ranked, query = engine.feed(lambda now: Query("w", now))
    listed = served_event(ranked.listing, query, None, "ranked")

    def submit(state: MarketState) -> int:
        assert engine.submit([listed], seen=False).result(timeout=5).seq == 2
        return state.seq

    assert engine.read(submit) == 1
    assert seen(engine, 2)


def test_given_lists_that_gather_then_they_are_written_together_with_the_first_that_may_not_wait(
    store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, append = [], store.append_groups

    def watched(groups: Sequence[Sequence[Event]]) -> list[Appended | ConflictError]:
        commits.append(len(groups))
        return append(groups)

    monkeypatch.setattr(store, "append_groups", watched)
    monkeypatch.setattr("service.engine.GATHER_SECONDS", 60.0)
    lists = [engine.submit([post(f"t{number}")], seen=False, gather=True) for number in range(5)]
    with pytest.raises(TimeoutError):
        lists[0].result(timeout=0.2)
    assert engine.submit([post("t")]).result(timeout=5).seq == 6
    assert [done.result(timeout=5).seq for done in lists] == [1, 2, 3, 4, 5]
    assert commits == [6]


def test_given_a_list_that_gathers_and_no_other_then_it_is_written_all_the_same(engine: Engine) -> None:
    assert engine.submit([post("t")], seen=False, gather=True).result(timeout=5).seq == 1


def test_given_somebody_always_reads_then_lists_are_seen_all_the_same(engine: Engine) -> None:
    engine.submit([post("t")]).result(timeout=5)
    ranked, query = engine.feed(lambda now: Query("w", now))
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            engine.read(lambda _: time.sleep(0.01))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    engine.submit([served_event(ranked.listing, query, None, "ranked")], seen=False).result(timeout=5)
    assert seen(engine, 2)
    over.set()
    for reader in readers:
        reader.join()


def test_given_lists_one_after_another_then_they_are_folded_together(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.LISTS_SECONDS", 60.0)
    monkeypatch.setattr("service.engine.LULL_SECONDS", 30.0)
    for number in range(1, 6):
        assert engine.submit([post(f"t{number}")], seen=False).result(timeout=5).seq == number
    assert engine.seq == 0
    monkeypatch.setattr("service.engine.LULL_SECONDS", 0.0)
    assert engine.read(lambda _: engine.submit([post("t6")], seen=False).result(timeout=5)).seq == 6
    assert not seen(engine, 1, seconds=0.1)  # somebody read
    engine.submit([post("t7")], seen=False).result(timeout=5)
    assert seen(engine, 7, seconds=5)


def test_given_a_list_that_is_not_folded_yet_then_who_asks_for_lists_waits_for_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.LISTS_SECONDS", 60.0)
    engine.submit([post("t")]).result(timeout=5)
    ranked, query = engine.feed(lambda now: Query("w", now))
    listed = served_event(ranked.listing, query, None, "ranked")
    engine.read(lambda _: engine.submit([listed], seen=False).result(timeout=5))
    assert engine.read_with_lists(lambda state: state.seq) == 2


def test_given_a_champion_that_fails_in_any_way_then_the_old_one_serves_and_the_reason_goes_when_it_does() -> None:
    class Broken(Registry):
        def load(self, version: int, *, expected_features: str, expected_rates: str) -> Bundle:
            raise OSError("the disk")

    source = Broken()
    source.promoted = 7
    models = Models(source, RATES)
    assert models.refresh().version == "fallback"
    assert models.current.refused == "OSError while loading"
    source.promoted = None
    assert models.refresh().refused == ""


def test_given_a_new_champion_then_it_is_prepared_before_it_serves() -> None:
    def prepare(ranker: Ranker) -> None:
        prepared.append((ranker.version, models.current.version))
        if len(prepared) == 1:
            raise OSError("the disk")

    source, prepared = Registry(bundle_of(usual()[1])), list[tuple[str, str]]()
    models = Models(source, RATES, prepare)
    source.promoted = 7
    assert [models.refresh().version for _ in range(3)] == ["fallback", "7", "7"]
    source.promoted = None
    assert models.refresh().version == "fallback"
    assert prepared == [("7", "fallback"), ("7", "fallback"), ("fallback", "7")]


def test_given_it_has_started_then_no_list_waits_for_what_is_said_of_all_tasks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = engine_of(store)
    first.start()
    first.submit([post(f"t{number}") for number in range(30)]).result(timeout=5)
    first.stop()
    matcher = Matcher(shortlist=10)
    engine = Engine(store, RATES, Models(Registry(), RATES), matcher=matcher)
    engine.start()
    written: list[int] = []
    monkeypatch.setattr("matching.priors._write", lambda _, __, places, *___: written.append(len(places)))
    try:
        assert len(engine.feed(lambda now: Query("w", now, limit=3))[0].items) == 3
        assert sum(written) == 0
        engine.submit([post("t3", title="Something else")]).result(timeout=5)
        engine.feed(lambda now: Query("w", now, limit=3))
        assert sum(written) == 1
    finally:
        engine.stop()


def test_given_it_stops_while_a_ranker_is_prepared_then_that_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(store)
    engine.start()
    engine.submit([post(f"t{number}") for number in range(3)]).result(timeout=5)
    engine.stop()
    reads: list[object] = []
    monkeypatch.setattr(engine, "read", reads.append)
    engine.prepare(engine.models.current.ranker)
    assert not reads


def test_given_workers_erased_by_another_process_then_the_log_is_read_anew_until_nobody_is_erased_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(kind: str, worker: str) -> Event:
        return decode_event(json.dumps(event(kind, worker_id=worker)).encode())

    def erased_elsewhere(worker: str) -> None:
        erasure = told("worker_erased", worker)
        assert isinstance(erasure, WorkerErased)
        erase(store, [(store.append([erasure]).seq, erasure)])

    read, gate, refused = store.read_to_fold, threading.Event(), list[str]()

    def followed(after: int = 0, **options: int) -> Iterator[list[ToFold]]:
        if after and not gate.is_set():
            return
        yield from read(after, **options)
        if not after and not refused:
            # It has folded the second worker by now, and is not to answer from what it has.
            with pytest.raises(CocokError, match="anew") as error:
                engine.read_with_lists(lambda state: state.seq)
            refused.append(str(error.value))
            erased_elsewhere("second")

    engine = engine_of(store)
    store.append([post("t"), told("worker_updated", "first"), told("worker_updated", "second")])
    engine.start()
    monkeypatch.setattr(store, "read_to_fold", followed)
    try:
        erased_elsewhere("first")
        assert engine.read(lambda state: state.catalogue.workers.get("first"))
        gate.set()
        engine.look().result(timeout=60)
        assert refused
        assert engine.read_with_lists(
            lambda state: [state.catalogue.workers.get(name) for name in ("first", "second")]
        ) == [0, 0]
        assert (engine.caught_up, engine.failure) == (True, "")
    finally:
        engine.stop()
