"""`cocok train` and `cocok rank`, as a user runs them."""

import contextlib
import io
import json
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from mlflow import MlflowClient
from threadpoolctl import threadpool_limits

from features.state import MarketState
from service.cli import main
from service.cli.models import _print_trained
from tests.market import BEGIN, Record, market, write, written
from tests.service.cli.run import Cocok
from training.ranker import RankerParameters
from training.registry import Registry

UNTIL = written(datetime(2026, 1, 31, tzinfo=UTC))
AT = datetime(2026, 1, 29, 12, tzinfo=UTC)
BASELINES = {"random", "newest", "highest_pay", "skill_overlap", "popularity", "past_rate"}
METRICS = {"ndcg@10", "mrr", "recall@5"}


def run(home: Path, *arguments: object) -> dict[str, Any]:
    """Run a command that succeeds, and return the JSON that it prints."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("COCOK_HOME", str(home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with pytest.raises(SystemExit) as left:
            main([*map(str, arguments), "--json"])
    assert left.value.code in {None, 0}
    result = json.loads(printed.getvalue())
    assert isinstance(result, dict)
    return result


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On a busy machine, threads that wait for each other make small models slow."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("market")


@pytest.fixture(scope="module")
def first(folder: Path) -> dict[str, Any]:
    """What the first training of the module printed."""
    imported = run(folder / "home", "import", write(folder / "log.ndjson", market()))
    assert imported["refused"] == []
    return run(folder / "home", "train", "--until", UNTIL)


@pytest.fixture
def cocok(
    folder: Path, first: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Cocok:
    """The command line where a model has been trained."""
    assert first["version"] == 1
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Cocok(folder / "home", capsys, monkeypatch)


@pytest.fixture
def fresh(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cocok:
    """The command line where nothing has happened yet."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Cocok(tmp_path / "fresh", capsys, monkeypatch)


def asked(path: Path, *requests: Record) -> Path:
    """Write requests, each at noon of a day that the log knows unless it says otherwise."""
    return write(path, [{"request_id": f"q{n}", "at": written(AT), **request} for n, request in enumerate(requests)])


def answers(cocok: Cocok, tmp_path: Path, *requests: Record, options: Sequence[object] = ()) -> list[Record]:
    out = tmp_path / "ranked.ndjson"
    ran = cocok("rank", "--requests", asked(tmp_path / "q.ndjson", *requests), "--out", out, *options)
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in out.read_text().splitlines()]


def one_line(err: str) -> str:
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    return err


def test_given_a_log_then_train_reports_version_metrics_and_baselines_with_intervals(first: dict[str, Any]) -> None:
    assert {"version", "metrics", "baselines"} <= set(first)
    assert set(first["baselines"]) == BASELINES
    for metrics in [first["metrics"], *first["baselines"].values()]:
        assert set(metrics) == METRICS
        for figure in metrics.values():
            assert set(figure) == {"value", "low", "high"}
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert first["metrics"]["ndcg@10"]["low"] > first["baselines"]["random"]["ndcg@10"]["value"]
    assert 0 < first["judged_lists"] < first["lists"] < first["rows"]


def test_given_a_person_then_train_prints_a_table_and_the_new_version_is_the_challenger(
    cocok: Cocok, tmp_path: Path
) -> None:
    before = len(Registry.at(cocok.home).versions())
    ran = cocok("train", "--since", "2026-01-08T00:00:00Z", "--maturity", "5h")
    assert ran.code == 0
    for name in BASELINES | METRICS:
        assert name in ran.out
    assert "outcomes within 5.0 h" in ran.out
    assert f"version {before + 1}, the challenger" in ran.out
    by_number = answers(cocok, tmp_path, {"worker_id": "w1"}, options=["--model", before + 1])
    by_alias = answers(cocok, tmp_path, {"worker_id": "w1"}, options=["--model", "challenger"])
    by_first = answers(cocok, tmp_path, {"worker_id": "w1"}, options=["--model", 1])
    assert by_number == by_alias
    assert by_number != by_first


