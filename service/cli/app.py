"""The command line: one Typer application, its commands grouped by what they are for."""

from importlib.metadata import version
from typing import Annotated

import typer

app = typer.Typer(
    name="cocok",
    help="Cocok ranks the open micro jobs of a marketplace for a worker by skill, history and pay expectation.",
    no_args_is_help=True,
)


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


def main() -> None:
    """Run the command line."""
    app()
