"""`cocok promote` and `cocok rollback`, as a user runs them."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from matching.bundle import Bundle
from matching.calibration import Additive
from service.cli import main
from tests.market import bundle_of, market, usual, write, written
from tests.service.cli.run import Cocok
from training.aliases import CHAMPION, PREVIOUS
from training.registry import Registry

GOOD, POOR, OLD, GONE = 1, 2, 3, 4
"""Versions: a trained one, one that has learned noise, one that was trained for features of another time, and one of
which the store has nothing any more."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine, threads that wait for each other make small models slow."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the log of the usual market and three versions."""
    folder = tmp_path_factory.mktemp("market")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COCOK_HOME", str(folder / "home"))
        for name in ("COCOK_CONFIG", "COCOK_RATES", "COCOK_DATABASE_URL", "COCOK_BASE_CURRENCY"):
            patch.delenv(name, raising=False)
        with pytest.raises(SystemExit) as left:
            main(["import", str(write(folder / "log.ndjson", market()))])
    assert left.value.code in {None, 0}
    registry = Registry.at(folder / "home")
    old = replace(good(), features_fingerprint="of old")
    for number, bundle in ((GOOD, good()), (POOR, poor()), (OLD, old), (GONE, good())):
        bundle.save(folder / str(number))
        run_id = registry.log_run({}, {}, folder / str(number))
        assert registry.register(run_id) == number
    shutil.rmtree(folder / "home" / "mlflow" / "artifacts" / run_id)
    return folder / "home"


@cache
def good() -> Bundle:
    return bundle_of(usual()[1])


def poor() -> Bundle:
    rows, bundle = usual()[1], good()
    noise = np.random.default_rng(0).normal(size=len(rows.labels))
    settings = {"objective": "regression", "verbosity": -1, "num_threads": 1}
    guess = Additive(lgb.train(settings, lgb.Dataset(rows.features, noise), num_boost_round=5))
    assert bundle.judge is not None
    return replace(bundle, ranker=guess, judge=replace(bundle.judge, ranker=guess))


@pytest.fixture
def registry(home: Path) -> Registry:
    """The registry, where nothing has been promoted yet."""
    registry = Registry.at(home)
    for alias in (CHAMPION, PREVIOUS):
        registry.remove_alias(alias)
    return registry


@pytest.fixture
def cocok(home: Path, registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cocok:
    assert registry.champion() is None
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Cocok(home, capsys, monkeypatch)


def one_line_of(out: str, begin: str) -> str:
    (line,) = [line for line in out.splitlines() if line.startswith(begin)]
    return line


def one_line(err: str) -> str:
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    return err


def test_given_a_version_that_beats_chance_then_it_serves_and_the_figures_are_shown(
    cocok: Cocok, registry: Registry
) -> None:
    ran = cocok("promote", GOOD)
    assert ran.code == 0, ran.err
    assert registry.champion() == GOOD
    assert "random" in ran.out
    assert f"Version {GOOD} serves." in ran.out
    assert "Refused" not in ran.out


def test_given_json_then_promote_says_whether_and_why(cocok: Cocok) -> None:
    said = cocok("promote", GOOD, "--json").json()
    assert (said["promoted"], said["reasons"]) == (True, [])
    ran = cocok("promote", POOR, "--json")
    assert ran.code == 3
    said = ran.json()
    assert said["promoted"] is False
    assert [said["unseen"], one_line_of(cocok("promote", POOR).out, "Note: ")] == [
        ["newcomers were too few to be looked at: 0 of 30 lists"],
        "Note: newcomers were too few to be looked at: 0 of 30 lists.",
    ]
    assert len(said["reasons"]) >= 2
    assert all(isinstance(reason, str) for reason in said["reasons"])
    assert set(said["differences"]) == {"random", "champion"}
    for figures in said["differences"].values():
        assert figures["low"] <= figures["value"] <= figures["high"]


def test_given_a_worse_version_then_it_is_refused_with_code_3_and_the_champion_stays(
    cocok: Cocok, registry: Registry
) -> None:
    cocok("promote", GOOD)
    ran = cocok("promote", POOR)
    assert ran.code == 3
    assert registry.champion() == GOOD
    assert "Refused: it is not better than a random order" in ran.out
    assert "Refused: it is worse than the champion by more than" in ran.out
    assert "serves" not in ran.out
    assert "--force" in ran.out


def test_given_no_champion_then_a_guess_is_refused_and_nothing_serves(cocok: Cocok, registry: Registry) -> None:
    assert cocok("promote", POOR).code == 3
    assert registry.champion() is None


def test_given_force_then_it_serves_all_the_same_and_the_reasons_are_told(cocok: Cocok, registry: Registry) -> None:
    ran = cocok("promote", POOR, "--force", "--json")
    assert ran.code == 0
    assert ran.json()["promoted"] is True
    assert "random order" in ran.json()["reasons"][0]
    assert registry.champion() == POOR


def test_given_promotions_then_rollback_undoes_them_one_by_one(cocok: Cocok, registry: Registry) -> None:
    cocok("promote", GOOD)
    cocok("promote", POOR, "--force")
    ran = cocok("rollback")
    assert (ran.code, ran.out) == (0, f"Version {GOOD} serves again.\n")
    assert registry.champion() == GOOD
    again = cocok("rollback")
    assert again.code == 0
    assert again.out == "No version serves any more, so the fallback does.\n"
    assert registry.champion() is None


def test_given_json_then_rollback_names_what_serves(cocok: Cocok) -> None:
    cocok("promote", GOOD)
    cocok("promote", POOR, "--force")
    assert cocok("rollback", "--json").json() == {"champion": GOOD}


def test_given_no_promotion_then_there_is_nothing_to_roll_back(cocok: Cocok, registry: Registry) -> None:
    ran = cocok("rollback")
    assert (ran.code, ran.out) == (1, "")
    assert "nothing to go back to" in one_line(ran.err)
    assert registry.champion() is None


def test_given_a_champion_then_rank_uses_it_unless_another_is_named(cocok: Cocok, tmp_path: Path) -> None:
    at = written(datetime(2026, 1, 29, 12, tzinfo=UTC))
    requests = write(tmp_path / "q.ndjson", [{"request_id": "q", "at": at, "worker_id": "w1"}])

    def ranked(*options: object) -> tuple[int, list[str]]:
        out = tmp_path / "ranked.ndjson"
        ran = cocok("rank", "--requests", requests, "--out", out, "--json", *options)
        assert (ran.code, ran.err) == (0, "")
        return ran.json()["version"], [item["task_id"] for item in json.loads(out.read_text())["items"]]

    cocok("promote", GOOD)
    assert ranked() == ranked("--model", GOOD)
    cocok("promote", POOR, "--force")
    assert ranked() == ranked("--model", POOR)
    assert ranked()[1] != ranked("--model", GOOD)[1]
    cocok("rollback")
    assert ranked() == ranked("--model", GOOD)


def test_given_what_serves_already_then_promoting_it_again_keeps_the_way_back(cocok: Cocok, registry: Registry) -> None:
    cocok("promote", POOR, "--force")
    cocok("promote", GOOD)
    again = cocok("promote", GOOD, "--json")
    assert (again.code, again.json()["promoted"]) == (0, True)
    cocok("rollback")
    assert registry.champion() == POOR


@pytest.mark.parametrize("options", [(), ("--force",)])
@pytest.mark.parametrize("champion", [OLD, GONE], ids=["of other features", "that is gone"])
def test_given_a_champion_that_cannot_serve_then_it_does_not_bar_the_way(
    cocok: Cocok, registry: Registry, champion: int, options: tuple[str, ...]
) -> None:
    registry.set_alias(CHAMPION, champion)
    ran = cocok("promote", GOOD, "--json", *options)
    assert ran.code == 0, ran.err
    assert set(ran.json()["differences"]) == {"random"}
    assert "champion cannot be compared with" in ran.err
    assert registry.champion() == GOOD


def test_given_a_version_of_other_features_then_it_is_refused_by_an_error_even_with_force(
    cocok: Cocok, registry: Registry
) -> None:
    ran = cocok("promote", OLD, "--force")
    assert ran.code == 1
    assert "the features" in one_line(ran.err)
    assert registry.champion() is None


def test_given_a_version_that_does_not_exist_then_those_that_do_are_named(cocok: Cocok) -> None:
    ran = cocok("promote", 99)
    assert ran.code == 1
    assert "no model '99'" in one_line(ran.err)


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_given_help_then_it_shows_an_example(cocok: Cocok, command: str) -> None:
    ran = cocok(command, "--help")
    assert ran.code == 0
    assert f"Example: cocok {command}" in ran.out
