"""The commands that judge models: `evaluate`, `promote` and `rollback`."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from service.cli.console import Bars, Json, out, print_json, progress
from training.aliases import CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from training.gate import Verdict
    from training.off_policy import OffPolicy
    from training.report import Report

_COLUMNS = 10
"""Of the ranker, shown with what the trees gained from them."""

REFUSED = 3
"""Exit code of a promotion that the gate refused."""


def register(app: typer.Typer) -> None:
    """Add the commands that judge models to the application."""
    app.command("evaluate")(evaluate)
    app.command("promote")(promote)
    app.command("rollback")(rollback)


def evaluate(
    version: Annotated[str, typer.Argument(help="Number of the version, or challenger.")] = CHALLENGER,
    as_json: Json = False,
) -> None:
    """Compare a version with the champion and simple baselines on the same recent lists, with 95 % intervals.

    The lists are those that the version's training set aside and those that came since; none of the models has learned
    from them (the fitted stand-ins without these lists are judged). Shown are metrics, differences by slice of workers
    and tasks, whether probabilities and minutes hold, and what the order comes from. If lists were served with
    `explore`, it also estimates from how many something would have been taken, had each ranker served them and explored
    as much. Figures go to the version's run.

    Example: cocok evaluate 3
    """
    from service.workspace import Workspace

    workspace = Workspace.open()
    number = workspace.registry.resolve(version)
    with progress(compiles=True) as start:
        found = workspace.evaluate(number, partial(Bars(start), "Replaying the log"))
    if as_json:
        print_json(
            {
                "version": number,
                "lists": found.evaluation.lists,
                **_records(found),
                "off_policy": _off_policy_record(found.off_policy),
            }
        )
    else:
        _print_report(number, found)


def _records(found: "Report") -> dict[str, object]:
    return {name: table.to_dict("records") for name, table in found.tables().items()}


def _off_policy_record(found: "OffPolicy | str") -> dict[str, object]:
    if isinstance(found, str):
        return {"missing": found}
    tables = {name: table.to_dict("records") for name, table in found.tables().items()}
    return {
        "reward": found.reward,
        "lists": found.lists,
        "takings": found.takings,
        "estimates": tables["off_policy"],
        "overlap": tables["overlap"],
        "warnings": list(found.warnings),
    }


def _print_report(version: int, found: "Report") -> None:
    from training.report import CALIBRATION

    console = out()
    evaluation = found.evaluation
    console.print(f"Version {version} on {evaluation.lists:,} lists with something to find:")
    metrics = evaluation.metrics
    names = list(dict.fromkeys(metrics["metric"]))
    table = Table("ranker", *names, box=None)
    for ranker, rows in metrics.groupby("ranker", sort=False):
        table.add_row(_called(ranker, version), *(_interval(row) for row in rows.itertuples()))
    console.print(table)
    rivals = [name for name in (CHAMPION, _best_baseline(found)) if name in set(evaluation.differences["rival"])]
    shown = evaluation.differences.query("metric == 'ndcg@10' and rival in @rivals")
    table = Table("lists of", "lists", *(f"NDCG@10 minus that of {rival}" for rival in rivals), box=None)
    table.columns[1].justify = "right"
    for name, rows in shown.groupby("slice", sort=False):
        by_rival = {row.rival: row for row in rows.itertuples()}
        table.add_row(
            str(name),
            f"{rows['lists'].iloc[0]:,}",
            *(_interval(by_rival[rival], signed=True) for rival in rivals),
        )
    console.print()
    console.print(table)
    table = Table(
        "probability", "rows", "rate", "calibration error", "chance, up to", "log loss", "of the rate", box=None
    )
    for name, probability in found.reliability.items():
        figures = (getattr(probability, part) for part in CALIBRATION)
        table.add_row(name, f"{probability.bins['rows'].sum():,}", *(f"{figure:.4f}" for figure in figures))
    if table.row_count:
        console.print()
        console.print(table)
    if found.minutes is not None and found.minutes.rows:
        console.print(
            f"\n{found.minutes.inside:.0%} of {found.minutes.rows:,} works lie within their predicted interval of 80 "
            f"%; the median work takes {found.minutes.ratio:.2f} times the predicted minutes."
        )
    columns = found.importance.head(_COLUMNS)
    table = Table("column", "group", "of the gain", "splits", box=None)
    for row in columns.itertuples():
        table.add_row(str(row.feature), str(row.group), f"{row.share:.1%}", f"{row.splits:,}")
    for column in table.columns[2:]:
        column.justify = "right"
    console.print(
        f"\nWhat the order comes from: {len(columns)} of {len(found.importance)} columns, by what trees gained:"
    )
    console.print(table)
    console.print()
    if isinstance(found.off_policy, str):
        console.print(f"No off-policy estimate: {found.off_policy}.", soft_wrap=True)
    else:
        _print_off_policy(version, found.off_policy)


def _called(ranker: object, version: int) -> str:
    """Return what a ranker is called for people: the version that was asked for may be the champion."""
    return f"version {version}" if ranker == CHALLENGER else str(ranker)


def _print_off_policy(version: int, found: "OffPolicy") -> None:
    from training.metrics import Estimate
    from training.off_policy import ESTIMATORS, SERVED

    console = out()
    estimates: dict[Any, Any] = {(row.policy, row.estimator): row for row in found.estimates.itertuples()}
    served = next(row for (policy, _), row in estimates.items() if policy == SERVED)
    console.print(
        f"Of {found.lists:,} lists in a drawn order, something was taken from {_interval(served)}. "
        "Estimates of that share, had these rankers put them in order and explored as much (chance may take them "
        "below 0 or above 1):",
        soft_wrap=True,
    )
    table = Table("ranker", *ESTIMATORS, "dr, more than served", "overlap, ips", "overlap, dr", box=None)
    for overlap in found.overlap.itertuples():
        rows = [estimates[overlap.policy, estimator] for estimator in ESTIMATORS]
        more = Estimate(rows[-1].more, rows[-1].more_low, rows[-1].more_high).text(3, signed=True)
        shares = f"{overlap.ips:.0%}", f"{overlap.dr:.0%}"
        table.add_row(_called(overlap.policy, version), *(_interval(row) for row in rows), more, *shares)
    console.print(table)
    for warning in found.warnings:
        console.print(f"Warning: {warning.replace(repr(CHALLENGER), f'version {version}')}.", soft_wrap=True)


def _best_baseline(found: "Report") -> str:
    metrics = found.evaluation.metrics.query("metric == 'ndcg@10' and ranker not in [@CHALLENGER, @CHAMPION]")
    return str(metrics.sort_values("value")["ranker"].iloc[-1])


def _interval(row: Any, *, signed: bool = False) -> str:
    from training.metrics import Estimate

    return Estimate(row.value, row.low, row.high).text(3, signed=signed)


def promote(
    version: Annotated[str, typer.Argument(help="Version to promote: its number, or challenger.")],
    force: Annotated[bool, typer.Option("--force", help="Promote even if the gate refuses.")] = False,
    as_json: Json = False,
) -> None:
    """Let a version serve, if the gate passes it.

    On recent lists that neither it nor the champion has learned from, it must not be worse than the champion over all,
    for newcomers (from 30 lists on; it says so if there are fewer) or within a large slice, by more than a margin; it
    must not lack a model that the champion has; its probabilities must be calibrated; its score must never fall as pay
    rises; and it must score a list in time. Without a champion it must beat a random order. The limits are settings
    (COCOK_GATE_...).

    Exit code: 0 when it was promoted, 3 when the gate refused, with the reasons.

    Example: cocok promote challenger
    """
    from service.workspace import Workspace

    workspace = Workspace.open()
    number = workspace.registry.resolve(version)
    with progress(compiles=True) as start:
        found = workspace.promote(number, force=force, progress=partial(Bars(start), "Replaying the log"))
    if found.incomparable:
        typer.echo(f"the champion cannot be compared with: {found.incomparable}", err=True)
    if as_json:
        differences = {} if found.verdict is None else found.verdict.differences
        checks = [] if found.verdict is None else found.verdict.table().to_dict("records")
        print_json(
            {
                "promoted": found.promoted,
                "reasons": found.reasons,
                "differences": differences,
                "checks": checks,
                "unseen": [] if found.verdict is None else list(found.verdict.unseen),
            }
        )
    else:
        if found.verdict is not None:
            _print_verdict(found.verdict)
        for reason in found.reasons:
            out().print(f"Refused: {reason}", soft_wrap=True)
        out().print(f"Version {number} serves." if found.promoted else "Not promoted; --force overrides the gate.")
    if not found.promoted:
        raise typer.Exit(REFUSED)


def _print_verdict(verdict: "Verdict") -> None:
    table = Table(f"on {verdict.lists:,} lists", "seen", "allowed", "", box=None)
    for check in verdict.checks:
        table.add_row(check.name, check.seen, check.limit, "passes" if check.reason is None else "[red]fails[/]")
    out().print(table)
    for reason in verdict.unseen:
        out().print(f"Note: {reason}.", soft_wrap=True)


def rollback(as_json: Json = False) -> None:
    """Undo the last promotion: the version that served before serves again, or the fallback if none did.

    Example: cocok rollback
    """
    from service.workspace import Workspace

    version = Workspace.open().rollback()
    if as_json:
        print_json({"champion": version})
    else:
        serves = (
            "No version serves any more, so the fallback does."
            if version is None
            else f"Version {version} serves again."
        )
        out().print(serves)
