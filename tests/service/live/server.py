"""The real server as a process of its own, logs that end now, and promoted models."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx

from features.events import Event, decode_event
from matching.bundle import Bundle
from service.store import SqliteStore
from tests.market import Record, written
from tests.mlflow_store import put_tables
from training.registry import Registry

Answer = TypeVar("Answer")

START_SECONDS = 120
"""How long a server may take to start on a machine that has to compile the kernels first."""

COMMAND = (sys.executable, "-c", "from service.cli import main; main()", "serve", "--port", "0")


class Served(httpx.Client):
    """A client of one server process."""

    process: "subprocess.Popen[bytes]"
    home: Path

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serving_process(home: Path, *options: str, under: Sequence[str] = ()) -> Iterator[Served]:
    """`cocok serve` on a free loopback port, ready; it ends with the block.

    Args:
        home: its `COCOK_HOME`.
        options: further ones of the command.
        under: a command that starts the server, such as a tracer.
    """
    home.mkdir(parents=True, exist_ok=True)
    foreign = ("COCOK_", "MLFLOW_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    put_tables(f"sqlite:///{home / 'mlflow' / 'mlflow.db'}")
    output = home / "serve.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*under, *COMMAND, *options],
            env={**environment, "COCOK_HOME": str(home), "OMP_NUM_THREADS": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        address = until(lambda: _address(output), process)
        with Served(base_url=address, timeout=30) as client:
            client.process, client.home = process, home
            until(lambda: ready(client), process)
            yield client
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ready(client: httpx.Client) -> bool:
    """Tell whether a server that has just been started answers, and is ready."""
    try:
        return client.get("/readyz").status_code == 200
    except httpx.ConnectError:
        # Its port is told before it listens there.
        return False


def _address(output: Path) -> str:
    first = output.read_text().partition("Listening on ")[2]
    return first.split()[0] if first else ""


def until(
    ask: Callable[[], Answer], process: "subprocess.Popen[bytes] | None" = None, seconds: float = START_SECONDS
) -> Answer:
    """Ask until the answer is a yes, and return it."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert process is None or process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)
    return answer


def ending_now(events: Sequence[Record]) -> list[Event]:
    """Return a log moved in time, so that its last event lies a minute back and its tasks are still open."""
    shift = datetime.now(UTC) - timedelta(minutes=1) - datetime.fromisoformat(events[-1]["at"])
    moved = []
    for event in events:
        times = {
            name: written(datetime.fromisoformat(event[name]) + shift) for name in ("at", "expires_at") if name in event
        }
        moved.append(decode_event(json.dumps({**event, **times}).encode()))
    return moved


def fill(home: Path, events: Sequence[Event]) -> None:
    """Put events into the log of a home."""
    store = SqliteStore(home / "cocok.db")
    store.append(events)
    store.close()


def registered(home: Path, model: Bundle) -> int:
    """Register a model in a home, and return its number."""
    registry = Registry.at(home)
    folder = home / "saved" / str(len(registry.versions()))
    model.save(folder)
    return registry.register(registry.log_run({}, {}, folder))


def promoted(home: Path, model: Bundle) -> int:
    """Register a model in a home and let it serve."""
    version = registered(home, model)
    Registry.at(home).promote(version)
    return version


def now(late: timedelta = timedelta()) -> str:
    """Return the instant of an event that happens now, or happened earlier and is told now."""
    return written(datetime.now(UTC) - late)


def posted(client: httpx.Client, path: str, body: Any) -> Any:
    """Post JSON and return the answer of a call that must succeed."""
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()
