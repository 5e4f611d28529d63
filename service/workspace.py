"""A marketplace's log and its models in one place: what the command line and notebooks work with, without an API."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import CocokError
from features.events import micros
from features.progress import Progress, Steps
from features.spec import NAMES, fingerprint
from matching.bundle import Bundle, BundleError
from service.settings import Settings, load_settings
from service.store import Stored, opened, sqlite_url
from training.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from training.contest import Contest
    from training.dataset import TrainingSet
    from training.frames import Log
    from training.gate import Limits, Verdict
    from training.off_policy import OffPolicy
    from training.ranker import RankerParameters
    from training.report import Report
    from training.train import Trained

_EVENTS_AT_ONCE = 20_000
_TRIALS = "tuning.journal"


@dataclass(frozen=True)
class Promotion:
    """What came of a wish to promote.

    Attributes:
        promoted: whether the version serves now.
        verdict: what the gate saw; None where it could not judge.
        reasons: why the gate refused; empty if it did not.
        incomparable: why the champion was not compared with, if there is one that could not be.
    """

    promoted: bool
    verdict: "Verdict | None"
    reasons: list[str]
    incomparable: str | None


class Workspace:
    """The log and the registry that the settings name.

    Every method reads the log as it is at the call; what it raises is a `CocokError` that says what to do.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = Registry.at(settings.home, settings.mlflow_tracking_uri or None)

    @classmethod
    def open(cls, home: Path | str | None = None) -> "Workspace":
        """Open what the settings in force name: ``COCOK_*`` variables, then ``cocok.toml``, then the defaults.

        Args:
            home: folder of everything local, instead of the one in the settings.
        """
        return cls(load_settings() if home is None else load_settings(home=Path(home)))

    @classmethod
    def sample(
        cls, home: Path | str | None = None, *, workers: int = 400, days: int = 21, seed: int = 1
    ) -> "Workspace":
        """Open a simulated marketplace to learn with, made at the first call and then found again.

        Args:
            home: its folder; ``sample`` within the home of the settings if None. Nothing else goes there.
            workers: how many there are; three tasks a day are posted for each ten of them.
            days: how long its log is.
            seed: of all chance.
        """
        from training.simulation import PRESETS, NewestFirst, World

        folder = load_settings().home / "sample" if home is None else Path(home)
        name = sqlite_url(folder / "cocok.db")
        found = cls(load_settings(home=folder, database_url=name, mlflow_tracking_uri=""))
        with opened(found.settings.store_url) as store:
            if store.count() == 0:
                config = replace(
                    PRESETS["standard"], workers=workers, tasks_per_day=3 * workers // 10, days=days, seed=seed
                )
                # A fixed end, so that everybody's sample is the same.
                events = World(config, micros(datetime(2026, 1, 1, tzinfo=UTC))).run(NewestFirst())
                while chunk := list(islice(events, _EVENTS_AT_ONCE)):
                    store.append(chunk)
        return found

    def forget_models(self) -> None:
        """Remove all runs and versions of an embedded registry, to begin anew; the log stays."""
        if self.settings.mlflow_tracking_uri:
            raise CocokError("the models of a shared MLflow server are not this workspace's to remove")
        self.registry.clear()

    def entries(self, until: int | None = None) -> Iterator[list[Stored]]:
        """Yield the log in batches of (seq, known_at, event), as known before ``until`` (microseconds since 1970)."""
        with opened(self.settings.store_url) as store:
            yield from store.read(before=until)

    def end(self) -> int:
        """Return the first instant at which all of the log is known, microseconds since 1970."""
        with opened(self.settings.store_url) as store:
            last = store.last_seq()
            if last == 0:
                raise CocokError("the log is empty: bring events in with `cocok import PATH`")
            (entry,) = next(store.read(after=last - 1))
        return entry.known_at + 1

    def log(self, until: datetime | None = None) -> "Log":
        """Return the log as DataFrames; see `training.frames.Log`."""
        from training.frames import log_frames

        return log_frames(self.entries(None if until is None else micros(until)), self.settings.exchange)

    def attention(self, until: datetime | None = None) -> "DataFrame":
        """Return how attention falls with position, from the swaps in the log; see `training.attention.attention`."""
        from training.attention import attention, read_swaps

        return attention(read_swaps(self.entries(None if until is None else micros(until))))

    def training_set(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        maturity: timedelta | None = None,
        progress: Progress | None = None,
    ) -> "TrainingSet":
        """Replay the log and return a row for every item of every list, with what became of it.

        Args:
            since: lists before it are left out.
            until: what was not known before it does not exist; all of the log if None.
            maturity: how long outcomes are waited for; from the log if None.
            progress: called with lists done and lists in all.
        """
        from training.replay import training_set

        end = self.end() if until is None else micros(until)
        begin = None if since is None else micros(since)
        if begin is not None and begin >= end:
            raise CocokError("--since must lie before --until, or before the end of the log")
        return training_set(
            lambda: self.entries(end),
            self.settings.exchange,
            since=begin,
            until=end,
            maturity=None if maturity is None else maturity // timedelta(microseconds=1),
            progress=progress,
        )

    def train(
        self,
        rows: "TrainingSet",
        parameters: "RankerParameters | None" = None,
        progress: Steps | None = None,
        *,
        tune: int | None = None,
    ) -> "Trained":
        """Fit and judge; see `training.train.train`. Nothing is registered yet.

        Args:
            rows: the training set.
            parameters: of the ranker; the defaults if None.
            progress: called as the steps go on.
            tune: search for better parameters than these first, up to so many trials in all, those of earlier calls for
                the same rows included; see `training.tuning.tune`. None takes them as they are.
        """
        from training.train import train

        rates = self.settings.exchange.fingerprint()
        if tune is None:
            return train(rows, rates, parameters, progress=progress)
        from training.ranker import RankerParameters
        from training.tuning import tune as search

        trials = self.settings.home / _TRIALS
        tuning = search(rows, parameters or RankerParameters(), tune, store=trials, progress=progress)
        return replace(train(rows, rates, tuning.parameters, progress=progress), tuning=tuning)

    def study(self, trained: "Trained", progress: Steps | None = None) -> "dict[str, DataFrame]":
        """Refit without each feature group and with less history; see `training.report.study`."""
        from training.report import study

        return study(trained, progress)

    def publish(
        self,
        trained: "Trained",
        *,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        study: "Mapping[str, DataFrame] | None" = None,
        figures: "Mapping[str, Figure] | None" = None,
        tables: "Mapping[str, DataFrame] | None" = None,
    ) -> int:
        """Log a training to MLflow with figures and tables, register it as the challenger, and return its version.

        Args:
            trained: of `train`.
            name: of the run, for people.
            tags: to find the run by.
            study: what `study` returned, to be kept and drawn.
            figures: name -> figure, beside those that every run has.
            tables: name -> table, likewise.
        """
        from training import plots
        from training.publish import publish
        from training.report import report

        found, tuning = report(trained.last), trained.tuning
        return publish(
            self.registry,
            trained,
            name=name,
            tags=tags,
            figures={
                **found.figures(),
                "trees": plots.trees(trained.choice),
                **({"tuning": plots.tuning(tuning)} if tuning else {}),
                **{each: getattr(plots, each)(table) for each, table in (study or {}).items()},
                **(figures or {}),
            },
            tables={
                **found.tables(),
                **({"tuning": tuning.trials} if tuning else {}),
                **(study or {}),
                **(tables or {}),
            },
        )

    def bundle(self, version: int) -> Bundle:
        """Return the bundle of a version, checked against the features and rates in use."""
        return self.registry.load(
            version, expected_features=fingerprint(), expected_rates=self.settings.exchange.fingerprint()
        )

    def contest(self, version: int, progress: Progress | None = None) -> "Contest":
        """Return the recent lists on which a version, the champion and the baselines can be compared."""
        return self._contest(self.bundle(version), self._rival(version, self.registry.champion())[0], progress)

    def off_policy(self, version: int, reward: str = "accepted", progress: Progress | None = None) -> "OffPolicy":
        """Estimate what a version, the champion and the baselines would have been worth on lists in a drawn order.

        Args:
            version: stood for by its judge, as in `contest`.
            reward: ``accepted``, ``approved`` or ``paid``; see `training.off_policy.rewards.REWARDS`.
            progress: called with lists done and lists in all.
        """
        from training.off_policy import AsServed, evaluate

        rival, _ = self._rival(version, self.registry.champion())
        found = self._contest(self.bundle(version), rival, progress, whole=True)
        return evaluate(found.rows, {name: AsServed(scores) for name, scores in found.scores().items()}, reward)

    def evaluate(self, version: int, progress: Progress | None = None) -> "Report":
        """Judge a version on recent lists that no model has learned from, and keep the figures with its run."""
        from training.off_policy import explored
        from training.report import report

        contest = self.contest(version, progress)
        found = report(contest)
        if explored(contest.rows).any():
            try:
                # Once more, with what was not shown, since how far a worker looks depends on what they take.
                judged: OffPolicy | str = self.off_policy(version, progress=progress)
            except CocokError as error:
                judged = str(error)
        else:
            judged = "no list was served with `explore`"
        found = replace(found, off_policy=judged)
        off_policy = {} if isinstance(judged, str) else judged.tables()
        self.registry.attach(version, "evaluation", figures=found.figures(), tables={**found.tables(), **off_policy})
        return found

    def promote(
        self,
        version: int,
        *,
        force: bool = False,
        limits: "Limits | None" = None,
        progress: Progress | None = None,
    ) -> Promotion:
        """Let a version serve if the gate passes it, and keep the verdict with the version.

        Args:
            version: the one to promote.
            force: promote it whatever the gate says.
            limits: of the gate; those of the settings if None.
            progress: called with lists done and lists in all.

        Raises:
            CocokError: another version began to serve while this one was judged; with ``force`` that is no matter.
        """
        from training.gate import examine

        challenger = self.bundle(version)
        serving = self.registry.champion()
        champion, incomparable = self._rival(version, serving)
        verdict, reasons = None, []
        try:
            verdict = examine(self._contest(challenger, champion, progress), challenger, limits or self.limits())
            reasons = verdict.reasons
        except CocokError as error:
            # What cannot be judged does not pass, and is for --force to decide.
            reasons = [str(error)]
        if force and not set(challenger.feature_names) <= set(NAMES):
            raise CocokError(f"it cannot be promoted by force either, since no server could load it: {reasons[0]}")
        promoted = force or not reasons
        if promoted:
            self.registry.promote(version, instead_of="whoever" if force else serving)
        self.registry.annotate(
            version,
            {
                "gate.verdict": "passed" if not reasons else "forced" if force else "refused",
                "gate.reasons": "; ".join(reasons) or "none",
                "gate.at": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )
        return Promotion(promoted, verdict, reasons, incomparable)

    def rollback(self) -> int | None:
        """Undo the last promotion, and return the version that serves again; None where none did before."""
        return self.registry.rollback()

    def limits(self) -> "Limits":
        """Return the limits of the gate in the settings."""
        from training.gate import Limits

        settings = self.settings
        return Limits(
            margin=settings.gate_margin,
            slice_margin=settings.gate_slice_margin,
            slice_lists=settings.gate_slice_lists,
            calibration=settings.gate_calibration,
            latency_ms=settings.gate_latency_ms,
        )

    def _contest(
        self,
        challenger: Bundle,
        champion: Bundle | None,
        progress: Progress | None,
        *,
        whole: bool = False,
    ) -> "Contest":
        from training.contest import contest

        end = self.end()

        def read() -> Iterable[list[Stored]]:
            return self.entries(end)

        return contest(read, self.settings.exchange, challenger, champion, until=end, whole=whole, progress=progress)

    def _rival(self, version: int, serving: int | None) -> tuple[Bundle | None, str | None]:
        """Return the version that serves, unless it is that version itself; or why it cannot be compared with."""
        if serving is None or serving == version:
            return None, None
        try:
            return self.bundle(serving), None
        except BundleError as error:
            # Trained for other features or rates it can neither serve nor be compared; it must not bar the way.
            return None, str(error)
