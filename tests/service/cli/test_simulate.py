"""`cocok simulate`."""

from pathlib import Path

from tests.service.cli.run import Cocok
from training.simulation import read_truth

SMALL = ("--workers", 30, "--tasks-per-day", 30, "--days", 3, "--until", "2026-03-01T12:00:00Z")


def test_the_log_is_imported_and_the_truth_stands_beside_it(cocok: Cocok, tmp_path: Path) -> None:
    ran = cocok("simulate", "--out", tmp_path / "market", *SMALL, "--json")
    assert ran.code == 0
    summary = ran.json()
    assert summary["workers"] == 30
    assert summary["tasks"] >= 90
    assert summary["submitted"] >= summary["approved"] + summary["rejected"] > 0
    assert sorted(path.name for path in (tmp_path / "market").iterdir()) == ["events.ndjson", "truth.json"]
    taken = cocok("import", tmp_path / "market", "--json").json()
    assert taken == {"accepted": summary["events"], "duplicates": 0, "refused": []}
    truth = read_truth(tmp_path / "market" / "truth.json")
    assert len(truth["workers"]) == 30
    assert len(truth["tasks"]) == summary["tasks"]


def test_same_seed_and_end_give_the_same_files(cocok: Cocok, tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert cocok("simulate", "--out", tmp_path / name, *SMALL, "--seed", seed).code == 0
    for file in ("events.ndjson", "truth.json"):
        first, again, other = ((tmp_path / name / file).read_bytes() for name in "abc")
        assert first == again
        assert first != other


def test_the_log_ends_now_if_nothing_else_is_said(cocok: Cocok, tmp_path: Path) -> None:
    cocok("simulate", "--out", tmp_path / "market", *SMALL[:6])
    assert cocok("doctor", tmp_path / "market").code == 0


def test_a_person_gets_a_table_and_the_next_step(cocok: Cocok, tmp_path: Path) -> None:
    ran = cocok("simulate", "--out", tmp_path / "market", *SMALL)
    assert ["workers", "30"] in [line.split() for line in ran.out.splitlines()]
    assert f"cocok import {tmp_path / 'market' / 'events.ndjson'}" in ran.out


def test_a_folder_that_holds_something_is_left_alone(cocok: Cocok, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    ran = cocok("simulate", "--out", tmp_path, *SMALL)
    assert ran.code == 1
    assert "not empty" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_cannot_be_is_refused_before_anything_is_written(cocok: Cocok, tmp_path: Path) -> None:
    market = tmp_path / "market"
    for wrong, said in (
        (("--workers", 0), "workers is 0"),
        (("--preset", "huge"), "standard"),
        (("--until", "soon"), "--until soon"),
        (("--until", "1970-01-02T00:00:00Z", "--days", 5), "may begin in 1971"),
        (("--until", "1981-01-01T00:00:00Z", "--days", 6_000), "may begin in 1971"),
        (("--until", "2201-01-01T00:00:00Z"), "must end before 2200"),
        (("--until", "9999-01-01T00:00:00Z"), "between the years"),
    ):
        ran = cocok("simulate", "--out", market, *wrong)
        assert ran.code == 1
        assert said in ran.err
        assert ran.err.count("\n") == 1
    assert not market.exists()


def test_help_has_an_example(cocok: Cocok) -> None:
    assert "cocok simulate --out" in " ".join(cocok("simulate", "--help").out.split())
