"""The events: what is taken, what is refused and in which words, and that equal content has equal bytes."""

import gc
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.events import (
    EVENT_TYPES,
    Event,
    EventError,
    FeedServed,
    TaskPosted,
    TaskUpdated,
    WorkerErased,
    WorkerUpdated,
    decode_each,
    decode_event,
    decode_events,
    encode_event,
    event_type,
    instant,
    micros,
    moneys,
)
from features.money import Money
from features.requirements_shape import AllOf, AnyOf, Clause
from tests.features.examples import BODIES, HEAD, written


def decoded(kind: str, **changes: Any) -> Event:
    return decode_event(json.dumps(written(kind, **changes)).encode())


def refused(kind: str, **changes: Any) -> EventError:
    with pytest.raises(EventError) as caught:
        decoded(kind, **changes)
    assert "\n" not in str(caught.value)
    return caught.value


def test_given_the_types_of_the_contract_then_each_has_an_example() -> None:
    assert list(BODIES) == list(EVENT_TYPES)
    assert set(EVENT_TYPES.values()) == set(get_args(Event))


@pytest.mark.parametrize("kind", BODIES)
def test_given_a_full_example_then_every_field_is_taken_and_written_back(kind: str) -> None:
    event = decoded(kind)
    assert event_type(event) == kind
    assert set(json.loads(encode_event(event))) == set(written(kind))
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize("kind", BODIES)
def test_given_an_unknown_field_then_the_fields_of_the_type_are_named(kind: str) -> None:
    error = refused(kind, surprise=1)
    assert error.path == "$.surprise"
    assert all(field in str(error) for field in BODIES[kind])


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("field", ["event_id", "at"])
def test_given_a_missing_field_then_it_is_named(kind: str, field: str) -> None:
    event = written(kind)
    del event[field]
    with pytest.raises(EventError, match=f"`{field}`: missing"):
        decode_event(json.dumps(event).encode())


def test_given_an_unknown_type_then_the_known_ones_are_named() -> None:
    with pytest.raises(EventError, match=r'`type`: found "task_eaten", known types: worker_updated, .*worker_rated'):
        decode_event(json.dumps({**HEAD, "type": "task_eaten"}).encode())


@pytest.mark.parametrize(
    ("kind", "changes", "path", "words"),
    [
        ("task_closed", {"event_id": ""}, "event_id", "length >= 1"),
        ("task_closed", {"event_id": "x" * 129}, "event_id", "length <= 128"),
        ("task_closed", {"event_id": "a\x00b"}, "event_id", "NUL"),
        ("task_closed", {"task_id": "x" * 257}, "task_id", "length <= 256"),
        ("task_closed", {"task_id": 7}, "task_id", "found 7, expected str"),
        ("task_closed", {"at": "2026-03-01T12:00:00"}, "at", "timezone"),
        ("task_closed", {"at": 1772366400}, "at", "found 1772366400, expected datetime"),
        ("task_closed", {"at": "1969-12-31T23:59:59Z"}, "at", "between the years 1970"),
        ("task_closed", {"at": "0001-01-01T00:00:00+12:00"}, "at", "between the years 1970"),
        # In UTC, as they are kept and read back, these lie in other years.
        ("task_closed", {"at": "1970-01-01T00:00:00+07:00"}, "at", "between the years 1970"),
        ("task_closed", {"at": "2261-12-31T23:30:00-05:00"}, "at", "between the years 1970"),
        ("task_posted", {"expires_at": "2261-12-31T23:30:00-05:00"}, "expires_at", "between the years 1970"),
        ("task_posted", {"slots": -1}, "slots", "found -1"),
        ("task_posted", {"slots": 1.5}, "slots", "found 1.5, expected int"),
        ("task_posted", {"slots": 2.0, "title": 1}, "title", "found 1, expected str"),
        ("task_posted", {"per_worker_limit": 0}, "per_worker_limit", "found 0, expected `int` >= 1"),
        ("task_posted", {"estimated_minutes": 0}, "estimated_minutes", "found 0"),
        ("task_posted", {"reward": {"amount": -1, "currency": "USD"}}, "reward.amount", "found -1, must be"),
        ("task_posted", {"reward": {"amount": "NaN", "currency": "USD"}}, "reward.amount", "finite"),
        ("task_posted", {"reward": {"amount": 1}}, "reward.currency", "missing"),
        ("task_posted", {"reward": {"amount": 1, "currency": "usd"}}, "reward.currency", "ISO 4217"),
        ("task_posted", {"reward": {"amount": 1, "currency": "USD\n"}}, "reward.currency", "ISO 4217"),
        ("task_posted", {"countries": ["Indonesia"]}, "countries[0]", "ISO 3166-1"),
        ("task_posted", {"languages": ["en", "e n"]}, "languages[1]", "BCP 47"),
        ("task_posted", {"skills": {"a": 1}}, "skills", "array"),
        ("worker_updated", {"skills": {"a": 1.5}}, "skills[...]", "<= 1"),
        ("worker_updated", {"skills": ["a"] * 1001}, "skills", "1000"),
        ("worker_updated", {"qualifications": {"q": True}}, "qualifications[...]", "bool"),
        ("feed_served", {"items": [{"task_id": "t", "position": 0}]}, "items[0].position", "found 0"),
        ("feed_served", {"items": [{"task_id": "t"}]}, "items[0].position", "missing"),
        ("feed_served", {"items": [{"task_id": "t", "position": 1, "x": 1}]}, "items[0].x", "propensity"),
        ("feed_served", {"items": [{"task_id": "t", "position": p} for p in (1, 2)]}, "items", "twice"),
        ("feed_served", {"items": [{"task_id": "t", "position": 1, "propensity": 0}]}, "items[0].propensity", "> 0"),
        ("feed_served", {"context": {"x": 1}}, "context.x", "exclude_task_ids"),
        ("requester_rated", {"rating": 5.5}, "rating", "found 5.5"),
        ("assignment_submitted", {"work_seconds": -1}, "work_seconds", "found -1"),
    ],
)
def test_given_a_value_that_is_not_allowed_then_field_value_and_rule_are_named(
    kind: str, changes: dict[str, Any], path: str, words: str
) -> None:
    error = refused(kind, **changes)
    assert error.path == f"$.{path}"
    assert words in str(error)


