"""The challenger ranks beside the champion, for nobody: what is told of it, and that nothing else comes of it."""

import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from features.errors import CocokError
from features.state import MarketState
from matching.bundle import Bundle, BundleError
from matching.pipeline import Matcher
from matching.priors import Priors
from matching.query import Query
from matching.reading import Read
from service.engine import Engine
from service.models import Models
from service.shadow import Shadow
from service.store import Store
from service.telemetry import Metrics
from tests.log import RATES
from tests.market import bundle_of, usual
from tests.service.api.engine import post
from tests.service.api.server import Api, Registry, serving, task, usd

FORTY = [task(f"t{number}", reward=usd(1 + number), estimated_minutes=5 + number) for number in range(40)]
OVERLAP = 'cocok_shadow_overlap_{}{{version="2"}}'
SECONDS = 'cocok_shadow_seconds_count{{ranker="{}"}}'


class _Reversed(Bundle):
    """Puts last what the bundle puts first."""

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        return -super().score(features)


class _Failing(Bundle):
    """Can be loaded, and then cannot score anything."""

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        if len(features):
            raise ValueError("secret")
        return super().score(features)


def like(bundle: Bundle, kind: type[Bundle]) -> Bundle:
    return kind(**{field.name: getattr(bundle, field.name) for field in fields(Bundle)})


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return bundle_of(usual()[1])


@pytest.fixture
def registry(bundle: Bundle) -> Registry:
    """A registry with version 1 as the champion, and a challenger that puts last what that puts first."""
    registry = Registry(bundle)
    registry.promoted, registry.newest = 1, 2
    registry.others[2] = like(bundle, _Reversed)
    return registry


def told(metrics: Metrics | Api, name: str) -> float:
    """A number of `/metrics`; 0 where it is not told."""
    text = metrics.get("/metrics").text if isinstance(metrics, Api) else metrics.render().body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} "))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def compared(api: Api, times: int) -> None:
    """Wait until so many feeds have been compared."""
    until(lambda: told(api, SECONDS.format("shadow")) >= times)
    assert told(api, SECONDS.format("shadow")) == told(api, SECONDS.format("champion")) == times


def models(api: Api) -> dict[str, Any]:
    return dict(api.post("/v1/models/reload").json())


def test_given_a_challenger_then_it_ranks_beside_the_champion_and_serves_nobody(
    tmp_path: Path, registry: Registry
) -> None:
    with serving(tmp_path / "home", registry=registry, shadow_share=1.0) as api:
        assert models(api)["shadow"] is not None
        api.events(*FORTY)
        answer = api.get("/v1/models").json()
        assert (answer["champion"]["version"], answer["shadow"]["version"]) == ("1", "2")
        assert answer["shadow"].keys() == answer["champion"].keys()
        assert answer["shadow"]["metrics"] == answer["champion"]["metrics"] != {}
        served = []
        for number in range(3):
            served.append(api.feed("w", limit=5))
            compared(api, number + 1)
        assert told(api, OVERLAP.format("count")) == 3
        assert told(api, OVERLAP.format("sum")) == 0
        assert told(api, "cocok_shadow_failures_total") == 0
        assert told(api, 'cocok_items_ranked_total{model="1"}') == 15
        lists = [payload for payload in api.log() if payload["type"] == "feed_served"]
        assert [(each["feed_id"], each["model_version"]) for each in lists] == [
            (each["feed_id"], "1") for each in served
        ]
        assert len(api.log()) == 40 + 3


def test_given_a_challenger_that_is_equal_then_all_of_each_page_overlaps(tmp_path: Path, registry: Registry) -> None:
    registry.others.clear()
    with serving(tmp_path / "home", registry=registry, shadow_share=1.0) as api:
        assert models(api)["shadow"] is not None
        api.events(*FORTY)
        for number in range(2):
            api.feed(f"w{number}", limit=5 + number)
            compared(api, number + 1)
        assert told(api, OVERLAP.format("count")) == told(api, OVERLAP.format("sum")) == 2


