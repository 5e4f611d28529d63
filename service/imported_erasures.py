"""Erasures that an import brought: carried out at once, with no need of a server.

A server beside it meets them in the log as well and does the same; the outcome is the same, whoever comes first.
"""

import time
from collections.abc import Callable, Collection
from functools import partial

from features.errors import CocokError
from features.events import WorkerErased
from service.erasure import carried_out, erase
from service.plural import counted
from service.store import Store

ATTEMPTS = 3
"""How often the log is rewritten until no reader holds what it was before; each waits for some seconds."""


def carry_out(store: Store, worker_ids: Collection[str], forget: Callable[[int], None], wait: float) -> int:
    """Erase those of some workers whom the log says to erase, and return how many erasures were carried out.

    One that an earlier import brought and could not carry out is among them.

    Args:
        store: the log.
        worker_ids: whom to look for.
        forget: as in `service.erasure.Eraser`.
        wait: seconds in which servers that follow the log can read whom it erases, if there is somebody.

    Raises:
        CocokError: it could not be done, or not to the end; it may be called again.
    """
    found = store.of_workers(worker_ids, store.last_seq())
    pending = [(seq, event) for seq, _, event in found if isinstance(event, WorkerErased) and not carried_out(event)]
    if not pending:
        return 0
    time.sleep(wait)
    failure: Exception
    for _ in range(ATTEMPTS):
        try:
            erase(store, pending, partial(forget, max(seq for seq, _ in pending)))
        except (CocokError, OSError) as error:
            failure = error
        else:
            return len(pending)
    raise CocokError(
        f"the events are in the log, but {counted(len(pending), 'erasure')} could not be carried out to the end:"
        f" {failure}; import the file again, or let `cocok serve` do it"
    ) from failure
