"""How a store keeps the JSON of a list that was served: deflated, as there are more of these than of all else.

The dictionary is what most of them have in common (RFC 1950, section 2.2). It is part of the format of a log: another
needs another mark.
"""

import zlib
from collections.abc import Iterable

from features.errors import CocokError

SQUEEZED = "feed_served"
"""The type of events that are kept so."""

_MARK = b"\x01"
"""Where what follows is deflated with the dictionary; JSON begins with a brace."""

_LEVEL = 6

_ITEMS = ",".join(
    f'{{"task_id":"t","position":{position},"score":0.,"propensity":1.0}}' for position in range(20, 0, -1)
)
_COMMON = (
    f'{_ITEMS}],"context":{{"surface":"feed"}},"model_version":"","policy":"ranked","log_seq":'
    '{"type":"feed_served","event_id":"feed-","at":"20-01-01T00:00:00.000000Z","feed_id":"","worker_id":"w","items":'
    '[{"task_id":"'
).encode()


def squeeze(payload: bytes) -> bytes:
    """Return the JSON of an event as it is kept; `unsqueeze` gives it back."""
    deflating = zlib.compressobj(_LEVEL, zdict=_COMMON)
    return _MARK + deflating.compress(payload) + deflating.flush()


def unsqueeze(kept: bytes) -> bytes:
    """Return the JSON of an event that is kept as it is or as `squeeze` made it.

    Raises:
        CocokError: it is damaged.
    """
    return _inflated(kept) if kept[:1] == _MARK else kept


def unsqueeze_each(kept: Iterable[bytes]) -> list[bytes]:
    """Return the JSON of events, each as `unsqueeze` does, and faster than one by one.

    Raises:
        CocokError: as `unsqueeze`.
    """
    return [_inflated(each) if each[:1] == _MARK else each for each in kept]


def _inflated(kept: bytes) -> bytes:
    inflating = zlib.decompressobj(zdict=_COMMON)
    try:
        payload = inflating.decompress(kept[1:])
    except zlib.error as error:
        raise CocokError(f"the log holds a list that is damaged ({error}); restore the file from a backup") from error
    if not inflating.eof:
        raise CocokError("the log holds a list that is cut off; restore the file from a backup")
    return payload
