"""A training that is published can be found again, with all that tells how it was done and how good it is."""

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from features.events import micros
from features.spec import fingerprint
from matching.bundle import Bundle
from tests.market import RATES, usual
from training.metrics import Estimate
from training.publish import publish
from training.ranker import RankerParameters
from training.registry import Registry
from training.train import Trained, train

PARAMETERS = RankerParameters(max_trees=25, folds=2, num_threads=1, learning_rate=0.07)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def trained() -> Trained:
    rows = usual()[1]
    return train(rows, RATES.fingerprint(), PARAMETERS, until=int(rows.times[-1]) + rows.maturity + 1)


@pytest.fixture(scope="module")
def version(home: Path, trained: Trained) -> int:
    return publish(Registry.at(home), trained, usual()[1], PARAMETERS)


def client(home: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")


def run_of(home: Path, version: int) -> Run:
    (run_id,) = [each.run_id for each in Registry.at(home).versions() if each.number == version]
    return client(home).get_run(run_id)


def test_given_a_training_then_its_bundle_comes_back_under_number_and_alias(
    home: Path, trained: Trained, version: int
) -> None:
    registry = Registry.at(home)
    assert version == 1
    assert registry.resolve("challenger") in {each.number for each in registry.versions()}
    bundle = Bundle.load(registry.fetch(version), expected_features=fingerprint(), expected_rates=RATES.fingerprint())
    features = usual()[1].features[:200]
    np.testing.assert_array_equal(bundle.score(features), trained.bundle.score(features))
    np.testing.assert_array_equal(bundle.p_accept(features), trained.bundle.p_accept(features))
    assert bundle.metrics == {name: vars(estimate) for name, estimate in trained.metrics.items()}


def test_given_a_training_then_its_run_tells_how_it_was_done(home: Path, trained: Trained, version: int) -> None:
    told = run_of(home, version).data.params
    assert (told["learning_rate"], told["max_trees"], told["folds"]) == ("0.07", "25", "2")
    assert told["trees"] == str(trained.choice.trees)
    assert told["maturity_hours"] == "6.0"
    assert told["lists"] == str(len(usual()[1]))


def test_given_a_training_then_its_run_has_the_metrics_of_model_and_baselines(
    home: Path, trained: Trained, version: int
) -> None:
    logged = run_of(home, version).data.metrics
    for name, estimate in trained.metrics.items():
        name = name.replace("@", "_at_")
        assert (logged[name], logged[f"{name}.low"], logged[f"{name}.high"]) == (
            estimate.value,
            estimate.low,
            estimate.high,
        )
    for name, metrics in trained.baselines.items():
        assert logged[f"{name}.mrr"] == metrics["mrr"].value


def test_given_a_training_then_its_run_names_its_data_and_what_it_fits(
    home: Path, trained: Trained, version: int
) -> None:
    tags = run_of(home, version).data.tags
    assert micros(datetime.fromisoformat(tags["data_since"])) == trained.bundle.since
    assert micros(datetime.fromisoformat(tags["data_until"])) == trained.bundle.until
    assert (tags["features_fingerprint"], tags["rates_fingerprint"]) == (fingerprint(), RATES.fingerprint())


def test_given_folds_then_each_is_a_run_below_the_training_with_its_curve(
    home: Path, trained: Trained, version: int
) -> None:
    parent = run_of(home, version).info
    runs = client(home).search_runs(
        [parent.experiment_id], f"tags.mlflow.parentRunId = '{parent.run_id}'", order_by=["tags.mlflow.runName"]
    )
    assert [run.info.run_name for run in runs] == ["fold 1", "fold 2"]
    for run, curve in zip(runs, trained.choice.folds, strict=True):
        history = client(home).get_metric_history(run.info.run_id, "ndcg_at_10")
        assert [point.value for point in sorted(history, key=lambda point: point.step)] == curve.tolist()


def test_given_a_figure_that_does_not_exist_then_the_training_is_published_all_the_same(
    home: Path, trained: Trained, version: int
) -> None:
    nothing = Estimate(math.nan, math.nan, math.nan)
    metrics = {**trained.metrics, "mrr": nothing}
    blank = replace(trained, metrics=metrics, bundle=replace(trained.bundle, metrics={"mrr": vars(nothing)}))
    later = publish(Registry.at(home), blank, usual()[1], PARAMETERS)
    assert later > version
    assert Registry.at(home).resolve("challenger") == later
    assert math.isnan(run_of(home, later).data.metrics["mrr"])
