"""`cocok snapshot`, as an operator runs it, and what other commands make of it."""

import json
from pathlib import Path

import pytest

from features.state import MarketState
from tests.service.api.server import event, task, usd
from tests.service.cli.run import Cocok

ASKS = [{"attribute": "qualification:tagging", "comparator": "ge", "value": 80}]


def told(cocok: Cocok, *names: str) -> None:
    events = [event("worker_updated", worker_id="ana", qualifications={"tagging": 50})]
    events += [task(name, requirements=ASKS, reward=usd(2), estimated_minutes=6) for name in names]
    path = cocok.home.parent / "log.ndjson"
    path.write_text("".join(json.dumps(each) + "\n" for each in events))
    assert cocok("import", path).code == 0


def test_it_tells_what_it_wrote(cocok: Cocok) -> None:
    told(cocok, "t1", "t2")
    first = cocok("snapshot", "--json").json()
    assert Path(first["path"]) == cocok.home / "snapshots" / "000000000003.snapshot"
    assert first["size"] == Path(first["path"]).stat().st_size
    assert (first["seq"], first["since"], first["written"], first["pruned"]) == (3, 0, True, 0)
    table = cocok("snapshot").out
    assert "nothing new" in table
    assert "000000000003.snapshot" in table


def test_the_settings_say_how_many_are_kept(cocok: Cocok, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COCOK_SNAPSHOTS_KEPT", "1")
    for name in ("t1", "t2"):
        told(cocok, name)
        cocok("snapshot")
    assert [file.name for file in (cocok.home / "snapshots").glob("*.snapshot")] == ["000000000004.snapshot"]


def test_near_misses_begin_from_it_and_say_the_same(cocok: Cocok, monkeypatch: pytest.MonkeyPatch) -> None:
    told(cocok, "t1", "t2")
    cocok("snapshot")
    told(cocok, "t3")
    folded: list[int] = []
    apply = MarketState.apply

    def counting(state: MarketState, entries: list[object]) -> None:
        folded.append(len(entries))
        apply(state, entries)  # type: ignore[arg-type]

    monkeypatch.setattr(MarketState, "apply", counting)
    (miss,) = cocok("near-misses", "ana", "--json").json()
    assert (miss["tasks"], folded) == (3, [2])


def test_a_damaged_one_is_told_of_and_done_without(cocok: Cocok) -> None:
    told(cocok, "t1")
    Path(cocok("snapshot", "--json").json()["path"]).write_bytes(b"")
    again = cocok("snapshot", "--json").json()
    assert (again["since"], again["written"]) == (0, True)


def test_an_empty_log_is_an_error_of_one_line(cocok: Cocok) -> None:
    ran = cocok("snapshot")
    assert (ran.code, ran.err) == (1, "error: the log is empty: bring events in with `cocok import PATH`\n")


def test_it_explains_itself_with_an_example(cocok: Cocok) -> None:
    assert "cocok snapshot --json" in " ".join(cocok("snapshot", "--help").out.split())
