"""Texts and patterns: what was found stays found, and what is added is searched."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from features.texts import Text, Texts, finder

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
        expected = [place for place, title in enumerate(distinct) if found and found(text(title))]
        assert texts.found_in(pattern).tolist() == expected


def test_given_more_patterns_than_are_remembered_then_they_are_found_all_the_same() -> None:
    texts = Texts()
    texts.add(text("w7 and w10007"))
    found = [number for number in range(10_020) if texts.found_in(f"w{number}").size]
    assert found == [7, 10_007]
