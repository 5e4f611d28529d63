"""Which model serves, and that a new champion is taken up."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Semaphore

import pytest

from features.errors import CocokError
from matching.bundle import Bundle
from service import security
from tests.market import bundle_of, usual
from tests.service.api.server import Api, Registry, serving, task, usd


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(bundle_of(usual()[1]))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[Api]:
    home = tmp_path_factory.mktemp("api") / "home"
    with serving(home, registry=registry, model_poll_seconds=0.2) as running:
        running.events(*(task(f"t{number}", reward=usd(number), estimated_minutes=5) for number in range(9)))
        yield running


def test_given_no_champion_then_the_fallback_serves(api: Api) -> None:
    answer = api.get("/v1/models").json()
    assert (answer["champion"]["version"], answer["shadow"], answer["refused"]) == ("fallback", None, None)


def test_given_a_promotion_then_reloading_takes_it_up_at_once(api: Api, registry: Registry) -> None:
    registry.promoted = 1
    champion = api.post("/v1/models/reload").json()["champion"]
    assert champion["version"] == "1"
    assert champion["metrics"]
    feed = api.feed("w", limit=3)
    assert feed["model_version"] == "1"
    assert 0 <= feed["items"][0]["p_accept"] <= 1
    assert feed["items"][0]["expected_minutes"] > 0
    assert api.log()[-1]["model_version"] == "1"


def test_given_another_promotion_then_it_is_noticed_before_long(api: Api, registry: Registry) -> None:
    registry.promoted = 2
    deadline = time.monotonic() + 10
    while api.get("/v1/models").json()["champion"]["version"] != "2":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert api.feed("w")["model_version"] == "2"


class _Hanging(Registry):
    """Once it hangs, a look at the champion takes until one is let go."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.hangs = False
        self.looking = Event()
        self.let_go = Semaphore(0)
        self.looks = 0

    def champion(self) -> int | None:
        self.looks += 1
        found = self.promoted
        if self.hangs:
            self.looking.set()
            assert self.let_go.acquire(timeout=60)
        return found


def test_given_a_model_store_that_hangs_then_everything_else_answers_and_who_waits_shares_one_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "REFRESH_SECONDS", 0.0)
    registry, many = _Hanging(bundle_of(usual()[1])), 50
    with (
        serving(tmp_path / "home", registry=registry, model_poll_seconds=3_600) as api,
        ThreadPoolExecutor(many) as pool,
    ):
        registry.hangs, registry.looks = True, 0
        try:
            first = pool.submit(api.post, "/v1/models/reload")
            assert registry.looking.wait(10)
            registry.promoted = 1
            others = [pool.submit(api.post, "/v1/models/reload") for _ in range(many - 1)]
            time.sleep(1)
            for path in ("/v1/models", "/metrics", "/healthz"):
                assert api.get(path, timeout=5).status_code == 200
            assert api.feed("w")["model_version"] == "fallback"
            assert registry.looks == 1
        finally:
            registry.let_go.release(many)
        # The look that was under way came too early to know of the promotion.
        assert first.result().json()["champion"]["version"] == "fallback"
        assert {other.result().json()["champion"]["version"] for other in others} == {"1"}
        assert registry.looks == 2


class _Down(Registry):
    """A store that cannot be reached until it is back, on a machine where version 7 served last."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.promoted = self.served = 7
        self.back = False
        self.loaded = 0

    def champion(self) -> int | None:
        if not self.back:
            raise CocokError("MLflow cannot be used")
        return super().champion()

    def load(self, version: int, *, expected_features: str, expected_rates: str) -> Bundle:
        self.loaded += 1
        return super().load(version, expected_features=expected_features, expected_rates=expected_rates)


def test_given_a_store_that_is_down_at_the_start_then_what_served_last_serves_until_it_is_back(tmp_path: Path) -> None:
    registry = _Down(bundle_of(usual()[1]))
    with serving(tmp_path / "home", registry=registry) as api:
        answer = api.get("/v1/models").json()
        assert (answer["champion"]["version"], answer["refused"]) == ("7", "MLflow cannot be used")
        api.events(task("t", reward=usd(1)))
        assert api.feed("w")["model_version"] == "7"
        registry.back = True
        answer = api.post("/v1/models/reload").json()
        assert (answer["champion"]["version"], answer["refused"]) == ("7", None)
        # The seventh version of the store that answers may be another than the one that served last.
        api.post("/v1/models/reload")
        assert registry.loaded == 1
        registry.promoted = None
        api.post("/v1/models/reload")
        assert registry.served is None


def test_given_a_store_that_is_down_and_nothing_that_served_then_the_fallback_serves(tmp_path: Path) -> None:
    registry = _Down(bundle_of(usual()[1]))
    registry.served = None
    with serving(tmp_path / "home", registry=registry) as api:
        assert api.get("/v1/models").json()["champion"]["version"] == "fallback"
