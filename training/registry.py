"""Where models are kept: runs, versions and aliases in MLflow. No other module talks to it.

A run holds what was trained, with the bundle as its artifact; a version of the registered model ``cocok`` points at a
run; the aliases ``champion`` (serves) and ``challenger`` (the newest) point at versions. MLflow is imported at the
first call, so that importing this module costs nothing.
"""

import contextlib
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from features.errors import CocokError
from matching.bundle import Bundle, BundleError, verify

MODEL = "cocok"
CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"

_BUNDLE = "bundle"
_PARAMETERS_AT_ONCE = 100
_METRICS_AT_ONCE = 1000
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class FoldRun:
    """What became of one validation window; logged as a run nested in that of the training.

    Attributes:
        name: of the run.
        metrics: name -> value.
        curves: name -> value after each tree.
    """

    name: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        number: 1, 2, ...
        run_id: the run that trained it.
        aliases: the aliases that point at it, sorted.
        created_at: microseconds since 1970.
    """

    number: int
    run_id: str
    aliases: tuple[str, ...]
    created_at: int


class Registry:
    """Runs and versions in one MLflow store; every method raises `CocokError` if the store cannot be used."""

    def __init__(self, tracking_uri: str, artifact_root: str | None, cache: Path) -> None:
        """Describe the store; nothing is opened yet.

        Args:
            tracking_uri: as MLflow takes it: ``sqlite:///...``, ``http://...``, ``postgresql://...``.
            artifact_root: URI below which artifacts are kept; None leaves it to the server.
            cache: local folder for fetched bundles.
        """
        self._uri = tracking_uri
        self._artifact_root = artifact_root
        self._cache = cache

    @classmethod
    def at(cls, home: Path, tracking_uri: str | None = None) -> "Registry":
        """Return the registry of ``home``: the server at ``tracking_uri``, or an embedded store if None."""
        home = home.resolve()
        cache = home / "bundles"
        if tracking_uri is not None:
            return cls(tracking_uri, None, cache)
        store = home / "mlflow"
        return cls(f"sqlite:///{store / 'mlflow.db'}", (store / "artifacts").as_uri(), cache)

    def log_run(
        self,
        parameters: Mapping[str, object],
        metrics: Mapping[str, float],
        bundle: Path,
        *,
        tags: Mapping[str, str] | None = None,
        artifacts: Sequence[Path] = (),
        folds: Sequence[FoldRun] = (),
    ) -> str:
        """Log a training with everything it produced.

        Args:
            parameters: how it was trained.
            metrics: how good it is; ``ndcg@10`` is logged as ``ndcg_at_10``, since MLflow takes no ``@``.
            bundle: folder of the bundle, as saved.
            tags: anything to find the run by.
            artifacts: files to keep with the run, such as plots.
            folds: runs nested in this one.

        Returns:
            The id of the run.

        Raises:
            BundleError: the bundle is not complete; nothing is logged.
        """
        verify(bundle)
        with self._spoken():
            experiment = self._experiment()
            with self._run(experiment, dict(tags or {})) as run_id:
                for part in _parts(list(parameters.items()), _PARAMETERS_AT_ONCE):
                    self._client.log_batch(run_id, params=[_param(name, value) for name, value in part])
                self._log_metrics(run_id, {name: [value] for name, value in metrics.items()})
                self._client.log_artifacts(run_id, str(bundle), _BUNDLE)
                for path in artifacts:
                    self._client.log_artifact(run_id, str(path))
                for fold in folds:
                    with self._run(experiment, {"mlflow.parentRunId": run_id, "mlflow.runName": fold.name}) as nested:
                        self._log_metrics(nested, {name: [value] for name, value in fold.metrics.items()})
                        self._log_metrics(nested, fold.curves)
            return run_id

    def register(self, run_id: str) -> int:
        """Make the bundle of a run the newest version of the model, and the challenger; return its number."""
        with self._spoken():
            if not any(model.name == MODEL for model in self._client.search_registered_models(f"name='{MODEL}'")):
                self._client.create_registered_model(MODEL)
            source = f"{self._client.get_run(run_id).info.artifact_uri}/{_BUNDLE}"
            number = int(self._client.create_model_version(MODEL, source, run_id=run_id).version)
        self.set_alias(CHALLENGER, number)
        return number

    def resolve(self, model: str) -> int:
        """Return the number of the version that an alias or a number names.

        Raises:
            CocokError: there is no such version or alias.
        """
        return self._named(model).number

    def fetch(self, version: int) -> Path:
        """Return a local folder with the bundle of a version, fetched unless it is here already, and verified.

        Raises:
            CocokError: there is no such version.
            BundleError: the store holds a damaged bundle.
        """
        # Numbers repeat from one store to the next, the ids of runs do not.
        run_id = self._named(str(version)).run_id
        folder = self._cache / run_id
        if _sound(folder):
            return folder
        unfinished = self._cache / f".{run_id}.{uuid.uuid4().hex}"
        unfinished.mkdir(parents=True)
        try:
            with self._spoken():
                fetched = Path(self._client.download_artifacts(run_id, _BUNDLE, str(unfinished)))
            try:
                verify(fetched)
            except BundleError as error:
                # The folder it was fetched into is gone by the time that anybody reads its name.
                reason = str(error).replace(str(fetched), f"of version {version} in the store")
                raise BundleError(reason) from error
            shutil.rmtree(folder, ignore_errors=True)
            try:
                fetched.rename(folder)
            except OSError:
                # Another process has put the same bundle there in the meantime.
                verify(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return folder

    def champion(self) -> int | None:
        """Return the number of the version that serves, None if none was promoted."""
        serving = [version.number for version in self.versions() if CHAMPION in version.aliases]
        return serving[0] if serving else None

    def load(self, version: int, *, expected_features: str, expected_rates: str) -> Bundle:
        """Return the bundle of a version, fetched if need be and checked.

        Raises:
            CocokError: there is no such version, or its bundle does not fit what is in use; see `Bundle.load`.
        """
        return Bundle.load(self.fetch(version), expected_features=expected_features, expected_rates=expected_rates)

    def versions(self) -> list[Version]:
        """Return all versions, oldest first."""
        with self._spoken():
            models = self._client.search_registered_models(f"name='{MODEL}'")
            pointing: dict[int, list[str]] = {}
            for model in models:
                for alias, number in model.aliases.items():
                    pointing.setdefault(int(number), []).append(alias)
            found = [
                Version(
                    number=int(each.version),
                    run_id=each.run_id,
                    aliases=tuple(sorted(pointing.get(int(each.version), []))),
                    created_at=int(each.creation_timestamp) * 1000,
                )
                for each in self._all_versions()
            ]
        return sorted(found, key=lambda version: version.number)

    def set_alias(self, alias: str, version: int) -> None:
        """Let an alias point at a version.

        Raises:
            CocokError: there is no such version.
        """
        number = self._named(str(version)).number
        with self._spoken():
            self._client.set_registered_model_alias(MODEL, alias, str(number))

    def promote(self, version: int) -> None:
        """Let a version serve, and remember the one that served before as ``previous``.

        Raises:
            CocokError: there is no such version.
        """
        serving = self.champion()
        number = self.resolve(str(version))
        if serving is not None and serving != number:
            self.set_alias(PREVIOUS, serving)
        self.set_alias(CHAMPION, number)

    def rollback(self) -> int:
        """Let the version serve again that served before the last promotion, and return its number.

        Raises:
            CocokError: nothing served before.
        """
        before = [version.number for version in self.versions() if PREVIOUS in version.aliases]
        if not before:
            raise CocokError("there is nothing to go back to: no version served before the champion")
        self.set_alias(CHAMPION, before[0])
        self.remove_alias(PREVIOUS)
        return before[0]

    def remove_alias(self, alias: str) -> None:
        """Let an alias point at nothing; no error if it did not point at anything."""
        if alias in _aliases(self.versions()):
            with self._spoken():
                self._client.delete_registered_model_alias(MODEL, alias)

    @cached_property
    def _client(self) -> Any:
        _hush()
        from mlflow import MlflowClient

        if self._uri.startswith("sqlite:///"):
            Path(self._uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def _named(self, model: str) -> Version:
        versions = self.versions()
        for version in versions:
            if model in version.aliases or model == str(version.number):
                return version
        if not versions:
            raise CocokError("no model has been trained yet: run cocok train")
        if model == CHAMPION:
            raise CocokError(f"no version is the champion yet: run cocok promote {versions[-1].number}")
        known = ", ".join([str(version.number) for version in versions[-5:]] + _aliases(versions))
        raise CocokError(f"there is no model {model!r}: choose one of {known}")

    def _all_versions(self) -> Iterator[Any]:
        page = self._client.search_model_versions(f"name='{MODEL}'")
        yield from page
        while page.token:
            page = self._client.search_model_versions(f"name='{MODEL}'", page_token=page.token)
            yield from page

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(MODEL)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(MODEL, artifact_location=self._artifact_root))

    @contextlib.contextmanager
    def _run(self, experiment: str, tags: dict[str, str]) -> Iterator[str]:
        run_id = str(self._client.create_run(experiment, tags=tags).info.run_id)
        try:
            yield run_id
        except BaseException:
            self._client.set_terminated(run_id, "FAILED")
            raise
        self._client.set_terminated(run_id)

    def _log_metrics(self, run_id: str, curves: Mapping[str, Sequence[float]]) -> None:
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        points = [
            Metric(_acceptable(name), float(value), timestamp=now, step=step)
            for name, values in curves.items()
            for step, value in enumerate(values)
        ]
        for part in _parts(points, _METRICS_AT_ONCE):
            self._client.log_batch(run_id, metrics=part)

    @contextlib.contextmanager
    def _spoken(self) -> Iterator[None]:
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
    """Keep MLflow off the terminal and the network; what the user has set himself stands."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # MLflow's own patience with a server that does not answer is many minutes.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _sound(folder: Path) -> bool:
    try:
        verify(folder)
    except BundleError:
        return False
    return True


def _aliases(versions: Sequence[Version]) -> list[str]:
    return sorted(alias for version in versions for alias in version.aliases)


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