def test_given_trials_then_train_searches_goes_on_where_it_was_and_keeps_them_with_the_run(
    cocok: Cocok, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How many trees there are makes no difference but in time.
    few = partial(RankerParameters, min_trees=20, max_trees=25, folds=2)
    monkeypatch.setattr("training.ranker.RankerParameters", few)
    told = cocok("train", "--until", UNTIL, "--tune", 2, "--json").json()["tuning"]
    assert list(told) == ["trials", "pruned", "won", "gain", "start", "best"]
    assert (told["trials"], told["start"]["num_leaves"]) == (2, 15)
    assert told["gain"]["low"] <= told["gain"]["value"] <= told["gain"]["high"]
    ran = cocok("train", "--until", UNTIL, "--tune", 3)
    assert "Tuning:" in ran.out
    assert "3 trials" in ran.out
    assert (cocok.home / "tuning.journal").exists()
    run_id = Registry.at(cocok.home).versions()[-1].run_id
    client = MlflowClient(f"sqlite:///{cocok.home / 'mlflow' / 'mlflow.db'}")
    kept = {artifact.path for part in ("figures", "tables") for artifact in client.list_artifacts(run_id, part)}
    assert {"figures/tuning.png", "tables/tuning.csv"} <= kept


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("p_accept", "feed_served and assignment_accepted"),
        ("p_approve", "assignment_approved and assignment_rejected"),
        ("minutes", "work_seconds in assignment_submitted"),
    ],
)
def test_given_a_model_that_cannot_be_fitted_then_it_is_said_what_of_the_log_it_learns_from(
    capsys: pytest.CaptureFixture[str], name: str, events: str
) -> None:
    trained: Any = SimpleNamespace(
        choice=SimpleNamespace(trees=1),
        judged=1,
        metrics={},
        baselines={},
        slices={},
        tuning=None,
        unfitted={name: "456 positive and 0 negative rows"},
    )
    rows: Any = MagicMock(labels=[], maturity_hours=1.0)
    _print_trained(1, trained, rows, {})
    said = f"No model of {name}: 456 positive and 0 negative rows. It learns from {events}."
    assert said in capsys.readouterr().out.splitlines()


def test_given_a_single_trial_to_tune_with_then_it_is_a_usage_error(fresh: Cocok) -> None:
    ran = fresh("train", "--tune", 1)
    assert ran.code == 2
    assert "--tune" in ran.err


def test_given_no_champion_then_the_challenger_ranks_and_it_is_said(cocok: Cocok, tmp_path: Path) -> None:
    requests, out = asked(tmp_path / "q.ndjson", {"worker_id": "w1"}), tmp_path / "out.ndjson"
    ran = cocok("rank", "--requests", requests, "--out", out, "--json")
    registry = Registry.at(cocok.home)
    assert ran.json()["version"] == registry.resolve("challenger")
    said = ["no champion has been promoted yet; ranking with the challenger"]
    assert ran.err.splitlines() == said
    assert cocok("near-misses", "w1").err.splitlines() == said
    registry.set_alias("champion", 1)
    try:
        ran = cocok("rank", "--requests", requests, "--out", out, "--json")
    finally:
        registry.remove_alias("champion")
    assert (ran.json()["version"], ran.err) == (1, "")
    assert ran.json() == {"version": 1, "requests": 1, "items": len(json.loads(out.read_text())["items"])}
    one = asked(tmp_path / "one.ndjson", {"worker_id": "w1", "limit": 1})
    said = cocok("rank", "--requests", one, "--out", out, "--model", "fallback").out
    assert said.startswith("The fallback ranked 1 list, 1 item: ")


