"""Packed events are the events that were put, whatever else happens to the map."""

import pickle
from decimal import Decimal
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from features import packed
from features.events import TaskPosted, WorkerUpdated
from features.money import Money
from features.packed import Postings, Profiles
from features.requirements_shape import Clause
from tests.log import Log


def profile(worker: str) -> WorkerUpdated:
    log = Log().add(
        "worker_updated",
        worker_id=worker,
        skills={"b": 0.5, "a": 1},
        expected_hourly={"amount": "1.50", "currency": "USD"},
    )
    return cast("WorkerUpdated", log.entries[0][2])


def posting(requirements: object) -> TaskPosted:
    facts = {"reward": {"amount": "1.50", "currency": "IDR"}, "expires_at": "2027-01-01T00:00:00.000001+02:00"}
    log = Log().post("t1", 0.000001, requirements=requirements, **facts)
    return cast("TaskPosted", log.entries[0][2])


STEPS = st.lists(st.tuples(st.sampled_from(["set", "delete", "adopt"]), st.integers(0, 6)), max_size=25)


@given(STEPS)
def test_it_is_a_map_like_any_other(steps: list[tuple[str, int]]) -> None:
    here, there = Profiles(), dict[int, WorkerUpdated]()
    for number, (step, index) in enumerate(steps):
        if step == "set":
            here[index] = there[index] = profile(f"w{number}")
        elif step == "delete":
            assert here.pop(index, None) == there.pop(index, None)
        else:
            each = list(here.packed(7))
            here = Profiles()
            here.adopt(np.cumsum([len(part) for part in each]), b"".join(each))
        assert here == there
        assert len(here) == len(there)
        assert [index in here for index in range(9)] == [index in there for index in range(9)]
        assert [here.get(index) for index in range(-2, 9)] == [there.get(index) for index in range(-2, 9)]
    assert pickle.loads(pickle.dumps(here)) == there


def test_values_are_packed_without_the_names_of_their_fields() -> None:
    profiles, postings = Profiles(), Postings()
    profiles[0], postings[0] = profile("w1"), posting(None)
    for kept in (profiles, postings):
        each = b"".join(kept.packed(1))
        assert each
        assert not [name for name in kept[0].__struct_fields__ if name.encode() in each]


CLAUSE = {"attribute": "country", "comparator": "eq", "value": "ID"}


@pytest.mark.parametrize(
    "requirements", [None, [], [CLAUSE], CLAUSE, {"and": [CLAUSE]}, {"or": [CLAUSE, {"and": [CLAUSE, CLAUSE]}]}]
)
def test_requirements_come_back_as_the_same_tree(requirements: object) -> None:
    kept, given_ = Postings(), posting(requirements)
    kept[3] = given_
    assert kept[3] == given_
    assert kept[3].expires_at == given_.expires_at
    assert kept.reward(3) == given_.reward is not None
    assert kept.reward(4) is None
    if requirements == CLAUSE:
        assert kept[3].requirements is not None
        assert isinstance(kept[3].requirements.root, Clause)


def test_what_is_put_anew_is_what_is_found_however_often_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "RECENT", 3)
    profiles = Profiles()
    for turn in range(3):
        for index in range(8):
            profiles[index] = profile(f"w{turn}-{index}")
            assert [profiles[index].worker_id for _ in range(2)] == [f"w{turn}-{index}"] * 2
        assert [found.worker_id for found in profiles.values()] == [f"w{turn}-{index}" for index in range(8)]


def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(KeyError):
        Profiles()[0]
    with pytest.raises(KeyError):
        del Profiles()[0]


def test_the_reward_is_that_of_the_posting_in_force_however_often_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packed, "MOST_REWARDS", 3)
    postings, given_ = Postings(), posting(None)
    for turn in range(3):
        for index in range(8):
            reward = Money(amount=Decimal(turn + index), currency="USD")
            postings[index] = replace(given_, reward=reward)
            assert [postings.reward(index) for _ in range(2)] == [reward] * 2
    postings[2] = replace(given_, reward=None)
    assert postings.reward(2) is None
    del postings[2]
    assert postings.reward(2) is None
    postings[2] = given_
    assert postings.reward(2) == given_.reward
    other = Postings()
    other[2] = replace(given_, reward=Money(amount=Decimal(7), currency="USD"))
    each = list(other.packed(3))
    postings.adopt(np.cumsum([len(part) for part in each]), b"".join(each))
    assert postings.reward(2) == other.reward(2)
