"""Appending events, and reading what was just written."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from features.events import decode_event
from service.store import open_store
from tests.features.examples import BODIES
from tests.service.api.server import Api, event, pointers, problem, serving, task

NDJSON = {"content-type": "application/x-ndjson"}


def test_given_events_then_they_are_counted_and_again_they_are_duplicates(api: Api) -> None:
    events = [task("a"), task("b")]
    before = api.runtime.engine.seq
    assert api.events(*events) == {"accepted": 2, "duplicates": 0, "seq": before + 2}
    assert api.events(*events, task("c")) == {"accepted": 1, "duplicates": 2, "seq": before + 3}


def test_given_every_type_of_event_then_it_is_taken(api: Api) -> None:
    events = [event(kind, **fields) for kind, fields in BODIES.items()]
    assert api.events(*events)["accepted"] == len(BODIES)


def test_given_lines_then_they_are_read_as_events(api: Api) -> None:
    body = "\n".join(json.dumps(task(name)) for name in ("l1", "l2")) + "\n\n"
    assert api.post("/v1/events", content=body, headers=NDJSON).json()["accepted"] == 2


def test_given_other_content_under_an_id_then_nothing_is_kept_and_the_id_is_named(api: Api) -> None:
    first = task("d")
    api.events(first)
    answer = api.post("/v1/events", json=[task("never"), {**first, "title": "Other"}])
    document = problem(answer, 409, "conflict")
    assert document["event_ids"] == [first["event_id"]]
    assert pointers(document) == ["/1/event_id"]
    assert api.get("/v1/tasks/never").status_code == 404


@pytest.mark.parametrize(
    ("events", "pointer"),
    [
        ([], ""),
        ([task("x")] * 1_001, ""),
        ([task("x"), {**task("x"), "title": 3}], "/1/title"),
        ([{**task("x"), "unknown": 3}], "/0/unknown"),
        ([{**task("x"), "type": "nonsense"}], "/0/type"),
        ([{**task("x"), "reward": {"amount": 1, "currency": "XXX"}}], "/0/reward/currency"),
        ([{**task("x"), "task_id": "x" * 1_000_000}], "/0/task_id"),
        ([event("task_closed", task_id="x"), event("task_closed", minutes_ago=-60, task_id="x")], "/1/at"),
        ([{**task("x"), "skills": ["a", 1]}], "/0/skills/1"),
        ([3], "/0"),
    ],
)
def test_given_a_bad_event_then_the_problem_points_at_it(api: Api, events: list[Any], pointer: str) -> None:
    before = api.runtime.engine.seq
    document = problem(api.post("/v1/events", json=events), 422, "validation")
    assert pointers(document) == [pointer]
    assert len(str(document)) < 2_000
    assert api.runtime.engine.seq == before


def test_given_a_bad_line_then_the_problem_points_at_it(api: Api) -> None:
    body = json.dumps(task("x")) + "\n\n" + json.dumps({**task("y"), "slots": -1})
    assert pointers(problem(api.post("/v1/events", content=body, headers=NDJSON), 422, "validation")) == ["/1/slots"]


def test_given_a_little_ahead_of_the_clock_then_it_is_taken(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as api:
        assert api.events(task("soon", minutes_ago=-4))["accepted"] == 1
        # The list is made when the log says it is, never before.
        assert len(api.feed("w")["items"]) == 1
        served, posted = api.log()[-1], api.log()[0]
        assert served["at"] >= posted["at"]


def test_given_events_ahead_of_the_clock_then_the_next_may_lie_no_further_ahead(api: Api) -> None:
    assert api.events(task("ahead", minutes_ago=-4.5))["accepted"] == 1
    answer = api.post("/v1/events", json=[task("further", minutes_ago=-9)])
    assert pointers(problem(answer, 422, "validation")) == ["/0/at"]


def test_given_a_sequence_number_then_a_read_sees_at_least_that_much(api: Api) -> None:
    seq = api.events(task("seen"))["seq"]
    answer = api.get("/v1/tasks/seen", headers={"Cocok-Min-Seq": str(seq)})
    assert answer.json()["log_seq"] >= seq


def test_given_a_number_beyond_the_log_then_the_read_waits_and_says_so(api: Api) -> None:
    began = time.monotonic()
    answer = api.post("/v1/feeds", json={"worker_id": "w"}, headers={"Cocok-Min-Seq": "1000000"})
    problem(answer, 503, "behind")
    assert answer.headers["retry-after"] == "1"
    assert 1.9 < time.monotonic() - began < 4


def test_given_another_process_writes_then_a_waiting_read_sees_it(api: Api) -> None:
    other = open_store(api.runtime.settings.store_url)
    seq = other.append([decode_event(json.dumps(task("elsewhere")).encode())]).seq
    other.close()
    assert api.get("/v1/tasks/elsewhere", headers={"Cocok-Min-Seq": str(seq)}).status_code == 200


@pytest.mark.parametrize("number", ["-1", "x", str(10**30)])
def test_given_a_number_that_is_none_then_the_header_is_named(api: Api, number: str) -> None:
    headers = {"Cocok-Min-Seq": number}
    for answer in (
        api.get("/v1/tasks/seen", headers=headers),
        api.post("/v1/feeds", json={"worker_id": "w"}, headers=headers),
    ):
        document = problem(answer, 422, "validation")
        assert document["errors"][0]["parameter"] == "cocok-min-seq"


def test_given_a_number_written_in_another_way_then_a_list_is_answered(api: Api) -> None:
    answer = api.post("/v1/feeds", json={"worker_id": "w"}, headers={"Cocok-Min-Seq": "0.0"})
    assert answer.status_code == 200


def test_given_the_clock_of_the_log_then_history_is_replayed_as_of_its_own_time(tmp_path: Path) -> None:
    with serving(tmp_path / "home", log_clock=True) as api:
        year = 60 * 24 * 365
        api.events(
            task("old", minutes_ago=year),
            task("brief", minutes_ago=year, expires_at=event("x", minutes_ago=year - 60)["at"]),
            event("task_viewed", minutes_ago=-60, worker_id="w", task_id="old"),
        )
        feed = api.feed("w")
        assert [item["task_id"] for item in feed["items"]] == ["old"]
        assert api.log()[-1]["at"] == api.log()[-2]["at"]