def test_given_tasks_to_rank_then_a_line_has_the_documented_shape(cocok: Cocok, tmp_path: Path) -> None:
    (line,) = answers(cocok, tmp_path, {"worker_id": "w1", "candidates": ["t235", "t230", "nowhere", "t0"]})
    assert list(line) == ["request_id", "items", "removed"]
    for item in line["items"]:
        assert list(item) == [
            *("task_id", "score", "expected_hourly", "expected_minutes", "p_accept", "p_approve"),
            *("expected_hourly_low", "expected_hourly_high", "minutes_low", "minutes_high"),
        ]
        assert set(item["expected_hourly"]) == {"amount", "currency"}
        assert 0 <= item["p_accept"] <= 1
        assert 0 <= item["p_approve"] <= 1
    assert {"task_id": "nowhere", "reasons": ["unknown_task"]} in line["removed"]
    named = [entry["task_id"] for entry in [*line["items"], *line["removed"]]]
    assert sorted(named) == ["nowhere", "t0", "t230", "t235"]


def test_given_workers_to_rank_then_a_line_names_workers(cocok: Cocok, tmp_path: Path) -> None:
    options = ["--no-eligibility"]
    workers = [f"w{number}" for number in range(12)]
    (line,) = answers(cocok, tmp_path, {"task_id": "t235", "workers": [*workers, "nobody"]}, options=options)
    assert sorted(item["worker_id"] for item in line["items"]) == sorted([*workers, "nobody"])
    assert line["removed"] == []
    scores = [item["score"] for item in line["items"]]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1]


def test_given_requests_out_of_order_then_each_line_stands_where_its_request_does(cocok: Cocok, tmp_path: Path) -> None:
    instants = [written(AT - timedelta(days=days)) for days in (0, 9, 3, 12, 1)]
    requests = [{"at": at, "worker_id": f"w{number}"} for number, at in enumerate(instants)]
    requests.append({"at": instants[2], "task_id": "t210"})
    lines = answers(cocok, tmp_path, *requests)
    assert [line["request_id"] for line in lines] == [f"q{number}" for number in range(6)]
    by_time = sorted(range(6), key=lambda place: str(requests[place]["at"]))
    in_order = answers(cocok, tmp_path, *[{"request_id": f"q{n}", **requests[n]} for n in by_time])
    assert {line["request_id"]: line for line in in_order} == {line["request_id"]: line for line in lines}
    assert lines[0]["items"] != lines[3]["items"]
    assert all(line["items"] for line in lines)


def test_given_no_candidates_then_removed_counts_and_no_eligibility_ranks_all(cocok: Cocok, tmp_path: Path) -> None:
    request = {"worker_id": "w1"}
    (some,), (every,) = (answers(cocok, tmp_path, request, options=options) for options in ([], ["--no-eligibility"]))
    assert set(some["removed"]) <= {"full", "already_taken"}
    assert every["removed"] == {}
    assert len(some["items"]) < len(every["items"]) <= len(some["items"]) + sum(some["removed"].values())


