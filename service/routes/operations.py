"""Running a server: is it alive, is it ready, what serves, what does it measure."""

from typing import Any

from anyio import to_thread
from fastapi import APIRouter
from starlette.responses import Response

from service.errors import Kind, Problem
from service.models import Models, Serving
from service.routes.common import Server, StrictRoute, needs, problems, respond
from service.schemas import HealthOut, ModelsOut, ReadyOut
from service.security import Scope

router = APIRouter(route_class=StrictRoute, tags=["operations"])


@router.get("/healthz", response_model=HealthOut)
async def healthz() -> Response:
    """Tell that the server is alive."""
    return respond({"status": "ok"})


@router.get("/readyz", response_model=ReadyOut, responses={503: problems()[503]})
async def readyz(server: Server) -> Response:
    """Tell whether the log has been read and a model or the fallback ranks."""
    reason = server.why_not_ready()
    if reason:
        raise Problem(Kind.NOT_READY, reason, headers={"Retry-After": "1"})
    return respond({"status": "ok", "log_seq": server.engine.seq, "model_version": server.models.current.version})


@router.get(
    "/metrics",
    dependencies=[needs(Scope.READ)],
    response_class=Response,
    responses={
        **problems(),
        200: {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    },
)
async def metrics(server: Server) -> Response:
    """Return the metrics for Prometheus."""
    return await to_thread.run_sync(server.measured)


@router.get("/v1/models", response_model=ModelsOut, dependencies=[needs(Scope.READ)], responses=problems())
async def models(server: Server) -> Response:
    """Tell what serves now and what ranks beside it, since when, and what their training reported."""
    return respond(_models_out(server.models))


@router.post("/v1/models/reload", response_model=ModelsOut, dependencies=[needs(Scope.ADMIN)], responses=problems())
async def reload(server: Server) -> Response:
    """Look for a new champion at once, and tell what serves then."""
    await server.refresh()
    return respond(_models_out(server.models))


def _models_out(models: Models) -> dict[str, Any]:
    champion, shadow = models.current, models.shadow
    return {
        "champion": _model_out(champion),
        "shadow": None if shadow is None else _model_out(shadow),
        "refused": champion.refused or None,
    }


def _model_out(serving: Serving) -> dict[str, Any]:
    return {"version": serving.version, "since": serving.since, "metrics": serving.metrics}
