"""A text as words, and phrases in it: without regard to case, accents and what stands between words. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+")
Phrase = tuple[str, ...]


@dataclass(frozen=True)
class Word:
    """A word without case and accents, and where it stands in the text."""

    plain: str
    start: int
    end: int


def plain(text: str) -> str:
    """Return a text without case and accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def words_of(text: str) -> list[Word]:
    """Split a text into words."""
    # An accent that stands by itself is no letter and would split its word.
    text = unicodedata.normalize("NFC", text)
    return [Word(plain(match[0]), match.start(), match.end()) for match in _WORD.finditer(text)]


def plain_words(text: str) -> Phrase:
    """Split a text into words, without their places."""
    return tuple(word.plain for word in words_of(text))


class Phrases:
    """Many phrases, found in one pass over a text."""

    def __init__(self, phrases: Iterable[str]) -> None:
        """Take them as they are written."""
        self._by_first: dict[str, list[Phrase]] = {}
        for phrase in sorted({plain_words(phrase) for phrase in phrases}, key=len, reverse=True):
            self._by_first.setdefault(phrase[0], []).append(phrase)

    def first(self, words: Sequence[Word]) -> tuple[Word, Word] | None:
        """Return the first and the last word of the first phrase in a text, the longest at its place."""
        for index, word in enumerate(words):
            for phrase in self._by_first.get(word.plain, ()):
                part = words[index : index + len(phrase)]
                if tuple(one.plain for one in part) == phrase:
                    return part[0], part[-1]
        return None

    def first_in(self, text: str) -> str:
        """Return the first phrase in a text as it is written there; empty when there is none."""
        text = unicodedata.normalize("NFC", text)
        found = self.first(words_of(text))
        return text[found[0].start : found[1].end] if found else ""
