"""How well Cocok ranks beside simpler and other rankers: the same lists, one run.

    COCOK_HOME=.cocok .venv/bin/python -m benchmarks.quality [--until 2026-03-01T00:00:00Z] [--json quality.json]
    .venv/bin/python -m benchmarks.quality --log events.ndjson
    ... --until 2026-03-01T00:00:00Z --requests requests.ndjson --truth truth.ndjson --out ranked/

The log is that of the store, or of a file of events. All rankers of `benchmarks.peers` learn from the lists before the
last part that `cocok train` sets aside, and are judged on that last part. With `--requests` and `--truth` they learn
from all lists known before `--until`, and the requests are judged (the gain of a label in a truth is 2^label - 1).
`--out` keeps each ranker's lists in the format of `cocok rank`, for an outside scorer.

The table has NDCG@10 over all workers, those with a history and those without, with 95 % intervals over workers, and
the difference to Cocok on the same lists: above 0, the peer is better. Seconds are of the processor, for fitting alone.
Peers that need more than Cocok come with `pip install -e '.[peers]'`; those that are not there stand in the table with
the reason.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from benchmarks.peers import COCOK, PEERS, UNAVAILABLE, Peer, Takings
from benchmarks.requested import Truth, requested
from features.errors import CocokError
from features.events import micros
from matching.offline import read_requests
from service.adapters import events
from service.log_import import import_files
from service.settings import load_settings
from service.store import opened
from service.workspace import Workspace
from training.dataset import TrainingSet
from training.lists import ACCEPTED
from training.metrics import Estimate, cluster_interval, ndcg, paired_difference
from training.splits import holdout

_TIE_SEED = 20_240_229


@dataclass(frozen=True, eq=False)
class Ranked:
    """What a peer made of the lists that are judged.

    Attributes:
        peer: who.
        scores: float64, rows.
        fit_seconds: processor time of the fit.
    """

    peer: Peer
    scores: NDArray[np.float64]
    fit_seconds: float


def compare(
    development: TrainingSet, final: TrainingSet, takings: Takings, *, threads: int = 1
) -> tuple[list[Ranked], dict[str, str]]:
    """Fit every peer on ``development`` and score ``final``.

    Returns:
        What the peers made of it, Cocok first; and the name of each that could not be asked -> why.

    Raises:
        CocokError: there is nothing to learn from.
    """
    if not (development.relevance >= ACCEPTED).any():
        raise CocokError("no task of the lists to learn from was taken: give a log with more of the past")
    ranked, skipped = [], dict(UNAVAILABLE)
    for peer in track(PEERS, "Fitting", console=Console(stderr=True), transient=True):
        begun = time.process_time()
        try:
            score = peer.fit(development, takings, int(final.times[0]), threads)
        except ImportError as error:
            skipped[peer.name] = f"{error}: pip install -e '.[peers]'"
            continue
        seconds = time.process_time() - begun
        ranked.append(Ranked(peer, score(final), seconds))
    return ranked, skipped


def figures(ranked: list[Ranked], final: TrainingSet) -> list[dict[str, Any]]:
    """Return, for each peer, NDCG@10 of all, warm and new workers, and the difference to the first, with intervals."""
    parts = _parts(final)
    reference = ndcg(ranked[0].scores, final.relevance, final.offsets)
    found = []
    for each in ranked:
        values = ndcg(each.scores, final.relevance, final.offsets)
        found.append(
            {
                "ranker": each.peer.name,
                "cold tasks": each.peer.cold,
                "ndcg@10": {
                    name: vars(Estimate(*cluster_interval(values[part], final.workers[part], bounds=(0.0, 1.0))))
                    for name, part in parts.items()
                },
                "difference": {
                    name: vars(paired_difference(values[part], reference[part], final.workers[part]))
                    for name, part in parts.items()
                },
                "fit seconds": round(each.fit_seconds, 2),
            }
        )
    return found


def table(found: list[dict[str, Any]], skipped: Mapping[str, str], final: TrainingSet) -> Table:
    judged = ~np.isnan(ndcg(np.zeros(len(final.labels)), final.relevance, final.offsets))
    shown = Table("ranker", "a task that nobody took", box=None)
    for name, part in _parts(final).items():
        shown.add_column(f"{name} ({(part & judged).sum():,})")
    shown.add_column(f"difference to {COCOK} (95 %)")
    shown.add_column("fit, s", justify="right")
    for each in found:
        off = each["difference"]["all"]
        difference = f"{off['value']:+.3f} ({off['low']:+.3f} to {off['high']:+.3f})"
        shown.add_row(
            each["ranker"],
            each["cold tasks"],
            *map(_mean, each["ndcg@10"].values()),
            "" if each["ranker"] == COCOK else difference,
            f"{each['fit seconds']:.1f}",
        )
    for name, why in skipped.items():
        shown.add_row(name, escape(f"skipped: {why}"), style="dim")
    return shown


def write(folder: Path, ranked: list[Ranked], final: TrainingSet) -> None:
    """Write each peer's lists, best first, as `cocok rank` does."""
    folder.mkdir(parents=True, exist_ok=True)
    names = final.catalogue["task_id"].to_numpy()[final.tasks]
    ties = np.random.default_rng(_TIE_SEED).permutation(len(names))
    for each in ranked:
        with (folder / f"{_file_name(each.peer)}.ndjson").open("wb") as file:
            for feed_id, (begin, end) in zip(final.feed_ids, pairwise(final.offsets), strict=True):
                scores = each.scores[begin:end]
                order = begin + np.lexsort((ties[begin:end], -scores))
                items = [{"task_id": names[row], "score": _number(each.scores[row])} for row in order]
                file.write(msgspec.json.encode({"request_id": feed_id, "items": items}) + b"\n")


