"""Ids that the server draws."""

import secrets
import time


def new_id() -> str:
    """Return 32 hex digits: the milliseconds since 1970, then 80 bits of chance.

    Events that come after each other then stand side by side in the index of the log. With ids of chance alone each is
    written to another page of it, which costs several times as much once the log has outgrown the caches.
    """
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
