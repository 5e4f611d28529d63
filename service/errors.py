"""What goes wrong, as a client sees it: RFC 9457 problem details, each kind with its status and a stable type."""

import logging
import re
import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from features.errors import CocokError, EventError
from service.store import ConflictError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 50
"""Field errors that one answer lists at the most."""

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


class Kind(Enum):
    """The kinds of problems: status and title. The name, in lower case and with hyphens, ends the type."""

    MALFORMED = 400, "The body is not the JSON it should be"
    UNAUTHENTICATED = 401, "A valid API key is needed"
    FORBIDDEN = 403, "The API key does not allow this"
    NOT_FOUND = 404, "There is no such thing here"
    METHOD_NOT_ALLOWED = 405, "The method is not allowed here"
    CONFLICT = 409, "An event_id is taken by other content"
    NOT_OPEN = 409, "The task takes no work now"
    TOO_LARGE = 413, "The body is too large"
    UNSUPPORTED_MEDIA_TYPE = 415, "The content type is not supported"
    VALIDATION = 422, "The request is not valid"
    INTERNAL = 500, "Something went wrong on the server"
    NOT_READY = 503, "The server is not ready"
    BEHIND = 503, "The server has not seen that much of the log yet"
    STORE_UNAVAILABLE = 503, "The log cannot be used at the moment"

    def __init__(self, status: int, title: str) -> None:
        # Members with equal values would be aliases of each other; titles keep them apart.
        self.status = status
        self.title = title

    @property
    def type(self) -> str:
        """The URI that names the kind, for programs."""
        return f"urn:cocok:problem:{self.name.lower().replace('_', '-')}"


@dataclass(frozen=True)
class FieldError:
    """What is wrong with a part of the request.

    Attributes:
        detail: the reason, for people.
        pointer: JSON pointer into the body, where the part is in it.
        parameter: name of the path parameter, query parameter or header, where it is not.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None

    def wire(self) -> dict[str, str]:
        """Return it as JSON has it."""
        fields = {"pointer": self.pointer, "parameter": self.parameter, "detail": self.detail}
        return {name: value for name, value in fields.items() if value is not None}


class Problem(HTTPException):
    """A problem that an endpoint answers with.

    Args:
        kind: what kind of problem.
        detail: this occurrence, for people: what is wrong and what to do.
        errors: the parts of the request at fault.
        headers: of the response.
        extra: further members of the document.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(kind.status, detail, dict(headers or {}))
        self.kind = kind
        self.errors = list(errors)
        self.extra = dict(extra or {})

    def response(self) -> Response:
        """Return the problem document."""
        document: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": uuid.uuid4().urn,
            **self.extra,
        }
        if self.errors:
            document["errors"] = [error.wire() for error in self.errors[:MOST_ERRORS]]
        return Response(msgspec.json.encode(document), self.kind.status, self.headers, MEDIA_TYPE)


def invalid(detail: str, pointer: str | None = None, *, parameter: str | None = None) -> Problem:
    """Return the problem of a request with one part at fault."""
    return Problem(Kind.VALIDATION, detail, [FieldError(detail, pointer, parameter)])


def not_found(what: str, identity: str) -> Problem:
    """Return the problem of an id that nothing is known of."""
    return Problem(Kind.NOT_FOUND, f"Nothing is known of the {what} {identity[:64]!r}.")


def of_event(error: EventError, prefix: str = "") -> Problem:
    """Return the problem of an event that was refused, with the pointer to its field.

    Args:
        error: why it was refused.
        prefix: pointer to the event in the body.
    """
    if error.index is not None:
        prefix = f"{prefix}/{error.index}"
    cause = error.__cause__.__cause__ if isinstance(error.__cause__, EventError) else error.__cause__
    if cause is not None and not isinstance(cause, msgspec.ValidationError):
        return Problem(Kind.MALFORMED, str(error), [FieldError(error.reason, prefix)])
    steps = "".join(f"/{_escaped(name or index)}" for name, index in _STEP.findall(error.path.removeprefix("$")))
    return Problem(Kind.VALIDATION, str(error), [FieldError(error.reason, prefix + steps)])


def unexpected(error: Exception) -> Problem:
    """Log a bug, without the values that its message may hold, and return a problem that shows nothing of it."""
    problem = Problem(Kind.INTERNAL, "The server failed; what happened is in its log under this instance.")
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    log.error("unexpected %s", type(error).__name__, extra={"where": where})
    return problem


def problem_of(error: Exception) -> Problem:
    """Return what a client is told of an exception that no endpoint meant to answer with."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, CocokError):
        # What an operator can mend, a client cannot: the message may name files and hosts.
        log.error("a request failed: %s", error)
        detail = "The log cannot be used at the moment; try again."
        return Problem(Kind.STORE_UNAVAILABLE, detail, headers={"Retry-After": "1"})
    if isinstance(error, ClientDisconnect):
        # Nobody reads it, but it is counted.
        return Problem(Kind.MALFORMED, "The client went away before the body had come.")
    return unexpected(error)


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Let every error that leaves an endpoint become a problem document.

    Args:
        app: whose errors.
        routes: all calls, of which those of a path tell which methods it has; the router names the first alone.
    """

    async def http(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405 and not isinstance(error, Problem):
            called = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
            allowed = ", ".join(sorted({method for route in called for method in getattr(route, "methods", ())}))
            error = Problem(Kind.METHOD_NOT_ALLOWED, f"Allowed here: {allowed}.", headers={"Allow": allowed})
        return await _http(request, error)

    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(ConflictError, _conflict)
    app.add_exception_handler(CocokError, _cocok)


async def _http(_: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return error.response()
    status = error.status_code if isinstance(error, HTTPException) else 500
    match status:
        case 404:
            return Problem(Kind.NOT_FOUND, "No call has this path; /docs lists them.").response()
        case 400:
            return Problem(Kind.MALFORMED, "The body could not be read.").response()
        case _:
            return unexpected(error).response()


async def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # the handler of this class
    found = [_field(each) for each in error.errors()]
    first = found[0]
    return Problem(Kind.VALIDATION, f"{first.pointer or first.parameter or 'body'}: {first.detail}", found).response()


def _field(error: Mapping[str, Any]) -> FieldError:
    place, *rest = error["loc"]
    detail = str(error["msg"]).removeprefix("Value error, ")
    if place == "body":
        return FieldError(detail, pointer="".join(f"/{_escaped(str(step))}" for step in rest))
    return FieldError(detail, parameter=str(rest[0]) if rest else str(place))


async def _conflict(_: Request, error: Exception) -> Response:
    assert isinstance(error, ConflictError)  # noqa: S101  # the handler of this class
    errors = [FieldError("taken by other content", f"/{place}/event_id") for place in error.positions]
    return Problem(Kind.CONFLICT, str(error), errors, extra={"event_ids": error.event_ids}).response()


async def _cocok(_: Request, error: Exception) -> Response:
    return problem_of(error).response()


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
