"""Feeds over HTTP by the real server: throughput by wrk, latency at a fixed rate, memory and start-up on the way.

    python -m benchmarks.serving [--open-tasks 10000 100000] [--workers 100000] [--processes 1 2] [--cache DIR]

`cocok serve` runs in a process of its own, on this machine, over a copy of the shared market (`benchmarks.market`): a
trained and promoted model, 20 tasks a feed with reasons, each feed durably logged before the answer. Every request is
for a worker picked by chance. Throughput is that of 16 connections of wrk, which shares the machine with the server;
without wrk it is left out. Latency is that of requests that come at a fixed rate whatever became of the earlier ones,
counted from when they were due; beside it stands the latency of `/healthz` at the same rate, which is that of the
client and the HTTP stack alone. Where other programs share the machine, the CPU time of a feed says more than these: it
is that of the whole server process, HTTP, ranking and writing together.
"""

import sys
from pathlib import Path
from random import Random

from benchmarks.load import FEED, NO_WRK, has_wrk, open_loop, wrk
from benchmarks.market import Size, copy_of, home_of
from benchmarks.report import Figure, cache_of, parser, report
from benchmarks.server import cocok

RATE = 100.0
"""Feeds a second at which latency is measured."""

TARGETS = {100_000: (400.0, 5.0, 15.0), 1_000_000: (None, 25.0, None)}
"""Open tasks -> least feeds a second, most milliseconds in the median and at the 99th percentile."""


def measured(
    cache: Path, size: Size, runs: int, seconds: float, rate: float = RATE, processes: int = 1
) -> list[Figure]:
    """Return what a market of a size is served with."""
    throughput, p50, p99 = TARGETS.get(size.open_tasks, (None, None, None))
    if rate < RATE:
        p50 = p99 = None  # the targets are for that rate
    named = f"{size.open_tasks:,} open, {processes} process{'es' * (processes > 1)}"
    random = Random(0)

    def body(_: int) -> str:
        return FEED % random.randrange(size.workers)

    figures = []
    with copy_of(home_of(cache, size)) as home, cocok(home, processes=processes) as server:
        open_loop(server.url, body, rate, seconds)  # warms up
        floors = [open_loop(server.url, lambda _: "", rate, seconds, path="/healthz", method="GET").p50]
        loads = [open_loop(server.url, body, rate, seconds) for _ in range(runs)]
        if has_wrk():
            fast, costs = [], []
            for seed in range(runs):
                begun = server.cpu
                fast.append(wrk(server.url, size.workers, seconds, seed=seed))
                costs.append(1e3 * (server.cpu - begun) / fast[-1].requests)
            figures += [
                Figure(f"{named}: 16 connections", "feeds/s", [load.throughput for load in fast], least=throughput),
                Figure(f"{named}: 16 connections, p50", "ms", [load.p50 for load in fast]),
                Figure(f"{named}: 16 connections, p99", "ms", [load.p99 for load in fast]),
                Figure(f"{named}: 16 connections, CPU of the server a feed", "ms", costs),
            ]
            loads += [load for load in fast if load.failed]
        figures += [
            Figure(f"{named}: {rate:.0f} feeds/s, p50", "ms", [load.p50 for load in loads[:runs]], most=p50),
            Figure(f"{named}: {rate:.0f} feeds/s, p99", "ms", [load.p99 for load in loads[:runs]], most=p99),
            Figure(f"{named}: {rate:.0f} of /healthz a second, p50", "ms", floors),
            Figure(f"{named}: start-up from the log", "s", [server.seconds]),
            Figure(f"{named}: resident", "MiB", [server.resident / 2**20]),
        ]
        if failed := sum(load.failed for load in loads):
            figures.append(Figure(f"{named}: requests that failed", "", [failed], most=0.0))
    return figures


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--open-tasks", type=int, nargs="+", default=[10_000, 100_000], metavar="N")
    options.add_argument("--workers", type=int, default=100_000)
    options.add_argument("--asking", type=float, default=1.0, help="share of the batches that require anything at all")
    options.add_argument("--seconds", type=float, default=5.0, help="of each run")
    options.add_argument("--rate", type=float, default=RATE, help="feeds a second at which latency is measured")
    options.add_argument("--processes", type=int, nargs="+", default=[1, 2], metavar="N", help="of the server")
    given = options.parse_args()
    if not has_wrk():
        sys.stdout.write(NO_WRK + "\n")
    figures = []
    with cache_of(given) as cache:
        for count in given.open_tasks:
            size = Size(open_tasks=count, workers=given.workers, asking=given.asking)
            for processes in given.processes:
                figures += measured(cache, size, given.runs, given.seconds, given.rate, processes)
    report("Serving over HTTP", figures, given.json)


if __name__ == "__main__":
    main()
