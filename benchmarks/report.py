"""What the speed benchmarks share: options, figures with their targets, and how they are shown and written."""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from rich.console import Console
from rich.table import Table

_LOAD = os.getloadavg()[0]
"""Load average before anything was measured: that of other programs."""


@dataclass(frozen=True)
class Figure:
    """Something that was measured several times.

    Attributes:
        name: what it is.
        unit: of the values; empty for a ratio.
        runs: the values.
        least: what the median should reach; None without a target of that kind.
        most: what the median should not exceed; likewise.
    """

    name: str
    unit: str
    runs: Sequence[float]
    least: float | None = None
    most: float | None = None

    @property
    def median(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    @property
    def verdict(self) -> str:
        """Target, and whether the median holds it; empty without a target."""
        if self.least is not None:
            return f"≥ {_number(self.least)}: {'held' if self.median >= self.least else 'not held'}"
        if self.most is not None:
            return f"≤ {_number(self.most)}: {'held' if self.median <= self.most else 'not held'}"
        return ""


def ratio(name: str, over: Figure, under: Figure, *, least: float | None = None, most: float | None = None) -> Figure:
    """Return how many times ``under`` a figure is, run by run where both were measured in turn."""
    if len(over.runs) == len(under.runs):
        runs = [one / other for one, other in zip(over.runs, under.runs, strict=True)]
    else:
        runs = [over.median / under.median]
    return Figure(name, "", runs, least, most)


def rates(name: str, unit: str, runs: int, step: Callable[[], int], least: float | None = None) -> Figure:
    """Measure things a second of CPU of a step that returns how many it did."""
    speeds = []
    for _ in range(runs):
        begun = time.process_time()
        done = step()
        speeds.append(done / (time.process_time() - begun))
    return Figure(name, unit, speeds, least)


def parser(about: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all have."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--cache", type=Path, help="folder that keeps the markets, so that they are built once")
    made.add_argument("--runs", type=int, default=5, help="of which the median is shown")
    made.add_argument("--json", type=Path, help="file for the figures")
    return made


@contextmanager
def cache_of(given: argparse.Namespace) -> Iterator[Path]:
    """Give the folder of the markets; without the option one that is gone afterwards."""
    if given.cache is None:
        with TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        given.cache.mkdir(parents=True, exist_ok=True)
        yield given.cache.resolve()


def report(about: str, figures: Sequence[Figure], path: Path | None) -> None:
    """Print the figures, and write them as JSON if a path is given."""
    title = (
        f"{about}; {os.cpu_count()} cores, load average {_LOAD:.1f} at the start, {os.getloadavg()[0]:.1f} at the end"
    )
    table = Table("figure", "median", "least", "most", "unit", "target", title=title, title_justify="left", box=None)
    for each in figures:
        numbers = (_number(value) for value in (each.median, min(each.runs), max(each.runs)))
        table.add_row(each.name, *numbers, each.unit, each.verdict)
    Console(width=140).print(table)
    write(about, figures, path)


def write(about: str, figures: Sequence[Figure], path: Path | None) -> None:
    """Write the figures as JSON, if a path is given."""
    if path:
        document = {
            "benchmark": about,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()},
            "load": {"start": _LOAD, "end": os.getloadavg()[0]},
            "figures": [
                {"name": each.name, "unit": each.unit, "median": each.median, "runs": list(each.runs)}
                | ({} if each.least is None else {"least": each.least})
                | ({} if each.most is None else {"most": each.most})
                for each in figures
            ],
        }
        path.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _number(value: float) -> str:
    size = abs(value)
    digits = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2
    return f"{value:,.{digits}f}"
