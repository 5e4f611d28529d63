"""The command about a worker's prospects: `near-misses`."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from features.errors import CocokError
from service.cli.console import Bars, Json, out, print_json, progress
from service.cli.models import ranker_of
from service.settings import load_settings
from service.store import opened
from training.aliases import CHAMPION

if TYPE_CHECKING:
    from features.state import MarketState
    from matching.near_misses import NearMiss
    from matching.scoring import Ranker


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("near-misses")(near_misses)


def near_misses(
    worker: Annotated[str, typer.Argument(help="The worker's id.")],
    model: Annotated[str, typer.Option(help="champion, challenger, the number of a version, or fallback.")] = CHAMPION,
    as_json: Json = False,
) -> None:
    """Tell what would open the best-paid tasks to a worker, as of the end of the log.

    Each is one change: a qualification, a skill, a language, a device or further approvals, with how many open tasks it
    alone would open and what the best of them pay per hour of work. While no model has been trained, the fallback (pay
    and skill) ranks, as it does in a server.

    Example: cocok near-misses ana --model challenger
    """
    from service.snapshots import Snapshots

    settings = load_settings()
    ranker = ranker_of(settings, model)  # before the log is folded, which takes long: there may be no such version
    with opened(settings.store_url) as store, progress(compiles=True) as start:
        state = Snapshots(settings.snapshots, store, settings.exchange).state(Bars(start))
    if not state.catalogue.workers.get(worker):
        raise CocokError(f"no event of the log names the worker {worker}")
    found = _found(state, ranker, worker)
    if as_json:
        print_json([msgspec.to_builtins(miss) for miss in found])
    elif found:
        table = Table("what", "tasks", "pay per hour", "requirement", box=None)
        for miss in found:
            pay = miss.expected_hourly
            asked = " ".join(map(str, filter(None, (miss.attribute, miss.comparator, miss.value))))
            table.add_row(
                miss.text.rpartition(": ")[0],
                f"{miss.tasks:,}",
                "" if pay is None else f"{pay.currency} {pay.amount:,.2f}",
                asked,
            )
        out().print(table)
    else:
        out().print(f"No single change would open further tasks to {worker}.")


def _found(state: "MarketState", ranker: "Ranker", worker: str) -> "list[NearMiss]":
    from matching.eligibility import judge_open
    from matching.near_misses import near_misses as find
    from matching.query import Query

    query = Query(worker, state.clock or 0)
    return find(state, ranker, query, judge_open(state, state.catalogue.workers.get(worker), query.now))
