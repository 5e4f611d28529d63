"""The command that lets policies compete in a simulated marketplace: `experiment`."""

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from features.errors import CocokError
from service.cli.console import Bars, Json, out, print_json, progress

if TYPE_CHECKING:
    from pandas import DataFrame

    from training.experiment import Results

PAGE, TABLE = "report.html", "results.csv"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("experiment")(experiment)


def experiment(
    policies: Annotated[
        str, typer.Option(help="Policies, separated by commas; all if absent. Newest first is always among them.")
    ] = "",
    days: Annotated[int, typer.Option(help="Days under each policy.")] = 14,
    seeds: Annotated[int, typer.Option(help="Worlds, one for each seed from 1 on; all policies meet the same.")] = 5,
    preset: Annotated[str, typer.Option(help="The marketplace to begin with.")] = "standard",
    workers: Annotated[int | None, typer.Option(help="Workers, instead of the preset's.")] = None,
    tasks_per_day: Annotated[int | None, typer.Option(help="Tasks posted a day, instead of the preset's.")] = None,
    warm_up: Annotated[int, typer.Option(help="Days before that, from which the champion learns.")] = 7,
    model: Annotated[
        str | None,
        typer.Option(
            help="Version or alias that is the champion, instead of one trained on the warm-up of each world."
        ),
    ] = None,
    pay_weight: Annotated[
        float | None,
        typer.Option(help="Weight of expected pay per hour in Cocok's feeds, instead of that of the settings."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; as many as there are cores if absent.")] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for report.html and results.csv.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let policies compete in simulated marketplaces that react to what is listed, and compare what comes of it.

    Each world runs for some days as marketplaces do without Cocok; then every policy goes on from the same point, with
    the same people, postings and arrivals. Policies: random, newest, highest_reward, highest_hourly, skill_overlap,
    popularity, usual (goes on as before: newest first with noise, two of a batch at most), champion, explore (the
    champion, drawing the first positions), nightly (retrained every night), oracle (knows the truth). Everything is
    logged to MLflow, in the experiment cocok-experiments.

    Example: cocok experiment --policies random,champion,oracle --days 7 --seeds 3 --out compared
    """
    from matching.pipeline import Matcher, feed_steps
    from service.workspace import Workspace
    from training.experiment import POLICIES, Experiment
    from training.experiment.figures import all_figures
    from training.experiment.report import page
    from training.simulation import PRESETS

    if preset not in PRESETS:
        raise CocokError(f"--preset {preset} does not exist; there is: {', '.join(PRESETS)}")
    if jobs is not None and jobs < 1:
        raise CocokError(f"--jobs is {jobs}; it must be at least 1")
    if pay_weight is not None and not 0.0 <= pay_weight < math.inf:
        raise CocokError(f"--pay-weight is {pay_weight:g}; it must be a number from 0 on")
    base = PRESETS[preset]
    workspace = Workspace.open()
    weight = workspace.settings.pay_weight if pay_weight is None else pay_weight
    version = None if model is None else workspace.registry.resolve(model)
    tried = Experiment(
        config=replace(
            base,
            workers=base.workers if workers is None else workers,
            tasks_per_day=base.tasks_per_day if tasks_per_day is None else tasks_per_day,
            days=warm_up + days,
        ),
        warm_up=warm_up,
        policies=tuple(name.strip() for name in policies.split(",")) if policies else POLICIES,
        seeds=tuple(range(1, seeds + 1)),
        rates=workspace.settings.exchange,
        bundle=None if version is None else workspace.bundle(version),
        product=Matcher(feed_steps(weight)),
    )
    if out_dir is not None:
        _make(out_dir)
    with progress(compiles=True) as start:
        results = tried.run(jobs or _cores(), partial(Bars(start), "Trying"))
    about = {
        "preset": preset,
        "workers": tried.config.workers,
        "tasks_per_day": tried.config.tasks_per_day,
        "warm_up_days": warm_up,
        "days": days,
        "seeds": seeds,
        "policies": ", ".join(tried.policies),
        "pay_weight": weight,
        "champion": "trained on the warm-up" if version is None else f"version {version}",
    }
    figures = all_figures(results)
    html = page(results, about, figures)
    summary = results.summary()
    if out_dir is not None:
        _write(out_dir, html, summary.to_csv(index=False))
    found = zip(summary["policy"], summary["measure"], summary["value"], strict=True)
    run = workspace.registry.log_experiment(
        about,
        {f"{policy}.{measure}": value for policy, measure, value in found if math.isfinite(value)},
        figures=figures,
        tables={"results": summary, "by_seed": results.by_seed(), "days": results.days(), "costs": results.costs()},
        pages={PAGE: html},
    )
    if as_json:
        records = summary.to_dict("records")
        print_json({**about, "policies": list(tried.policies), "run_id": run, "results": records})
    else:
        _print(results, out_dir)


def _cores() -> int:
    # What this process may use, which a container or taskset may have made less than there is.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CocokError(
            f"cannot make the folder {folder}: {error.strerror or error}; choose another with --out"
        ) from error


def _write(folder: Path, html: str, table: str) -> None:
    try:
        (folder / PAGE).write_text(html, encoding="utf-8")
        (folder / TABLE).write_text(table, encoding="utf-8")
    except OSError as error:
        raise CocokError(f"cannot write into {folder}: {error.strerror or error}") from error


def policies_table(summary: "DataFrame", measures: Sequence[str] = (), *, compared: str = "") -> Table:
    """Return a row of figures for each policy, the best of each measure marked, but for the oracle.

    Args:
        summary: as of `training.experiment.Results.summary`.
        measures: names of the columns; all main measures if empty.
        compared: what policies have more than this one, unmarked, instead of the figures themselves; as of
            `training.experiment.report.cells`.
    """
    from training.experiment.measures import MEASURE
    from training.experiment.report import cells, heading
    from training.experiment.results import best

    rows = cells(summary, compared=compared, main=not measures)
    if measures:
        rows = rows[list(measures)]
    winners = {} if compared else best(summary)
    table = Table("policy", *(heading(MEASURE[str(name)], compared=bool(compared)) for name in rows.columns), box=None)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for policy, row in rows.iterrows():
        # Not a word of its own, which could stand alone on a line.
        marked = [f"[bold]{text}*[/bold]" if winners.get(str(name)) == policy else text for name, text in row.items()]
        table.add_row(str(policy), *marked)
    return table


def _print(results: "Results", folder: Path | None) -> None:
    from training.experiment.contestants import REFERENCES

    summary, console = results.summary(), out()
    console.print("Means over seeds, ± half the 95 % interval; * the best but for the oracle:")
    console.print(policies_table(summary))
    console.print()
    for name in results.references:
        console.print(f"More than {REFERENCES[name]} in the same worlds, ± half the 95 % interval:")
        console.print(policies_table(summary, compared=name))
        console.print()
    if folder is not None:
        console.print(f"Report: {escape(str(folder / PAGE))}", highlight=False, soft_wrap=True)
