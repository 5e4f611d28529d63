"""Old lists in files of their own: the log is the same wherever they are."""

import itertools
import logging
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event as Signal
from threading import Thread
from typing import Any

import msgspec
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import CocokError
from features.events import (
    Event,
    FeedContext,
    FeedItem,
    FeedServed,
    Money,
    TaskViewed,
    WorkerErased,
    WorkerUpdated,
    encode_event,
    instant,
)
from service.erasure import erase
from service.imported_erasures import carry_out
from service.store import ConflictError, SqliteStore, Stored, archive, lists_file

ROOT = Path(__file__).parents[3]
BEGIN = 1_772_323_200_000_000
MINUTE = 60_000_000


def served(number: int, worker: str = "w", items: int = 3, **fields: object) -> FeedServed:
    """The list of minute ``number``."""
    listed = tuple(FeedItem(f"t{number % 7 + place}", place, place / 3, 1.0) for place in range(1, items + 1))
    fields = {"context": FeedContext(surface="feed"), "policy": "ranked", "log_seq": number, **fields}
    at = instant(BEGIN + number * MINUTE)
    return FeedServed(event_id=f"f{number}", at=at, feed_id=f"feed {number}", worker_id=worker, items=listed, **fields)


def viewed(number: int, worker: str = "w") -> TaskViewed:
    return TaskViewed(event_id=f"v{number}", at=instant(BEGIN + number * MINUTE), worker_id=worker, task_id="t")


def market(events: int, workers: int = 3) -> list[Event]:
    """Two lists, then something else, and so on."""
    return [(viewed if number % 3 == 2 else served)(number, f"w{number % workers}") for number in range(events)]


def at(number: int) -> int:
    return BEGIN + number * MINUTE


def read(store: SqliteStore, **how: int) -> list[Stored]:
    return [stored for rows in store.read(**how) for stored in rows]


def told(store: SqliteStore) -> list[tuple[int, int, bytes]]:
    return [(seq, known_at, encode_event(event)) for seq, known_at, event in read(store)]


