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


SLOTS = """
    [[sources]]
    name = "told"
    files = ["told.csv"]
    {blocks}
    [sampled_lists]
"""
BLOCK = """
    [[events]]
    source = "told"
    type = "{type}"
    event_id = "{{@row}}"
    at = {{ text = "{{at}}", time = {{ since = 2026-03-01T00:00:00Z, unit = "h" }} }}
    when = {{ text = "{{type}}", in = ["{type}"] }}
    fields = {{ task_id = "{{id}}", {more} }}
"""
UNTIL = 'expires_at = { text = "{until}", time = { since = 2026-03-01T00:00:00Z, unit = "h" } }'
WORKED = [f"assignment_{what}" for what in ("accepted", "returned", "abandoned", "submitted", "approved", "rejected")]


def last_list(folder: Path, *told: str) -> set[str]:
    """Return the tasks in the last list, of lines of time, type, task, worker, slots and expiry."""
    blocks = [
        ("task_posted", f'requester_id = "r", slots = "{{slots}}", {UNTIL}'),
        ("task_updated", f'slots = "{{slots}}", {UNTIL}'),
        ("task_closed", 'reason = "x"'),
        *((kind, 'worker_id = "{worker}"') for kind in WORKED),
    ]
    export = Export(folder)
    export.write("told.csv", "at,type,id,worker,slots,until\n" + "".join(f"{line}\n" for line in told))
    texts = "".join(BLOCK.format(type=kind, more=more) for kind, more in blocks)
    found = [event for event in export.read(SLOTS.replace("{blocks}", texts)) if event["type"] == "feed_served"]
    return tasks_of(max(found, key=lambda served: str(served["at"])))


@pytest.mark.parametrize(
    ("told", "is_open"),
    [
        (["1,assignment_accepted,t,a,,"], False),
        (["1,assignment_submitted,t,a,,"], False),
        (["1,assignment_approved,t,a,,"], False),
        (["1,assignment_rejected,t,a,,"], False),
        (["1,assignment_accepted,t,a,,", "2,assignment_returned,t,a,,"], True),
        (["1,assignment_accepted,t,a,,", "2,assignment_abandoned,t,a,,"], True),
        (["1,assignment_accepted,t,a,,", "2,assignment_returned,t,b,,"], False),
        (["1,assignment_accepted,t,a,,", "2,task_posted,t,,1,"], True),
        (["1,assignment_accepted,t,a,,", "2,task_updated,t,,2,"], True),
        (["1,assignment_accepted,t,a,,", "2,task_updated,t,,2,", "3,assignment_submitted,t,a,,"], True),
        (["1,assignment_accepted,t,a,,", "2,task_updated,t,,2,", "3,assignment_submitted,t,b,,"], False),
        (
            [
                "1,task_posted,t,,2,",
                "2,assignment_accepted,t,a,,",
                "3,task_posted,t,,2,",
                "4,assignment_accepted,t,b,,",
            ],
            False,
        ),
        (
            [
                "1,assignment_accepted,t,a,,",
                "2,task_posted,t,,1,",
                "3,assignment_accepted,t,b,,",
                "4,assignment_returned,t,a,,",
            ],
            False,
        ),
        (["1,task_updated,t,,,3"], False),
        (["1,task_updated,t,,,3", "2,task_posted,t,,1,"], True),
        (["1,task_posted,t,,1,0.5"], False),
        (["1,task_closed,t,,,"], False),
    ],
)
def test_given_slots_then_lists_hold_only_tasks_that_could_be_taken(
    tmp_path: Path, told: list[str], is_open: bool
) -> None:
    others = ["0,task_posted,other,,,", "0,task_posted,mine,,,", "9,assignment_accepted,mine,w,,"]
    listed = last_list(tmp_path, "0,task_posted,t,,1,", *others, *told)
    assert listed == {"other", "mine", *(["t"] if is_open else [])}


def test_given_a_task_that_expired_before_it_was_posted_then_no_list_holds_it(tmp_path: Path) -> None:
    others = ["0,task_posted,other,,,", "0,task_posted,mine,,,", "9,assignment_accepted,mine,w,,"]
    assert last_list(tmp_path, "5,task_posted,t,,1,4", *others) == {"other", "mine"}
    assert last_list(tmp_path, "5,task_posted,t,,1,5", *others) == {"other", "mine"}
    assert last_list(tmp_path, "5,task_posted,t,,0,", *others) == {"other", "mine"}


def test_given_all_stages_at_one_instant_then_a_slot_is_taken_once(tmp_path: Path) -> None:
    stages = [f"1,assignment_{stage},t,a,," for stage in ("approved", "submitted", "accepted")]
    others = ["0,task_posted,other,,,", "0,task_posted,mine,,,", "9,assignment_accepted,mine,w,,"]
    assert "t" in last_list(tmp_path, "0,task_posted,t,,2,", *others, *stages)
    assert "t" not in last_list(tmp_path, "0,task_posted,t,,1,", *others, *stages)
