"""Lists made for training from an export that holds no impressions."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.service.adapters.mapped import Export

MAPPING = """
    [[sources]]
    name = "tasks"
    files = ["tasks.csv"]
    [[sources]]
    name = "taken"
    files = ["taken.csv"]
    [[events]]
    source = "tasks"
    type = "task_posted"
    event_id = "p{id}"
    at = { text = "{from}", time = { since = 2026-03-01T00:00:00Z, unit = "h" } }
    [events.fields]
    task_id = "{id}"
    requester_id = "r"
    expires_at = { text = "{until}", time = { since = 2026-03-01T00:00:00Z, unit = "h" } }
    [[events]]
    source = "taken"
    type = "assignment_accepted"
    event_id = "a{worker}-{id}"
    at = { text = "{at}", time = { since = 2026-03-01T00:00:00Z, unit = "h" } }
    fields = { worker_id = "{worker}", task_id = "{id}" }
    [sampled_lists]
"""
MIDNIGHT = datetime.fromisoformat("2026-03-01T00:00:00Z")


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """Task k is posted at hour k and open for 20 hours, 60 tasks in all."""
    export = Export(tmp_path)
    export.write("tasks.csv", "id,from,until\n" + "".join(f"t{hour},{hour},{hour + 20}\n" for hour in range(60)))
    return export


def lists(export: Export, taken: str, how: str = "") -> list[dict[str, Any]]:
    export.write("taken.csv", "worker,id,at\n" + taken)
    return [event for event in export.read(MAPPING + how) if event["type"] == "feed_served"]


def tasks_of(served: dict[str, Any]) -> set[str]:
    return {item["task_id"] for item in served["items"]}


def hour_of(served: dict[str, Any]) -> float:
    return (datetime.fromisoformat(served["at"]) - MIDNIGHT) / timedelta(hours=1)


def test_given_a_taken_task_then_its_list_holds_it_and_what_else_was_open(export: Export) -> None:
    (served,) = lists(export, "w,t20,30.5\n", 'lead = "30min"')
    assert (served["policy"], served["worker_id"], hour_of(served)) == ("sampled", "w", 30)
    assert tasks_of(served) == {f"t{hour}" for hour in range(11, 31)}
    assert [item["position"] for item in served["items"]] == list(range(1, 21))


def test_given_a_size_then_the_taken_task_is_among_that_many_drawn_from_the_open_ones(export: Export) -> None:
    served = lists(export, "".join(f"w{number},t20,30\n" for number in range(200)), "size = 5")
    assert all(len(each["items"]) == 5 and "t20" in tasks_of(each) for each in served)
    open_tasks = {f"t{hour}" for hour in range(10, 30)}
    assert set.union(*map(tasks_of, served)) == open_tasks
    # No place in a list says which one was taken.
    places = [next(item["position"] for item in each["items"] if item["task_id"] == "t20") for each in served]
    assert all(20 < places.count(place) < 60 for place in range(1, 6))


def test_given_the_same_export_or_a_longer_one_then_the_lists_are_the_same(export: Export) -> None:
    first = lists(export, "w,t20,30\nv,t22,31\n", "size = 5")
    assert lists(export, "w,t20,30\nv,t22,31\n", "size = 5") == first
    export.write("tasks.csv", (export.folder / "tasks.csv").read_text() + "late,50,51\n")
    longer = lists(export, "w,t20,30\nv,t22,31\nw,t40,50\n", "size = 5")
    assert longer[:2] == first
    assert len(longer) == 3


def test_given_lists_at_an_open_moment_then_they_lie_between_posting_and_taking(export: Export) -> None:
    served = lists(export, "".join(f"w{number},t20,36\n" for number in range(100)), 'moment = "open"')
    hours = [hour_of(each) for each in served]
    assert all(20 <= hour < 36 for hour in hours)
    assert min(hours) < 22
    assert max(hours) > 34
    for each in served:
        at = int(hour_of(each))
        assert tasks_of(each) == {f"t{hour}" for hour in range(at - 19, at + 1)}


def test_given_a_least_time_apart_then_sooner_choices_of_a_worker_give_no_list(export: Export) -> None:
    taken = "w,t20,30\nw,t25,32\nw,t30,45\nv,t25,32\n"
    served = lists(export, taken, 'apart = "10h"\nlead = "1h"')
    assert [(each["worker_id"], hour_of(each)) for each in served] == [("w", 29), ("v", 31), ("w", 44)]


def test_given_what_a_worker_took_before_then_it_is_not_in_a_later_list(export: Export) -> None:
    first, second = lists(export, "w,t20,30\nw,t25,32\n")
    assert "t25" in tasks_of(first)
    assert "t20" not in tasks_of(second)


def test_given_a_task_that_was_not_open_or_alone_then_there_is_no_list(export: Export) -> None:
    assert lists(export, "w,t20,45\nw,unknown,30\nw,t0,0.5\n") == []


def test_given_a_task_posted_again_then_the_old_end_does_not_close_it(export: Export) -> None:
    export.write("tasks.csv", "id,from,until\na,0,10\nb,0,\na,5,\n")
    mapping = MAPPING.replace('event_id = "p{id}"', 'event_id = "p{id}-{@row}"')
    export.write("taken.csv", "worker,id,at\nw,a,20\n")
    (served,) = [event for event in export.read(mapping) if event["type"] == "feed_served"]
    assert tasks_of(served) == {"a", "b"}


def test_given_other_choices_then_the_first_of_a_worker_on_a_task_gives_the_list(export: Export) -> None:
    saved = (
        MAPPING.replace("[sampled_lists]", "")
        + """
    [[events]]
    source = "taken"
    type = "task_saved"
    event_id = "s{worker}-{id}"
    at = { text = "{at}", time = { since = 2026-02-28T22:00:00Z, unit = "h" } }
    fields = { worker_id = "{worker}", task_id = "{id}" }
    [sampled_lists]
    lead = "1h"
    on = ["task_saved", "assignment_accepted"]
    """
    )
    export.write("taken.csv", "worker,id,at\nw,t20,30\n")
    (served,) = [event for event in export.read(saved) if event["type"] == "feed_served"]
    assert hour_of(served) == 27
