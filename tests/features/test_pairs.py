"""Pair tables: the same as a dictionary, through every growth."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.layout import DEALING
from features.pairs import LARGE, LOAD, LOAD_OF_LARGE, SMALLEST, claim, find, grown, most, pair_key

INDICES = st.integers(1, 2**31 - 1)
OTHERS = st.integers(0, 2**31 - 1)
PAIRS = st.tuples(st.integers(1, 20) | INDICES, st.integers(0, 20) | OTHERS)


def key(worker: int, other: int) -> np.uint64:
    # A kernel hands Python a plain integer, which the next kernel would take for a signed one.
    return np.uint64(pair_key(worker, other))


def empty() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(SMALLEST, np.uint64), np.zeros(SMALLEST, DEALING)


@settings(deadline=None)
@given(st.lists(PAIRS, max_size=200))
def test_a_table_finds_what_a_dictionary_would(pairs: list[tuple[int, int]]) -> None:
    keys, values = empty()
    counts: dict[tuple[int, int], int] = {}
    for pair in pairs:
        place, new = claim(keys, key(*pair))
        assert new == (pair not in counts)
        counts[pair] = counts.get(pair, 0) + 1
        values[place]["served"] += 1
    assert {pair: values[find(keys, key(*pair))]["served"] for pair in counts} == counts
    assert np.count_nonzero(keys) == len(counts)


@settings(deadline=None)
@given(st.sets(PAIRS, max_size=50), PAIRS)
def test_a_pair_never_claimed_is_not_found(pairs: set[tuple[int, int]], other: tuple[int, int]) -> None:
    keys, _ = empty()
    for pair in pairs - {other}:
        claim(keys, key(*pair))
    assert find(keys, key(*other)) == -1


def test_the_unknown_worker_has_no_pairs_even_in_a_full_neighbourhood() -> None:
    keys, _ = empty()
    for other in range(SMALLEST // 2):
        claim(keys, key(1, other))
    assert all(find(keys, key(0, other)) == -1 for other in range(SMALLEST))


def test_growth_keeps_every_pair_and_its_value() -> None:
    keys, values = empty()
    for count in range(1, 20_000):
        keys, values = grown(keys, values, count)
        place, new = claim(keys, key(count % 97 + 1, count))
        assert new
        values[place]["served_at"] = count
    found = [int(values[find(keys, key(count % 97 + 1, count))]["served_at"]) for count in range(1, 20_000)]
    assert found == list(range(1, 20_000))
    assert np.count_nonzero(keys) == 19_999 <= keys.size * LOAD


@settings(deadline=None)
@given(st.sets(PAIRS, min_size=1, max_size=60), st.data())
def test_a_table_may_have_any_number_of_places_and_wraps_around(
    pairs: set[tuple[int, int]], data: st.DataObject
) -> None:
    places = data.draw(st.integers(len(pairs) + 1, 2 * len(pairs) + 1))
    keys = np.zeros(places, np.uint64)
    at = {pair: claim(keys, key(*pair))[0] for pair in pairs}
    assert {pair: find(keys, key(*pair)) for pair in pairs} == at
    assert sorted(set(at.values())) == sorted(np.flatnonzero(keys))


def test_a_table_with_room_is_not_moved() -> None:
    keys, values = empty()
    same_keys, same_values = grown(keys, values, int(SMALLEST * LOAD))
    assert same_keys is keys
    assert same_values is values
    more_keys, more_values = grown(keys, values, int(SMALLEST * LOAD) + 1)
    assert len(more_keys) == len(more_values) > SMALLEST


def test_a_large_table_is_filled_further_before_it_grows_and_grows_by_less() -> None:
    pairs = int(LARGE * LOAD_OF_LARGE)
    assert len(grown(*empty(), pairs)[0]) == LARGE
    assert len(grown(*empty(), pairs + 1)[0]) == LARGE * 5 // 4
    assert most(LARGE // 2) == LARGE // 2 * LOAD
