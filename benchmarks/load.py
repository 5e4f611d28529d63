"""Load on a server: as fast as so many connections go, and at a rate that does not wait for the answers."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, LifoQueue
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection, socket
from threading import Lock
from urllib.parse import urlsplit

import numpy as np

SCRIPT = Path(__file__).with_name("wrk.lua")
NO_WRK = "wrk is not installed (Debian: apt-get install wrk), so throughput is not measured"
WAITING = 64
"""Requests that may wait for their answers at once; more wait to be sent, which their latency tells."""

KEPT_SECONDS = 3.0
"""After which an idle connection is not used again: servers close them after five seconds."""

FEED = '{"worker_id": "w%d", "limit": 20}'


@dataclass(frozen=True)
class Load:
    """What became of some requests; latencies in milliseconds, throughput in requests a second."""

    requests: int
    throughput: float
    p50: float
    p99: float
    failed: int


def has_wrk() -> bool:
    """Tell whether wrk is there."""
    return shutil.which("wrk") is not None


def wrk(url: str, workers: int, seconds: float, *, path: str = "/v1/feeds", body: str = FEED, seed: int = 0) -> Load:
    """Ask for feeds of random workers over 16 connections, each as soon as the last one is answered."""
    variables = {"WORKERS": str(workers), "SEED": str(seed), "BODY": body, "PATHNAME": path}
    command = ["wrk", "-t1", "-c16", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", str(SCRIPT), url]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Load(found["requests"], found["requests"] / found["seconds"], found["p50"], found["p99"], found["failed"])


def open_loop(
    url: str, body: Callable[[int], str], rate: float, seconds: float, *, path: str = "/v1/feeds", method: str = "POST"
) -> Load:
    """Send requests at a fixed rate, whatever becomes of the earlier ones.

    A latency counts from the instant at which the request was due, so that a server that stalls is charged with
    everything that waits behind the stall (no coordinated omission). Each request is sent by a thread that sleeps until
    it is due: asyncio sleeps in whole milliseconds, and the server would be charged with what it oversleeps.
    """
    count = max(1, round(rate * seconds))
    begun = time.perf_counter()

    def due() -> Iterator[tuple[float | None, bytes]]:
        for number in range(count):
            yield begun + number / rate, body(number).encode()

    return _load(url, method, path, due(), threads=WAITING)


def closed_loop(url: str, bodies: Sequence[bytes], *, connections: int, path: str) -> Load:
    """Post bodies over so many connections, each as soon as the last one is answered."""
    return _load(url, "POST", path, ((None, body) for body in bodies), threads=connections)


def _load(url: str, method: str, path: str, requests: Iterator[tuple[float | None, bytes]], *, threads: int) -> Load:
    """Send requests, each given with the instant at which it is due, or None for as soon as a thread is free."""
    client, turn = _Client(url), Lock()
    latencies: list[float] = []
    statuses: list[int] = []
    begun = time.perf_counter()

    def work() -> None:
        while True:
            with turn:
                request = next(requests, None)
            if request is None:
                return
            due, body = request
            since = time.perf_counter() if due is None else due
            time.sleep(max(0.0, since - time.perf_counter()))
            statuses.append(client.send(method, path, body))
            latencies.append(1e3 * (time.perf_counter() - since))

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work) for _ in range(threads)]:
            done.result()
    throughput = len(latencies) / (time.perf_counter() - begun)
    client.close()
    failed = sum(status != 200 for status in statuses)
    return Load(len(latencies), throughput, *np.percentile(latencies, [50, 99]).tolist(), failed)


class _Client:
    """As little as a client can do, since it shares the machine with the server: kept connections, whole answers."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._idle: LifoQueue[tuple[socket, float]] = LifoQueue()

    def send(self, method: str, path: str, body: bytes) -> int:
        """Send a request, read the answer, and return its status."""
        connection = self._connection()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        answer, missing = bytearray(), 1
        while missing > 0:
            if not (read := connection.recv(1 << 16)):
                raise ConnectionError("the server closed the connection before its answer was whole")
            answer += read
            start, blank, content = answer.partition(b"\r\n\r\n")
            length = start.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
            missing = int(length) - len(content) if blank else 1
        self._idle.put((connection, time.monotonic()))
        return int(answer.split(b" ", 2)[1])

    def close(self) -> None:
        """Close the connections."""
        while not self._idle.empty():
            self._idle.get_nowait()[0].close()

    def _connection(self) -> socket:
        """Return one that is idle, but for those that the server may be closing, or else a new one."""
        with suppress(Empty):
            while True:
                connection, since = self._idle.get_nowait()
                if time.monotonic() - since < KEPT_SECONDS:
                    return connection
                connection.close()
        connection = create_connection((self._address.hostname, self._address.port))
        connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        return connection