@pytest.mark.parametrize("at", ["1970-01-01T07:00:00+07:00", "1969-12-31T19:00:00-05:00", "2261-12-31T18:59:59-05:00"])
def test_given_an_instant_that_is_taken_then_it_is_read_back(at: str) -> None:
    taken = decode_event(
        json.dumps({**HEAD, "type": "task_posted", "task_id": "t", "requester_id": "r", "at": at}).encode()
    )
    assert decode_event(encode_event(taken)) == taken


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "line is empty"),
        (b"[1]", "found [1], expected a JSON object"),
        (b'{"type": "task_clo', "cut off"),
        (b"nonsense", "malformed JSON"),
        (b'{"event_id": "\xff"}', "not valid UTF-8"),
        (b'{"type": "task_closed", "slots": NaN}', "NaN and Infinity are no JSON"),
        (b'{"type": "task_closed", "slots": -Infinity}', "NaN and Infinity are no JSON"),
        (b'{"type": ["a"]}', "known types"),
        (b'{"type": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"type": "task_posted", "slots": ' + b"9" * 10_000 + b"}", "out of range"),
    ],
)
def test_given_a_line_that_is_no_event_then_it_is_refused_in_words(line: bytes, words: str) -> None:
    with pytest.raises(EventError) as caught:
        decode_event(line)
    assert words in str(caught.value)


@given(st.binary(max_size=200))
def test_given_any_bytes_then_they_are_an_event_or_refused(line: bytes) -> None:
    with pytest.raises(EventError):
        decode_event(line)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["and", "or", "x"]), inner, max_size=2),
    max_leaves=8,
)


@given(st.data())
def test_given_any_json_in_any_field_then_the_event_round_trips_or_is_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(BODIES)))
    field = data.draw(st.sampled_from(sorted(written(kind))))
    line = json.dumps(written(kind, **{field: data.draw(JSON_VALUES)})).encode()
    try:
        event = decode_event(line)
    except EventError:
        return
    assert decode_event(encode_event(event)) == event


def test_given_another_offset_then_the_instant_is_in_utc() -> None:
    event = decoded("task_posted", at="2026-03-01T19:00:00.000001+07:00", expires_at="2026-03-01T19:30:00+07:00")
    assert isinstance(event, TaskPosted)
    assert event.at == datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)
    assert event.expires_at is not None
    assert event.at.tzinfo is UTC
    assert event.expires_at.tzinfo is UTC


def test_given_an_event_built_in_python_without_a_zone_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        WorkerErased(event_id="e", at=datetime(2026, 3, 1), worker_id="w")


