"""Tables of the documentation are those of the code."""

from pathlib import Path

import pytest

from service.docs import PAGES, with_table

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_table_is_fresh(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert text == with_table(text, PAGES[name]()), f"docs/{name} is stale; run `make docs`"
