"""The commands that make and apply models: `train` and `rank`."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table

from features.errors import CocokError
from features.events import micros
from features.spec import fingerprint
from service.cli.console import Bars, Json, moment, out, print_json, progress
from service.settings import Settings, load_settings
from service.store import opened
from service.wording import counted

if TYPE_CHECKING:
    from pandas import DataFrame

    from matching.scoring import Ranker
    from training.dataset import TrainingSet
    from training.train import Trained
    from training.tuning import Tuning

CHAMPION, CHALLENGER, FALLBACK = "champion", "challenger", "fallback"

LEARNED_FROM = {
    "p_accept": "feed_served and assignment_accepted",
    "p_approve": "assignment_approved and assignment_rejected",
    "minutes": "work_seconds in assignment_submitted",
}
"""What of the log each model of an outcome needs."""


def register(app: typer.Typer) -> None:
    """Add the commands of models to the application."""
    app.command("train")(train)
    app.command("rank")(rank)


def train(
    since: Annotated[str | None, typer.Option(help="Learn from lists since this instant (RFC 3339, UTC).")] = None,
    until: Annotated[
        str | None, typer.Option(help="Learn from what was known before this instant; everything if absent.")
    ] = None,
    maturity: Annotated[
        str | None,
        typer.Option(help="How long outcomes of a list are waited for, like 36h, 90m or 7d; from the log if absent."),
    ] = None,
    study: Annotated[
        bool,
        typer.Option(
            "--study", help="Also refit without each feature group and with less history; takes a few times longer."
        ),
    ] = False,
    tune: Annotated[
        int | None,
        typer.Option(
            metavar="TRIALS",
            min=2,
            help="Search for better parameters first, up to so many trials in all; interrupted, the same command goes "
            "on. A trial takes about as long as choosing the trees.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the MLflow run; by default, what it learned from.")] = None,
    as_json: Json = False,
) -> None:
    """Train a ranker from the log, judge it beside simple baselines, and register it as the challenger.

    The number of trees is chosen on several windows of time; the figures printed are of a model that has not seen the
    last part of the lists, on that part, with 95 % intervals over workers.

    Example: cocok train --until 2026-03-01T00:00:00Z --tune 20
    """
    # What trains and ranks takes seconds to load; other commands do not wait for it.
    from service.workspace import Workspace

    workspace = Workspace.open()
    with progress(compiles=True) as start:
        bars = Bars(start)
        rows = workspace.training_set(
            since=None if since is None else moment("--since", since),
            until=None if until is None else moment("--until", until),
            maturity=None if maturity is None else _duration("--maturity", maturity),
            progress=partial(bars, "Replaying the log"),
        )
        trained = workspace.train(rows, progress=bars, tune=tune)
        studied = workspace.study(trained, bars) if study else {}
    version = workspace.publish(trained, name=name, study=studied)
    if as_json:
        print_json(
            {
                "version": version,
                **{name: getattr(trained, name) for name in ("metrics", "baselines", "slices", "unfitted")},
                "lists": len(rows),
                "judged_lists": trained.judged,
                "rows": len(rows.labels),
                "trees": trained.choice.trees,
                "maturity_hours": rows.maturity_hours,
                **({} if trained.tuning is None else {"tuning": _tuning(trained.tuning)}),
            }
        )
    else:
        _print_trained(version, trained, rows, studied)


def _tuning(tuning: "Tuning") -> dict[str, Any]:
    from training.tuning import PRUNED, SEARCHED

    return {
        "trials": len(tuning.trials),
        "pruned": int((tuning.trials["state"] == PRUNED).sum()),
        "won": tuning.won,
        "gain": tuning.gain,
        **{which: {name: getattr(getattr(tuning, which), name) for name in SEARCHED} for which in ("start", "best")},
    }


def _print_trained(version: int, trained: "Trained", rows: "TrainingSet", studied: "dict[str, DataFrame]") -> None:
    console = out()
    console.print(
        f"{counted(len(rows), 'list')}, {counted(len(rows.labels), 'row')}, outcomes within "
        f"{rows.maturity_hours:.1f} h; {counted(trained.choice.trees, 'tree')}. "
        f"On the last {counted(trained.judged, 'list')}, which the model judged here has not seen:"
    )
    table = Table("ranker", *trained.metrics, *(f"ndcg@10 {part}" for part in trained.slices), box=None)
    for name, metrics in {"cocok": trained.metrics, **trained.baselines}.items():
        parts = [rankers["model" if name == "cocok" else name]["ndcg@10"] for rankers in trained.slices.values()]
        table.add_row(name, *(f"{e.value:.3f} ({e.low:.3f}-{e.high:.3f})" for e in [*metrics.values(), *parts]))
    console.print(table)
    if trained.tuning:
        console.print(f"Tuning: {trained.tuning.verdict()}.", soft_wrap=True)
    if studied:
        table = Table("without", "columns", "trees", "ndcg@10", "difference", box=None)
        for row in studied["ablation"].itertuples():
            lost = f"{row.difference:+.4f} ({row.difference_low:+.4f} to {row.difference_high:+.4f})"
            table.add_row(str(row.without), str(row.columns), str(row.trees), f"{row.value:.4f}", lost)
        console.print(table)
    for name, reason in trained.unfitted.items():
        console.print(f"No model of {name}: {reason}. It learns from {LEARNED_FROM[name]}.", soft_wrap=True)
    console.print(f"Registered as version {version}, the challenger.")


def rank(
    requests: Annotated[Path, typer.Option(help="Requests, one JSON object a line.")],
    out_file: Annotated[Path, typer.Option("--out", help="Where the ranked lists go, one JSON object a line.")],
    model: Annotated[str, typer.Option(help="champion, challenger, the number of a version, or fallback.")] = CHAMPION,
    no_eligibility: Annotated[
        bool, typer.Option("--no-eligibility", help="Rank every candidate, also what may not be taken.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Rank offline: each request as of its own instant, all in one pass over the log.

    A request is {"request_id", "at", "worker_id", "candidates"} to rank tasks for a worker, or {"request_id", "at",
    "task_id", "workers"} to rank workers for a task; without candidates all that is open (or known) is ranked. While no
    model has been trained, the fallback (pay and skill) ranks, as it does in a server.

    Example: cocok rank --requests requests.ndjson --out ranked.ndjson --model challenger
    """
    from matching.offline import rank as rank_offline
    from matching.offline import read_requests
    from service.snapshots import Snapshots

    settings = load_settings()
    if not out_file.parent.is_dir():
        raise CocokError(f"cannot write {out_file}: the folder {out_file.parent} does not exist; make it first")
    if out_file.is_dir():
        raise CocokError(f"cannot write {out_file}: it is a folder; name a file")
    try:
        with requests.open("rb") as lines:
            asked = read_requests(lines, str(requests))
    except OSError as error:
        raise CocokError(f"cannot read {requests}: {error.strerror}") from error
    ranker = ranker_of(settings, model)
    with opened(settings.store_url) as store, progress(compiles=True) as start:
        first = min((micros(request.at) for request in asked), default=None)
        restored = Snapshots(settings.snapshots, store, settings.exchange).restore(known_before=first)
        answers = rank_offline(
            store.read(after=restored.header.seq if restored else 0),
            settings.exchange,
            ranker,
            asked,
            eligibility=not no_eligibility,
            progress=partial(Bars(start), "Ranking"),
            state=restored.state if restored else None,
        )
    encoder = msgspec.json.Encoder()
    try:
        with out_file.open("wb") as file:
            file.writelines(encoder.encode(answer) + b"\n" for answer in answers)
    except OSError as error:
        raise CocokError(f"cannot write {out_file}: {error.strerror}") from error
    version = ranker.version if ranker.version == FALLBACK else int(ranker.version)
    items = sum(len(answer.items) for answer in answers)
    summary = {"version": version, "requests": len(asked), "items": items}
    if as_json:
        print_json(summary)
    else:
        named = "The fallback" if version == FALLBACK else f"Version {version}"
        out().print(f"{named} ranked {counted(len(asked), 'list')}, {counted(items, 'item')}: {out_file}")