@given(st.integers(min_value=-(2**53), max_value=2**53))
def test_given_any_instant_then_microseconds_are_exact(number: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=number)
    assert micros(moment) == number
    assert micros(moment.astimezone(timezone(timedelta(hours=7)))) == number
    assert instant(number) == moment


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"reward": {"amount": "1.50", "currency": "USD"}}, {"reward": {"amount": 1.5, "currency": "USD"}}),
        ({"reward": {"amount": "100", "currency": "USD"}}, {"reward": {"amount": 1e2, "currency": "USD"}}),
        ({"at": "2026-03-01T12:00:00Z"}, {"at": "2026-03-01T19:00:00.000+07:00"}),
        ({"per_worker_limit": 1, "slots": None}, {}),
        ({"per_worker_limit": None}, {}),
        ({"estimated_minutes": 5}, {"estimated_minutes": 5.0}),
        (
            {"slots": 2, "reward": {"amount": 0.1, "currency": "USD"}},
            {"slots": 2.0, "reward": {"amount": "0.10", "currency": "USD"}},
        ),
        (
            {"requirements": [{"attribute": "region", "comparator": "exists", "guards": "accept"}]},
            {"requirements": {"and": [{"comparator": "exists", "attribute": "region"}]}},
        ),
    ],
)
def test_given_the_same_content_written_otherwise_then_the_bytes_are_equal(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    base = {**HEAD, "type": "task_posted", "task_id": "t", "requester_id": "r"}
    first, second = (json.dumps({**base, **part}).encode() for part in (one, other))
    assert encode_event(decode_event(first)) == encode_event(decode_event(second))


@pytest.mark.parametrize("number", ["1e400", "1e999999999", "1e99999999999999999999", "1e-99999999999999999999"])
def test_given_a_number_beyond_all_bounds_then_the_event_is_refused(number: str) -> None:
    head = json.dumps({**HEAD, "type": "task_posted", "task_id": "t", "requester_id": "r"})
    with pytest.raises(EventError):
        decode_event(f'{head[:-1]}, "slots": {number}}}'.encode())


def test_given_skills_in_another_order_of_keys_then_the_bytes_are_equal() -> None:
    one = decoded("worker_updated", skills={"a": 1, "b": 0}, qualifications={"x": 1, "y": None})
    other = decoded("worker_updated", skills={"b": 0, "a": 1}, qualifications={"y": None, "x": 1})
    assert encode_event(one) == encode_event(other)


def test_given_an_update_then_absent_and_null_differ() -> None:
    head = {**HEAD, "type": "task_updated", "task_id": "t"}
    absent = decode_event(json.dumps(head).encode())
    null = decode_event(json.dumps({**head, "slots": None}).encode())
    assert isinstance(absent, TaskUpdated)
    assert isinstance(null, TaskUpdated)
    assert absent.slots is msgspec.UNSET
    assert null.slots is None
    assert encode_event(absent) != encode_event(null)
    assert decode_event(encode_event(null)) == null


def test_given_an_update_with_no_limit_then_it_is_one() -> None:
    event = decode_event(
        json.dumps({**HEAD, "type": "task_updated", "task_id": "t", "per_worker_limit": None}).encode()
    )
    assert isinstance(event, TaskUpdated)
    assert event.per_worker_limit == 1


def test_given_a_posting_without_slots_then_they_are_unlimited_and_the_limit_is_one() -> None:
    event = decode_event(json.dumps({**HEAD, "type": "task_posted", "task_id": "t", "requester_id": "r"}).encode())
    assert isinstance(event, TaskPosted)
    assert (event.slots, event.per_worker_limit, event.reward) == (None, 1, None)


def test_given_skills_as_names_or_levels_then_both_are_kept() -> None:
    named, levelled = decoded("worker_updated", skills=["a", "b"]), decoded("worker_updated", skills={"a": 1})
    assert isinstance(named, WorkerUpdated)
    assert isinstance(levelled, WorkerUpdated)
    assert (named.skills, levelled.skills) == (("a", "b"), {"a": 1.0})


def test_given_an_empty_or_a_long_list_then_it_is_a_list() -> None:
    empty = decoded("feed_served", items=[])
    long = decoded("feed_served", items=[{"task_id": f"t{i}", "position": i + 1} for i in range(1000)])
    assert isinstance(empty, FeedServed)
    assert isinstance(long, FeedServed)
    assert (len(empty.items), len(long.items)) == (0, 1000)


@pytest.mark.parametrize("kind", BODIES)
def test_given_any_event_then_all_its_money_is_found(kind: str) -> None:
    def dig(value: Any) -> int:
        if isinstance(value, dict):
            return 1 if set(value) == {"amount", "currency"} else sum(map(dig, value.values()))
        return 0

    assert len(moneys(decoded(kind))) == dig(written(kind))
    assert all(isinstance(money, Money) for money in moneys(decoded(kind)))


def clause(**changes: Any) -> dict[str, Any]:
    return {"attribute": "country", "comparator": "eq", "value": "ID", **changes}


def nested(depth: int) -> Any:
    tree: Any = clause()
    for level in range(depth):
        tree = {"or" if level % 2 else "and": [tree]}
    return tree


def test_given_a_tree_of_requirements_then_it_reads_as_nodes() -> None:
    tree = {"or": [clause(), {"and": [{"attribute": "skill:x", "comparator": "gt", "value": 0.5}]}]}
    event = decoded("task_posted", requirements=tree)
    assert isinstance(event, TaskPosted)
    assert event.requirements is not None
    assert event.requirements.root == AnyOf(
        (
            Clause(attribute="country", comparator="eq", value="ID"),
            AllOf((Clause(attribute="skill:x", comparator="gt", value=0.5),)),
        )
    )
    assert [found.attribute for found in event.requirements.clauses()] == ["country", "skill:x"]


@pytest.mark.parametrize("requirements", [[], [clause()] * 32, {"and": [clause()] * 40}, nested(8)])
def test_given_requirements_within_bounds_then_they_round_trip(requirements: Any) -> None:
    event = decoded("task_posted", requirements=requirements)
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize(
    ("requirements", "path", "words"),
    [
        (4, "", "expected object"),
        ([clause()] * 33, "", "at most 32"),
        (nested(9), ".and[0].or[0].and[0].or[0].and[0].or[0].and[0].or[0]", "nested deeper than 8"),
        ({"or": []}, ".or", "at least one"),
        ({"and": [clause()], "or": [clause()]}, "", "unknown field"),
        ([clause(), clause(attribute="height")], "[1]", 'unknown attribute "height"; allowed: qualification:ID'),
        ([clause(attribute="skill:")], "[0]", "unknown attribute"),
        ([clause(comparator="like")], "[0].comparator", "lt, le, gt, ge, eq"),
        ([clause(guards="all")], "[0].guards", "discover, preview, accept"),
        ([clause(comparator="in")], "[0]", "takes no `value`"),
        ([clause(value=None)], "[0]", "needs `value`"),
        ([clause(values=["ID"])], "[0]", "takes no `values`"),
        ([clause(comparator="exists")], "[0]", "takes no `value`"),
        ([{"attribute": "country", "comparator": "in"}], "[0]", "needs `values`"),
        ([clause(comparator="lt")], "[0]", "compares numbers"),
        ([clause(value=3)], "[0]", "is text"),
        ([clause(attribute="approval_rate")], "[0]", "is a number"),
        ([clause(absent="no")], "[0].absent", "expected bool"),
    ],
)
def test_given_requirements_out_of_shape_then_the_clause_and_the_rule_are_named(
    requirements: Any, path: str, words: str
) -> None:
    error = refused("task_posted", requirements=requirements)
    assert error.path == f"$.requirements{path}"
    assert words.lower() in str(error).lower()


LINES = [json.dumps({**written("task_closed"), "event_id": f"e{i}"}).encode() for i in range(3)]


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b",".join(LINES) + b"]",
        b" \n [" + b",\n".join(LINES) + b"]\n",
        b"\n".join(LINES),
        b"\r\n\r\n".join(LINES) + b"\r\n",
    ],
)
def test_given_a_body_as_array_or_lines_then_its_events_come_in_order(body: bytes) -> None:
    assert [event.event_id for event in decode_events(body)] == ["e0", "e1", "e2"]


