"""A running server for tests, and small logs to fill it with."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn

from features.events import encode_event
from matching.bundle import Bundle
from service import runtime
from service.app import create_app
from service.runtime import Runtime
from service.settings import Settings

MEDIA_TYPE = "application/problem+json"
_numbers = count(1)


class Api(httpx.Client):
    """A client of one running server."""

    runtime: Runtime
    home: Path

    def events(self, *events: dict[str, Any]) -> dict[str, Any]:
        answer = self.post("/v1/events", json=list(events))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def feed(self, worker_id: str = "w", **fields: Any) -> dict[str, Any]:
        answer = self.post("/v1/feeds", json={"worker_id": worker_id, **fields})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def log(self) -> list[dict[str, Any]]:
        """The payloads of the log, in order."""
        rows = (row for rows in self.runtime.engine.store.read() for row in rows)
        return [json.loads(encode_event(row.event)) for row in rows]


class Registry:
    """What stands in for MLflow, whose store takes seconds to make: one bundle under every number but `others`."""

    def __init__(self, bundle: Bundle | None = None) -> None:
        self.bundle = bundle
        self.promoted: int | None = None
        self.served: int | None = None
        self.newest: int | None = None
        self.others: dict[int, Bundle] = {}

    def champion(self) -> int | None:
        return self.promoted

    def challenger(self) -> int | None:
        return self.newest

    def load(self, version: int, *, expected_features: str, expected_rates: str) -> Bundle:
        bundle = self.others.get(version, self.bundle)
        assert bundle is not None
        return bundle

    def keep_serving(self, version: int | None) -> None:
        self.served = version

    def last_served(self, *, expected_features: str, expected_rates: str) -> tuple[int, Bundle] | None:
        return None if self.served is None or self.bundle is None else (self.served, self.bundle)


@contextmanager
def serving(home: Path, *, log_clock: bool = False, registry: Registry | None = None, **settings: Any) -> Iterator[Api]:
    """A server on a free port with a home of its own, ready."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(runtime, "_source", lambda _: registry or Registry())
        with _serving(home, log_clock, settings) as api:
            yield api


@contextmanager
def _serving(home: Path, log_clock: bool, settings: dict[str, Any]) -> Iterator[Api]:
    app = create_app(Settings(home=home, **settings), log_clock=log_clock)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with Api(base_url=f"http://127.0.0.1:{port}", timeout=30) as api:
        api.runtime = app.state.runtime
        api.home = home
        assert api.runtime.settled.wait(300)
        try:
            yield api
        finally:
            server.should_exit = True
            thread.join()


def event(kind: str, minutes_ago: float = 60, **fields: Any) -> dict[str, Any]:
    """An event with an id of its own."""
    at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return {"event_id": f"test-{next(_numbers)}", "type": kind, "at": at.isoformat(), **fields}


def task(task_id: str, **fields: Any) -> dict[str, Any]:
    """A posting of a requester of its own, so that no batch is spread."""
    return event("task_posted", **{"task_id": task_id, "requester_id": f"r-{task_id}", "title": "Label", **fields})


def usd(amount: float) -> dict[str, Any]:
    return {"amount": str(amount), "currency": "USD"}


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document of an answer, its shape checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    document = dict(answer.json())
    assert document["type"] == f"urn:cocok:problem:{kind}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["instance"].startswith("urn:uuid:")
    return document


def pointers(document: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in document["errors"]]
