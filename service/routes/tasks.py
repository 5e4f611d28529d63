"""Tasks: their postings, what became of them, and closing them."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from features.events import TaskClosed, encode_event, instant
from features.layout import NEVER, UNLIMITED
from features.state import MarketState
from features.vocabulary import UNKNOWN
from service.errors import Kind, not_found
from service.ids import new_id
from service.routes.common import (
    BODY,
    READS,
    WRITES,
    Server,
    StrictRoute,
    TaskId,
    append,
    body_of_event,
    decode,
    head_of,
    problems,
    respond,
)
from service.schemas import AppendedOut, TaskOut

router = APIRouter(route_class=StrictRoute, tags=["tasks"])

_POSTING = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Posting"}}}}


@router.put(
    "/v1/tasks/{task_id:id}",
    response_model=AppendedOut,
    dependencies=WRITES,
    responses=problems(*BODY, Kind.STORE_UNAVAILABLE),
    openapi_extra={"requestBody": _POSTING},
)
async def put_task(server: Server, task_id: TaskId, request: Request) -> Response:
    """Post a task, or post it again with other content: the whole posting, which is open from then on.

    Logged as `task_posted` before the answer. To change some fields of a task and leave the others, send a
    `task_updated` to `/v1/events`.
    """
    head = {**head_of(server.engine, "task_posted"), "task_id": task_id}
    event = await body_of_event(request, server, head, "task_id")
    return respond((await append(server, [event]))._asdict())


@router.get(
    "/v1/tasks/{task_id:id}",
    response_model=TaskOut,
    dependencies=READS,
    responses=problems(Kind.NOT_FOUND, Kind.BEHIND),
)
async def get_task(server: Server, task_id: TaskId) -> Response:
    """Tell what is known of a task: the posting in force with all updates, and what workers did with it."""
    found = await server.rank(
        lambda: server.engine.read_with_lists(lambda state: _known(state, task_id, server.engine.now()))
    )
    if found is None:
        raise not_found("task", task_id)
    return respond(found)


@router.delete(
    "/v1/tasks/{task_id:id}",
    status_code=204,
    response_class=Response,
    dependencies=WRITES,
    responses=problems(Kind.NOT_FOUND, Kind.STORE_UNAVAILABLE),
)
async def delete_task(server: Server, task_id: TaskId) -> Response:
    """Close a task: it takes no more work until it is posted again. Logged as `task_closed`."""
    known = await server.rank(
        lambda: server.engine.read_with_lists(lambda state: _known(state, task_id, server.engine.now()))
    )
    if known is None:
        raise not_found("task", task_id)
    if known["status"] != "closed":
        event = TaskClosed(event_id=new_id(), at=instant(server.engine.now()), task_id=task_id)
        await append(server, [event])
    return Response(status_code=204)


def _known(state: MarketState, task_id: str, now: int) -> dict[str, Any] | None:
    task = state.catalogue.tasks.get(task_id)
    if task == UNKNOWN:
        return None
    record = state.arrays.tasks[task]
    slots, occupied = int(record["facts"]["slots"]), int(record["occupied"])
    return {
        "task_id": task_id,
        "log_seq": state.seq,
        "status": status_of(record, now),
        "posted_at": None if record["posted"] == NEVER else instant(int(record["posted"])).isoformat(),
        "posting": _posting(state, task),
        "counts": {
            "served": int(record["served"]),
            **{name: int(record[name]) for name in ("viewed", "accepted", "submitted", "approved", "rejected")},
            "given_up": int(record["given_up"]),
            "occupied": occupied,
            "slots_left": None if slots == UNLIMITED else max(0, slots - occupied),
        },
    }


def status_of(record: Any, now: int) -> str:
    """Return what a record of a task says at an instant: ``open full expired closed not_posted``."""
    facts = record["facts"]
    if record["posted"] == NEVER:
        return "not_posted"
    if record["closed"]:
        return "closed"
    if facts["expires"] <= now:
        return "expired"
    return "full" if facts["slots"] != UNLIMITED and record["occupied"] >= facts["slots"] else "open"


def _posting(state: MarketState, task: int) -> dict[str, Any] | None:
    posting = state.catalogue.postings.get(task)
    if posting is None:
        return None
    fields = decode(encode_event(posting))  # the encoder knows how requirements are written
    return {name: value for name, value in fields.items() if name not in ("event_id", "type", "at", "task_id")}
