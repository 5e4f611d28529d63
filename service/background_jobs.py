"""What a running server has done by processes beside it, which yield to it and whose failure it survives."""

import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE

import anyio
from filelock import FileLock

from service.settings import Settings

log = logging.getLogger(__name__)

ENOUGH_EVENTS = 10_000
"""Events since the last snapshot that make another one worth its while: a second or so of folding at a start."""

LOWEST_PRIORITY = 19
_COMMAND = (sys.executable, "-c", "from service.cli import main; main()")


class Turn:
    """Chooses one of the processes that serve a home, for as long as it lives: what is done beside them is done once.

    Args:
        home: folder of everything local.
    """

    def __init__(self, home: Path) -> None:
        self._lock = FileLock(home / "turn.lock", timeout=0, thread_local=False)

    def mine(self) -> bool:
        """Tell whether it is this process, which takes the turn if nobody has it."""
        if not self._lock.is_locked:
            with suppress(OSError):
                self._lock.acquire()
        return self._lock.is_locked


async def take_snapshot(settings: Settings) -> bool:
    """Run `cocok snapshot` and wait for its end; tell whether it went well, and log it if it did not.

    It ends with this call, should that be cancelled.
    """
    return await _run("snapshot", settings, "no snapshot was taken")


async def archive_lists(settings: Settings) -> bool:
    """Run `cocok archive`, as `take_snapshot` runs its command."""
    return await _run("archive", settings, "old lists were not moved to files")


async def _run(command: str, settings: Settings, failed: str) -> bool:
    try:
        async with await anyio.open_process(
            (*_COMMAND, command),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
            env={**os.environ, **_variables(settings)},
        ) as process:
            _lower(process.pid)
            said = b"".join([part async for part in process.stderr]) if process.stderr else b""
            await process.wait()
    except OSError as error:
        log.warning("%s: %s", failed, error.strerror)
        return False
    if process.returncode != 0:
        reason = _last_error(said.decode(errors="replace")) or f"exit code {process.returncode}"
        log.warning("%s: %s", failed, reason, extra={"reason": reason})
    return process.returncode == 0


def _variables(settings: Settings) -> dict[str, str]:
    """Return what the command must have like this process, wherever it has it from."""
    return {
        "COCOK_HOME": str(settings.home),
        "COCOK_DATABASE_URL": settings.store_url,
        "COCOK_BASE_CURRENCY": settings.base_currency,
        "COCOK_RATES": json.dumps(settings.rates),
        "COCOK_SNAPSHOTS_KEPT": str(settings.snapshots_kept),
        "COCOK_ARCHIVE_LISTS_AFTER_DAYS": str(settings.archive_lists_after_days),
    }


def _lower(pid: int) -> None:
    if hasattr(os, "setpriority"):
        try:
            os.setpriority(os.PRIO_PROCESS, pid, LOWEST_PRIORITY)
        except OSError:
            log.info("the priority of the process beside the server stays as it is")


def _last_error(said: str) -> str:
    """Return the line that a command gives as its error; of a traceback nothing, since it may hold values."""
    lines = [line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error: ")]
    return lines[-1] if lines else ""
