"""A training that is published can be found again, with all that tells how it was done and how good it is."""

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Run

from features.events import instant, micros
from features.spec import fingerprint
from matching.bundle import Bundle
from tests.market import RATES, usual
from training.metrics import Estimate
from training.publish import publish
from training.ranker import RankerParameters
from training.registry import Registry
from training.train import Trained, train
from training.tuning import COMPLETE, PRUNED, Tuning

PARAMETERS = RankerParameters(min_trees=20, max_trees=25, folds=2, num_threads=1, learning_rate=0.07)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def trained() -> Trained:
    rows = usual()[1]
    return train(rows, RATES.fingerprint(), PARAMETERS)


@pytest.fixture(scope="module")
def version(home: Path, trained: Trained) -> int:
    figure = Figure()
    figure.subplots().plot(trained.choice.curve)
    return publish(
        Registry.at(home),
        trained,
        tags={"market": "small"},
        figures={"learning_curve": figure},
        tables={"slices": pd.DataFrame({"part": ["warm"], "lists": [3]})},
    )


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
    assert bundle.accept is not None
    assert trained.bundle.accept is not None
    np.testing.assert_array_equal(bundle.accept.predict(features), trained.bundle.accept.predict(features))
    assert bundle.metrics == {name: vars(estimate) for name, estimate in trained.metrics.items()}


def test_given_a_training_then_its_run_tells_how_it_was_done(home: Path, trained: Trained, version: int) -> None:
    told = run_of(home, version).data.params
    assert (told["learning_rate"], told["max_trees"], told["folds"]) == ("0.07", "25", "2")
    assert told["trees"] == str(trained.choice.trees)
    assert told["maturity_hours"] == "6.0"
    assert told["lists"] == str(len(usual()[1]))


def test_given_a_training_then_its_run_has_the_metrics_of_the_model_and_one_of_each_rival(
    home: Path, trained: Trained, version: int
) -> None:
    logged = run_of(home, version).data.metrics
    expected = {
        f"{name}{end}": number
        for name, estimate in trained.metrics.items()
        for end, number in (("", estimate.value), (".low", estimate.low), (".high", estimate.high))
    }
    expected |= {f"baseline.{name}.ndcg@10": metrics["ndcg@10"].value for name, metrics in trained.baselines.items()}
    expected |= {f"{part}.ndcg@10": rankers["model"]["ndcg@10"].value for part, rankers in trained.slices.items()}
    assert logged == {name.replace("@", "_at_"): value for name, value in expected.items()}


def test_given_figures_and_tables_then_the_run_keeps_them(home: Path, version: int) -> None:
    run_id = run_of(home, version).info.run_id
    kept = [artifact.path for part in ("figures", "tables") for artifact in client(home).list_artifacts(run_id, part)]
    assert kept == ["figures/learning_curve.png", "tables/slices.csv"]


def test_given_a_training_then_its_run_names_its_data_and_what_it_fits(
    home: Path, trained: Trained, version: int
) -> None:
    tags = run_of(home, version).data.tags
    assert micros(datetime.fromisoformat(tags["data_since"])) == trained.bundle.since
    assert micros(datetime.fromisoformat(tags["data_until"])) == trained.bundle.until
    assert (tags["features_fingerprint"], tags["rates_fingerprint"]) == (fingerprint(), RATES.fingerprint())
    assert tags["market"] == "small"


def test_given_a_training_then_its_run_says_when_how_good_and_what_it_lacks(
    home: Path, trained: Trained, version: int
) -> None:
    run = run_of(home, version)
    assert run.info.run_name == f"until {instant(trained.bundle.until):%Y-%m-%d %H:%M}, {trained.choice.trees} trees"
    estimate = trained.metrics["ndcg@10"]
    headline = f"NDCG@10 **{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})**"
    told = run.data.tags["mlflow.note.content"]
    assert told.startswith(headline)
    table = [line.split(" | ") for line in told.splitlines() if line.startswith("|")]
    assert [line[0] for line in table] == [
        "| ranker",
        "| ---",
        "| **model**",
        *(f"| {name}" for name in trained.baselines),
    ]
    assert len({len(line) for line in table}) == 1
    registered = client(home).get_model_version("cocok", str(version))
    assert registered.description.startswith(headline)
    assert registered.tags["ndcg_at_10"] == f"{estimate.value:.4f}"


def test_given_an_outcome_without_a_model_then_the_run_says_why(home: Path, trained: Trained) -> None:
    lacking = replace(trained, unfitted={"p_approve": "too few verdicts"})
    run = run_of(home, publish(Registry.at(home), lacking, name="without verdicts"))
    assert run.info.run_name == "without verdicts"
    assert "no model of `p_approve`: too few verdicts" in run.data.tags["mlflow.note.content"]


def test_given_a_search_then_its_run_tells_the_best_although_the_first_are_used(home: Path, trained: Trained) -> None:
    found = Tuning(
        start=PARAMETERS,
        best=replace(PARAMETERS, num_leaves=63),
        gain=Estimate(0.002, -0.001, 0.005),
        trials=pd.DataFrame({"state": [COMPLETE, PRUNED, COMPLETE]}),
    )
    run = run_of(home, publish(Registry.at(home), replace(trained, tuning=found)))
    assert {name: run.data.params[f"tuning.{name}"] for name in ("trials", "won", "gain", "best.num_leaves")} == {
        "trials": "3",
        "won": "False",
        "gain": "+0.0020 (-0.0010 to +0.0050)",
        "best.num_leaves": "63",
    }
    assert run.data.params["num_leaves"] == "15"
    assert f"parameters: {found.verdict()}" in run.data.tags["mlflow.note.content"]


def test_given_an_interval_without_bounds_then_its_ends_are_left_out(home: Path, trained: Trained) -> None:
    alone = replace(trained, metrics={**trained.metrics, "mrr": Estimate(0.5, -math.inf, math.inf)})
    logged = run_of(home, publish(Registry.at(home), alone)).data.metrics
    assert [name for name in logged if name.startswith("mrr")] == ["mrr"]


def test_given_folds_then_each_is_a_run_below_the_training_with_its_curve(
    home: Path, trained: Trained, version: int
) -> None:
    parent = run_of(home, version).info
    runs = client(home).search_runs(
        [parent.experiment_id], f"tags.mlflow.parentRunId = '{parent.run_id}'", order_by=["tags.mlflow.runName"]
    )
    assert [run.info.run_name for run in runs] == ["validation window 1 of 2", "validation window 2 of 2"]
    for run, curve in zip(runs, trained.choice.folds, strict=True):
        history = client(home).get_metric_history(run.info.run_id, "by_tree.ndcg_at_10")
        assert [point.value for point in sorted(history, key=lambda point: point.step)] == curve.tolist()
        assert run.data.metrics["at_chosen_trees.ndcg_at_10"] == curve[trained.choice.trees - 1]
        assert run.data.params["trees_chosen"] == str(trained.choice.trees)


def test_given_a_figure_that_does_not_exist_then_the_training_is_published_all_the_same(
    home: Path, trained: Trained, version: int
) -> None:
    nothing = Estimate(math.nan, math.nan, math.nan)
    metrics = {**trained.metrics, "mrr": nothing}
    blank = replace(trained, metrics=metrics, bundle=replace(trained.bundle, metrics={"mrr": vars(nothing)}))
    later = publish(Registry.at(home), blank)
    assert later > version
    assert Registry.at(home).resolve("challenger") == later
    assert math.isnan(run_of(home, later).data.metrics["mrr"])
