"""The short way to an endpoint, for calls that are made often."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple

from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.routes.common import JSON, decode, reads, require_media_type, runtime_of
from service.runtime import Runtime

_DIGITS = 18
"""Of a ``Cocok-Min-Seq`` that needs no further check."""


class _Call(NamedTuple):
    route: APIRoute
    validate: Callable[..., tuple[Any, Any]]
    endpoint: Callable[[Runtime, Any], Coroutine[Any, Any, Response]]


class Direct:
    """Hands what is right to endpoints that read and take the server and a body, past FastAPI.

    To find the route and to solve the dependencies takes FastAPI longer than all else that a list costs beside the
    ranking. What is not right is left to it, and so are the answer to that and the document of the calls.

    Args:
        app: the application that takes all other calls.
        routes: of FastAPI, by POST and with a path without parameters.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._calls = {
            route.path: _Call(route, route.body_field.validate, route.endpoint)
            for route in routes
            if isinstance(route, APIRoute) and route.body_field
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        call = self._calls.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if call is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = call.route
        request = Request(scope, receive)
        require_media_type(request, [JSON])
        seq = request.headers.get("cocok-min-seq", "0")
        try:
            body = await request.body()
        except ClientDisconnect:
            await self._app(scope, receive, send)
            return
        asked, errors = call.validate(decode(body), {}, loc=("body",)) if body else (None, None)
        if asked is None or errors or not (len(seq) <= _DIGITS and seq.isascii() and seq.isdigit()):
            await self._app(scope, _again(body, receive), send)
            return
        await reads(request, int(seq))
        response = await call.endpoint(runtime_of(request), asked)
        await response(scope, receive, send)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that has been read once more, and then goes on."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
