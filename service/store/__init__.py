"""Where the log is kept: a `Store` is opened by its URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from features.errors import CocokError
from service.store.base import BATCH, Appended, Archived, ConflictError, Identity, Packed, Store, Stored, ToFold, pack
from service.store.sqlite import SqliteStore

__all__ = [
    "BATCH",
    "Appended",
    "Archived",
    "ConflictError",
    "Identity",
    "Packed",
    "SqliteStore",
    "Store",
    "Stored",
    "ToFold",
    "open_store",
    "opened",
    "pack",
    "sqlite_url",
]


def sqlite_url(path: Path) -> str:
    """Return the URL of the log in a SQLite file; what means something else in a URL, like ``?``, is escaped."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_store(url: str) -> Store:
    """Open the log at a database URL, creating it if need be.

    Args:
        url: ``sqlite:///PATH``.

    Raises:
        CocokError: the URL is not understood, or the database cannot be used.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise CocokError("database_url is no URL; write sqlite:///PATH") from error
    if parsed.get_backend_name() == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return SqliteStore(Path(str(parsed.database)))
    raise CocokError(f"database_url {parsed.render_as_string()} is not supported; write sqlite:///PATH")


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """Open the log at a database URL and close it at the end; see `open_store`."""
    store = open_store(url)
    try:
        yield store
    finally:
        store.close()
