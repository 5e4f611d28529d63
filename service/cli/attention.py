"""The command that tells how attention falls with position: `attention`."""

from typing import Annotated

import typer
from rich.table import Table

from service.cli.console import Json, moment, out, print_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("attention")(attention)


def attention(
    until: Annotated[
        str | None, typer.Option(help="Count what was known before this instant; everything if absent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell how attention falls with position in a list, from the swaps in the log, with 95 % intervals over workers.

    In a share of the lists (COCOK_SWAP_SHARE) a coin decides the order of two neighbours. How much less often tasks are
    opened at the lower position is due to the position alone; the ratios are chained to attention relative to the top.
    Counted are tasks that were opened and not taken, so that lists with good tasks do not bias it.

    Example: cocok attention --until 2026-03-01T00:00:00Z
    """
    from service.workspace import Workspace
    from training.metrics import Estimate

    found = Workspace.open().attention(None if until is None else moment("--until", until))
    if as_json:
        print_json({"positions": found.to_dict("records")})
        return
    table = Table("position", "lists", "of the position before", "attention", box=None)
    for column in table.columns[:2]:
        column.justify = "right"
    for row in found.to_dict("records"):
        of_before, of_first = (
            Estimate(*(row[name] for name in names)).text(3)
            for names in (("ratio", "ratio_low", "ratio_high"), ("attention", "low", "high"))
        )
        table.add_row(
            *(
                [str(row["position"]), "", "", "1"]
                if row["position"] == 1
                else [str(row["position"]), f"{row['lists']:,}", of_before, of_first]
            )
        )
    out().print(table)
