"""MLflow stores without the time that their migrations take."""

import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine, make_url

from training import run_store


@cache
def _tables() -> bytes:
    """Return a database as MLflow's migrations leave it: with all tables, and with nothing in them."""
    run_store._hush()
    from mlflow.store.db.utils import _initialize_tables

    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "mlflow.db"
        engine = create_engine(f"sqlite:///{database}")
        _initialize_tables(engine)
        engine.dispose()
        return database.read_bytes()


def put_tables(uri: str) -> None:
    """Put the tables where an embedded store is opened for the first time, so that MLflow has nothing to migrate."""
    url = make_url(uri)
    if url.drivername != "sqlite":
        return
    database = Path(url.database or "")
    if not database.exists():
        database.parent.mkdir(parents=True, exist_ok=True)
        database.write_bytes(_tables())
