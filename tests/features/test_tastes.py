"""What workers have to do with tokens: the same as a dictionary, through every move of a block and of the run."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.layout import Arrays
from features.state import MarketState
from features.tastes import (
    BATCHES,
    LEAST_ROOM,
    ask,
    claim_taste,
    find_taste,
    fitted,
    fitted_blocks,
    fitted_histories,
    listed,
    most,
    room_for,
    with_room,
    withdraw_levels,
)
from features.tokens import TOKEN_BITS
from tests.log import RATES

LAST = (1 << TOKEN_BITS) - 1
TOKENS = st.integers(0, LAST) | st.integers(0, 40) | st.integers(LAST - 40, LAST)
PAIRS = st.tuples(st.integers(1, 6), TOKENS)

Pair = tuple[int, int]


def with_pairs(arrays: Arrays, pairs: Iterable[Pair]) -> Arrays:
    """Add pairs one by one, each with a number of its own."""
    for worker, token in pairs:
        ask(arrays.histories, worker, 1)
        arrays = with_room(arrays, room_for(arrays.histories, worker))
        taste = arrays.tastes[claim_taste(arrays, worker, token)]
        taste["at"] = value_of((worker, token))
    return arrays


def value_of(pair: Pair) -> int:
    return 7 * pair[1] + pair[0]


def found(arrays: Arrays, pair: Pair) -> int | None:
    place = find_taste(arrays.histories, arrays.taste_tokens, *pair)
    return None if place < 0 else int(arrays.tastes[place]["at"])


@pytest.fixture
def arrays() -> Arrays:
    return MarketState(RATES).arrays


@settings(deadline=None)
@given(st.lists(PAIRS, max_size=300), PAIRS)
def test_a_pair_is_found_with_its_value_as_in_a_dictionary(pairs: list[Pair], other: Pair) -> None:
    arrays = with_pairs(MarketState(RATES).arrays, pairs)
    assert [found(arrays, pair) for pair in pairs] == [value_of(pair) for pair in pairs]
    assert found(arrays, other) == (value_of(other) if other in pairs else None)
    assert arrays.histories["used"].sum() == len(set(pairs))


@settings(deadline=None)
@given(st.sets(PAIRS, max_size=300))
def test_pairs_are_listed_in_order_with_their_places(pairs: set[Pair]) -> None:
    arrays = with_pairs(MarketState(RATES).arrays, pairs)
    workers, tokens, places = listed(arrays.histories, arrays.taste_tokens)
    assert list(zip(workers.tolist(), tokens.tolist(), strict=True)) == sorted(pairs)
    assert arrays.tastes["at"][places].tolist() == [value_of(pair) for pair in sorted(pairs)]


@settings(deadline=None)
@given(st.sets(PAIRS, max_size=100), st.lists(PAIRS, max_size=300))
def test_the_room_that_is_told_is_enough_for_what_was_asked(before: set[Pair], pairs: list[Pair]) -> None:
    arrays = with_pairs(MarketState(RATES).arrays, before)
    for worker, _ in pairs:
        ask(arrays.histories, worker, 1)
    end, room = int(arrays.taste_end[0]), sum(room_for(arrays.histories, worker) for worker, _ in pairs)
    arrays = with_room(arrays, room + len(arrays.taste_tokens) - end)
    end = int(arrays.taste_end[0])
    for worker, token in pairs:
        claim_taste(arrays, worker, token)
    assert arrays.taste_end[0] <= end + room
    assert not arrays.histories["asked"].any()


def test_the_unknown_worker_has_no_tastes(arrays: Arrays) -> None:
    arrays = with_pairs(arrays, [(1, token) for token in range(LEAST_ROOM)])
    assert all(found(arrays, (0, token)) is None for token in range(LEAST_ROOM))


def test_a_run_of_which_much_is_left_behind_is_made_anew_without_it(arrays: Arrays) -> None:
    pairs = [(worker, 1_000 * token) for token in range(100) for worker in (1, 2, 3)]
    arrays = with_pairs(arrays, pairs)
    left = int(arrays.taste_end[0]) - int(arrays.histories["places"].sum())
    assert left > 0
    anew = with_room(arrays, len(arrays.taste_tokens))
    assert int(anew.taste_end[0]) == int(anew.histories["places"].sum()) == int(arrays.taste_end[0]) - left
    assert [found(anew, pair) for pair in pairs] == [value_of(pair) for pair in pairs]


def test_given_enough_room_then_the_arrays_stay(arrays: Arrays) -> None:
    assert with_room(arrays, LEAST_ROOM) is arrays
    assert len(with_room(arrays, LEAST_ROOM + 1).taste_tokens) > LEAST_ROOM


def test_who_holds_earlier_arrays_reads_on_as_it_was(arrays: Arrays) -> None:
    pairs = [(1, token) for token in range(10)]
    before = with_pairs(arrays, pairs)
    after = with_pairs(with_room(before, len(before.taste_tokens)), [(1, token) for token in range(10, 200)])
    assert [found(before, pair) for pair in pairs] == [value_of(pair) for pair in pairs]
    assert found(before, (1, 10)) is None
    assert found(after, (1, 10)) == value_of((1, 10))


@given(st.integers(0, 5_000))
def test_a_fitted_block_takes_its_pairs_and_has_one_place_empty(pairs: int) -> None:
    assert most(fitted(pairs)) >= pairs
    assert most(fitted(pairs) - 1) < pairs
    assert fitted(pairs) > pairs


def test_blocks_are_fitted_and_keep_their_pairs(arrays: Arrays) -> None:
    pairs = [(worker, 300 * token) for worker in (1, 2, 5) for token in range(13 * worker)]
    arrays = with_pairs(arrays, pairs)
    histories = fitted_histories(arrays.histories)
    tokens, tastes = (np.concatenate(each) for each in zip(*fitted_blocks(arrays, histories), strict=True))
    assert histories["places"][[1, 2, 3, 5]].tolist() == [fitted(13), fitted(26), 0, fitted(65)]
    assert len(tokens) == len(tastes) == histories["places"].sum()
    fit = arrays._replace(histories=histories, taste_tokens=tokens, tastes=tastes)
    assert [found(fit, pair) for pair in pairs] == [value_of(pair) for pair in pairs]


def test_what_is_withdrawn_is_the_levels_of_one_worker(arrays: Arrays) -> None:
    pairs = [(1, 1), (1, 70_000), (2, 1)]
    arrays = with_pairs(arrays, pairs)
    arrays.tastes["level"] = 0.5
    withdraw_levels(arrays, 1)
    left = [arrays.tastes[find_taste(arrays.histories, arrays.taste_tokens, *pair)]["level"] for pair in pairs]
    assert left == [0.0, 0.0, 0.5]
    assert [found(arrays, pair) for pair in pairs] == [value_of(pair) for pair in pairs]


def test_a_run_that_had_to_move_has_room_for_several_batches_like_the_one_that_moved_it(arrays: Arrays) -> None:
    room = LEAST_ROOM + 1
    moved = with_room(arrays, room)
    assert with_room(moved, BATCHES * room) is moved
    assert with_room(moved, BATCHES * room + 1) is not moved
