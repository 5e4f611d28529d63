"""How long a server takes until it is ready, from the log and from a snapshot, and how much memory it then holds.

    python -m benchmarks.startup [--open-tasks 100000] [--workers 100000] [--assignments 0.5] [--cache DIR]

A server starts over the shared market and folds its whole log; `cocok snapshot` does the same and writes the state to a
file; and a server starts from that. Memory is measured when it is ready and again after feeds for random workers.
What is promised is promised with a million workers: `--workers 1000000`, where each fold of the log takes minutes.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import msgspec
import psutil

from benchmarks.load import FEED, closed_loop
from benchmarks.market import Size, copy_of, home_of
from benchmarks.report import Figure, cache_of, parser, report
from benchmarks.server import cocok
from service.store import opened

FEEDS = 100
PROMISED_WORKERS = 1_000_000
"""Workers of the market whose start from a snapshot is promised to take so long and so much memory at the most."""

COMMAND = (sys.executable, "-c", "from service.cli import main; main()", "snapshot", "--json")


def started(home: Path, size: Size, runs: int, begun: str) -> list[Figure]:
    """Start a server over a market, and return what it took."""
    seconds, costs, ready, used = [], [], [], []
    for run in range(runs):
        with cocok(home) as server:
            seconds.append(server.seconds)
            costs.append(server.cpu)
            ready.append(server.resident / 2**30)
            random = Random(run)
            bodies = [(FEED % random.randrange(size.workers)).encode() for _ in range(FEEDS)]
            closed_loop(server.url, bodies, connections=4, path="/v1/feeds")
            used.append(server.resident / 2**30)
    promised = (10.0, 3.0) if begun == "a snapshot" and size.workers >= PROMISED_WORKERS else (None, None)
    return [
        Figure(f"from {begun}: ready after", "s", seconds, most=promised[0]),
        Figure(f"from {begun}: CPU until ready", "s", costs),
        Figure(f"from {begun}: resident when ready", "GiB", ready, most=promised[1]),
        Figure(f"from {begun}: resident after {FEEDS} feeds", "GiB", used, most=promised[1]),
    ]


def taken(home: Path) -> list[Figure]:
    """Take a snapshot of a market by the command, and return what it took."""
    begun, peak = time.perf_counter(), 0
    process = psutil.Popen(COMMAND, env=os.environ | {"COCOK_HOME": str(home)}, stdout=subprocess.PIPE)
    while process.poll() is None:
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.05)
    seconds = time.perf_counter() - begun
    told = msgspec.json.decode(process.stdout.read())
    return [
        Figure("cocok snapshot of the whole log", "s", [seconds]),
        Figure("its most memory", "GiB", [peak / 2**30]),
        Figure("its file", "GB", [told["size"] / 1e9]),
    ]


def measured(cache: Path, size: Size, runs: int) -> list[Figure]:
    """Return start-up time and memory of a market of a size."""
    with copy_of(home_of(cache, size)) as home:
        shutil.rmtree(home / "snapshots", ignore_errors=True)
        with opened(f"sqlite:///{home}/cocok.db") as store:
            events = store.last_seq()
        named = f"{size.open_tasks:,} open tasks, {size.workers:,} workers"
        return [
            Figure(f"{named}: events in the log", "", [events]),
            *started(home, size, runs, "the log"),
            *taken(home),
            *started(home, size, runs, "a snapshot"),
        ]


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--open-tasks", type=int, default=100_000)
    options.add_argument("--workers", type=int, default=100_000)
    options.add_argument("--assignments", type=float, default=0.5, help="mean of a worker, a worker has at least one")
    given = options.parse_args()
    size = Size(open_tasks=given.open_tasks, workers=given.workers, assignments=given.assignments)
    with cache_of(given) as cache:
        figures = measured(cache, size, given.runs)
    report("Start-up and memory", figures, given.json)


if __name__ == "__main__":
    main()
