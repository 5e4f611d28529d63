"""What tasks say in words, each text once, and where a worker's patterns are found.

A pattern is one or more words in a row, whole and regardless of case, punctuation and of how Unicode writes a letter
(compatibility forms, composed or not); ``*`` stands for any part of a word, or for any one word where it stands alone:
``transcri*``, ``survey * minutes``. One without a letter or digit is found nowhere.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 1 << 26
"""What patterns and their places that are remembered may take; beyond that they are searched for anew."""

_BESIDE = 1 << 10
"""Bytes that a pattern takes beside its places, at the most."""

# Beyond ASCII, what is no part of a word is blank in plain text.
_LETTER = "0-9a-z\\u0080-\\U0010ffff"
_WORD = re.compile(rf"[{_LETTER}][{_LETTER}+#]*(?:\.[{_LETTER}]+)*")
_TOKEN = re.compile(rf"[{_LETTER}*][{_LETTER}+#*]*(?:\.[{_LETTER}*]+)*")
_LITERAL = re.compile(r"[^\W_]")
_BETWEEN = "\0"
_SIGN = re.compile(r"[^\w\x00-\x7f]")
_DOT_ABOVE = "\u0307"  # left over where the Turkish capital I with a dot was made small


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
            new = [place for place in range(done, size) if found(self._texts[place])] if found else []
            before, hits = hits, np.concatenate([hits, np.array(new, np.int32)])
            self._bytes += hits.nbytes - before.nbytes if pattern in self._found else hits.nbytes + _BESIDE
            if self._bytes > MOST_BYTES:
                self._found.clear()
                self._bytes = hits.nbytes + _BESIDE
            self._found[pattern] = size, hits
        return hits


def finder(pattern: str) -> Callable[[Text], bool] | None:
    """Return what tells whether a pattern is found in a text; None for a pattern without a letter or digit."""
    tokens: list[str] = _TOKEN.findall(_plain(pattern))
    literals = [part for token in tokens for part in token.split("*") if _LITERAL.search(part)]
    if not literals:
        return None
    longest = max(literals, key=len)
    search = re.compile(f" {' '.join(map(_expression, tokens))} ").search

    def found(text: Text) -> bool:
        parts = (text.title, text.description, *text.keywords)
        # Most texts do not hold the letters, and to see that costs a fraction of cutting them into words.
        plain = _plain(_BETWEEN.join(parts))
        if longest not in plain:
            return False
        return any(search(f" {' '.join(_WORD.findall(part))} ") for part in plain.split(_BETWEEN))

    return found


def _plain(text: str) -> str:
    """Return a text in the form in which words are compared (Unicode Standard, section 3.13, D146, but for marks)."""
    small = text.casefold()
    if small.isascii():
        return small
    small = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _SIGN.sub(_kept, small)


def _kept(sign: re.Match[str]) -> str:
    """Return what becomes of a character that is no letter or digit: vowel signs stay, what is not seen goes."""
    category = unicodedata.category(sign[0])
    if category == "Cf" or sign[0] == _DOT_ABOVE:
        return ""
    return sign[0] if category.startswith("M") else " "


def _expression(token: str) -> str:
    if not token.strip("*"):
        return "[^ ]+"
    return "[^ ]*".join(map(re.escape, token.split("*")))
