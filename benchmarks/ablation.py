"""What each feature group is worth: the ranker trained without it, judged on the same last part of the lists.

    COCOK_HOME=.cocok .venv/bin/python -m benchmarks.ablation [--until 2026-03-01T00:00:00Z] [--maturity-hours 24]

It reads the log of the store (`cocok import` fills it), builds the training set once, and trains seven rankers: with
all columns, and without each group in turn. Every one chooses its own number of trees and learns from the lists before
the last part. The table shows NDCG@10 on the last part, over all workers, those with a history and those without, and
the difference to the full ranker on the same lists with its 95 % interval over workers: below 0, the group is missed.
"""

import argparse
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from features.errors import CocokError
from features.events import micros
from features.spec import GROUPS
from service.settings import load_settings
from service.store import open_store
from training.dataset import TrainingSet
from training.metrics import paired_difference
from training.ranker import RankerParameters
from training.replay import training_set
from training.sensitivity import FULL, Judged, judge
from training.splits import holdout


def read(until: int | None, maturity: int | None) -> TrainingSet:
    settings = load_settings()
    store = open_store(settings.store_url)
    try:
        if store.count() == 0:
            raise CocokError("the log is empty: bring events in with `cocok import PATH`, or set COCOK_HOME")
        if until is None:
            (last,) = next(store.read(after=store.last_seq() - 1))
            until = last.known_at + 1
        return training_set(lambda: store.read(before=until), settings.exchange, until=until, maturity=maturity)
    finally:
        store.close()


def table(final: TrainingSet, judged: dict[str, Judged]) -> Table:
    """Show each ranker beside the full one.

    Args:
        final: the last part, on which they were judged.
        judged: group left out -> the ranker without it; ``FULL`` -> the one with all columns.
    """
    warm = final.column("worker_accepts")[final.offsets[:-1]] > 0
    parts = {"all": np.ones(len(final), np.bool_), "warm": warm, "new": ~warm}
    full = judged[FULL].ndcg
    shown = Table(
        "without", "columns", "trees", *(f"{name} ({part.sum():,})" for name, part in parts.items()), box=None
    )
    shown.add_column("difference (95 %)")
    for group, found in judged.items():
        means = [found.ndcg[part & ~np.isnan(found.ndcg)] for part in parts.values()]
        difference = paired_difference(found.ndcg, full, final.workers)
        shown.add_row(
            group,
            str(found.columns),
            str(found.trees),
            *(f"{values.mean():.4f}" if len(values) else "-" for values in means),
            "" if group == FULL else f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})",
        )
    return shown


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", type=datetime.fromisoformat, help="what was known before this instant (RFC 3339)")
    parser.add_argument("--maturity-hours", type=float, help="how long outcomes of a list are waited for")
    parser.add_argument("--threads", type=int, default=0, help="0 for all cores")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    until = given.until and micros(given.until if given.until.tzinfo else given.until.replace(tzinfo=UTC))
    hours = given.maturity_hours
    try:
        rows = read(until, None if hours is None else int(timedelta(hours=hours) / timedelta(microseconds=1)))
        parameters = RankerParameters(num_threads=given.threads)
        before, last = holdout(rows, maturity=rows.patience)
        sets = {FULL: rows, **{group: rows.without(group) for group in GROUPS}}
        steps = track(sets.items(), "Training", console=Console(stderr=True), transient=True)
        judged = {group: judge(kept.select(before), kept.select(last), parameters) for group, kept in steps}
    except CocokError as error:
        sys.exit(f"error: {error}")
    print(f"{len(rows):,} lists, {len(rows.labels):,} rows, outcomes within {rows.maturity_hours:.1f} h; NDCG@10:")
    Console(width=120).print(table(rows.select(last), judged))


if __name__ == "__main__":
    main()
