"""The command `demo`: the main job end to end, on a simulated marketplace whose log ends now."""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from features.errors import CocokError
from service.cli.console import Bars, out, progress
from service.settings import load_settings
from training.aliases import CHAMPION

USUAL_PORT = 8000
READY_WITHIN = 120.0
"""Seconds that the API may take until it is ready; compiling the kernels on a fresh machine takes some thirty."""

WARM_UP, DAYS = 3, 4
"""Of the comparison in the loop: days under newest first, and days under each policy."""

LOOP_SEED = 2
"""Another marketplace than the one that the ranker has learned from."""

MEASURES = ("hourly", "hourly_tenth", "slots_filled", "wasted_clicks", "lists_taken")
"""Columns of the comparison."""


def register(app: typer.Typer) -> None:
    """Add the demo to the application."""
    app.command("demo")(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after the feeds instead of serving until Ctrl-C.")] = False,
    port: Annotated[
        int | None,
        typer.Option(
            help="Where the API listens on loopback; 8000, or a free port if that is taken.", min=0, max=65535
        ),
    ] = None,
) -> None:
    """Show the main job end to end: a log is imported, a ranker trained, promoted, tried in a loop and asked for feeds.

    Everything is kept in the folder `demo` of COCOK_HOME, which is made anew each time.

    Example: cocok demo --once
    """
    from service.cli.gate import promote
    from service.cli.log import import_
    from service.cli.models import train
    from service.cli.simulate import simulate

    home = load_settings().home / "demo"
    shutil.rmtree(home, ignore_errors=True)
    # The steps below are the commands that a user would type, so they read their settings as those do.
    os.environ["COCOK_HOME"] = str(home)
    # Empty and not absent: a file of settings could name a database in use, and that is not the demo's to fill.
    os.environ["COCOK_DATABASE_URL"] = os.environ["COCOK_MLFLOW_TRACKING_URI"] = ""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    console = out()
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("1. A marketplace's log: three weeks that end now", lambda: simulate(home / "market")),
        ("2. Import", lambda: import_([home / "market" / "events.ndjson"])),
        ("3. Train, evaluate on the last lists, register", train),
        # The gate is shown at work, but the first model of a demo serves whatever chance made of its last lists.
        ("4. Promote", lambda: promote("1", force=True)),
        ("5. Let it make the lists of another marketplace, beside other orders", _compare),
    )
    for title, step in steps:
        console.rule(title, align="left")
        step()
    console.rule("6. Ask the API for feeds", align="left")
    with _serving(port) as address:
        for caption, request in _requests(home):
            _print_feed(address, caption, request)
        console.print(f"The API: {address}  (its documentation: {address}/docs)")
        if not once:
            console.print("It keeps running; Ctrl-C ends it.")
            try:
                while True:
                    time.sleep(3600)
            except KeyboardInterrupt:
                console.print("Stopping.")


def _compare() -> None:
    """Show what comes of a simulated marketplace if the version that serves makes its lists."""
    from service.cli.experiment import policies_table
    from service.workspace import Workspace
    from training.experiment import Experiment
    from training.simulation import PRESETS

    workspace, config = Workspace.open(), replace(PRESETS["standard"], days=WARM_UP + DAYS)
    tried = Experiment(
        config,
        WARM_UP,
        (CHAMPION, "newest", "random", "oracle"),
        (LOOP_SEED,),
        workspace.settings.exchange,
        workspace.bundle(workspace.registry.resolve(CHAMPION)),
    )
    with progress(compiles=True) as start:
        results = tried.run(progress=partial(Bars(start), "Trying"))
    console = out()
    console.print(
        f"{config.workers} simulated workers, {DAYS} days, by who makes the lists (the oracle knows what is hidden); "
        "one market is an example, see `cocok experiment`:"
    )
    console.print(policies_table(results.summary(), MEASURES))


def _requests(home: Path) -> list[tuple[str, dict[str, Any]]]:
    """Choose whom to show: the worker with the most approved work, one with little, and somebody nobody knows."""
    from collections import Counter

    from features.events import AssignmentApproved
    from service.store import opened

    approved: Counter[str] = Counter()
    with opened(load_settings().store_url) as store:
        for entries in store.read():
            approved.update(entry.event.worker_id for entry in entries if isinstance(entry.event, AssignmentApproved))
    ranked = approved.most_common()
    busy, occasional = ranked[0][0], ranked[-1][0]
    return [
        (f"Worker {busy}, {approved[busy]} tasks approved", {"worker_id": busy, "limit": 8}),
        (
            f"Worker {occasional}, {approved[occasional]} approved, with half an hour, in Indonesian",
            {"worker_id": occasional, "limit": 5, "session_minutes": 30, "locale": "id"},
        ),
        ("A worker nobody has seen", {"worker_id": "somebody-new", "limit": 5}),
    ]


@contextmanager
def _serving(port: int | None) -> Iterator[str]:
    """Run the API in this process and yield its address once it is ready."""
    import httpx
    import uvicorn

    from service.app import create_app

    port = _free(port or USUAL_PORT) or (_free(0) if port is None else None)
    if port is None:
        raise CocokError("the port is taken; choose another with --port")
    server = uvicorn.Server(
        uvicorn.Config(create_app(load_settings()), host="127.0.0.1", port=port, log_level="warning")
    )
    thread = Thread(target=server.run, name="cocok-demo", daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + READY_WITHIN
    try:
        while True:
            try:
                if httpx.get(f"{address}/readyz", timeout=5).is_success:
                    break
            except httpx.TransportError:
                pass
            if not thread.is_alive() or time.monotonic() > deadline:
                raise CocokError("the API did not become ready; run `cocok serve` to see why")
            time.sleep(0.2)
        yield address
    finally:
        server.should_exit = True
        thread.join(timeout=15)


def _free(port: int) -> int | None:
    """Return the port if nothing listens there, any free one for 0; None if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def _print_feed(address: str, caption: str, request: dict[str, Any]) -> None:
    import httpx

    with httpx.Client(base_url=address, timeout=30) as client:
        response = client.post("/v1/feeds", json=request)
        if response.is_error:
            raise CocokError(f"the API answered {response.status_code}: {response.text[:300]}")
        feed = response.json()
        titles = {
            item["task_id"]: client.get(f"/v1/tasks/{item['task_id']}").json()["posting"].get("title")
            for item in feed["items"]
        }
    table = Table("#", "task", "reward/h for you", "minutes", "P(accept)", "P(approve)", "why", box=None)
    for column in table.columns[2:6]:
        column.justify = "right"
    for item in feed["items"]:
        hourly = item["expected_hourly"]
        table.add_row(
            str(item["position"]),
            escape(titles[item["task_id"]] or item["task_id"]),
            f"{hourly['currency']} {float(hourly['amount']):,.2f}" if hourly else "-",
            _figure(item["expected_minutes"], ".0f"),
            _figure(item["p_accept"], ".0%"),
            _figure(item["p_approve"], ".0%"),
            escape("; ".join(reason["text"] for reason in item["reasons"][:2])),
        )
    console = out()
    console.print(f"\n[bold]{escape(caption)}[/] (model {feed['model_version']})")
    console.print(table)
    if feed["removed"]:
        console.print("Not shown: " + ", ".join(f"{count} {code}" for code, count in feed["removed"].items()))


def _figure(value: float | None, shape: str) -> str:
    return "-" if value is None else format(value, shape)
