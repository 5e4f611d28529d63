"""Where models are kept: runs, versions and aliases in MLflow. Only this module and `training.run_store` ask its store.

A run holds what was trained:

```
model/              an MLflow model (pyfunc): signature, example, requirements; see `training.batch_scoring`
model/data/bundle   the bundle, as it was saved
figures/            PNG
tables/             CSV
```

A version of the registered model ``cocok`` points at the model of a run, and the aliases ``champion`` (serves) and
``challenger`` (the newest) at versions. MLflow is imported at the first call, so that importing this module costs
nothing.
"""

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

from features.errors import CocokError
from matching.bundle import Bundle, BundleError, verify
from training.aliases import CHALLENGER, CHAMPION, PREVIOUS
from training.last_served import LastServed, note, noted
from training.run_store import NOTE, RunStore

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MODEL = "cocok"
EXPERIMENTS = "cocok-experiments"

_PYFUNC = "model"
_BUNDLE = f"{_PYFUNC}/data/bundle"
_FIRST = "champion_where_none_served"
_ABOUT_MODEL = (
    "Ranks open micro jobs for a worker. The alias `champion` serves, `challenger` is the newest version, `previous` "
    "served before the champion and is what `cocok rollback` goes back to."
)
_ABOUT_RUNS = (
    "One run for each training of Cocok, which ranks open micro jobs for a worker. `ndcg_at_10` is between 0 and 1 and "
    "higher is better: 1 puts what the worker took, and took well, before all else. It is taken on the last lists, "
    "which the model judged had not seen, with the ends of its 95 % interval beside it (`.low`, `.high`); "
    "`baseline.*` are orders without learning on the same lists. The runs below a training are its validation windows."
)
_ABOUT_EXPERIMENTS = (
    "One run for each `cocok experiment`: policies compared in a simulated marketplace that reacts to what is listed. "
    "Metrics are `POLICY.MEASURE`, means over seeds; `report.html` has them all with intervals and figures."
)


