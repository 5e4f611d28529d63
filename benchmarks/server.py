"""A server in a process of its own, as users start it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

PATIENCE = 900
"""Seconds that a server may take until it is ready."""


@dataclass(frozen=True)
class Server:
    """A server that is ready.

    Attributes:
        url: where it listens.
        process: which it is.
        seconds: from its start until it was ready.
    """

    url: str
    process: psutil.Process
    seconds: float

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has used, its children included."""
        times = [each.cpu_times() for each in (self.process, *self.process.children(recursive=True))]
        return sum(time.user + time.system for time in times)

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds, its children included."""
        return sum(each.memory_info().rss for each in (self.process, *self.process.children(recursive=True)))


@contextmanager
def started(
    command: Sequence[str], log: Path, *, url: str | None = None, ready: str, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Start a server, wait until it is ready, and end it.

    Args:
        command: what starts it.
        log: file for what it prints.
        url: where it will listen; None if it prints that itself.
        ready: path that answers 200 once it is ready.
        environment: variables beside those of this process.
    """
    begun = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | dict(environment), start_new_session=True
        )
    try:
        while True:
            if process.poll() is not None or time.perf_counter() - begun > PATIENCE:
                raise RuntimeError(f"the server did not become ready:\n{log.read_text()[-2_000:]}")
            url = url or _told(log)
            if url and _answers(url + ready):
                break
            time.sleep(0.05)
        yield Server(url, psutil.Process(process.pid), time.perf_counter() - begun)
    finally:
        _end(process)


@contextmanager
def cocok(home: Path, *, processes: int = 1, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Serve a market by the command ``cocok serve``, on any free port and at the time of the log's end.

    It takes no snapshots, since whatever else it does meanwhile would be measured too.
    """
    log = home / "server.log"
    command = [sys.executable, "-c", "from service.cli import main; main()", "serve", "--port", "0", "--clock", "log"]
    chosen = {"COCOK_HOME": str(home), "OMP_NUM_THREADS": "1", "COCOK_SNAPSHOT_MINUTES": "0", **(settings or {})}
    with started([*command, "--processes", str(processes)], log, ready="/readyz", environment=chosen) as server:
        while log.read_text().count("Ready:") < processes:
            time.sleep(0.05)
        yield server


def _told(log: Path) -> str | None:
    found = re.search(r"Listening on (http://\S+)", log.read_text())
    return found[1] if found else None


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        if child.is_running():
            child.kill()
