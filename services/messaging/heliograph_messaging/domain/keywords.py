"""What a message to one of our numbers means: its first word, and what is to be done about it (pinpoint-2 2.4). Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from heliograph_channels.parts import measure
from heliograph_messaging.domain.stop_words import HELP, IN_OTHER_LANGUAGES, OPT_OUT_WORDS, STOP, TOLL_FREE_OPT_IN

MAX_KEYWORDS = 30
MAX_KEYWORD = 30
MAX_REPLY = 1600
_LOOKED_AT = 200
_JOINTS = "-'\u2019"


class Action(StrEnum):
    """What happens when a keyword comes in; the reply is sent in each case."""

    AUTOMATIC_RESPONSE = "AUTOMATIC_RESPONSE"
    OPT_OUT = "OPT_OUT"
    OPT_IN = "OPT_IN"


class Source(StrEnum):
    """Where a reply comes from."""

    BUILT_IN = "BUILT_IN"
    USE_CASE = "USE_CASE"
    NUMBER = "NUMBER"
    POOL = "POOL"
    CARRIER = "CARRIER"


@dataclass(frozen=True, slots=True)
class Keyword:
    """A word, what happens when a message begins with it, what is answered, and who wrote that."""

    keyword: str
    action: Action
    reply: str
    source: Source = field(default=Source.BUILT_IN, compare=False)


REQUIRED: Mapping[str, Keyword] = {
    HELP: Keyword(
        HELP,
        Action.AUTOMATIC_RESPONSE,
        "For help, turn to the sender of these messages. Reply STOP to get no more of them.",
    ),
    STOP: Keyword(STOP, Action.OPT_OUT, "You are opted out and will get no more messages from this number."),
}
"""The keywords that are always there, with the replies they have before somebody writes better ones."""


def registered(help_reply: str, stop_reply: str) -> dict[str, Keyword]:
    """Return HELP and STOP with the replies that a use case has registered; empty ones are none."""
    replies = {HELP: help_reply.strip(), STOP: stop_reply.strip()}
    return {
        word: replace(REQUIRED[word], reply=reply, source=Source.USE_CASE)
        for word, reply in replies.items()
        if reply and reply_problem(reply) is None
    }


@dataclass(frozen=True, slots=True)
class Understood:
    """What follows from a message: the keyword it begins with (empty: none), what is done, what is answered (empty: nothing)."""

    keyword: str = ""
    action: Action | None = None
    reply: str = ""


def capitals(text: str) -> str:
    """Return a text as keywords are written: compatible forms as one, invisible characters gone, in capitals."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(c for c in plain if unicodedata.category(c) != "Cf").upper()


def first_word(body: str) -> str:
    """Return the first word of a message in capitals, without what stands around it; empty when there is none.

    Hyphens and apostrophes inside a word belong to it. `opt out` is `OPT-OUT`.
    """
    words = _words(capitals(body[:_LOOKED_AT]))
    first = next(words, "")
    return "OPT-OUT" if first == "OPT" and next(words, "") == "OUT" else first


def _words(text: str) -> Iterator[str]:
    word, joint = "", ""
    for character in text:
        if unicodedata.category(character)[0] in "LMN":
            word, joint = word + joint + character, ""
        elif word and not joint and character in _JOINTS:
            joint = "-" if character == "-" else "'"
        elif word:
            yield word
            word, joint = "", ""
    if word:
        yield word


def understand(
    body: str, *, keywords: Mapping[str, Keyword], toll_free: bool = False, self_managed: bool = False
) -> Understood:
    """Decide what a message means to a number with these keywords (HELP and STOP only if somebody wrote replies for them).

    On US toll-free numbers the carrier answers STOP, UNSTOP and START, and no other word means anything but HELP. Where the
    owner looks after opt-outs, only what he set up is answered, and nobody is opted out or in.
    """
    word = first_word(body)
    if not word:
        return Understood()
    if self_managed:
        own = keywords.get(word)
        return Understood(word, Action.AUTOMATIC_RESPONSE, own.reply) if own else Understood()
    if toll_free:
        return _toll_free(word)
    meant = _meant(word, keywords)
    return Understood(meant.keyword, meant.action, meant.reply) if meant else Understood()


def _toll_free(word: str) -> Understood:
    if word == STOP:
        return Understood(STOP, Action.OPT_OUT)
    if word in TOLL_FREE_OPT_IN:
        return Understood(word, Action.OPT_IN)
    return Understood(HELP, Action.AUTOMATIC_RESPONSE, REQUIRED[HELP].reply) if word == HELP else Understood()


def _meant(word: str, keywords: Mapping[str, Keyword]) -> Keyword | None:
    bare = _bare(word)
    if bare in OPT_OUT_WORDS:
        return keywords.get(STOP, REQUIRED[STOP])
    if word in keywords:
        return keywords[word]
    if bare in _ELSEWHERE:
        return keywords.get(STOP, REQUIRED[STOP])
    return REQUIRED.get(word)


def keyword_problem(keyword: str) -> str | None:
    """Say why a text cannot be a keyword, or None. It is written as `capitals` writes it."""
    if not 1 <= len(keyword) <= MAX_KEYWORD or first_word(keyword) != keyword:
        return f"must be one word of 1 to {MAX_KEYWORD} letters and digits, in capitals"
    return None


def reply_problem(reply: str) -> str | None:
    """Say why a text cannot be a reply, or None."""
    if not reply.strip():
        return "is required"
    size = measure(reply)
    if len(reply) > MAX_REPLY or size.too_long:
        return f"must have at most {MAX_REPLY:,} characters, or 630 with characters outside of GSM 03.38"
    return None


def is_fixed(keyword: str) -> bool:
    """Tell whether a keyword is one of those that opt out wherever they come in, beside STOP itself."""
    return keyword != STOP and _bare(keyword) in OPT_OUT_WORDS


def with_required(keywords: Mapping[str, Keyword]) -> list[Keyword]:
    """Return the keywords with HELP and STOP among them, sorted."""
    return sorted({**REQUIRED, **keywords}.values(), key=lambda one: one.keyword)


def _bare(word: str) -> str:
    """Return a word without accents, in capitals."""
    apart = unicodedata.normalize("NFKD", word)
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c))).upper()


_ELSEWHERE = frozenset(_bare(capitals(word)) for words in IN_OTHER_LANGUAGES.values() for word in words.split())