def test_given_a_page_with_all_there_is_then_it_is_timed_and_says_nothing_of_overlap(
    tmp_path: Path, registry: Registry
) -> None:
    with serving(tmp_path / "home", registry=registry, shadow_share=1.0) as api:
        assert models(api)["shadow"] is not None
        api.feed("w")  # of nothing
        compared(api, 1)
        api.events(*FORTY[:4])
        api.feed("w", limit=4)
        compared(api, 2)
        assert told(api, OVERLAP.format("count")) == 0


def test_given_lists_that_show_less_of_a_model_or_are_not_logged_then_they_are_left_alone(
    tmp_path: Path, registry: Registry
) -> None:
    with serving(tmp_path / "home", registry=registry, shadow_share=1.0) as api:
        assert models(api)["shadow"] is not None
        api.events(*FORTY)
        cursor = api.feed("w", limit=5)["cursor"]
        compared(api, 1)
        api.feed("w", limit=5, cursor=cursor)
        api.feed("w", limit=5, explore=True)
        api.feed("w", limit=5, record=False)
        api.post("/v1/rankings", json={"worker_id": "w", "candidates": ["t1", "t2"]})
        batch = [{"worker_id": "w", "limit": 5, "record": False}, {"worker_id": "w", "limit": 5}]
        assert api.post("/v1/feeds/batch", json=batch).status_code == 200
        compared(api, 2)
        # Whatever else was offered comes out by now.
        time.sleep(0.5)
        compared(api, 2)
    with serving(tmp_path / "swapped", registry=registry, shadow_share=1.0, swap_share=1.0) as api:
        assert models(api)["shadow"] is not None
        api.events(*FORTY)
        api.feed("w", limit=5)
        api.feed("w", limit=5, explore=False)
        compared(api, 1)