def lists(
    workspace: Workspace, until: datetime | None, requests: Path | None, truth: Path | None
) -> tuple[TrainingSet, TrainingSet, Takings]:
    """Return the lists to learn from, those to judge on, and what was taken in the log."""
    if requests is None or truth is None:
        rows = workspace.training_set(until=until)
        before, last = holdout(rows, maturity=rows.patience)
        return rows.select(before), rows.select(last), Takings(workspace.log(until))
    with requests.open("rb") as lines:
        asked = read_requests(lines, str(requests))
    if not asked:
        raise CocokError(f"{requests} has no request")
    first, end = min(request.at for request in asked), max(request.at for request in asked)
    if until is not None and until > first:
        raise CocokError(f"the first request is at {first.isoformat()}: --until must not lie after it")
    return (
        workspace.training_set(until=until or first),
        requested(lambda: workspace.entries(micros(end)), workspace.settings.exchange, asked, _truths(truth)),
        Takings(workspace.log(end)),
    )


@contextmanager
def workspace_of(home: Path | None, log: Path | None) -> Iterator[Workspace]:
    """Open the store, or a passing one with the events of a file."""
    if log is None:
        yield Workspace.open(home)
        return
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/cocok.db"
        workspace = Workspace(load_settings(home=Path(folder), database_url=url, mlflow_tracking_uri=""))
        with opened(url) as store:
            import_files(
                store, events.read, [log], workspace.settings.exchange, on_error="stop", workspace=Path(folder)
            )
        yield workspace


def _parts(final: TrainingSet) -> dict[str, NDArray[np.bool_]]:
    warm = final.column("worker_accepts")[final.offsets[:-1]] > 0
    return {"all": np.ones(len(final), np.bool_), "warm": warm, "new": ~warm}


def _mean(found: Mapping[str, float]) -> str:
    if np.isnan(found["value"]):
        return "-"
    return f"{found['value']:.3f} ({found['low']:.3f}-{found['high']:.3f})"


def _truths(path: Path) -> list[Truth]:
    decoder = msgspec.json.Decoder(Truth)
    try:
        return [decoder.decode(line) for line in path.read_bytes().splitlines() if line.strip()]
    except msgspec.MsgspecError as error:
        raise CocokError(f"{path}: {error}") from error


def _number(score: float) -> float | None:
    return None if np.isnan(score) else float(score)


def _file_name(peer: Peer) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in peer.name.lower()).split())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--home", type=Path, help="folder of the store; that of the settings without it")
    source.add_argument("--log", type=Path, help="a file of events, instead of a store")
    parser.add_argument("--until", type=datetime.fromisoformat, help="what was known before this instant (RFC 3339)")
    parser.add_argument("--requests", type=Path, help="lists to judge, in the format of `cocok rank`")
    parser.add_argument("--truth", type=Path, help="what became of the requests: request_id and labels a line")
    parser.add_argument("--out", type=Path, help="folder for each ranker's lists")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--threads", type=int, default=0, help="0 for all cores")
    given = parser.parse_args()
    if (given.requests is None) != (given.truth is None):
        parser.error("--requests and --truth go together")
    if given.until is not None and given.until.tzinfo is None:
        given.until = given.until.replace(tzinfo=UTC)
    return given


def main() -> None:
    given = arguments()
    try:
        with workspace_of(given.home, given.log) as workspace:
            development, final, takings = lists(workspace, given.until, given.requests, given.truth)
        ranked, skipped = compare(development, final, takings, threads=given.threads)
    except CocokError as error:
        sys.exit(f"error: {error}")
    found = figures(ranked, final)
    print(f"{len(development):,} lists to learn from, {len(final):,} to judge on; NDCG@10:")
    Console(width=180).print(table(found, skipped, final))
    if given.out:
        write(given.out, ranked, final)
    if given.json:
        document = {"learned from": len(development), "judged": len(final), "rankers": found, "skipped": skipped}
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


if __name__ == "__main__":
    main()
