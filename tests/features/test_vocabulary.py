"""The vocabulary: dense indices for ids, stable once given."""

from hypothesis import given
from hypothesis import strategies as st

from features.vocabulary import UNKNOWN, Vocabulary


def test_ids_are_numbered_from_one_in_order_of_appearance() -> None:
    vocabulary = Vocabulary()
    assert [vocabulary.add(name) for name in ("b", "a", "b", "c")] == [1, 2, 1, 3]
    assert [vocabulary.external(index) for index in (1, 2, 3)] == ["b", "a", "c"]


def test_an_id_never_seen_is_unknown_and_asking_for_it_does_not_add_it() -> None:
    vocabulary = Vocabulary()
    assert vocabulary.get("a") == UNKNOWN
    assert "a" not in vocabulary.indices
    assert vocabulary.add("b") == 1


def test_even_the_empty_id_is_not_taken_for_the_unknown_one() -> None:
    assert Vocabulary().add("") != UNKNOWN


def test_the_length_is_the_rows_that_arrays_need() -> None:
    vocabulary = Vocabulary()
    assert len(vocabulary) == 1
    last = [vocabulary.add(name) for name in ("a", "b", "a", "c")][-1]
    assert len(vocabulary) == last + 1


def test_a_forgotten_id_loses_its_name_and_comes_back_under_a_new_index() -> None:
    vocabulary = Vocabulary()
    old = vocabulary.add("ana")
    assert vocabulary.forget("ana") == old
    assert vocabulary.external(old) == ""
    assert vocabulary.get("ana") == UNKNOWN
    assert vocabulary.add("ana") not in (old, UNKNOWN)


def test_forgetting_an_id_never_seen_changes_nothing() -> None:
    vocabulary = Vocabulary()
    vocabulary.add("a")
    assert vocabulary.forget("b") == UNKNOWN
    assert vocabulary.get("a") == 1
    assert vocabulary.external(UNKNOWN) == ""


@given(st.lists(st.text(max_size=3)))
def test_every_id_finds_its_way_back(names: list[str]) -> None:
    vocabulary = Vocabulary()
    for name in names:
        vocabulary.add(name)
    assert all(vocabulary.external(vocabulary.get(name)) == name for name in names)
    assert len(vocabulary) == len(set(names)) + 1
