"""Writing runs to an MLflow store: parameters, metrics, figures and tables, in the portions and names that it takes.

MLflow is imported when the store is first used, so that importing this module costs nothing.
"""

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from features.errors import CocokError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

NOTE = "mlflow.note.content"
"""The tag with the text that the page of a run or an experiment begins with."""

_PARAMETERS_AT_ONCE = 100
_METRICS_AT_ONCE = 1000
_Item = TypeVar("_Item")


class RunStore:
    """One MLflow store. Its calls, and those to ``client``, belong into `spoken`."""

    def __init__(self, uri: str, artifact_root: str | None) -> None:
        """Describe the store; nothing is opened yet.

        Args:
            uri: as MLflow takes it: ``sqlite:///...``, ``http://...``, ``postgresql://...``.
            artifact_root: URI below which artifacts are kept; None leaves it to the server.
        """
        self._uri = uri
        self._artifact_root = artifact_root

    @cached_property
    def client(self) -> Any:
        """Return MLflow's client, for what is no run."""
        _hush()
        from mlflow import MlflowClient
        from sqlalchemy import make_url

        if self._uri.startswith("sqlite:///"):
            Path(make_url(self._uri).database or "").parent.mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def experiment(self, name: str, about: str) -> str:
        """Return the id of an experiment, which is made, with a text about it, if need be."""
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        tags = {NOTE: about, "mlflow.experimentKind": "custom_model_development"}
        return str(self.client.create_experiment(name, artifact_location=self._artifact_root, tags=tags))

    @contextlib.contextmanager
    def run(self, experiment: str, name: str | None, tags: Mapping[str, str]) -> Iterator[str]:
        """Begin a run, give its id, and end it; it has failed if an exception comes through."""
        run_id = str(self.client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id)
        try:
            yield run_id
        except BaseException:
            self.client.set_terminated(run_id, "FAILED")
            raise
        self.client.set_terminated(run_id)

    def log_parameters(self, run_id: str, parameters: Mapping[str, object]) -> None:
        """Write parameters, however many."""
        for part in _parts(list(parameters.items()), _PARAMETERS_AT_ONCE):
            self.client.log_batch(run_id, params=[_param(name, value) for name, value in part])

    def log_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Write a value of each metric."""
        self.log_curves(run_id, {name: [value] for name, value in metrics.items()})

    def log_curves(self, run_id: str, curves: Mapping[str, Sequence[float]]) -> None:
        """Write the values of each metric, the first one at step 0."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        points = [
            Metric(_acceptable(name), float(value), timestamp=now, step=step)
            for name, values in curves.items()
            for step, value in enumerate(values)
        ]
        for part in _parts(points, _METRICS_AT_ONCE):
            self.client.log_batch(run_id, metrics=part)

    def log_figures(self, run_id: str, folder: str, figures: "Mapping[str, Figure] | None") -> None:
        """Keep each figure as ``FOLDER/NAME.png``."""
        for name, figure in (figures or {}).items():
            self.client.log_figure(run_id, figure, f"{folder}/{name}.png")

    def log_tables(self, run_id: str, folder: str, tables: "Mapping[str, pd.DataFrame] | None") -> None:
        """Keep each table without its index as ``FOLDER/NAME.csv``."""
        for name, table in (tables or {}).items():
            self.client.log_text(run_id, table.to_csv(index=False), f"{folder}/{name}.csv")

    @contextlib.contextmanager
    def spoken(self) -> Iterator[None]:
        """Turn what MLflow and its store raise into one line that says what to do."""
        _hush()
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
            reason = _without_password(str(error).strip().partition("\n")[0])[:300]
            raise CocokError(
                f"MLflow at {_without_password(self._uri)} cannot be used ({reason}): "
                "check MLFLOW_TRACKING_URI and whether that store can be reached"
            ) from error


def _hush() -> None:
    """Keep MLflow off the terminal and the network; settings of the user's own are kept."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # The lock file of whatever project is in the working directory says nothing about the model.
        "MLFLOW_UV_AUTO_DETECT": "false",
        # MLflow's own patience with a server that does not answer is many minutes.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _param(name: str, value: object) -> Any:
    from mlflow.entities import Param

    return Param(_acceptable(name), str(value))


def _acceptable(name: str) -> str:
    """Return the name with only what MLflow takes: letters, digits and ``_ - . : /`` and blanks."""
    return re.sub(r"[^\w\-.:/ ]", "_", name.replace("@", "_at_"))


def _parts(items: list[_Item], size: int) -> Iterator[list[_Item]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]+@", "//", text)
