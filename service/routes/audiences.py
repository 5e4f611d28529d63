"""Audiences: the workers for a task."""

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from features.state import MarketState
from service.errors import Kind, Problem, not_found
from service.routes.common import BODY, READS, Server, StrictRoute, problems, respond
from service.routes.tasks import status_of
from service.schemas import AudienceOut, AudienceRequest

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

    found, version, seq = await server.rank(lambda: server.engine.audience(find, request.limit))
    return respond(
        {
            "task_id": request.task_id,
            "model_version": version,
            "log_seq": seq,
            "items": [msgspec.to_builtins(member) for member in found.members],
            "suggested": found.suggested,
        }
    )


def _open_task(state: MarketState, task_id: str, now: int) -> int:
    task = state.catalogue.tasks.get(task_id)
    status = status_of(state.arrays.tasks[task], now)
    if status == "not_posted":
        raise not_found("task", task_id)
    if status != "open":
        raise Problem(Kind.NOT_OPEN, f"The task is {status}, so nobody can take it.")
    return task
