"""Text as tokens: what counts as the same name, what counts as a word, and what weighs most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.tokens import (
    DESCRIPTION_WEIGHT,
    DESCRIPTION_WORDS,
    KEYWORD,
    SKILL,
    SKILL_WEIGHT,
    TITLE_WEIGHT,
    TOKEN_BITS,
    WORD,
    content_tokens,
    normalise,
    token,
    words,
)


@pytest.mark.parametrize("name", ["Data Entry", "data entry", "  DATA   entry ", "data\tentry"])
def test_names_differ_by_more_than_case_and_blanks(name: str) -> None:
    assert normalise(name) == "data entry"
    assert token("skill", name) == token("skill", "data entry")


def test_the_same_name_as_a_skill_and_as_a_word_are_two_tokens() -> None:
    assert len({token(kind, "python") for kind in ("skill", "keyword", "word", "category")}) == 4


@given(st.sampled_from(["skill", "word"]), st.text(max_size=20))
def test_a_token_is_a_row_of_the_table(kind: str, name: str) -> None:
    assert 0 <= token(kind, name) < 1 << TOKEN_BITS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Label 20 images!", ["label", "20", "images"]),
        ("C++, C# and node.js.", ["c++", "c#", "and", "node.js"]),
        ("Terjemahkan ke Bahasa Indonesia", ["terjemahkan", "ke", "bahasa", "indonesia"]),
        ("写真 を選ぶ", ["写真", "を選ぶ"]),
        ("Straße", ["strasse"]),
        ("... - !", []),
        ("", []),
    ],
)
def test_words_are_found_in_lower_case(text: str, found: list[str]) -> None:
    assert list(words(text)) == found


def test_a_task_without_words_has_no_tokens() -> None:
    assert content_tokens((), (), None, None) == []
    assert content_tokens((), (), "!!!", "") == []


def test_each_origin_has_its_kind_and_weight() -> None:
    found = content_tokens(["python"], ["scraping"], "Fetch", "pages")
    assert {row: kind for row, kind, _ in found} == {
        token("skill", "python"): SKILL,
        token("keyword", "scraping"): KEYWORD,
        token("word", "fetch"): WORD,
        token("word", "pages"): WORD,
    }
    assert [weight for _, _, weight in found] == sorted((weight for _, _, weight in found), reverse=True)


def test_a_word_of_title_and_description_counts_once_with_the_weight_of_the_title() -> None:
    assert content_tokens((), (), "survey", "survey survey") == [(token("word", "survey"), WORD, TITLE_WEIGHT)]
    assert content_tokens((), (), None, "survey survey") == [(token("word", "survey"), WORD, DESCRIPTION_WEIGHT)]


def test_a_skill_written_twice_counts_once() -> None:
    assert content_tokens(["Python", "python "], (), None, None) == [(token("skill", "python"), SKILL, SKILL_WEIGHT)]


def test_of_a_long_description_the_beginning_counts() -> None:
    names = [f"word{place}" for place in range(DESCRIPTION_WORDS + 1)]
    found = {row for row, _, _ in content_tokens((), (), None, " ".join(names))}
    assert token("word", names[-2]) in found
    assert token("word", names[-1]) not in found
