"""When Python's garbage collector need not look: in bulk work that makes many objects and no cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the collector from starting meanwhile; it would walk through a batch many times and find nothing.

    Threads that pause it at once may leave it running for each other, and never leave it off.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
