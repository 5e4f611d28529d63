"""How what is prepared beside requests reads the state: in parts, between which events are taken."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from features.state import MarketState

Answer = TypeVar("Answer")


class Read(Protocol):
    """Lets a function read the state, which stands still meanwhile and may move on before the next one."""

    def __call__(self, part: Callable[[MarketState], Answer], /) -> Answer:
        """Return what the function makes of the state."""
        ...
