"""What an analyst does without an API: open a market, learn from what was known, publish, promote, go back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from features.errors import CocokError
from features.events import micros
from service.workspace import Promotion, Workspace
from training.contest import Contest
from training.dataset import TrainingSet
from training.gate import Limits
from training.publish import publish
from training.ranker import RankerParameters
from training.train import Trained

PARAMETERS = RankerParameters(
    min_trees=60, max_trees=60, folds=2, feature_fraction=0.6, min_data_in_leaf=30, num_threads=1
)
LIMITS = Limits(latency_ms=10_000)
"""How long a list takes on a busy machine is not tested here."""

KNOWN = datetime(2025, 12, 29, tzinfo=UTC)
"""Models learn from what was known then; on what came afterwards they are judged."""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep settings of whoever runs the tests out of them."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COCOK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def turned_round(rows: TrainingSet) -> TrainingSet:
    """Return the rows as codes read the wrong way round leave them: the best outcome of newcomers is their worst."""
    return replace(
        rows, labels=np.where(rows.column("worker_accepts") == 0, 4 - rows.labels, rows.labels).astype(np.int8)
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A young market, in which every day more workers come who have no history yet."""
    home = tmp_path_factory.mktemp("market")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(home)
        return Workspace.sample(home, workers=250, days=8)


@pytest.fixture(scope="module")
def rows(place: Workspace) -> TrainingSet:
    return place.training_set(until=KNOWN, maturity=timedelta(hours=6))


@pytest.fixture(scope="module")
def sound(place: Workspace, rows: TrainingSet) -> Trained:
    return place.train(rows, PARAMETERS)


@pytest.fixture(scope="module")
def version(place: Workspace, sound: Trained) -> int:
    return place.publish(sound, name="sound")


def run_of(place: Workspace, version: int) -> str:
    (found,) = [each.run_id for each in place.registry.versions() if each.number == version]
    return found


def again(place: Workspace, version: int) -> int:
    """Register the model of a version once more, without the time that its figures take."""
    return place.registry.register(run_of(place, version))


def tags_of(place: Workspace, version: int) -> dict[str, str]:
    client = MlflowClient(f"sqlite:///{place.settings.home / 'mlflow' / 'mlflow.db'}")
    return dict(client.get_model_version("cocok", str(version)).tags)


def promoted(place: Workspace, version: int) -> Promotion:
    return place.promote(version, limits=LIMITS)


def test_given_no_sample_then_it_is_made_once_and_found_again() -> None:
    made = Workspace.sample(workers=20, days=2)
    log = made.settings.home / "cocok.db"
    assert made.settings.home == Path("home", "sample").absolute()
    lists = len(made.log().lists)
    assert lists > 0
    written = log.stat().st_mtime_ns
    assert len(Workspace.sample(workers=20, days=2).log().lists) == lists
    assert log.stat().st_mtime_ns == written


def test_given_the_same_seed_then_everybody_has_the_same_sample(tmp_path: Path) -> None:
    one, other = (Workspace.sample(tmp_path / name, workers=20, days=2) for name in ("one", "other"))
    assert list(one.entries()) == list(other.entries())


def test_given_an_instant_then_the_training_set_knows_nothing_later(place: Workspace, rows: TrainingSet) -> None:
    assert rows.until == micros(KNOWN)
    assert rows.times.max() + rows.maturity <= micros(KNOWN)
    later = place.training_set(maturity=timedelta(hours=6))
    known_then = later.select(later.times + later.maturity <= micros(KNOWN))
    np.testing.assert_array_equal(rows.features, known_then.features)
    np.testing.assert_array_equal(rows.labels, known_then.labels)
    assert len(later) > len(known_then)


def test_given_no_log_then_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CocokError, match="cocok import"):
        Workspace.open(tmp_path / "empty").training_set()


def test_given_lists_from_after_the_end_then_it_is_said_what_is_wrong(place: Workspace) -> None:
    with pytest.raises(CocokError, match="since"):
        place.training_set(since=KNOWN, until=KNOWN)


