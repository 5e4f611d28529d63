"""Events: what happened in the marketplace."""

import time
from datetime import timedelta

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from features.errors import EventError
from features.events import decode_events, micros
from service.doctor import AHEAD
from service.errors import Kind, invalid, of_event
from service.routes.common import (
    BODY,
    JSON,
    NDJSON,
    WRITES,
    Server,
    StrictRoute,
    append,
    problems,
    require_media_type,
    require_rates,
    respond,
)
from service.schemas import AppendedOut

MOST_EVENTS = 1_000

router = APIRouter(route_class=StrictRoute, dependencies=WRITES, tags=["events"])

_EVENTS = {
    "type": "array",
    "items": {"$ref": "#/components/schemas/Event"},
    "minItems": 1,
    "maxItems": MOST_EVENTS,
}
_BODY = {"required": True, "content": {media_type: {"schema": _EVENTS} for media_type in (JSON, NDJSON[0])}}


@router.post(
    "/v1/events",
    response_model=AppendedOut,
    responses=problems(*BODY, Kind.CONFLICT, Kind.STORE_UNAVAILABLE),
    openapi_extra={"requestBody": _BODY},
)
async def post_events(server: Server, request: Request) -> Response:
    """Append 1 to 1000 events, all or nothing; answered when they are durable and reads on this server see them.

    A JSON array, or one event a line (NDJSON). An event that is there already with the same content is a duplicate.
    """
    require_media_type(request, [JSON, *NDJSON])
    body = await request.body()
    try:
        events = await server.rank(lambda: decode_events(body))
    except EventError as error:
        raise of_event(error) from error
    if not 1 <= len(events) <= MOST_EVENTS:
        raise invalid(f"{len(events):,} events; send 1 to {MOST_EVENTS:,} at once", "")
    # By the wall clock: the log's is that of the latest event, and each would let the next one lie further ahead.
    latest = None if server.log_clock else time.time_ns() // 1_000 + AHEAD // timedelta(microseconds=1)
    for place, event in enumerate(events):
        if latest is not None and micros(event.at) > latest:
            raise invalid("is more than 5 minutes ahead of the server's clock; correct the sender's", f"/{place}/at")
        require_rates(server.rates, event, f"/{place}")
    return respond((await append(server, events))._asdict())
