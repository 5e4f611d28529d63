"""Feeds, batches and rankings."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from features.spec import GROUPS
from matching.pipeline import Matcher, feed_steps
from service.cursor import encode_cursor
from tests.service.api.server import Api, event, pointers, problem, serving, task, usd

MANY = 250


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("api") / "home") as running:
        running.events(
            *(task(f"t{number:03}", reward=usd(1 + number), estimated_minutes=10) for number in range(MANY)),
            task("unpaid"),
            task("rupiah", reward={"amount": "50000", "currency": "IDR"}, estimated_minutes=30, category="audio"),
            task("phone", devices=["phone"], category="image"),
            task("closed"),
            event("task_closed", task_id="closed"),
            event("worker_updated", worker_id="w", languages=["id"], devices=["desktop"]),
            event("assignment_accepted", worker_id="w", task_id="t000"),
        )
        yield running


OPEN = MANY + 1  # of the worker ``w``: without the task that was taken and the one for phones, with the other two
UNRECORDED = {"record": False}
FORTY = [task(f"t{number}", reward=usd(1 + number), estimated_minutes=10) for number in range(40)]


def ids(feed: dict[str, Any]) -> list[str]:
    return [item["task_id"] for item in feed["items"]]


def test_given_a_worker_then_the_best_twenty_come_with_all_that_is_promised(api: Api) -> None:
    feed = api.feed("w")
    assert set(feed) == {
        *("feed_id", "worker_id", "model_version", "log_seq", "items", "removed", "near_misses", "cursor")
    }
    assert (feed["worker_id"], feed["model_version"]) == ("w", "fallback")
    assert [item["position"] for item in feed["items"]] == list(range(1, 21))
    scores = [item["score"] for item in feed["items"]]
    assert scores == sorted(scores, reverse=True)
    first = feed["items"][0]
    assert set(first) == {
        *("task_id", "position", "score", "p_accept", "p_approve", "expected_minutes", "expected_hourly"),
        *("minutes_low", "minutes_high", "expected_hourly_low", "expected_hourly_high", "reasons", "propensity"),
    }
    assert first["expected_hourly"]["currency"] == "USD"
    assert first["expected_hourly_low"] is None
    assert first["reasons"][0].keys() == {"code", "text"}
    assert first["propensity"] == 1.0
    assert feed["removed"] == {"already_taken": 1, "device": 1}


def test_given_a_weight_of_pay_in_the_settings_then_the_server_ranks_by_it(tmp_path: Path) -> None:
    with serving(tmp_path / "home", pay_weight=2.0) as api:
        assert api.runtime.engine._matcher == Matcher(feed_steps(2.0))


def test_given_a_task_that_one_thing_keeps_from_the_worker_then_the_first_page_tells_what_would_open_it(
    api: Api,
) -> None:
    (miss,) = api.feed("w", **UNRECORDED)["near_misses"]
    assert miss == {
        "attribute": "device",
        "comparator": "eq",
        "value": "phone",
        "tasks": 1,
        "expected_hourly": None,
        "text": "Work on the device phone: 1 task",
    }
    assert api.feed("w", explain=False, **UNRECORDED)["near_misses"] == []


def test_given_nobody_knows_the_worker_then_a_newcomer_is_served(api: Api) -> None:
    assert len(api.feed("nobody", **UNRECORDED)["items"]) == 20


def test_given_no_reward_then_there_is_no_hourly_pay(api: Api) -> None:
    ranked = api.post("/v1/rankings", json={"worker_id": "w", "candidates": ["unpaid", "rupiah"], **UNRECORDED}).json()
    hourly = {item["task_id"]: item["expected_hourly"] for item in ranked["items"]}
    assert hourly["unpaid"] is None
    assert hourly["rupiah"]["currency"] == "IDR"


def test_given_a_hundred_are_asked_for_then_a_hundred_come_back(api: Api) -> None:
    assert len(api.feed("w", limit=100, **UNRECORDED)["items"]) == 100


def test_given_pages_then_every_task_comes_once_and_positions_go_on(api: Api) -> None:
    pages = list(paged(api, "w", limit=100))
    assert [len(page["items"]) for page in pages] == [100, 100, OPEN - 200]
    everything = [item for page in pages for item in page["items"]]
    assert len({item["task_id"] for item in everything}) == OPEN
    assert [item["position"] for item in everything] == list(range(1, OPEN + 1))
    assert len({page["feed_id"] for page in pages}) == 3


def test_given_events_between_pages_then_no_task_comes_twice_and_all_that_stay_open_come(api: Api) -> None:
    pages = []
    for number, page in enumerate(paged(api, "reader", limit=60)):
        pages.append(page)
        api.events(
            event("assignment_accepted", minutes_ago=0, worker_id=f"other{number}", task_id=f"t{number + 100}"),
            task(f"new{number}", minutes_ago=0, category="new"),
            event("task_closed", minutes_ago=0, task_id=f"t{number:03}"),
        )
    listed = [task_id for page in pages for task_id in ids(page)]
    assert len(listed) == len(set(listed))
    closed = {f"t{number:03}" for number in range(len(pages))}
    assert {f"t{number:03}" for number in range(MANY)} - closed <= set(listed)
    # The market as the other tests want it.
    api.events(*(event("task_closed", task_id=f"new{number}") for number in range(len(pages))))
    api.events(*(task(f"t{number:03}", reward=usd(1 + number), estimated_minutes=10) for number in range(len(pages))))


def test_given_most_of_what_was_listed_has_closed_then_the_feed_still_goes_on(api: Api) -> None:
    api.events(*(task(f"page{number}", category="paging") for number in range(60)))
    first = api.feed("w", limit=40, categories=["paging"], **UNRECORDED)
    api.events(*(event("task_closed", task_id=task_id) for task_id in ids(first)))
    rest = [first, *paged(api, "w", limit=5, categories=["paging"], cursor=first["cursor"], **UNRECORDED)][1:]
    assert sum(len(page["items"]) for page in rest) == 20
    api.events(*(event("task_closed", task_id=f"page{number}") for number in range(60)))


def test_given_short_pages_then_a_batch_is_spread_over_them(api: Api) -> None:
    batch = [f"batch{number}" for number in range(9)]
    others = [f"other{number}" for number in range(25)]
    fields = {"category": "spreading", "estimated_minutes": 10}
    api.events(
        *(task(name, reward=usd(90), group_id="batch", **fields) for name in batch),
        *(task(name, reward=usd(1), requester_id=name, **fields) for name in others),
    )
    pages = list(paged(api, "w", limit=4, categories=["spreading"], explore=False, **UNRECORDED))
    order = "".join(name[0] for page in pages for name in ids(page))
    assert len(order) == len(batch) + len(others)
    assert max(order[first : first + 10].count("b") for first in range(len(order) - 9)) == 3
    api.events(*(event("task_closed", task_id=name) for name in (*batch, *others)))


def paged(api: Api, worker_id: str, **fields: Any) -> Iterator[dict[str, Any]]:
    cursor = fields.pop("cursor", None)
    while True:
        page = api.feed(worker_id, cursor=cursor, **fields)
        yield page
        cursor = page["cursor"]
        if cursor is None:
            return


# The last nine are in the order in which they were listed, those before by their numbers.
GIVEN = encode_cursor("w", (9, 7, *range(30, 20, -1)))
IN_BYTES = base64.urlsafe_b64decode(GIVEN + "=" * (-len(GIVEN) % 4))


@pytest.mark.parametrize(
    "cursor",
    [
        *("x", "AA", GIVEN[:-1], f"{GIVEN}A", encode_cursor("w", range(10_001))),
        *(
            base64.urlsafe_b64encode(raw).decode().rstrip("=")
            for raw in (
                b"\x01" + IN_BYTES[1:],
                b"\x02" + IN_BYTES[1:],
                IN_BYTES[:4],
                IN_BYTES[:-1],
                IN_BYTES[:5] + IN_BYTES[9:13] + IN_BYTES[5:9] + IN_BYTES[13:],
                IN_BYTES[:-4] + IN_BYTES[-8:-4],
            )
        ),
    ],
    ids=[
        *("no text of bytes", "other bytes", "a letter less", "a letter more", "too many"),
        *("another version", "that without an order", "half a head", "half a hash", "in another order", "one twice"),
    ],
)
def test_given_a_cursor_that_is_none_then_it_is_refused(api: Api, cursor: str) -> None:
    document = problem(api.post("/v1/feeds", json={"worker_id": "w", "cursor": cursor}), 422, "validation")
    assert pointers(document) == ["/cursor"]
    assert "this is no cursor" in document["errors"][0]["detail"]


def test_given_the_cursor_of_another_worker_then_it_is_refused(api: Api) -> None:
    mine = api.feed("w", limit=5, **UNRECORDED)["cursor"]
    others = {"worker_id": "reader", "cursor": mine}
    document = problem(api.post("/v1/feeds", json=others), 422, "validation")
    assert pointers(document) == ["/cursor"]
    assert "another worker" in document["errors"][0]["detail"]
    both = [{"worker_id": "w", "cursor": mine, **UNRECORDED}, others]
    assert pointers(problem(api.post("/v1/feeds/batch", json=both), 422, "validation")) == ["/1/cursor"]
    assert api.feed("w", limit=5, cursor=mine, **UNRECORDED)["items"][0]["position"] == 6


def test_given_wishes_then_they_filter(api: Api) -> None:
    assert ids(api.feed("w", categories=["Audio"], **UNRECORDED)) == ["rupiah"]
    assert ids(api.feed("w", categories=["image"], **UNRECORDED)) == []
    assert ids(api.feed("w", categories=["image"], device="Phone", **UNRECORDED)) == ["phone"]
    paid = api.feed("w", min_reward={"amount": "3900000", "currency": "IDR"}, limit=200, **UNRECORDED)
    assert 0 < len(paid["items"]) < 30
    assert paid["removed"]["min_reward"] > 200
    assert api.feed("w", exclude_task_ids=["t001", "t002"], **UNRECORDED)["removed"]["excluded"] == 2


def test_given_a_language_then_reasons_are_in_it_and_without_explanation_there_are_none(api: Api) -> None:
    indonesian = api.feed("w", locale="id", limit=1, **UNRECORDED)["items"][0]["reasons"]
    english = api.feed("w", limit=1, **UNRECORDED)["items"][0]["reasons"]
    assert [reason["code"] for reason in indonesian] == [reason["code"] for reason in english]
    assert "per jam untuk Anda" in " ".join(reason["text"] for reason in indonesian)
    assert api.feed("w", explain=False, limit=1, **UNRECORDED)["items"][0]["reasons"] == []


def test_given_explain_then_items_tell_what_each_group_contributes_and_only_then(api: Api) -> None:
    items = api.feed("w", explain=True, **UNRECORDED)["items"]
    assert all(set(item["contributions"]) == set(GROUPS) and item["reasons"] for item in items)
    first = items[0]
    for item in items[1:]:
        gap = sum(first["contributions"].values()) - sum(item["contributions"].values())
        assert gap == pytest.approx(first["score"] - item["score"], abs=1e-5)
    for wish in ({}, {"explain": None}, {"explain": False}):
        assert not any("contributions" in item for item in api.feed("w", **wish, **UNRECORDED)["items"])
    body = {"worker_id": "w", "candidates": ["t001", "t002"], "explain": True, **UNRECORDED}
    assert all("contributions" in item for item in api.post("/v1/rankings", json=body).json()["items"])


def test_given_a_feed_then_it_is_in_the_log_before_the_answer(api: Api) -> None:
    wishes = {"session_minutes": 30, "device": "desktop", "min_reward": usd(2), "exclude_task_ids": ["t005"]}
    feed = api.feed("w", limit=3, **wishes)
    logged = api.log()[-1]
    assert (logged["type"], logged["feed_id"]) == ("feed_served", feed["feed_id"])
    assert logged["event_id"] == f"feed-{feed['feed_id']}"
    assert [(item["task_id"], item["position"]) for item in logged["items"]] == list(
        zip(ids(feed), [1, 2, 3], strict=True)
    )
    assert logged["context"] == {**wishes, "surface": "feed", "min_reward": {"amount": "2", "currency": "USD"}}
    assert (logged["policy"], logged["model_version"], logged["log_seq"]) == ("ranked", "fallback", feed["log_seq"])


def test_given_record_is_false_then_nothing_is_logged(api: Api) -> None:
    before = api.runtime.engine.store.last_seq()
    api.feed("w", record=False)
    assert api.runtime.engine.store.last_seq() == before


def test_given_a_reward_and_nothing_that_tells_minutes_then_pay_per_hour_is_a_guess_and_no_reason(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "home") as api:
        api.events(task("t", reward=usd(6)), task("unpaid"))
        paid, unpaid = sorted(api.feed("w")["items"], key=lambda item: str(item["task_id"]))
    assert (paid["expected_minutes"], unpaid["expected_minutes"]) == (10, 10)
    assert float(paid["expected_hourly"]["amount"]) == pytest.approx(6 * 6 * paid["p_approve"], abs=0.01)
    assert unpaid["expected_hourly"] is None
    assert not {reason["code"] for item in (paid, unpaid) for reason in item["reasons"]} & {
        *("pays_well_per_hour", "pay_per_hour", "meets_expectation")
    }


@pytest.mark.parametrize("explore", [False, True])
def test_given_nothing_to_list_then_that_is_logged(api: Api, explore: bool) -> None:
    feed = api.feed("w", categories=["none such"], explore=explore)
    logged = api.log()[-1]
    assert (logged["feed_id"], logged["items"], feed["items"]) == (feed["feed_id"], [], [])


def test_given_exploration_then_propensities_tell_the_draw(api: Api) -> None:
    feeds = [api.feed("w", explore=True, limit=40) for _ in range(3)]
    assert len({tuple(ids(feed)) for feed in feeds}) > 1
    propensities = [item["propensity"] for item in feeds[0]["items"]]
    # A few of the first twenty positions are given away, and are not drawn.
    assert all(0 < propensity <= 1 for propensity in propensities[:20])
    assert sum(propensity < 1 for propensity in propensities[:20]) > 10
    assert set(propensities[20:]) == {1.0}
    assert api.log()[-1]["policy"] == "explored"


def test_given_a_share_of_exploration_then_it_holds_where_a_request_does_not_say_and_is_logged(tmp_path: Path) -> None:
    with serving(tmp_path / "home", explore_share=1.0, explore_floor=0.4, swap_share=1.0) as api:
        api.events(*FORTY)
        for wish, policy in (({}, "explored"), ({"explore": True}, "explored"), ({"explore": False}, "ranked")):
            feed = api.feed("w", limit=4, **wish)
            assert api.log()[-1]["policy"] == policy
            propensities = [item["propensity"] for item in feed["items"]]
            # To a worker without a history each of the forty tasks is promised its part of the floor.
            assert all(0.4 / 40 <= propensity <= 1 for propensity in propensities)
            assert (min(propensities) < 1) == (policy == "explored")
        # Of a list that is not logged nothing could be learned.
        unlogged = api.feed("w", limit=4, record=False)
        assert {item["propensity"] for item in unlogged["items"]} == {1.0}


def test_given_a_share_of_swaps_then_first_pages_have_a_pair_at_stake(tmp_path: Path) -> None:
    with serving(tmp_path / "home", swap_share=1.0) as api:
        api.events(*FORTY)
        first = api.feed("w", limit=5)
        second = api.feed("w", limit=5, cursor=first["cursor"])
        logged, after = api.log()[-2:]
        assert (logged["policy"], after["policy"]) == ("swapped", "ranked")
        places = [item["position"] for item in logged["items"] if item["propensity"] == 0.5]
        assert places in [[1, 2], [2, 3], [3, 4], [4, 5]]
        assert sorted(item["propensity"] for item in first["items"]) == [0.5, 0.5, 1, 1, 1]
        assert {item["propensity"] for item in second["items"]} == {1.0}
        explored = api.feed("w", limit=5, explore=True)
        assert api.log()[-1]["policy"] == "explored"
        assert any(item["propensity"] < 1 for item in explored["items"])


def test_given_a_batch_then_each_request_is_answered_in_its_place_and_logged_at_once(api: Api) -> None:
    before = api.runtime.engine.seq
    answer = api.post(
        "/v1/feeds/batch",
        json=[{"worker_id": f"b{number}", "limit": 2, "record": number != 1} for number in range(3)],
    )
    assert [feed["worker_id"] for feed in answer.json()] == ["b0", "b1", "b2"]
    logged = api.log()[before:]
    assert [event["worker_id"] for event in logged] == ["b0", "b2"]
    assert {event["context"]["surface"] for event in logged} == {"batch"}


def test_given_candidates_then_all_come_in_order_and_the_others_with_their_reasons(api: Api) -> None:
    candidates = ["t001", "t000", "t249", "nowhere", "closed", "phone"]
    answer = api.post("/v1/rankings", json={"worker_id": "w", "candidates": candidates}).json()
    assert set(answer) == {"feed_id", "worker_id", "model_version", "log_seq", "items", "removed"}
    assert ids(answer) == ["t249", "t001"]
    assert answer["removed"] == [
        {"task_id": "t000", "reasons": ["already_taken"]},
        {"task_id": "nowhere", "reasons": ["unknown_task"]},
        {"task_id": "closed", "reasons": ["closed"]},
        {"task_id": "phone", "reasons": ["device"]},
    ]
    assert api.log()[-1]["context"]["surface"] == "ranking"


def test_given_a_candidate_twice_then_it_is_refused(api: Api) -> None:
    answer = api.post("/v1/rankings", json={"worker_id": "w", "candidates": ["t1", "t2", "t1"]})
    assert pointers(problem(answer, 422, "validation")) == ["/candidates/2"]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/v1/feeds", {}, "/worker_id"),
        ("/v1/feeds", {"worker_id": ""}, "/worker_id"),
        ("/v1/feeds", {"worker_id": "x" * 1_000_000}, "/worker_id"),
        ("/v1/feeds", {"worker_id": "w", "limit": 201}, "/limit"),
        ("/v1/feeds", {"worker_id": "w", "limit": "20"}, "/limit"),
        ("/v1/feeds", {"worker_id": "w", "limit": True}, "/limit"),
        ("/v1/feeds", {"worker_id": "w", "locale": "fr"}, "/locale"),
        ("/v1/feeds", {"worker_id": "w", "min_reward": {"amount": -1, "currency": "USD"}}, "/min_reward"),
        ("/v1/feeds", {"worker_id": "w", "min_reward": {"amount": 1, "currency": "XXX"}}, "/min_reward/currency"),
        ("/v1/feeds", {"worker_id": "w", "session_minutes": 0}, "/session_minutes"),
        ("/v1/feeds", {"worker_id": "w", "a/b~c": 1}, "/a~1b~0c"),
        ("/v1/feeds/batch", [], ""),
        ("/v1/feeds/batch", [{"worker_id": "w"}] * 201, ""),
        ("/v1/feeds/batch", [{"worker_id": "w"}, {"worker_id": "w", "limit": 0}], "/1/limit"),
        (
            "/v1/feeds/batch",
            [{"worker_id": "w", "min_reward": {"amount": 1, "currency": "XXX"}}],
            "/0/min_reward/currency",
        ),
        ("/v1/rankings", {"worker_id": "w", "candidates": []}, "/candidates"),
        ("/v1/rankings", {"worker_id": "w", "candidates": ["t"] * 1_001}, "/candidates"),
    ],
)
def test_given_a_bad_field_then_the_problem_points_at_it(api: Api, path: str, body: Any, pointer: str) -> None:
    document = problem(api.post(path, json=body), 422, "validation")
    assert pointers(document) == [pointer]
    assert len(str(document)) < 1_000


def test_given_many_at_once_then_all_are_served_and_logged(api: Api) -> None:
    before = api.runtime.engine.seq
    with ThreadPoolExecutor(8) as pool:
        feeds = list(pool.map(lambda number: api.feed(f"many{number}", limit=5), range(64)))
    assert {feed["feed_id"] for feed in feeds} == {event["feed_id"] for event in api.log()[before:]}
