"""The registry keeps bundles as versions, finds them again by alias, and speaks plainly when it cannot."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from importlib.metadata import version
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from matplotlib.figure import Figure

from features.errors import CocokError
from features.spec import RELATIVE
from matching.bundle import Bundle, BundleError, verify
from matching.calibration import Additive
from matching.first_stage import FirstStage
from training.registry import FoldRun, Registry

NOBODY_LISTENS = "http://somebody:secret@127.0.0.1:9"


def save_bundle(folder: Path) -> Path:
    rows = np.random.default_rng(0).normal(size=(100, 2))
    settings = {"objective": "regression", "verbosity": -1, "num_threads": 1}
    ranker = Additive(lgb.train(settings, lgb.Dataset(rows, rows[:, 0]), num_boost_round=2))
    stage = FirstStage(np.zeros(len(RELATIVE)), np.zeros(len(RELATIVE)))
    Bundle(ranker, stage, ("a", "b"), "spec", "rates", since=0, until=1).save(folder)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home with blanks? 50%20")


@pytest.fixture(scope="module")
def registry(home: Path) -> Registry:
    """A registry with two versions; the first is the champion."""
    registry = Registry.at(home)
    with pytest.raises(CocokError, match="run cocok train"):
        registry.resolve("champion")
    bundle = save_bundle(home / "trained")
    figure = Figure()
    figure.subplots().plot([0.0, 0.4])
    first = registry.register(
        registry.log_run(
            {f"parameter {i}": i for i in range(150)},
            {"ndcg@10": 0.5, "mrr": float("nan")},
            bundle,
            name="the first",
            description="**Good.**",
            tags={"data": "june"},
            example=pd.DataFrame([[0.5, np.nan]], columns=["a", "b"]),
            figures={"curve": figure},
            tables={"by day": pd.DataFrame({"day": ["monday"], "ndcg@10": [0.5]})},
            folds=[
                FoldRun(
                    "fold 1", {"trees": 3}, {"ndcg@10": 0.4}, {"ndcg@10 by tree": np.linspace(0, 0.4, 1200).tolist()}
                )
            ],
        ),
        description="*Good.*",
        tags={"ndcg_at_10": "0.5"},
    )
    with pytest.raises(CocokError, match=f"run cocok promote {first}"):
        registry.resolve("champion")
    registry.register(registry.log_run({}, {"ndcg@10": 0.6}, bundle))
    registry.set_alias("champion", first)
    return registry


def test_versions_are_counted_and_the_newest_is_the_challenger(registry: Registry) -> None:
    assert [(version.number, version.aliases) for version in registry.versions()] == [
        (1, ("champion",)),
        (2, ("challenger",)),
    ]


def test_a_version_is_named_by_alias_or_number(registry: Registry) -> None:
    assert [registry.resolve(name) for name in ("champion", "challenger", "2")] == [1, 2, 2]
    assert (registry.champion(), registry.challenger()) == (1, 2)


@pytest.mark.parametrize("name", ["7", "favourite", "latest'; --"])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(registry: Registry, name: str) -> None:
    with pytest.raises(CocokError, match="choose one of 1, 2, challenger, champion"):
        registry.resolve(name)


def test_an_unknown_version_has_neither_bundle_nor_alias_nor_tags(registry: Registry) -> None:
    calls = (
        registry.fetch,
        lambda number: registry.set_alias("champion", number),
        lambda number: registry.annotate(number, {}),
        lambda number: registry.attach(number, "evaluation"),
    )
    for call in calls:
        with pytest.raises(CocokError, match="there is no model '7'"):
            call(7)


def test_the_run_holds_all_that_it_was_given(registry: Registry) -> None:
    run = registry._store.client.get_run(registry.versions()[0].run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "the first")
    assert run.data.params["parameter 149"] == "149"
    assert run.data.tags.items() >= {
        ("data", "june"),
        ("cocok.version", version("cocok")),
        ("mlflow.note.content", "**Good.**"),
    }
    assert run.data.metrics["ndcg_at_10"] == 0.5
    assert np.isnan(run.data.metrics["mrr"])


def test_the_run_holds_figures_and_tables(registry: Registry, tmp_path: Path) -> None:
    client, run_id = registry._store.client, registry.versions()[0].run_id
    assert {artifact.path for artifact in client.list_artifacts(run_id)} == {"model", "figures", "tables"}
    picture = Path(client.download_artifacts(run_id, "figures/curve.png", str(tmp_path)))
    assert picture.read_bytes().startswith(b"\x89PNG")
    table = Path(client.download_artifacts(run_id, "tables/by day.csv", str(tmp_path)))
    assert table.read_text() == "day,ndcg@10\nmonday,0.5\n"


def test_the_folds_are_runs_below_that_of_the_training(registry: Registry) -> None:
    client, run = registry._store.client, registry._store.client.get_run(registry.versions()[0].run_id)
    (fold,) = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    assert (fold.info.run_name, fold.data.params, fold.data.metrics["ndcg_at_10"]) == ("fold 1", {"trees": "3"}, 0.4)
    assert len(client.get_metric_history(fold.info.run_id, "ndcg_at_10 by tree")) == 1200


def test_a_version_tells_what_it_is_and_what_was_found_out_later(registry: Registry) -> None:
    client, run_id = registry._store.client, registry.versions()[0].run_id
    registry.annotate(1, {"gate.verdict": "refused"})
    registry.annotate(1, {"gate.verdict": "passed"}, {"gate.ndcg@10": 0.25})
    told = client.get_model_version("cocok", "1")
    assert told.description == "*Good.*"
    assert told.tags == {"ndcg_at_10": "0.5", "gate.verdict": "passed"}
    assert client.get_run(run_id).data.metrics["gate.ndcg_at_10"] == 0.25
    assert client.get_run(run_id).info.status == "FINISHED"


def test_what_was_made_later_is_kept_with_the_run_in_a_folder_of_its_own(registry: Registry, tmp_path: Path) -> None:
    client, run_id = registry._store.client, registry.versions()[1].run_id
    for lists in (3, 4):
        registry.attach(2, "evaluation", figures={"f": Figure()}, tables={"t": pd.DataFrame({"lists": [lists]})})
    assert [kept.path for kept in client.list_artifacts(run_id, "evaluation")] == [
        "evaluation/f.png",
        "evaluation/t.csv",
    ]
    table = Path(client.download_artifacts(run_id, "evaluation/t.csv", str(tmp_path)))
    assert table.read_text() == "lists\n4\n"


def test_a_fetched_bundle_is_whole_and_the_store_is_asked_for_it_once(registry: Registry, home: Path) -> None:
    folder = registry.fetch(1)
    verify(folder)
    assert folder.is_relative_to(home)
    before = (folder / "ranker.txt").stat()
    assert registry.fetch(1) == folder
    assert (folder / "ranker.txt").stat().st_ino == before.st_ino


def test_a_damaged_copy_is_fetched_again(registry: Registry) -> None:
    folder = registry.fetch(2)
    (folder / "ranker.txt").write_text("scribble")
    verify(registry.fetch(2))
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_what_served_last_is_had_without_the_store(registry: Registry, home: Path) -> None:
    """As a server does that starts while the store is down; what the store says later is for `load`."""
    bundles = home / "bundles"
    down, as_it_was = Registry(NOBODY_LISTENS, None, bundles), {"expected_features": "spec", "expected_rates": "rates"}
    assert down.last_served(**as_it_was) is None
    registry.fetch(1)
    registry.keep_serving(1)
    served = down.last_served(**as_it_was)
    assert served is not None
    assert served[0] == 1
    assert served[1].score(np.zeros((1, 2), np.float32)).shape == (1,)
    with pytest.raises(BundleError, match="features"):
        down.last_served(expected_features="other", expected_rates="rates")
    (registry.fetch(1) / "ranker.txt").write_text("scribble")
    assert down.last_served(**as_it_was) is None
    registry.fetch(1)
    (bundles / "serving.json").write_text("{")
    assert down.last_served(**as_it_was) is None
    registry.keep_serving(1)
    assert down.last_served(**as_it_was) is not None
    registry.keep_serving(None)
    assert down.last_served(**as_it_was) is None
    assert [path.name for path in bundles.iterdir() if path.name.startswith(".")] == []


def test_a_bundle_damaged_in_the_store_is_refused(registry: Registry, home: Path, tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle")
    run_id = registry.log_run({}, {}, bundle)
    number = registry.register(run_id)
    (stored,) = (home / "mlflow" / "artifacts" / run_id).rglob("ranker.txt")
    stored.write_text("scribble")
    try:
        with pytest.raises(BundleError, match=r"ranker\.txt"):
            registry.fetch(number)
        assert not (home / "bundles" / run_id).exists()
    finally:
        registry._store.client.delete_model_version("cocok", str(number))
        registry.set_alias("challenger", 2)


@pytest.mark.parametrize("lost", ["model/data/bundle", ""], ids=["the bundle", "all of the run"])
def test_a_bundle_that_is_gone_from_the_store_is_as_a_damaged_one(
    registry: Registry, home: Path, tmp_path: Path, lost: str
) -> None:
    run_id = registry.log_run({}, {}, save_bundle(tmp_path / "bundle"))
    number = registry.register(run_id)
    shutil.rmtree(home / "mlflow" / "artifacts" / run_id / "artifacts" / lost)
    try:
        with pytest.raises(BundleError, match=f"the bundle of version {number} is gone from the store.*cocok train"):
            registry.fetch(number)
        assert [path.name for path in (home / "bundles").iterdir() if path.name.startswith(".")] == []
    finally:
        registry._store.client.delete_model_version("cocok", str(number))
        registry.set_alias("challenger", 2)


def test_a_bundle_that_cannot_be_fetched_though_it_is_there_is_not_taken_for_gone(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = registry.register(registry.log_run({}, {}, save_bundle(tmp_path / "bundle")))

    def broken(*_: object) -> str:
        raise OSError("connection reset")

    try:
        with monkeypatch.context() as patch:
            patch.setattr(registry._store.client, "download_artifacts", broken)
            with pytest.raises(CocokError, match="connection reset") as raised:
                registry.fetch(number)
            assert not isinstance(raised.value, BundleError)
            patch.setattr(registry._store.client, "list_artifacts", broken)
            with pytest.raises(CocokError, match="connection reset") as raised:
                registry.fetch(number)
            assert not isinstance(raised.value, BundleError)
    finally:
        registry._store.client.delete_model_version("cocok", str(number))
        registry.set_alias("challenger", 2)


def test_a_damaged_bundle_is_not_even_logged(registry: Registry, tmp_path: Path) -> None:
    broken = save_bundle(tmp_path / "broken")
    (broken / "ranker.txt").write_text("scribble")
    for folder in (broken, tmp_path / "no such folder"):
        with pytest.raises(BundleError):
            registry.log_run({}, {}, folder)


def test_an_alias_moves_and_goes(registry: Registry) -> None:
    registry.set_alias("previous", 1)
    registry.set_alias("previous", 2)
    assert registry.resolve("previous") == 2
    registry.remove_alias("previous")
    registry.remove_alias("previous")
    with pytest.raises(CocokError, match="no model 'previous'"):
        registry.resolve("previous")


@pytest.fixture
def unpromoted(registry: Registry) -> Iterator[Registry]:
    """The registry without any champion, as it was before afterwards."""
    for alias in ("champion", "previous"):
        registry.remove_alias(alias)
    yield registry
    registry.remove_alias("previous")
    registry.set_alias("champion", 1)


def test_without_a_promotion_nothing_serves_and_there_is_nothing_to_go_back_to(unpromoted: Registry) -> None:
    assert unpromoted.champion() is None
    with pytest.raises(CocokError, match="nothing to go back to"):
        unpromoted.rollback()


def test_the_first_promotion_is_undone_and_nothing_serves(unpromoted: Registry) -> None:
    unpromoted.promote(1)
    assert unpromoted.rollback() is None
    assert unpromoted.champion() is None
    with pytest.raises(CocokError, match="nothing to go back to"):
        unpromoted.rollback()


def test_promotions_are_undone_one_by_one_and_can_be_made_again(unpromoted: Registry) -> None:
    unpromoted.promote(1)
    unpromoted.promote(2)
    assert unpromoted.champion() == 2
    assert unpromoted.rollback() == 1
    assert unpromoted.champion() == 1
    unpromoted.promote(2)
    assert unpromoted.rollback() == 1
    assert unpromoted.rollback() is None
    assert unpromoted.champion() is None


@pytest.mark.parametrize("promoted", [(1, 2, 1), (1, 2, 1, 2)])
def test_of_many_promotions_one_is_undone(unpromoted: Registry, promoted: tuple[int, ...]) -> None:
    """One version before the champion is remembered; that nothing served is not taken for the one before."""
    for number in promoted:
        unpromoted.promote(number)
    assert unpromoted.rollback() == promoted[-2]
    with pytest.raises(CocokError, match="nothing to go back to"):
        unpromoted.rollback()
    assert unpromoted.champion() == promoted[-2]


def test_what_served_before_the_champion_was_taken_away_does_not_come_back(unpromoted: Registry) -> None:
    unpromoted.promote(1)
    unpromoted.promote(2)
    unpromoted.remove_alias("champion")
    unpromoted.promote(2)
    assert unpromoted.rollback() is None
    assert unpromoted.champion() is None


def test_promoting_what_serves_already_does_not_forget_what_served_before(unpromoted: Registry) -> None:
    unpromoted.promote(1)
    unpromoted.promote(2)
    unpromoted.promote(2)
    assert unpromoted.rollback() == 1


def test_what_was_judged_against_another_than_serves_is_not_promoted(unpromoted: Registry) -> None:
    unpromoted.promote(1, instead_of=None)
    with pytest.raises(CocokError, match=r"judged against nobody, version 1 began to serve.*cocok promote 2"):
        unpromoted.promote(2, instead_of=None)
    assert unpromoted.champion() == 1
    unpromoted.promote(2, instead_of=1)
    assert unpromoted.rollback() == 1
    unpromoted.promote(1, instead_of=2)  # serves already
    with pytest.raises(CocokError, match="judged against version 2, version 1 began"):
        unpromoted.promote(2, instead_of=2)
    assert unpromoted.champion() == 1


def test_promotions_of_one_home_take_turns(unpromoted: Registry, home: Path) -> None:
    """Of two at once, both judged against nobody, one alone comes through."""
    with ThreadPoolExecutor(2) as both, FileLock(home / "promotion.lock"):
        tries = [both.submit(unpromoted.promote, number, instead_of=None) for number in (1, 2)]
        assert not wait(tries, timeout=0.5).done
        assert unpromoted.champion() is None
    assert sorted(found.exception() is None for found in tries) == [False, True]


def test_a_version_that_does_not_exist_is_not_promoted_and_changes_nothing(unpromoted: Registry) -> None:
    unpromoted.promote(1)
    with pytest.raises(CocokError, match="there is no model '7'"):
        unpromoted.promote(7)
    assert unpromoted.champion() == 1
    assert unpromoted.rollback() is None


def test_a_version_is_loaded_if_it_fits_what_is_in_use(registry: Registry) -> None:
    bundle = registry.load(2, expected_features="spec", expected_rates="rates")
    assert bundle.feature_names == ("a", "b")
    row = np.array([[2.0, 0.0], [-2.0, 0.0]], np.float32)
    better, worse = bundle.score(row)
    assert better > worse
    with pytest.raises(BundleError, match="the features"):
        registry.load(2, expected_features="another spec", expected_rates="rates")
    with pytest.raises(BundleError, match="the currency rates"):
        registry.load(2, expected_features="spec", expected_rates="other rates")


def test_a_training_that_cannot_be_logged_leaves_a_failed_run(registry: Registry, home: Path) -> None:
    with pytest.raises(CocokError, match="cannot be used"):
        registry.log_run({"too long a name " * 30: 1}, {}, home / "trained")
    client = registry._store.client
    experiment = client.get_experiment_by_name("cocok")
    (run, *_) = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    assert run.info.status == "FAILED"


def test_a_server_out_of_reach_is_an_error_of_one_line_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(CocokError, match=r"127\.0\.0\.1:9.*check MLFLOW_TRACKING_URI") as error:
        Registry.at(tmp_path, NOBODY_LISTENS).versions()
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_an_address_mlflow_does_not_know_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(CocokError, match="gopher://hole"):
        Registry.at(tmp_path, "gopher://hole").versions()


def test_opening_says_nothing_and_litters_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, training.registry as r\n"
        "assert not {'mlflow', 'sqlalchemy'} & set(sys.modules), 'MLflow must be imported late'\n"
        "registry = r.Registry.at(pathlib.Path(sys.argv[1]))\n"
        "assert registry.versions() == []\n"
        "registry.clear()\n"
    )
    work = tmp_path / "work"
    work.mkdir()
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{code}", str(tmp_path / "home")],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(work.iterdir()) == []
