"""Publishing: a training, with all that tells how it was done and how good it is, becomes a version in the registry."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from features.events import instant
from training.evaluation import HEADLINE
from training.registry import FoldRun, Registry
from training.train import Trained
from training.tuning import SEARCHED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def publish(
    registry: Registry,
    trained: Trained,
    *,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    figures: "Mapping[str, Figure] | None" = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> int:
    """Log a training to MLflow and register its bundle as the newest version, the challenger; return its number.

    Metrics of the run are those of the model with their intervals, and NDCG@10 of each baseline and each slice. Its
    description has the baselines' intervals as well.

    Args:
        registry: where to.
        trained: the result of `training.train.train`.
        name: of the run; if None, until when it has learned and the number of its trees.
        tags: kept with the run, to find it by.
        figures: name -> Matplotlib figure, kept as ``figures/NAME.png``.
        tables: name -> table, kept without its index as ``tables/NAME.csv``.

    Raises:
        CocokError: the registry cannot be used.
    """
    bundle, rows = trained.bundle, trained.rows
    trees = trained.choice.trees
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        bundle.save(path)
        run = registry.log_run(
            {
                "trees": trees,
                "lists": len(rows),
                "judged_lists": trained.judged,
                "rows": len(rows.labels),
                "columns": len(rows.names),
                "maturity_hours": rows.maturity_hours,
                **asdict(trained.parameters),
                **_searched(trained),
            },
            _metrics(trained),
            path,
            name=name or f"until {_moment(bundle.until)}, {trees} trees",
            description=_description(trained),
            tags={
                "data_since": instant(bundle.since).isoformat(),
                "data_until": instant(bundle.until).isoformat(),
                "features_fingerprint": bundle.features_fingerprint,
                "rates_fingerprint": bundle.rates_fingerprint,
                **(tags or {}),
            },
            example=pd.DataFrame(rows.features[-1:].astype(float), columns=list(rows.names)),
            figures=figures,
            tables=tables,
            # MLflow shows the newest first.
            folds=list(_folds(trained))[::-1],
        )
    ndcg = trained.metrics[HEADLINE].value
    return registry.register(run, description=_summary(trained), tags={"ndcg_at_10": f"{ndcg:.4f}"})


def _metrics(trained: Trained) -> dict[str, float]:
    """Return the few figures that runs are compared by."""
    headlines = {
        **{part: rankers["model"] for part, rankers in trained.slices.items()},
        **{f"baseline.{name}": metrics for name, metrics in trained.baselines.items()},
    }
    figures = {
        **{
            f"{name}{end}": number
            for name, estimate in trained.metrics.items()
            for end, number in (("", estimate.value), (".low", estimate.low), (".high", estimate.high))
        },
        **{f"{owner}.{HEADLINE}": metrics[HEADLINE].value for owner, metrics in headlines.items()},
    }
    # MLflow shows the end of an unbounded interval as 1.8e308.
    return {name: number for name, number in figures.items() if not math.isinf(number)}


def _searched(trained: Trained) -> dict[str, object]:
    """Return how the parameters were searched for, and the best that were found, whether they are used or not."""
    if (tuning := trained.tuning) is None:
        return {}
    return {
        "tuning.trials": len(tuning.trials),
        "tuning.won": tuning.won,
        "tuning.gain": tuning.gain.text(4, signed=True),
        **{f"tuning.best.{name}": getattr(tuning.best, name) for name in SEARCHED},
    }


def _folds(trained: Trained) -> Iterator[FoldRun]:
    """Return a run for each validation window: NDCG@10 after each tree, and at the chosen number of trees."""
    curves = trained.choice.folds
    for place, curve in enumerate(curves, 1):
        chosen = min(trained.choice.trees, len(curve)) - 1
        yield FoldRun(
            f"validation window {place} of {len(curves)}",
            {"trees_tried": len(curve), "trees_chosen": trained.choice.trees, "best_trees": int(curve.argmax()) + 1},
            {"at_chosen_trees.ndcg@10": float(curve[chosen]), "best.ndcg@10": float(curve.max())},
            {"by_tree.ndcg@10": curve.tolist()},
        )


def _summary(trained: Trained) -> str:
    """Return in a few words how good the model is and what it has learned from."""
    bundle = trained.bundle
    name, best = max(trained.baselines.items(), key=lambda baseline: baseline[1][HEADLINE].value)
    return (
        f"NDCG@10 **{trained.metrics[HEADLINE].text(3)}** on the last {trained.judged:,} lists, against "
        f"{best[HEADLINE].text(3)} of the best baseline, `{name}`. Learned from lists served from "
        f"{_moment(bundle.since)} to {_moment(bundle.until)} UTC."
    )


def _description(trained: Trained) -> str:
    """Return in Markdown what the page of the run begins with."""
    rows = trained.rows
    head = ["ranker", *trained.metrics, *(f"{HEADLINE}, {part} workers" for part in trained.slices)]
    body = [
        [
            f"**{name}**" if name == "model" else name,
            *(estimate.text(3) for estimate in metrics.values()),
            *(part[name][HEADLINE].text(3) for part in trained.slices.values()),
        ]
        for name, metrics in {"model": trained.metrics, **trained.baselines}.items()
    ]
    table = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body)]
    explained = (
        "Every ranker on the same lists, judged by a model fitted without them; higher is better, and in brackets is "
        "the 95 % interval over workers."
    )
    if trained.slices:
        explained += " Warm workers had accepted a task before, new ones had not."
    data = [
        f"{len(rows):,} lists with {len(rows.labels):,} rows of {len(rows.names)} features; the outcomes of a list "
        f"were waited for {rows.maturity_hours:.1f} hours",
        f"{trained.choice.trees} trees, chosen on {len(trained.choice.folds)} validation windows",
        *([f"parameters: {trained.tuning.verdict()}"] if trained.tuning else []),
        *(f"no model of `{name}`: {reason}" for name, reason in trained.unfitted.items()),
    ]
    return "\n".join([_summary(trained), "", explained, "", *table, "", *(f"- {line}" for line in data)])


def _moment(microseconds: int) -> str:
    return f"{instant(microseconds):%Y-%m-%d %H:%M}"
