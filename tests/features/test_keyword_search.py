"""Texts and patterns: what was found stays found, and what is added is searched."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import features.keyword_search
from features.keyword_search import Text, Texts, finder, plain

TITLES = st.lists(st.sampled_from(["Label cars", "Label 3 cars", "a label", "cars", "labels", ""]), max_size=8)
PATTERNS = st.sampled_from(["label", "label*", "label cars", "label * cars", "*", "*s"])


def text(title: str) -> Text:
    return Text(title, "", ())


def test_given_a_text_twice_then_it_is_kept_once() -> None:
    texts = Texts()
    assert [texts.add(text("a")), texts.add(text("b")), texts.add(text("a"))] == [0, 1, 0]
    assert texts.add(Text("a", "", ("a",))) == 2
    assert len(texts) == 3


@given(titles=TITLES, patterns=st.lists(PATTERNS, min_size=1, max_size=3), cut=st.integers(0, 8))
def test_given_texts_that_come_later_then_a_pattern_is_found_as_if_they_had_always_been_there(
    titles: list[str], patterns: list[str], cut: int
) -> None:
    texts = Texts()
    for begin, end in pairwise((0, cut, len(titles))):
        for title in titles[begin:end]:
            texts.add(text(title))
        for pattern in patterns:
            texts.found_in(pattern)
    distinct = list(dict.fromkeys(titles))
    for pattern in patterns:
        found = finder(pattern)
        expected = [place for place, title in enumerate(distinct) if found and found(plain(text(title)))]
        assert texts.found_in(pattern).tolist() == expected


def test_given_more_patterns_than_are_remembered_then_they_are_found_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features.keyword_search, "MOST_BYTES", 1 << 20)
    texts = Texts()
    texts.add(text("w7 and w2007"))
    found = [number for number in range(2_020) if texts.found_in(f"w{number}").size]
    assert found == [7, 2_007]


@pytest.mark.parametrize("added", [0, 1])
def test_what_is_remembered_of_patterns_is_bounded_in_bytes(added: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.keyword_search, "MOST_BYTES", 1 << 16)
    texts = Texts()
    for number in range(1000):
        texts.add(text(f"label {number}"))
    for number in range(300):
        # With texts that come between, what is remembered of a pattern grows.
        for later in range(added):
            texts.add(text(f"label later {number} {later}"))
        for pattern in ("label", f"label* {number % 50}*", "lab*" + "*" * (number % 20)):
            texts.found_in(pattern)
            assert sum(hits.nbytes for _, hits in texts._found.values()) <= 1 << 16
    assert len(texts._found) > 1


@pytest.mark.parametrize(
    ("pattern", "title"),
    [
        ("caf\u00e9", "Rate a cafe\u0301"),
        ("cafe\u0301", "Rate a caf\u00e9"),
        ("istanbul", "Visit \u0130stanbul"),
        ("survey", "A long sur\u00advey"),
        ("survey", "\uff33\uff35\uff32\uff36\uff25\uff39 on health"),
        ("adult content", "adult_content"),
        ("adult", "Adult\u2014read twice"),
        ("two lines", "of two\nlines"),
        ("\u0915\u092e*", "\u0915\u092e\u093e\u0908"),
        ("stra\u00dfe", "STRASSE"),
        ("acme", "Acme\u2122 users"),
        ("don't", "don\u00b4t"),
        ("survey minutes", "survey \u2764\ufe0f minutes"),
        ("5 minutes", "5\ufe0f\u20e3 minutes"),
        ("two words", "two\u200bwords"),
        ("two words", "two\u3000words"),
    ],
)
def test_given_other_ways_to_write_the_same_then_a_pattern_is_found(pattern: str, title: str) -> None:
    found = finder(pattern)
    assert found is not None
    assert found(plain(Text(title, "", ())))
    assert found(plain(Text("", "", (title,))))


@pytest.mark.parametrize(
    ("pattern", "title"),
    [
        # A word goes on behind a vowel sign.
        ("\u0915\u092e", "\u0915\u092e\u093e\u0908"),
        ("porn", "p\u00f6rn"),
        ("a b", "a\0b"),
    ],
)
def test_given_a_part_of_a_word_or_other_letters_then_a_pattern_is_not_found(pattern: str, title: str) -> None:
    found = finder(pattern)
    assert found is not None
    assert not found(plain(Text(title, "", ())))


def test_a_pattern_does_not_reach_from_the_title_into_the_description() -> None:
    found = finder("a b")
    assert found is not None
    assert not found(plain(Text("a", "b", ())))


@pytest.mark.parametrize("pattern", ["_", "\u093e*", "\u2014", "*", ""])
def test_given_no_letter_or_digit_then_a_pattern_is_none(pattern: str) -> None:
    assert finder(pattern) is None