def ranker_of(settings: Settings, model: str) -> "Ranker":
    """Return the ranker of a version, given its number or alias, or the fallback.

    While nothing was promoted the challenger stands in for the champion, and while nothing was trained the fallback.
    """
    from matching.fallback import FallbackRanker
    from matching.scoring import BundleRanker
    from training.registry import Registry

    registry = Registry.at(settings.home, settings.mlflow_tracking_uri or None)
    if model == CHAMPION and registry.champion() is None:
        model = CHALLENGER if registry.versions() else FALLBACK
        other = "the challenger" if model == CHALLENGER else "the fallback (pay and skill); cocok train makes a model"
        typer.echo(f"no champion has been promoted yet; ranking with {other}", err=True)
    if model == FALLBACK:
        return FallbackRanker()
    version = registry.resolve(model)
    rates = settings.exchange.fingerprint()
    return BundleRanker(registry.load(version, expected_features=fingerprint(), expected_rates=rates), str(version))


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(option: str, text: str) -> timedelta:
    try:
        length = timedelta(**{_UNITS[text[-1:].lower()]: float(text[:-1])})
    except (KeyError, ValueError, OverflowError):
        length = timedelta(0)
    if length <= timedelta(0):
        raise CocokError(f"{option} {text} is no duration; write one like 36h, 90m or 7d")
    return length
