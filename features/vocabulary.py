"""External ids and the dense integers that the state's arrays are indexed by."""

from collections.abc import Iterable, Iterator

UNKNOWN = 0
"""The index of an id never seen. Its row in every array stays blank, so an unknown worker is a newcomer by itself."""


class Indices(dict[str, int]):
    """External id -> index. To ask for an id that is not there, by square brackets, gives it the next index."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__()
        self._ids = ids

    def __reduce__(self) -> tuple[type["Indices"], tuple[list[str]], None, None, Iterator[tuple[str, int]]]:
        return Indices, (self._ids,), None, None, iter(self.items())

    def __missing__(self, external: str) -> int:
        index = self[external] = len(self._ids)
        self._ids.append(external)
        return index


class Vocabulary:
    """A two-way map between external ids and 1, 2, 3, ... in order of first appearance.

    Attributes:
        indices: external id -> index, for bulk work: to look up an id gives it an index, as `add` does.
    """

    def __init__(self) -> None:
        self._ids: list[str] = [""]
        self.indices = Indices(self._ids)

    def __len__(self) -> int:
        """Return the number of rows that arrays need: one for each id, and the blank one."""
        return len(self._ids)

    def add(self, external: str) -> int:
        """Return the index of an id, giving it the next one if it is new."""
        return self.indices[external]

    def get(self, external: str) -> int:
        """Return the index of an id, or ``UNKNOWN``."""
        return self.indices.get(external, UNKNOWN)

    def external(self, index: int) -> str:
        """Return the id behind an index."""
        return self._ids[index]

    def externals(self, indices: Iterable[int]) -> list[str]:
        """Return the ids behind indices."""
        return list(map(self._ids.__getitem__, indices))

    def ids(self) -> list[str]:
        """Return the ids by index; empty for the blank row, and for what was forgotten."""
        return list(self._ids)

    def restore(self, ids: list[str]) -> None:
        """Become the vocabulary that `ids` was asked of."""
        self._ids[:] = ids
        self.indices.clear()
        self.indices.update({external: index for index, external in enumerate(ids) if external})

    def forget(self, external: str) -> int:
        """Cut the tie between an id and its row, and return that row's index (``UNKNOWN`` if there was none).

        The row is not used again; the id gets a new one when it next appears.
        """
        index = self.indices.pop(external, UNKNOWN)
        if index != UNKNOWN:
            self._ids[index] = ""
        return index
