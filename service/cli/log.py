"""The commands of the log: `import`, `export`, `doctor`."""

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from features.errors import CocokError, EventError
from features.events import Event, micros
from service.adapters import Format, find_format, formats
from service.cli.console import Json, out, print_error, print_json, progress
from service.doctor import Finding, check_archive, examine, survey
from service.log_files import find_files, write_events, write_lines
from service.log_import import Imported, OnError, Watch, first_refusal, import_files
from service.plural import counted
from service.settings import Settings, load_settings
from service.store import Store, opened

FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help=f"What the files hold: {', '.join(formats())}, or a mapping file ending in .toml.",
    ),
]
SHOWN = 20
STDOUT = "-"
ATTEMPTS = 3
"""How often an export to a file is begun because workers were erased meanwhile."""


class RewrittenError(CocokError):
    """The log was rewritten while it was read."""


def register(app: typer.Typer) -> None:
    """Add the commands of the log to the application."""
    app.command("import")(import_)
    app.command("export")(export)
    app.command("doctor")(doctor)


def import_(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Files, or folders of them; logs end in .ndjson, .ndjson.gz or .parquet."),
    ],
    format_: FormatName = "events",
    on_error: Annotated[
        OnError, typer.Option(help="At a refused line: stop and keep nothing, or skip it and keep the others.")
    ] = "stop",
    as_json: Json = False,
) -> None:
    """Append events to the log.

    The files of one command are merged by time, then by file as given, then by line. What is in the log already is
    counted as a duplicate and not taken again. Other formats are turned into events on the way. Workers whom the events
    say to erase are erased from the log before the command ends.

    Exit code: 0 when the files were taken, with `--on-error skip` also if some lines were refused; 1 when nothing was.

    Example: cocok import events/ late.ndjson.gz --on-error skip
    """
    format_of = find_format(format_)
    settings = load_settings()
    files = find_files(paths, format_of.files)
    with opened(settings.store_url) as store, progress() as start:
        read = start("reading", sum(file.stat().st_size for file in files))
        watch = Watch(read=read)

        def sorted_(events: int) -> None:
            watch.stored = start("storing", events)

        watch.sort = sorted_
        done = import_files(
            store,
            format_of.read,
            files,
            settings.exchange,
            on_error=on_error,
            workspace=settings.home / "tmp",
            watch=watch,
        )
    stopped = on_error == "stop" and bool(done.refused)
    if as_json:
        print_json(
            {
                "accepted": done.accepted,
                "duplicates": done.duplicates,
                "refused": [refused._asdict() for refused in done.refused],
            }
        )
    elif not stopped:
        _print_import(done)
    if stopped:
        raise first_refusal(done.refused)
    if done.refused and not done.accepted and not done.duplicates:
        raise CocokError(f"every line was refused, the first because: {done.refused[0].reason}")
    if done.to_erase and (erased := _erase(settings, done.to_erase)) and not as_json:
        out().print(f"{counted(erased, 'erasure')} carried out", highlight=False)


def _erase(settings: Settings, worker_ids: Collection[str]) -> int:
    # These take seconds to load, and few imports erase anybody.
    from service.engine import HEARD_SECONDS
    from service.imported_erasures import carry_out
    from service.snapshots import Snapshots

    with opened(settings.store_url) as store:
        snapshots = Snapshots(settings.snapshots, store, settings.exchange)
        return carry_out(store, worker_ids, snapshots.forget, HEARD_SECONDS)


def _print_import(done: Imported) -> None:
    table = Table("", "events", box=None)
    table.columns[1].justify = "right"
    for name, count in (
        ("accepted", done.accepted),
        ("duplicates", done.duplicates),
        ("refused", len(done.refused)),
    ):
        table.add_row(name, f"{count:,}")
    console = out()
    console.print(table)
    for file, line, reason in done.refused[:SHOWN]:
        console.print(f"  {file}, line {line}: {reason}", markup=False, highlight=False, soft_wrap=True)
    if len(done.refused) > SHOWN:
        console.print(f"  and {len(done.refused) - SHOWN:,} more; --json lists all of them")


def export(
    to: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="A .ndjson, .ndjson.gz or .parquet file; - = standard output.")
    ] = Path(STDOUT),
    as_json: Json = False,
) -> None:
    """Write the whole log back, in its order; without --out as lines of JSON to standard output.

    Example: cocok export --out log.ndjson.gz
    """
    if str(to) == STDOUT and as_json:
        raise CocokError("--json and the log would both go to standard output; give --out a file")
    with opened(load_settings().store_url) as store, progress() as start:
        if str(to) == STDOUT:
            write_lines(_batches(store, start("writing", store.count())), sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        count = _write(store, to, start)
    if as_json:
        print_json({"events": count, "file": str(to)})
    else:
        out().print(f"{counted(count, 'event')} written to {escape(str(to))}", highlight=False, soft_wrap=True)


def _write(store: Store, to: Path, start: Callable[[str, float], Callable[[float], None]]) -> int:
    for _ in range(ATTEMPTS):
        with suppress(RewrittenError):
            return write_events(_batches(store, start("writing", store.count())), to)
    raise CocokError(f"workers were erased each time that {to} was written; it is as it was, export again")


def _batches(store: Store, advance: Callable[[float], None]) -> Iterator[list[Event]]:
    """Yield the whole log.

    Raises:
        RewrittenError: workers were erased meanwhile; what came before of them bears their names.
    """
    identity = store.identity()
    # Parquet files have a group of rows for each.
    for rows in store.read(batch=10_000):
        yield [row.event for row in rows]
        advance(len(rows))
    if store.identity() != identity:
        raise RewrittenError("workers were erased meanwhile: what was written may still name them; export again")


def doctor(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]", help="Files or folders; without any, the log in the store."),
    ] = None,
    format_: FormatName = "events",
    as_json: Json = False,
) -> None:
    """Say in plain words what is wrong with a log, and what to do about it.

    Exit code: 1 when there is an error, 0 when there are only warnings.

    Example: cocok doctor events.ndjson
    """
    settings = load_settings()
    format_of = find_format(format_)
    files = find_files(paths or [], format_of.files)
    now = micros(datetime.now(UTC))
    if files:
        findings = examine(survey(lambda: _events_of(format_of, files), settings.exchange, now, to_import=True))
    else:
        with opened(settings.store_url) as store:
            faults = list(store.archive_faults())
            findings = list(check_archive(store.archived(), faults))
            if not faults:
                findings += examine(
                    survey(lambda: (row.event for rows in store.read() for row in rows), settings.exchange, now)
                )
    errors = sum(finding.level == "error" for finding in findings)
    if as_json:
        print_json({"findings": [finding._asdict() for finding in findings]})
    else:
        _print_findings(findings)
    if errors:
        print_error(f"{errors} of {len(findings)} checks found an error; the advice is beside each")
        raise typer.Exit(1)


def _print_findings(findings: list[Finding]) -> None:
    styles = {"ok": "green", "warning": "yellow", "error": "red"}
    table = Table("", "check", "found", "advice", box=None)
    for level, check, message, advice in findings:
        table.add_row(f"[{styles[level]}]{level}[/]", check, escape(message), escape(advice))
    out().print(table)


def _events_of(format_of: Format, files: list[Path]) -> Iterator[Event | str]:
    for file, number, event in format_of.read(files, lambda _: None):
        yield f"{file}, line {number}: {event}" if isinstance(event, EventError) else event
