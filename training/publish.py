"""Publishing: a training, with all that tells how it was done and how good it is, becomes a version in the registry."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from features.events import instant
from training.dataset import TrainingSet
from training.metrics import Estimate
from training.ranker import RankerParameters
from training.registry import FoldRun, Registry
from training.train import Trained


def publish(registry: Registry, trained: Trained, rows: TrainingSet, parameters: RankerParameters) -> int:
    """Log a training to MLflow and register its bundle as the newest version, the challenger; return its number.

    Args:
        registry: where to.
        trained: the result of `training.train.train`.
        rows: what it was trained on.
        parameters: how the ranker was fitted.

    Raises:
        CocokError: the registry cannot be used.
    """
    bundle = trained.bundle
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        bundle.save(path)
        run = registry.log_run(
            {
                **asdict(parameters),
                "trees": trained.choice.trees,
                "maturity_hours": rows.maturity_hours,
                "lists": len(rows),
                "rows": len(rows.labels),
            },
            {**_flat(trained.metrics), **{k: v for b, m in trained.baselines.items() for k, v in _flat(m, b).items()}},
            path,
            tags={
                "data_since": instant(bundle.since).isoformat(),
                "data_until": instant(bundle.until).isoformat(),
                "features_fingerprint": bundle.features_fingerprint,
                "rates_fingerprint": bundle.rates_fingerprint,
            },
            folds=[
                FoldRun(f"fold {place}", {"best_ndcg@10": float(curve.max())}, {"ndcg@10": curve.tolist()})
                for place, curve in enumerate(trained.choice.folds, 1)
            ],
        )
    return registry.register(run)


def _flat(metrics: Mapping[str, Estimate], prefix: str = "") -> dict[str, float]:
    """Return each estimate as three metrics: the value under its own name, and the ends of its interval."""
    return {
        ".".join(part for part in (prefix, name, end) if part): number
        for name, estimate in metrics.items()
        for end, number in (("", estimate.value), ("low", estimate.low), ("high", estimate.high))
    }
