"""What an operator sees: metrics for Prometheus, and a log of JSON lines without ids, keys or free text."""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import shared_metrics

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SHARES = (0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Metrics:
    """The metrics of one application; a registry of its own, so that two of them in a process do not mix.

    Where several processes serve, each answers for all: counts are summed, and of what each knows of the log, that of
    the one furthest behind is told.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "cocok_http_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "cocok_http_request_seconds", "Time to answer.", ["route"], buckets=_BUCKETS, registry=self._registry
        )
        self.events = Counter("cocok_events_accepted", "Events accepted over HTTP.", registry=self._registry)
        self.items = Counter("cocok_items_ranked", "Items in served lists.", ["model"], registry=self._registry)
        self.shadow_overlap = Histogram(
            "cocok_shadow_overlap",
            "Share of a page of the champion that the shadow lists on its page, too.",
            ["version"],
            buckets=_SHARES,
            registry=self._registry,
        )
        self.shadow_seconds = Histogram(
            "cocok_shadow_seconds",
            "Time to choose a page, of the shadow and of the champion beside it.",
            ["ranker"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.shadow_failures = Counter(
            "cocok_shadow_failures", "Errors of a shadow, which nobody was served with.", registry=self._registry
        )
        self.seq = self._gauge("cocok_log_seq", "Sequence number of the last event that reads see.")
        self.restored = self._gauge(
            "cocok_snapshot_seq",
            "Sequence number of the snapshot that the server began from, 0 for the beginning of the log.",
        )
        self.clock = self._gauge("cocok_log_clock_seconds", "The log's clock, in seconds since 1970.")
        self.open_tasks = self._gauge("cocok_open_tasks", "Tasks open by the log's clock.")
        self.ready = self._gauge("cocok_ready", "1 when the server is ready, else 0.")
        self._model = Gauge(
            "cocok_model_info",
            "1 for the model that serves, 0 for one that did.",
            ["version"],
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self._version = ""

    def serves(self, version: str) -> None:
        """Tell which model serves now."""
        if self._version not in ("", version):
            self._model.labels(self._version).set(0)
        self._version = version
        self._model.labels(version).set(1)

    def render(self) -> Response:
        """Return the metrics as Prometheus reads them."""
        registry = self._registry
        if folder := os.environ.get(shared_metrics.FOLDER):
            _forget_the_dead(Path(folder))
            registry = CollectorRegistry()
            MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self._registry, multiprocess_mode="livemin")


def _forget_the_dead(folder: Path) -> None:
    """Delete what processes that have ended told of themselves; what they counted stays."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


class Measure:
    """Counts and times every request by the pattern of its path, never by the path itself, which holds ids."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path_format", "unknown")
            # A method may be any word that a client makes up.
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object: when, how bad, who says it, what, and what was given as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; of an exception the class alone, since its message may hold values."""
        line: dict[str, Any] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line, default=str, ensure_ascii=False)


def log_as_json() -> None:
    """Let this process log JSON lines to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # These tell of every request or start of theirs.
    for name in ("uvicorn", "uvicorn.access", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
