"""The embedded store."""

import re
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from threading import Event as Signal
from threading import Thread

import pytest

from features.errors import CocokError
from service.store import SqliteStore, Store, open_store, sqlite
from tests.service.store.contract import StoreContract, ids, view

ROOT = Path(__file__).parents[3]


class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path: Path) -> None:
        self.path = tmp_path / "home" / "cocok.db"

    def open(self) -> Store:
        return open_store(f"sqlite:///{self.path}")


def test_given_any_connection_then_every_commit_is_flushed_to_disk(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cocok.db")
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    with store._alone() as writer:
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,)


def test_given_another_process_writes_then_both_logs_are_one(tmp_path: Path) -> None:
    path = tmp_path / "cocok.db"
    store = SqliteStore(path)
    script = (
        "import sys; from pathlib import Path; from service.store import SqliteStore;"
        "from tests.service.store.contract import view; store = SqliteStore(Path(sys.argv[1]));"
        "[store.append_groups([[view(number)]]) for number in range(100, 140)]"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT) as other:
        for number in range(40):
            store.append_groups([[view(number)]])
    assert other.returncode == 0
    assert store.last_seq() == store.count() == 80
    assert set(ids(store)) == {f"e{number}" for number in (*range(40), *range(100, 140))}


def test_given_a_write_fails_then_the_next_one_goes_through(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "cocok.db")
    store.append([view(1)])

    def fail() -> None:
        with store._transaction() as connection:
            connection.execute("INSERT INTO log_identity (only, log, rewrites) VALUES (2, 'x', 0)")
            connection.execute("SELECT * FROM missing")

    with pytest.raises(CocokError, match="no such table"):
        fail()
    assert store.append_groups([[view(2)]]) == [(1, 0, 2)]
    with store._driver() as connection:
        assert connection.execute("SELECT COUNT(*) FROM log_identity").fetchone() == (1,)


def test_given_a_process_that_dies_after_append_then_the_events_survive(tmp_path: Path) -> None:
    path = tmp_path / "cocok.db"
    script = (
        "import os, sys; from pathlib import Path; from service.store import SqliteStore;"
        "from tests.service.store.contract import view;"
        "SqliteStore(Path(sys.argv[1])).append([view(1), view(2)]); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False, cwd=ROOT).returncode == 9
    assert ids(SqliteStore(path)) == ["e1", "e2"]


def test_given_a_file_of_another_schema_then_it_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "cocok.db"
    SqliteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(CocokError, match="schema version 99, this Cocok knows 3"):
        SqliteStore(path)


def test_given_a_file_that_is_no_database_then_it_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "cocok.db"
    path.write_text("hello, this is no database at all" * 40)
    with pytest.raises(CocokError, match="not a database"):
        SqliteStore(path)


def test_given_an_erased_text_then_the_file_no_longer_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "cocok.db"
    store = SqliteStore(path)
    store.append([view(1, worker="secret-name")])
    store.rewrite_all([(1, view(1, worker="gone"))])
    store.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"gone" in kept
    assert b"secret-name" not in kept


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_given_an_unsupported_url_then_the_error_says_what_is_supported(url: str) -> None:
    with pytest.raises(CocokError, match=r"write sqlite:///PATH"):
        open_store(url)


def test_given_another_process_writes_for_long_then_the_log_can_be_opened_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cocok.db"
    SqliteStore(path).append([view(1)])
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert ids(SqliteStore(path)) == ["e1"]


@pytest.mark.parametrize("version", [1, 2])
def test_given_a_file_of_an_older_schema_then_it_is_migrated(tmp_path: Path, version: int) -> None:
    path = tmp_path / "cocok.db"
    SqliteStore(path).append([view(1)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
        for table in ("log_identity", "archives", "archived_ids"):
            connection.execute(f"DROP TABLE {table}")
    store = SqliteStore(path)
    assert ids(store) == ["e1"]
    assert len(store.identity().log) == 32
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)


def test_given_several_erasures_at_once_then_each_waits_until_the_others_have_cut_the_log(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "cocok.db") for _ in range(4)]
    stores[0].append([view(number) for number in range(80)])

    def rewrite(which: int) -> None:
        for number in range(which, 80, 4):
            stores[which].rewrite_all([(number + 1, view(number, worker="gone"))])

    with ThreadPoolExecutor() as threads:
        list(threads.map(rewrite, range(4)))
    assert all(getattr(row.event, "worker_id") == "gone" for rows in stores[0].read() for row in rows)  # noqa: B009


def test_given_a_log_that_is_written_to_then_the_copy_that_the_docs_tell_of_ends_and_reads(tmp_path: Path) -> None:
    (statement,) = re.findall(r'sqlite3 \S+ "(.*)"', (ROOT / "docs/operations.md").read_text())
    copy = tmp_path / "copy.db"
    store, stop = SqliteStore(tmp_path / "cocok.db"), Signal()
    store.append([view(number) for number in range(5_000)])

    def write() -> None:
        other = SqliteStore(store.path)
        for number in count(5_000):
            if stop.is_set():
                return
            other.append([view(number)])

    writer = Thread(target=write)
    writer.start()
    try:
        while store.last_seq() < 5_050:
            time.sleep(0.001)
        with closing(sqlite3.connect(store.path)) as connection:
            connection.execute(statement.replace("copy/cocok.db", str(copy)))
        end = store.last_seq()
        while store.last_seq() == end:
            time.sleep(0.001)
    finally:
        stop.set()
        writer.join()
    copied = SqliteStore(copy)
    assert 5_050 <= copied.last_seq() <= end
    events = [row for rows in store.read() for row in rows]
    assert [row for rows in copied.read() for row in rows] == events[: copied.last_seq()]
    assert copied.identity() == store.identity()
