"""Tables of the documentation are those of the code, and its links lead somewhere."""

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import fields

from matching.offline import Answer, Item, read_requests
from service.docs import PAGES, with_table

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
WRITTEN = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("notebooks/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_table_is_fresh(name: str) -> None:
    text = (DOCS / name).read_text(encoding="utf-8")
    assert text == with_table(text, PAGES[name]()), f"docs/{name} is stale; run `make docs`"


def test_the_requests_and_answers_shown_for_ranking_offline_are_of_their_shape() -> None:
    section = (DOCS / "models.md").read_text(encoding="utf-8").partition("## Rank offline")[2].partition("\n## ")[0]
    requests = re.findall(r'^    (\{"request_id".*"at".*\})$', section, flags=re.MULTILINE)
    assert len(read_requests([line.encode() for line in requests], "models.md")) == 3
    (shown,) = re.findall(r'^    (\{"request_id": "q1",\n(?:     .*\n)+)', section, flags=re.MULTILINE)
    answer = json.loads(shown.replace(", ...}", "}"))
    assert list(answer) == [field.name for field in fields(Answer)]
    names = [field.name for field in fields(Item) if field.name != "worker_id"]
    assert list(answer["items"][0]) == names


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
