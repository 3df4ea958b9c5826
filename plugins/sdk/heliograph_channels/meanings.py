"""A provider's own words (codes, names of errors) as reasons of ours: tables that a channel writes down. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias, TypeVar

from heliograph_channels.results import Rejected, RejectReason

__all__ = ["Listed", "Meaning", "meanings"]

_MOST_WORDS = 500
Word = TypeVar("Word", str, int)
Listed: TypeAlias = Mapping[RejectReason, Iterable[Word]]
"""The words of a provider by what they mean."""


class Meaning(NamedTuple):
    """Who can mend it, and whether the very same message may succeed later."""

    reason: RejectReason
    retryable: bool

    def rejected(self, words: str) -> Rejected:
        """Return the result; `words` are the provider's own, of which 500 characters are kept."""
        return Rejected(self.reason, self.retryable, words[:_MOST_WORDS])


def meanings(*, final: Listed[Word], later: Listed[Word]) -> dict[Word, Meaning]:
    """Return the meaning of each word: `final` will never succeed, `later` may.

    Raises:
        ValueError: a word is listed twice, so that one of its meanings would be lost.
    """
    found: dict[Word, Meaning] = {}
    for table, retryable in ((final, False), (later, True)):
        for reason, words in table.items():
            for word in words:
                if word in found:
                    raise ValueError(f"{word!r} is listed twice")
                found[word] = Meaning(reason, retryable)
    return found
