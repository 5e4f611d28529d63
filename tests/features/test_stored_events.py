"""What a store keeps, read for the fold: the same state, the same packed profiles and postings, the same errors."""

import json
from typing import Any

import pytest

from features.batch import DEEDS
from features.errors import CocokError, EventError
from features.events import EVENT_TYPES, Event, TaskPosted, WorkerUpdated, decode_each, encode_event
from features.state import MarketState
from features.stored_events import IN_PLACE, decode_kept
from tests.digest import digest
from tests.features.examples import BODIES, written
from tests.log import RATES

ORDER = ["worker_updated", "task_posted", "feed_served", *(kind for kind in BODIES if kind != "worker_erased")]


def payloads() -> list[bytes]:
    events = decode_each([json.dumps(written(kind)).encode() for kind in [*ORDER, "worker_erased", *ORDER]])
    return [encode_event(event) for event in events]


def state_of(events: list[Event]) -> MarketState:
    state = MarketState(RATES)
    state.apply((seq, 1_000_000 * seq, event) for seq, event in enumerate(events, 1))
    return state


def test_events_of_every_type_come_to_the_same_state() -> None:
    kept, whole = state_of(decode_kept(payloads())), state_of(decode_each(payloads()))
    assert digest(kept) == digest(whole)
    for name in ("profiles", "postings"):
        ours, theirs = getattr(kept.catalogue, name), getattr(whole.catalogue, name)
        assert list(ours.packed(5)) == list(theirs.packed(5))
        assert dict(ours) == dict(theirs) != {}
    assert kept.catalogue.signatures == whole.catalogue.signatures


@pytest.mark.parametrize(
    "amount", ["0", "1.50", 12, 0.1, "1E+3", "0.000000000000000000000000000001", "999999999999999"]
)
def test_an_amount_is_packed_and_converted_as_elsewhere(amount: object) -> None:
    money = {"amount": amount, "currency": "IDR"}
    bodies = [written("worker_updated", expected_hourly=money, min_reward=money), written("task_posted", reward=money)]
    lines = [encode_event(event) for event in decode_each([json.dumps(body).encode() for body in bodies])]
    kept, whole = state_of(decode_kept(lines)), state_of(decode_each(lines))
    # Read as it is kept, and not as what else would be read if that failed.
    assert {type(event) for event in decode_kept(lines)} <= set(IN_PLACE.values())
    assert digest(kept) == digest(whole)
    for name in ("profiles", "postings"):
        assert list(getattr(kept.catalogue, name).packed(3)) == list(getattr(whole.catalogue, name).packed(3))


def test_no_event_of_these_types_is_read_as_elsewhere() -> None:
    read = {type(event) for event in decode_kept(payloads())}
    assert set(IN_PLACE.values()) <= read
    assert not read & set(IN_PLACE)


def test_requirements_are_those_that_were_written_and_none_where_there_are_none() -> None:
    bare = encode_event(decode_each([json.dumps(written("task_posted", requirements=None)).encode()])[0])
    [whole] = decode_each([encode_event(decode_each([json.dumps(written("task_posted")).encode()])[0])])
    [kept, none] = decode_kept([encode_event(whole), bare])
    assert kept.requirements == whole.requirements is not None
    assert none.requirements is None


def test_types_that_are_read_whole_have_all_fields_in_order() -> None:
    for kind in (WorkerUpdated, TaskPosted):
        assert IN_PLACE[kind].__struct_fields__ == kind.__struct_fields__
    assert set(DEEDS) < set(EVENT_TYPES.values())


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b'{"type":"no_such"}', b'{"type":"task_viewed","worker_id":3}', b"\xff"]
)
def test_what_is_damaged_is_refused_as_it_is_elsewhere(damaged: bytes) -> None:
    told: list[Any] = []
    for decode in (decode_each, decode_kept):
        with pytest.raises(EventError) as caught:
            decode([*payloads(), damaged])
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_a_currency_without_a_rate_is_refused_before_anything_is_known() -> None:
    posting = json.dumps(written("task_posted", reward={"amount": "1", "currency": "XXX"})).encode()
    state = MarketState(RATES)
    with pytest.raises(CocokError, match="XXX"):
        state.apply([(1, 1, event) for event in decode_kept([*payloads()[:1], posting])])
    assert len(state.catalogue.workers) == 1
