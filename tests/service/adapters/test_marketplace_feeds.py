"""From the exports of other marketplaces to the feeds of their workers, by the command line and over HTTP."""

from pathlib import Path
from typing import Any

import pytest

from tests.service.adapters.reading import FIXTURES
from tests.service.api.server import Api, serving
from tests.service.cli.run import Cocok

LOGOS = "3HITLOGOS00000000000000000003"
ANA = {
    "country": "ID",
    "languages": ["id"],
    "skills": {"1289": 0.857, "2": 0.6},
    "qualifications": {"os_family": "ANDROID", "training:21": 75, "reserved:00a1--three": None},
}


@pytest.fixture
def cocok(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cocok:
    return Cocok(tmp_path / "home", capsys, monkeypatch)


def offered(api: Api, worker: str) -> tuple[list[str], dict[str, Any]]:
    feed = api.feed(worker, record=False)
    return sorted(item["task_id"] for item in feed["items"]), feed["removed"]


def test_a_second_import_finds_only_duplicates(cocok: Cocok) -> None:
    for name in ("mturk", "toloka"):
        first = cocok("import", FIXTURES / name, "--format", name, "--json").json()
        second = cocok("import", FIXTURES / name, "--format", name, "--json").json()

        assert first["refused"] == second["refused"] == []
        assert (second["accepted"], second["duplicates"]) == (0, first["accepted"])


def test_workers_of_mechanical_turk_are_offered_the_hits_they_may_take(cocok: Cocok) -> None:
    assert cocok("import", FIXTURES / "mturk", "--format", "mturk").code == 0

    with serving(cocok.home, log_clock=True) as api:
        assert offered(api, "A1WORKERONE")[0] == [LOGOS]
        tasks, removed = offered(api, "A2WORKERTWO")

    assert tasks == []
    assert removed["requirement:country"] == 1


def test_workers_of_toloka_are_offered_their_price(cocok: Cocok) -> None:
    assert cocok("import", FIXTURES / "toloka", "--format", "toloka").code == 0

    with serving(cocok.home, log_clock=True) as api:
        tasks, removed = offered(api, "w-ana")
        assert tasks == []
        assert removed["requirement:qualification:training:21"] > 0

        assert api.put("/v1/workers/w-ana", json=ANA).status_code == 200
        tasks, removed = offered(api, "w-ana")

    assert tasks == ["00a1--three@0.04", "00a1--two@0.04"]
    assert removed["already_taken"] == 1
