"""Exports of Toloka as events; the fixtures are checked against the objects of toloka-kit."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx._types
import pytest

from service.adapters.toloka import read
from tests.service.adapters.reading import FIXTURES, found, new_of, of_type, plain, postings, written

FOLDER = FIXTURES / "toloka"
ALL = tuple(sorted(FOLDER.iterdir()))
MARCH = "1086170"
DONE = "1086171"
FILTER = {"and": [{"category": "skill", "key": "2", "operator": "GT", "value": 50}]}


@pytest.fixture(scope="module")
def kit() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        # The kit takes the name of a type from httpx that later versions no longer have; only annotations use it.
        patch.setattr(httpx._types, "VerifyTypes", object, raising=False)
        yield pytest.importorskip(
            "toloka.client", reason="toloka-kit is not installed or does not work here", exc_type=ImportError
        )


def items(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / name).read_text()
    if name.endswith("ndjson"):
        return [json.loads(line) for line in text.splitlines()]
    document = json.loads(text)
    return document["items"] if isinstance(document, dict) else document


def pool(**more: object) -> dict[str, Any]:
    return {
        "id": "1",
        "project_id": "9",
        "private_name": "secret name",
        "reward_per_assignment": 0.02,
        "status": "OPEN",
        "created": "2026-03-01T00:00:00",
        **more,
    }


def task(**more: object) -> dict[str, Any]:
    return {"id": "t1", "pool_id": "1", "input_values": {}, "overlap": 2, "created": "2026-03-01T00:30:00", **more}


def assignment(status: str, **more: object) -> dict[str, Any]:
    return {
        "id": "a1",
        "task_suite_id": "s1",
        "pool_id": "1",
        "user_id": "w1",
        "status": status,
        "created": "2026-03-01T01:00:00",
        **more,
    }


def restriction(scope: str, **more: object) -> dict[str, Any]:
    return {"id": "r1", "scope": scope, "user_id": "w1", "created": "2026-03-02T00:00:00", **more}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("projects.json", "Project"),
        ("pools.json", "Pool"),
        ("tasks.ndjson", "Task"),
        ("assignments.json", "Assignment"),
        ("user_skills.json", "UserSkill"),
        ("user_restrictions.json", "UserRestriction"),
    ],
)
def test_fixtures_are_objects_of_the_kit(kit: Any, name: str, kind: str) -> None:
    for item in items(name):
        structured = getattr(kit, kind).structure(item)
        assert not structured._unexpected, f"{kind} does not know {sorted(structured._unexpected)}"


def test_the_filter_of_the_fixture_is_one_of_the_kit(kit: Any) -> None:
    condition = items("pools.json")[0]["filter"]

    assert kit.filter.FilterCondition.structure(condition).unstructure() == condition


def test_a_pool_with_tasks_is_a_task_for_each_of_them_and_each_price() -> None:
    events, refused = found(read, FOLDER / "pools.json", FOLDER / "projects.json", FOLDER / "tasks.ndjson")

    assert refused == []
    tasks = {posting["task_id"]: posting for posting in postings(events)}
    assert sorted(tasks) == [
        "00a1--one",
        "00a1--one@0.03",
        "00a1--one@0.04",
        "00a1--three",
        "00a1--three@0.03",
        "00a1--three@0.04",
        "00a1--two",
        "00a1--two@0.03",
        "00a1--two@0.04",
        DONE,
    ]
    assert tasks["00a1--one@0.04"] == {
        "at": "2026-03-01T09:00:00Z",
        "task_id": "00a1--one@0.04",
        "requester_id": "ac1e4701",
        "title": "Compare two photos",
        "description": "Say which photo is sharper",
        "category": "92694",
        "group_id": MARCH,
        "reward": {"amount": "0.04", "currency": "USD"},
        "slots": 5,
        "time_limit_minutes": 5.0,
        "expires_at": "2026-09-01T13:00:00Z",
        "requirements": {
            "and": [
                {
                    "or": [
                        {"attribute": "language", "comparator": "in", "values": ["id"]},
                        {"attribute": "language", "comparator": "in", "values": ["en"]},
                    ]
                },
                {"attribute": "country", "comparator": "eq", "value": "ID"},
                {
                    "or": [
                        {"attribute": "qualification:os_family", "comparator": "eq", "value": "ANDROID"},
                        {
                            "and": [
                                {"attribute": "qualification:client_type", "comparator": "eq", "value": "BROWSER"},
                                {"attribute": "qualification:region_by_phone", "comparator": "in", "values": [10095]},
                            ]
                        },
                    ]
                },
                {"attribute": "skill:2", "comparator": "ge", "value": 0.6},
                {"attribute": "skill:77", "comparator": "not_exists"},
                {"attribute": "qualification:training:21", "comparator": "ge", "value": 70},
                {"attribute": "skill:1289", "comparator": "ge", "value": 0.81},
            ]
        },
    }


def test_control_tasks_are_not_offered_by_themselves() -> None:
    events, _ = found(read, FOLDER / "pools.json", FOLDER / "tasks.ndjson")

    assert not [posting for posting in postings(events) if "golden" in posting["task_id"]]


@pytest.mark.parametrize(
    ("more", "slots"),
    [
        ({"overlap": 5}, 5),
        ({"overlap": None}, 3),
        ({"overlap": None, "infinite_overlap": True}, None),
        ({"overlap": 5, "infinite_overlap": False}, 5),
    ],
)
def test_overlap_is_the_number_of_slots(tmp_path: Path, more: dict[str, Any], slots: int | None) -> None:
    defaults = {"default_overlap_for_new_tasks": 3, "default_overlap_for_new_task_suites": 7}

    events, refused = found(read, written(tmp_path, pool(defaults=defaults), task(**more)))

    assert refused == []
    assert postings(events)[0].get("slots") == slots


def test_task_suites_are_offered_rather_than_their_tasks(tmp_path: Path) -> None:
    suite = {"id": "s1", "pool_id": "1", "tasks": [{"id": "t1", "input_values": {}}], "created": "2026-03-01T00:30:00"}
    defaults = {"default_overlap_for_new_tasks": 3, "default_overlap_for_new_task_suites": 7}

    events, refused = found(read, written(tmp_path, pool(defaults=defaults), suite, task(), assignment("ACTIVE")))

    assert refused == []
    assert [(posting["task_id"], posting["slots"]) for posting in postings(events)] == [("s1", 7)]
    assert [taken["task_id"] for taken in of_type("assignment_accepted", events)] == ["s1"]


def test_a_pool_without_tasks_is_one_task_that_may_be_taken_as_often_as_assignments_may_be_active(
    tmp_path: Path,
) -> None:
    project = {"id": "9", "public_name": "Compare", "public_description": "Say", "max_active_assignments_count": 4}

    events, refused = found(read, written(tmp_path, project, pool()))

    assert refused == []
    (posting,) = postings(events)
    assert (posting["task_id"], posting["per_worker_limit"], "slots" in posting) == ("1", 4, False)


def test_a_pool_that_is_not_open_is_closed_when_it_was_stopped() -> None:
    events, _ = found(read, FOLDER / "pools.json")

    assert [closed for closed in of_type("task_closed", events) if closed["task_id"] == DONE] == [
        {"at": "2026-03-02T08:00:00Z", "task_id": DONE, "reason": "COMPLETED"}
    ]


def test_adult_content_can_be_blocked_by_a_keyword() -> None:
    events, _ = found(read, FOLDER / "pools.json")

    assert {posting["task_id"]: posting.get("keywords") for posting in postings(events)}[DONE] == ["adult content"]


def test_what_is_for_the_requester_alone_stays_out_of_the_log() -> None:
    events, _ = found(read, *ALL)

    texts = json.dumps([plain(event) for event in events])
    for private in ("Pool for March", "seen by nobody else", "Well done", "Poor answers", "example.com"):
        assert private not in texts


@pytest.mark.parametrize(
    ("status", "times", "kinds"),
    [
        ("ACTIVE", {}, ["accepted"]),
        ("SUBMITTED", {"submitted": "2026-03-01T01:02:00"}, ["accepted", "submitted"]),
        (
            "ACCEPTED",
            {"submitted": "2026-03-01T01:02:00", "accepted": "2026-03-02T00:00:00"},
            ["accepted", "submitted", "approved"],
        ),
        (
            "REJECTED",
            {"submitted": "2026-03-01T01:02:00", "rejected": "2026-03-02T00:00:00"},
            ["accepted", "submitted", "rejected"],
        ),
        ("SKIPPED", {"skipped": "2026-03-01T01:02:00"}, ["accepted", "returned"]),
        ("EXPIRED", {"expired": "2026-03-01T01:02:00"}, ["accepted", "abandoned"]),
    ],
)
def test_an_assignment_is_what_the_worker_did(
    tmp_path: Path, status: str, times: dict[str, str], kinds: list[str]
) -> None:
    events, refused = found(read, written(tmp_path, pool(), assignment(status, **times)))

    assert refused == []
    deeds = [event for event in map(plain, events) if event["type"].startswith("assignment_")]
    assert [deed["type"] for deed in deeds] == [f"assignment_{kind}" for kind in kinds]
    assert {(deed["worker_id"], deed["task_id"]) for deed in deeds} == {("w1", "1")}


def test_the_time_of_work_is_from_assignment_to_submission() -> None:
    events, _ = found(read, *ALL)

    assert [deed["work_seconds"] for deed in of_type("assignment_submitted", events)] == [120.0, 60.0, 360.0]


def test_what_was_paid_tells_which_price_was_taken() -> None:
    events, _ = found(read, *ALL)

    assert [(deed["worker_id"], deed["task_id"]) for deed in of_type("assignment_accepted", events)] == [
        ("w-ana", "00a1--one@0.04"),
        ("w-budi", "00a1--two"),
        ("w-budi", "00a1--one"),
        ("w-citra", "00a1--one"),
        ("w-citra", DONE),
        ("w-citra", "00a1--two"),
    ]


def test_the_skills_of_a_worker_are_levels_of_the_profile() -> None:
    events, refused = found(read, FOLDER / "user_skills.json")

    assert refused == []
    assert of_type("worker_updated", events) == [
        {"at": "2026-02-20T00:00:00Z", "worker_id": "w-ana", "skills": {"1289": 0.857}},
        {"at": "2026-02-25T00:00:00Z", "worker_id": "w-ana", "skills": {"1289": 0.857, "2": 0.6}},
        {"at": "2026-02-25T00:00:00Z", "worker_id": "w-budi", "skills": {"2": 0.594}},
    ]


def test_metadata_is_the_profile_from_when_the_worker_is_first_heard_of() -> None:
    events, refused = found(read, FOLDER / "user_metadata.ndjson", FOLDER / "user_skills.json")

    assert refused == []
    assert of_type("worker_updated", events)[0] == {
        "at": "2026-02-20T00:00:00Z",
        "worker_id": "w-ana",
        "country": "ID",
        "languages": ["en", "id"],
        "devices": ["mobile"],
        "skills": {"1289": 0.857},
        "qualifications": {
            "adult_allowed": 1,
            "client_type": "TOLOKA_APP",
            "user_agent_type": "OTHER",
            "os_family": "ANDROID",
            "os_version_major": 14,
            "os_version_minor": 1,
        },
    }


@pytest.mark.parametrize(
    ("scope", "more", "key"),
    [
        ("POOL", {"pool_id": "1"}, "banned:pool:1"),
        ("PROJECT", {"project_id": "9"}, "banned:project:9"),
        ("ALL_PROJECTS", {}, "banned"),
        ("SYSTEM", {}, "banned"),
    ],
)
def test_a_restriction_is_a_qualification_that_the_tasks_concerned_do_not_want(
    tmp_path: Path, scope: str, more: dict[str, Any], key: str
) -> None:
    file = written(tmp_path, pool(), pool(id="2", project_id="8"), restriction(scope, **more))

    events, refused = found(read, file)

    assert refused == []
    wanted = [{"attribute": f"qualification:{key}", "comparator": "not_exists"}]
    tasks = {posting["task_id"]: posting.get("requirements") for posting in postings(events)}
    assert tasks == {"1": wanted, "2": wanted if key == "banned" else None}
    assert of_type("worker_updated", events) == [
        {"at": "2026-03-02T00:00:00Z", "worker_id": "w1", "qualifications": {key: None}}
    ]


def test_a_restriction_ends_when_it_expires(tmp_path: Path) -> None:
    events, _ = found(read, written(tmp_path, restriction("SYSTEM", will_expire="2026-03-09T00:00:00")))

    assert of_type("worker_updated", events) == [
        {"at": "2026-03-02T00:00:00Z", "worker_id": "w1", "qualifications": {"banned": None}},
        {"at": "2026-03-09T00:00:00Z", "worker_id": "w1"},
    ]


@pytest.mark.parametrize(
    ("field", "key", "comparator"),
    [("reserved_for", "reserved", "exists"), ("unavailable_for", "unavailable", "not_exists")],
)
def test_tasks_kept_for_or_from_workers_say_so_by_a_qualification(
    tmp_path: Path, field: str, key: str, comparator: str
) -> None:
    events, refused = found(read, written(tmp_path, pool(), task(**{field: ["w1"]})))

    assert refused == []
    assert postings(events)[0]["requirements"] == [{"attribute": f"qualification:{key}:t1", "comparator": comparator}]
    assert of_type("worker_updated", events)[0]["qualifications"] == {f"{key}:t1": None}


def test_traits_are_qualifications(tmp_path: Path) -> None:
    traits = {"traits_all_of": ["a"], "traits_any_of": ["b", "c"], "traits_none_of_any": ["d"]}

    events, _ = found(read, written(tmp_path, pool(), task(**traits)))

    assert postings(events)[0]["requirements"] == {
        "and": [
            {"attribute": "qualification:trait:a", "comparator": "exists"},
            {
                "or": [
                    {"attribute": "qualification:trait:b", "comparator": "exists"},
                    {"attribute": "qualification:trait:c", "comparator": "exists"},
                ]
            },
            {"attribute": "qualification:trait:d", "comparator": "not_exists"},
        ]
    }


def test_what_does_not_bear_on_who_may_take_a_task_is_left_out(tmp_path: Path) -> None:
    plain_pool, _ = found(read, written(tmp_path, pool()))
    rich = pool(
        quality_control={"captcha_frequency": "LOW", "configs": [{"rules": []}], "checkpoints_config": {}},
        mixer_config={"real_tasks_count": 6},
        dynamic_overlap_config={"type": "BASIC", "max_overlap": 9},
        auto_accept_solutions=True,
        priority=10,
    )
    rich_pool, refused = found(read, written(tmp_path, rich))

    assert refused == []
    assert rich_pool == plain_pool


def test_training_and_definitions_of_skills_are_left_out(tmp_path: Path) -> None:
    training = {"id": "21", "project_id": "9", "private_name": "T", "training_tasks_in_task_suite_count": 5}
    definition = {"id": "2", "name": "Photos", "hidden": False}

    assert found(read, written(tmp_path, training, definition)) == ([], [])


def test_reading_again_gives_the_same_events_whatever_the_order_of_the_files() -> None:
    first, refused = found(read, *ALL)
    second, _ = found(read, *reversed(ALL))

    assert refused == []
    assert len({event.event_id for event in first}) == len(first)
    assert {event.event_id: event for event in first} == {event.event_id: event for event in second}


@pytest.mark.parametrize("status", ["OPEN", "CLOSED", "ARCHIVED"])
def test_a_pool_that_changed_between_two_exports_is_updated_and_not_posted_again(tmp_path: Path, status: str) -> None:
    before = pool(status=status, last_stopped="2026-03-02T00:00:00", public_description="old", filter=FILTER)
    after = pool(status=status, last_stopped="2026-03-02T00:00:00", reward_per_assignment=0.03)

    (update,) = new_of(read, tmp_path, [before], [after, restriction("SYSTEM")])[:1]

    assert update["type"] == "task_updated"
    assert update["description"] is None
    assert update["reward"] == {"amount": "0.03", "currency": "USD"}
    assert update["requirements"] == [{"attribute": "qualification:banned", "comparator": "not_exists"}]


def test_a_pool_that_was_archived_after_it_was_closed_is_no_conflict(tmp_path: Path) -> None:
    stopped = {"last_stopped": "2026-03-02T00:00:00"}

    (closed,) = new_of(read, tmp_path, [pool(status="CLOSED", **stopped)], [pool(status="ARCHIVED", **stopped)])

    assert (closed["type"], closed["reason"]) == ("task_closed", "ARCHIVED")


@pytest.mark.parametrize(
    ("stopped", "ended"), [(None, "2026-03-01T00:30:00Z"), ("2026-03-02T00:00:00", "2026-03-02T00:00:00Z")]
)
def test_a_pool_that_was_opened_again_is_offered_again_with_the_slots_that_are_left(
    tmp_path: Path, stopped: str | None, ended: str
) -> None:
    given = [
        assignment("ACTIVE", tasks=[{"id": "t1"}]),
        assignment("SKIPPED", id="a2", user_id="w2", skipped="2026-03-01T02:00:00", tasks=[{"id": "t1"}]),
        assignment("ACTIVE", id="a3", user_id="w3", created="2026-03-05T01:00:00", tasks=[{"id": "t1"}]),
    ]
    closed = [pool(status="CLOSED", last_stopped=stopped), task(overlap=3), *given]
    opened = [pool(last_stopped=stopped, last_started="2026-03-05T00:00:00"), task(overlap=3), *given]

    events, _ = found(read, written(tmp_path, *opened))
    new = new_of(read, tmp_path, closed, opened)

    assert [(event["type"], event["at"], event["task_id"]) for event in new] == [
        ("task_posted", "2026-03-05T00:00:00Z", "t1"),
        ("task_updated", "2026-03-05T00:00:00Z", "t1"),
    ]
    assert [(event["at"], event["slots"]) for event in postings(events)] == [
        ("2026-03-01T00:30:00Z", 3),
        ("2026-03-05T00:00:00Z", 2),
    ]
    assert [event["at"] for event in of_type("task_closed", events)] == [ended]


def test_an_assignment_that_is_told_of_other_tasks_is_a_conflict(tmp_path: Path) -> None:
    work = assignment("ACTIVE", tasks=[{"id": "t1"}])
    of_pool, _ = found(read, written(tmp_path, pool(), work))
    of_task, _ = found(read, written(tmp_path, pool(), task(), work))

    (before,), (after,) = (
        [event for event in map(plain, events) if event["type"] == "assignment_accepted"]
        for events in (of_pool, of_task)
    )

    assert before["event_id"] == after["event_id"]
    assert (before["task_id"], after["task_id"]) == ("1", "t1")


def test_a_restriction_that_was_lifted_between_two_exports_is_no_more(tmp_path: Path) -> None:
    lasting = restriction("PROJECT", project_id="9")
    lifted = restriction("POOL", id="r2", pool_id="1", created="2026-03-03T00:00:00")

    (profile,) = new_of(read, tmp_path, [lasting, lifted], [lasting])

    assert profile["qualifications"] == {"banned:project:9": None}


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(
    ("restrictions", "expected"),
    [
        ([("02", None), ("03", "09")], [("02", True)]),
        ([("02", "09"), ("03", "05")], [("02", True), ("09", False)]),
        ([("02", "09"), ("09", None)], [("02", True)]),
        ([("02", "04"), ("06", "09")], [("02", True), ("04", False), ("06", True), ("09", False)]),
    ],
)
def test_a_worker_is_restricted_until_the_last_of_several_restrictions_ends(
    tmp_path: Path, restrictions: list[tuple[str, str | None]], expected: list[tuple[str, bool]], turn: int
) -> None:
    given = [
        restriction(
            scope,
            id=scope,
            created=f"2026-03-{start}T00:00:00",
            will_expire=end and f"2026-03-{end}T00:00:00",
        )
        for scope, (start, end) in zip(("SYSTEM", "ALL_PROJECTS"), restrictions, strict=True)
    ]

    events, _ = found(read, written(tmp_path, *given[::turn]))

    told = [(profile["at"][8:10], "qualifications" in profile) for profile in of_type("worker_updated", events)]
    assert told == expected


def test_a_restriction_that_has_not_yet_expired_puts_nothing_into_the_future(tmp_path: Path) -> None:
    coming = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    events, _ = found(read, written(tmp_path, restriction("SYSTEM", will_expire=coming)))

    assert [profile["at"] for profile in of_type("worker_updated", events)] == ["2026-03-02T00:00:00Z"]


def test_numbers_of_any_length_are_read_or_refused(tmp_path: Path) -> None:
    for name in ("assignment_max_duration_seconds", "reward_per_assignment", "id", "created"):
        _, refused = found(read, written(tmp_path, pool(**{name: 10**400})))

        assert [text.split(":")[0] for text in refused] == [f"`{name}`"]


@pytest.mark.parametrize(
    ("documents", "path", "reason"),
    [
        ([pool(created=None)], "created", "missing"),
        ([pool(created="yesterday")], "created", "no instant that is understood"),
        ([pool(status="PAUSED")], "status", 'found "PAUSED"'),
        ([pool(reward_per_assignment=None)], "reward_per_assignment", "missing"),
        ([pool(reward_per_assignment="much")], "reward_per_assignment", "expected a number"),
        ([pool(assignment_max_duration_seconds=0)], "assignment_max_duration_seconds", "found 0"),
        (
            [{"items": [pool(), pool(filter={"and": [{"category": "profile", "key": "mood"}]})]}],
            "items[1].filter.and[0].key",
            "found",
        ),
        ([pool(), task(overlap=None)], "overlap", "missing, and the pool has no default"),
        ([pool(), task(overlap=-1)], "overlap", "found -1"),
        ([pool(), task(reserved_for=[7])], "reserved_for[0]", "expected text"),
        ([task()], "pool_id", "the pool is in none of these files"),
        ([assignment("LOST")], "status", 'found "LOST"'),
        ([assignment("SUBMITTED")], "submitted", "missing in an assignment that is SUBMITTED"),
        ([assignment("ACTIVE", created=None)], "created", "missing in an assignment that is ACTIVE"),
        ([pool(), task(), assignment("ACTIVE", tasks=[{"id": "t9"}])], "tasks", "none of them"),
        (
            [{"user_id": "w1", "skill_id": "2", "value": 101, "created": "2026-03-01T00:00:00"}],
            "value",
            "expected a number",
        ),
        ([{"user_id": "w1", "skill_id": "2", "value": 50}], "created", "missing"),
        ([restriction("PLANET")], "scope", 'found "PLANET"'),
        ([restriction("POOL")], "pool_id", "missing"),
        ([{"id": "w1", "languages": ["ID"]}], "id", "metadata bears no time"),
        (
            [
                {"user_id": "w1", "skill_id": "2", "value": 50, "created": "2026-03-01T00:00:00"},
                {"id": "w1", "attributes": {"device_category": " "}},
            ],
            "attributes.device_category",
            "expected text",
        ),
        ([{"weather": "fine"}], "", "no object of the API that is understood"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_path(
    tmp_path: Path, documents: list[object], path: str, reason: str
) -> None:
    _, refused = found(read, written(tmp_path, *documents))

    assert refused
    assert refused[0].removeprefix("`").startswith(path)
    assert reason in refused[0]


def test_a_wrong_task_does_not_take_the_others_of_its_pool_along(tmp_path: Path) -> None:
    events, refused = found(read, written(tmp_path, pool(), task(), task(id="t2", overlap="many")))

    assert [posting["task_id"] for posting in postings(events)] == ["t1"]
    assert len(refused) == 1
