"""The command `snapshot`: the state of the market in a file, so that a server is ready at once."""

import typer
from rich.table import Table

from service.cli.console import Bars, Json, out, print_json, progress
from service.settings import load_settings
from service.store import opened


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("snapshot")(snapshot)


def snapshot(as_json: Json = False) -> None:
    """Write the state of the market at the end of the log to a file, from which `cocok serve` then starts.

    It begins from the newest snapshot that is sound, and deletes the oldest beyond those that the settings keep. A
    server goes on meanwhile, and takes snapshots by itself (`snapshot_minutes` in the settings).

    Example: cocok snapshot --json
    """
    # The fold takes a second to load; other commands do not wait for it.
    from service.snapshots import Snapshots

    settings = load_settings()
    with opened(settings.store_url) as store, progress(compiles=True) as start:
        snapshots = Snapshots(settings.snapshots, store, settings.exchange)
        taken = snapshots.take(settings.snapshots_kept, Bars(start))
    if as_json:
        print_json({**taken._asdict(), "path": str(taken.path)})
        return
    table = Table("", "", box=None, show_header=False)
    for name, value in (
        ("file" if taken.written else "file (nothing new)", str(taken.path)),
        ("events", f"{taken.seq:,}"),
        ("begun from event", f"{taken.since:,}"),
        ("size", f"{taken.size / 1e6:,.1f} MB"),
        ("seconds", f"{taken.seconds:.1f}"),
        ("deleted", f"{taken.pruned:,}"),
    ):
        table.add_row(name, value)
    out().print(table)
