"""What a hostile or broken client sends: never more than a problem document comes back."""

import gzip
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from features.errors import CocokError
from tests.service.api.server import Api, event, problem, serving
from tests.service.live.server import until

JSON = {"content-type": "application/json"}
LIMIT = 100_000


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("api") / "home", max_body_bytes=LIMIT) as running:
        yield running


CALLS = [
    ("POST", "/v1/feeds"),
    ("POST", "/v1/feeds/batch"),
    ("POST", "/v1/rankings"),
    ("POST", "/v1/events"),
    ("PUT", "/v1/workers/w"),
    ("PUT", "/v1/tasks/t"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"worker_id": "w"',
        b"\xff\xfe",
        b'{"worker_id": NaN}',
        b'{"worker_id": Infinity}',
        b'{"worker_id": "\\ud800"}',
        b'{"worker_id": "\xed\xa0\x80"}',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'[{"worker_id": "w", "session_minutes": 1e999}]',
        b'[{"event_id": -Infinity}]',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_given_what_is_no_json_then_the_answer_is_a_problem(api: Api, method: str, path: str, body: bytes) -> None:
    answer = api.request(method, path, content=body, headers=JSON)
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, document["type"]) in [
        (400, "urn:cocok:problem:malformed"),
        (422, "urn:cocok:problem:validation"),
    ]
    assert len(answer.content) < 2_000


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_given_another_content_type_then_it_is_refused(
    api: Api, method: str, path: str, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    problem(api.request(method, path, content=b"{}", headers=headers), 415, "unsupported-media-type")


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_given_a_compressed_body_then_it_is_refused_by_that_name(api: Api, method: str, path: str) -> None:
    headers = {**JSON, "content-encoding": "gzip"}
    answer = api.request(method, path, content=gzip.compress(b"{}"), headers=headers)
    assert "encoded as gzip" in problem(answer, 415, "unsupported-media-type")["detail"]
    assert answer.headers["accept-encoding"] == "identity"


def test_given_a_content_type_with_parameters_then_it_is_taken(api: Api) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert api.post("/v1/feeds", content=b'{"worker_id": "w"}', headers=headers).status_code == 200


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_given_a_body_above_the_limit_then_it_is_refused_also_when_its_length_is_not_told(
    api: Api, method: str, path: str
) -> None:
    body = json.dumps({"worker_id": "w" * LIMIT}).encode()
    problem(api.request(method, path, content=body, headers=JSON), 413, "too-large")

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    try:
        answer = api.request(method, path, content=pieces(), headers=JSON)
    except httpx.TransportError:
        return  # The server closed the connection while we were still sending.
    problem(answer, 413, "too-large")


def test_given_a_hundred_megabytes_then_they_are_refused_before_they_are_sent(api: Api) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 80), timeout=5) as connection:
        connection.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n[")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"urn:cocok:problem:too-large" in answer


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30])
def test_given_a_nonsensical_length_then_the_server_lives_on(api: Api, length: str) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 80), timeout=5) as connection:
        connection.sendall(f"POST /v1/feeds HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert connection.recv(65_536)[:10] in (b"HTTP/1.1 4",)
    assert api.get("/healthz").status_code == 200


def test_given_no_such_path_or_method_then_the_answer_is_a_problem(api: Api) -> None:
    problem(api.get("/v1/nothing"), 404, "not-found")
    problem(api.get("/v1/feeds/"), 404, "not-found")
    answer = api.get("/v1/feeds")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
    answer = api.patch("/v1/workers/w")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "DELETE, GET, PUT"


@pytest.mark.parametrize("path", ["/v1/workers/%ff", "/v1/tasks/a%c3"])
def test_given_a_path_that_is_not_utf_8_then_nothing_is_taken_for_another_id(api: Api, path: str) -> None:
    problem(api.put(path, json={"requester_id": "r"} if "tasks" in path else {}), 422, "validation")
    problem(api.get(path), 422, "validation")


def test_given_a_bug_then_the_problem_and_the_log_show_nothing_of_the_values(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("worker-secret-17")

    monkeypatch.setattr(api.runtime.engine, "feed", broken)
    answer = api.post("/v1/feeds", json={"worker_id": "worker-secret-17"})
    problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "unexpected KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_given_the_log_cannot_be_written_then_the_caller_hears_of_it_and_the_server_lives_on(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise CocokError("/secret/place/cocok.db: disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(api.runtime.engine.store, "append_groups", full)
        answer = api.put("/v1/workers/w", json={})
        problem(answer, 503, "store-unavailable")
        assert "secret" not in answer.text
    assert api.put("/v1/workers/w", json={}).status_code == 200


def test_given_a_server_that_is_not_ready_then_it_says_so_and_lives(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as api:
        api.runtime.ready.clear()
        assert api.get("/healthz").json() == {"status": "ok"}
        for answer in (api.get("/readyz"), api.post("/v1/feeds", json={"worker_id": "w"}), api.get("/v1/tasks/t")):
            problem(answer, 503, "not-ready")
            assert answer.headers["retry-after"] == "1"
        api.runtime.ready.set()
        assert api.get("/readyz").json() == {"status": "ok", "log_seq": 0, "model_version": "fallback"}


def test_given_requests_then_metrics_count_them_by_route_and_not_by_id(api: Api) -> None:
    api.put("/v1/workers/someone-secret", json={})
    api.request("PROPFIND", "/v1/workers/someone-secret")
    text = api.get("/metrics").text
    assert 'cocok_http_requests_total{method="PUT",route="/v1/workers/{worker_id}",status="200"}' in text
    assert "cocok_open_tasks 0.0" in text
    assert 'cocok_model_info{version="fallback"} 1.0' in text
    assert "secret" not in text
    assert "PROPFIND" not in text


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_given_a_client_that_goes_away_in_a_body_then_it_is_no_fault_of_the_server(
    api: Api, method: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    def counted(status: str) -> float:
        lines = re.findall(
            rf'^cocok_http_requests_total{{method="{method}".*status="{status}"}} (\S+)$', metrics(), re.M
        )
        return sum(map(float, lines))

    def metrics() -> str:
        return api.get("/metrics").text

    refused, failed = counted("400"), counted("5..")
    with socket.create_connection((api.base_url.host, api.base_url.port or 80), timeout=5) as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
        connection.sendall(head.encode() + b'{"worker_id":')
    until(lambda: counted("400") + counted("5..") > refused + failed, seconds=10)
    assert (counted("400"), counted("5..")) == (refused + 1, failed)
    assert not caplog.records


def test_given_workers_and_tasks_then_their_events_are_counted_with_the_others(api: Api) -> None:
    def accepted() -> float:
        return float(re.findall(r"^cocok_events_accepted_total (\S+)$", api.get("/metrics").text, re.M)[0])

    before = accepted()
    api.put("/v1/workers/counted", json={})
    api.put("/v1/tasks/counted", json={"requester_id": "r", "title": "Label"})
    api.delete("/v1/workers/counted")
    api.delete("/v1/tasks/counted")
    assert accepted() == before + 4
    twice = event("task_viewed", worker_id="w", task_id="t")
    api.events(twice, event("task_viewed", worker_id="w", task_id="t"))
    api.events(twice)
    assert accepted() == before + 6


def test_given_a_home_that_cannot_be_written_to_then_it_is_told_which_file_and_why(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "start.lock").mkdir(parents=True)
    with serving(home) as api:
        assert api.runtime.failure == f"{home / 'start.lock'}: Is a directory"
        problem(api.get("/readyz"), 503, "not-ready")
