"""Promotion under load: each answer is that of one champion, and a damaged one changes nothing."""

import logging
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Event as Flag
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from matching.bundle import Bundle
from matching.query import Query
from matching.scoring import Ranker
from service.engine import Engine
from service.listing import Ranked
from tests.market import RATES, ranker_of, usual, usual_bundle
from tests.service.api.server import Api, serving
from tests.service.live.server import ending_now, fill, posted, promoted, registered, until
from training.ranker import RankerParameters
from training.registry import Registry
from training.train import train

PROMOTIONS = 8
FEEDS_EACH = 12
"""Lists served before the next promotion."""


@dataclass(frozen=True)
class Served:
    """An answer with the seconds between which it was made."""

    begun: float
    ended: float
    answer: dict[str, Any]


@dataclass(frozen=True)
class Change:
    """A promotion with the seconds between which it took effect."""

    begun: float
    ended: float
    version: str


@cache
def other_bundle() -> Bundle:
    """Return a model that scores every row otherwise than `usual_bundle`."""
    rows = usual()[1]
    parameters = RankerParameters(min_trees=3, max_trees=6, folds=2, num_threads=1)
    with threadpool_limits(1):
        return train(rows, RATES.fingerprint(), parameters).bundle


@pytest.fixture(scope="module")
def rankers() -> dict[str, Ranker]:
    return {"1": ranker_of(usual_bundle()), "2": ranker_of(other_bundle())}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    home = tmp_path / "home"
    fill(home, ending_now(usual()[0]))
    promoted(home, usual_bundle())
    registered(home, other_bundle())
    with serving(home, registry=Registry.at(home)) as running:
        yield running


def test_given_promotions_back_and_forth_under_load_then_each_answer_is_that_of_one_champion(
    api: Api, rankers: dict[str, Ranker], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: dict[str, NDArray[np.float32]] = {}

    feed = Engine.feed

    def watched(*arguments: Any) -> tuple[Ranked, Query]:
        ranked, query = feed(*arguments)
        if ranked.items:
            rows[ranked.listing.feed_id] = np.stack([item.row for item in ranked.items])
        return ranked, query

    monkeypatch.setattr(Engine, "feed", watched)
    registry, stop = Registry.at(api.home), Flag()
    served: list[Served] = []
    changes = [Change(0.0, 0.0, "1")]

    def ask(seed: int) -> None:
        with httpx.Client(base_url=api.base_url, timeout=30) as client:
            number = seed
            while not stop.is_set():
                number += 1
                begun = time.monotonic()
                answer = posted(client, "/v1/feeds", {"worker_id": f"w{number % 40}", "explain": False})
                served.append(Served(begun, time.monotonic(), answer))

    def wait_for(feeds: int) -> None:
        until(lambda: len(served) >= feeds or any(each.done() for each in running))

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(ask, 10 * seed) for seed in range(3)]
        try:
            wait_for(FEEDS_EACH)
            for turn in range(PROMOTIONS):
                version = 2 - turn % 2
                begun = time.monotonic()
                registry.promote(version)
                told = posted(api, "/v1/models/reload", {})
                changes.append(Change(begun, time.monotonic(), str(version)))
                assert told["champion"]["version"] == str(version)
                assert told["refused"] is None
                wait_for(len(served) + FEEDS_EACH)
        finally:
            stop.set()
    for each in running:
        each.result()

    assert len(changes) == PROMOTIONS + 1
    for one in served:
        assert one.answer["model_version"] in champions(changes, one.begun, one.ended)
        if one.answer["items"]:
            row = rows[one.answer["feed_id"]]
            scores = {version: ranker.answers(row).scores.tolist() for version, ranker in rankers.items()}
            assert [item["score"] for item in one.answer["items"]] == scores[one.answer["model_version"]]
            assert not set(scores["1"]) & set(scores["2"]), "the models must be told apart by their scores"
    versions = [one.answer["model_version"] for one in served]
    assert min(versions.count("1"), versions.count("2")) >= FEEDS_EACH
    print(f"{len(served)} feeds over {PROMOTIONS} promotions")


def champions(changes: list[Change], begun: float, ended: float) -> set[str]:
    """Return the versions that may have served at some time between two instants."""
    nexts = [change.ended for change in changes[1:]] + [float("inf")]
    return {
        change.version
        for change, replaced in zip(changes, nexts, strict=True)
        if change.begun <= ended and begun <= replaced
    }


def test_given_a_damaged_champion_then_the_old_one_serves_on_and_the_reason_is_told(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    artifact = next((api.home / "mlflow" / "artifacts").rglob(f"{_run_of(api, 2)}/**/ranker.txt"))
    flip_a_byte(artifact)
    Registry.at(api.home).promote(2)
    with caplog.at_level(logging.INFO, "service.models"):
        told = posted(api, "/v1/models/reload", {})
    assert told["champion"]["version"] == "1"
    assert "damaged" in told["refused"]
    assert "ranker.txt does not have its checksum" in told["refused"]
    lines = [record.getMessage() for record in caplog.records if record.name == "service.models"]
    assert lines == [f"keeping model 1: {told['refused']}"]
    assert api.get("/v1/models").json() == told
    assert api.get("/readyz").status_code == 200
    assert api.feed("w1")["model_version"] == "1"

    flip_a_byte(artifact)
    told = posted(api, "/v1/models/reload", {})
    assert (told["champion"]["version"], told["refused"]) == ("2", None)
    assert api.feed("w1")["model_version"] == "2"


def test_given_a_damaged_copy_of_a_sound_champion_then_it_is_fetched_again(api: Api) -> None:
    copy = Registry.at(api.home).fetch(2)
    flip_a_byte(copy / "ranker.txt")
    Registry.at(api.home).promote(2)
    assert posted(api, "/v1/models/reload", {})["champion"]["version"] == "2"
    assert api.feed("w1")["model_version"] == "2"


def test_given_copy_and_original_are_gone_then_the_old_one_serves_on(api: Api) -> None:
    run_id = _run_of(api, 2)
    shutil.rmtree(next((api.home / "mlflow" / "artifacts").rglob(run_id)))
    Registry.at(api.home).promote(2)
    told = posted(api, "/v1/models/reload", {})
    assert told["champion"]["version"] == "1"
    assert told["refused"]
    assert api.feed("w1")["model_version"] == "1"


def _run_of(api: Api, number: int) -> str:
    return next(version.run_id for version in Registry.at(api.home).versions() if version.number == number)


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
