"""`cocok experiment`."""

import csv
import re
from io import StringIO
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.console import Console

from service.cli.experiment import policies_table
from tests.service.cli.run import Cocok
from tests.training.experiment.test_results import results

SMALL = ("--workers", 40, "--tasks-per-day", 20, "--days", 2, "--warm-up", 1, "--seeds", 2, "--jobs", 1)


def test_policies_are_compared_and_the_report_stands_in_the_folder_and_in_mlflow(cocok: Cocok, tmp_path: Path) -> None:
    ran = cocok("experiment", "--policies", "random,oracle", *SMALL, "--out", tmp_path / "out", "--json")
    assert ran.code == 0
    found = ran.json()
    assert found["policies"] == ["random", "newest", "oracle"]
    hourly = {row["policy"]: row for row in found["results"] if row["measure"] == "hourly"}
    assert hourly["newest"]["difference"] == 0.0
    assert hourly["random"]["low"] < hourly["random"]["value"] < hourly["random"]["high"]
    assert (tmp_path / "out" / "report.html").read_text("utf-8").startswith("<!doctype html>")
    with (tmp_path / "out" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found["results"])
    assert float(rows[0]["value"]) == found["results"][0]["value"]
    client = MlflowClient(f"sqlite:///{cocok.home / 'mlflow' / 'mlflow.db'}")
    run = client.get_run(found["run_id"])
    assert client.get_experiment(run.info.experiment_id).name == "cocok-experiments"
    assert run.data.metrics["oracle.hourly"] == hourly["oracle"]["value"]
    assert run.data.params["policies"] == "random, newest, oracle"
    assert {file.path for file in client.list_artifacts(found["run_id"])} == {"figures", "tables", "report.html"}


def test_a_person_gets_a_table_with_the_best_marked(cocok: Cocok) -> None:
    ran = cocok("experiment", "--policies", "random", *SMALL)
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert {"random", "newest"} <= {words[0] for words in lines if words}
    assert any(re.fullmatch(r"±?[\d.,]+\*", word) for words in lines for word in words)
    figures, _, differences = ran.out.partition("More than")
    assert ("points" in figures, "points" in differences) == (False, True)


def test_newest_first_alone_and_beside_the_oracle_alone_come_to_an_end(cocok: Cocok, tmp_path: Path) -> None:
    for policies in ("newest", "oracle"):
        ran = cocok("experiment", "--policies", policies, *SMALL, "--out", tmp_path / policies)
        assert (ran.code, ran.err.count("Traceback")) == (0, 0)
        assert ("More than newest first" in ran.out) == (policies == "oracle")
        assert "More than the usual" not in ran.out
        assert {file.name for file in (tmp_path / policies).iterdir()} == {"report.html", "results.csv"}


def test_the_usual_lists_are_another_policy_that_all_are_compared_with(cocok: Cocok) -> None:
    found = cocok("experiment", "--policies", "random,usual", *SMALL, "--json").json()
    assert found["policies"] == ["random", "newest", "usual"]
    hourly = {row["policy"]: row for row in found["results"] if row["measure"] == "hourly"}
    assert hourly["usual"]["over_usual"] == hourly["newest"]["difference"] == 0.0
    assert hourly["random"]["over_usual"] == pytest.approx(hourly["random"]["value"] - hourly["usual"]["value"])
    ran = cocok("experiment", "--policies", "usual", *SMALL)
    _, newest, usual = re.split("More than", ran.out)
    assert "newest first in the same worlds" in newest
    assert "the usual lists in the same worlds" in usual


def test_in_a_narrow_table_the_mark_of_the_best_stays_with_its_figure() -> None:
    console = Console(width=60, record=True, file=StringIO())
    console.print(policies_table(results().summary()))
    marked = [line for line in console.export_text().splitlines() if "*" in line]
    assert marked
    assert all(re.search(r"\d\*", line) for line in marked)


def test_what_cannot_be_is_refused_at_once(cocok: Cocok, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for wrong, said in (
        (("--policies", "random,best"), "no policy 'best'"),
        (("--preset", "huge"), "standard"),
        (("--jobs", 0), "--jobs is 0"),
        (("--pay-weight", "-1"), "--pay-weight is -1"),
        (("--pay-weight", "nan"), "--pay-weight is nan"),
        (("--seeds", 0), "--seeds 1"),
        (("--days", 0), "a day at least"),
        (("--workers", 0), "workers is 0"),
        (("--model", "7"), "no model has been trained yet"),
        (("--out", tmp_path / "file"), "choose another with --out"),
    ):
        ran = cocok("experiment", *wrong)
        assert ran.code == 1
        assert said in ran.err
        assert ran.err.count("\n") == 1


def test_help_has_an_example(cocok: Cocok) -> None:
    assert "cocok experiment --policies" in " ".join(cocok("experiment", "--help").out.split())