def test_given_a_snapshot_then_only_requests_that_know_all_of_it_begin_from_it_and_answers_stay(
    cocok: Cocok, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = written(BEGIN + timedelta(days=40))
    now, past = [{"worker_id": "w1", "at": late}, {"task_id": "t270", "at": late}], [{"worker_id": "w1"}]
    folded: list[int] = []
    apply = MarketState.apply

    def counting(state: MarketState, entries: Any) -> None:
        folded.append(len(entries))
        apply(state, entries)

    monkeypatch.setattr(MarketState, "apply", counting)
    wanted = [answers(cocok, tmp_path, *requests) for requests in (now, [*past, *now])]
    assert cocok("snapshot").code == 0
    try:
        folded.clear()
        assert answers(cocok, tmp_path, *now) == wanted[0]
        assert folded == []
        assert answers(cocok, tmp_path, *past, *now) == wanted[1]
        assert folded != []
    finally:
        shutil.rmtree(cocok.home / "snapshots")


def test_given_ids_never_seen_then_they_are_answered_and_not_refused(cocok: Cocok, tmp_path: Path) -> None:
    newcomer, nothing, unknown = answers(
        cocok,
        tmp_path,
        {"worker_id": "nobody", "limit": 3},
        {"worker_id": "nobody", "candidates": ["nowhere"]},
        {"task_id": "nowhere"},
    )
    assert len(newcomer["items"]) == 3
    assert nothing["removed"] == [{"task_id": "nowhere", "reasons": ["unknown_task"]}]
    assert (unknown["items"], list(unknown["removed"])) == ([], ["unknown_task"])


def test_given_ten_thousand_later_events_then_the_same_until_gives_the_same_bundle(
    cocok: Cocok, tmp_path: Path
) -> None:
    late = []
    for copy in range(5):
        for number, event in enumerate(market(9 + copy, workers=30)):
            moved = datetime.fromisoformat(event["at"]) + timedelta(days=60 * (copy + 1))
            kept = {name: value for name, value in event.items() if name != "expires_at"}
            late.append({**kept, "event_id": f"late{copy}-{number}", "at": written(moved)})
    assert len(late) >= 10_000
    assert cocok("import", write(tmp_path / "late.ndjson", late), "--json").json()["accepted"] == len(late)
    again = cocok("train", "--until", UNTIL, "--json").json()
    registry = Registry.at(cocok.home)
    assert again["version"] > 1
    one, other = (parts(registry.fetch(version)) for version in (1, again["version"]))
    assert one == other
    # The first half of what came first is enough to be learned from.
    later = written(datetime(2026, 3, 20, tzinfo=UTC))
    longer = cocok("train", "--until", later, "--json").json()
    assert parts(registry.fetch(longer["version"])) != one


def parts(bundle: Path) -> dict[str, Any]:
    """All of a bundle but the instant it was made at."""
    found: dict[str, Any] = {file.name: file.read_bytes() for file in bundle.iterdir()}
    manifest = json.loads(found.pop("bundle.json"))
    assert manifest.pop("created_at")
    assert len(found) >= 3
    return {**found, "manifest": manifest}


def test_given_an_empty_log_then_train_says_how_to_fill_it(fresh: Cocok) -> None:
    ran = fresh("train")
    assert ran.code == 1
    assert "cocok import" in one_line(ran.err)


def test_given_a_log_without_lists_then_train_says_what_is_missing(fresh: Cocok, tmp_path: Path) -> None:
    events = [event for event in market(days=2) if event["type"] != "feed_served"]
    fresh("import", write(tmp_path / "log.ndjson", events))
    ran = fresh("train")
    assert ran.code == 1
    assert "no feed_served lists" in one_line(ran.err)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--maturity", "soon"], "--maturity soon is no duration; write one like 36h"),
        (["--maturity", "0h"], "--maturity 0h is no duration"),
        (["--maturity", "-2d"], "--maturity -2d is no duration"),
        (["--maturity", "nanh"], "--maturity nanh is no duration"),
        (["--maturity", "9999999999d"], "is no duration"),
        (["--maturity", "60d"], "none of the 653 lists is mature"),
        (["--until", "yesterday"], "--until yesterday is no instant; write one like 2026-"),
        (["--since", "2026-13-01"], "--since 2026-13-01 is no instant"),
        (["--until", "9999-12-31T23:59:59-07:00"], "--until` must lie between the years"),
        (["--until", "2020-01-01T00:00:00Z"], "no feed_served lists"),
        (["--since", "2031-01-01T00:00:00Z"], "must lie before"),
        (["--since", "2026-01-30T20:00:00Z", "--until", UNTIL], "too little history"),
    ],
)
def test_given_what_train_cannot_do_then_one_line_says_why(
    folder: Path,
    first: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    words: str,
) -> None:
    assert first["version"] == 1
    home = folder / "errors"
    if not home.exists():
        run(home, "import", folder / "log.ndjson")
    ran = Cocok(home, capsys, monkeypatch)("train", *options)
    assert (ran.code, ran.out) == (1, "")
    assert words in one_line(ran.err)


