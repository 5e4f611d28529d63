"""Cocok's server beside two others in one run: a rival written in a week, and `mlflow models serve`.

    python -m benchmarks.rivals [--open-tasks 10000] [--requests 200] [--asking 1] [--cache DIR] [--json rivals.json]

All three rank 300 candidates by the same booster and answer over HTTP on this machine to 16 connections of the same
client, one server after the other within each of the runs, each a single process. The rival is `benchmarks.rival.app`,
which says what it does not do; it finds its candidates by Cocok's first stage, and as another server it computes all
columns of all tasks that a worker may take before it does so. `mlflow models serve` is sent 300 rows ready to be
scored, so it neither finds, filters nor describes tasks. Cocok does all it does for users, with reasons and near misses
and each feed durably logged, and once more without explanations.

A ratio is that of the CPU time of an answer, all processes of a server together: above 1, Cocok needs less.
"""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory

import lightgbm as lgb
import mlflow.lightgbm
import msgspec
import numpy as np

from benchmarks.load import closed_loop
from benchmarks.market import END, Size, bundle_of, copy_of, folded, home_of
from benchmarks.report import Figure, cache_of, parser, ratio, report
from benchmarks.rival.market import Market, exported
from benchmarks.server import Server, cocok, started
from features.build import rows
from features.money import Rates
from features.state import MarketState

CONNECTIONS = 16
CANDIDATES = 300
IN_FULL = "rival without a first stage"
LEAST = {"rival": 5.0, IN_FULL: 5.0, "mlflow": 3.0}
"""How many times less CPU than each Cocok's answers should need."""


def ready_rows(state: MarketState, worker: str) -> bytes:
    """Return the body for MLflow: rows of 300 tasks; it takes no NaN in JSON, so missing is 0."""
    tasks = state.open_tasks[:CANDIDATES]
    found = rows(state, state.catalogue.workers.get(worker), tasks, END, float("nan"))
    return msgspec.json.encode({"inputs": np.nan_to_num(found).tolist()})


def measured(cache: Path, size: Size, runs: int, requests: int, workers: int = 200) -> list[Figure]:
    """Return answers a second and CPU time of an answer of each server, and the ratios."""
    names = [f"w{number}" for number in range(min(workers, size.workers))]
    home, prices = home_of(cache, size), Rates.shipped()
    state, bundle = folded(home, prices), bundle_of(cache, size, prices)
    booster = bundle.ranker.booster
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        body, market = ready_rows(state, names[0]), exported(state, bundle, END)
        del state
        own = stack.enter_context(cocok(stack.enter_context(copy_of(home))))
        rival, in_full = (
            stack.enter_context(rival_of(market, booster, folder, in_full=full)) for full in (False, True)
        )
        del market
        ready = stack.enter_context(_mlflow(folder, booster))
        asked = [msgspec.json.encode({"worker_id": name, "limit": 20}) for name in names]
        plain = [msgspec.json.encode({"worker_id": name, "limit": 20, "explain": False}) for name in names]
        servers: dict[str, Callable[[], tuple[float, float]]] = {
            "Cocok": partial(_asked, own, asked, requests, "/v1/feeds"),
            "Cocok without explanations": partial(_asked, own, plain, requests, "/v1/feeds"),
            "rival": partial(_asked, rival, asked, requests, "/v1/feeds"),
            IN_FULL: partial(_asked, in_full, asked, requests, "/v1/feeds"),
            "mlflow": partial(_asked, ready, [body], requests, "/invocations"),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
        for run in range(runs + 1):
            for name, ask in servers.items():
                answered = ask()
                if run:  # the first one warms up
                    found[name].append(answered)
    speeds = [
        Figure(f"{name}, {CONNECTIONS} connections", "answers/s", [speed for speed, _ in found[name]]) for name in found
    ]
    costs = {name: Figure(f"{name}: CPU of an answer", "ms", [cost for _, cost in found[name]]) for name in found}
    ratios = [
        ratio(f"{name} against {ours}", costs[name], costs[ours], least=least)
        for name, least in LEAST.items()
        for ours in ("Cocok", "Cocok without explanations")
    ]
    return [*speeds, *costs.values(), *ratios]


def _asked(server: Server, bodies: list[bytes], requests: int, path: str) -> tuple[float, float]:
    begun = server.cpu
    load = closed_loop(server.url, list(islice(cycle(bodies), requests)), connections=CONNECTIONS, path=path)
    if load.failed:
        raise RuntimeError(f"{load.failed} of {load.requests} requests to {path} failed")
    return load.throughput, 1e3 * (server.cpu - begun) / load.requests


def rival_of(
    market: Market, booster: lgb.Booster, folder: Path, *, in_full: bool = False
) -> AbstractContextManager[Server]:
    """Start the rival over a market, by files in a folder; ``in_full`` as in `benchmarks.rival.ranking`."""
    port = _free_port()
    np.savez(folder / "market.npz", allow_pickle=False, **market)
    booster.save_model(folder / "ranker.txt")
    return started(
        [sys.executable, "-m", "uvicorn", "benchmarks.rival.app:app", "--port", str(port), "--log-level", "warning"],
        folder / f"rival-{port}.log",
        url=f"http://127.0.0.1:{port}",
        ready="/ready",
        environment={
            "MARKET": str(folder / "market.npz"),
            "BOOSTER": str(folder / "ranker.txt"),
            "IN_FULL": "1" if in_full else "",
            "OMP_NUM_THREADS": "1",
        },
    )


def _mlflow(folder: Path, booster: lgb.Booster) -> AbstractContextManager[Server]:
    port = _free_port()
    mlflow.lightgbm.save_model(booster, str(folder / "model"), pip_requirements=["lightgbm"])
    arguments = ["models", "serve", "-m", str(folder / "model"), "--env-manager", "local", "-p", str(port)]
    return started(
        [sys.executable, "-m", "mlflow", *arguments],
        folder / "mlflow.log",
        url=f"http://127.0.0.1:{port}",
        ready="/ping",
        environment={"OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )


def _free_port() -> int:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--open-tasks", type=int, default=10_000)
    options.add_argument("--workers", type=int, default=20_000)
    options.add_argument("--requests", type=int, default=200, help="of each server in a run")
    options.add_argument("--asking", type=float, default=1.0, help="share of the batches that require anything at all")
    given = options.parse_args()
    with cache_of(given) as cache:
        size = Size(open_tasks=given.open_tasks, workers=given.workers, asking=given.asking)
        figures = measured(cache, size, given.runs, given.requests)
    report(f"Beside other servers, {given.open_tasks:,} open tasks", figures, given.json)


if __name__ == "__main__":
    main()
