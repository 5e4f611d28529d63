"""The cursor of a feed: what was listed so far, carried by the client, so that any replica can serve the next page."""

import base64
import binascii

import numpy as np

MOST_LISTED = 10_000
"""Tasks that a cursor can carry; a feed of more pages ends there."""

_VERSION = b"\x01"


def encode_cursor(listed: frozenset[int]) -> str:
    """Return the cursor behind the tasks listed so far, given as hashes of their ids (32 bits)."""
    hashes = np.array(sorted(listed), "<u4")
    return base64.urlsafe_b64encode(_VERSION + hashes.tobytes()).decode().rstrip("=")


def decode_cursor(cursor: str) -> frozenset[int]:
    """Return what `encode_cursor` was given.

    Raises:
        ValueError: the text is no cursor.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise ValueError("this is no cursor; pass on the one of the last page as it is") from error
    hashes = np.frombuffer(raw[1 : 1 + (len(raw) - 1) // 4 * 4], "<u4")
    listed = frozenset(hashes.tolist())
    # Only what `encode_cursor` writes is taken: one text for one set.
    if raw[:1] != _VERSION or len(listed) > MOST_LISTED or encode_cursor(listed) != cursor:
        raise ValueError("this is no cursor; pass on the one of the last page as it is")
    return listed
