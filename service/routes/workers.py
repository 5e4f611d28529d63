"""Workers: their profiles, what is known of them, and forgetting them."""

import asyncio
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from features.events import WorkerErased, instant
from features.layout import NEVER
from features.state import MarketState
from features.vocabulary import UNKNOWN
from service.errors import Kind, Problem, not_found
from service.ids import new_id
from service.routes.common import (
    BODY,
    READS,
    WRITES,
    Server,
    StrictRoute,
    WorkerId,
    append,
    body_of_event,
    head_of,
    problems,
    respond,
)
from service.schemas import AppendedOut, WorkerOut

ERASURE_SECONDS = 60.0
"""How long an erasure is waited for; it goes on if it takes longer."""

router = APIRouter(route_class=StrictRoute, tags=["workers"])

_PROFILE = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Profile"}}}}


@router.put(
    "/v1/workers/{worker_id:id}",
    response_model=AppendedOut,
    dependencies=WRITES,
    responses=problems(*BODY, Kind.STORE_UNAVAILABLE),
    openapi_extra={"requestBody": _PROFILE},
)
async def put_worker(server: Server, worker_id: WorkerId, request: Request) -> Response:
    """Set the whole profile of a worker: what is absent is unset. Logged as `worker_updated` before the answer."""
    head = {**head_of(server.engine, "worker_updated"), "worker_id": worker_id}
    event = await body_of_event(request, server, head, "worker_id")
    return respond((await append(server, [event]))._asdict())


@router.get(
    "/v1/workers/{worker_id:id}",
    response_model=WorkerOut,
    dependencies=READS,
    responses=problems(Kind.NOT_FOUND, Kind.BEHIND),
)
async def get_worker(server: Server, worker_id: WorkerId) -> Response:
    """Tell what is known of a worker: the profile, and the history as the model sees it."""
    found = await server.rank(lambda: server.engine.read_with_lists(lambda state: _known(state, worker_id)))
    if found is None:
        raise not_found("worker", worker_id)
    return respond(found)


@router.delete(
    "/v1/workers/{worker_id:id}",
    status_code=204,
    response_class=Response,
    dependencies=WRITES,
    responses=problems(Kind.STORE_UNAVAILABLE),
)
async def delete_worker(server: Server, worker_id: WorkerId) -> Response:
    """Forget a worker. Logged as `worker_erased`; id and profile are gone from the log when this is answered.

    What the worker did stays in the log and in the market's counts under a pseudonym that says nothing.
    """
    event = WorkerErased(event_id=new_id(), at=instant(server.engine.now()), worker_id=worker_id)
    appended = await append(server, [event])
    try:
        await asyncio.wait_for(asyncio.wrap_future(server.engine.erased(appended.seq)), ERASURE_SECONDS)
    except TimeoutError as error:
        detail = "The erasure is logged and goes on, but is not through yet; ask again to wait for it."
        raise Problem(Kind.STORE_UNAVAILABLE, detail, headers={"Retry-After": "10"}) from error
    return Response(status_code=204)


def _known(state: MarketState, worker_id: str) -> dict[str, Any] | None:
    worker = state.catalogue.workers.get(worker_id)
    if worker == UNKNOWN:
        return None
    record = state.arrays.workers[worker]
    approved, rejected = float(record["approved"]), float(record["rejected"])
    return {
        "worker_id": worker_id,
        "log_seq": state.seq,
        "profile": profile_of(state, worker),
        "history": {
            "first_seen": _moment(record["first_seen"]),
            "last_accepted": _moment(record["last_accept"]),
            **{name: int(record[name]) for name in ("accepted", "submitted", "approved", "rejected", "given_up")},
            "approval_rate": 100 * approved / (approved + rejected) if approved + rejected else None,
            "ratings": int(record["ratings"]),
            "rating": float(record["rating"] / record["ratings"]) if record["ratings"] else None,
        },
    }


def profile_of(state: MarketState, worker: int) -> dict[str, Any] | None:
    """Return the profile in force of a worker, given by its index, as a body of PUT would say it."""
    profile = state.catalogue.profiles.get(worker)
    if profile is None:
        return None
    fields = msgspec.to_builtins(profile)
    return {name: value for name, value in fields.items() if name not in ("event_id", "type", "at", "worker_id")}


def _moment(micros: Any) -> str | None:
    return None if micros == NEVER else instant(int(micros)).isoformat()
