"""From the log to a model: how fast events are folded, rows are replayed, files are imported and a ranker is fitted.

    python -m benchmarks.learning [--cache DIR] [--only fold replay import events fit] [--json learning.json]

Everything but the events over HTTP runs in this process on one thread and is measured in its CPU time, since other
programs may share the machine; those are measured by the clock, with the server's CPU time beside it.

fold: the compiled fold over a log that is encoded already, and the way from the SQLite store to a folded state.
replay: a training set from a log in memory; beside it the same rows in the dozen columns that the ranker uses most, by
    joins in pandas (`benchmarks.point_in_time`), from tables in memory that are given.
import: a file of events into an empty store.
events: batches of 100 over HTTP by four connections, each durable before it is answered.
fit: the ranker, trees and linear part, on the training set repeated to a million rows; beside it LightGBM with the same
    parameters on the matrix that is ready for it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import lightgbm as lgb
import msgspec
import numpy as np

from benchmarks.load import closed_loop
from benchmarks.log import import_anew
from benchmarks.market import END, Size, copy_of, home_of, simulated
from benchmarks.point_in_time import COLUMNS, point_in_time
from benchmarks.point_in_time_tables import tables_of
from benchmarks.report import Figure, cache_of, parser, rates, ratio, report
from benchmarks.server import cocok
from features.collector import collector_paused
from features.events import Entry, encode_event, instant, micros
from features.money import Rates
from features.spec import NAMES
from features.state import MarketState
from service.store import Stored, ToFold, opened
from training.columns import monotone_directions, ranking_columns
from training.dataset import OF_ROWS, TrainingSet
from training.ranker import RankerParameters, fit, learnable_rows
from training.replay import training_set

BATCH = 100
"""Events of a request."""

Entries = list[Entry]


@dataclass(frozen=True)
class Setting:
    """What is measured with.

    Attributes:
        cache: folder of the markets.
        size: of the market.
        runs: of each step.
        events: over HTTP in a run.
        rows: to fit on, about.
        trees: to fit.
    """

    cache: Path
    size: Size
    runs: int
    events: int
    rows: int
    trees: int

    @cached_property
    def log(self) -> Entries:
        """The simulated days."""
        return [(seq, micros(event.at), event) for seq, event in enumerate(simulated(self.size), 1)]

    def replay(self) -> TrainingSet:
        """Return the training set of the simulated days."""
        return training_set(lambda: [self.log], Rates.shipped(), until=END)

    def stored(self) -> Iterator[list[Stored]]:
        """Yield the log of the market as the store gives it."""
        with opened(f"sqlite:///{home_of(self.cache, self.size)}/cocok.db") as store:
            yield from store.read()

    def to_fold(self) -> Iterator[list[ToFold]]:
        """Yield the log of the market as it is folded when a server starts."""
        with opened(f"sqlite:///{home_of(self.cache, self.size)}/cocok.db") as store:
            yield from store.read_to_fold()


def fold(setting: Setting) -> list[Figure]:
    """Measure the fold alone and the way from the store."""
    alone, ends = [], []

    def whole(size: int | None = None) -> None:
        state, folding, begun = MarketState(Rates.shipped()), 0.0, time.process_time()
        # As when a server starts.
        with collector_paused():
            for batch in setting.to_fold():
                encoded = state.encode(batch[:size])
                folding -= time.process_time()
                state.fold(encoded, 0, len(encoded.events))
                folding += time.process_time()
                if size is not None:
                    return
        alone.append(state.seq / folding)
        ends.append(state.seq / (time.process_time() - begun))

    whole(10)  # compiles
    for _ in range(setting.runs):
        whole()
    return [
        Figure("fold of encoded events", "events/s", alone, least=1_000_000),
        Figure("fold from the SQLite store", "events/s", ends, least=150_000),
    ]


def replay(setting: Setting) -> list[Figure]:
    """Measure replay, and joins in pandas on the same log in turn."""
    rows, tables = setting.replay(), tables_of(setting.log, Rates.shipped())
    ours, theirs = [], []
    for _ in range(setting.runs):
        ours += rates("", "", 1, lambda: len(setting.replay().labels)).runs
        theirs += rates("", "", 1, lambda: len(point_in_time(rows, tables))).runs
    replayed = Figure(f"replay, {len(NAMES)} columns", "rows/s", ours, least=200_000)
    joined = Figure(f"joins in pandas, {len(COLUMNS)} columns", "rows/s", theirs)
    columns = len(NAMES) / len(COLUMNS)
    apart = ratio("replay against pandas, rows", replayed, joined, least=20)
    return [replayed, joined, apart, Figure("the same, values", "", [columns * value for value in apart.runs])]


def import_(setting: Setting) -> list[Figure]:
    """Measure the import of a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events.ndjson"
        with path.open("wb") as file:
            for batch in setting.stored():
                file.writelines(encode_event(entry.event) + b"\n" for entry in batch)
        return [
            rates(
                "import of a file", "events/s", setting.runs, lambda: import_anew(path, Rates.shipped()), least=40_000
            )
        ]