def in_table(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        return [seq for (seq,) in connection.execute("SELECT seq FROM events ORDER BY seq")]


def files(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*-lists/*.parquet"))


def backup(path: Path, to: Path) -> None:
    to.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, closing(sqlite3.connect(to)) as copy:
        connection.backup(copy)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cocok.db"


@pytest.fixture
def store(path: Path) -> SqliteStore:
    return SqliteStore(path)


def test_given_old_lists_then_they_leave_the_table_and_the_log_stays(store: SqliteStore, path: Path) -> None:
    events = market(30)
    store.append(events)
    before = told(store)
    done = store.archive(at(20))
    assert (done.lists, done.files, done.left) == (14, 1, 0)
    assert done.file_bytes == files(path)[0].stat().st_size
    assert in_table(path) == [seq for seq in range(1, 31) if seq > 20 or seq % 3 == 0]
    assert told(store) == before == told(SqliteStore(path))
    assert (store.count(), store.last_seq(), store.archived()) == (30, 30, 14)
    assert files(path)[0].name == "lists-000000000001-000000000020.parquet"


def test_given_all_lists_are_old_then_the_last_event_stays_where_it_is(store: SqliteStore, path: Path) -> None:
    store.append([served(number) for number in range(5)])
    assert store.archive(at(100)).lists == 4
    assert in_table(path) == [5]
    assert store.append([served(5)]) == (1, 0, 6)


def test_given_too_few_old_lists_then_they_stay(store: SqliteStore, path: Path) -> None:
    store.append(market(30))
    done = store.archive(at(20), least=15)
    assert (done.lists, done.files, done.left, files(path)) == (0, 0, 14, [])


def test_given_a_late_list_then_it_is_old_by_the_clock_of_the_log(store: SqliteStore, path: Path) -> None:
    store.append([served(0), served(50), served(1), served(60)])
    assert store.archive(at(50)).lists == 1
    assert in_table(path) == [2, 3, 4]


ODD = [
    served(0, items=0, context=None, policy=None, log_seq=None),
    served(1, items=1, model_version="12", policy="sampled"),
    msgspec.structs.replace(
        served(2), items=(FeedItem("a", 1), FeedItem("b", 3, -0.0), FeedItem("ü\x00🙂", 2, 1e-300, 1e-9))
    ),
    served(
        3,
        worker="wörker",
        context=FeedContext(
            session_minutes=12.5,
            device="phone",
            min_reward=Money(amount=Decimal("0.10"), currency="EUR"),
            categories=("a", "b"),
            exclude_task_ids=("t1",),
            surface="feed",
        ),
    ),
    served(4, log_seq=2**62),
    msgspec.structs.replace(served(5), at=instant(BEGIN + 5 * MINUTE + 1)),
]


def test_given_lists_of_every_kind_then_they_come_back_bit_for_bit(store: SqliteStore) -> None:
    store.append([*ODD, viewed(9)])
    before = told(store)
    assert store.archive(at(9)).lists == len(ODD)
    assert told(store) == before


def test_a_file_is_a_table_that_others_read(store: SqliteStore, path: Path) -> None:
    store.append([*ODD, viewed(9)])
    store.archive(at(9))
    table = pandas.read_parquet(files(path)[0].parent)
    assert list(table.seq) == [1, 2, 3, 4, 5, 6]
    assert set(table.type) == {"feed_served"}
    assert list(table.worker_id) == [row.worker_id for row in ODD]
    assert [item["task_id"] for item in table["items"][2]] == ["a", "b", "ü\x00🙂"]


def test_given_the_same_list_again_then_it_is_a_duplicate_and_other_content_a_conflict(store: SqliteStore) -> None:
    store.append(market(30))
    store.archive(at(20))
    assert store.append([served(0, "w0"), served(1, "w1"), served(21, "w0"), viewed(40)]) == (1, 3, 31)
    assert store.append_groups([[served(0, "w0")]]) == [(0, 1, 31)]
    assert store.append_groups([[served(0, "w0")], [viewed(41)]]) == [(0, 1, 31), (1, 0, 32)]
    with pytest.raises(ConflictError, match="f0"):
        store.append([viewed(42), served(0, "other")])
    with pytest.raises(ConflictError, match="f1"):
        store.append([msgspec.structs.replace(viewed(43), event_id="f1")])
    assert store.last_seq() == 32


@given(
    kinds=st.lists(st.sampled_from("lv"), min_size=1, max_size=40),
    cuts=st.lists(st.tuples(st.integers(0, 45), st.integers(1, 4)), max_size=4),
    sizes=st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(1, 6)),
    batch=st.integers(1, 12),
    after=st.integers(0, 42),
    until=st.integers(0, 45),
)
@settings(max_examples=60, deadline=None)
def test_however_a_log_is_split_it_reads_the_same(
    kinds: list[str],
    cuts: list[tuple[int, int]],
    sizes: tuple[int, int, int],
    batch: int,
    after: int,
    until: int,
) -> None:
    events = [(served if kind == "l" else viewed)(number, f"w{number % 3}") for number, kind in enumerate(kinds)]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "LISTS", sizes[0])
        patch.setattr(archive, "PIECE", sizes[1])
        patch.setattr(archive, "AT_ONCE", sizes[2])
        patch.setattr(archive, "PAUSE_SECONDS", 0)
        whole, split = SqliteStore(Path(folder) / "whole.db"), SqliteStore(Path(folder) / "split.db")
        whole.append(events)
        split.append(events)
        for cut, least in cuts:
            split.archive(at(cut), least=least)
        for how in ({}, {"batch": batch}, {"after": after, "batch": batch}, {"before": at(until), "batch": batch}):
            assert read(split, **how) == read(whole, **how)
        assert split.append(events) == whole.append(events) == (0, len(events), len(events))
        for workers in ({"w1"}, {f"w{number}" for number in range(1, 20)}):
            assert list(split.of_workers(workers, until)) == list(whole.of_workers(workers, until))
        erased = [WorkerErased(event_id="gone", at=instant(at(50)), worker_id="w1")]
        for log in (whole, split):
            seq = log.append(erased).seq
            erase(log, [(seq, erased[0])])
        assert told(split) == told(whole)
        whole.close()
        split.close()


def test_given_lists_move_while_a_log_is_read_then_the_reader_notices_nothing(store: SqliteStore) -> None:
    store.append(market(40))
    before = read(store)
    reader = store.read(batch=7)
    found = list(next(reader))
    for cut in (15, 25, 39):
        store.archive(at(cut))
        found += next(reader)
    assert [*found, *itertools.chain.from_iterable(reader)] == before


def test_given_an_erased_worker_then_no_file_of_the_log_holds_the_id(store: SqliteStore, path: Path) -> None:
    wish = FeedContext(device="secret-device", session_minutes=30)
    events = [served(number, "secret-name" if number % 2 else "w", context=wish) for number in range(20)]
    store.append([*events, WorkerUpdated(event_id="p", at=instant(at(20)), worker_id="secret-name"), viewed(21)])
    store.archive(at(10))
    (old,) = files(path)
    rewrites = store.identity().rewrites
    erased = WorkerErased(event_id="gone", at=instant(at(22)), worker_id="secret-name")
    seq = store.append([erased]).seq
    assert erase(store, [(seq, erased)]) == 12
    assert store.identity().rewrites > rewrites
    assert not old.exists()
    rows = read(store)
    assert [row.seq for row in rows] == list(range(1, 24))
    lists = [row.event for row in rows if isinstance(row.event, FeedServed)]
    assert {row.worker_id for row in lists} == {"w", rows[-1].event.worker_id}
    assert [row.context for row in lists] == [
        FeedContext(session_minutes=30) if number % 2 else wish for number in range(20)
    ]
    # What was sent once is still known, by files and table alike.
    assert store.append(events) == (0, 20, 23)
    assert list(store.archive_faults()) == []
    store.close()
    assert not any("secret-name" in str(pandas.read_parquet(file).to_dict()) for file in files(path))
    assert not any(b"secret-name" in file.read_bytes() for file in path.parent.rglob("*") if file.is_file())


def test_given_another_event_at_a_number_then_a_file_is_not_rewritten(store: SqliteStore, path: Path) -> None:
    store.append(market(30))
    store.archive(at(20))
    kept = files(path)
    for event in (served(1), viewed(0)):
        with pytest.raises(ValueError, match="sequence number 1 "):
            store.rewrite_all([(1, event)])
    assert (files(path), store.identity().rewrites) == (kept, 0)


def test_given_an_erasure_replaces_a_file_then_a_reader_goes_on_in_the_new_one(store: SqliteStore) -> None:
    store.append(market(40))
    store.archive(at(39))
    reader = store.read(batch=5)
    found = list(next(reader))
    store.rewrite_all([(20, msgspec.structs.replace(served(19, "w1"), worker_id="erased"))])
    found += itertools.chain.from_iterable(reader)
    assert found == read(store)


def test_given_files_are_replaced_one_after_the_other_then_a_reader_asks_as_often_as_it_must(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LISTS", 2)
    monkeypatch.setattr(archive, "PAUSE_SECONDS", 0)
    store.append(market(40))
    store.archive(at(39))
    between, left = archive.Reader.between, list(range(0, 30, 3))

    def replaced(self: archive.Reader, *given: Any) -> list[Stored]:
        if left:
            number = left.pop(0)
            store.rewrite_all([(number + 1, msgspec.structs.replace(served(number), worker_id="erased"))])
        return between(self, *given)

    monkeypatch.setattr(archive.Reader, "between", replaced)
    rows = read(store)
    assert [row.seq for row in rows] == list(range(1, 41))
    assert sum(getattr(row.event, "worker_id", "") == "erased" for row in rows) == 10


def test_given_a_file_is_missing_then_it_is_said_and_it_heals_when_it_is_back(store: SqliteStore, path: Path) -> None:
    store.append(market(30))
    store.archive(at(20))
    before = told(store)
    (file,) = files(path)
    away = file.rename(path.parent / "away")
    with pytest.raises(CocokError, match=r"lists-0.*is not there.*backup"):
        told(store)
    assert list(store.archive_faults()) == [
        f"{file} (lists of the events 1 to 20) cannot be read: No such file or directory"
    ]
    # What does not need it goes on, and opening the log deletes nothing.
    assert len(read(store, after=20)) == 10
    assert store.append([served(0, "w0"), viewed(50)]) == (1, 1, 31)
    SqliteStore(path).close()
    away.rename(file)
    assert told(store)[:30] == before


@pytest.mark.parametrize("imported", [False, True])
def test_given_a_file_is_missing_then_an_erasure_deletes_nothing_that_could_not_be_made_again(
    store: SqliteStore, path: Path, imported: bool
) -> None:
    store.append(market(30))
    store.archive(at(20))
    erased = WorkerErased(event_id="gone", at=instant(at(31)), worker_id="w1")
    seq = store.append([erased]).seq
    forgotten: list[int] = []

    def attempt() -> None:
        if imported:
            carry_out(store, ["w1"], forgotten.append, wait=0.0)
        else:
            erase(store, [(seq, erased)], lambda: forgotten.append(seq))

    (file,) = files(path)
    away = file.rename(path.parent / "away")
    with pytest.raises(CocokError, match="is not there"):
        attempt()
    assert forgotten == []
    away.rename(file)
    attempt()
    assert forgotten == [seq]
    assert not any(getattr(row.event, "worker_id", "") == "w1" for row in read(store))


@pytest.mark.parametrize("damage", ["cut", "byte", "footer"])
def test_given_a_damaged_file_then_whatever_reads_it_says_so(store: SqliteStore, path: Path, damage: str) -> None:
    store.append(market(300))
    store.archive(at(299))
    told(store)
    (file,) = files(path)
    sound = file.read_bytes()
    content = bytearray(sound)
    # pyarrow does not notice damage to the name of who wrote the file, and ends the process for some in the footer.
    content[content.rindex(b"parquet-cpp") if damage == "footer" else 100] ^= 255
    file.write_bytes(content[:-50] if damage == "cut" else content)
    assert [fault.endswith("is not as it was written") for fault in store.archive_faults()] == [True]
    for log in (store, SqliteStore(path)):
        for reading in (
            lambda log: told(log),
            lambda log: list(log.of_workers(["w1"], 300)),
            lambda log: log.rewrite_all([(1, msgspec.structs.replace(served(0), worker_id="erased"))]),
        ):
            with pytest.raises(CocokError, match=r"lists-0.*cannot be read.*backup"):
                reading(log)
    file.write_bytes(sound)
    assert len(told(store)) == 300


def test_a_file_is_compared_with_its_checksum_once(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(market(30))
    store.archive(at(20))
    told(store)
    monkeypatch.setattr(lists_file, "checksum", None)
    told(store)


def test_given_files_of_another_log_in_the_folder_then_they_are_left_alone(store: SqliteStore, path: Path) -> None:
    store.append(market(30))
    store.archive(at(20))
    store.close()
    path.unlink()
    # The database is lost, and the files are all that is left of it.
    other = SqliteStore(path)
    assert len(files(path)) == 1
    other.append(market(30))
    with pytest.raises(CocokError, match="of another log"):
        other.archive(at(20))
    assert len(read(other)) == 30


def test_given_a_worker_is_erased_while_a_file_is_written_then_it_is_written_again(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(market(30))
    name, anew = archive.Archive._name, iter([True])

    def meanwhile(self: archive.Archive, unfinished: Path, to: str) -> None:
        name(self, unfinished, to)
        if next(anew, False):
            # It looked for files before this one was begun.
            assert store._rewrite({1: msgspec.structs.replace(served(0), worker_id="erased")}, 0)

    monkeypatch.setattr(archive.Archive, "_name", meanwhile)
    assert store.archive(at(20)).lists == 14
    assert read(store)[0].event.worker_id == "erased"
    assert len(files(path)) == 1


def test_given_another_process_moves_lists_then_a_second_says_so(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LISTS", 5)
    store.append(market(30))
    said = []

    def second(*_: object) -> None:
        with pytest.raises(CocokError, match="another process moves lists") as error:
            SqliteStore(path).archive(at(20))
        said.append(error)

    assert store.archive(at(20), progress=second).lists == 14
    assert len(said) == 3


def test_given_another_process_only_tidies_then_a_move_waits_for_it(store: SqliteStore) -> None:
    store.append(market(30))
    store.archive(at(10))
    held = Signal()

    def tidying() -> None:
        with store._archive._lock():
            held.set()
            time.sleep(0.3)

    other = Thread(target=tidying)
    other.start()
    assert held.wait(10)
    assert store.archive(at(20)).lists == 7
    other.join()


def test_given_many_files_are_written_then_an_erasure_waits_for_one_of_them(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LISTS", 2)
    store.append(market(60))
    write, erased_after = archive.Archive._write, []
    made: list[int] = []

    def erasing() -> None:
        store.rewrite_all([(31, msgspec.structs.replace(served(30), worker_id="erased"))])
        erased_after.append(len(made))

    eraser = Thread(target=erasing)

    def noticed(self: archive.Archive, end: int) -> archive.File | None:
        if len(made) == 1 and not eraser.ident:
            eraser.start()
            time.sleep(0.2)
        return write(self, end)

    monkeypatch.setattr(archive.Archive, "_write", noticed)
    assert store.archive(at(50), progress=lambda step, done, total: made.append(done)).lists == 34
    eraser.join()
    assert len(made) == 17
    # The machine may be slow, but not so slow that the erasure misses its turn after each of many files.
    assert erased_after[0] < 12
    assert read(store)[30].event.worker_id == "erased"


def test_given_a_copy_of_the_database_beside_it_then_opening_it_touches_no_file_of_the_log(
    store: SqliteStore, path: Path
) -> None:
    store.append(market(30))
    backup(path, path.with_suffix(".bak"))
    store.archive(at(20))
    before = told(store)
    assert told(SqliteStore(path.with_suffix(".bak"))) == before == told(store)


def test_given_a_worker_is_erased_between_the_copies_of_database_and_folder_then_no_file_is_deleted(
    store: SqliteStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.append(market(30))
    store.archive(at(20))
    (old,) = files(path)
    copy = path.parent / "copy" / path.name
    backup(path, copy)
    shutil.copy(old, path.parent / "old")
    store.rewrite_all([(1, msgspec.structs.replace(served(0), worker_id="erased"))])
    shutil.copytree(old.parent, copy.parent / old.parent.name)
    (kept,) = files(copy)
    with caplog.at_level(logging.WARNING):
        restored = SqliteStore(copy)
    assert files(copy) == [kept]
    assert f"{kept} stays" in caplog.text
    with pytest.raises(CocokError, match="is not there"):
        told(restored)
    # Once the file is there that the database names, the other one is of no use.
    shutil.copy(path.parent / "old", kept.parent / old.name)
    assert len(told(SqliteStore(copy))) == 30
    assert [file.name for file in files(copy)] == [old.name]


def test_given_the_file_that_took_its_place_is_damaged_then_the_old_file_stays(store: SqliteStore, path: Path) -> None:
    store.append(market(30))
    store.archive(at(20))
    (old,) = files(path)
    content = old.read_bytes()
    store.rewrite_all([(1, msgspec.structs.replace(served(0), worker_id="erased"))])
    (new,) = files(path)
    new.write_bytes(new.read_bytes()[:-1])
    old.write_bytes(content)
    SqliteStore(path).close()
    assert len(files(path)) == 2


def test_given_an_older_copy_of_the_database_that_went_on_otherwise_then_the_files_stay(
    store: SqliteStore, path: Path
) -> None:
    store.append(market(10))
    backup(path, path.parent / "old")
    store.append(market(30))
    store.archive(at(20))
    store.close()
    (path.parent / "old").replace(path)
    again = SqliteStore(path)
    again.append([msgspec.structs.replace(event, event_id=f"other {event.event_id}") for event in market(30)[10:]])
    SqliteStore(path).close()
    assert len(files(path)) == 1
    with pytest.raises(CocokError, match="a copy of this one"):
        again.archive(at(20))
    assert len(read(again)) == 30


def test_given_a_folder_of_files_that_cannot_be_used_then_it_is_said_in_one_line(path: Path) -> None:
    (path.parent / "cocok.db-lists" / ".lock").mkdir(parents=True)
    with pytest.raises(CocokError, match=r"^old lists in .*cocok.db-lists cannot be used: .+$"):
        SqliteStore(path)


STEPS = {
    "half a file is written": "from service.store import lists_file; lists_file.os.fsync = die",
    "the file has no name": "archive.Archive._name = die",
    "the database knows nothing of the file": (
        "name = archive.Archive._name; archive.Archive._name = lambda *given: (name(*given), die())"
    ),
    "nothing has left the database": "archive.Archive._settle = lambda self: self.files() and die()",
    "a part has left the database": (
        "digest = archive.digest; seen = iter(range(4)); "
        "archive.digest = lambda text: die() if next(seen, None) is None else digest(text)"
    ),
}
DIES = """
import os, sys
from pathlib import Path
from service.store import SqliteStore, archive
def die(*given):
    os._exit(9)
archive.PIECE, archive.LISTS = 3, 8
store = SqliteStore(Path(sys.argv[1]))
{step}
store.archive(int(sys.argv[2]))
"""


@pytest.mark.parametrize("step", STEPS)
def test_given_a_process_that_dies_midway_then_nothing_is_lost_or_read_twice(
    store: SqliteStore, path: Path, step: str
) -> None:
    store.append(market(60))
    before = told(store)
    script = DIES.format(step=STEPS[step])
    done = subprocess.run([sys.executable, "-c", script, str(path), str(at(40))], check=False, cwd=ROOT)
    assert done.returncode == 9
    assert told(store) == before
    assert store.append(market(60)) == (0, 60, 60)
    again = SqliteStore(path)
    assert told(again) == before
    known = {file.name for file in again._archive.files()}
    assert {file.name for file in files(path)} == known
    assert not list(path.parent.rglob("*.unfinished"))
    again.archive(at(40))
    assert told(again) == before
    assert again.archived() == 27
    assert in_table(path) == [seq for seq in range(1, 61) if seq > 40 or seq % 3 == 0]


@pytest.mark.parametrize("step", STEPS)
def test_given_a_move_that_was_cut_off_then_an_erasure_finishes_it_and_nothing_of_the_worker_is_left(
    store: SqliteStore, path: Path, step: str
) -> None:
    store.append([served(number, "secret-name" if number % 2 else "w") for number in range(30)])
    script = DIES.format(step=STEPS[step])
    done = subprocess.run([sys.executable, "-c", script, str(path), str(at(20))], check=False, cwd=ROOT)
    assert done.returncode == 9
    erased = WorkerErased(event_id="gone", at=instant(at(31)), worker_id="secret-name")
    assert files(path) or list(path.parent.rglob("*.unfinished"))
    assert erase(store, [(store.append([erased]).seq, erased)]) == 16
    assert {file.name for file in files(path)} == {file.name for file in store._archive.files()}
    assert not list(path.parent.rglob("*.unfinished"))
    for _ in range(2):
        rows = read(store)
        assert [row.seq for row in rows] == list(range(1, 32))
        assert {row.event.worker_id for row in rows if isinstance(row.event, FeedServed)} == {
            "w",
            rows[-1].event.worker_id,
        }
        store.archive(at(20))
    store.close()
    assert not any(b"secret-name" in file.read_bytes() for file in path.parent.rglob("*") if file.is_file())


def test_given_a_move_that_was_cut_off_and_its_file_is_missing_then_no_list_leaves_the_database(
    store: SqliteStore, path: Path
) -> None:
    store.append(market(60))
    script = DIES.format(step=STEPS["a part has left the database"])
    done = subprocess.run([sys.executable, "-c", script, str(path), str(at(40))], check=False, cwd=ROOT)
    assert done.returncode == 9
    (file,) = files(path)
    before, kept = told(store), in_table(path)
    away = file.rename(path.parent / "away")
    with pytest.raises(CocokError, match="No such file"):
        store.archive(at(40))
    away.rename(file)
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    with pytest.raises(CocokError, match="not as it was written"):
        store.archive(at(40))
    assert in_table(path) == kept
    file.write_bytes(content)
    store.archive(at(40))
    assert told(store) == before


def test_given_a_process_that_dies_before_the_old_file_of_an_erased_worker_is_gone_then_the_next_deletes_it(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append(market(30))
    store.archive(at(20))
    (old,) = files(path)
    shutil.copy(old, path.parent / "copy")
    store.rewrite_all([(1, msgspec.structs.replace(served(0), worker_id="erased"))])
    (path.parent / "copy").rename(old)
    assert len(files(path)) == 2
    again = SqliteStore(path)
    assert len(files(path)) == 1
    assert read(again)[0].event.worker_id == "erased"


def test_given_free_pages_then_they_are_given_back(store: SqliteStore, path: Path) -> None:
    store.append([served(number, items=40) for number in range(3_000)])
    done = store.archive(at(2_900))
    assert done.database_bytes < done.database_bytes_before / 3
    assert done.free_bytes > done.database_bytes
    before = told(store)
    assert store.compact() >= done.free_bytes
    assert path.stat().st_size <= done.database_bytes
    assert told(store) == before


def test_given_a_list_in_a_file_then_it_takes_little_room(store: SqliteStore, path: Path) -> None:
    chance = random.Random(1)

    def long_id() -> str:
        return f"{chance.getrandbits(128):032x}"

    tasks = [long_id() for _ in range(2_000)]
    lists = [
        FeedServed(
            event_id=f"feed-{feed}",
            at=instant(at(number)),
            feed_id=feed,
            worker_id=chance.choice(tasks),
            items=tuple(
                FeedItem(task, place, float(pandas.Series([chance.gauss(0, 1)], dtype="float32")[0]), 1.0)
                for place, task in enumerate(chance.sample(tasks, 20), 1)
            ),
            policy="ranked",
            log_seq=number,
        )
        for number, feed in enumerate(long_id() for _ in range(4_000))
    ]
    store.append(lists)
    done = store.archive(at(4_000))
    assert done.file_bytes / done.lists < 200
    freed = done.database_bytes_before - done.database_bytes
    assert freed / done.lists > 500
