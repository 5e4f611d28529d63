"""The cursor of a feed: what was listed so far, carried by the client, so that any replica can serve the next page."""

import base64
import binascii
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from matching.rerank import WINDOW

MOST_LISTED = 10_000
"""Tasks that a cursor can carry; a feed of more pages ends there."""

_VERSION = b"\x03"
_HEAD = 5
"""Bytes before the hashes: the version, and four that tell whose cursor it is."""


def encode_cursor(worker_id: str, listed: Sequence[int]) -> str:
    """Return a worker's cursor behind the tasks listed so far, given as distinct hashes of their ids (32 bits)."""
    return _text(_head(worker_id), listed)


def decode_cursor(worker_id: str, cursor: str) -> tuple[int, ...]:
    """Return the tasks that `encode_cursor` was given, only the last ``WINDOW - 1`` in the order they had.

    Raises:
        ValueError: the text is no cursor, or that of another worker.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise ValueError("this is no cursor; pass on the one of the last page as it is") from error
    head, hashes = raw[:_HEAD], raw[_HEAD:]
    listed = tuple(np.frombuffer(hashes, "<u4", len(hashes) // 4).tolist())
    # Only what `encode_cursor` writes is taken.
    whole = len(head) == _HEAD and head.startswith(_VERSION) and len(set(listed)) == len(listed)
    if not whole or len(listed) > MOST_LISTED or _text(head, listed) != cursor:
        raise ValueError("this is no cursor; pass on the one of the last page as it is")
    if head != _head(worker_id):
        raise ValueError("this is the cursor of another worker; leave it out for the first page")
    return listed


def _head(worker_id: str) -> bytes:
    return _VERSION + blake2b(worker_id.encode(), digest_size=_HEAD - len(_VERSION)).digest()


def _text(head: bytes, listed: Sequence[int]) -> str:
    # In which order the earlier ones came is not told: nothing asks for it.
    hashes = np.array([*sorted(listed[: 1 - WINDOW]), *listed[1 - WINDOW :]], "<u4")
    return base64.urlsafe_b64encode(head + hashes.tobytes()).decode().rstrip("=")
