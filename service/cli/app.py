"""The command line: one Typer application, its commands grouped by what they are for."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import Abort, TyperException

from features.errors import CocokError
from service.cli import (
    archive,
    attention,
    demo,
    experiment,
    gate,
    keys,
    log,
    models,
    near_misses,
    serve,
    simulate,
    snapshot,
)
from service.cli.console import print_error, print_warning
from service.settings import unknown_variables

app = typer.Typer(
    name="cocok",
    help="Cocok ranks the open micro jobs of a marketplace for a worker by skill, history and pay expectation.",
    no_args_is_help=True,
)


USAGE = 2
"""Exit code of a command that was called in a way it does not know."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("cocok"))
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Cocok ranks the open micro jobs of a marketplace for a worker by skill, history and pay expectation."""
    for name, nearest in unknown_variables().items():
        print_warning(f"{name} is no setting" + (f"; the nearest is {nearest}" if nearest else ""))


# Each module of commands adds its own; the order here is the order of `cocok --help`.
for module in (log, models, near_misses, gate, attention, serve, snapshot, archive, keys, simulate, experiment, demo):
    module.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that the user can mend is one line and exit code 1.

    Args:
        arguments: instead of those of the process.
    """
    try:
        code = _run(arguments)
        # What is left to write is written here, where a full disk can still be told of.
        _flush()
    except OSError as error:
        code = 1
        try:
            _flush()
        except OSError:
            _give_up_output()
        if not isinstance(error, BrokenPipeError):  # whoever read the output has seen enough
            where = "" if error.filename is None else f" {error.filename}"
            print_error(f"cannot read or write{where}: {error.strerror or error}")
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    """Return the exit code.

    Raises:
        OSError: something could not be read or written, standard output perhaps.
    """
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="cocok", standalone_mode=False)
    except TyperException as error:
        message = error.format_message().replace("Value error, ", "")
        if error.exit_code != USAGE:
            typer.echo(message, err=True)
        elif message:  # without one, the help was printed in place of a missing command
            context = getattr(error, "ctx", None)
            hint = f"{context.command_path} --help" if context else "cocok --help"
            print_error(f"{message.rstrip('.')}; see {hint}")
        return error.exit_code
    except Abort:
        return 130
    except CocokError as error:
        print_error(str(error))
        return 1
    return code if isinstance(code, int) else 0


def _flush() -> None:
    if sys.stdout is not None:  # as it is where it was closed before the start
        sys.stdout.flush()


def _give_up_output() -> None:
    """Drop what standard output still holds, which the interpreter would try to write once more at its end."""
    with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
