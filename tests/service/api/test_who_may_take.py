"""Requirements and what a worker asks for, over HTTP."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.api.server import Api, event, pointers, problem, serving, task, usd

TRAINED = [{"attribute": "qualification:Q", "comparator": "ge", "value": 80}]
LOCAL = {"or": [{"attribute": "country", "comparator": "eq", "value": "ID"}, *TRAINED]}
UNRECORDED = {"record": False}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("api") / "home") as running:
        hour = {"estimated_minutes": 60}
        running.events(
            *(task(f"pays{number}", reward=usd(number), **hour) for number in range(1, 9)),
            task("rated", requester_id="good", reward=usd(1), **hour),
            task("trained", requirements=TRAINED),
            task("local", requirements=LOCAL),
            task("survey", title="A short survey (5 min)"),
            event("requester_rated", worker_id="v", requester_id="good", rating=4),
            event("worker_updated", worker_id="w", country="SG", blocked_keywords=["surve*", "short * test"]),
        )
        yield running


def ids(answer: dict[str, Any]) -> set[str]:
    return {item["task_id"] for item in answer["items"]}


def test_given_requirements_then_feeds_count_and_rankings_name_what_failed(api: Api) -> None:
    feed = api.feed("w", **UNRECORDED)
    assert feed["removed"] == {"requirement:qualification:Q": 2, "requirement:country": 1, "blocked_keyword": 1}
    answer = api.post("/v1/rankings", json={"worker_id": "w", "candidates": ["local", "pays1", "trained", "survey"]})
    assert answer.json()["removed"] == [
        {"task_id": "local", "reasons": ["requirement:country", "requirement:qualification:Q"]},
        {"task_id": "trained", "reasons": ["requirement:qualification:Q"]},
        {"task_id": "survey", "reasons": ["blocked_keyword"]},
    ]


def test_given_a_profile_that_meets_them_then_the_next_feed_holds_the_tasks(api: Api) -> None:
    assert not {"local", "trained"} & ids(api.feed("late", **UNRECORDED))
    api.put("/v1/workers/late", json={"qualifications": {"Q": 80}})
    assert {"local", "trained"} <= ids(api.feed("late", **UNRECORDED))
    api.put("/v1/workers/late", json={"country": "ID"})
    assert {"local", "trained"} & ids(api.feed("late", **UNRECORDED)) == {"local"}


def test_given_a_least_pay_an_hour_then_pages_are_full_of_what_pays_it(api: Api) -> None:
    least = {"min_hourly": {"amount": "65000", "currency": "IDR"}, "limit": 2, **UNRECORDED}
    first = api.feed("w", **least)
    paid = {item["task_id"]: float(item["expected_hourly"]["amount"]) for item in first["items"]}
    assert len(paid) == 2
    second = api.feed("w", **least, cursor=first["cursor"])
    assert len(second["items"]) == 2
    assert second["cursor"] is None
    assert ids(first) | ids(second) == {"pays5", "pays6", "pays7", "pays8"}
    assert min(paid.values()) > 4
    assert first["removed"]["min_hourly"] == 5
    body = {"worker_id": "w", "candidates": ["pays1", "pays8"], "min_hourly": usd(4)}
    answer = api.post("/v1/rankings", json=body).json()
    assert (ids(answer), answer["removed"]) == ({"pays8"}, [{"task_id": "pays1", "reasons": ["min_hourly"]}])


def test_given_a_least_rating_then_only_requesters_who_earned_it_are_listed(api: Api) -> None:
    feed = api.feed("w", min_requester_rating=4, **UNRECORDED)
    assert ids(feed) == {"rated"}
    assert feed["removed"]["requester_rating"] == 11
    assert ids(api.feed("w", min_requester_rating=4.5, **UNRECORDED)) == set()


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"min_hourly": {"amount": 1, "currency": "XXX"}}, "/min_hourly/currency"),
        ({"min_hourly": 5}, "/min_hourly"),
        ({"min_requester_rating": 0.5}, "/min_requester_rating"),
        ({"min_requester_rating": "4"}, "/min_requester_rating"),
    ],
)
def test_given_a_bad_wish_then_the_problem_points_at_it(api: Api, wish: dict[str, Any], pointer: str) -> None:
    document = problem(api.post("/v1/feeds", json={"worker_id": "w", **wish}), 422, "validation")
    assert pointers(document) == [pointer]
