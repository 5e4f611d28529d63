"""The order of files, and MLflow stores that are made in a moment.

Where no kernel is compiled yet, one process compiles while another runs what needs none. And what takes longest of the
last ones is not left for the end, where one process would wait for the other.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.mlflow_store import put_tables
from training.run_store import RunStore

COMPILES = "benchmarks/test_speed.py"
WITHOUT_KERNELS = (
    "training/test_tuning.py",
    "service/store/test_archive.py",
    "training/test_registry.py",
    "service/adapters/test_broken_payloads.py",
    "service/cli/test_log_commands.py",
    "training/off_policy/test_estimators.py",
    "test_imports.py",
    "training/test_ranker.py",
    "training/test_plots.py",
)
LONG = ("training/test_train.py", "training/experiment/test_trial.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate([COMPILES, *WITHOUT_KERNELS, *LONG])}
    assert all(path.exists() for path in places)
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def tables_of_mlflow() -> Iterator[None]:
    """A new store begins with the tables that MLflow's migrations would give it.

    Some sixty migrations take seconds, and tests make some forty stores. Commands that tests run as processes of their
    own, as `tests/training/test_registry.py` and `tests/service/api/test_commands.py` do, still go through all of them.
    """
    opened = RunStore.__dict__["client"].func

    def client(store: RunStore) -> Any:
        put_tables(store._uri)
        return opened(store)

    prepared = cached_property(client)
    prepared.__set_name__(RunStore, "client")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunStore, "client", prepared)
        yield
