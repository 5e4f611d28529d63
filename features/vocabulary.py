"""External ids and the dense integers that the state's arrays are indexed by."""

from collections.abc import Iterable

UNKNOWN = 0
"""The index of an id never seen. Its row in every array stays blank, so an unknown worker is a newcomer by itself."""


class Vocabulary:
    """A two-way map between external ids and 1, 2, 3, ... in order of first appearance."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._ids: list[str] = [""]

    def __len__(self) -> int:
        """Return the number of rows that arrays need: one for each id, and the blank one."""
        return len(self._ids)

    def __contains__(self, external: str) -> bool:
        """Tell whether the id has been seen."""
        return external in self._index

    def add(self, external: str) -> int:
        """Return the index of an id, giving it the next one if it is new."""
        index = self._index.get(external)
        if index is None:
            index = self._index[external] = len(self._ids)
            self._ids.append(external)
        return index

    def get(self, external: str) -> int:
        """Return the index of an id, or ``UNKNOWN``."""
        return self._index.get(external, UNKNOWN)

    def external(self, index: int) -> str:
        """Return the id behind an index."""
        return self._ids[index]

    def externals(self, indices: Iterable[int]) -> list[str]:
        """Return the ids behind indices."""
        ids = self._ids
        return [ids[index] for index in indices]

    def ids(self) -> list[str]:
        """Return the ids by index; empty for the blank row, and for what was forgotten."""
        return list(self._ids)

    def restore(self, ids: list[str]) -> None:
        """Become the vocabulary that `ids` was asked of."""
        self._ids = ids
        self._index = {external: index for index, external in enumerate(ids) if external}

    def forget(self, external: str) -> int:
        """Cut the tie between an id and its row, and return that row's index (``UNKNOWN`` if there was none).

        The row is not used again; the id gets a new one when it next appears.
        """
        index = self._index.pop(external, UNKNOWN)
        if index != UNKNOWN:
            self._ids[index] = ""
        return index
