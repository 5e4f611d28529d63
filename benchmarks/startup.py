"""How long a server takes until it is ready, and how much memory it then holds.

    python -m benchmarks.startup [--open-tasks 100000] [--workers 1000000] [--assignments 0.5] [--cache DIR]

A server starts over the shared market, folding its whole log: the code has no snapshots yet, so every start is one from
the log. Memory is measured when it is ready and again after feeds for random workers.
"""

from pathlib import Path
from random import Random

from benchmarks.load import FEED, closed_loop
from benchmarks.market import Size, copy_of, home_of
from benchmarks.report import Figure, cache_of, parser, report
from benchmarks.server import cocok
from service.store import opened

FEEDS = 100


def measured(cache: Path, size: Size, runs: int) -> list[Figure]:
    """Return start-up time and memory of a market of a size."""
    seconds, costs, ready, used = [], [], [], []
    with copy_of(home_of(cache, size)) as home:
        with opened(f"sqlite:///{home}/cocok.db") as store:
            events = store.last_seq()
        for run in range(runs):
            with cocok(home) as server:
                seconds.append(server.seconds)
                costs.append(server.cpu)
                ready.append(server.resident / 2**30)
                random = Random(run)
                bodies = [(FEED % random.randrange(size.workers)).encode() for _ in range(FEEDS)]
                closed_loop(server.url, bodies, connections=4, path="/v1/feeds")
                used.append(server.resident / 2**30)
    named = f"{size.open_tasks:,} open tasks, {size.workers:,} workers"
    return [
        Figure(f"{named}: events in the log", "", [events]),
        Figure("ready after", "s", seconds, most=10),
        Figure("CPU until ready", "s", costs),
        Figure("resident when ready", "GiB", ready, most=3),
        Figure(f"resident after {FEEDS} feeds", "GiB", used, most=3),
    ]


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--open-tasks", type=int, default=100_000)
    options.add_argument("--workers", type=int, default=1_000_000)
    options.add_argument("--assignments", type=float, default=0.5, help="mean of a worker, a worker has at least one")
    given = options.parse_args()
    size = Size(open_tasks=given.open_tasks, workers=given.workers, assignments=given.assignments)
    with cache_of(given) as cache:
        figures = measured(cache, size, given.runs)
    report("Start-up and memory", figures, given.json)


if __name__ == "__main__":
    main()