def events(setting: Setting) -> list[Figure]:
    """Measure events over HTTP."""
    speeds, costs, ids = [], [], count()

    def body() -> bytes:
        head = {"type": "task_viewed", "at": instant(END).isoformat()}
        places = [next(ids) for _ in range(BATCH)]
        tasks, workers = setting.size.open_tasks, setting.size.workers
        return msgspec.json.encode(
            [
                {**head, "event_id": f"v{k}", "worker_id": f"w{k % workers}", "task_id": f"t{7 * k % tasks}"}
                for k in places
            ]
        )

    with copy_of(home_of(setting.cache, setting.size)) as home, cocok(home) as server:
        for run in range(setting.runs + 1):
            bodies = [body() for _ in range(max(1, setting.events // BATCH))]
            begun = server.cpu
            load = closed_loop(server.url, bodies, connections=4, path="/v1/events")
            if load.failed:
                raise RuntimeError(f"{load.failed} of {load.requests} batches were refused")
            if run:  # the first one warms up
                speeds.append(BATCH * load.throughput)
                costs.append(1e6 * (server.cpu - begun) / (BATCH * load.requests))
    return [
        Figure(f"events over HTTP, batches of {BATCH}", "events/s", speeds, least=8_000),
        Figure("the same, CPU of the server an event", "µs", costs),
    ]


def repeated(rows: TrainingSet, wanted: int) -> TrainingSet:
    """Return a training set in which every list comes so often that there are about ``wanted`` rows."""
    times = max(1, round(wanted / len(rows.labels)))
    lists = np.repeat(np.arange(len(rows)), times)
    sizes = np.diff(rows.offsets)[lists]
    starts = np.cumsum(sizes) - sizes
    places = np.arange(sizes.sum()) - np.repeat(starts - rows.offsets[lists], sizes)
    return replace(
        rows,
        **{name: getattr(rows, name)[places] for name in OF_ROWS},
        **{name: getattr(rows, name)[lists] for name in ("workers", "times", "feed_ids")},
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
    )


def fitted(setting: Setting) -> list[Figure]:
    """Measure a fit, and LightGBM's own in turn."""
    rows = repeated(setting.replay(), setting.rows)
    parameters = RankerParameters(num_threads=1)
    monotone, ranks = monotone_directions(rows.names), ranking_columns(rows.names)
    settings = parameters.to_lightgbm(monotone, ranks)
    index, groups = learnable_rows(rows, np.ones(len(rows), np.bool_))
    ready, labels = rows.features[index], rows.relevance[index]

    def theirs() -> None:
        # The parameters go to the set as well: it is binned by them.
        lgb.train(settings, lgb.Dataset(ready, labels, group=groups, params=settings), setting.trees)

    ours, own = [], []
    for _ in range(min(setting.runs, 3)):
        ours.append(spent(lambda: fit(rows, parameters, setting.trees, monotone, ranks=ranks)))
        own.append(spent(theirs))
    named = f"{len(rows.labels):,} rows, {setting.trees} trees"
    fit_, alone = (
        Figure(f"fit, {named}", "s", ours),
        Figure(f"LightGBM alone, {len(ready):,} rows that teach", "s", own),
    )
    return [fit_, alone, ratio("fit against LightGBM alone", fit_, alone, most=1.3)]


def spent(step: Callable[[], object]) -> float:
    """Return the seconds of CPU that a step takes."""
    begun = time.process_time()
    step()
    return time.process_time() - begun


PARTS: dict[str, Callable[[Setting], list[Figure]]] = {
    "fold": fold,
    "replay": replay,
    "import": import_,
    "events": events,
    "fit": fitted,
}


def main() -> None:
    """Measure and report."""
    options = parser(__doc__)
    options.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    options.add_argument("--open-tasks", type=int, default=10_000)
    options.add_argument("--workers", type=int, default=20_000)
    options.add_argument("--events", type=int, default=20_000, help="over HTTP in a run")
    options.add_argument("--rows", type=int, default=1_000_000, help="to fit on")
    options.add_argument("--trees", type=int, default=50, help="to fit")
    given = options.parse_args()
    with cache_of(given) as cache:
        size = Size(open_tasks=given.open_tasks, workers=given.workers)
        setting = Setting(cache, size, given.runs, given.events, given.rows, given.trees)
        report("Learning", [figure for name in given.only for figure in PARTS[name](setting)], given.json)


if __name__ == "__main__":
    main()
