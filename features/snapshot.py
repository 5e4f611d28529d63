"""A snapshot: the whole state of the market in one file, so that a start need not fold the log from its beginning.

The file begins with a line that says what it is and how long its header is, then the header in JSON, then the sections
one after the other: arrays as they lie in memory, names and texts as msgpack. Each section has a checksum in the
header, and the header one in the first line. Nothing in it can run code.

A snapshot is good for the code that wrote it, and for the rates it was folded with. `load` refuses every other one, and
one that is damaged; then an older one, or the log, gives the same state.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue, Signature
from features.errors import CocokError
from features.events import decode_hook
from features.jit import source_digest
from features.keyword_search import Text
from features.layout import Arrays
from features.money import Rates
from features.packed import Packed, encode_hook
from features.pairs import grown, move
from features.state import MarketState
from features.tastes import fitted_blocks, fitted_histories

FORMAT = 1

_FIRST_LINE = "cocok snapshot, format {:03}, header of {:09} bytes, checksum {}\n"
_FIRST = re.compile(rb"cocok snapshot, format (\d{3}), header of (\d{9}) bytes, checksum ([0-9a-f]{64})\n")
_FIRST_SIZE = len(_FIRST_LINE.format(FORMAT, 0, "0" * 64))
_MOST_OF_A_SECTION = 200
"""Bytes of the header that a section takes at the most."""

_PAIRS = {"dealing_keys": "dealings"}
_TASTES = ("taste_tokens", "tastes")
_VOCABULARIES = ("workers", "tasks", "requesters", "labels")
_PIECE = 1 << 18
"""Pairs, or packed events, that are handled at once."""

Kind = TypeVar("Kind")


class SnapshotError(CocokError):
    """A snapshot that cannot be used; the message says why."""


class Section(msgspec.Struct, frozen=True):
    """A part of the file: its name, its size in bytes, and its SHA-256, for which processors have an instruction."""

    name: str
    size: int
    checksum: str


class Origin(msgspec.Struct, frozen=True):
    """What a snapshot was folded from.

    Attributes:
        log: identity of the log.
        rewrites: how often what the log keeps of events had been replaced.
        mark: tells the last event folded from any other.
        erasures: sequence numbers of erasures that were folded, but not yet carried out in the log.
    """

    log: str
    rewrites: int
    mark: str
    erasures: tuple[int, ...] = ()


class Header(msgspec.Struct, frozen=True):
    """What a snapshot says of itself.

    Attributes:
        seq: sequence number of the last event folded.
        clock: its ``known_at``, microseconds since 1970; `features.layout.NEVER` before the first event.
        code: of the sources that folded.
        layout: of the arrays, as this machine keeps them.
        rates: fingerprint of the rates of exchange.
        origin: the log.
        sections: in the order of the file.
    """

    seq: int
    clock: int
    code: str
    layout: str
    rates: str
    origin: Origin
    sections: tuple[Section, ...]


def save(file: BinaryIO, state: MarketState, rates: Rates, origin: Origin) -> Header:
    """Write a state into an empty file that can seek; return the header."""
    parts = list(_sections(state))
    room = len(msgspec.json.encode(origin)) + _MOST_OF_A_SECTION * (len(parts) + 4)
    file.write(bytes(_FIRST_SIZE + room))
    sections = []
    for name, buffers in parts:
        digest, size = hashlib.sha256(), 0
        for buffer in buffers:
            digest.update(buffer)
            size += file.write(buffer)
        sections.append(Section(name, size, digest.hexdigest()))
    header = Header(
        seq=state.seq,
        clock=int(state.arrays.market["clock"][0]),
        code=source_digest(),
        layout=_layout(state.arrays),
        rates=rates.fingerprint(),
        origin=origin,
        sections=tuple(sections),
    )
    written = msgspec.json.encode(header).ljust(room)
    file.seek(0)
    file.write(_FIRST_LINE.format(FORMAT, room, _checksum(written)).encode() + written)
    return header


def read_header(file: BufferedReader) -> Header:
    """Read the header, and leave the file at the first section.

    Raises:
        SnapshotError: the file is no snapshot, of another format, or its header is damaged.
    """
    first = _FIRST.fullmatch(file.read(_FIRST_SIZE))
    if first is None:
        raise SnapshotError("it does not begin as a snapshot does")
    if int(first[1]) != FORMAT:
        raise SnapshotError(f"it has format {int(first[1])}, this Cocok knows {FORMAT}")
    written = file.read(int(first[2]))
    if _checksum(written).encode() != first[3]:
        raise SnapshotError("its header is damaged")
    try:
        return msgspec.json.decode(written, type=Header)
    except msgspec.MsgspecError as error:
        raise SnapshotError(f"its header is not understood: {error}") from error


def load(path: Path, rates: Rates, check: Callable[[Header], None] = lambda _: None) -> tuple[MarketState, Header]:
    """Read a snapshot; return the state as it was, with all that folding further needs, and the header.

    Args:
        path: the file.
        rates: rates of exchange in force.
        check: is given the header before the rest is read, and may raise a `SnapshotError` itself.

    Raises:
        SnapshotError: the file is damaged, or was not written by this code, on such a machine, with these rates.
    """
    try:
        with path.open("rb") as file:
            header = read_header(file)
            state = MarketState(rates)
            for ours, theirs, what in (
                (source_digest(), header.code, "other code"),
                (_layout(state.arrays), header.layout, "another layout of the arrays"),
                (rates.fingerprint(), header.rates, "other rates of exchange"),
            ):
                if ours != theirs:
                    raise SnapshotError(f"it was written with {what}")
            check(header)
            if file.tell() + sum(section.size for section in header.sections) != path.stat().st_size:
                raise SnapshotError("it is not as long as it should be")
            _restore(state, _Reader(file, header.sections))
    except OSError as error:
        raise SnapshotError(f"it cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise SnapshotError(f"it is not understood: {error}") from error
    if state.seq != header.seq:
        raise SnapshotError(f"it holds event {state.seq}, its header says {header.seq}")
    return state, header


def _layout(arrays: Arrays) -> str:
    told = [(name, rows.dtype.descr, rows.dtype.alignment) for name, rows in arrays._asdict().items()]
    return _checksum(repr((sys.byteorder, len(arrays.tokens), told)).encode())


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sections(state: MarketState) -> Iterator[tuple[str, Iterable[bytes | memoryview]]]:
    catalogue, arrays, used = state.catalogue, state.arrays, state.used()
    for name in _VOCABULARIES:
        yield f"ids of {name}", [msgspec.msgpack.encode(getattr(catalogue, name).ids())]
    yield "signatures", [msgspec.msgpack.encode(catalogue.signatures, enc_hook=encode_hook)]
    yield "offers of the catalogue", [_bytes(np.array(list(catalogue.offers), np.int32))]
    yield "texts", [msgspec.msgpack.encode(list(catalogue.texts))]
    for name, packed, size in _packed(catalogue):
        ends = np.zeros(size, np.int64)
        # In this order, since the bytes tell where they end.
        yield name, _run(packed, ends)
        yield f"ends of {name}", map(_bytes, [ends])
    histories = fitted_histories(arrays.histories[: used["workers"]])
    for name, rows in arrays._asdict().items():
        if name == "histories":
            yield name, [_bytes(histories)]
        elif name == "taste_end":
            yield name, [_bytes(histories["places"].sum(dtype=np.int64))]
        elif name in _TASTES:
            yield name, _blocks(arrays, histories, _TASTES.index(name))
        elif name in _PAIRS:
            yield name, _used_pairs(rows, rows)
            yield _PAIRS[name], _used_pairs(rows, getattr(arrays, _PAIRS[name]))
        elif name not in _PAIRS.values():
            yield name, [_bytes(rows[: used.get(name, len(rows))])]


def _packed(catalogue: Catalogue) -> tuple[tuple[str, Packed[Any], int], ...]:
    return (
        ("profiles", catalogue.profiles, len(catalogue.workers)),
        ("postings", catalogue.postings, len(catalogue.tasks)),
    )


def _run(packed: Packed[Any], ends: NDArray[np.int64]) -> Iterator[bytes]:
    each = packed.packed(len(ends))
    done = 0
    for start in range(0, len(ends), _PIECE):
        piece = list(islice(each, _PIECE))
        ends[start : start + len(piece)] = done + np.cumsum([len(events) for events in piece])
        done = int(ends[start + len(piece) - 1])
        yield b"".join(piece)


def _used_pairs(keys: NDArray[np.uint64], rows: NDArray[Any]) -> Iterator[memoryview]:
    for start in range(0, len(keys), _PIECE):
        yield _bytes(rows[start : start + _PIECE][keys[start : start + _PIECE] != 0])


def _blocks(arrays: Arrays, histories: NDArray[np.void], which: int) -> Iterator[memoryview]:
    for blocks in fitted_blocks(arrays, histories):
        yield _bytes(blocks[which])


def _bytes(rows: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data


class _Reader:
    """Reads sections one after the other, each checked before anything is made of it."""

    def __init__(self, file: BufferedReader, sections: tuple[Section, ...]) -> None:
        self._file = file
        self._sections = iter(sections)

    def bytes(self, name: str) -> bytearray:
        section = self._next(name)
        data = bytearray(section.size)
        digest = hashlib.sha256()
        self._fill(section, memoryview(data), digest)
        _check(section, digest)
        return data

    def value(self, name: str, kind: type[Kind]) -> Kind:
        return msgspec.msgpack.decode(self.bytes(name), type=kind, dec_hook=decode_hook)

    def rows(self, name: str, dtype: "np.dtype[Any]") -> NDArray[Any]:
        """Return the rows of a section with some room behind them, so that what comes next need not move them all."""
        section = self._next(name)
        count = _count(section, dtype)
        room = count // 8 + 256
        # What stays zero is not touched, so that it takes no memory before it is used.
        rows: NDArray[Any] = np.zeros(count + room, dtype)
        digest = hashlib.sha256()
        self._fill(section, _bytes(rows[:count]), digest)
        _check(section, digest)
        return rows

    def pairs(self, keys: str, values: str, dtype: "np.dtype[Any]") -> tuple[NDArray[np.uint64], NDArray[Any]]:
        """Return the table of two sections, with no more places than it needs."""
        found = np.frombuffer(self.bytes(keys), np.uint64)
        section = self._next(values)
        if _count(section, dtype) != len(found):
            raise SnapshotError(f"its sections {keys} and {values} do not belong together")
        new_keys, new_values = grown(np.zeros(0, np.uint64), np.zeros(0, dtype), max(1, len(found)))
        digest, rows = hashlib.sha256(), np.empty(min(_PIECE, len(found)), dtype)
        for start in range(0, len(found), _PIECE):
            piece = rows[: min(_PIECE, len(found) - start)]
            self._fill(section, _bytes(piece), digest)
            move(found[start : start + len(piece)], piece, new_keys, new_values)
        _check(section, digest)
        return new_keys, new_values

    def _next(self, name: str) -> Section:
        section = next(self._sections, None)
        if section is None or section.name != name:
            raise SnapshotError(f"it has no section {name} where one should be")
        return section

    def _fill(self, section: Section, view: memoryview, digest: "hashlib._Hash") -> None:
        if self._file.readinto(view) != len(view):
            raise SnapshotError(f"it ends within its section {section.name}")
        digest.update(view)


def _count(section: Section, dtype: "np.dtype[Any]") -> int:
    count, rest = divmod(section.size, dtype.itemsize)
    if rest:
        raise SnapshotError(f"its section {section.name} holds part of a row")
    return count


def _check(section: Section, digest: "hashlib._Hash") -> None:
    if digest.hexdigest() != section.checksum:
        raise SnapshotError(f"its section {section.name} is damaged")


def _restore(state: MarketState, reader: _Reader) -> None:
    catalogue = state.catalogue
    for name in _VOCABULARIES:
        getattr(catalogue, name).restore(reader.value(f"ids of {name}", list[str]))
    for signature in reader.value("signatures", list[Signature]):
        catalogue.add_signature(signature)
    for offer in np.frombuffer(reader.bytes("offers of the catalogue"), np.int32).reshape(-1, 3).tolist():
        catalogue.offer_of(*offer)
    for title, description, keywords in reader.value("texts", list[tuple[str, str, tuple[str, ...]]]):
        catalogue.texts.add(Text(title, description, keywords))
    for name, packed, size in _packed(catalogue):
        run = reader.bytes(name)
        ends = np.frombuffer(reader.bytes(f"ends of {name}"), np.int64)
        if len(ends) != size or (size and int(ends[-1]) != len(run)):
            raise SnapshotError(f"its {name} do not fit its names")
        packed.adopt(ends, run)
    found: dict[str, NDArray[Any]] = {}
    for name, rows in state.arrays._asdict().items():
        if name in _PAIRS:
            values = _PAIRS[name]
            found[name], found[values] = reader.pairs(name, values, getattr(state.arrays, values).dtype)
        elif name in ("market", "tokens", "taste_end", "changes"):
            # These are looked up by number, whatever is in use.
            found[name] = reader.rows(name, rows.dtype)[: len(rows)]
        elif name not in found:
            found[name] = reader.rows(name, rows.dtype)
    state.restore(Arrays(**found))
    for name, size in (state.used() | dict.fromkeys(_TASTES, int(state.arrays.taste_end[0]))).items():
        if len(found[name]) < size:
            raise SnapshotError(f"its array {name} does not fit its names")