@dataclass(frozen=True)
class FoldRun:
    """What became of one validation window; logged as a run nested in that of the training.

    Attributes:
        name: of the run.
        parameters: what this window has to itself.
        metrics: name -> value.
        curves: name -> value after each tree.
    """

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)
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
        self._store = RunStore(tracking_uri, artifact_root)
        self._cache = cache

    @classmethod
    def at(cls, home: Path, tracking_uri: str | None = None) -> "Registry":
        """Return the registry of ``home``: the server at ``tracking_uri``, or an embedded store if None."""
        home = home.resolve()
        cache = home / "bundles"
        if tracking_uri is not None:
            return cls(tracking_uri, None, cache)
        store = home / "mlflow"
        # No more is escaped than has to be: MLflow makes a folder of what stands here, too.
        path = str(store / "mlflow.db").replace("%", "%25").replace("?", "%3F")
        return cls(f"sqlite:///{path}", (store / "artifacts").as_uri(), cache)

    def log_run(
        self,
        parameters: Mapping[str, object],
        metrics: Mapping[str, float],
        bundle: Path,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        example: "pd.DataFrame | None" = None,
        figures: "Mapping[str, Figure] | None" = None,
        tables: "Mapping[str, pd.DataFrame] | None" = None,
        folds: Sequence[FoldRun] = (),
    ) -> str:
        """Log a training with everything it produced.

        Args:
            parameters: how it was trained.
            metrics: how good it is; ``ndcg@10`` is logged as ``ndcg_at_10``, since MLflow takes no ``@``.
            bundle: folder of the bundle, as saved.
            name: of the run; MLflow makes one up if None.
            description: Markdown, at most 8,000 characters; the page of the run begins with it.
            tags: anything to find the run by.
            example: a few rows of features, kept to show what the model takes.
            figures: name -> Matplotlib figure, kept as ``figures/NAME.png``.
            tables: name -> table, kept without its index as ``tables/NAME.csv``.
            folds: runs nested in this one.

        Returns:
            The id of the run.

        Raises:
            BundleError: the bundle is not complete; nothing is logged.
        """
        from training.batch_scoring import save

        verify(bundle)
        told = {"cocok.version": installed("cocok"), **(tags or {})}
        if description is not None:
            told[NOTE] = description
        with self._store.spoken():
            experiment = self._store.experiment(MODEL, _ABOUT_RUNS)
            with self._store.run(experiment, name, told) as run_id:
                self._store.log_parameters(run_id, parameters)
                self._store.log_metrics(run_id, metrics)
                with tempfile.TemporaryDirectory() as folder:
                    self._store.client.log_artifacts(
                        run_id, str(save(bundle, example, Path(folder) / _PYFUNC)), _PYFUNC
                    )
                self._store.log_figures(run_id, "figures", figures)
                self._store.log_tables(run_id, "tables", tables)
                for fold in folds:
                    with self._store.run(experiment, fold.name, {"mlflow.parentRunId": run_id}) as nested:
                        self._store.log_parameters(nested, fold.parameters)
                        self._store.log_metrics(nested, fold.metrics)
                        self._store.log_curves(nested, fold.curves)
            return run_id

    def log_experiment(
        self,
        parameters: Mapping[str, object],
        metrics: Mapping[str, float],
        *,
        name: str | None = None,
        figures: "Mapping[str, Figure] | None" = None,
        tables: "Mapping[str, pd.DataFrame] | None" = None,
        pages: Mapping[str, str] | None = None,
    ) -> str:
        """Log a comparison of policies, which trains nothing that could be registered; return the id of the run.

        Args:
            parameters: what was compared.
            metrics: name -> value.
            name: of the run; MLflow makes one up if None.
            figures: name -> Matplotlib figure, kept as ``figures/NAME.png``.
            tables: name -> table, kept without its index as ``tables/NAME.csv``.
            pages: name of a file -> its text.
        """
        with self._store.spoken():
            experiment = self._store.experiment(EXPERIMENTS, _ABOUT_EXPERIMENTS)
            with self._store.run(experiment, name, {"cocok.version": installed("cocok")}) as run_id:
                self._store.log_parameters(run_id, parameters)
                self._store.log_metrics(run_id, metrics)
                self._store.log_figures(run_id, "figures", figures)
                self._store.log_tables(run_id, "tables", tables)
                for file, text in (pages or {}).items():
                    self._store.client.log_text(run_id, text, file)
            return run_id

    def register(self, run_id: str, *, description: str | None = None, tags: Mapping[str, str] | None = None) -> int:
        """Make the model of a run the newest version, and the challenger; return its number.

        Args:
            run_id: as `log_run` returned it.
            description: Markdown, at most 5,000 characters; the page of the version begins with it.
            tags: what the list of versions shall show.
        """
        with self._store.spoken():
            if not any(model.name == MODEL for model in self._store.client.search_registered_models(f"name='{MODEL}'")):
                self._store.client.create_registered_model(MODEL, description=_ABOUT_MODEL)
            source = f"{self._store.client.get_run(run_id).info.artifact_uri}/{_PYFUNC}"
            created = self._store.client.create_model_version(
                MODEL, source, run_id=run_id, tags=dict(tags or {}), description=description
            )
            number = int(created.version)
        self.set_alias(CHALLENGER, number)
        return number

    def annotate(self, version: int, tags: Mapping[str, str], metrics: Mapping[str, float] | None = None) -> None:
        """Write on a version what was found out about it later, such as the verdict of the gate.

        Args:
            version: its number.
            tags: set on the version; one that is there already is overwritten.
            metrics: logged to the run of the version, since versions have none of their own.

        Raises:
            CocokError: there is no such version.
        """
        named = self._named(str(version))
        with self._store.spoken():
            for key, value in tags.items():
                self._store.client.set_model_version_tag(MODEL, str(named.number), key, value)
            self._store.log_metrics(named.run_id, metrics or {})

    def attach(
        self,
        version: int,
        folder: str,
        *,
        figures: "Mapping[str, Figure] | None" = None,
        tables: "Mapping[str, pd.DataFrame] | None" = None,
    ) -> None:
        """Keep figures and tables that were made later with the run of a version.

        Args:
            version: its number.
            folder: of the run's artifacts; what is there already under the same name is overwritten.
            figures: name -> Matplotlib figure, kept as ``FOLDER/NAME.png``.
            tables: name -> table, kept without its index as ``FOLDER/NAME.csv``.

        Raises:
            CocokError: there is no such version.
        """
        run_id = self._named(str(version)).run_id
        with self._store.spoken():
            self._store.log_figures(run_id, folder, figures)
            self._store.log_tables(run_id, folder, tables)

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
            BundleError: the store holds a damaged bundle, or can be reached and has none.
        """
        # Numbers repeat from one store to the next, the ids of runs do not.
        run_id = self._named(str(version)).run_id
        folder = self._cache / run_id
        if _sound(folder):
            return folder
        unfinished = self._cache / f".{run_id}.{uuid.uuid4().hex}"
        unfinished.mkdir(parents=True)
        try:
            try:
                with self._store.spoken():
                    fetched = Path(self._store.client.download_artifacts(run_id, _BUNDLE, str(unfinished)))
            except CocokError as error:
                if self._keeps_bundle(run_id):
                    raise
                reason = f"the bundle of version {version} is gone from the store: train a new model with cocok train"
                raise BundleError(reason) from error
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
        return self._at(CHAMPION)

    def challenger(self) -> int | None:
        """Return the number of the newest version, None if there is none or the alias was taken off it."""
        return self._at(CHALLENGER)

    def load(self, version: int, *, expected_features: str, expected_rates: str) -> Bundle:
        """Return the bundle of a version, fetched if need be and checked.

        Raises:
            CocokError: there is no such version, or its bundle does not fit what is in use; see `Bundle.load`.
        """
        return Bundle.load(self.fetch(version), expected_features=expected_features, expected_rates=expected_rates)

    def keep_serving(self, version: int | None) -> None:
        """Remember on this machine what serves, for `last_served`; None where no version does.

        Raises:
            CocokError: there is no such version, or the folder of bundles cannot be written.
        """
        note(self._cache, None if version is None else LastServed(version, self._named(str(version)).run_id))

    def last_served(self, *, expected_features: str, expected_rates: str) -> tuple[int, Bundle] | None:
        """Return the version that served last on this machine and its bundle, without asking the store.

        Returns:
            None where none did, or its bundle is not here any more.

        Raises:
            CocokError: the bundle does not fit what is in use; see `Bundle.load`.
        """
        served = noted(self._cache)
        if served is None or not _sound(folder := self._cache / served.run_id):
            return None
        return served.version, Bundle.load(folder, expected_features=expected_features, expected_rates=expected_rates)

    def versions(self) -> list[Version]:
        """Return all versions, oldest first."""
        with self._store.spoken():
            models = self._store.client.search_registered_models(f"name='{MODEL}'")
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
        with self._store.spoken():
            self._store.client.set_registered_model_alias(MODEL, alias, str(number))

    def promote(self, version: int, *, instead_of: int | Literal["whoever"] | None = "whoever") -> None:
        """Let a version serve, and remember the one that served before as ``previous``.

        Args:
            version: its number.
            instead_of: the version that it was judged against, None where nobody served; it must serve still.

        Raises:
            CocokError: there is no such version, or another began to serve since it was judged.
        """
        number = self.resolve(str(version))
        with self._turn():
            serving = self.champion()
            if instead_of != "whoever" and serving not in (instead_of, number):
                raise CocokError(
                    f"while version {number} was judged against {f'version {instead_of}' if instead_of else 'nobody'}, "
                    f"{f'version {serving} began' if serving else 'that one ceased'} to serve, so it was not promoted: "
                    f"run cocok promote {number} again"
                )
            if serving is None:
                # What served before whatever served last is of no use: nothing does now.
                self.remove_alias(PREVIOUS)
                self._note_first(str(number))
            elif serving != number:
                if PREVIOUS in _aliases(self.versions()):
                    # What served before that one cannot be told any more.
                    self._note_first("")
                self.set_alias(PREVIOUS, serving)
            self.set_alias(CHAMPION, number)

    def rollback(self) -> int | None:
        """Undo the last promotion that was not undone.

        Returns:
            The version that serves again; None where none did before.

        Raises:
            CocokError: nothing serves, or what served before is not known any more.
        """
        with self._turn():
            before = [version.number for version in self.versions() if PREVIOUS in version.aliases]
            if before:
                self.set_alias(CHAMPION, before[0])
                self.remove_alias(PREVIOUS)
                return before[0]
            champion = self.champion()
            if champion is None or self._first() != str(champion):
                raise CocokError("there is nothing to go back to: no version is known to have served before")
            self.remove_alias(CHAMPION)
        return None

    def clear(self) -> None:
        """Remove every version and every run; the next version is 1 again."""
        with self._store.spoken():
            if self._store.client.search_registered_models(f"name='{MODEL}'"):
                self._store.client.delete_registered_model(MODEL)
            while runs := self._store.client.search_runs([self._store.experiment(MODEL, _ABOUT_RUNS)]):
                for run in runs:
                    self._store.client.delete_run(run.info.run_id)
        shutil.rmtree(self._cache, ignore_errors=True)

    def remove_alias(self, alias: str) -> None:
        """Let an alias point at nothing; no error if it did not point at anything."""
        if alias in _aliases(self.versions()):
            with self._store.spoken():
                self._store.client.delete_registered_model_alias(MODEL, alias)

    def _note_first(self, version: str) -> None:
        """Note the version that was promoted while none served, as far as promotions since can be undone."""
        with self._store.spoken():
            self._store.client.set_registered_model_tag(MODEL, _FIRST, version)

    def _first(self) -> str | None:
        with self._store.spoken():
            found: str | None = self._store.client.get_registered_model(MODEL).tags.get(_FIRST)
        return found

    def _turn(self) -> FileLock:
        """Return a lock of the home: MLflow moves an alias without asking where it points."""
        home = self._cache.parent
        home.mkdir(parents=True, exist_ok=True)
        return FileLock(home / "promotion.lock")

    def _keeps_bundle(self, run_id: str) -> bool:
        """Ask a store that must be within reach whether it has the bundle of a run."""
        folder, _, _ = _BUNDLE.rpartition("/")
        with self._store.spoken():
            return any(kept.path == _BUNDLE for kept in self._store.client.list_artifacts(run_id, folder))

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

    def _at(self, alias: str) -> int | None:
        numbers = [version.number for version in self.versions() if alias in version.aliases]
        return numbers[0] if numbers else None

    def _all_versions(self) -> Iterator[Any]:
        page = self._store.client.search_model_versions(f"name='{MODEL}'")
        yield from page
        while page.token:
            page = self._store.client.search_model_versions(f"name='{MODEL}'", page_token=page.token)
            yield from page


def _sound(folder: Path) -> bool:
    try:
        verify(folder)
    except BundleError:
        return False
    return True


def _aliases(versions: Sequence[Version]) -> list[str]:
    return sorted(alias for version in versions for alias in version.aliases)
