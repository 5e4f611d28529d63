"""The command `archive`: old lists in Parquet files instead of the database."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.table import Table

from features.errors import CocokError
from service.cli.console import Bars, Json, out, print_json, progress
from service.settings import load_settings
from service.store import opened

LEAST = 10_000
"""Lists from which a file is worth its while."""

MOST_DAYS = 100_000
"""An age beyond any that a log can hold."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("archive")(archive)


def archive(
    older_than: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS",
            min=0,
            help="Age from which lists are moved, by the clock of the log; of the settings"
            " (archive_lists_after_days) if it is not given.",
        ),
    ] = None,
    least: Annotated[int, typer.Option(min=1, help="Leave fewer lists than this where they are.")] = LEAST,
    compact: Annotated[
        bool,
        typer.Option(
            "--compact",
            help="Then give the free room of the database back to the disk. It needs as much room again while it"
            " runs, and the server should be stopped.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Move lists that were served long ago from the database to Parquet files beside it.

    They remain part of the log: training, export and whatever else reads it see the same events in the same order,
    lists that are sent again are still recognised, and an erasure reaches them. The room in the database is used again
    for what comes. A server goes on meanwhile, and moves old lists by itself if `archive_lists_after_days` is set.

    Example: cocok archive --older-than 90
    """
    settings = load_settings()
    days = settings.archive_lists_after_days or None if older_than is None else older_than
    if days is None:
        raise CocokError("say how old: cocok archive --older-than DAYS, or archive_lists_after_days in the settings")
    if not days <= MOST_DAYS:
        raise CocokError(f"--older-than {days:g}: write at most {MOST_DAYS:,} days")
    with opened(settings.store_url) as store, progress() as start:
        last = store.last_seq()
        clock = next(store.read(after=last - 1))[0].known_at if last else 0
        before = clock - timedelta(days=days) // timedelta(microseconds=1)
        done = store.archive(before, least=least, progress=Bars(start))
        given_back = store.compact() if compact else 0
    if as_json:
        print_json({**done._asdict(), "given_back_bytes": given_back})
        return
    table = Table("", "", box=None, show_header=False)
    table.columns[1].justify = "right"
    freed = done.database_bytes_before - done.database_bytes
    for name, value in (
        ("lists moved", f"{done.lists:,}"),
        ("files", f"{done.files:,}"),
        ("old lists left, too few for a file", f"{done.left:,}"),
        ("the files take", _of_lists(done.file_bytes, done.lists)),
        ("they took in the database", _of_lists(freed, done.lists)),
        ("database, in use before", _size(done.database_bytes_before)),
        ("database, in use now", _size(done.database_bytes)),
        ("given back to the disk", _size(given_back))
        if compact
        else ("database, free for what comes", _size(done.free_bytes)),
    ):
        table.add_row(name, value)
    out().print(table)


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"


def _of_lists(size: int, lists: int) -> str:
    if size < 0 or (lists and not size):  # a few lists free no page, and what is noted of their file may take one
        return "too little to tell"
    return _size(size) + (f", {size / lists:,.0f} bytes a list" if lists else "")
