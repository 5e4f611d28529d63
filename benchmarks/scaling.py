"""What a feed costs as the market grows: CPU time in process against open tasks, workers and events of the log.

    python -m benchmarks.scaling [--feeds 100] [--reach 10] [--out docs/images/feed-cost.png] [--cache DIR]

One of the three grows at a time, from a tenth (``1 / reach``) to ten times (``reach``) that of a market of 10,000 open
tasks and 10,000 workers.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, cycle
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import EngFormatter

from benchmarks.feeds import workers_of
from benchmarks.market import END, Size, bundle_of, folded, home_of
from benchmarks.report import Figure, cache_of, parser, report
from features.money import Rates
from matching.pipeline import Matcher
from matching.query import Query
from matching.scoring import BundleRanker

IN_TURN = 10
"""Feeds that are asked of a market before it is the next one's turn."""

BASE = Size(workers=10_000, past_tasks=5_000, lists=2_000)


def sizes(reach: float) -> dict[str, Sequence[Size]]:
    """Return what grows -> markets, from the base's part of ``reach`` to as many times it; events are counted."""
    scales = (1 / reach, 1.0, reach)
    return {
        "open tasks": [replace(BASE, open_tasks=round(BASE.open_tasks * scale)) for scale in scales],
        "workers": [replace(BASE, workers=round(BASE.workers * scale)) for scale in scales],
        "events of the log": [replace(BASE, assignments=BASE.assignments * scale) for scale in scales],
    }


Costs = dict[str, list[tuple[int, list[float], list[float]]]]
"""What grows -> how much there is of it, and milliseconds of feeds with and without explanations."""


def costs(cache: Path, markets_of: dict[str, Sequence[Size]], feeds: int, told: Callable[[str], object]) -> Costs:
    """Measure feeds in every market, a few in each in turn, so that the machine's slow minutes fall on all of them."""
    rates = Rates.shipped()
    asked: dict[Size, _Asked] = {}
    for size in chain.from_iterable(markets_of.values()):
        if size not in asked:
            asked[size] = _Asked(cache, size, rates)
            told(f"{size.name}: {asked[size].events:,} events")
    for done in range(0, feeds, IN_TURN):
        for one in asked.values():
            one.ask(min(IN_TURN, feeds - done))
    return {
        name: [
            ({"open tasks": size.open_tasks, "workers": size.workers}.get(name, one.events), one.explained, one.plain)
            for size, one in ((size, asked[size]) for size in markets)
        ]
        for name, markets in markets_of.items()
    }


class _Asked:
    """A market in memory, and what its feeds took: milliseconds of CPU with and without explanations."""

    def __init__(self, cache: Path, size: Size, rates: Rates) -> None:
        self._state = folded(home_of(cache, size), rates)
        self._ranker, self._matcher = BundleRanker(bundle_of(cache, size, rates), "1"), Matcher()
        self._workers = cycle(workers_of(size))
        self.events = self._state.seq
        self.explained: list[float] = []
        self.plain: list[float] = []

    def ask(self, feeds: int) -> None:
        """Measure feeds of so many workers, after one that brings the market near."""
        for number in range(feeds + 1):
            worker = next(self._workers)
            for explain, spent in ((False, self.plain), (True, self.explained)):
                query = Query(worker, END, explain=explain)
                begun = time.process_time()
                self._matcher.feed(self._state, self._ranker, query)
                if number:
                    spent.append(1e3 * (time.process_time() - begun))


def drawn(found: Costs) -> Drawing:
    """Draw the medians."""
    with mpl.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        drawing = Drawing(figsize=(7.2, 2.4), layout="constrained")
        for axes, (name, points) in zip(
            drawing.subplots(1, len(found), sharey=True, squeeze=False)[0], found.items(), strict=True
        ):
            amounts = [amount for amount, _, _ in points]
            for place, label in ((1, "with reasons and near misses"), (2, "without")):
                axes.plot(amounts, [statistics.median(point[place]) for point in points], marker="o", label=label)
            axes.set(xscale="log", xlabel=name)
            axes.set_xticks(amounts, [EngFormatter(places=0, sep="")(amount) for amount in amounts])
            axes.minorticks_off()
            axes.set_ylim(bottom=0)
        drawing.axes[0].set_ylabel("CPU ms a feed, median")
        drawing.axes[0].legend(frameon=False)
    return drawing


def main() -> None:
    """Measure, report and draw."""
    options = parser(__doc__)
    options.add_argument("--feeds", type=int, default=100, help="of each market and kind")
    options.add_argument("--reach", type=float, default=10.0, help="how many times the base the largest market is")
    options.add_argument("--out", type=Path, help="file for the figure (PNG)")
    given = options.parse_args()
    with cache_of(given) as cache:
        found = costs(cache, sizes(given.reach), given.feeds, print)
    report("Cost of a feed against size", figures_of(found), given.json)
    if given.out:
        drawn(found).savefig(given.out, dpi=110)


def figures_of(found: Costs) -> list[Figure]:
    """Return what was measured as figures."""
    return [
        Figure(f"{amount:,} {name}, {kind}", "ms", spent)
        for name, points in found.items()
        for amount, explained, plain in points
        for kind, spent in (("explained", explained), ("plain", plain))
    ]


if __name__ == "__main__":
    main()
