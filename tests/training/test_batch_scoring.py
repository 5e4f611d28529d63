"""A registered model scores a table, through MLflow or without it, exactly as the service scores its lists."""

import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from features.errors import CocokError
from features.spec import NAMES, fingerprint
from matching.bundle import Bundle, BundleError
from matching.scoring import BundleRanker, smoothed_approval, usual_minutes
from tests.market import bundle_of, usual, usual_bundle
from training.batch_scoring import ANSWERS, BatchScorer, _load_pyfunc
from training.dataset import TrainingSet
from training.registry import Registry


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    return usual()[1]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return usual_bundle()


@pytest.fixture(scope="module")
def saved(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "bundle"
    bundle.save(folder)
    return folder


@pytest.fixture(scope="module")
def home(saved: Path, rows: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a registry with one version, the champion."""
    home = tmp_path_factory.mktemp("home")
    registry = Registry.at(home)
    example = pd.DataFrame(rows.features[-1:].astype(float), columns=list(NAMES))
    registry.promote(registry.register(registry.log_run({}, {}, saved, example=example)))
    return home


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow looks for models in that registry."""
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("uri", ["models:/cocok/1", "models:/cocok@champion"])
def test_given_a_version_then_mlflow_scores_a_table_as_the_service_does(
    uri: str, bundle: Bundle, rows: TrainingSet, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    model = mlflow.pyfunc.load_model(uri)
    assert [str(warning.message) for warning in recwarn] == []
    assert caplog.messages == []
    # Labels and ids are further columns of that table.
    scored = model.predict(rows.frame())
    answers = BundleRanker(bundle, "1").answers(rows.features)
    expected = {"score": answers.scores, **vars(answers.outcomes())}
    assert tuple(scored.columns) == ANSWERS
    for name in ANSWERS:
        np.testing.assert_array_equal(scored[name], expected[name])


@pytest.mark.usefixtures("store")
def test_given_a_version_then_mlflow_tells_what_goes_in_and_what_comes_out() -> None:
    model = mlflow.pyfunc.load_model("models:/cocok@champion")
    assert model.metadata.get_input_schema().input_names() == list(NAMES)
    assert model.metadata.get_output_schema().input_names() == list(ANSWERS)
    assert np.isfinite(model.predict(model.input_example)["score"]).all()


@pytest.mark.usefixtures("store")
def test_given_a_column_is_missing_then_mlflow_names_it(rows: TrainingSet) -> None:
    model = mlflow.pyfunc.load_model("models:/cocok/1")
    with pytest.raises(MlflowException, match=r"missing inputs \['reward'\]"):
        model.predict(rows.frame().drop(columns="reward"))


def test_given_a_model_in_the_store_then_it_names_packages_and_nothing_of_the_machine(home: Path) -> None:
    (requirements,) = home.rglob("requirements.txt")
    assert {line.partition("==")[0] for line in requirements.read_text().splitlines()} == {
        "mlflow",
        "cocok",
        "lightgbm",
    }
    texts = [path.read_text() for path in requirements.parent.iterdir() if path.is_file()]
    assert not [text for text in texts if str(home) in text or sys.prefix in text or "://" in text]


def test_given_columns_in_another_order_and_further_ones_then_rows_score_the_same(
    bundle: Bundle, rows: TrainingSet
) -> None:
    scorer = BatchScorer(bundle)
    table = pd.DataFrame(rows.features[:50], columns=list(NAMES), index=[f"row {i}" for i in range(50)])
    mixed = table[[*reversed(NAMES)]].assign(remark="none")
    pd.testing.assert_frame_equal(scorer.predict(mixed), scorer.predict(table))
    assert list(scorer.predict(mixed).index) == list(table.index)


def test_given_an_empty_table_then_nothing_is_scored(bundle: Bundle) -> None:
    scored = BatchScorer(bundle).predict(pd.DataFrame(columns=list(NAMES)))
    assert (len(scored), tuple(scored.columns)) == (0, ANSWERS)


def test_given_columns_are_missing_then_the_first_is_named_and_how_many(bundle: Bundle, rows: TrainingSet) -> None:
    table = rows.frame().drop(columns=["reward", "minutes"])
    with pytest.raises(CocokError, match=r"lacks 2 of the model's \d+ columns, 'reward' first"):
        BatchScorer(bundle).predict(table)


def test_given_a_model_of_a_part_of_the_columns_then_the_others_are_not_asked_for(rows: TrainingSet) -> None:
    part = rows.without("skill")
    scorer = BatchScorer(bundle_of(part))
    pd.testing.assert_frame_equal(scorer.predict(part.frame()), scorer.predict(rows.frame()))


def test_given_a_bundle_without_outcome_models_then_counts_speak_as_in_the_service(
    bundle: Bundle, rows: TrainingSet
) -> None:
    bare = Bundle(bundle.ranker, bundle.first_stage, NAMES, fingerprint(), bundle.rates_fingerprint, since=0, until=1)
    scored = BatchScorer(bare).predict(rows.frame())
    assert scored["p_accept"].isna().all()
    np.testing.assert_array_equal(scored["p_approve"], smoothed_approval(rows.features))
    np.testing.assert_array_equal(scored["minutes"], usual_minutes(rows.features))


def test_given_other_rates_in_use_then_a_table_is_scored_but_with_other_features_it_is_not(
    bundle: Bundle, tmp_path: Path
) -> None:
    def saved_with(features: str, rates: str) -> str:
        folder = tmp_path / features / rates
        Bundle(bundle.ranker, bundle.first_stage, NAMES, features, rates, since=0, until=1).save(folder)
        return str(folder)

    assert isinstance(_load_pyfunc(saved_with(fingerprint(), "others")), BatchScorer)
    with pytest.raises(BundleError, match="the features"):
        _load_pyfunc(saved_with("others", "others"))


def test_given_the_loader_then_it_does_not_need_mlflow() -> None:
    code = "import sys, training.batch_scoring\nassert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
