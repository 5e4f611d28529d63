"""Where processes of one server keep their metrics: files that they share as memory.

What is written to such a file without room on the disk ends the process by SIGBUS, of which no log tells. So each file
has all its room from the start, and a process that finds none keeps its metrics to itself.

prometheus_client looks for the folder once, when it is imported; this module does not import it.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from filelock import FileLock, Timeout

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Variable that names the folder, as prometheus_client asks for."""

KINDS = ("counter", "histogram", "gauge_livemin", "gauge_livemax")
"""What the names of its files begin with, for the metrics that `service.telemetry` has."""

ROOM = 1 << 19
"""Bytes of a file. A value takes some 200, and there are a few for each call, method and status."""

_NAME = "cocok-metrics-"
_LOCK = "in-use.lock"


@contextmanager
def shared_folder() -> Iterator[None]:
    """Give processes that are started meanwhile a folder, and delete those of servers that were killed."""
    for left in Path(gettempdir()).glob(f"{_NAME}*/{_LOCK}"):
        # Not those that are used, or are of another user.
        with suppress(Timeout, OSError), FileLock(left, timeout=0):
            shutil.rmtree(left.parent)
    with TemporaryDirectory(prefix=_NAME) as folder, FileLock(Path(folder) / _LOCK):
        os.environ[FOLDER] = folder
        yield


def reserve() -> str:
    """Take the room that the metrics of this process need in the folder, if there is one.

    Returns:
        Why the process keeps them to itself; empty if it does not.
    """
    folder = os.environ.get(FOLDER)
    if folder is None or sys.platform != "linux":
        return ""
    files = [Path(folder) / f"{kind}_{os.getpid()}.db" for kind in KINDS]
    try:
        for path in files:
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, ROOM)
    except OSError as error:
        del os.environ[FOLDER]
        for path in files:
            path.unlink(missing_ok=True)
        return f"{folder}: {error.strerror}"
    return ""