class _Asked(Registry):
    """Notes what is asked of it."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.asked: list[str | int] = []

    def challenger(self) -> int | None:
        self.asked.append("challenger")
        return super().challenger()

    def load(self, version: int, *, expected_features: str, expected_rates: str) -> Bundle:
        self.asked.append(version)
        return super().load(version, expected_features=expected_features, expected_rates=expected_rates)


def test_given_no_share_then_no_challenger_is_looked_for(tmp_path: Path, bundle: Bundle) -> None:
    registry = _Asked(bundle)
    registry.promoted, registry.newest = 1, 2
    with serving(tmp_path / "home", registry=registry) as api:
        api.events(*FORTY)
        api.feed("w", limit=5)
        assert models(api)["shadow"] is None
        assert registry.asked == [1]
        assert not any(thread.name == "cocok-shadow" for thread in threading.enumerate())
        assert told(api, SECONDS.format("champion")) == 0


class _Damaged(Registry):
    """Holds a challenger that cannot be loaded."""

    reason: Exception = BundleError("the bundle is damaged")

    def load(self, version: int, *, expected_features: str, expected_rates: str) -> Bundle:
        if version == self.newest:
            raise self.reason
        return super().load(version, expected_features=expected_features, expected_rates=expected_rates)


def test_given_a_challenger_that_cannot_be_loaded_then_that_is_told_once_and_nothing_else_happens(
    tmp_path: Path, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    registry = _Damaged(bundle)
    registry.promoted, registry.newest = 1, 2
    with serving(tmp_path / "home", registry=registry, shadow_share=1.0) as api:
        api.events(*FORTY)
        for _ in range(2):
            answer = models(api)
            assert (answer["champion"]["version"], answer["shadow"], answer["refused"]) == ("1", None, None)
        assert api.feed("w", limit=5)["model_version"] == "1"
        assert caplog.text.count("no shadow beside model 1: version 2: the bundle is damaged") == 1
        registry.reason = OSError("secret")
        models(api)
        assert "version 2: OSError while loading" in caplog.text
        assert "secret" not in caplog.text
        registry.newest = None
        assert models(api)["shadow"] is None
        registry.newest = 3
        registry.reason = RuntimeError()
        assert models(api)["shadow"] is None


def test_given_a_challenger_that_fails_then_it_is_counted_and_told_once_and_feeds_are_as_ever(
    tmp_path: Path, registry: Registry, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    registry.others[2] = like(bundle, _Failing)
    with serving(tmp_path / "home", registry=registry, shadow_share=1.0) as api:
        assert models(api)["shadow"] is not None
        api.events(*FORTY)
        for failures in (1, 2):
            assert [item["position"] for item in api.feed("w", limit=5)["items"]] == [1, 2, 3, 4, 5]
            until(lambda failures=failures: told(api, "cocok_shadow_failures_total") >= failures)
        assert told(api, OVERLAP.format("count")) == told(api, SECONDS.format("shadow")) == 0
        assert caplog.text.count("shadow 2 fails: ValueError") == 1
        assert "secret" not in caplog.text
        assert models(api)["champion"]["version"] == "1"


def test_given_its_promotion_then_the_shadow_ends_and_after_a_rollback_it_is_there_again(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.shadow.KEEP_SECONDS", 0.01)
    with serving(tmp_path / "home", registry=registry, shadow_share=1.0) as api:
        assert models(api)["shadow"] is not None
        api.events(*FORTY)
        first = api.feed("w", limit=5)["items"]
        compared(api, 1)
        shadow = api.runtime.models.shadow
        assert shadow is not None
        ranker = weakref.ref(shadow.ranker)
        del shadow
        registry.promoted = 2
        answer = models(api)
        assert (answer["champion"]["version"], answer["shadow"]) == ("2", None)
        assert not {item["task_id"] for item in first} & {item["task_id"] for item in api.feed("w", limit=5)["items"]}
        until(lambda: gc.collect() >= 0 and ranker() is None)
        assert told(api, SECONDS.format("shadow")) == 1
        registry.promoted = 1
        assert models(api)["shadow"]["version"] == "2"
        api.feed("w", limit=5)
        compared(api, 2)


def test_given_a_store_that_cannot_be_asked_after_the_promotion_then_no_version_is_its_own_shadow(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def challenger() -> int | None:
        seen.append((kept.current.version, kept.shadow and kept.shadow.version))
        return registry.newest

    kept = Models(registry, RATES, shadowed=True)
    kept.refresh()
    monkeypatch.setattr(registry, "challenger", challenger)
    kept.refresh()
    registry.promoted = 2
    kept.refresh()
    assert seen == [("1", "2"), ("2", None)]
    registry.promoted, registry.newest = 1, 3
    kept.refresh()
    assert kept.shadow is not None
    since = kept.shadow.since
    assert kept.shadow.version == "3"

    def down() -> int | None:
        raise CocokError("MLflow cannot be used")

    monkeypatch.setattr(registry, "champion", down)
    assert kept.refresh().refused
    assert (kept.shadow.version, kept.shadow.since) == ("3", since)


def test_given_no_champion_then_the_challenger_ranks_beside_the_fallback(registry: Registry) -> None:
    registry.promoted = None
    kept = Models(registry, RATES, shadowed=True)
    assert kept.refresh().version == "fallback"
    assert kept.shadow is not None
    assert kept.shadow.version == "2"


class _Desk:
    """An engine with forty open tasks, a champion and a shadow, and no server around them."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.models = Models(registry, RATES, shadowed=True)
        self.models.refresh()
        self.metrics = Metrics()
        self.matcher = Matcher(shortlist=10)
        self.engine = Engine(store, RATES, self.models, matcher=self.matcher)
        self.engine.start()
        self.engine.submit([post(f"t{number}", reward=usd(1 + number)) for number in range(40)]).result(timeout=60)
        self.shadow = Shadow(self.engine, self.matcher, self.models, self.metrics, 1.0)

    def offer(self, **fields: Any) -> None:
        self.shadow.offer(Query("w", self.engine.now(), **{"limit": 5, **fields}))

    def count(self) -> float:
        return told(self.metrics, SECONDS.format("shadow"))

    def stop(self) -> None:
        self.shadow.stop()
        self.engine.stop()


