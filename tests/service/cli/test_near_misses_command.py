"""`cocok near-misses`, as an analyst runs it."""

import json

from tests.service.api.server import event, task, usd
from tests.service.cli.run import Cocok

ASKS = [{"attribute": "qualification:tagging", "comparator": "ge", "value": 80}]


def told(cocok: Cocok) -> None:
    """Import a log in which a worker lacks one qualification."""
    events = [event("worker_updated", worker_id="ana", qualifications={"tagging": 50})]
    events += [task(f"t{n}", requirements=ASKS, reward=usd(2), estimated_minutes=6) for n in range(3)]
    path = cocok.home.parent / "log.ndjson"
    path.write_text("".join(json.dumps(each) + "\n" for each in events))
    assert cocok("import", path).code == 0


def test_given_a_worker_who_lacks_one_thing_then_it_is_told_with_its_tasks_and_their_pay(cocok: Cocok) -> None:
    told(cocok)
    (miss,) = cocok("near-misses", "ana", "--json").json()
    assert (miss["attribute"], miss["comparator"], miss["value"], miss["tasks"]) == (*ASKS[0].values(), 3)
    assert miss["expected_hourly"] == {"amount": "18", "currency": "USD"}
    told_to_people = cocok("near-misses", "ana")
    assert "Raise the qualification tagging from 50 to 80" in told_to_people.out
    assert "USD 18.00" in told_to_people.out
    assert "no champion has been promoted yet; ranking with the fallback" in told_to_people.err


def test_given_nothing_stands_in_the_way_then_it_says_so(cocok: Cocok) -> None:
    told(cocok)
    path = cocok.home.parent / "more.ndjson"
    path.write_text(json.dumps(event("worker_updated", worker_id="bo", qualifications={"tagging": 90})) + "\n")
    assert cocok("import", path).code == 0
    assert cocok("near-misses", "bo", "--json").json() == []
    assert "No single change" in cocok("near-misses", "bo").out


def test_given_a_worker_whom_nobody_knows_then_it_is_an_error_of_one_line(cocok: Cocok) -> None:
    told(cocok)
    ran = cocok("near-misses", "nobody", "--model", "fallback")
    assert (ran.code, ran.err) == (1, "error: no event of the log names the worker nobody\n")


def test_given_a_model_that_is_not_there_then_it_is_said_before_the_log_is_read(cocok: Cocok) -> None:
    told(cocok)
    ran = cocok("near-misses", "nobody", "--model", "7")
    assert ran.code == 1
    assert "no model has been trained yet" in ran.err


def test_it_explains_itself_with_an_example(cocok: Cocok) -> None:
    assert "cocok near-misses ana --model challenger" in " ".join(cocok("near-misses", "--help").out.split())
