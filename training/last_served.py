"""Which version served last in a home, kept beside its bundles for a start without the MLflow store."""

import json
import uuid
from pathlib import Path
from typing import NamedTuple

from features.errors import CocokError

_FILE = "serving.json"


class LastServed(NamedTuple):
    """The version that served last.

    Attributes:
        version: its number.
        run_id: its run; the bundle lies in the folder of that name.
    """

    version: int
    run_id: str


def note(bundles: Path, served: LastServed | None) -> None:
    """Keep what serves; None where nothing does any more.

    Raises:
        CocokError: the folder cannot be written.
    """
    path = bundles / _FILE
    unfinished = bundles / f".{_FILE}.{uuid.uuid4().hex}"
    try:
        if served is None:
            path.unlink(missing_ok=True)
        elif noted(bundles) != served:
            bundles.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(json.dumps(served._asdict()), encoding="utf-8")
            unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise CocokError(f"{path} cannot be written ({error.strerror})") from error


def noted(bundles: Path) -> LastServed | None:
    """Return what served last; None where nothing did, or nobody can tell."""
    try:
        kept = json.loads((bundles / _FILE).read_text(encoding="utf-8"))
        return LastServed(int(kept["version"]), str(kept["run_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
