"""A hash of a state, to compare states by."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.state import MarketState
from features.tastes import listed

NAMED = ("market", "workers", "tasks", "requesters", "tokens", "offers", "offered", "chains", "reference")


def digest(state: MarketState) -> str:
    """Return a hash of a state: equal for equal prefixes of a log, however they were cut into batches."""
    found = hashlib.blake2b(digest_size=16)
    arrays, sizes = state.arrays, state.used()
    for name in (*NAMED, *(name for name in arrays._fields if name.startswith("open_"))):
        rows = getattr(arrays, name)
        found.update(as_bytes(rows[: sizes.get(name, len(rows))]))
    workers, tokens, places = listed(arrays.histories, arrays.taste_tokens)
    found.update(workers.tobytes() + tokens.tobytes())
    found.update(as_bytes(arrays.tastes[places]))
    used = np.flatnonzero(arrays.dealing_keys)
    order = used[np.argsort(arrays.dealing_keys[used])]
    found.update(arrays.dealing_keys[order].tobytes())
    found.update(as_bytes(arrays.dealings[order]))
    return found.hexdigest()


def as_bytes(rows: NDArray[Any]) -> bytes:
    # Field by field: the padding between fields is not part of the state.
    if rows.dtype.fields is None:
        return rows.tobytes()
    return b"".join(as_bytes(np.ascontiguousarray(rows[name])) for name in rows.dtype.names or ())
