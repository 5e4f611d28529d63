"""The HTTP application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from service import errors, openapi
from service.middleware import Authentication, BodyLimit, Shield
from service.routes import audiences, events, feeds, operations, tasks, workers
from service.routes.direct import Direct
from service.runtime import Runtime
from service.settings import Settings
from service.telemetry import Measure

DESCRIPTION = """Ranks the open micro jobs of a marketplace for a worker. Errors are RFC 9457 problem details."""


class Api(FastAPI):
    """FastAPI with the document of `service.openapi`."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document; made once."""
        if not self.openapi_schema:
            self.openapi_schema = openapi.document(self, self.state.runtime.rates)
        return self.openapi_schema


def create_app(settings: Settings, *, log_clock: bool = False) -> FastAPI:
    """Return the application; it opens the log when it is started, and writes what is waiting when it ends.

    Args:
        settings: in force.
        log_clock: now is the log's clock, for replaying history.
    """
    runtime = Runtime(settings, log_clock=log_clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with runtime.running():
            yield

    app = Api(
        title="Cocok",
        version=version("cocok"),
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        # Spans would carry paths, and paths carry the ids of workers.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        middleware=[
            Middleware(Measure, metrics=runtime.metrics),
            Middleware(Shield),
            Middleware(Authentication, runtime=runtime),
            Middleware(BodyLimit, limit=settings.max_body_bytes),
            Middleware(Direct, routes=feeds.router.routes),
        ],
    )
    app.state.runtime = runtime
    modules = (feeds, audiences, events, workers, tasks, operations)
    pages = list(app.routes)
    for module in modules:
        app.include_router(module.router)
    errors.install(app, [*pages, *(route for module in modules for route in module.router.routes)])
    return app
