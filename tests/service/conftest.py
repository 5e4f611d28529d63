from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty log."""
    store = open_store(f"sqlite:///{tmp_path / 'cocok.db'}")
    yield store
    store.close()
