"""How like two texts are whose holes may hold anything. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

from heliograph_registry10dlc.wording.data import read
from heliograph_registry10dlc.wording.holes import HOLE, with_holes
from heliograph_registry10dlc.wording.links import without_links
from heliograph_registry10dlc.wording.words import plain_words

_DATA = read("phrases")
# What stands in every text of every sender says nothing about what kind of text it is.
_EMPTY = frozenset(_DATA["function_words"]) | {
    word
    for phrase in ("reply text send stop help end opt out unsubscribe msg message data rates may apply", *_DATA["opt_out"]["phrases"])
    for word in plain_words(phrase)
}  # fmt: skip
_WORDS_OF_A_HOLE = 3
"""Telling words a hole is taken to hold: a name, a date, a thing."""
_DIGIT = re.compile(r"[0-9]")
_NUMBER = "0"


@dataclass(frozen=True)
class Outline:
    """The telling words of a text in their order, numbers as `0`, and how many holes it has."""

    words: tuple[str, ...]
    holes: int


def outline_of(text: str, without: Collection[str] = ()) -> Outline:
    """Take out of a text what tells its kind; `without` are words to leave out, such as those of the brand's name."""
    fixed = without_links(text).replace(HOLE, " ")
    telling = (word for word in plain_words(fixed) if word not in _EMPTY and word not in without)
    numbered = (_NUMBER if _DIGIT.search(word) else word for word in telling)
    # `$12.50` and a date are several numbers in a row and mean one.
    words = (word for word, again in groupby(numbered) for _ in ([0] if word == _NUMBER else again))
    return Outline(tuple(words), with_holes(text).count(HOLE))


def likeness(one: Outline, other: Outline) -> float:
    """Return how like two texts are, from 0 to 1; the order of the two does not matter.

    The words they share in the same order (the longest common subsequence) against all words: the measure of Dice, which
    is 1 for the same text and 0 where nothing is shared. A word that only one of them has is forgiven when a hole of the
    other may hold it, three for each hole, but never more of them than words are shared: a hole vouches for nothing by itself,
    so `{{text}}` is like nothing and `{#var} {#var} order` is not like everything with an order in it.
    """
    shared = _common(one.words, other.words)
    if shared == 0:
        return 0.0
    extra = _unforgiven(len(one.words) - shared, other.holes, shared)
    extra += _unforgiven(len(other.words) - shared, one.holes, shared)
    return 2 * shared / (2 * shared + extra)


def _unforgiven(words: int, holes: int, shared: int) -> int:
    return max(0, words - min(_WORDS_OF_A_HOLE * holes, shared))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, a row of its table at a time in the bits of a number.

    Two texts of 1,600 characters take about a millisecond this way; the table itself takes a hundred times as long.
    """
    places: dict[str, int] = {}
    for index, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << index
    row = (1 << len(one)) - 1
    mask = row
    for word in other:
        matches = row & places.get(word, 0)
        row = ((row + matches) | (row - matches)) & mask
    return len(one) - row.bit_count()
