"""From files to rows: how fast a log is imported, read, folded and replayed, each step alone and in one run.

    python -m benchmarks.log [--events events.ndjson] [--runs 5] [--json log.json]

Without `--events` the log is simulated (the standard preset). Every figure is the median of the runs; a second column
gives it as a multiple of plain reading and decoding, measured in the same run, since machines differ and are noisy.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.report import Figure, write
from features.events import decode_event, encode_event
from features.money import Rates
from features.state import MarketState
from service.adapters import events
from service.log_import import Watch, import_files
from service.store import Store, opened
from training.replay import training_set
from training.simulation import PRESETS, NewestFirst, World

END = 1_772_323_200_000_000


def simulated(folder: Path) -> Path:
    path = folder / "events.ndjson"
    with path.open("wb") as file:
        file.writelines(encode_event(event) + b"\n" for event in World(PRESETS["standard"], END).run(NewestFirst()))
    return path


def speeds_of(runs: int, step: Callable[[], int]) -> tuple[list[float], int]:
    """Return things a second of each run, and how many things a run does."""
    speeds = []
    for _ in range(runs):
        begun = time.perf_counter()
        count = step()
        speeds.append(count / (time.perf_counter() - begun))
    return speeds, count


def decode(path: Path) -> int:
    with path.open("rb") as lines:
        return sum(1 for line in lines if decode_event(line))


def import_anew(path: Path, rates: Rates) -> int:
    with tempfile.TemporaryDirectory() as home, opened(f"sqlite:///{home}/log.db") as store:
        done = import_files(store, events.read, [path], rates, on_error="stop", workspace=Path(home), watch=Watch())
    return done.accepted


def read(store: Store) -> int:
    return sum(len(batch) for batch in store.read())


def fold(store: Store, rates: Rates) -> int:
    state = MarketState(rates)
    for batch in store.read():
        state.apply(batch)
    return state.seq


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=Path, help="a log to measure with")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    rates = Rates.shipped()
    with tempfile.TemporaryDirectory() as folder:
        path = given.events or simulated(Path(folder))
        with opened(f"sqlite:///{folder}/log.db") as store:
            import_files(store, events.read, [path], rates, on_error="stop", workspace=Path(folder), watch=Watch())
            (last,) = next(store.read(after=store.last_seq() - 1))
            until = last.known_at + 1

            def replay() -> int:
                return len(training_set(lambda: store.read(before=until), rates, until=until).labels)

            replay()  # compiles
            steps: dict[str, tuple[str, Callable[[], int]]] = {
                "decode the file": ("events/s", lambda: decode(path)),
                "import into an empty store, durably": ("events/s", lambda: import_anew(path, rates)),
                "read from the store": ("events/s", lambda: read(store)),
                "read and fold": ("events/s", lambda: fold(store, rates)),
                "replay into a training set": ("rows/s", replay),
            }
            table = Table("step", "median", "", "things", "x decoding", box=None)
            base, figures = 0.0, []
            for name, (unit, step) in steps.items():
                speeds, count = speeds_of(given.runs, step)
                figures.append(Figure(name, unit, speeds))
                speed = figures[-1].median
                base = base or speed
                table.add_row(name, f"{speed:,.0f}", unit, f"{count:,}", f"{speed / base:.2f}")
    Console(width=100).print(table)
    write("The log", figures, given.json)


if __name__ == "__main__":
    main()
