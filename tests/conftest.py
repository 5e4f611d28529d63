"""The order of files: where no kernel is compiled yet, one process compiles while another runs what needs none.

And what takes longest of the last ones is not left for the end, where one process would wait for the other.
"""

from pathlib import Path

import pytest

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
