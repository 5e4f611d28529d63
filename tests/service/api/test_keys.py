"""API keys: who may call what."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service import security
from service.security import KeyStore, Scope
from tests.service.api.server import Api, problem, serving

CALLS: list[tuple[str, str, Any, Scope | None]] = [
    ("POST", "/v1/feeds", {"worker_id": "w"}, Scope.READ),
    ("POST", "/v1/feeds/batch", [{"worker_id": "w"}], Scope.READ),
    ("POST", "/v1/rankings", {"worker_id": "w", "candidates": ["t"]}, Scope.READ),
    ("GET", "/v1/workers/w", None, Scope.READ),
    ("GET", "/v1/tasks/t", None, Scope.READ),
    ("GET", "/v1/models", None, Scope.READ),
    ("GET", "/metrics", None, Scope.READ),
    ("POST", "/v1/events", [], Scope.WRITE),
    ("PUT", "/v1/workers/w", {}, Scope.WRITE),
    ("PUT", "/v1/tasks/t", {"requester_id": "r"}, Scope.WRITE),
    ("DELETE", "/v1/workers/w", None, Scope.WRITE),
    ("DELETE", "/v1/tasks/t", None, Scope.WRITE),
    ("POST", "/v1/models/reload", None, Scope.ADMIN),
    ("GET", "/healthz", None, None),
    ("GET", "/readyz", None, None),
    ("GET", "/openapi.json", None, None),
    ("GET", "/docs", None, None),
]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyStore]:
    home = tmp_path_factory.mktemp("api") / "home"
    store = KeyStore(f"sqlite:///{home / 'cocok.db'}")
    yield store
    store.close()


@pytest.fixture(scope="module")
def given(keys: KeyStore) -> dict[Scope, str]:
    return {scope: keys.create(scope, [scope])[0] for scope in Scope}


@pytest.fixture(scope="module")
def api(keys: KeyStore, given: dict[Scope, str]) -> Iterator[Api]:
    with serving(Path(str(keys._engine.url.database)).parent) as running:
        yield running


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(("method", "path", "body", "scope"), CALLS)
def test_given_no_key_or_a_wrong_one_then_only_the_open_calls_answer(
    api: Api, given: dict[Scope, str], method: str, path: str, body: Any, scope: Scope | None
) -> None:
    wrong = given[Scope.ADMIN][:-1] + ("A" if given[Scope.ADMIN][-1] != "A" else "B")
    for headers in ({}, bearer("nonsense"), bearer(wrong), {"Authorization": f"Basic {given[Scope.ADMIN]}"}):
        answer = api.request(method, path, json=body, headers=headers)
        if scope is None:
            assert answer.status_code == 200
        else:
            problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "path", "body", "scope"), CALLS)
def test_given_a_key_then_it_opens_what_its_scope_says_and_admin_opens_all(
    api: Api, given: dict[Scope, str], method: str, path: str, body: Any, scope: Scope | None
) -> None:
    for held in Scope:
        answer = api.request(method, path, json=body, headers=bearer(given[held]))
        if scope in (None, held) or held is Scope.ADMIN:
            assert answer.status_code not in (401, 403)
        else:
            problem(answer, 403, "forbidden")


def test_given_a_key_then_only_its_digest_is_kept(keys: KeyStore, api: Api) -> None:
    key, kept = keys.create("secretive", [Scope.READ])
    secret = key.rpartition("_")[2] if key.count("_") == 2 else key.split("_", 2)[2]
    assert kept.id in key
    files = b"".join(file.read_bytes() for file in api.home.glob("cocok.db*"))
    assert kept.id.encode() in files
    assert secret.encode() not in files


def test_given_a_key_is_made_or_revoked_then_a_running_server_notices(
    keys: KeyStore, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security, "REFRESH_SECONDS", 0.0)
    key, kept = keys.create("brief", [Scope.READ])
    assert api.get("/v1/models", headers=bearer(key)).status_code == 200
    keys.revoke(kept.id)
    problem(api.get("/v1/models", headers=bearer(key)), 401, "unauthenticated")
    revoked = {each.id: each for each in keys.list()}[kept.id].revoked_at
    assert revoked is not None
    assert revoked - kept.created_at < timedelta(minutes=1)


def test_given_every_key_was_revoked_then_the_server_does_not_open_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("api") / "home"
    keys = KeyStore(f"sqlite:///{home / 'cocok.db'}")
    keys.revoke(keys.create("gone", [Scope.READ])[1].id)
    keys.close()
    with serving(home) as api:
        problem(api.get("/v1/models"), 401, "unauthenticated")