def test_given_a_regression_for_newcomers_then_it_does_not_serve_and_its_repair_does(
    place: Workspace, rows: TrainingSet, version: int
) -> None:
    assert promoted(place, version).promoted
    assert place.registry.champion() == version
    assert tags_of(place, version)["gate.verdict"] == "passed"

    faulty = place.publish(place.train(turned_round(rows), PARAMETERS), name="faulty")
    refusal = promoted(place, faulty)
    assert not refusal.promoted
    assert any('"workers: new"' in reason for reason in refusal.reasons)
    assert refusal.verdict is not None
    checks = refusal.verdict.table().set_index("check")["passes"]
    assert not checks[checks.index.str.startswith("workers: new")].any()
    assert checks["NDCG@10 against a random order"]
    assert place.registry.champion() == version
    assert tags_of(place, faulty)["gate.verdict"] == "refused"
    assert "workers: new" in tags_of(place, faulty)["gate.reasons"]

    repaired = again(place, version)
    assert promoted(place, repaired).promoted
    assert place.registry.champion() == repaired

    assert place.rollback() == version
    assert place.registry.champion() == version
    assert place.rollback() is None
    assert place.registry.champion() is None


def test_given_a_refusal_then_force_promotes_and_says_so(place: Workspace, version: int) -> None:
    impossible = replace(LIMITS, calibration=-1.0)
    assert not place.promote(version, limits=impossible).promoted
    forced = place.promote(version, limits=impossible, force=True)
    assert forced.promoted
    assert forced.reasons
    assert place.registry.champion() == version
    assert tags_of(place, version)["gate.verdict"] == "forced"


def test_given_another_promotion_meanwhile_then_nothing_is_displaced_but_by_force(
    place: Workspace, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.promote(version, limits=LIMITS, force=True)
    late, meanwhile = again(place, version), again(place, version)
    judging = place._contest

    def overtaken(*args: Any) -> Contest:
        place.registry.promote(meanwhile)
        return judging(*args)

    with monkeypatch.context() as patch:
        patch.setattr(place, "_contest", overtaken)
        with pytest.raises(CocokError, match=f"judged against version {version}, version {meanwhile} began to serve"):
            promoted(place, late)
        assert place.registry.champion() == meanwhile
        assert place.rollback() == version
        assert place.promote(late, limits=LIMITS, force=True).promoted
    assert place.rollback() == meanwhile
    place.promote(version, limits=LIMITS, force=True)


def test_given_a_version_then_it_is_judged_on_lists_since_and_the_figures_stay_with_its_run(
    place: Workspace, sound: Trained, version: int
) -> None:
    contest = place.contest(version)
    assert contest.rows.times.min() >= sound.last.rows.times.min()
    assert contest.rows.times.max() > micros(KNOWN)
    found = place.evaluate(version)
    assert found.evaluation.lists > sound.judged
    client = MlflowClient(f"sqlite:///{place.settings.home / 'mlflow' / 'mlflow.db'}")
    kept = {Path(artifact.path).name for artifact in client.list_artifacts(run_of(place, version), "evaluation")}
    assert {"metrics.csv", "differences.png"} <= kept


def test_given_a_column_of_ones_own_then_it_can_be_judged_and_the_gate_says_what_serving_it_takes(
    place: Workspace, rows: TrainingSet
) -> None:
    own = rows.with_columns({"noon": rows.frame()["at"].dt.hour == 12})
    trained = place.train(own, replace(PARAMETERS, min_trees=20, max_trees=20))
    assert trained.metrics["ndcg@10"].low > trained.baselines["random"]["ndcg@10"].value
    result = promoted(place, place.publish(trained))
    assert not result.promoted
    assert result.verdict is None
    assert result.reasons == [
        "the challenger was trained with the column 'noon', which is not in the feature spec: "
        "add it to features.spec and train again"
    ]


def test_given_models_to_forget_then_numbers_begin_anew_and_the_log_stays(sound: Trained) -> None:
    other = Workspace.sample(workers=20, days=2)
    lists = len(other.log().lists)
    publish(other.registry, sound)
    other.forget_models()
    assert other.registry.versions() == []
    assert len(other.log().lists) == lists
    assert publish(other.registry, sound) == 1


def test_given_a_shared_server_then_its_models_are_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:9")
    with pytest.raises(CocokError, match="shared"):
        Workspace.open().forget_models()
