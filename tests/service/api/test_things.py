"""Workers and tasks by their ids: set, tell, forget, close."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from features.events import decode_event
from service import erasure
from service.store import open_store, sqlite
from tests.service.api.server import Api, event, pointers, problem, serving, task, usd
from tests.service.live.server import until

PROFILE = {
    "skills": {"python": 0.5},
    "languages": ["id"],
    "country": "ID",
    "qualifications": {"q": None, "level": 3},
    "min_reward": {"amount": "1.5", "currency": "USD"},
    "devices": ["phone"],
}
POSTING = {
    "requester_id": "r",
    "title": "Label images",
    "reward": {"amount": "2", "currency": "USD"},
    "slots": 3,
    "requirements": [{"attribute": "country", "comparator": "in", "values": ["ID", "MY"]}],
}


def test_given_a_profile_then_it_is_told_back_and_replaced_as_a_whole(api: Api) -> None:
    assert api.put("/v1/workers/ana", json=PROFILE).json()["accepted"] == 1
    assert api.get("/v1/workers/ana").json()["profile"] == PROFILE
    api.put("/v1/workers/ana", json={"country": "MY"})
    assert api.get("/v1/workers/ana").json()["profile"] == {"country": "MY"}
    assert api.log()[-1]["type"] == "worker_updated"


def test_given_work_then_the_history_counts_it(api: Api) -> None:
    api.events(
        task("paid"),
        task("missed"),
        *(
            event(f"assignment_{step}", worker_id="budi", task_id=task_id)
            for task_id, end in (("paid", "approved"), ("missed", "rejected"))
            for step in ("accepted", "submitted", end)
        ),
        event("assignment_accepted", worker_id="budi", task_id="left"),
        event("assignment_returned", worker_id="budi", task_id="left"),
        event("worker_rated", worker_id="budi", requester_id="r", rating=4),
    )
    known = api.get("/v1/workers/budi").json()
    assert known["profile"] is None
    history = known["history"]
    assert history.pop("first_seen") <= history.pop("last_accepted")
    assert history == {
        "accepted": 3,
        "submitted": 2,
        "approved": 1,
        "rejected": 1,
        "given_up": 1,
        "approval_rate": 50.0,
        "ratings": 1,
        "rating": 4.0,
    }


def test_given_a_posting_then_it_is_told_back_with_what_became_of_it(api: Api) -> None:
    assert api.put("/v1/tasks/label", json={**POSTING, "task_id": "label"}).json()["accepted"] == 1
    api.events(
        event("task_updated", minutes_ago=0, task_id="label", title="Label photos"),
        event("assignment_accepted", minutes_ago=0, worker_id="citra", task_id="label"),
    )
    known = api.get("/v1/tasks/label").json()
    assert known["posting"] == {**POSTING, "title": "Label photos"}
    assert known["status"] == "open"
    assert (known["counts"]["accepted"], known["counts"]["slots_left"]) == (1, 2)


def test_given_a_task_is_closed_then_it_is_so_once_and_open_again_when_posted_again(api: Api) -> None:
    api.put("/v1/tasks/door", json=POSTING)
    assert api.delete("/v1/tasks/door").status_code == 204
    before = api.runtime.engine.seq
    assert api.delete("/v1/tasks/door").status_code == 204
    assert api.runtime.engine.seq == before
    assert api.get("/v1/tasks/door").json()["status"] == "closed"
    api.put("/v1/tasks/door", json=POSTING)
    assert api.get("/v1/tasks/door").json()["status"] == "open"


def test_given_what_became_of_tasks_then_the_status_says_it(api: Api) -> None:
    api.events(
        task("full", slots=1),
        event("assignment_accepted", worker_id="dewi", task_id="full"),
        task("late", expires_at=event("x", minutes_ago=30)["at"]),
        event("task_viewed", worker_id="dewi", task_id="rumour"),
    )
    status = {name: api.get(f"/v1/tasks/{name}").json()["status"] for name in ("full", "late", "rumour")}
    assert status == {"full": "full", "late": "expired", "rumour": "not_posted"}


@pytest.mark.parametrize("name", ["a/b", "a?b#c", " ", "ä\n", "..%2f", "x" * 256])
def test_given_any_id_then_its_path_is_found(api: Api, name: str) -> None:
    path = f"/v1/workers/{quote(name, safe='')}"
    assert api.put(path, json={"country": "ID"}).status_code == 200
    assert api.get(path).json()["worker_id"] == name
    assert api.delete(path).status_code == 204
    problem(api.get(path), 404, "not-found")


@pytest.mark.parametrize("things", ["workers", "tasks"])
def test_given_an_unknown_id_then_it_is_not_found(api: Api, things: str) -> None:
    problem(api.get(f"/v1/{things}/nobody"), 404, "not-found")
    for name in ("", "x" * 257):
        document = problem(api.get(f"/v1/{things}/{name}"), 422, "validation")
        assert document["errors"][0]["parameter"] == f"{things[:-1]}_id"


def test_given_an_unknown_task_then_it_cannot_be_closed(api: Api) -> None:
    problem(api.delete("/v1/tasks/nobody"), 404, "not-found")


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/v1/workers/eka", {"skills": [1]}, "/skills/0"),
        ("/v1/workers/eka", {"worker_id": "other"}, "/worker_id"),
        ("/v1/workers/eka", {"at": "2026-01-01T00:00:00Z"}, "/at"),
        ("/v1/workers/eka", {"min_reward": {"amount": 1, "currency": "XXX"}}, "/min_reward/currency"),
        ("/v1/workers/eka", [], ""),
        ("/v1/tasks/eka", {}, "/requester_id"),
        ("/v1/tasks/eka", {"requester_id": "r", "slots": -1}, "/slots"),
        (
            "/v1/tasks/eka",
            {"requester_id": "r", "requirements": {"and": [{"attribute": "x", "comparator": "eq", "value": 1}]}},
            "/requirements/and/0",
        ),
    ],
)
def test_given_a_bad_field_then_the_problem_points_at_it(api: Api, path: str, body: object, pointer: str) -> None:
    assert pointers(problem(api.put(path, json=body), 422, "validation")) == [pointer]
    problem(api.get(path), 404, "not-found")


def bytes_of(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(home.glob("cocok.db*")))


def test_given_erasure_then_the_worker_is_nowhere_in_the_files_and_the_log_stays_whole(tmp_path: Path) -> None:
    home = tmp_path / "home"
    who, other = "fitri-zq-1", "fitri-zq-12"
    with serving(home) as api:
        api.events(*(task(f"t{number}", reward=usd(1)) for number in range(40)))
        for name in (who, other):
            api.put(f"/v1/workers/{name}", json={"region": f"Kota {name}", "skills": [f"skill of {name}"] * 200})
        for name in (who, other) * 20:
            api.feed(name, categories=None, device=f"device of {name}")
            api.events(
                event("task_viewed", worker_id=name, task_id="t1"),
                event("assignment_rejected", worker_id=name, task_id="t2", reason=f"{name} was late"),
            )
        before = api.runtime.engine.store.count()
        assert who.encode() in bytes_of(home).replace(other.encode(), b"")
        assert api.delete(f"/v1/workers/{who}").status_code == 204
        assert who.encode() not in bytes_of(home).replace(other.encode(), b"")
        problem(api.get(f"/v1/workers/{who}"), 404, "not-found")
        assert api.get(f"/v1/workers/{other}").json()["profile"]["region"] == f"Kota {other}"
        assert api.runtime.engine.seq == before + 1
        # It goes on: what the id does from now on is somebody new's.
        api.events(event("task_viewed", minutes_ago=0, worker_id=who, task_id="t1"))
        assert api.get(f"/v1/workers/{who}").json()["profile"] is None
        live = api.get("/v1/tasks/t2").json()["counts"]
    assert who.encode() in bytes_of(home)
    with serving(home) as api:
        assert api.get("/v1/tasks/t2").json()["counts"] == live
        assert api.runtime.engine.seq == before + 2


def test_given_an_erasure_that_was_only_imported_then_the_server_carries_it_out(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home) as api:
        api.events(
            event("worker_updated", worker_id="gita-zq", region="Bandung-zq"),
            event("worker_erased", worker_id="gita-zq"),
            event("worker_updated", worker_id="gita-zq", region="Later"),
        )
        api.runtime.engine.erased(2).result(timeout=10)
        kept = api.log()
    assert "Bandung-zq" not in str(kept)
    assert kept[0]["worker_id"] == kept[1]["worker_id"] != "gita-zq"
    assert (kept[2]["worker_id"], kept[2]["region"]) == ("gita-zq", "Later")


def test_given_a_process_that_ended_before_it_erased_then_the_next_one_does(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'home' / 'cocok.db'}")
    events = [event("worker_updated", worker_id=f"hadi-zq-{n}", region="R") for n in range(20)]
    events += [event("worker_erased", worker_id=f"hadi-zq-{n}") for n in range(20)]
    store.append([decode_event(json.dumps(each).encode()) for each in events])
    store.close()
    with serving(tmp_path / "home") as api:
        api.runtime.engine.erased(40).result(timeout=10)
        assert b"hadi-zq" not in bytes_of(tmp_path / "home")


def test_given_an_id_that_looks_like_a_pseudonym_then_it_is_erased_like_any_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = f"erased-{1:032x}"
    with serving(tmp_path / "home") as api:
        api.put(f"/v1/workers/{worker}", json={"region": "Kota-zq"})
        assert api.delete(f"/v1/workers/{worker}").status_code == 204
        assert b"Kota-zq" not in bytes_of(tmp_path / "home")
        assert worker.encode() not in bytes_of(tmp_path / "home")
    assert "read anew" not in caplog.text


def test_given_a_process_that_ended_before_it_cut_the_log_then_the_next_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setattr(sqlite, "CUT_SECONDS", 0)
    monkeypatch.setattr(erasure, "RETRY_SECONDS", 0.1)
    with serving(home) as api:
        api.put("/v1/workers/indah-zq", json={"region": "Kota-zq"})
        with closing(sqlite3.connect(home / "cocok.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT COUNT(*) FROM events").fetchone()
            api.events(event("worker_erased", worker_id="indah-zq"))
            until(lambda: "indah" not in str(api.log()), seconds=10)
            api.runtime.engine.stop()
            with serving(home) as again:
                assert b"Kota-zq" in bytes_of(home)
                reader.execute("ROLLBACK")
                until(lambda: b"-zq" not in bytes_of(home), seconds=10)
                assert again.log()[0]["worker_id"] == again.log()[1]["worker_id"]
