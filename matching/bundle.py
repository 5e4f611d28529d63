"""The model bundle: all that serving needs of a trained model, in a folder without pickle.

```
bundle.json      what it is: format, time of creation, columns, fingerprints, range of the data, metrics, checksums
ranker.txt       LightGBM, as text
p_accept.txt     LightGBM, as text; optional
p_approve.txt    LightGBM, as text; optional
minutes.txt      LightGBM, as text: of the log of the minutes; optional, and with it
spread.txt       LightGBM, as text: of the log of their scale
judge.*.txt      the same models fitted without the last lists; optional
arrays.npz       the first stage, the linear parts of the models, knots of calibrations and quantiles of residuals
```

Two bundles of the same content have the same bytes but for ``created_at``.
"""

import hashlib
import json
import math
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.errors import CocokError
from matching.calibration import Additive, CalibratedModel, Calibration, MinutesModel
from matching.contributions import Contributor, contributor
from matching.first_stage import FirstStage
from matching.linear import Linear, Newcomers

FORMAT = 6
"""Version of the layout; another is refused."""

_MANIFEST = "bundle.json"
_ARRAYS = "arrays.npz"
_JUDGE = "judge."
Metrics = Mapping[str, Mapping[str, float]]
"""Name of a metric -> ``value``, ``low`` and ``high``."""


