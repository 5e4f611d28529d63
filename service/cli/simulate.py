"""The command of the simulator: `simulate`."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from features.errors import CocokError
from features.events import FeedServed, encode_event, event_type, micros
from service.cli.console import Json, moment, out, print_json, progress

EVENTS, TRUTH = "events.ndjson", "truth.json"
_DAY = 86_400_000_000
_FIRST_YEAR, _LAST_YEAR = 1971, 2200
_FIRST, _LAST = (micros(datetime(year, 1, 1, tzinfo=UTC)) for year in (_FIRST_YEAR, _LAST_YEAR))
"""Between which a log lies, so that its profiles come, and its tasks expire, in years that a log may hold."""


def register(app: typer.Typer) -> None:
    """Add the command of the simulator to the application."""
    app.command("simulate")(simulate)


def simulate(
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="A new or empty folder for log and truth.")],
    preset: Annotated[
        str,
        typer.Option(
            help="The marketplace to begin with: standard, or scarce with three times the demand there are slots for."
        ),
    ] = "standard",
    workers: Annotated[int | None, typer.Option(help="Workers, instead of the preset's.")] = None,
    tasks_per_day: Annotated[int | None, typer.Option(help="Tasks posted a day, instead of the preset's.")] = None,
    days: Annotated[int | None, typer.Option(help="Days of the log, instead of the preset's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed; the same seed and end give the same log.")] = None,
    until: Annotated[
        str | None, typer.Option(help="The instant at which the log ends (RFC 3339, UTC); now if absent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the log of a synthetic marketplace, and beside it the truth that the log does not tell.

    DIR/events.ndjson goes into `cocok import`; DIR/truth.json holds the hidden parameters of workers, requesters and
    tasks, to judge by what was learned from the log.

    Example: cocok simulate --out market --workers 400 --tasks-per-day 120 --days 21 --seed 1
    """
    from training.simulation import PRESETS, NewestFirst, Truth, World

    if preset not in PRESETS:
        raise CocokError(f"--preset {preset} does not exist; there is: {', '.join(PRESETS)}")
    base = PRESETS[preset]
    config = replace(
        base,
        workers=base.workers if workers is None else workers,
        tasks_per_day=base.tasks_per_day if tasks_per_day is None else tasks_per_day,
        days=base.days if days is None else days,
        seed=base.seed if seed is None else seed,
    )
    end = micros(datetime.now(UTC) if until is None else moment("--until", until))
    begin = end - (config.days + config.task.stock_days) * _DAY
    if not _FIRST <= begin <= end <= _LAST:
        raise CocokError(f"--until and --days: a log may begin in {_FIRST_YEAR} and must end before {_LAST_YEAR}")
    _claim(out_dir)
    world = World(config, end)
    counts: Counter[str] = Counter()
    with progress() as start:
        advance = start("simulating", config.days)
        try:
            with (out_dir / EVENTS).open("wb") as file:
                shown = world.start
                for event in world.run(NewestFirst()):
                    file.write(encode_event(event) + b"\n")
                    counts[event_type(event)] += 1
                    if isinstance(event, FeedServed):
                        counts["items"] += len(event.items)
                        advance((micros(event.at) - shown) / _DAY)
                        shown = micros(event.at)
            Truth(world).write(out_dir / TRUTH)
        except OSError as error:
            raise CocokError(f"cannot write into {out_dir}: {error.strerror or error}") from error
    summary = {
        "events": sum(counts.values()) - counts["items"],
        "workers": config.workers,
        "requesters": config.requesters,
        "tasks": counts["task_posted"],
        "open_tasks": world.market.open_at(world.end),
        "lists": counts["feed_served"],
        "items": counts["items"],
        **{
            stage: counts[f"assignment_{stage}"]
            for stage in ("accepted", "returned", "abandoned", "submitted", "approved", "rejected")
        },
    }
    if as_json:
        print_json({**summary, "seed": config.seed, "log": str(out_dir / EVENTS), "truth": str(out_dir / TRUTH)})
    else:
        _print_summary(summary, out_dir)


def _claim(folder: Path) -> None:
    """Make the folder unless something is there already."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CocokError(f"{folder} is not empty and nothing is overwritten; choose a new folder with --out")
    except OSError as error:
        raise CocokError(
            f"cannot make the folder {folder}: {error.strerror or error}; choose another with --out"
        ) from error


def _print_summary(summary: dict[str, int], folder: Path) -> None:
    table = Table("", "count", box=None)
    table.columns[1].justify = "right"
    for name, number in summary.items():
        table.add_row(name.replace("_", " "), f"{number:,}")
    console = out()
    console.print(table)
    log, truth = escape(str(folder / EVENTS)), escape(str(folder / TRUTH))
    console.print(f"Next: cocok import {log}; the truth is in {truth}", highlight=False, soft_wrap=True)
