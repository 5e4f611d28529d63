"""The OpenAPI document, and that the server keeps to it whatever it is sent."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from service.routes.common import NDJSON
from service.security import KeyStore, Scope
from tests.service.api.server import Api, event, serving, task, usd

MIN_SEQ = "cocok-min-seq"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    home = tmp_path_factory.mktemp("api") / "home"
    keys = KeyStore(f"sqlite:///{home / 'cocok.db'}")
    key, _ = keys.create("test", [Scope.ADMIN])
    keys.close()
    with serving(home) as running:
        running.headers["Authorization"] = f"Bearer {key}"
        running.events(
            *(task(f"t{number}", reward=usd(number)) for number in range(30)),
            event("worker_updated", worker_id="w", skills=["a"]),
        )
        yield running


@pytest.fixture(scope="module")
def document(api: Api) -> OpenApiSchema:
    return schemathesis.openapi.from_url(f"{api.base_url}/openapi.json")


CALLS = [
    ("POST", "/v1/feeds"),
    ("POST", "/v1/feeds/batch"),
    ("POST", "/v1/rankings"),
    ("POST", "/v1/audiences"),
    ("POST", "/v1/events"),
    *(
        (method, f"/v1/{things}/{{{thing}_id}}")
        for things, thing in (("workers", "worker"), ("tasks", "task"))
        for method in ("PUT", "GET", "DELETE")
    ),
    ("GET", "/v1/models"),
    ("POST", "/v1/models/reload"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
]


def test_given_the_document_then_it_has_every_call(api: Api) -> None:
    found: dict[str, Any] = api.get("/openapi.json").json()
    assert {(method.upper(), path) for path, calls in found["paths"].items() for method in calls} == set(CALLS)


@schemathesis.serializer(*NDJSON)
def ndjson(_: schemathesis.SerializationContext, value: Any) -> bytes:
    lines = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(line).encode() for line in lines)


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_given_random_requests_then_the_server_keeps_to_the_document(
    api: Api, document: OpenApiSchema, method: str, path: str, mode: GenerationMode
) -> None:
    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=document[path][method].as_strategy(generation_mode=mode))
    def keeps_to_it(case: schemathesis.Case) -> None:
        wait = case.headers.get(MIN_SEQ, "")
        if wait.isdigit():
            # A number beyond the log is answered by a rightful 503.
            case.headers[MIN_SEQ] = str(min(int(wait), api.runtime.engine.seq))
        if mode is GenerationMode.POSITIVE:
            case.body = sayable(case.body)
        # Of an event JSON Schema cannot say that it lies in the past or that its list names a task once.
        excluded = [positive_data_acceptance] if path == "/v1/events" else []
        case.call_and_validate(headers={"Authorization": api.headers["Authorization"]}, excluded_checks=excluded)

    try:
        keeps_to_it()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "every call can be made rightly"


def sayable(value: Any, key: str = "") -> Any:
    """A body within the rules that JSON Schema has no words for: years, decimal places, sizes."""
    match value:
        case dict():
            return {name: sayable(part, name) for name, part in value.items()}
        case list():
            return [sayable(part) for part in value]
        case str() if key == "expires_at":
            return "2100-01-01T00:00:00Z"
        case str() if key == "cursor":
            return None
        case float() if not value.is_integer():
            return round(value, 6) if key == "amount" else value
        case float() | int() if not isinstance(value, bool):
            return int(max(-(2**53), min(value, 2**53)))
        case _:
            return value
