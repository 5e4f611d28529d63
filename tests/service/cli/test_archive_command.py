"""`cocok archive`, as an operator runs it, and what other commands see afterwards."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from service.store import SqliteStore
from service.store.base import Archived
from tests.market import market, write
from tests.service.cli.run import Cocok


@pytest.fixture
def filled(cocok: Cocok, tmp_path: Path) -> Cocok:
    assert cocok("import", write(tmp_path / "log.ndjson", market(days=4))).code == 0
    return cocok


def files(cocok: Cocok) -> list[Path]:
    return sorted((cocok.home / "cocok.db-lists").glob("*.parquet"))


def test_it_tells_what_it_moved(filled: Cocok) -> None:
    done = filled("archive", "--older-than", 2, "--least", 1, "--json").json()
    (file,) = files(filled)
    assert (done["files"], done["file_bytes"], done["left"], done["given_back_bytes"]) == (1, file.stat().st_size, 0, 0)
    store = SqliteStore(filled.home / "cocok.db")
    last = next(store.read(after=store.last_seq() - 1))[0]
    old = [
        row
        for rows in store.read(before=last.known_at - 2 * 86_400_000_000)
        for row in rows
        if type(row.event).__name__ == "FeedServed"
    ]
    assert done["lists"] == len(old) == store.archived() > 20
    table = filled("archive", "--older-than", 1, "--least", 1, "--compact").out
    assert "bytes a list" in table
    assert "given back to the disk" in table


def test_lists_that_free_no_page_of_the_database_took_too_little_to_tell(
    cocok: Cocok, monkeypatch: pytest.MonkeyPatch
) -> None:
    for before, said in ((10_000_000, "too little to tell"), (10_008_192, "8.2 kB, 82 bytes a list")):
        done = Archived(100, 1, 5_000, 0, before, 10_000_000, 0)
        monkeypatch.setattr(SqliteStore, "archive", lambda *_, done=done, **__: done)
        lines = [" ".join(line.split()) for line in cocok("archive", "--older-than", 0).out.splitlines()]
        assert f"they took in the database {said}" in lines
        assert "the files take 5.0 kB, 50 bytes a list" in lines
        assert "database, in use now 10.0 MB" in lines


def test_the_settings_say_how_old(filled: Cocok, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = filled("archive")
    assert (ran.code, ran.err) == (
        1,
        "error: say how old: cocok archive --older-than DAYS, or archive_lists_after_days in the settings\n",
    )
    monkeypatch.setenv("COCOK_ARCHIVE_LISTS_AFTER_DAYS", "2")
    assert filled("archive", "--json").json()["left"] > 20
    assert files(filled) == []
    assert filled("archive", "--least", 1, "--json").json()["lists"] > 20


def test_an_empty_log_has_nothing_to_move(cocok: Cocok) -> None:
    assert cocok("archive", "--older-than", 0, "--json").json()["lists"] == 0


def test_exports_are_the_same_before_and_after(filled: Cocok, tmp_path: Path) -> None:
    names = ("before.ndjson", "after.ndjson")
    for name in names:
        assert filled("export", "--out", tmp_path / name).code == 0
        filled("archive", "--older-than", 1, "--least", 1)
    assert files(filled)
    before, after = ((tmp_path / name).read_bytes() for name in names)
    assert before == after
    again = filled("import", tmp_path / "before.ndjson", "--json").json()
    assert (again["accepted"], again["refused"]) == (0, [])


def test_the_doctor_looks_through_the_files(filled: Cocok) -> None:
    def found() -> dict[str, list[str]]:
        ran = filled("doctor", "--json")
        return {row["check"]: [row["level"], row["message"]] for row in ran.json()["findings"]}

    assert "archive" not in found()
    lists = found()["lists"]
    filled("archive", "--older-than", 1, "--least", 1)
    assert found()["archive"][0] == "ok"
    assert found()["lists"] == lists
    (file,) = files(filled)
    content = file.read_bytes()
    file.unlink()
    assert set(found()) == {"archive"}
    assert found()["archive"][0] == "error"
    assert file.name in found()["archive"][1]
    assert filled("doctor").code == 1
    assert "is not there" in filled("export", "--out", filled.home / "log.ndjson").err
    file.write_bytes(content[:-1] + b"x")
    assert "not as it was written" in found()["archive"][1]
    file.write_bytes(content)
    assert found()["archive"][0] == "ok"


def test_the_doctor_checks_a_backup_and_not_the_log(filled: Cocok, monkeypatch: pytest.MonkeyPatch) -> None:
    filled("archive", "--older-than", 1, "--least", 1)
    copy = filled.home.parent / "copy"
    copy.mkdir()
    with (
        closing(sqlite3.connect(filled.home / "cocok.db")) as connection,
        closing(sqlite3.connect(copy / "cocok.db")) as to,
    ):
        connection.backup(to)
    shutil.copytree(filled.home / "cocok.db-lists", copy / "cocok.db-lists")
    whole = filled("doctor", "--json").json()
    recipe = "COCOK_DATABASE_URL=sqlite:///copy/cocok.db cocok doctor"
    assert recipe in (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    monkeypatch.setenv(*recipe.split()[0].split("="))
    assert filled("doctor", "--json").json() == whole
    next((copy / "cocok.db-lists").glob("*.parquet")).unlink()
    ran = filled("doctor", "--json")
    assert (ran.code, ran.json()["findings"][0]["level"]) == (1, "error")


def test_it_explains_itself_with_an_example(cocok: Cocok) -> None:
    assert "cocok archive --older-than 90" in " ".join(cocok("archive", "--help").out.split())


@pytest.mark.parametrize("days", ["1e300", "inf"])
def test_an_age_that_no_log_has_is_refused(cocok: Cocok, days: str) -> None:
    ran = cocok("archive", "--older-than", days)
    assert ran.code == 1
    assert ran.err.startswith(f"error: --older-than {float(days):g}: write at most")
