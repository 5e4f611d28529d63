"""The cursor of a feed: what was listed so far, carried by the client, so that any replica can serve the next page."""

import base64
import binascii
from hashlib import blake2b

import numpy as np

MOST_LISTED = 10_000
"""Tasks that a cursor can carry; a feed of more pages ends there."""

_VERSION = b"\x02"
_HEAD = 5
"""Bytes before the hashes: the version, and four that tell whose cursor it is."""


def encode_cursor(worker_id: str, listed: frozenset[int]) -> str:
    """Return a worker's cursor behind the tasks listed so far, given as hashes of their ids (32 bits)."""
    return _text(_head(worker_id), listed)


def decode_cursor(worker_id: str, cursor: str) -> frozenset[int]:
    """Return the tasks that `encode_cursor` was given.

    Raises:
        ValueError: the text is no cursor, or that of another worker.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise ValueError("this is no cursor; pass on the one of the last page as it is") from error
    head, hashes = raw[:_HEAD], raw[_HEAD:]
    listed = frozenset(np.frombuffer(hashes, "<u4", len(hashes) // 4).tolist())
    # Only what `encode_cursor` writes is taken: one text for one set.
    whole = len(head) == _HEAD and head.startswith(_VERSION)
    if not whole or len(listed) > MOST_LISTED or _text(head, listed) != cursor:
        raise ValueError("this is no cursor; pass on the one of the last page as it is")
    if head != _head(worker_id):
        raise ValueError("this is the cursor of another worker; leave it out for the first page")
    return listed


def _head(worker_id: str) -> bytes:
    return _VERSION + blake2b(worker_id.encode(), digest_size=_HEAD - len(_VERSION)).digest()


def _text(head: bytes, listed: frozenset[int]) -> str:
    hashes = np.array(sorted(listed), "<u4")
    return base64.urlsafe_b64encode(head + hashes.tobytes()).decode().rstrip("=")
