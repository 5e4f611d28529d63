"""API keys: who may call what.

A key is ``cocok_ID_SECRET``. The id finds its row and names it in lists; of the secret only a SHA-256 digest is kept.
The secret is 256 random bits, so nobody can try all candidates, and a slow password hash would only slow requests.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from threading import Lock

from sqlalchemy import Column, DateTime, LargeBinary, MetaData, String, Table, create_engine, insert, select, update
from sqlalchemy.engine import Row, make_url
from sqlalchemy.exc import SQLAlchemyError

from features.errors import CocokError

log = logging.getLogger(__name__)

REFRESH_SECONDS = 5.0
"""How long a revoked key may still be taken."""

NEW_KEY_SECONDS = 1.0
"""How long after the last look a key that is not known makes us look again."""

_KEY = re.compile(r"cocok_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")

_metadata = MetaData()
_keys = Table(
    "api_keys",
    _metadata,
    Column("id", String(8), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("scopes", String(50), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("revoked_at", DateTime),
)


class Scope(StrEnum):
    """What a key allows: to ask, to tell, or everything. Who may tell may not therefore ask."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True)
class ApiKey:
    """A key as it is kept.

    Attributes:
        id: names the key; the part of it that may be shown.
        name: whose it is.
        scopes: what it allows.
        digest: SHA-256 of the secret.
        created_at: when it was made.
        revoked_at: since when it is refused; None while it is good.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    digest: bytes
    created_at: datetime
    revoked_at: datetime | None = None

    def allows(self, scope: Scope) -> bool:
        """Tell whether the key may do what needs a scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class KeyStore:
    """The keys, in a table of the store's database.

    Raises:
        CocokError: the database cannot be used.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(parsed, hide_parameters=True)
        self._refreshing = Lock()
        self._known: dict[str, ApiKey] = {}
        self._read_at = float("-inf")
        try:
            _metadata.create_all(self._engine)
        except SQLAlchemyError as error:
            raise CocokError(f"the API keys cannot be read from {parsed.render_as_string()}: {error}") from error

    def create(self, name: str, scopes: Iterable[Scope]) -> tuple[str, ApiKey]:
        """Make a key; return it, which is the only time it is seen, and what is kept of it."""
        secret = secrets.token_urlsafe(32)
        key = ApiKey(secrets.token_hex(4), name, frozenset(scopes), _digest(secret), datetime.now(UTC))
        with self._engine.begin() as connection:
            connection.execute(
                insert(_keys).values(
                    id=key.id,
                    name=name,
                    scopes=" ".join(sorted(key.scopes)),
                    digest=key.digest,
                    created_at=key.created_at.replace(tzinfo=None),
                )
            )
        return f"cocok_{key.id}_{secret}", key

    def list(self) -> list[ApiKey]:
        """Return all keys, revoked ones too, oldest first."""
        with self._engine.connect() as connection:
            return [_key(row) for row in connection.execute(select(_keys).order_by(_keys.c.created_at))]

    def revoke(self, key_id: str) -> None:
        """Refuse a key from now on; servers notice within seconds.

        Raises:
            CocokError: there is no such key, or it was revoked before.
        """
        good = (_keys.c.id == key_id) & _keys.c.revoked_at.is_(None)
        now = datetime.now(UTC).replace(tzinfo=None)
        with self._engine.begin() as connection:
            if connection.execute(update(_keys).where(good).values(revoked_at=now)).rowcount == 0:
                raise CocokError(f"no key in force has the id {key_id}; `cocok keys list` shows them")

    def stale(self) -> bool:
        """Tell whether the next question will read the database."""
        return time.monotonic() - self._read_at > REFRESH_SECONDS

    def required(self) -> bool:
        """Tell whether a key was ever made; from then on nothing goes without one, even if all were revoked."""
        self._refresh(REFRESH_SECONDS)
        return bool(self._known)

    def verify(self, key: str) -> ApiKey | None:
        """Return what is kept of a key if it is in force."""
        match = _KEY.fullmatch(key)
        self._refresh(REFRESH_SECONDS)
        if match and match[1] not in self._known:
            self._refresh(NEW_KEY_SECONDS)
        found = self._known.get(match[1]) if match else None
        # Compared in constant time, and compared at all when there is no such id, so that time tells nothing.
        same = hmac.compare_digest(_digest(match[2] if match else ""), found.digest if found else bytes(32))
        return found if same and found is not None and found.revoked_at is None else None

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def _refresh(self, seconds: float) -> None:
        """Read the keys anew if that was longer ago; a database that is down leaves the keys as they were."""
        with self._refreshing:
            if time.monotonic() - self._read_at <= seconds:
                return
            try:
                self._known = {key.id: key for key in self.list()}
            except SQLAlchemyError as error:
                if self._read_at == float("-inf"):
                    raise CocokError("the API keys cannot be read from the database") from error
                log.warning("the API keys cannot be read; those known before stay in force")
            self._read_at = time.monotonic()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _key(row: Row[tuple[str, str, str, bytes, datetime, datetime | None]]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        scopes=frozenset(Scope(scope) for scope in row.scopes.split()),
        digest=row.digest,
        created_at=row.created_at.replace(tzinfo=UTC),
        revoked_at=None if row.revoked_at is None else row.revoked_at.replace(tzinfo=UTC),
    )
