"""The commands of models: `train` and `rank`."""

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from features.errors import CocokError
from features.events import instant, micros
from features.spec import fingerprint
from matching.bundle import Bundle
from matching.offline import rank as rank_offline
from matching.offline import read_requests
from service.cli.console import Json, out, print_error, print_json, progress
from service.settings import Settings, load_settings
from service.store import Store, open_store

CHAMPION, CHALLENGER = "champion", "challenger"


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
    as_json: Json = False,
) -> None:
    """Train a ranker from the log, judge it beside simple baselines, and register it as the challenger.

    The number of trees is chosen on several windows of time; the figures printed are of a model that has not seen the
    last part of the lists, on that part, with 95 % intervals over workers.

    Example: cocok train --until 2026-03-01T00:00:00Z
    """
    settings = load_settings()
    with _store(settings) as store:
        if store.count() == 0:
            raise CocokError("the log is empty: bring events in with `cocok import PATH`")
        start = None if since is None else micros(_moment("--since", since))
        end = _end(store) if until is None else micros(_moment("--until", until))
        wait = None if maturity is None else _duration("--maturity", maturity)
        report = _train(settings, store, start, end, wait)
    if as_json:
        print_json(report)
        return
    _print_report(report)


def _train(settings: Settings, store: Store, since: int | None, until: int, maturity: int | None) -> dict[str, object]:
    # MLflow and scikit-learn take seconds to load; other commands do not wait for them.
    from training.registry import FoldRun, Registry
    from training.replay import training_set
    from training.train import train as fit

    parameters = _parameters()
    with progress() as bar:
        rows = training_set(
            lambda: store.read(before=until),
            settings.exchange,
            since=since,
            until=until,
            maturity=maturity,
            progress=_steps(bar, "Replaying the log"),
        )
        named: dict[str, Callable[[int, int], None]] = {}

        def step(name: str, done: int, total: int) -> None:
            if name not in named:
                named[name] = _steps(bar, name)
            named[name](done, total)

        trained = fit(rows, settings.exchange.fingerprint(), parameters, until=until, progress=step)
    registry = Registry.at(settings.home, settings.mlflow_tracking_uri or None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        trained.bundle.save(path)
        run = registry.log_run(
            {
                **asdict(parameters),
                "trees": trained.choice.trees,
                "maturity_hours": rows.maturity / 3.6e9,
                "lists": trained.lists,
                "rows": len(rows.labels),
            },
            {
                **{f"{name}{end}": value for name, e in trained.metrics.items() for end, value in _parts(e)},
                **{f"{b}.{name}": e.value for b, es in trained.baselines.items() for name, e in es.items()},
            },
            path,
            tags={
                "since": instant(trained.bundle.since).isoformat(),
                "until": instant(until).isoformat(),
                "features": trained.bundle.features_fingerprint,
                "rates": trained.bundle.rates_fingerprint,
            },
            folds=[
                FoldRun(f"fold {place}", {"best": float(curve.max())}, {"ndcg@10": curve.tolist()})
                for place, curve in enumerate(trained.choice.folds, 1)
            ],
        )
    version = registry.register(run)
    return {
        "version": version,
        "metrics": {name: asdict(e) for name, e in trained.metrics.items()},
        "baselines": {b: {name: asdict(e) for name, e in es.items()} for b, es in trained.baselines.items()},
        "slices": {
            part: {ranker: {name: asdict(e) for name, e in es.items()} for ranker, es in rankers.items()}
            for part, rankers in trained.slices.items()
        },
        "lists": trained.lists,
        "judged": trained.judged,
        "rows": len(rows.labels),
        "trees": trained.choice.trees,
        "maturity_hours": rows.maturity / 3.6e9,
        "unfitted": trained.unfitted,
    }


def rank(
    requests: Annotated[Path, typer.Option(help="Requests, one JSON object a line.")],
    out_file: Annotated[Path, typer.Option("--out", help="Where the ranked lists go, one JSON object a line.")],
    model: Annotated[str, typer.Option(help="champion, challenger or the number of a version.")] = CHAMPION,
    no_eligibility: Annotated[
        bool, typer.Option("--no-eligibility", help="Rank every candidate, also what may not be taken.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Rank offline: each request as of its own instant, all in one pass over the log.

    A request is {"request_id", "at", "worker_id", "candidates"} to rank tasks for a worker, or {"request_id", "at",
    "task_id", "workers"} to rank workers for a task; without candidates all that is open (or known) is ranked.

    Example: cocok rank --requests requests.ndjson --out ranked.ndjson --model challenger
    """
    settings = load_settings()
    try:
        with requests.open("rb") as lines:
            asked = read_requests(lines, str(requests))
    except OSError as error:
        raise CocokError(f"cannot read {requests}: {error.strerror}") from error
    bundle, version = _bundle(settings, model)
    with _store(settings) as store, progress() as bar:
        answers = rank_offline(
            store.read(),
            settings.exchange,
            bundle,
            asked,
            eligibility=not no_eligibility,
            progress=_steps(bar, "Ranking"),
        )
    encoder = msgspec.json.Encoder()
    try:
        with out_file.open("wb") as file:
            file.writelines(encoder.encode(answer) + b"\n" for answer in answers)
    except OSError as error:
        raise CocokError(f"cannot write {out_file}: {error.strerror}") from error
    summary = {"version": version, "requests": len(asked), "items": sum(len(answer.items) for answer in answers)}
    if as_json:
        print_json(summary)
    else:
        out().print(f"Version {version} ranked {summary['requests']:,} lists, {summary['items']:,} items: {out_file}")


def _bundle(settings: Settings, model: str) -> tuple[Bundle, int]:
    from training.registry import Registry

    registry = Registry.at(settings.home, settings.mlflow_tracking_uri or None)
    if model == CHAMPION and not any(CHAMPION in version.aliases for version in registry.versions()):
        print_error("no champion has been promoted yet; ranking with the challenger")
        model = CHALLENGER
    version = registry.resolve(model)
    bundle = Bundle.load(
        registry.fetch(version), expected_features=fingerprint(), expected_rates=settings.exchange.fingerprint()
    )
    return bundle, version


@contextmanager
def _store(settings: Settings) -> Iterator[Store]:
    store = open_store(settings.store_url)
    try:
        yield store
    finally:
        store.close()


def _end(store: Store) -> int:
    """Return the first instant at which all of the log is known."""
    (last,) = next(store.read(after=store.last_seq() - 1))
    return last.known_at + 1


def _parameters():  # type: ignore[no-untyped-def]
    from training.ranker import RankerParameters

    return RankerParameters()


def _steps(bar: Callable[[str, float], Callable[[float], None]], name: str) -> Callable[[int, int], None]:
    """Return a callback for (done, total) that moves a bar which starts at the first call."""
    advance: Callable[[float], None] | None = None
    shown = 0

    def step(done: int, total: int) -> None:
        nonlocal advance, shown
        if advance is None:
            advance = bar(name, total)
        if (done - shown) * 200 >= total or done == total:
            advance(done - shown)
            shown = done

    return step


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CocokError(f"{option} {text} is no instant; write one like 2026-03-01T00:00:00Z") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(option: str, text: str) -> int:
    try:
        length = timedelta(**{_UNITS[text[-1:].lower()]: float(text[:-1])})
    except (KeyError, ValueError, OverflowError):
        length = timedelta(0)
    if length <= timedelta(0):
        raise CocokError(f"{option} {text} is no duration; write one like 36h, 90m or 7d")
    return int(length / timedelta(microseconds=1))
