"""What every call shares: who may call, what is read of a request, and which problems are documented."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

import msgspec
from anyio import sleep
from fastapi import Depends, Header, Path, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from features.errors import EventError
from features.events import Event, decode_event, instant, moneys
from features.money import Money, Rates
from service.engine import Engine
from service.errors import Kind, Problem, invalid, of_event
from service.ids import new_id
from service.runtime import Runtime
from service.security import ApiKey, Scope
from service.store import Appended

MIN_SEQ_SECONDS = 2.0
"""How long a read waits for the log to reach ``Cocok-Min-Seq``."""

_POLL_SECONDS = 0.005

JSON = "application/json"
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="A key made by `cocok keys create`.")


def runtime_of(request: Request) -> Runtime:
    """Return the parts of the server that a request came to."""
    found: Runtime = request.app.state.runtime
    return found


async def runtime(request: Request) -> Runtime:
    """Return the same as a dependency; a coroutine, since anything else would be called in a thread."""
    return runtime_of(request)


Server = Annotated[Runtime, Depends(runtime)]


class _IdConvertor(StringConvertor):
    """An id in a path may hold any character, also a slash or a line break."""

    regex = "(?s:.*)"


register_url_convertor("id", _IdConvertor())

WorkerId = Annotated[str, Path(min_length=1, max_length=256)]
TaskId = Annotated[str, Path(min_length=1, max_length=256)]


def needs(scope: Scope) -> Any:
    """Return the dependency that lets only keys with a scope through."""

    async def allowed(request: Request, _: Annotated[Any, Security(_bearer)] = None) -> None:
        _allow(request, scope)

    return Depends(allowed)


def _allow(request: Request, scope: Scope) -> None:
    key: ApiKey | None = request.scope["state"]["key"]
    if key is not None and not key.allows(scope):
        raise Problem(Kind.FORBIDDEN, f"The key {key.id} has not the scope {scope}.")


def _expect_ready(server: Runtime) -> None:
    if reason := server.why_not_ready():
        raise Problem(Kind.NOT_READY, reason, headers={"Retry-After": "1"})


# One dependency each, since solving one costs as much as all that it checks.
async def reads(
    request: Request,
    cocok_min_seq: Annotated[
        int, Header(ge=0, le=2**62, description="Answer only with what includes this event of the log.")
    ] = 0,
    _: Annotated[Any, Security(_bearer)] = None,
) -> None:
    """Let a key that may read through, once the log has been read as far as asked for."""
    _allow(request, Scope.READ)
    server = runtime_of(request)
    _expect_ready(server)
    if server.engine.seq < cocok_min_seq:
        server.engine.look()
    deadline = time.monotonic() + MIN_SEQ_SECONDS
    # Polled, since a thread that waits is one that does not rank.
    while server.engine.seq < cocok_min_seq:
        if time.monotonic() > deadline:
            raise Problem(
                Kind.BEHIND,
                f"The log is read up to {server.engine.seq}, {cocok_min_seq} is asked for.",
                headers={"Retry-After": "1"},
            )
        await sleep(_POLL_SECONDS)


async def _writes(request: Request, _: Annotated[Any, Security(_bearer)] = None) -> None:
    """Let a key that may write through, once the server is ready."""
    _allow(request, Scope.WRITE)
    _expect_ready(runtime_of(request))


READS, WRITES = [Depends(reads)], [Depends(_writes)]


class StrictRequest(Request):
    """A request whose JSON is JSON: no NaN, no endless nesting."""

    async def json(self) -> Any:
        """Return the decoded body."""
        return decode(await self.body())


class StrictRoute(APIRoute):
    """A call that takes JSON as JSON alone."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            if self.body_field is not None:
                require_media_type(request, [JSON])
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


