"""What stands before every endpoint: no exception leaves, no body is too large, nobody comes without a key."""

from urllib.parse import unquote_to_bytes

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Kind, Problem, invalid, problem_of
from service.runtime import Runtime

OPEN = frozenset({"/healthz", "/readyz", "/openapi.json", "/docs"})
"""Paths that need no key."""


class Shield:
    """Turns an exception that nobody handled into a problem that shows nothing of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not _readable(scope.get("raw_path") or b""):
            await invalid("the path is not percent-encoded UTF-8", parameter="path").response()(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            problem = problem_of(error)
            if not started:
                await problem.response()(scope, receive, send)


def _readable(path: bytes) -> bool:
    """Tell whether a path is UTF-8; of one that is not, distinct ids would be read as the same."""
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return True


class BodyLimit:
    """Refuses a body above a limit before it is read, or while it comes in if its length was not told."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "")
        if told.isascii() and told.isdigit() and int(told) > self._limit:
            await self._too_large().response()(scope, receive, send)
            return
        size = 0

        async def count() -> Message:
            nonlocal size
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
                if size > self._limit:
                    raise self._too_large()
            return message

        await self._app(scope, count, send)

    def _too_large(self) -> Problem:
        return Problem(
            Kind.TOO_LARGE,
            f"A body may have {self._limit:,} bytes; send less at once.",
            headers={"Connection": "close"},
        )


class Authentication:
    """Finds out whose key a request carries, before anything of its body is read.

    The key, or None where no key was ever made, is put into the state of the request for `service.routes.common.needs`.
    """

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime
        # A thread of its own: whatever holds up the others, every request comes through here.
        self._reading = CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
            key, keys = None, self._runtime.keys
            if keys.stale():
                await to_thread.run_sync(keys.required, limiter=self._reading)
            if keys.required():
                if scheme.lower() == "bearer":
                    key = keys.verify(given.strip())
                if key is None:
                    await _unauthenticated(bool(given)).response()(scope, receive, send)
                    return
            scope.setdefault("state", {})["key"] = key
        await self._app(scope, receive, send)


def _unauthenticated(given: bool) -> Problem:
    detail = "The key is not one of ours, or was revoked." if given else "Send the header Authorization: Bearer KEY."
    return Problem(Kind.UNAUTHENTICATED, detail, headers={"WWW-Authenticate": 'Bearer realm="cocok"'})
