"""Audiences: the workers for a task."""

import time
from collections.abc import Callable

import msgspec
from anyio import sleep
from fastapi import APIRouter
from starlette.responses import Response

from features.state import MarketState
from matching.audience import Audience, UnpreparedError
from service.errors import Kind, Problem, not_found
from service.routes.common import BODY, READS, Server, StrictRoute, problems, respond
from service.routes.tasks import status_of
from service.runtime import Runtime
from service.schemas import AudienceOut, AudienceRequest

PREPARED_SECONDS = 20.0
"""How long a request waits for what audiences rest on to be prepared."""

_POLL_SECONDS = 0.1

router = APIRouter(route_class=StrictRoute, dependencies=READS, tags=["lists"])


@router.post(
    "/v1/audiences",
    response_model=AudienceOut,
    responses=problems(*BODY, Kind.NOT_FOUND, Kind.NOT_OPEN, Kind.BEHIND),
)
async def audience(server: Server, request: AudienceRequest) -> Response:
    """Find the workers who may take a task, by the probability that they take it and are approved.

    `suggested` says how many of them to tell: the fewest who fill the free slots with a probability of 80 %. Nothing is
    logged; a worker who is told sees the task in a feed.
    """

    def find(state: MarketState, now: int) -> int:
        return _open_task(state, request.task_id, now)

    found, version, seq = await _once_prepared(server, lambda: server.engine.audience(find, request.limit))
    return respond(
        {
            "task_id": request.task_id,
            "model_version": version,
            "log_seq": seq,
            "items": [msgspec.to_builtins(member) for member in found.members],
            "suggested": found.suggested,
        }
    )


async def _once_prepared(server: Runtime, ask: Callable[[], tuple[Audience, str, int]]) -> tuple[Audience, str, int]:
    """Ask until there is an answer; it waits here, since those who rank are few."""
    deadline = time.monotonic() + PREPARED_SECONDS
    while True:
        try:
            return await server.rank(ask)
        except UnpreparedError:
            if time.monotonic() > deadline:
                raise Problem(
                    Kind.NOT_READY,
                    "Audiences are being prepared, which takes minutes in a large market; ask again.",
                    headers={"Retry-After": "10"},
                ) from None
        await sleep(_POLL_SECONDS)


def _open_task(state: MarketState, task_id: str, now: int) -> int:
    task = state.catalogue.tasks.get(task_id)
    status = status_of(state.arrays.tasks[task], now)
    if status == "not_posted":
        raise not_found("task", task_id)
    if status != "open":
        raise Problem(Kind.NOT_OPEN, f"The task is {status}, so nobody can take it.")
    return task
