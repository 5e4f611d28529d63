"""What every event store promises; one suite of tests, `tests.service.store.contract`, holds them to it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from features.errors import CocokError
from features.events import Event, encode_event, event_type, micros

BATCH = 2_000
"""Events that are read at a time: few enough to stay in a processor's cache until they are folded."""


class Stored(NamedTuple):
    """An event in its place in the log.

    Attributes:
        seq: sequence number, dense from 1.
        known_at: running maximum of ``at`` up to here, microseconds since 1970.
        event: the event itself.
    """

    seq: int
    known_at: int
    event: Event


ToFold = tuple[int, int, Any]
"""What is folded of an event: sequence number, ``known_at`` and the event, which may be of a type that takes its place
(`features.stored_events`)."""


class Appended(NamedTuple):
    """What became of a batch.

    Attributes:
        accepted: events that are new.
        duplicates: events that were there already with the same content.
        seq: last sequence number of the log after the batch.
    """

    accepted: int
    duplicates: int
    seq: int


class Packed(NamedTuple):
    """An event as a store keeps it, so that bulk work need not decode it again.

    Attributes:
        event_id: identity of the event.
        type: name of its type.
        at: instant, microseconds since 1970.
        payload: canonical JSON.
    """

    event_id: str
    type: str
    at: int
    payload: bytes


class Identity(NamedTuple):
    """Tells a log from every other, and from itself before a rewrite.

    Attributes:
        log: 32 hex digits, drawn when the log was made; a copy has the same.
        rewrites: how often what is kept of events was replaced.
    """

    log: str
    rewrites: int


class Archived(NamedTuple):
    """What became of old lists.

    Attributes:
        lists: how many were moved to files.
        files: how many files were written for them.
        file_bytes: what these take.
        left: old lists that stay where they are, too few for a file of their own.
        database_bytes_before: pages of the database in use before.
        database_bytes: those in use after.
        free_bytes: pages of the database that are free for what comes.
    """

    lists: int
    files: int
    file_bytes: int
    left: int
    database_bytes_before: int
    database_bytes: int
    free_bytes: int


class ConflictError(CocokError):
    """Events whose id is taken by other content; nothing of their batch was kept.

    Attributes:
        event_ids: ids in conflict.
        positions: their places in the batch, from 0.
    """

    def __init__(self, event_ids: Sequence[str], positions: Sequence[int]) -> None:
        shown = ", ".join(event_ids[:5]) + (f" and {len(event_ids) - 5} more" if len(event_ids) > 5 else "")
        super().__init__(
            f"event_id already used with other content: {shown}; an event never changes, send it under a new event_id"
        )
        self.event_ids = list(event_ids)
        self.positions = list(positions)


class Store(Protocol):
    """An append-only log of events. Safe to share between threads; several processes may open the same log."""

    def append(self, events: Iterable[Event]) -> Appended:
        """Append events in order: all or nothing, durable before it returns.

        An event that is there already, in the log or earlier in ``events``, is counted as a duplicate.

        Raises:
            ConflictError: an id is taken by other content.
        """

    def append_packed(self, rows: Iterable[Packed]) -> Appended:
        """Append events that are packed already; else as `append`. ``rows`` is read as a stream."""

    def append_groups(self, groups: Sequence[Sequence[Event]]) -> list[Appended | ConflictError]:
        """Append several batches in one durable commit, each all or nothing by itself.

        Returns:
            For each batch what `append` would have returned or raised.
        """

    def read(self, after: int = 0, *, before: int | None = None, batch: int = BATCH) -> Iterator[list[Stored]]:
        """Yield events in order of sequence, in lists of at most ``batch``.

        Args:
            after: only events with a larger sequence number.
            before: microseconds since 1970; only the longest prefix of the log whose ``known_at`` is before it.
            batch: size of the lists, which is what is held in memory.
        """

    def read_to_fold(self, after: int = 0, *, batch: int = BATCH) -> Iterator[list[ToFold]]:
        """Yield events as `read` does, but only as far as `features.state.MarketState.apply` reads them; it is faster.

        Args:
            after: only events with a larger sequence number.
            batch: size of the lists, which is what is held in memory.
        """

    def last_seq(self) -> int:
        """Return the last sequence number, 0 for an empty log."""

    def count(self) -> int:
        """Return the number of events."""

    def identity(self) -> Identity:
        """Return what tells this log from others."""

    def rewrite_all(self, rows: Iterable[tuple[int, Event]]) -> None:
        """Replace what is kept of events, given with their sequence numbers, as erasure asks for: all or none.

        Sequence numbers, ``known_at`` and the digests that recognise a duplicate stay as they are. Lists in files of
        their own come first, file by file, each all or none. What was there before is gone from every file of the store
        when this returns.

        Raises:
            ValueError: a sequence number does not hold an event of that id; nothing was replaced of that file, or of
                what is in no such file.
            CocokError: all were replaced, but a reader keeps what was there before from being cut off; call again.
        """

    def of_workers(self, worker_ids: Collection[str], until: int) -> Iterator[Stored]:
        """Yield the events of some workers up to and including a sequence number, in order."""

    def archive(
        self, before: int, *, least: int = 1, progress: Callable[[str, int, int], None] = lambda step, done, total: None
    ) -> Archived:
        """Move old lists to files of their own. What is read stays the same, and so does what is a duplicate.

        Reads and writes of the log go on meanwhile. When it is interrupted, nothing is lost, and the next call goes on.

        Args:
            before: microseconds since 1970; lists of the longest prefix whose ``known_at`` is before it are old.
            least: no file of fewer lists is written.
            progress: is told a step, what is done of it, and what there is of it.

        Raises:
            CocokError: another process archives, or a file cannot be written.
        """

    def archived(self) -> int:
        """Return the number of lists in files of their own."""

    def archive_faults(self) -> Iterator[str]:
        """Look through all files of old lists, and yield what is wrong with each that is not as it was written."""

    def compact(self) -> int:
        """Give free pages of the database back to the disk; return how many bytes. Writers wait meanwhile.

        Raises:
            CocokError: the log is being written, or the disk is full.
        """

    def close(self) -> None:
        """Release the connections."""


def pack(event: Event) -> Packed:
    """Return an event in the form a store keeps."""
    return Packed(event.event_id, event_type(event), micros(event.at), encode_event(event))


def digest(payload: bytes) -> bytes:
    """Return 16 bytes that tell content apart; equal for equal events, as the payload is canonical."""
    return blake2b(payload, digest_size=16).digest()
