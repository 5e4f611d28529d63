"""Things by number, kept as bytes and made anew when asked for: a profile is 2.7 kB as an object, .35 kB packed.

Of an event the values are packed, in the order of its fields and without their names, which would be a quarter of it.
"""

from collections.abc import Iterator, MutableMapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import numpy as np
from msgspec import defstruct
from msgspec.structs import asdict, astuple, fields
from numpy.typing import NDArray

from features.events import TaskPosted, WorkerUpdated, decode_hook
from features.money import Money
from features.requirements_shape import MOST_PARSED, Clause, Requirements, unparse

MOST_REWARDS = 1 << 14
"""Rewards that are kept as objects, and tasks of which they are: tasks share theirs."""

RECENT = 4_096
"""Events that are also kept as objects: the tasks that are asked for are mostly the same ones."""

Kind = TypeVar("Kind", bound=msgspec.Struct)

_plain = msgspec.msgpack.Encoder()


def encode_hook(value: Any) -> Any:
    """Return requirements as msgspec can encode them; `features.events.decode_hook` gives back the very same tree."""
    if isinstance(value, Requirements):
        # A lone clause stays one, so that the signatures that differ before differ afterwards.
        return value.root if isinstance(value.root, Clause) else unparse(value)
    raise NotImplementedError(type(value))


@lru_cache(maxsize=MOST_PARSED)
def _packed_requirements(requirements: Requirements) -> msgspec.Raw:
    # Tasks share their requirements, and nothing else in an event needs a hook.
    return msgspec.Raw(_plain.encode(encode_hook(requirements)))


def _bare(kind: type[msgspec.Struct], names: Sequence[str], **other: Any) -> Any:
    """Return a type of the values of some fields in their order; fields of other types may be named."""
    types = {field.name: field.type for field in fields(kind)} | other
    bare = [(name, types[name]) for name in names]
    return defstruct(kind.__name__, bare, array_like=True, frozen=True, gc=False)


class Packed(MutableMapping[int, Kind], Generic[Kind]):
    """A map from small numbers to events of one kind. What is got is equal to what was put.

    A large part may have come as one run of bytes (`adopt`), what came later is kept one by one.
    """

    _encoder: ClassVar[msgspec.msgpack.Encoder] = msgspec.msgpack.Encoder(enc_hook=_packed_requirements)
    _kind: ClassVar[Any]
    _decoder: ClassVar[msgspec.msgpack.Decoder[Any]]

    def __init_subclass__(cls) -> None:
        cls._decoder = msgspec.msgpack.Decoder(_bare(cls._kind, cls._kind.__struct_fields__), dec_hook=decode_hook)

    def __init__(self) -> None:
        self._single: dict[int, bytes] = {}
        self._ends: NDArray[np.int64] = np.zeros(0, np.int64)
        self._run: bytes | bytearray = b""
        self._size = 0
        self._recent: dict[int, Kind] = {}

    def __getitem__(self, index: int) -> Kind:
        found = self._recent.get(index)
        if found is None:
            packed = self._packed(index)
            if not packed:
                raise KeyError(index)
            found = self._kind(**asdict(self._decoder.decode(packed)))
            if len(self._recent) >= RECENT:
                self._recent.clear()
            self._recent[index] = found
        return found

    def __setitem__(self, index: int, value: Kind) -> None:
        # One that was taken out of the run left nothing behind.
        self._size += not self._packed(index)
        self._single[index] = self._encoder.encode(astuple(value))
        self._forget(index)

    def __delitem__(self, index: int) -> None:
        if index not in self:
            raise KeyError(index)
        self._size -= 1
        self._forget(index)
        if index < len(self._ends):
            self._single[index] = b""
        else:
            del self._single[index]

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and bool(self._packed(index))

    def __iter__(self) -> Iterator[int]:
        single = self._single
        yield from (index for index in np.flatnonzero(np.diff(self._ends, prepend=0)).tolist() if index not in single)
        yield from [index for index, packed in single.items() if packed]

    def __len__(self) -> int:
        return self._size

    def packed(self, size: int) -> Iterator[bytes | bytearray]:
        """Yield the bytes of each of the numbers below ``size`` in turn; none where there is nothing."""
        return map(self._packed, range(size))

    def adopt(self, ends: NDArray[np.int64], run: bytes | bytearray) -> None:
        """Take over what `packed` yielded, in place of all that is here.

        Args:
            ends: int64, where the bytes of each number end in ``run``, those of number 0 beginning at 0.
            run: all bytes in a row.
        """
        self._single, self._recent = {}, {}
        self._ends, self._run = ends, run
        self._size = int(np.count_nonzero(np.diff(ends, prepend=0)))

    def _forget(self, index: int) -> None:
        """Keep nothing but bytes of a number."""
        self._recent.pop(index, None)

    def _packed(self, index: int) -> bytes | bytearray:
        packed = self._single.get(index)
        if packed is None:
            if not 0 <= index < len(self._ends):
                return b""
            return self._run[self._ends[index - 1] if index else 0 : self._ends[index]]
        return packed


class Profiles(Packed[WorkerUpdated]):
    """Worker index -> the profile in force."""

    _kind = WorkerUpdated


class _Amount(msgspec.Struct, gc=False):
    """An amount of money as it is packed."""

    amount: str
    currency: str


@lru_cache(maxsize=MOST_REWARDS)
def _money(amount: str, currency: str) -> Money:
    return Money(amount=Decimal(amount), currency=currency)


def _up_to_reward() -> Any:
    """Return the type of a posting as far as it is read for a feed: of what comes before its reward nothing is made."""
    names = TaskPosted.__struct_fields__
    before = names[: names.index("reward")]
    return _bare(TaskPosted, [*before, "reward"], **dict.fromkeys(before, msgspec.Raw), reward=_Amount | None)


class Postings(Packed[TaskPosted]):
    """Task index -> the posting in force, updates applied."""

    _kind = TaskPosted
    _rewarded: ClassVar = msgspec.msgpack.Decoder(_up_to_reward())

    def __init__(self) -> None:
        super().__init__()
        self._rewards: dict[int, Money | None] = {}

    def reward(self, index: int) -> Money | None:
        """Return the reward of a posting, None without one or without a posting; the rest of it is not decoded.

        It is kept, since the tasks on the pages of most workers are few.
        """
        try:
            return self._rewards[index]
        except KeyError:
            packed = self._packed(index)
        given = self._rewarded.decode(packed).reward if packed else None
        if len(self._rewards) >= MOST_REWARDS:
            self._rewards.clear()
        reward = self._rewards[index] = None if given is None else _money(given.amount, given.currency)
        return reward

    def adopt(self, ends: NDArray[np.int64], run: bytes | bytearray) -> None:
        """Take over what `packed` yielded, in place of all that is here; see `Packed.adopt`."""
        super().adopt(ends, run)
        self._rewards = {}

    def _forget(self, index: int) -> None:
        super()._forget(index)
        self._rewards.pop(index, None)
