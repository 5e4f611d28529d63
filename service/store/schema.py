"""The tables of the log."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text

VERSION = 3

metadata = MetaData()

events = Table(
    "events",
    metadata,
    # In SQLite only a column of exactly INTEGER is the row's own number, which makes reading in order a plain scan.
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("known_at", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

# One row. It came after the first logs were made, so it is added to those that lack it.
identity = Table(
    "log_identity",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("log", Text, nullable=False),
    Column("rewrites", Integer, nullable=False),
)

# The files that hold old lists, in order. Lists up to ``reach`` are read from the file and are no longer in `events`;
# those beyond it are still there, as they are being moved.
archives = Table(
    "archives",
    metadata,
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("reach", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("lists", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("checksum", LargeBinary, nullable=False),
)

# What recognises a duplicate of a list that was moved: the digests of its id and of its content.
archived_ids = Table(
    "archived_ids",
    metadata,
    Column("id", LargeBinary, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
