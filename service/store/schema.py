"""The tables of the log."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text

VERSION = 2

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
