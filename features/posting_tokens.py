"""What tasks say in words, and what comes of it for the state: found once for all tasks that say the same."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from features.keyword_search import Text
from features.layout import SKILLS
from features.tokens import content_tokens, normalise, primary_language, token

SAME_WORDING = 1 << 14
"""Distinct wordings of tasks that are kept: the tasks of a batch share theirs."""


@dataclass(frozen=True, slots=True, eq=False)
class Wording:
    """What a task says in words, and what comes of it for every task that says the same.

    Each stands for itself alone: to look one up compares no text.

    Attributes:
        rows, kinds, weights: the distinct tokens: their rows of the token table (int32), kinds (uint8) and weights
            (float32), each as bytes.
        tokens: how many they are.
        text: the words themselves.
        category: its label, empty without one.
        category_token: row of the token table, -1 without one.
        n_skills: skills that count.
        skills: their rows of the token table (int32, as many as a record of facts has places for), as bytes.
        languages: their labels.
    """

    rows: bytes
    kinds: bytes
    weights: bytes
    tokens: int
    text: Text
    category: str
    category_token: int
    n_skills: int
    skills: bytes
    languages: tuple[str, ...]


@lru_cache(maxsize=SAME_WORDING)
def wording_of(
    title: str | None,
    description: str | None,
    keywords: tuple[str, ...] | None,
    skills: tuple[str, ...] | None,
    category: str | None,
    languages: tuple[str, ...] | None,
) -> Wording:
    """Return what a task says in words; of one that says the same the very same, if it is one of the latest."""
    found = content_tokens(skills or (), keywords or (), title, description)
    rows, kinds_, weights = zip(*found, strict=True) if found else ((), (), ())
    asked = list(dict.fromkeys(token("skill", name) for name in skills or ()))[:SKILLS]
    return Wording(
        np.array(rows, np.int32).tobytes(),
        np.array(kinds_, np.uint8).tobytes(),
        np.array(weights, np.float32).tobytes(),
        len(found),
        Text(title or "", description or "", keywords or ()),
        f"category:{normalise(category)}" if category else "",
        token("category", category) if category else -1,
        len(asked),
        np.array(padded(asked, SKILLS), np.int32).tobytes(),
        tuple(dict.fromkeys(map(language_label, languages or ()))),
    )


@lru_cache(maxsize=1 << 10)
def language_label(tag: str) -> str:
    """Return the label of the primary subtag of a BCP 47 tag."""
    return f"language:{primary_language(tag)}"


def padded(values: list[int], size: int) -> list[int]:
    """Return the first ``size`` values, followed by zeros if there are fewer."""
    return (values + [0] * size)[:size]