def test_given_a_body_without_events_then_the_list_is_empty() -> None:
    assert decode_events(b"[]") == decode_events(b" \n") == []


@pytest.mark.parametrize("join", [lambda lines: b"\n".join(lines), lambda lines: b"[" + b",".join(lines) + b"]"])
def test_given_a_bad_event_in_a_body_then_its_place_is_named(join: Any) -> None:
    bad = json.dumps(written("task_closed", task_id="")).encode()
    with pytest.raises(EventError, match=r"event \[2\]: `task_id`: found") as caught:
        decode_events(join([LINES[0], LINES[1], bad]))
    assert (caught.value.index, caught.value.path) == (2, "$.task_id")


def test_given_a_broken_array_then_it_is_refused_as_a_whole() -> None:
    with pytest.raises(EventError, match="cut off") as caught:
        decode_events(b"[" + LINES[0])
    assert caught.value.index is None


def test_many_lines_are_decoded_as_one_by_one_and_the_first_at_fault_is_named() -> None:
    lines = [json.dumps(written(kind, event_id=kind)).encode() for kind in EVENT_TYPES]
    assert decode_each(lines) == [decode_event(line) for line in lines]
    with pytest.raises(EventError) as caught:
        decode_each([lines[0], b'{"type": "no_such"}', b"{"])
    assert "no_such" in str(caught.value)


def test_the_garbage_collector_does_not_look_at_events() -> None:
    assert not any(gc.is_tracked(decoded(kind)) for kind in EVENT_TYPES)
