"""Audiences over HTTP."""

from tests.service.api.server import Api, event, pointers, problem, task, usd


def test_given_a_task_then_its_workers_come_with_all_that_is_promised(api: Api) -> None:
    api.events(
        task("t", reward=usd(3), estimated_minutes=10, slots=1, languages=["en"]),
        *(event("worker_updated", worker_id=f"w{number}", languages=["en"]) for number in range(5)),
        event("worker_updated", worker_id="foreign", languages=["id"]),
    )
    found = api.post("/v1/audiences", json={"task_id": "t", "limit": 3}).json()
    assert set(found) == {"task_id", "model_version", "log_seq", "items", "suggested"}
    assert (found["task_id"], found["model_version"]) == ("t", "fallback")
    assert len(found["items"]) == 3
    first = found["items"][0]
    assert set(first) == {
        *("worker_id", "score", "p_accept", "p_approve", "expected_minutes", "minutes_low", "minutes_high"),
        *("expected_hourly", "expected_hourly_low", "expected_hourly_high"),
    }
    assert first["expected_hourly"]["currency"] == "USD"
    assert 1 <= found["suggested"] <= 3
    everybody = api.post("/v1/audiences", json={"task_id": "t"}).json()["items"]
    assert {member["worker_id"] for member in everybody} == {f"w{number}" for number in range(5)}


def test_given_a_worker_is_forgotten_then_no_audience_names_them(api: Api) -> None:
    api.events(task("for-all"), event("worker_updated", worker_id="goes"), event("worker_updated", worker_id="stays"))
    assert api.delete("/v1/workers/goes").status_code == 204
    items = api.post("/v1/audiences", json={"task_id": "for-all"}).json()["items"]
    assert "goes" not in {member["worker_id"] for member in items}
    assert "stays" in {member["worker_id"] for member in items}


def test_given_a_task_that_nobody_can_take_then_it_is_a_problem(api: Api) -> None:
    api.events(
        *(task("shut"), event("task_closed", task_id="shut")),
        *(task("taken", slots=1), event("assignment_accepted", worker_id="one", task_id="taken")),
    )
    problem(api.post("/v1/audiences", json={"task_id": "nobody-knows"}), 404, "not-found")
    for name, status in (("shut", "closed"), ("taken", "full")):
        document = problem(api.post("/v1/audiences", json={"task_id": name}), 409, "not-open")
        assert status in document["detail"]


def test_given_a_limit_out_of_bounds_then_it_is_refused(api: Api) -> None:
    for limit in (0, 1_001):
        document = problem(api.post("/v1/audiences", json={"task_id": "t", "limit": limit}), 422, "validation")
        assert pointers(document) == ["/limit"]
