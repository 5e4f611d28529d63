"""The mappings in the package, each over its fixture."""

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from features.errors import EventError
from features.events import encode_event
from service.adapters import find_format, formats
from service.log_files import find_files

FIXTURES = Path(__file__).parent / "fixtures"
SHIPPED = ("clickworker", "fiverr", "upwork")


@cache
def read(name: str) -> dict[str, dict[str, Any]]:
    """The events of a fixture by id."""
    found = find_format(name)
    events = {}
    for _, _, event in found.read(find_files([FIXTURES / name], found.files), lambda _: None):
        assert not isinstance(event, EventError), event
        events[event.event_id] = json.loads(encode_event(event))
    return events


def kinds(name: str) -> dict[str, int]:
    return Counter(event["type"] for event in read(name).values())


def test_the_package_comes_with_them() -> None:
    assert formats() == ("events", "mturk", "toloka", *SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_mapping_has_lists_to_train_on_marked_as_sampled(name: str) -> None:
    lists = [event for event in read(name).values() if event["type"] == "feed_served"]
    assert lists
    assert {event["policy"] for event in lists} == {"sampled"}


def test_upwork_postings_proposals_and_contracts() -> None:
    assert kinds("upwork") == {
        "task_posted": 5,
        "task_saved": 4,
        "assignment_accepted": 3,
        "assignment_submitted": 1,
        "assignment_approved": 1,
        "assignment_returned": 1,
        "feed_served": 4,
    }
    events = read("upwork")
    fixed, hourly = events["upwork-job-1900000000000000002"], events["upwork-job-1900000000000000003"]
    assert (fixed["reward"], fixed["slots"]) == ({"amount": "1250.5", "currency": "USD"}, 3)
    assert fixed["skills"] == ["image-annotation"]
    assert "estimated_minutes" not in fixed
    assert (hourly["reward"]["amount"], hourly["estimated_minutes"]) == ("12", 60)
    must, may = events["upwork-job-1900000000000000004"], events["upwork-job-1900000000000000005"]
    assert must["countries"] == ["ID", "VN"]
    assert "countries" not in may
    assert events["upwork-contract-c2-cancelled"]["at"] == "2026-09-10T00:00:00Z"


def test_fiverr_sellers_are_workers_and_buyer_requests_tasks() -> None:
    events = read("fiverr")
    seller = events["fiverr-seller-s1-2026-08-30 10:00:00"]
    assert seller["skills"] == ["logo-design", "book-covers"]
    assert (seller["country"], seller["languages"], seller["qualifications"]) == (
        "ID",
        ["en", "id"],
        {"seller_level": 2},
    )
    assert events["fiverr-request-r2"]["reward"] == {"amount": "1200.5", "currency": "USD"}
    assert events["fiverr-request-r1"]["time_limit_minutes"] == 3 * 24 * 60
    assert events["fiverr-offer-2-cancelled"]["type"] == "assignment_rejected"
    assert events["fiverr-offer-4-cancelled"]["type"] == "assignment_returned"
    assert events["fiverr-offer-1-rated"]["requester_id"] == "b1"
    assert kinds("fiverr")["assignment_approved"] == 2


def test_clickworker_score_floors_are_requirements() -> None:
    events = read("clickworker")
    assert events["clickworker-worker-w1-2026-08-30 10:00:00"]["qualifications"] == {
        "author_de": 88,
        "base_de": 91,
        "research": 83,
    }
    posted = events["clickworker-task-1002"]
    assert posted["requirements"] == [
        {"attribute": "qualification:author_de", "comparator": "ge", "value": 75},
        {"attribute": "qualification:base_de", "comparator": "ge", "value": 60},
    ]
    assert (posted["group_id"], posted["countries"], posted["languages"]) == ("shop_texts", ["DE", "AT"], ["de"])
    assert posted["reward"] == {"amount": "1.4", "currency": "EUR"}
    free = events["clickworker-task-1005"]
    assert "requirements" not in free
    assert free["title"] == "Umfrage"
    assert {events["clickworker-job-1-decided"]["type"], events["clickworker-job-2-decided"]["type"]} == {
        "assignment_approved",
        "assignment_rejected",
    }


def read_rows(folder: Path, name: str, file: str, text: str) -> list[dict[str, Any]]:
    """The events of one file in a shipped format, but for lists."""
    path = folder / file
    path.write_text(text)
    found = [event for _, _, event in find_format(name).read([path], lambda _: None)]
    assert not any(isinstance(event, EventError) for event in found), found
    return [json.loads(encode_event(event)) for event in found if not isinstance(event, EventError)]


def test_given_a_gig_more_then_the_seller_has_a_further_profile_dated_by_it(tmp_path: Path) -> None:
    gigs = "gig_id,seller_id,sub_category,updated_at\ng1,s,logo,2026-03-01 00:00:00\n"
    before = read_rows(tmp_path, "fiverr", "gigs.csv", gigs)
    after = read_rows(tmp_path, "fiverr", "gigs.csv", f"{gigs}g2,s,video,2026-04-01 00:00:00\n")
    (first,), (second,) = before, after
    assert first["event_id"] != second["event_id"]
    assert (first["at"], first["skills"]) == ("2026-03-01T00:00:00Z", ["logo"])
    assert (second["at"], second["skills"]) == ("2026-04-01T00:00:00Z", ["logo", "video"])


def test_given_two_budgets_then_the_amount_keeps_its_own_currency(tmp_path: Path) -> None:
    job = {"id": "j", "title": "t", "client": {"companyRid": "c"}, "publishedDateTime": "2026-03-01T00:00:00Z"}
    job["createdDateTime"] = job["publishedDateTime"]
    hourly, fixed = {"rawValue": "12.0", "currency": "USD"}, {"rawValue": "100.0", "currency": "EUR"}
    none = {"rawValue": "0.0", "currency": "USD"}

    def reward(**budgets: Any) -> Any:
        (posted,) = read_rows(tmp_path, "upwork", "jobs.ndjson", json.dumps(job | budgets) + "\n")
        return posted.get("reward")

    assert reward(hourlyBudgetMin=none, amount=fixed) == {"amount": "100", "currency": "EUR"}
    assert reward(hourlyBudgetMin=hourly, amount=fixed) == {"amount": "12", "currency": "USD"}
    assert reward(hourlyBudgetMin=none, amount=none) is None
