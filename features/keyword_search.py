"""What tasks say in words, each text once, and where a worker's patterns are found.

A pattern is one or more words in a row, whole and regardless of case, punctuation and of how Unicode writes a letter
(compatibility forms, composed or not); ``*`` stands for any part of a word, or for any one word where it stands alone:
``transcri*``, ``survey * minutes``. One without a letter or digit is found nowhere.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 1 << 26
"""What patterns and their places that are remembered may take; beyond that they are searched for anew."""

_BESIDE = 1 << 10
"""Bytes that a pattern takes beside its places, at the most."""

# Beyond ASCII, plain text has letters, digits and their marks alone.
_LETTER = "0-9a-z\\u0080-\\U0010ffff"
_WORD = re.compile(rf"[{_LETTER}][{_LETTER}+#]*(?:\.[{_LETTER}]+)*")
_TOKEN = re.compile(rf"[{_LETTER}*][{_LETTER}+#*]*(?:\.[{_LETTER}*]+)*")
_LITERAL = re.compile(r"[^\W_]")
_SIGNS = re.compile(r"[^\w\x00-\x7f]+")
_UNSEEN = re.compile("[\ufe00-\ufe0f\u20e3\U000e0100-\U000e01ef]")  # they choose how the sign before them looks
_BLANK = "\u200b"  # of no width, but between words
_DOT_ABOVE = "\u0307"  # left over where the Turkish capital I with a dot was made small
_BETWEEN = "\0"


class Text(NamedTuple):
    """What a task says in words: the same for every task of a batch, so that it is searched once."""

    title: str
    description: str
    keywords: Sequence[str]


class Texts:
    """Every distinct text, by number. Texts are only ever added, so what was found in them stays found."""

    def __init__(self) -> None:
        self._texts: list[Text] = []
        self._index: dict[Text, int] = {}
        self._found: dict[str, tuple[int, NDArray[np.int32]]] = {}
        self._bytes = 0
        self._plain: dict[int, str] = {}

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._texts)

    def add(self, text: Text) -> int:
        """Return the number of a text, giving it the next one if it is new."""
        index = self._index.get(text)
        if index is None:
            index = self._index[text] = len(self._texts)
            self._texts.append(text)
        return index

    def __getitem__(self, index: int) -> Text:
        """Return the text of a number."""
        return self._texts[index]

    def __iter__(self) -> Iterator[Text]:
        """Yield the texts by number."""
        return iter(self._texts)

    def found_in(self, pattern: str) -> NDArray[np.int32]:
        """Return the numbers of the texts that a pattern is found in (int32, rising).

        Texts added since the pattern was last asked for are searched; threads that ask at once do it twice, no more.
        """
        done, hits = self._found.get(pattern, (0, np.zeros(0, np.int32)))
        size = len(self._texts)
        if done < size:
            found = finder(pattern)
            new = [place for place in range(done, size) if found(self.plain(place))] if found else []
            before, hits = hits, np.concatenate([hits, np.array(new, np.int32)])
            self._bytes += hits.nbytes - before.nbytes if pattern in self._found else hits.nbytes + _BESIDE
            if self._bytes > MOST_BYTES:
                self._found.clear()
                self._bytes = hits.nbytes + _BESIDE
            self._found[pattern] = size, hits
        return hits

    def plain(self, number: int) -> str:
        """Return a text in the form that a `finder` searches."""
        found = self._plain.get(number)
        if found is None:
            found = plain(self._texts[number])
            if not found.isascii():
                # Any other takes no longer to make than to find.
                self._plain[number] = found
        return found


def plain(text: Text) -> str:
    """Return a text in the form that a `finder` searches."""
    return _plain(_BETWEEN.join((text.title, text.description, *text.keywords)))


def finder(pattern: str) -> Callable[[str], bool] | None:
    """Return what tells whether a pattern is found in a `plain` text; None for a pattern without a letter or digit."""
    tokens: list[str] = _TOKEN.findall(_plain(pattern))
    literals = [part for token in tokens for part in token.split("*") if _LITERAL.search(part)]
    if not literals:
        return None
    longest = max(literals, key=len)

    @cache
    def expression() -> re.Pattern[str]:
        return re.compile(f" {' '.join(map(_expression, tokens))} ")

    def found(text: str) -> bool:
        # Most texts do not hold the letters, and to see that costs a fraction of cutting them into words.
        if longest not in text:
            return False
        search = expression().search
        return any(search(f" {' '.join(_WORD.findall(part))} ") for part in text.split(_BETWEEN))

    return found


def _plain(text: str) -> str:
    """Return a text in the form in which words are compared: caseless (Unicode Standard, 3.13, D146), signs blank."""
    small = text.casefold()
    if small.isascii():
        return small
    # Before letters are brought into one form, which would make letters of some signs, like that of a trade mark.
    seen = _SIGNS.sub(_kept, _UNSEEN.sub("", text))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold()).replace(_DOT_ABOVE, "")


def _kept(signs: re.Match[str]) -> str:
    """Return what is kept of characters that are no letters or digits: marks of a letter before them, else blanks."""
    kept, of_letter = "", signs.start() > 0 and signs.string[signs.start() - 1].isalnum()
    for sign in signs[0]:
        category = unicodedata.category(sign)
        if category == "Cf" and sign != _BLANK:
            continue
        of_letter = of_letter and category.startswith("M")
        kept += sign if of_letter else " "
    return kept


def _expression(token: str) -> str:
    if not token.strip("*"):
        return "[^ ]+"
    return "[^ ]*".join(map(re.escape, token.split("*")))