@pytest.mark.parametrize("options", [[], ["--model", "fallback"]], ids=["absent", "named"])
def test_given_no_model_then_the_fallback_ranks_and_it_is_said(
    fresh: Cocok, tmp_path: Path, options: list[str]
) -> None:
    requests, out = asked(tmp_path / "q.ndjson", {"worker_id": "w", "candidates": ["t"]}), tmp_path / "out.ndjson"
    ran = fresh("rank", "--requests", requests, "--out", out, "--json", *options)
    assert ran.json() == {"version": "fallback", "requests": 1, "items": 0}
    assert ("cocok train makes a model" in ran.err) == (not options)
    assert json.loads(out.read_text())["removed"] == [{"task_id": "t", "reasons": ["unknown_task"]}]


def test_given_the_fallback_then_it_ranks_beside_models_and_claims_no_probability(cocok: Cocok, tmp_path: Path) -> None:
    found = answers(cocok, tmp_path, {"worker_id": "w1"}, options=["--model", "fallback"])[0]["items"]
    assert found
    assert {item["p_accept"] for item in found} == {None}
    assert sorted((item["score"] for item in found), reverse=True) == [item["score"] for item in found]


@pytest.mark.parametrize("model", ["99", "best"])
def test_given_a_model_that_does_not_exist_then_those_that_do_are_named(
    cocok: Cocok, tmp_path: Path, model: str
) -> None:
    requests = asked(tmp_path / "q.ndjson", {"worker_id": "w"})
    ran = cocok("rank", "--requests", requests, "--out", tmp_path / "out", "--model", model)
    assert ran.code == 1
    assert f"no model '{model}'" in one_line(ran.err)
    assert "challenger" in ran.err


def test_given_a_bad_request_then_file_and_line_are_named_and_nothing_is_written(cocok: Cocok, tmp_path: Path) -> None:
    requests, out = asked(tmp_path / "q.ndjson", {"worker_id": "w"}, {}), tmp_path / "out.ndjson"
    ran = cocok("rank", "--requests", requests, "--out", out)
    assert ran.code == 1
    assert f"{requests}, line 2: give `worker_id`" in one_line(ran.err)
    assert not out.exists()


def test_given_files_that_cannot_be_used_then_they_are_named(cocok: Cocok, tmp_path: Path) -> None:
    requests = asked(tmp_path / "q.ndjson", {"worker_id": "w"})
    ran = cocok("rank", "--requests", tmp_path / "none.ndjson", "--out", tmp_path / "out")
    assert (ran.code, "none.ndjson: No such file" in one_line(ran.err)) == (1, True)
    ran = cocok("rank", "--requests", requests, "--out", tmp_path / "none" / "out")
    assert (ran.code, f"the folder {tmp_path / 'none'} does not exist" in one_line(ran.err)) == (1, True)
    ran = cocok("rank", "--requests", requests, "--out", tmp_path)
    assert (ran.code, f"cannot write {tmp_path}" in one_line(ran.err)) == (1, True)


def test_given_other_rates_than_in_training_then_the_model_is_refused(
    cocok: Cocok, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COCOK_RATES", '{"IDR": 1}')
    requests = asked(tmp_path / "q.ndjson", {"worker_id": "w"})
    ran = cocok("rank", "--requests", requests, "--out", tmp_path / "out", "--model", "1")
    assert ran.code == 1
    assert "currency rates" in one_line(ran.err)


@pytest.mark.parametrize("command", ["train", "rank"])
def test_given_help_then_it_shows_an_example(fresh: Cocok, command: str) -> None:
    ran = fresh(command, "--help")
    assert ran.code == 0
    assert f"Example: cocok {command}" in ran.out
    assert "--json" in ran.out


def test_given_help_of_train_then_its_example_tunes(fresh: Cocok) -> None:
    assert "--tune 20" in " ".join(fresh("train", "--help").out.split())
