"""Whether a text tells how to stop, that messages end, or how to reach somebody. Pure."""

from __future__ import annotations

from unicodedata import normalize

from heliograph_registry10dlc.wording.data import read
from heliograph_registry10dlc.wording.links import EMAIL, find_links
from heliograph_registry10dlc.wording.phones import find_phones
from heliograph_registry10dlc.wording.words import Phrases, words_of

_DATA = read("phrases")
_WORDS = frozenset(_DATA["opt_out"]["words"])
_VERBS = frozenset(_DATA["opt_out"]["verbs"])
_PURPOSES = frozenset(_DATA["opt_out"]["purposes"])
_PHRASES = Phrases(_DATA["opt_out"]["phrases"])
_ENDS = Phrases(_DATA["messages_end"])
_LINKING = frozenset({"to", "2", "4", "for", "para", "pour"})
_NEAR, _FAR = 2, 6


def tells_opt_out(text: str) -> bool:
    """Tell whether a text says how to get no more: `Reply STOP to end`, `text QUIT`, `STOP=end`, `unsubscribe here`.

    A word such as STOP alone is not enough (`STOP paying too much`): a verb such as `reply` stands up to two words before it,
    six when it is in capitals, or its purpose follows.
    """
    if _PHRASES.first_in(text):
        return True
    text = normalize("NFC", text)
    words = words_of(text)
    for index, word in enumerate(words):
        if word.plain not in _WORDS:
            continue
        reach = _FAR if text[word.start : word.end].isupper() else _NEAR
        if _VERBS & {before.plain for before in words[max(0, index - reach) : index]}:
            return True
        after = [one.plain for one in words[index + 1 : index + 3]]
        if after[:1] and after[0] in _LINKING:
            after = after[1:]
        elif "=" not in text[word.end : words[index + 1].start if after else len(text)]:
            continue
        if after and after[0] in _PURPOSES:
            return True
    return False


def tells_that_messages_end(text: str) -> bool:
    """Tell whether the answer to STOP says that messages end (pinpoint-2 4.5)."""
    return bool(_ENDS.first_in(text))


def tells_a_contact(text: str) -> bool:
    """Tell whether the answer to HELP has a phone number, a mail address or a website (pinpoint-2 4.5)."""
    return bool(EMAIL.search(text) or find_links(text) or find_phones(text))