@pytest.fixture
def desk(store: Store, registry: Registry) -> Iterator[_Desk]:
    desk = _Desk(store, registry)
    yield desk
    desk.stop()


def test_given_it_is_busy_then_feeds_are_skipped_and_whoever_offers_them_does_not_wait(
    desk: _Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, let_go = threading.Event(), threading.Event()
    read = desk.engine.read

    def slowly(reader: Callable[[MarketState], object]) -> object:
        reading.set()
        assert let_go.wait(60)
        return read(reader)

    desk.shadow.start()
    desk.offer()
    until(lambda: desk.count() == 1)
    monkeypatch.setattr(desk.engine, "read", slowly)
    try:
        desk.offer()
        assert reading.wait(10)
        began = time.monotonic()
        for _ in range(1_000):
            desk.offer()
        assert time.monotonic() - began < 5
    finally:
        let_go.set()
    until(lambda: desk.count() == 3)
    time.sleep(0.1)
    assert desk.count() == 3


def test_given_a_share_then_so_many_are_taken(desk: _Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    shadow = Shadow(desk.engine, Matcher(), desk.models, desk.metrics, 0.25)
    for chance, taken in [(0.25, 0), (0.24, 1)]:
        monkeypatch.setattr("service.shadow._CHANCE.random", lambda chance=chance: chance)
        shadow.offer(Query("w", 0))
        assert shadow._offered.qsize() == taken


def test_given_no_feeds_then_its_priors_are_kept_up_without_those_of_the_champion(
    desk: _Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.shadow.KEEP_SECONDS", 0.01)
    written: list[tuple[str, int]] = []
    monkeypatch.setattr(
        "matching.priors._write", lambda _, ranker, places, *__: written.append((ranker.version, len(places)))
    )
    # As while a feed writes them.
    with desk.matcher.priors._lock:
        desk.shadow.start()
        until(lambda: ("2", 40) in written)
        desk.engine.submit([post("t3", title="Something else")]).result(timeout=5)
        until(lambda: written[-1] == ("2", 1))
    assert {version for version, _ in written} == {"2"}


def test_given_the_log_is_read_anew_then_it_waits_and_prepares_again(
    desk: _Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = []
    prepare = Priors.prepare
    monkeypatch.setattr(Priors, "prepare", lambda *asked: prepared.append(1) or prepare(*asked))
    desk.shadow.start()
    desk.offer()
    until(lambda: desk.count() == 1)
    desk.engine.caught_up = False
    desk.offer()
    until(lambda: not desk.shadow._offered.qsize())
    desk.engine.caught_up = True
    desk.offer()
    until(lambda: desk.count() == 2)
    assert len(prepared) == 2


def test_given_it_is_stopped_in_the_middle_of_a_preparation_then_it_ends(
    desk: _Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    preparing = threading.Event()

    def prepare(_: Priors, read: Read, *__: object) -> None:
        while True:
            read(lambda state: state.seq)
            preparing.set()

    monkeypatch.setattr(Priors, "prepare", prepare)
    desk.shadow.start()
    desk.offer()
    assert preparing.wait(10)
    with caplog.at_level(logging.INFO):
        desk.shadow.stop()
    assert not any(thread.name == "cocok-shadow" for thread in threading.enumerate())
    assert "fails" not in caplog.text
    assert told(desk.metrics, "cocok_shadow_failures_total") == 0


def test_given_a_server_has_ended_then_so_has_the_thread(tmp_path: Path, registry: Registry) -> None:
    with serving(tmp_path / "home", registry=registry, shadow_share=1.0):
        until(lambda: any(thread.name == "cocok-shadow" for thread in threading.enumerate()))
    assert not any(thread.name == "cocok-shadow" for thread in threading.enumerate())
