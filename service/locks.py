"""A lock for many readers and one writer."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class ReadWriteLock:
    """Lets readers in together and a writer alone; a waiting writer goes before readers that come later.

    Writers hold it for milliseconds, so readers are not starved; readers need not wait for each other.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._readers = 0
        self._writing = False
        self._writers_waiting = 0

    @property
    def in_use(self) -> bool:
        """Whether somebody reads or writes at this moment."""
        return self._readers > 0 or self._writing

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold the lock for reading."""
        with self._changed:
            self._changed.wait_for(lambda: not self._writing and not self._writers_waiting)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                if not self._readers:
                    self._changed.notify_all()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Hold the lock for writing."""
        with self._changed:
            self._writers_waiting += 1
            try:
                self._changed.wait_for(lambda: not self._writing and not self._readers)
            finally:
                self._writers_waiting -= 1
                self._changed.notify_all()
            self._writing = True
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
