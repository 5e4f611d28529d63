"""`cocok evaluate` and what the gate's settings do, as a user runs them."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.market import market, write
from tests.service.cli.run import Cocok
from training.registry import Registry


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("log") / "log.ndjson", market())


@pytest.fixture
def cocok(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cocok:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Cocok(tmp_path / "home", capsys, monkeypatch)


def test_given_two_versions_then_they_are_compared_on_the_same_lists_and_the_run_keeps_it(
    cocok: Cocok, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cocok("import", log).code == 0
    assert cocok("train", "--name", "first").code == 0
    alone = cocok("evaluate", "1", "--json").json()
    assert {row["rival"] for row in alone["differences"]} >= {"random", "newest", "past_rate"}
    assert {row["figure"] for row in alone["calibration"]} == {"p_accept", "p_approve"}

    assert cocok("promote", "1").code == 0
    assert cocok("train").code == 0
    both = cocok("evaluate", "--json").json()
    assert both["version"] == 2
    whole = [row for row in both["differences"] if row["slice"] == "all lists" and row["rival"] == "champion"]
    assert {row["metric"]: (row["low"], row["high"]) for row in whole}["ndcg@10"] == (0, 0)
    assert {row["slice"] for row in both["differences"]} >= {"all lists", "workers: warm"}

    monkeypatch.setenv("COLUMNS", "200")
    shown = cocok("evaluate", "2").out
    serving = cocok("evaluate", "champion").out
    for version, out in ((1, serving), (2, shown)):
        assert out.startswith(f"Version {version} on ")
        assert f"\n version {version} " in out
        assert "challenger" not in out
    assert "NDCG@10 minus that of champion" in shown
    assert "calibration error" in shown
    assert "predicted interval of 80" in shown
    assert "No off-policy estimate: no list was served with `explore`." in shown
    assert both["off_policy"] == {"missing": "no list was served with `explore`"}

    monkeypatch.setenv("COLUMNS", "100")
    _, _, importance = cocok("evaluate", "2").out.partition(f"10 of {len(both['importance'])} columns")
    for row, line in zip(both["importance"][:10], importance.splitlines()[2:12], strict=True):
        assert line.split() == [row["feature"], row["group"], f"{row['share']:.1%}", f"{row['splits']:,}"]

    registry = Registry.at(cocok.home)
    client = MlflowClient(f"sqlite:///{cocok.home / 'mlflow' / 'mlflow.db'}")
    run_id = registry.versions()[1].run_id
    kept = {file.path for folder in ("evaluation", "figures") for file in client.list_artifacts(run_id, folder)}
    assert {"evaluation/differences.csv", "evaluation/differences.png", "figures/trees.png"} <= kept
    assert client.get_run(registry.versions()[0].run_id).info.run_name == "first"

    monkeypatch.setenv("COCOK_GATE_LATENCY_MS", "0.0001")
    refused = cocok("promote", "2")
    assert refused.code == 3
    assert "Refused: it is too slow" in refused.out
    tags = client.get_model_version("cocok", "2").tags
    assert tags["gate.verdict"] == "refused"
    assert "too slow" in tags["gate.reasons"]


def test_given_explored_lists_then_evaluate_tells_what_rankers_would_have_been_worth(
    cocok: Cocok, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cocok("import", write(tmp_path / "log.ndjson", market(workers=60, explored=True))).code == 0
    assert cocok("train").code == 0
    found = cocok("evaluate", "--json").json()["off_policy"]
    # Everybody there reads the whole list, so that no order leads to more. One interval in twenty misses that by
    # chance, one in ten thousand by half of its width.
    corrected = {row["policy"]: row for row in found["estimates"] if row["estimator"] == "dr"}
    for policy in ("challenger", "random"):
        row = corrected[policy]
        assert row["more_low"] < row["more"] < row["more_high"]
        assert abs(row["more"]) < row["more_high"] - row["more_low"] < 0.1
    assert {row["policy"] for row in found["overlap"]} >= {"challenger", "random", "newest"}

    monkeypatch.setenv("COLUMNS", "200")
    shown = cocok("evaluate").out
    assert f"Of {found['lists']:,} lists in a drawn order, something was taken from" in shown
    assert "dr, more than served" in shown
    assert "overlap, dr" in shown
    assert "challenger" not in shown
    assert shown.count("of version 1 as if on") == sum("'challenger'" in warning for warning in found["warnings"])
    assert "Estimates of that share" in shown
    assert shown.count("Warning: thin overlap") == len(found["warnings"])
    run_id = Registry.at(cocok.home).versions()[0].run_id
    client = MlflowClient(f"sqlite:///{cocok.home / 'mlflow' / 'mlflow.db'}")
    kept = {file.path for file in client.list_artifacts(run_id, "evaluation")}
    assert {"evaluation/off_policy.csv", "evaluation/overlap.csv"} <= kept


def test_given_no_model_then_evaluate_says_what_to_do(cocok: Cocok, log: Path) -> None:
    assert cocok("import", log).code == 0
    ran = cocok("evaluate")
    assert ran.code == 1
    assert ran.err == "error: no model has been trained yet: run cocok train\n"
