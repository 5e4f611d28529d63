"""How commands talk: tables and progress for people, JSON for programs, one line for an error."""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from features.errors import CocokError
from features.events import in_utc
from service.kernels import COMPILING, compiled

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]


WIDTH_OF_FILES = 160
"""Columns of a table that goes to a file or a pipe, where nothing says how wide it may be."""


def out() -> Console:
    """Return the console of results; made anew so that it follows a redirected standard output."""
    console = Console(soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_FILES
    return console


def print_json(value: Any) -> None:
    """Print one JSON document to standard output; a figure that does not exist, or is infinite, is null."""
    sys.stdout.write(json.dumps(_plain(value), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def print_error(message: str) -> None:
    """Print an error as one line to standard error."""
    sys.stderr.write(f"error: {' '.join(message.split())}\n")


def moment(option: str, text: str) -> datetime:
    """Return the instant that an option gives; without an offset it is meant in UTC.

    Raises:
        CocokError: the text is no instant, or none that a log may hold.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise CocokError(f"{option} {text} is no instant; write one like 2026-03-01T00:00:00Z") from error
    try:
        return in_utc(option, found.replace(tzinfo=UTC) if found.tzinfo is None else found)
    except ValueError as error:
        raise CocokError(str(error)) from error


def print_warning(message: str) -> None:
    """Print a warning as one line to standard error."""
    sys.stderr.write(f"warning: {' '.join(message.split())}\n")


@contextmanager
def progress(*, compiles: bool = False) -> Iterator[Callable[[str, float], Callable[[float], None]]]:
    """Show bars on standard error while it is a terminal.

    Args:
        compiles: what follows needs kernels, and so waits for them to be compiled where that has not been done; this is
            said.

    Yields:
        A function that starts a bar, given its name and total, and returns the function that advances it.
    """
    console = Console(stderr=True)
    if compiles and console.is_terminal and not compiled():
        console.print(COMPILING)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def start(name: str, total: float) -> Callable[[float], None]:
            task = bars.add_task(name, total=total)
            return lambda amount: bars.advance(task, amount)

        yield start


class Bars:
    """One bar for each step of a long command, begun at its first report of (step, done, total)."""

    def __init__(self, start: Callable[[str, float], Callable[[float], None]]) -> None:
        self._start = start
        self._bars: dict[str, tuple[Callable[[float], None], int]] = {}

    def __call__(self, step: str, done: int, total: int) -> None:
        """Move the bar of a step on."""
        advance, shown = self._bars.get(step) or (self._start(step, total), 0)
        advance(done - shown)
        self._bars[step] = advance, done


def _plain(value: Any) -> Any:
    """Return estimates as JSON knows them, which has no number that is not finite."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return None if isinstance(value, float) and not math.isfinite(value) else value
