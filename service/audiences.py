"""Audiences of a running server: prepared in the background while they are asked for, so that no feed waits for it."""

import logging
from collections.abc import Callable
from threading import Event, Thread
from typing import TypeVar

from features.state import MarketState
from matching.audience import Audience, Audiences, UnpreparedError
from matching.reading import Read
from service.models import Models

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

FRESH_SECONDS = 60.0
"""How often audiences are prepared anew while they are asked for: how active workers are, and what came since."""

AGAIN_SECONDS = 5.0
"""After which it is tried again what failed."""

PAUSE_SECONDS = 0.001
"""Between two parts of a preparation, for those who wait for the state or the interpreter."""


class _StoppingError(Exception):
    """The preparation is to end where it is."""


class AudienceDesk:
    """Answers audiences from what a thread of its own keeps prepared, from the first question on.

    Who asks for feeds alone pays nothing for it: with a million workers the first preparation takes half a minute.

    Args:
        read: gives the state, which stands still meanwhile.
        models: what ranks; another model is prepared for at the next round, and served by earlier stages until then.
        now: the instant, microseconds since 1970.
    """

    def __init__(self, read: Read, models: Models, now: Callable[[], int]) -> None:
        self._read = read
        self._models = models
        self._now = now
        self._audiences = Audiences()
        self._stop = Event()
        self._asked = Event()
        self._missing = Event()
        self._thread = Thread(target=self._keep, name="cocok-audiences", daemon=True)

    def start(self) -> None:
        """Be ready to prepare."""
        self._thread.start()

    def stop(self) -> None:
        """End, in the middle of a preparation if need be."""
        self._stop.set()
        self._asked.set()
        self._missing.set()
        if self._thread.is_alive():
            self._thread.join()

    def audience(self, find: Callable[[MarketState, int], int], limit: int) -> tuple[Audience, str, int]:
        """Return workers for a task; see `service.engine.Engine.audience`.

        Raises:
            UnpreparedError: what it rests on is being prepared; ask again.
        """
        serving = self._models.current
        self._asked.set()

        def answer(state: MarketState) -> tuple[Audience, str, int]:
            now = self._now()
            found = self._audiences.audience(state, serving.ranker, find(state, now), now, limit)
            return found, serving.version, state.seq

        try:
            return self._read(answer)
        except UnpreparedError:
            self._missing.set()
            raise

    def _keep(self) -> None:
        while not self._stop.is_set():
            self._asked.wait()
            self._asked.clear()
            self._missing.clear()
            try:
                self._audiences.prepare(self._part, self._models.current.ranker, self._now())
            except _StoppingError:
                return
            except Exception:
                # Whatever it is, the stages that are there serve on until they are too old, and a later round may do.
                log.exception("audiences could not be prepared")
                self._stop.wait(AGAIN_SECONDS)
            else:
                # Who asked in vain meanwhile asks again.
                self._missing.clear()
            if not self._stop.is_set():
                self._missing.wait(FRESH_SECONDS)

    def _part(self, part: Callable[[MarketState], Answer], /) -> Answer:
        if self._stop.wait(PAUSE_SECONDS):
            raise _StoppingError
        return self._read(part)
