"""Which model serves, and that a new champion is taken up."""

import time
from collections.abc import Iterator

import pytest

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
