"""Ids that the server draws."""

import re
from itertools import count

import pytest

from service.ids import new_id


def test_given_later_milliseconds_then_ids_are_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(1_772_323_200_000_000_000, 1_000_000)
    monkeypatch.setattr("time.time_ns", lambda: next(clock))
    ids = [new_id() for _ in range(300)]
    assert ids == sorted(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_given_the_same_millisecond_then_ids_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_772_323_200_000_000_000)
    assert len({new_id() for _ in range(300)}) == 300
