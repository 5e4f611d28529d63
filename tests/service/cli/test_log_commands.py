"""`cocok import`, `cocok export` and `cocok doctor`."""

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import CocokError
from features.events import Event, TaskPosted, WorkerErased, decode_event, encode_event
from service.erasure import erase
from service.store import SqliteStore, Stored, open_store, opened
from tests.features.examples import BODIES, written
from tests.service.cli.run import Cocok

COMMAND = (sys.executable, "-c", "from service.cli import main; main()")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def closed(number: int, *, minutes: int = 0, task: str = "t") -> dict[str, Any]:
    at = (NOON + timedelta(minutes=minutes)).isoformat()
    return {"event_id": f"e{number}", "type": "task_closed", "at": at, "task_id": task}


def write(path: Path, *events: dict[str, Any] | bytes) -> Path:
    lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    text = b"".join(line + b"\n" for line in lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def stored(home: Path) -> list[Event]:
    store = open_store(f"sqlite:///{home / 'cocok.db'}")
    try:
        return [row.event for rows in store.read() for row in rows]
    finally:
        store.close()


def ids(home: Path) -> list[str]:
    return [event.event_id for event in stored(home)]


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait for servers, of which there are none."""
    monkeypatch.setattr("service.engine.HEARD_SECONDS", 0.0)


@pytest.fixture
def all_types(tmp_path: Path, _at_once: None) -> Path:
    clear = {"event_id": "clear", "type": "task_updated", "at": NOON.isoformat(), "task_id": "t1", "slots": None}
    events = [written(kind, event_id=f"{place}") for place, kind in enumerate(BODIES)]
    return write(tmp_path / "all.ndjson", *events, {**clear, "title": None, "skills": None})


def test_given_a_log_then_import_says_what_was_accepted(cocok: Cocok, tmp_path: Path) -> None:
    file = write(tmp_path / "a.ndjson", closed(1), closed(2), closed(1))
    ran = cocok("import", file, "--json")
    assert ran.code == 0
    assert ran.json() == {"accepted": 2, "duplicates": 1, "refused": []}
    assert cocok("import", file, "--json").json() == {"accepted": 0, "duplicates": 3, "refused": []}


def test_given_a_person_then_import_prints_a_table(cocok: Cocok, tmp_path: Path) -> None:
    ran = cocok("import", write(tmp_path / "a.ndjson", closed(1), b"{}"), "--on-error", "skip")
    assert [line.split() for line in ran.out.splitlines()[1:4]] == [
        ["accepted", "1"],
        ["duplicates", "0"],
        ["refused", "1"],
    ]
    assert f"{tmp_path / 'a.ndjson'}, line 2: `type`: missing" in ran.out


def test_given_files_and_folders_then_they_are_merged_by_time_then_file_then_line(cocok: Cocok, tmp_path: Path) -> None:
    late = write(tmp_path / "z.ndjson", closed(1, minutes=5), closed(2, minutes=1), closed(3, minutes=1))
    write(tmp_path / "days" / "2.ndjson.gz", closed(4, minutes=1), closed(5, minutes=0))
    write(tmp_path / "days" / "1.ndjson", closed(6, minutes=1))
    (tmp_path / "days" / "notes.txt").write_text("not a log")
    assert cocok("import", late, tmp_path / "days", "--json").json()["accepted"] == 6
    assert ids(cocok.home) == ["e5", "e2", "e3", "e6", "e4", "e1"]


def test_given_a_refused_line_then_nothing_is_kept_and_the_line_is_named(cocok: Cocok, tmp_path: Path) -> None:
    file = write(tmp_path / "a.ndjson", closed(1), {**closed(2), "x": 1}, b"{}")
    ran = cocok("import", file, "--json")
    assert ran.code == 1
    assert ran.json()["accepted"] == 0
    assert [(line["file"], line["line"]) for line in ran.json()["refused"]] == [(str(file), 2)]
    assert len(ran.err.splitlines()) == 1
    assert f"{file}, line 2: `x`: unknown field" in ran.err
    assert "--on-error skip" in ran.err
    assert ids(cocok.home) == []


def test_given_skip_then_the_other_lines_are_kept_and_every_refused_one_is_listed(cocok: Cocok, tmp_path: Path) -> None:
    file = write(tmp_path / "a.ndjson", b"nonsense", closed(1), {**closed(2), "x": 1}, closed(3))
    ran = cocok("import", file, "--on-error", "skip", "--json")
    assert ran.code == 0
    assert ran.json()["accepted"] == 2
    assert [line["line"] for line in ran.json()["refused"]] == [1, 3]
    assert ids(cocok.home) == ["e1", "e3"]


def test_given_skip_and_nothing_good_then_the_exit_code_is_one(cocok: Cocok, tmp_path: Path) -> None:
    ran = cocok("import", write(tmp_path / "a.ndjson", b"{}"), "--on-error", "skip", "--json")
    assert (ran.code, ran.json()["accepted"]) == (1, 0)


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_given_a_conflict_then_its_line_is_refused(cocok: Cocok, tmp_path: Path, on_error: str) -> None:
    cocok("import", write(tmp_path / "a.ndjson", closed(1)))
    file = write(tmp_path / "b.ndjson", closed(2), closed(3, minutes=-1), closed(1, task="other"))
    ran = cocok("import", file, "--on-error", on_error, "--json")
    assert [(line["line"], line["reason"][:36]) for line in ran.json()["refused"]] == [
        (3, "event_id already used with other con")
    ]
    assert (ran.code, ids(cocok.home)) == ((1, ["e1"]) if on_error == "stop" else (0, ["e1", "e3", "e2"]))


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_given_a_conflict_in_a_long_log_then_the_line_is_still_the_right_one(
    cocok: Cocok, tmp_path: Path, on_error: str
) -> None:
    numbers = list(range(15_000))
    random.Random(7).shuffle(numbers)
    file = write(tmp_path / "a.ndjson", *[closed(number, minutes=number) for number in numbers])
    with file.open("ab") as more:
        more.write(json.dumps(closed(14_000, minutes=20_000, task="other")).encode())
    ran = cocok("import", file, "--on-error", on_error, "--json")
    assert [line["line"] for line in ran.json()["refused"]] == [15_001]
    assert ran.json()["accepted"] == (0 if on_error == "stop" else 15_000)
    assert ids(cocok.home) == ([] if on_error == "stop" else [f"e{number}" for number in range(15_000)])


def test_given_an_empty_file_among_others_then_it_is_an_hour_without_events(cocok: Cocok, tmp_path: Path) -> None:
    for name in ("a.ndjson", "b.ndjson"):
        (tmp_path / name).write_bytes(b"\n" if name.startswith("a") else b"")
    full = write(tmp_path / "c.ndjson", closed(1))
    assert cocok("import", tmp_path / "a.ndjson", tmp_path / "b.ndjson", full, "--json").json()["accepted"] == 1


GOOD = json.dumps(closed(1)).encode() + b"\n"


def _foot_not_utf8() -> bytes:
    """A Parquet file whose foot names a column in no encoding."""
    held = pa.BufferOutputStream()
    pq.write_table(pa.table({"column": [1]}), held, store_schema=False)
    return bytes(held.getvalue()).replace(b"column", b"col\xffmn")


FOOT_NOT_UTF8 = _foot_not_utf8()


@pytest.mark.parametrize(
    ("name", "content", "line", "words"),
    [
        ("a.ndjson", GOOD + GOOD[:40], 2, "cut off"),
        ("a.ndjson", GOOD + b'{"event_id": "\xff"}', 2, "UTF-8"),
        ("a.ndjson", GOOD + b"\n" + b'{"x": NaN}', 3, "NaN"),
        ("a.ndjson.gz", gzip.compress(GOOD * 50, mtime=0)[:-12], None, "gzip data is broken"),
        ("a.ndjson.gz", GOOD, 1, "gzip data is broken"),
        ("a.parquet", GOOD, 1, "cannot be read as Parquet"),
        ("a.parquet", FOOT_NOT_UTF8, 1, "cannot be read as Parquet"),
    ],
)
def test_given_a_broken_file_then_file_and_line_are_named(
    cocok: Cocok, tmp_path: Path, name: str, content: bytes, line: int | None, words: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    ran = cocok("import", file)
    assert ran.code == 1
    assert ran.err.startswith(f"error: {file}, line {line or ''}")
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.ndjson", "no such file"),
        ("notes.txt", "*.ndjson, *.ndjson.gz, *.parquet"),
        ("empty", "no file of this format"),
    ],
)
def test_given_a_path_without_a_log_then_the_error_says_what_is_wanted(
    cocok: Cocok, tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    ran = cocok("import", tmp_path / name)
    assert (ran.code, ran.out) == (1, "")
    assert words in ran.err


def test_given_a_byte_order_mark_and_windows_line_ends_then_the_file_is_read(cocok: Cocok, tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.rstrip() + b"\r\n")
    assert cocok("import", file, "--json").json()["accepted"] == 1


def test_given_a_currency_without_a_rate_then_it_is_refused_until_the_settings_have_one(
    cocok: Cocok, tmp_path: Path
) -> None:
    posted = written("task_posted", reward={"amount": 1, "currency": "XTS"})
    file = write(tmp_path / "a.ndjson", posted)
    ran = cocok("import", file)
    assert ran.code == 1
    assert "no rate for the currency XTS" in ran.err
    (tmp_path / "cocok.toml").write_text("[rates]\nXTS = 5\n")
    assert cocok("import", file, "--json").json()["accepted"] == 1


def test_given_another_format_then_the_supported_ones_are_named(cocok: Cocok, tmp_path: Path) -> None:
    ran = cocok("import", tmp_path, "--format", "nothing")
    assert ran.code == 1
    assert "--format nothing is not supported; supported: events" in ran.err


@pytest.mark.parametrize("name", ["out.ndjson", "out.ndjson.gz", "out.parquet"])
def test_given_every_type_of_event_then_export_and_import_give_the_same_log(
    cocok: Cocok, tmp_path: Path, all_types: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cocok("import", all_types)
    ran = cocok("export", "--out", tmp_path / name, "--json")
    assert (ran.code, ran.json()) == (0, {"events": len(BODIES) + 1, "file": str(tmp_path / name)})
    fresh = tmp_path / "fresh"
    monkeypatch.setenv("COCOK_HOME", str(fresh))
    assert cocok("import", tmp_path / name, "--json").json()["refused"] == []
    assert stored(fresh) == stored(cocok.home)
    assert len(stored(fresh)) == len(BODIES) + 1


def test_given_the_same_log_then_two_exports_are_equal_byte_for_byte(
    cocok: Cocok, tmp_path: Path, all_types: Path
) -> None:
    cocok("import", all_types)
    for name in ("a.ndjson.gz", "b.ndjson.gz"):
        cocok("export", "--out", tmp_path / name)
    assert (tmp_path / "a.ndjson.gz").read_bytes() == (tmp_path / "b.ndjson.gz").read_bytes()


def test_given_a_name_of_another_kind_then_export_refuses_and_leaves_nothing(cocok: Cocok, tmp_path: Path) -> None:
    ran = cocok("export", "--out", tmp_path / "log.csv")
    assert ran.code == 1
    assert "end in .ndjson" in ran.err
    assert not list(tmp_path.glob("*log.csv*"))


def test_given_a_table_with_nested_columns_as_pandas_writes_it_then_it_is_read(cocok: Cocok, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "event_id": ["a", "b", "c"],
            "type": ["task_posted", "feed_served", "task_updated"],
            "at": pd.to_datetime(["2026-03-01T12:00:00Z"] * 3),
            "task_id": ["t1", None, "t1"],
            "requester_id": ["r1", None, None],
            "worker_id": [None, "w1", None],
            "feed_id": [None, "f1", None],
            "reward": [{"amount": 1.5, "currency": "USD"}, None, None],
            "skills": [["a", "b"], None, None],
            "items": [None, [{"task_id": "t1", "position": 1, "score": None}], None],
            "slots": [3.0, float("nan"), 4.0],
        }
    )
    file = tmp_path / "a.parquet"
    frame.to_parquet(file)
    assert cocok("import", file, "--json").json() == {"accepted": 3, "duplicates": 0, "refused": []}
    head = {"at": "2026-03-01T12:00:00Z"}
    twin = write(
        tmp_path / "a.ndjson",
        {
            **head,
            "event_id": "a",
            "type": "task_posted",
            "task_id": "t1",
            "requester_id": "r1",
            "reward": {"amount": "1.5", "currency": "USD"},
            "skills": ["a", "b"],
            "slots": 3,
        },
        {
            **head,
            "event_id": "b",
            "type": "feed_served",
            "worker_id": "w1",
            "feed_id": "f1",
            "items": [{"task_id": "t1", "position": 1}],
        },
        {**head, "event_id": "c", "type": "task_updated", "task_id": "t1", "slots": 4},
    )
    assert cocok("import", twin, "--json").json() == {"accepted": 0, "duplicates": 3, "refused": []}


def test_given_a_map_column_then_a_null_in_it_is_a_value(cocok: Cocok, tmp_path: Path) -> None:
    table = pa.table(
        {
            "event_id": ["a"],
            "type": ["worker_updated"],
            "at": ["2026-03-01T12:00:00Z"],
            "worker_id": ["w"],
            "qualifications": pa.array([[("q1", 3), ("q2", None)]], pa.map_(pa.string(), pa.int64())),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    cocok("import", tmp_path / "a.parquet")
    assert [getattr(event, "qualifications", None) for event in stored(cocok.home)] == [{"q1": 3, "q2": None}]


def test_given_text_as_bytes_then_it_is_text(cocok: Cocok, tmp_path: Path) -> None:
    table = head(worker_id=pa.array([b"w1"], pa.binary()), skills=pa.array([b'["a"]'], pa.binary()))
    pq.write_table(table.set_column(1, "type", pa.array([b"worker_updated"])), tmp_path / "a.parquet")
    assert cocok("import", tmp_path / "a.parquet", "--json").json()["accepted"] == 1
    (profile,) = stored(cocok.home)
    assert (getattr(profile, "worker_id", None), getattr(profile, "skills", None)) == ("w1", ("a",))


def test_given_decimals_then_they_are_numbers_to_the_last_digit(cocok: Cocok, tmp_path: Path) -> None:
    columns = {name: [value] for name, value in closed(1).items()}
    exact = Decimal("123456789012.000000000000001")
    reward = pa.array([{"amount": exact, "currency": "IDR"}])
    clause = {"attribute": "qualification:x", "comparator": "ge", "value": Decimal("80.0")}
    table = pa.table(
        {
            **columns,
            "type": ["task_posted"],
            "requester_id": pa.array([Decimal(7)]),
            "slots": pa.array([Decimal("3.00")]),
            "estimated_minutes": pa.array([Decimal("3.5")]),
            "reward": reward,
            "requirements": pa.array([[clause]]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert cocok("import", tmp_path / "a.parquet", "--json").json()["accepted"] == 1
    (task,) = stored(cocok.home)
    assert isinstance(task, TaskPosted)
    assert (task.requester_id, task.slots, task.estimated_minutes) == ("7", 3, 3.5)
    assert task.reward is not None
    assert task.reward.amount == exact
    assert task.requirements is not None
    assert [clause.value for clause in task.requirements.clauses()] == [80]


def test_given_a_column_twice_then_the_file_is_refused(cocok: Cocok, tmp_path: Path) -> None:
    pq.write_table(head(region=["x"]).append_column("region", pa.array(["y"])), tmp_path / "a.parquet")
    ran = cocok("import", tmp_path / "a.parquet")
    assert (ran.code, stored(cocok.home)) == (1, [])
    assert "the column `region` is there twice" in ran.err


def test_given_a_bad_row_then_its_number_is_named(cocok: Cocok, tmp_path: Path) -> None:
    rows = [closed(1), {**closed(2), "task_id": ""}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    ran = cocok("import", tmp_path / "a.parquet", "--on-error", "skip", "--json")
    assert [(line["line"], line["reason"][:9]) for line in ran.json()["refused"]] == [(2, "`task_id`")]


def people(*workers: str) -> list[Event]:
    """For each worker a profile and, after all of them, an erasure."""
    profiles = [written("worker_updated", event_id=f"p-{who}", worker_id=who, region=f"of {who}") for who in workers]
    erasures = [written("worker_erased", event_id=f"x-{who}", worker_id=who) for who in workers]
    return [decode_event(json.dumps(each).encode()) for each in profiles + erasures]


def erasing_while_read(monkeypatch: pytest.MonkeyPatch, home: Path, workers: list[str]) -> None:
    """Let each reading of the log be interrupted by the erasure of the next of some workers."""
    read = SqliteStore.read

    def interrupted(store: SqliteStore, **how: Any) -> Iterator[list[Stored]]:
        for rows in read(store, **how):
            yield rows
            if workers:
                event = WorkerErased(event_id=f"x-{workers[0]}", at=NOON, worker_id=workers.pop(0))
                with opened(f"sqlite:///{home / 'cocok.db'}") as other:
                    erase(other, [(other.last_seq(), event)])

    monkeypatch.setattr(SqliteStore, "read", interrupted)


@pytest.mark.parametrize("name", ["out.ndjson", "out.ndjson.gz", "out.parquet"])
def test_given_an_erasure_during_an_export_to_a_file_then_it_begins_again_and_does_not_hold_the_worker(
    cocok: Cocok, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with opened(f"sqlite:///{cocok.home / 'cocok.db'}") as store:
        store.append(people("jane", "joe"))
    erasing_while_read(monkeypatch, cocok.home, ["jane", "joe"])
    assert cocok("export", "--out", tmp_path / name, "--json").json()["events"] == 4
    monkeypatch.undo()
    monkeypatch.setenv("COCOK_HOME", str(tmp_path / "fresh"))
    cocok("import", tmp_path / name)
    assert "jane" not in str(found := stored(tmp_path / "fresh")).replace("-jane", "")
    assert "joe" not in str(found).replace("-joe", "")
    assert len(found) == 4


def test_given_erasures_during_every_attempt_then_export_fails_and_the_file_stays_as_it_was(
    cocok: Cocok, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "out.ndjson", b"as it was")
    with opened(f"sqlite:///{cocok.home / 'cocok.db'}") as store:
        store.append(people("jane", "joe", "jim"))
    erasing_while_read(monkeypatch, cocok.home, ["jane", "joe", "jim"])
    ran = cocok("export", "--out", file)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
    assert "export again" in ran.err
    assert file.read_bytes() == b"as it was\n"
    assert [path.name for path in tmp_path.glob("*out*")] == ["out.ndjson"]


def test_given_an_erasure_during_an_export_to_standard_output_then_it_ends_with_an_error(
    cocok: Cocok, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(f"sqlite:///{cocok.home / 'cocok.db'}") as store:
        store.append(people("jane"))
    erasing_while_read(monkeypatch, cocok.home, ["jane"])
    ran = cocok("export", "--out", "-")
    assert (ran.code, len(ran.out.splitlines())) == (1, 2)
    assert ran.err == "error: workers were erased meanwhile: what was written may still name them; export again\n"
    again = cocok("export", "--out", "-")
    assert (again.code, cocok("export").out) == (0, again.out)


@pytest.mark.usefixtures("_at_once")
def test_given_an_imported_erasure_then_it_is_carried_out_without_a_server(cocok: Cocok, tmp_path: Path) -> None:
    def told(kind: str, minutes: int, **fields: str) -> dict[str, Any]:
        at = (NOON + timedelta(minutes=minutes)).isoformat()
        return {"event_id": f"{kind}{minutes}", "type": kind, "at": at, **fields}

    jane, joe = {"worker_id": "jane-zq"}, {"worker_id": "joe-zq"}
    seen = [told("task_viewed", minute, task_id="t", **(jane if minute % 3 else joe)) for minute in range(30)]
    cocok("import", write(tmp_path / "a.ndjson", told("worker_updated", 30, region="Kota", **jane), *seen))
    assert cocok("snapshot").code == 0
    assert list((cocok.home / "snapshots").glob("*.snapshot"))
    later = told("task_viewed", 50, task_id="t", **jane)
    file = write(tmp_path / "b.ndjson", told("worker_erased", 40, **jane), later)
    ran = cocok("import", file)
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "1 erasure carried out")
    found = stored(cocok.home)
    assert len(found) == 33
    assert [event.event_id for event in found if getattr(event, "worker_id", "") == "jane-zq"] == ["task_viewed50"]
    assert sum(getattr(event, "worker_id", "") == "joe-zq" for event in found) == 10
    assert "Kota" not in str(found)
    assert not list((cocok.home / "snapshots").glob("*.snapshot"))
    again = cocok("import", file, "--json")
    assert again.json() == {"accepted": 0, "duplicates": 2, "refused": []}
    assert stored(cocok.home) == found


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("kind", [CocokError, OSError])
def test_given_an_erasure_that_could_not_be_carried_out_then_it_is_said_and_the_same_import_does_it(
    cocok: Cocok, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def held(*_: object) -> int:
        raise kind("the log is being read")

    file = write(tmp_path / "a.ndjson", *map(encode_event, people("jane")))
    with monkeypatch.context() as patch:
        patch.setattr("service.imported_erasures.erase", held)
        ran = cocok("import", file, "--json")
    assert (ran.code, ran.json()["accepted"], len(ran.err.splitlines())) == (1, 2, 1)
    assert "1 erasure could not be carried out to the end: the log is being read; import the file again" in ran.err
    assert [getattr(event, "worker_id", "") for event in stored(cocok.home)] == ["jane", "jane"]
    assert cocok("import", file, "--json").json() == {"accepted": 0, "duplicates": 2, "refused": []}
    assert "jane" not in str(stored(cocok.home)).replace("-jane", "")


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("name", ["log.ndjson", "log.parquet"])
def test_given_the_export_of_a_log_with_an_erasure_then_all_of_it_is_there_already(
    cocok: Cocok, tmp_path: Path, name: str
) -> None:
    cocok("import", write(tmp_path / "a.ndjson", *map(encode_event, people("jane")), closed(1)))
    assert cocok("export", "--out", tmp_path / name).code == 0
    before = stored(cocok.home)
    assert cocok("import", tmp_path / name, "--json").json() == {"accepted": 0, "duplicates": 3, "refused": []}
    assert stored(cocok.home) == before


@pytest.mark.usefixtures("_at_once")
def test_given_an_erasure_that_is_refused_then_nobody_is_erased(cocok: Cocok, tmp_path: Path) -> None:
    profile, erasure = people("jane")
    cocok("import", write(tmp_path / "a.ndjson", encode_event(profile), closed(1)))
    before = stored(cocok.home)
    other = {**written("worker_erased", event_id="e1", worker_id="jane")}
    assert cocok("import", write(tmp_path / "b.ndjson", other), "--on-error", "skip").code == 1
    assert cocok("import", write(tmp_path / "c.ndjson", encode_event(erasure), b"{}")).code == 1
    assert stored(cocok.home) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["export --out -", "doctor --json", "import a.ndjson --json", "import a.ndjson"])
def test_given_a_full_disk_at_standard_output_then_one_line_says_so(cocok: Cocok, tmp_path: Path, command: str) -> None:
    cocok("import", write(tmp_path / "a.ndjson", closed(1)))
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run([*COMMAND, *command.split()], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (ran.returncode, ran.stderr) == (1, b"error: cannot read or write: No space left on device\n")


def test_given_a_reader_that_leaves_then_nothing_is_said(cocok: Cocok, tmp_path: Path) -> None:
    cocok("import", write(tmp_path / "a.ndjson", *(closed(number) for number in range(3_000))))
    reading, writing = os.pipe()
    os.close(reading)
    for command in ("export --out -", "doctor --json"):
        ran = subprocess.run([*COMMAND, *command.split()], stdout=writing, stderr=subprocess.PIPE, check=False)
        assert ran.returncode == 1
        assert b"Traceback" not in ran.stderr
        assert b"Broken" not in ran.stderr
    os.close(writing)


def head(**columns: pa.Array) -> pa.Table:
    """A table of one profile a row, as many as the first of ``columns`` has."""
    rows = range(len(next(iter(columns.values()))))
    profile = {"event_id": [f"e{row}" for row in rows], "type": ["worker_updated"] * len(rows)}
    at = pa.array([NOON] * len(rows), pa.timestamp("us", "UTC"))
    return pa.table({**profile, "worker_id": ["w"] * len(rows), "at": at, **columns})


def test_given_nanoseconds_as_pandas_writes_them_then_they_are_cut_to_microseconds(
    cocok: Cocok, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"event_id": ["a", "b"], "type": ["task_posted"] * 2, "task_id": ["t"] * 2})
    frame["requester_id"] = "r"
    frame["at"] = pd.to_datetime([1767225600000000000, 1767225600000001999], unit="ns", utc=True)
    frame["expires_at"] = pd.to_datetime([1767225600000000000, 1767225600000000999], unit="ns", utc=True)
    frame.to_parquet(tmp_path / "a.parquet")
    assert pq.read_schema(tmp_path / "a.parquet").field("at").type.unit == "ns"
    assert cocok("import", tmp_path / "a.parquet", "--json").json()["accepted"] == 2
    new_year = datetime(2026, 1, 1, tzinfo=UTC)
    assert [event.at for event in stored(cocok.home)] == [new_year, new_year + timedelta(microseconds=1)]
    assert [getattr(event, "expires_at", None) for event in stored(cocok.home)] == [new_year, new_year]


@pytest.mark.parametrize("unit", ["ns", "us", "int96"])
def test_given_a_timestamp_without_a_zone_then_the_row_is_refused_and_told_what_to_write(
    cocok: Cocok, tmp_path: Path, unit: str
) -> None:
    table = head(at=pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us" if unit == "us" else "ns")))
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=unit == "int96")
    ran = cocok("import", tmp_path / "a.parquet")
    assert ran.code == 1
    assert "line 1: `at`: found 2026-03-01T12:00:00 without a time zone; write a timestamp in UTC" in ran.err


NOT_UTF8 = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\x01\0\0\0\x03\0\0\0"), pa.py_buffer(b"x\xff\xfe")]
)


@pytest.mark.parametrize("command", ["import", "doctor"])
@pytest.mark.parametrize(
    ("name", "column", "words"),
    [
        ("at", pa.array([0, 400_000 * 365 * 86_400], pa.timestamp("s", "UTC")), "out of range"),
        ("region", NOT_UTF8, "can't decode byte 0xff"),
        (
            "skills",
            pa.array([[("x", 0.5)], [("x", 0.5), ("x", 0.6)]], pa.map_(pa.string(), pa.float64())),
            "key was 'x'",
        ),
        ("null_fields", pa.array([None, 5]), "is no list of names"),
        ("region", pa.array([b"x", b"\xff\xfe"]), "can't decode byte 0xff"),
        ("skills", pa.array(['["a"]', "typing"]), 'found "typing", expected JSON text'),
        ("skills", pa.array(['["a"]', ""]), 'found "", expected JSON text'),
        ("skills", pa.array(['["a"]', '["a"],"worker_id":"evil"']), "expected JSON text"),
    ],
)
def test_given_a_value_that_python_cannot_hold_then_its_row_alone_is_refused(
    cocok: Cocok, tmp_path: Path, command: str, name: str, column: pa.Array, words: str
) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(head(**{name: column}), file)
    if command == "doctor":
        lines = next(found for found in cocok("doctor", file, "--json").json()["findings"] if found["check"] == "lines")
        assert f"{file}, line 2: `{name}`" in lines["message"]
        return
    ran = cocok("import", file, "--on-error", "skip", "--json")
    ((line, reason),) = [(refused["line"], refused["reason"]) for refused in ran.json()["refused"]]
    assert (ran.code, ran.json()["accepted"], line) == (0, 1, 2)
    assert reason.startswith(f"`{name}`: ")
    assert words in reason


def test_given_an_empty_log_then_the_doctor_says_so_and_fails(cocok: Cocok) -> None:
    ran = cocok("doctor", "--json")
    assert ran.code == 1
    assert [(finding["level"], finding["check"]) for finding in ran.json()["findings"]] == [("error", "events")]


def test_given_files_then_the_doctor_reads_them_and_leaves_the_store_alone(
    cocok: Cocok, tmp_path: Path, all_types: Path
) -> None:
    file = write(tmp_path / "a.ndjson", b"{}", closed(1))
    findings = {finding["check"]: finding for finding in cocok("doctor", file, all_types, "--json").json()["findings"]}
    assert f"{file}, line 1: `type`: missing" in findings["lines"]["message"]
    assert findings["lists"]["level"] == "ok"
    assert not cocok.home.exists()


def test_given_events_out_of_order_then_the_doctor_warns_of_the_log_but_not_of_files_that_an_import_sorts(
    cocok: Cocok, tmp_path: Path
) -> None:
    def order(*paths: Path) -> str:
        found: str = next(
            f["level"] for f in cocok("doctor", *paths, "--json").json()["findings"] if f["check"] == "order"
        )
        return found

    late, early = write(tmp_path / "late.ndjson", closed(1, minutes=9)), write(tmp_path / "early.ndjson", closed(2))
    assert order(late, early) == "ok"
    cocok("import", late, early)
    assert order() == "ok"
    cocok("import", write(tmp_path / "later.ndjson", closed(3, minutes=1)))
    assert order() == "warning"


def test_given_a_person_then_the_doctor_prints_a_table_and_one_line_of_error(cocok: Cocok, tmp_path: Path) -> None:
    cocok("import", write(tmp_path / "a.ndjson", closed(1)))
    ran = cocok("doctor")
    assert ran.code == 1
    assert "no feed_served" in " ".join(ran.out.split())
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["import", "export", "doctor"])
def test_given_help_then_it_shows_an_example(cocok: Cocok, command: str) -> None:
    ran = cocok(command, "--help")
    assert ran.code == 0
    assert f"Example: cocok {command}" in ran.out
    assert "--json" in ran.out


def test_given_a_usage_error_then_the_exit_code_is_two(cocok: Cocok) -> None:
    assert cocok("import").code == 2
    assert cocok("import", ".", "--on-error", "explode").code == 2


def test_given_bad_settings_then_every_command_says_so_in_one_line(cocok: Cocok, tmp_path: Path) -> None:
    (tmp_path / "cocok.toml").write_text('hoem = "x"\n')
    ran = cocok("doctor")
    assert ran.code == 1
    assert ran.err.startswith("error: settings: unknown key `hoem`")
    assert len(ran.err.splitlines()) == 1


def test_given_a_home_that_cannot_be_written_then_the_error_names_the_setting(cocok: Cocok, tmp_path: Path) -> None:
    file = write(tmp_path / "a.ndjson", closed(1))
    cocok.home.write_text("a file where the folder should be")
    ran = cocok("import", file)
    assert ran.code == 1
    assert "set COCOK_HOME" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_given_standard_output_that_is_closed_then_a_command_ends_as_it_would() -> None:
    ran = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *COMMAND, "--version"], stderr=subprocess.PIPE, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