def decode(body: bytes) -> Any:
    """Decode a JSON document."""
    try:
        return msgspec.json.decode(body)
    except RecursionError as error:
        raise Problem(Kind.MALFORMED, "The JSON is nested too deeply.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Problem(Kind.MALFORMED, f"The body is no JSON: {error}.") from error


def require_media_type(request: Request, allowed: Sequence[str]) -> None:
    """Refuse a body of another type than the allowed ones, and one that is compressed."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise Problem(
            Kind.UNSUPPORTED_MEDIA_TYPE,
            f"The body is encoded as {encoding[:60]}; send it as it is.",
            headers={"Accept-Encoding": "identity"},
        )
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in allowed:
        raise Problem(
            Kind.UNSUPPORTED_MEDIA_TYPE,
            f"The content type is {given[:60] or 'missing'}; send one of: {', '.join(allowed)}.",
        )


async def body_of_event(request: Request, server: Runtime, head: dict[str, Any], own_id: str) -> Event:
    """Return the event that a body without ``event_id``, ``type`` and ``at`` makes.

    Args:
        request: whose body it is.
        server: decides on currencies.
        head: the fields that the body does not give.
        own_id: the field of ``head`` that the body may repeat.
    """
    require_media_type(request, [JSON])
    fields = decode(await request.body())
    if not isinstance(fields, dict):
        raise invalid("expected a JSON object", "")
    for name in head.keys() & fields.keys():
        if name != own_id:
            raise invalid("the server sets this field; leave it out", f"/{name}")
        if fields[name] != head[name]:
            raise invalid("is not the id of the path; leave it out", f"/{name}")
    try:
        event = decode_event(msgspec.json.encode({**fields, **head}))
    except EventError as error:
        raise of_event(error) from error
    for money, place in _priced(event):
        require_rate(server.rates, money, place)
    return event


def _priced(event: Event) -> list[tuple[Money, str]]:
    found = []
    for money in moneys(event):
        name = next(
            (field for field in event.__struct_fields__ if getattr(event, field) is money), "context/min_reward"
        )
        found.append((money, f"/{name}/currency"))
    return found


def require_rates(rates: Rates, event: Event, prefix: str = "") -> None:
    """Refuse an event with an amount in a currency that has no rate."""
    for money, place in _priced(event):
        require_rate(rates, money, prefix + place)


def require_rate(rates: Rates, money: Money, pointer: str) -> None:
    """Refuse an amount in a currency that has no rate."""
    if money.currency not in rates:
        raise invalid(
            f"the currency {money.currency} has no rate on this server; /openapi.json lists those that have", pointer
        )


async def append(server: Runtime, events: Sequence[Event]) -> Appended:
    """Append events; return when they are durable and reads see them. No thread waits meanwhile."""
    appended = await asyncio.wrap_future(server.engine.submit(events))
    server.metrics.events.inc(appended.accepted)
    return appended


def head_of(engine: Engine, kind: str) -> dict[str, str]:
    """Return the fields of an event that the server itself makes of a request."""
    return {"event_id": new_id(), "type": kind, "at": instant(engine.now()).isoformat()}


def respond(value: object, status: int = 200) -> Response:
    """Return a JSON response."""
    return encoded(msgspec.json.encode(value), status)


def encoded(body: bytes, status: int = 200) -> Response:
    """Return a response of JSON that is encoded already."""
    return Response(body, status, media_type=JSON)


def problems(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of the problems of a call, beside those that every call has."""
    common = (Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.VALIDATION, Kind.INTERNAL, Kind.NOT_READY)
    titles: dict[int | str, list[str]] = {}
    for kind in dict.fromkeys((*common, *kinds)):
        titles.setdefault(kind.status, []).append(f"{kind.title} (`{kind.type}`).")
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": " ".join(lines), "content": content} for status, lines in titles.items()}


BODY = (Kind.MALFORMED, Kind.TOO_LARGE, Kind.UNSUPPORTED_MEDIA_TYPE)
"""Problems of calls with a body."""
