"""Audiences of a running engine: prepared while they are asked for, and nobody waits for that."""

import json
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from features.events import decode_event
from features.state import MarketState
from matching import audience
from matching.audience import Audiences, UnpreparedError
from matching.reading import Read
from matching.scoring import Ranker
from service.engine import Engine
from service.store import Store
from tests.service.api.engine import engine_of, post
from tests.service.api.server import event


def find(name: str) -> Callable[[MarketState, int], int]:
    return lambda state, _: state.catalogue.tasks.get(name)


def ask(engine: Engine) -> None:
    """Ask for the audience of a task that is not there."""
    with pytest.raises(KeyError):
        engine.audience(lambda *_: {}["no task"], 1)


def threads(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == name]


def test_given_audiences_are_being_prepared_then_events_are_taken_in_between_the_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = threading.Event()

    def prepare(_: Audiences, read: Read, *__: object) -> None:
        # One preparation, that goes on until an event has come in between two of its parts.
        while read(lambda state: state.seq) == 0:
            pass
        seen.set()

    monkeypatch.setattr(Audiences, "prepare", prepare)
    engine = engine_of(store)
    engine.start()
    try:
        ask(engine)
        assert engine.submit([post("t")]).result(timeout=5).seq == 1
        assert seen.wait(5)
    finally:
        engine.stop()


def test_given_nobody_asks_for_audiences_then_none_is_prepared(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.audiences.FRESH_SECONDS", 0.01)
    rounds: SimpleQueue[float] = SimpleQueue()
    monkeypatch.setattr(Audiences, "prepare", lambda *_: rounds.put(time.monotonic()))
    engine = engine_of(store)
    engine.start()
    try:
        engine.submit([post("t")]).result(timeout=5)
        for asked in range(3):
            time.sleep(0.2)
            assert rounds.qsize() == 0
            if asked < 2:
                ask(engine)
                rounds.get(timeout=5)
    finally:
        engine.stop()


def test_given_it_stops_in_the_middle_of_a_preparation_then_no_thread_is_left(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def prepare(_: Audiences, read: Read, *__: object) -> None:
        while True:
            read(lambda state: begun.set())

    monkeypatch.setattr(Audiences, "prepare", prepare)
    engine = engine_of(store)
    engine.start()
    ask(engine)
    assert begun.wait(5)
    assert threads("cocok-audiences")
    engine.stop()
    assert not threads("cocok-audiences")


def test_given_audiences_cannot_be_prepared_then_it_is_not_tried_again_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: SimpleQueue[None] = SimpleQueue()

    def fail(*_: object) -> None:
        rounds.put(None)
        raise OSError("the disk")

    monkeypatch.setattr(Audiences, "prepare", fail)
    engine = engine_of(store)
    engine.start()
    try:
        monkeypatch.setattr(Audiences, "audience", lambda *_: (_ for _ in ()).throw(UnpreparedError))
        for _ in range(20):
            with pytest.raises(UnpreparedError):
                engine.audience(lambda *_: 0, 1)
            time.sleep(0.01)
        assert rounds.qsize() == 1
    finally:
        engine.stop()


def test_given_an_audience_that_is_not_prepared_then_it_is_refused_at_once_and_prepared(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audience, "SCORED", 1)
    gate, prepare = threading.Event(), Audiences.prepare

    def late(audiences: Audiences, read: Read, ranker: Ranker, now: int) -> None:
        gate.wait(5)
        prepare(audiences, read, ranker, now)

    monkeypatch.setattr(Audiences, "prepare", late)
    engine = engine_of(store)
    engine.start()
    try:
        profiles = [decode_event(json.dumps(event("worker_updated", worker_id=f"w{n}")).encode()) for n in range(9)]
        engine.submit([post("t"), *profiles]).result(timeout=5)
        with pytest.raises(UnpreparedError):
            engine.audience(find("t"), 2)
        # Whoever asks in vain has it prepared anew, whatever is under way.
        gate.set()
        deadline = time.monotonic() + 5
        while True:
            try:
                found, _, seq = engine.audience(find("t"), 2)
                break
            except UnpreparedError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert (len(found.members), seq) == (2, 10)
    finally:
        gate.set()
        engine.stop()
