"""What a task is about, as hashed tokens: skills, keywords and words. Stateless: nothing is stored or fitted."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from sklearn.utils import murmurhash3_32

TOKEN_BITS = 17
"""Tokens are hashed into 2**17 rows: a marketplace's working vocabulary collides rarely, and the table stays small."""

SKILL, KEYWORD, WORD = 0, 1, 2

# How much a token of each origin says about the work, before its rarity is counted: a declared skill is a deliberate
# statement, a word of the description hardly one.
SKILL_WEIGHT, KEYWORD_WEIGHT, TITLE_WEIGHT, DESCRIPTION_WEIGHT = 1.0, 0.7, 0.7, 0.25
DESCRIPTION_WORDS = 60

_WORD = re.compile(r"\w[\w+#]*(?:\.\w+)*")


@lru_cache(maxsize=1 << 18)
def token(kind: str, name: str) -> int:
    """Return the row of a token in the token table; names differ only by more than case and outer blanks."""
    hashed: int = murmurhash3_32(f"{kind}:{normalise(name)}", positive=True)
    return hashed & ((1 << TOKEN_BITS) - 1)


@lru_cache(maxsize=1 << 16)
def normalise(name: str) -> str:
    """Return the form in which names of skills, categories and keywords are compared."""
    return " ".join(name.split()).casefold()


def primary_language(tag: str) -> str:
    """Return the primary subtag of a BCP 47 tag: a task in ``en`` suits a speaker of ``en-GB``."""
    return tag.split("-", 1)[0].lower()


def words(text: str) -> Iterator[str]:
    """Yield the words of a text in lower case; ``C++``, ``C#`` and ``node.js`` are words."""
    for match in _WORD.finditer(text.casefold()):
        yield match.group()


def content_tokens(
    skills: Iterable[str], keywords: Iterable[str], title: str | None, description: str | None
) -> list[tuple[int, int, float]]:
    """Return the distinct tokens of a task as (row, kind, weight), each with the highest weight it has.

    A skill that is also a word of the title stays two tokens: workers are matched by either.
    """
    found: dict[int, tuple[int, int, float]] = {}

    def add(row: int, kind: int, weight: float) -> None:
        if row not in found or found[row][2] < weight:
            found[row] = (row, kind, weight)

    for name in skills:
        add(token("skill", name), SKILL, SKILL_WEIGHT)
    for name in keywords:
        add(token("keyword", name), KEYWORD, KEYWORD_WEIGHT)
    for word in words(title or ""):
        add(token("word", word), WORD, TITLE_WEIGHT)
    for count, word in enumerate(words(description or "")):
        if count == DESCRIPTION_WORDS:
            break
        add(token("word", word), WORD, DESCRIPTION_WEIGHT)
    return list(found.values())
