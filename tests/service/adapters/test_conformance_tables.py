"""The conformance tables of the documentation name tests that exist."""

import re
from pathlib import Path

import pytest

FORMATS = Path(__file__).parents[3] / "docs" / "formats"


@pytest.mark.parametrize(
    ("page", "modules"),
    [
        ("mturk.md", ("test_mturk.py", "test_mturk_requirements.py")),
        ("toloka.md", ("test_toloka.py", "test_toloka_filters.py")),
    ],
)
def test_every_test_that_a_table_names_exists(page: str, modules: tuple[str, ...]) -> None:
    named = set(re.findall(r"`(test_\w+)`", (FORMATS / page).read_text(encoding="utf-8")))
    sources = "".join((Path(__file__).parent / module).read_text(encoding="utf-8") for module in modules)

    assert named
    assert named <= set(re.findall(r"def (test_\w+)\(", sources))
