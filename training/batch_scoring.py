"""Scoring a table: what a registered model says of each row of a DataFrame, outside the service.

This is the loader module of the MLflow model (``pyfunc``) that `save` writes and `training.registry` keeps, and works
as well without MLflow: `BatchScorer` takes any bundle.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.errors import CocokError
from features.spec import COLUMN, NAMES, fingerprint
from matching.bundle import Bundle, verify
from matching.scoring import BundleRanker

ANSWERS = ("score", "p_accept", "p_approve", "minutes", "minutes_low", "minutes_high")
"""Columns of what `BatchScorer.predict` returns, all float64; see `matching.scoring.Answers`."""


class BatchScorer:
    """Scores rows of named features with the models of a bundle, exactly as the service does.

    Raises:
        BundleError: the model was trained with a column that the spec does not have.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._ranker = BundleRanker(bundle, "batch")
        self._names = list(bundle.feature_names)
        self._places = [COLUMN[name] for name in self._names]

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return score, P(accepted), P(approved) and minutes of every row, under the index of ``frame``.

        Scores order the rows of one list and mean nothing across lists. No row depends on the others.

        Args:
            frame: has a column of numbers for each feature of the model, NaN where it is missing, in any order; other
                columns are ignored.

        Raises:
            CocokError: a column is missing.
        """
        missing = [name for name in self._names if name not in frame.columns]
        if missing:
            raise CocokError(
                f"the table lacks {len(missing)} of the model's {len(self._names)} columns, {missing[0]!r} first: "
                "make it with TrainingSet.frame, or fill what is not known with NaN"
            )
        # A column that the model was not trained with is missing to the rules that stand in for absent models.
        rows = np.full((len(frame), len(NAMES)), np.nan, dtype=np.float32)
        rows[:, self._places] = frame[self._names].to_numpy(dtype=np.float32)
        answers = self._ranker.answers(rows)
        expected = answers.outcomes()
        columns = {"score": answers.scores, **vars(expected)}
        return pd.DataFrame({name: columns[name] for name in ANSWERS}, index=frame.index)


def save(bundle: Path, example: pd.DataFrame | None, to: Path) -> Path:
    """Write the bundle in a folder as an MLflow model, without pickle, and return where it is.

    Args:
        bundle: folder of the bundle.
        example: rows that MLflow keeps to show what is scored.
        to: folder that is not there yet.

    Raises:
        BundleError: the bundle is damaged.
    """
    from mlflow import pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    def numbers(names: Sequence[str]) -> Schema:
        return Schema([ColSpec(DataType.double, name) for name in names])

    with tempfile.TemporaryDirectory() as folder:
        data = shutil.copytree(bundle, Path(folder) / "bundle")
        pyfunc.save_model(
            to,
            loader_module=__name__,
            data_path=str(data),
            signature=ModelSignature(numbers(_manifest(bundle)["feature_names"]), numbers(ANSWERS)),
            input_example=example,
            # LightGBM by its version: its text format is promised to no other.
            pip_requirements=[f"{package}=={installed(package)}" for package in ("cocok", "lightgbm")],
        )
    return to


def _load_pyfunc(path: str) -> BatchScorer:
    """Return the scorer of the bundle in a folder: what MLflow calls when it loads the model.

    Raises:
        BundleError: the bundle is damaged, or was trained with other features than those in use.
    """
    folder = Path(path)
    # The rates are the bundle's own: amounts were converted when the table was made, and scoring converts none.
    rates = _manifest(folder)["rates_fingerprint"]
    return BatchScorer(Bundle.load(folder, expected_features=fingerprint(), expected_rates=rates))


def _manifest(folder: Path) -> dict[str, Any]:
    verify(folder)
    manifest: dict[str, Any] = json.loads((folder / "bundle.json").read_bytes())
    return manifest
