"""The command `serve`: the HTTP API in this process, or in several of its own."""

import gc
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from features.errors import CocokError
from service.cli.models import FALLBACK
from service.plural import counted
from service.settings import load_settings
from service.shared_metrics import reserve, shared_folder

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.runtime import Runtime
    from service.settings import Settings

log = logging.getLogger(__name__)

CLOCKS = Literal["wall", "log"]
BACKLOG = 2048
"""Connections that wait to be taken; as many as uvicorn would allow."""

PATIENCE_SECONDS = 30
"""How long a process may be too busy to say that it lives before another one takes its place."""

_LOOK_SECONDS = 0.05

COLLECT_AFTER = (10_000, 20, 50)
"""What Python's garbage collector waits for: a feed makes some hundreds of objects and no cycles."""

GRACE_SECONDS = 10
"""How long a request under way may take once the server is asked to end."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("serve")(serve)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; by default that of the settings.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on, 0 for any that is free.", min=0, max=65535)
    ] = None,
    clock: Annotated[
        CLOCKS, typer.Option(help="log: now is the time of the log's last event, to replay history.")
    ] = "wall",
    processes: Annotated[
        int | None,
        typer.Option(help="Processes that answer, each with its own state; by default that of the settings.", min=1),
    ] = None,
) -> None:
    """Serve the API until Ctrl-C. Without an API key it listens on this machine alone.

    Example: cocok serve --port 8080 --processes 2
    """
    from service.security import KeyStore
    from service.store import open_store

    settings = load_settings(**({} if processes is None else {"processes": processes}))
    host, port = host or settings.host, settings.port if port is None else port
    # Opened once here, so that what is wrong with the database is one line and not a server that does not start.
    open_store(settings.store_url).close()
    keys = KeyStore(settings.store_url)
    protected = keys.required()
    keys.close()
    bound = _bind(host, port, protected)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{bound.getsockname()[1]}"
    make = partial(_application, settings, log_clock=clock == "log")
    if settings.processes > 1 and sys.platform == "linux":
        Thread(target=_tell_once_open, args=(bound.getsockname(), address, protected), daemon=True).start()
        started = _run_several(make, _Port(bound), settings.processes)
    else:
        # Told before the server takes over: whoever connects in between waits instead of failing.
        bound.listen(BACKLOG)
        _tell_address(address, protected)
        started = _run(make, bound) if settings.processes == 1 else _run_several(make, bound, settings.processes)
    if not started:
        raise CocokError("the server could not start; the lines above say why")
    _say("Stopped; everything that was accepted is in the log.")


def _application(settings: "Settings", *, log_clock: bool) -> "FastAPI":
    """Return the application of this process, which logs, and says when it is ready."""
    unshared = reserve()
    # The libraries of the server take a second to load; other commands do not wait for them.
    from service.app import create_app
    from service.telemetry import log_as_json

    log_as_json()
    if unshared:
        log.warning("metrics tell of one process, not of all: no files can be kept in %s", unshared)
    if (parent := parent_process()) is not None:
        Thread(target=_end_with, args=(parent,), daemon=True).start()
    app = create_app(settings, log_clock=log_clock)
    Thread(target=_announce, args=(app.state.runtime,), daemon=True).start()
    return app


def _config(make: "partial[FastAPI]", **options: Any) -> Any:
    import uvicorn

    return uvicorn.Config(
        make,
        factory=True,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        **options,
    )


def _run(make: "partial[FastAPI]", listening: socket.socket) -> bool:
    """Serve in this process; tell whether it came to that."""
    import uvicorn

    server = uvicorn.Server(_config(make))
    # Once it has stopped, uvicorn raises the signal again that it was stopped by, which must not end this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    return server.started


def _run_several(make: "partial[FastAPI]", listening: "socket.socket | _Port", processes: int) -> bool:
    """Serve in processes of their own, of which one that dies is replaced; tell whether it came to that."""
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    config = _config(make, workers=processes, timeout_worker_healthcheck=PATIENCE_SECONDS)
    with shared_folder():
        supervisor = Multiprocess(config, sockets=[cast("socket.socket", listening)])
        supervisor.run()
    return all(process.exitcode != STARTUP_FAILURE for process in supervisor.processes)


class _Port:
    """Stands for a bound socket: each process that it is sent to gets one of its own at the same port.

    So Linux spreads connections over the processes. From one that all listen on, one may take all that come at once.
    """

    def __init__(self, bound: socket.socket) -> None:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._bound = bound

    def __reduce__(self) -> tuple[Any, ...]:
        """Send where it is bound."""
        return _beside, (self._bound.family, self._bound.proto, self._bound.getsockname())


def _beside(family: int, protocol: int, place: Any) -> socket.socket:
    listening = _socket(family, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(place)
    return listening


def _bind(host: str, port: int, protected: bool) -> socket.socket:
    try:
        family, _, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CocokError(f"--host {host} is no address of this machine: {error.strerror}") from error
    if not protected and not ip_address(place[0]).is_loopback:
        raise CocokError(
            f"without an API key the server listens on 127.0.0.1 only, not on {host}:"
            " run cocok keys create --name NAME --scope read --scope write first"
        )
    bound = _socket(family, protocol)
    try:
        bound.bind(place)
    except OSError as error:
        bound.close()
        raise CocokError(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port") from error
    return bound


def _socket(family: int, protocol: int) -> socket.socket:
    # With its protocol named: only then asyncio turns Nagle's algorithm off, which would hold each answer's body back
    # until the client acknowledges its head, some 40 ms later.
    made = socket.socket(family, socket.SOCK_STREAM, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _tell_address(address: str, protected: bool) -> None:
    _say(f"Listening on {address}  (documentation: {address}/docs); Ctrl-C ends it.")
    if not protected:
        _say("No API key is configured: only this machine can connect, and everything is allowed to it.")


def _tell_once_open(place: tuple[Any, ...], address: str, protected: bool) -> None:
    """Tell the address as soon as the first of the processes listens there."""
    while True:
        with suppress(OSError), socket.create_connection(place[:2], timeout=1):
            break
        time.sleep(_LOOK_SECONDS)
    _tell_address(address, protected)


def _end_with(parent: BaseProcess) -> None:
    """End this process when its parent is gone, however it went: nobody else would end it."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _announce(runtime: "Runtime") -> None:
    runtime.settled.wait()
    if runtime.ready.is_set():
        # What is there now stays, and to look through it again would hold every request up.
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        model = runtime.models.current.version
        _say(f"Ready: {counted(runtime.engine.seq, 'event is', 'events are')} known, {_named(model)} ranks.")
    elif runtime.failure:
        _say(f"Not ready, and will not be: {runtime.failure}")


def _named(version: str) -> str:
    return "the fallback (pay and skill; no model is promoted)" if version == FALLBACK else f"model {version}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
