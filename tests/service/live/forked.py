"""Servers that start in a moment: forked from a process that has loaded and compiled everything already.

Each is the application in a process of its own, as `cocok serve` runs it, but without a registry of models, which takes
seconds to open, and with one call more, `/digest`.
"""

import multiprocessing
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from service import runtime
from service.app import create_app
from service.settings import Settings
from tests.digest import digest
from tests.service.api.server import Registry
from tests.service.live.server import START_SECONDS, ready, until

PRELOADED = "tests.service.live.preloaded"


class Forked(httpx.Client):
    """A client of one forked server."""

    process: BaseProcess

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.process.kill()
        self.process.join()


@contextmanager
def forked(home: Path) -> Iterator[Forked]:
    """A server on a free loopback port, ready; it ends with the block at the latest."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(home, sender), daemon=True)
    process.start()
    sender.close()
    try:
        assert receiver.poll(START_SECONDS), "the server did not start"
        with Forked(base_url=f"http://127.0.0.1:{receiver.recv()}", timeout=30) as client:
            client.process = process
            until(lambda: ready(client) or not process.is_alive())
            assert process.is_alive(), "the server ended"
            yield client
    finally:
        receiver.close()
        process.kill()
        process.join()


def _serve(home: Path, port: Connection) -> None:
    runtime._source = lambda settings: Registry()
    app = create_app(Settings(home=home))

    async def told() -> dict[str, Any]:
        engine = app.state.runtime.engine
        seq, found = engine.read(lambda state: (state.seq, digest(state)))
        return {"seq": seq, "digest": found}

    app.add_api_route("/digest", told)
    listening = socket.create_server(("127.0.0.1", 0))
    port.send(listening.getsockname()[1])
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listening])
