"""Every format by every way in: its fixture becomes events, and events become feeds."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.service.api.server import Api, serving
from tests.service.cli.run import Cocok

FIXTURES = Path(__file__).parent / "adapters" / "fixtures"
FOLDERS = sorted(folder for folder in FIXTURES.iterdir() if any(folder.iterdir()))
NEWCOMER = "nobody-knows-me"


@pytest.fixture
def cocok(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cocok:
    monkeypatch.delenv("COLUMNS", raising=False)
    return Cocok(tmp_path / "home", capsys, monkeypatch)


def format_of(folder: Path) -> str:
    """The format of a fixture: its mapping if it has one, else the one that bears its name."""
    mapping = folder / "mapping.toml"
    return str(mapping) if mapping.exists() else folder.name


def feeds(api: Api, workers: list[str]) -> dict[str, list[tuple[str, float]]]:
    return {
        worker: [(item["task_id"], item["score"]) for item in api.feed(worker, record=False)["items"]]
        for worker in workers
    }


def tasks_of(found: dict[str, list[tuple[str, float]]]) -> set[str]:
    return {task for items in found.values() for task, _ in items}


def exported(cocok: Cocok, name: str) -> list[dict[str, Any]]:
    assert cocok("export", "--out", cocok.home / name).code == 0
    return [json.loads(line) for line in (cocok.home / name).read_text().splitlines()]


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_given_a_fixture_then_both_ways_in_lead_to_the_same_feeds(cocok: Cocok, folder: Path, tmp_path: Path) -> None:
    way = ("--format", format_of(folder), "--json")
    ran = cocok("import", folder, *way)
    assert ran.code == 0, ran.err
    assert ran.json()["refused"] == []
    accepted = ran.json()["accepted"]
    assert accepted > 0
    assert cocok("import", folder, *way).json() == {"accepted": 0, "duplicates": accepted, "refused": []}
    assert cocok("doctor", folder, "--format", format_of(folder)).code == cocok("doctor").code

    log = exported(cocok, "log.ndjson")
    assert len(log) == accepted
    workers = [*sorted({event["worker_id"] for event in log if "worker_id" in event}), NEWCOMER]
    with serving(cocok.home, log_clock=True) as api:
        imported = feeds(api, workers)
    offered: set[str] = set()
    with serving(tmp_path / "other", log_clock=True) as api:
        for event in log:
            api.events(event)
            if event["type"] == "task_posted":  # at the end all may be closed
                offered |= tasks_of(feeds(api, workers))
        assert feeds(api, workers) == imported
    assert offered
    assert offered | tasks_of(imported) <= {event["task_id"] for event in log if event["type"] == "task_posted"}


def test_given_an_amount_in_a_currency_without_a_rate_then_a_mapped_row_is_refused_like_a_line(
    cocok: Cocok, tmp_path: Path
) -> None:
    (tmp_path / "requests.csv").write_text("id,pay\n1,5\n2,6\n")
    (tmp_path / "m.toml").write_text("""
        [[sources]]
        name = "requests"
        files = ["requests.csv"]
        [[events]]
        source = "requests"
        type = "task_posted"
        event_id = "{id}"
        at = "2026-03-01T12:00:00Z"
        fields = { task_id = "{id}", requester_id = "r", reward = { amount = "{pay}", currency = "ZZZ" } }
    """)
    ran = cocok("import", tmp_path / "requests.csv", "--format", tmp_path / "m.toml", "--on-error", "skip", "--json")
    assert ran.code == 1
    assert [(each["line"], "no rate for the currency ZZZ" in each["reason"]) for each in ran.json()["refused"]] == [
        (1, True),
        (2, True),
    ]


def test_given_a_refused_row_then_stop_keeps_nothing_and_skip_keeps_the_others(cocok: Cocok, tmp_path: Path) -> None:
    for file in (FIXTURES / "fiverr").iterdir():
        (tmp_path / file.name).write_text(file.read_text().replace("$90", "ninety"))
    files = sorted(tmp_path.glob("*.csv"))
    ran = cocok("import", *files, "--format", "fiverr")
    assert ran.code == 1
    assert f'{tmp_path / "requests.csv"}, line 3: `reward.amount`: found "ninety"' in ran.err
    assert exported(cocok, "log.ndjson") == []
    ran = cocok("import", *files, "--format", "fiverr", "--on-error", "skip", "--json")
    assert ran.code == 0
    assert [each["line"] for each in ran.json()["refused"]] == [3]
    posted = [event["task_id"] for event in exported(cocok, "log.ndjson") if event["type"] == "task_posted"]
    assert posted == ["r1", "r2", "r4"]


def test_given_a_missing_column_or_an_unknown_format_then_the_error_is_one_line(cocok: Cocok, tmp_path: Path) -> None:
    (tmp_path / "gigs.csv").write_text("seller\ns1\n")
    ran = cocok("import", tmp_path, "--format", "fiverr")
    assert ran.code == 1
    assert f"{tmp_path / 'gigs.csv'}: has no column `" in ran.err
    assert len(ran.err.splitlines()) == 1
    ran = cocok("import", tmp_path, "--format", tmp_path / "none.toml")
    assert (ran.code, "cannot be read: No such file" in ran.err) == (1, True)