class BundleError(CocokError):
    """A bundle that must not be served; the message says which check failed and what to do."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Models(Protocol):
    """What a bundle and its judge have in common."""

    @property
    def ranker(self) -> Additive:
        """Orders the rows of a list."""

    @property
    def accept(self) -> CalibratedModel | None:
        """Probability that a listed task is accepted; None if it could not be fitted."""

    @property
    def approve(self) -> CalibratedModel | None:
        """Probability that submitted work is approved; None if it could not be fitted."""

    @property
    def minutes(self) -> MinutesModel | None:
        """Minutes of work; None if they could not be fitted."""


@dataclass(frozen=True, eq=False)
class Judge:
    """The same models fitted without the last lists, by which the bundle can be compared fairly on them.

    Attributes:
        ranker: fitted on what was known before ``since``.
        since: first instant of the lists set aside, microseconds since 1970.
        maturity: how long outcomes were waited for, in microseconds.
        accept: as in the bundle, fitted on what was known before ``since``.
        approve: likewise.
        minutes: likewise.
    """

    ranker: Additive
    since: int
    maturity: int
    accept: CalibratedModel | None = None
    approve: CalibratedModel | None = None
    minutes: MinutesModel | None = None


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model with what it was trained on.

    Attributes:
        ranker: orders the rows of a list.
        first_stage: chooses what the ranker scores where far more is eligible.
        feature_names: name of each column, in order.
        features_fingerprint: of the feature spec the model was trained with.
        rates_fingerprint: of the currency rates it was trained with.
        since: first instant of the lists trained on, microseconds since 1970.
        until: end of the lists trained on, exclusive, microseconds since 1970.
        metrics: what training reported.
        accept: probability that a listed task is accepted; None if it could not be fitted.
        approve: probability that submitted work is approved; None if it could not be fitted.
        minutes: of work; None if it could not be fitted.
        judge: stands for the models where bundles are compared; None if there were no lists to set aside.
        created_at: RFC 3339, UTC.
    """

    ranker: Additive
    first_stage: FirstStage
    feature_names: tuple[str, ...]
    features_fingerprint: str
    rates_fingerprint: str
    since: int
    until: int
    metrics: Metrics = field(default_factory=dict)
    accept: CalibratedModel | None = None
    approve: CalibratedModel | None = None
    minutes: MinutesModel | None = None
    judge: Judge | None = None
    created_at: str = field(default_factory=_now)

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the score of each row of ``features`` (rows x columns); comparable within a list only.

        Raises:
            ValueError: another number of columns than the model has.
        """
        return self.ranker.predict(features)

    def contributions(self, features: NDArray[np.float32], asked: int) -> NDArray[np.float64]:
        """Return what groups of columns contribute to the scores of the first rows, above their means over the others.

        Float64, asked x groups in the order of `matching.contributions.groups_of` the columns; see there.
        """
        return self._contributions(features, asked)

    @cached_property
    def _contributions(self) -> Contributor:
        return contributor(self.ranker, self.feature_names)

    def save(self, folder: Path) -> None:
        """Write the bundle; the folder appears complete or not at all.

        Raises:
            BundleError: the folder exists already; a bundle is never changed.
        """
        if folder.exists():
            raise BundleError(f"{folder} exists already, and a bundle is never changed: choose another folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
        unfinished.mkdir()
        try:
            for name, content in self._files().items():
                (unfinished / name).write_bytes(content)
            unfinished.rename(folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    @classmethod
    def load(cls, folder: Path, *, expected_features: str, expected_rates: str) -> "Bundle":
        """Read a bundle and check it.

        Args:
            folder: as written by `save`.
            expected_features: fingerprint of the feature spec in use.
            expected_rates: fingerprint of the currency rates in use.

        Raises:
            BundleError: a file is missing or damaged, the format is unknown, or a fingerprint is another.
        """
        manifest = _manifest(folder)
        try:
            _match(folder, "the features", manifest["features_fingerprint"], expected_features)
            _match(folder, "the currency rates", manifest["rates_fingerprint"], expected_rates)
            files = {name: _verified(folder / name, digest) for name, digest in manifest["checksums"].items()}
            models = {name: lgb.Booster(model_str=files[f"{name}.txt"].decode()) for name in manifest["models"]}
            with np.load(BytesIO(files[_ARRAYS]), allow_pickle=False) as arrays:
                ranker = _ranker(models, arrays, "")
                own, judged = (_outcomes(models, arrays, prefix) for prefix in ("", _JUDGE))
                judge = (
                    Judge(_ranker(models, arrays, _JUDGE), **manifest["judge"], **judged) if manifest["judge"] else None
                )
                first_stage = FirstStage(arrays["first_stage.weights"], arrays["first_stage.fill"])
            bundle = cls(
                ranker=ranker,
                first_stage=first_stage,
                feature_names=tuple(manifest["feature_names"]),
                features_fingerprint=manifest["features_fingerprint"],
                rates_fingerprint=manifest["rates_fingerprint"],
                since=manifest["since"],
                until=manifest["until"],
                metrics=_read_metrics(manifest["metrics"]),
                judge=judge,
                created_at=manifest["created_at"],
                **own,
            )
        except (KeyError, TypeError, AttributeError, ValueError, lgb.basic.LightGBMError) as error:
            raise _damaged(folder, f"its content does not fit together ({error})") from error
        for name, model in models.items():
            if model.num_feature() != len(bundle.feature_names):
                raise _damaged(folder, f"{name} has another number of columns than {_MANIFEST} names")
        return bundle

    def _files(self) -> dict[str, bytes]:
        boosters, arrays = _parts(self, "")
        arrays |= {"first_stage.weights": self.first_stage.weights, "first_stage.fill": self.first_stage.fill}
        if self.judge is not None:
            judged = _parts(self.judge, _JUDGE)
            boosters, arrays = boosters | judged[0], arrays | judged[1]
        files = {f"{name}.txt": booster.model_to_string().encode() for name, booster in boosters.items()}
        files[_ARRAYS] = _packed(arrays)
        manifest = {
            "format": FORMAT,
            "created_at": self.created_at,
            "feature_names": self.feature_names,
            "features_fingerprint": self.features_fingerprint,
            "rates_fingerprint": self.rates_fingerprint,
            "since": self.since,
            "until": self.until,
            "metrics": _written_metrics(self.metrics),
            "judge": {"since": self.judge.since, "maturity": self.judge.maturity} if self.judge else None,
            "models": list(boosters),
            "checksums": {name: _digest(content) for name, content in files.items()},
        }
        return {**files, _MANIFEST: json.dumps(manifest, indent=2, allow_nan=False, ensure_ascii=False).encode()}


def _parts(models: Models, prefix: str) -> tuple[dict[str, lgb.Booster], dict[str, NDArray[np.float64]]]:
    """Return what is saved of the models as text and as arrays, by name."""
    boosters = {f"{prefix}ranker": models.ranker.booster}
    arrays = {f"{prefix}ranker.base": models.ranker.base.packed()}
    if models.ranker.newcomers is not None:
        arrays[f"{prefix}ranker.newcomers"] = models.ranker.newcomers.linear.packed()
        arrays[f"{prefix}ranker.history"] = np.array([models.ranker.newcomers.column], np.float64)
    for name, outcome in {"p_accept": models.accept, "p_approve": models.approve}.items():
        if outcome is not None:
            boosters[f"{prefix}{name}"] = outcome.booster
            arrays |= {f"{prefix}{name}.x": outcome.calibration.x, f"{prefix}{name}.y": outcome.calibration.y}
            arrays[f"{prefix}{name}.base"] = outcome.base.packed()
    if models.minutes is not None:
        for name, part in {"minutes": models.minutes.location, "spread": models.minutes.spread}.items():
            boosters[f"{prefix}{name}"] = part.booster
            arrays[f"{prefix}{name}.base"] = part.base.packed()
        arrays[f"{prefix}minutes.residuals"] = models.minutes.residuals
    return boosters, arrays


def _ranker(models: Mapping[str, lgb.Booster], arrays: Mapping[str, NDArray[np.float64]], prefix: str) -> Additive:
    own, newcomers = f"{prefix}ranker.newcomers", None
    if own in arrays:
        newcomers = Newcomers(int(arrays[f"{prefix}ranker.history"][0]), Linear.unpacked(arrays[own]))
    return Additive(models[f"{prefix}ranker"], Linear.unpacked(arrays[f"{prefix}ranker.base"]), newcomers)


def _outcomes(
    models: Mapping[str, lgb.Booster], arrays: Mapping[str, NDArray[np.float64]], prefix: str
) -> dict[str, Any]:
    """Put the outcome models together again; under the names of the attributes."""
    found: dict[str, Any] = {}
    for attribute, name in {"accept": f"{prefix}p_accept", "approve": f"{prefix}p_approve"}.items():
        if name in models:
            curve = Calibration(arrays[f"{name}.x"], arrays[f"{name}.y"])
            found[attribute] = CalibratedModel(models[name], curve, Linear.unpacked(arrays[f"{name}.base"]))
    if f"{prefix}minutes" in models:
        location, spread = (
            Additive(models[name], Linear.unpacked(arrays[f"{name}.base"]))
            for name in (f"{prefix}minutes", f"{prefix}spread")
        )
        found["minutes"] = MinutesModel(location, spread, arrays[f"{prefix}minutes.residuals"])
    return found


def verify(folder: Path) -> None:
    """Check that a bundle is complete and undamaged, without asking whether it fits what is in use.

    Raises:
        BundleError: a file is missing or damaged, or the format is unknown.
    """
    checksums = _manifest(folder).get("checksums")
    if not isinstance(checksums, dict):
        raise _damaged(folder, f"{_MANIFEST} has no checksums")
    for name, digest in checksums.items():
        _verified(folder / name, digest)


def _packed(arrays: Mapping[str, NDArray[np.float64]]) -> bytes:
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        read: object = json.loads((folder / _MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is not a model bundle ({_MANIFEST} is missing): train, or fetch it again"
        ) from None
    except ValueError as error:
        raise _damaged(folder, f"{_MANIFEST} cannot be read ({error})") from error
    manifest = read if isinstance(read, dict) else {}
    version = manifest.get("format")
    if version != FORMAT:
        raise BundleError(
            f"the bundle {folder} has format {version}, this Cocok reads format {FORMAT}: train a new model, "
            "or use the Cocok that wrote it"
        )
    return manifest


def _match(folder: Path, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise BundleError(
            f"the model in {folder} was trained with another version of {what} ({found}) than the one in use "
            f"({expected}): train a new model, or restore what it was trained with"
        )


def _verified(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _damaged(path.parent, f"{path.name} is missing") from None
    if _digest(content) != digest:
        raise _damaged(path.parent, f"{path.name} does not have its checksum")
    return content


def _damaged(folder: Path, how: str) -> BundleError:
    return BundleError(f"the bundle {folder} is damaged, {how}: fetch it again, or train a new model")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _written_metrics(metrics: Metrics) -> dict[str, dict[str, float | None]]:
    """JSON has no NaN: a metric without a value is null."""
    return {
        name: {part: None if math.isnan(number) else number for part, number in parts.items()}
        for name, parts in metrics.items()
    }


def _read_metrics(written: Mapping[str, Mapping[str, float | None]]) -> Metrics:
    return {
        name: {part: math.nan if number is None else number for part, number in parts.items()}
        for name, parts in written.items()
    }
