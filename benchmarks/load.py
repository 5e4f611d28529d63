"""Load on a server: as fast as so many connections go, and at a rate that does not wait for the answers."""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

SCRIPT = Path(__file__).with_name("wrk.lua")
NO_WRK = "wrk is not installed (Debian: apt-get install wrk), so throughput is not measured"
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
    everything that waits behind the stall (no coordinated omission).
    """
    return asyncio.run(_open_loop(url, body, rate, seconds, path, method))


async def _open_loop(url: str, body: Callable[[int], str], rate: float, seconds: float, path: str, method: str) -> Load:
    client = _Client(url)
    begun = time.perf_counter()
    latencies: list[float] = []
    failed = 0

    async def ask(number: int, due: float) -> None:
        nonlocal failed
        status = await client.send(method, path, body(number).encode())
        latencies.append(1e3 * (time.perf_counter() - due))
        failed += status != 200

    async with asyncio.TaskGroup() as tasks:
        for number in range(max(1, round(rate * seconds))):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(ask(number, due))
    throughput = len(latencies) / (time.perf_counter() - begun)
    client.close()
    return Load(len(latencies), throughput, *np.percentile(latencies, [50, 99]).tolist(), failed)


def closed_loop(url: str, bodies: Sequence[bytes], *, connections: int, path: str) -> Load:
    """Post bodies over so many connections, each as soon as the last one is answered."""
    return asyncio.run(_closed_loop(url, bodies, connections, path))


async def _closed_loop(url: str, bodies: Sequence[bytes], connections: int, path: str) -> Load:
    client, waiting = _Client(url), iter(bodies)
    latencies: list[float] = []
    failed = 0

    async def work() -> None:
        nonlocal failed
        for body in waiting:
            begun = time.perf_counter()
            status = await client.send("POST", path, body)
            latencies.append(1e3 * (time.perf_counter() - begun))
            failed += status != 200

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(work())
    throughput = len(latencies) / (time.perf_counter() - begun)
    client.close()
    return Load(len(latencies), throughput, *np.percentile(latencies, [50, 99]).tolist(), failed)


class _Client:
    """As little as a client can do, since it shares the machine with the server: kept connections, whole answers."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, method: str, path: str, body: bytes) -> int:
        """Send a request, read the answer, and return its status."""
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        reader, writer = connection
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        _, _, length = answer.lower().partition(b"content-length:")
        await reader.readexactly(int(length.split(b"\r\n", 1)[0]))
        self._idle.append(connection)
        return int(answer.split(b" ", 2)[1])

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()
