"""Whether a text names a brand. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from heliograph_registry10dlc.wording.data import read
from heliograph_registry10dlc.wording.words import Phrase, plain_words

_DATA = read("phrases")
_FORMS = frozenset(_DATA["company_forms"])
_GENERAL = frozenset(_DATA["general_words"])
_IGNORED = frozenset({"and", "the", "of"})
_ASIDE = re.compile(r"\([^()]*\)")
_TELLING = 4
_ENOUGH = 3
NAME_FIELDS = ("companyInfo.companyName", "contactInfo.dbaName")


def names_of(brand: Mapping[str, str]) -> tuple[Phrase, ...]:
    """Return the names a brand goes by, as words: without its legal form, what is in parentheses, `the`, `and` and `of`."""
    found = (_name(brand.get(path, "")) for path in NAME_FIELDS)
    return tuple(dict.fromkeys(name for name in found if name))


def names_brand(text: str, brand: Mapping[str, str]) -> bool:
    """Tell whether a text names a brand: the company, what it does business as, or a clear part (pinpoint-2 4.5).

    A clear part is how the name begins, up to a word that is not general (`Acme` of `Acme Record Distribution`, but not
    `First` of `First National Bank of Springfield`), or its first three words. Words written as one count, too. A brand without
    names cannot be missed.
    """
    names = names_of(brand)
    words = [word for word in plain_words(text) if word not in _IGNORED]
    return not names or any(_holds(words, part) for name in names for part in _parts(name))


def _name(written: str) -> Phrase:
    words = [word for word in plain_words(_ASIDE.sub(" ", written)) if word not in _IGNORED]
    while len(words) > 1 and words[-1] in _FORMS:
        words.pop()
    return tuple(words)


def _parts(name: Phrase) -> list[Phrase]:
    shorter = (name[:length] for length in range(1, len(name)))
    return [name, *(part for part in shorter if len(part) >= _ENOUGH or any(map(_is_telling, part)))]


def _is_telling(word: str) -> bool:
    return len(word) >= _TELLING and word not in _GENERAL and not word.isdigit()


def _holds(words: Sequence[str], part: Phrase) -> bool:
    whole = "".join(part)
    count = len(part)
    return whole in words or any(tuple(words[i : i + count]) == part for i in range(len(words) - count + 1))
