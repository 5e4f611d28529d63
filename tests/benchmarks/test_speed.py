"""The speed benchmarks run at a tiny size and tell what they are to tell; how fast anything is, no test asks."""

import importlib
import json
import math
import pkgutil
import shutil
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from benchmarks import archive, cascade, eligibility, feeds, learning, log, rivals, scaling, serving, startup
from benchmarks.learning import Setting
from benchmarks.load import closed_loop, has_wrk, open_loop
from benchmarks.market import END, Size, bundle_of, copy_of, events, folded, home_of
from benchmarks.point_in_time import COLUMNS, gains, point_in_time
from benchmarks.point_in_time_tables import tables_of
from benchmarks.report import Figure, ratio, report
from features.events import TaskPosted, micros
from features.money import Rates
from matching.eligibility import judge_open
from tests.log import RATES
from tests.market import market, write
from training.registry import Registry

TINY = Size(
    open_tasks=400,
    workers=60,
    assignments=2.0,
    lists=10,
    signatures=20,
    batches=50,
    past_tasks=30,
    simulated=60,
    trees=5,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("markets")


@pytest.fixture
def setting(cache: Path) -> Setting:
    return Setting(cache, TINY, runs=1, events=200, rows=5_000, trees=2)


def sound(figures: list[Figure]) -> list[str]:
    """The names of figures that all have values."""
    assert all(math.isfinite(value) for figure in figures for value in figure.runs)
    return [figure.name for figure in figures]


def test_given_a_size_then_so_many_tasks_are_open_and_every_worker_has_a_history(cache: Path) -> None:
    state = folded(home_of(cache, TINY), RATES)
    assert state.clock is not None
    assert state.clock <= END
    opened = {state.catalogue.tasks.external(int(task)) for task in state.open_tasks}
    assert {f"t{number}" for number in range(TINY.open_tasks)} <= opened
    assert not any(name.startswith("p") for name in opened)
    drawn = [state.catalogue.workers.get(f"w{number}") for number in range(TINY.workers)]
    assert state.arrays.workers["accepted"][drawn].min() >= 1
    assert len(state.catalogue.compiled) >= TINY.signatures
    assert all(len(judge_open(state, worker, END).kept) for worker in drawn[:5])


def test_given_a_market_then_its_log_is_in_order_of_time_and_the_same_each_time() -> None:
    log = list(events(TINY))
    instants = [micros(event.at) for event in log]
    assert instants == sorted(instants)
    assert log == list(events(TINY))
    assert len({event.event_id for event in log}) == len(log)


def test_given_that_half_of_the_batches_ask_then_the_tasks_of_the_others_require_nothing() -> None:
    drawn = [event for event in events(replace(TINY, asking=0.5)) if isinstance(event, TaskPosted)]
    asks = {event.group_id: event.requirements is not None for event in drawn if event.task_id.startswith(("t", "p"))}
    asks = {batch: asked for batch, asked in asks.items() if batch and batch.startswith("bg")}
    assert sum(asks.values()) == TINY.batches / 2
    assert len(asks) == TINY.batches


def test_given_a_copy_then_what_is_done_to_it_leaves_the_market_alone(cache: Path) -> None:
    home = home_of(cache, TINY)
    before = (home / "cocok.db").read_bytes()
    with copy_of(home) as copied:
        (copied / "cocok.db").write_bytes(b"")
    assert (home / "cocok.db").read_bytes() == before
    assert not copied.exists()


def test_given_a_market_of_other_columns_then_it_is_given_another_model(cache: Path) -> None:
    with copy_of(home_of(cache, TINY)) as copied:
        # As another version left it, with MLflow's paths into its own folder.
        other = copied / TINY.name
        shutil.copytree(home_of(cache, TINY), other)
        shutil.rmtree(other / "mlflow")
        (other / "complete").write_text("of other columns")
        log = (other / "cocok.db").read_bytes()
        assert home_of(copied, TINY) == other
        assert Registry.at(other).champion() == 1
        assert (other / "cocok.db").read_bytes() == log
        assert home_of(copied, TINY) == other
        assert len(Registry.at(other).versions()) == 1


def test_given_a_server_then_throughput_latency_memory_and_start_up_are_told(cache: Path) -> None:
    told = sound(serving.measured(cache, TINY, runs=1, seconds=1, rate=10))
    assert sum("p99" in name for name in told) == 1 + has_wrk()
    assert any("resident" in name for name in told)
    assert not any("failed" in name for name in told)


def test_given_no_wrk_then_it_says_how_to_get_it_and_measures_the_rest(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(serving, "Size", lambda open_tasks, workers, asking: replace(TINY, asking=asking))
    sizes = ["--open-tasks", "400", "--processes", "1", "--runs", "1", "--seconds", "0.5"]
    argv = ["serving", "--cache", str(cache), *sizes]
    monkeypatch.setattr(sys, "argv", argv)
    serving.main()
    shown = capsys.readouterr().out
    assert "apt-get install wrk" in shown
    assert "16 connections" not in shown
    assert "100 feeds/s, p50" in shown


@pytest.mark.parametrize("part", learning.PARTS)
def test_given_a_part_of_learning_then_its_figures_are_told(setting: Setting, part: str) -> None:
    assert sound(learning.PARTS[part](setting))


def test_given_lists_then_joins_in_pandas_give_the_columns_that_replay_gives(setting: Setting) -> None:
    rows = setting.replay()
    found = point_in_time(rows, tables_of(setting.log, RATES))
    assert tuple(found.columns) == COLUMNS
    for name in COLUMNS:
        # Replay cannot tell groups whose hashes are the same, and what stands level may do so but for rounding.
        same = np.isclose(found[name], rows.column(name), rtol=1e-4, atol=1e-4, equal_nan=True)
        assert same.mean() > 0.995, name


def test_given_a_ranker_then_the_gain_of_all_columns_is_told(cache: Path) -> None:
    found = gains(bundle_of(cache, TINY, RATES).ranker.booster)
    assert found.sum() == pytest.approx(1.0)
    assert found.is_monotonic_decreasing
    assert set(COLUMNS) < set(found.index)


def test_given_more_rows_are_wanted_then_every_list_comes_as_often(setting: Setting) -> None:
    rows = setting.replay()
    more = learning.repeated(rows, 3 * len(rows.labels))
    assert len(more) == 3 * len(rows)
    np.testing.assert_array_equal(more.features[more.offsets[1] : more.offsets[2]], rows.features[: rows.offsets[1]])
    assert more.labels.sum() == 3 * rows.labels.sum()


def test_given_other_servers_then_each_is_compared_with_cocok(cache: Path) -> None:
    told = sound(rivals.measured(cache, TINY, runs=1, requests=8, workers=10))
    assert {"rival against Cocok", "mlflow against Cocok without explanations"} <= set(told)


def test_given_a_start_then_its_time_and_memory_are_told(cache: Path) -> None:
    assert {"from the log: ready after", "from a snapshot: ready after"} <= set(
        sound(startup.measured(cache, TINY, runs=1))
    )


def test_given_growing_markets_then_costs_are_drawn_against_what_grows(cache: Path, tmp_path: Path) -> None:
    sizes = {"open tasks": [TINY], "workers": [TINY]}
    found = scaling.costs(cache, sizes, 2, lambda _: None)
    assert [[amount for amount, _, _ in points] for points in found.values()] == [[400], [60]]
    assert len(sound(scaling.figures_of(found))) == 4
    scaling.drawn(found).savefig(tmp_path / "cost.png")
    assert (tmp_path / "cost.png").stat().st_size > 1_000


def test_given_a_market_then_the_time_of_a_feed_is_told_by_stage(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "feeds.json"
    monkeypatch.setattr(feeds, "Size", lambda **_: replace(TINY))
    monkeypatch.setattr(feeds, "event_by_event", lambda *_: {1: 1.0})
    argv = ["feeds", "--open-tasks", "400", "--feeds", "20", "--cache", str(cache), "--json", str(file)]
    monkeypatch.setattr(sys, "argv", argv)
    feeds.main()
    assert "near misses" in capsys.readouterr().out
    assert any(name.endswith("explained: near misses") for name in written(file))


def test_given_small_sizes_then_eligibility_and_the_log_tell_and_write_their_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "figures.json"
    sizes = ["--open-tasks", "300", "--signatures", "20", "--batches", "50", "--workers", "5"]
    monkeypatch.setattr(sys, "argv", ["eligibility", *sizes, "--json", str(file)])
    eligibility.main()
    assert "every task judged" in capsys.readouterr().out
    assert "300 open tasks: every task judged" in written(file)
    events_file = write(tmp_path / "log.ndjson", market(days=3))
    monkeypatch.setattr(sys, "argv", ["log", "--events", str(events_file), "--runs", "2", "--json", str(file)])
    log.main()
    assert "read and fold" in capsys.readouterr().out
    assert "read and fold" in written(file)


def written(file: Path) -> list[str]:
    """The names of the figures in a file, all of which are numbers."""
    figures = json.loads(file.read_text())["figures"]
    assert all(isinstance(run, float) for each in figures for run in each["runs"])
    return [each["name"] for each in figures]


def test_given_figures_then_the_table_says_what_is_held_and_the_file_has_every_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast, slow = Figure("fast", "1/s", [9.0, 11.0, 10.0], least=10), Figure("slow", "ms", [2.0, 4.0, 5.0], most=3)
    report("Some", [fast, slow, ratio("apart", fast, slow)], tmp_path / "found.json")
    shown = capsys.readouterr().out
    assert "≥ 10: held" in shown
    assert "≤ 3: not held" in shown
    found = json.loads((tmp_path / "found.json").read_text())
    assert [each["median"] for each in found["figures"]] == [10.0, 4.0, 2.75]
    assert found["figures"][0]["runs"] == [9.0, 11.0, 10.0]


def test_given_an_answer_that_waits_for_later_requests_then_a_fixed_rate_sends_them_all_the_same() -> None:
    arrived: list[bytes] = []
    all_there = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            arrived.append(self.rfile.read(int(self.headers["Content-Length"])))
            if len(arrived) == 10:
                all_there.set()
            self.send_response(200 if all_there.wait(10) and arrived[-1] != b"bad" else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        load = open_loop(url, str, rate=100, seconds=0.1, path="/")
        again = closed_loop(url, [b"good", b"bad", b"good"], connections=1, path="/")
    finally:
        server.shutdown()
        server.server_close()
    assert (load.requests, load.failed) == (10, 0)
    assert sorted(arrived[:10]) == [str(number).encode() for number in range(10)]
    assert (again.requests, again.failed) == (3, 1)


def test_old_lists_take_less_room_in_files() -> None:
    figures = archive.measured(300, runs=2)
    names = sound(figures)
    assert "reading the log, in files" in names
    assert figures[names.index("both, of the room in the database")].median < 0.5


def test_given_more_eligible_tasks_than_are_scored_then_what_the_cascade_loses_is_told(cache: Path) -> None:
    rates = Rates.shipped()
    told = sound(cascade.measured(rates, bundle_of(cache, TINY, rates), 3_000, workers=3))
    assert any("recall of the best 20" in name for name in told)


@pytest.mark.parametrize(
    "name",
    [module.name for module in pkgutil.iter_modules(benchmarks.__path__)],
)
def test_every_benchmark_can_be_imported(name: str) -> None:
    importlib.import_module(f"benchmarks.{name}")
