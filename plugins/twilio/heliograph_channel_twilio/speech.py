"""Text and SSML as TwiML: what `<Say>` speaks, in which voice (pinpoint-2 2.6; Twilio's reference of `<Say>`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from heliograph_channels import VoiceContent

__all__ = ["MOST_SPOKEN", "MOST_SSML", "MOST_TWIML", "CannotSay", "NotSpoken", "twiml"]

MOST_SPOKEN = 3000
"""Characters spoken, tags not counted (pinpoint-2 2.6; Polly's own limit)."""
MOST_SSML = 6000
"""Characters of a document in SSML, tags included (pinpoint-2 2.6)."""
MOST_TWIML = 4000
"""Characters of a TwiML document that comes with the call (Twilio's error 32018)."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}")
_VOICE = re.compile(r"(?:[A-Za-z0-9]{1,20}\.)?[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# XML 1.0 2.2: everything else must not stand in a document, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DOCTYPE = re.compile(r"<!(?!--|\[CDATA\[)")
_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_SSML = "{http://www.w3.org/2001/10/synthesis}"

# Names of languages that Polly spells in its own way.
_LANGUAGES = {"ar": "arb", "ar-xa": "arb", "zh": "cmn-CN", "zh-cn": "cmn-CN", "no": "nb-NO", "no-no": "nb-NO"}
# The voice that speaks when nobody chose one. Without it Twilio's oldest voice would, and that knows no SSML.
_VOICES = {
    "arb": "Zeina", "cmn-CN": "Zhiyu", "cy-GB": "Gwyneth", "da-DK": "Naja", "de-DE": "Marlene", "en-AU": "Nicole",
    "en-GB": "Amy", "en-IN": "Raveena", "en-US": "Joanna", "es-ES": "Conchita", "es-MX": "Mia", "es-US": "Penelope",
    "fr-CA": "Chantal", "fr-FR": "Celine", "hi-IN": "Aditi", "is-IS": "Dora", "it-IT": "Carla", "ja-JP": "Mizuki",
    "ko-KR": "Seoyeon", "nb-NO": "Liv", "nl-NL": "Lotte", "pl-PL": "Ewa", "pt-BR": "Vitoria", "pt-PT": "Ines",
    "ro-RO": "Carmen", "ru-RU": "Tatyana", "sv-SE": "Astrid", "tr-TR": "Filiz",
}  # fmt: skip
_OWN_VOICES = frozenset({"man", "woman", "alice"})

# The elements of SSML that may stand in <Say>, and their attributes.
_ELEMENTS: Mapping[str, frozenset[str]] = {
    "break": frozenset({"strength", "time"}),
    "emphasis": frozenset({"level"}),
    "lang": frozenset({"xml:lang"}),
    "p": frozenset(),
    "phoneme": frozenset({"alphabet", "ph"}),
    "prosody": frozenset({"volume", "rate", "pitch"}),
    "s": frozenset(),
    "say-as": frozenset({"interpret-as", "format"}),
    "sub": frozenset({"alias"}),
    "w": frozenset({"role"}),
}


class CannotSay(ValueError):
    """The content is wrong: too long, not well-formed, a voice that cannot be. The text says what."""


class NotSpoken(ValueError):
    """The content is right, and Twilio cannot speak it; the text names the feature."""


def twiml(content: VoiceContent, default_voice: str = "") -> str:
    """Return the TwiML document that speaks the content. `default_voice` speaks when the content names no voice.

    Raises:
        CannotSay: the content can never be spoken by anybody.
        NotSpoken: it uses SSML beyond what `<Say>` knows.
    """
    language = _language(content.language)
    voice = _voice(content.voice or default_voice, language)
    spoken, text = _ssml(content.body) if content.ssml else _plain(content.body)
    if not spoken.strip():
        raise CannotSay("there is nothing to say")
    if len(spoken) > MOST_SPOKEN:
        raise CannotSay(f"more than {MOST_SPOKEN:,} characters would be spoken")
    attributes = f" language={quoteattr(language)}" if language else ""
    if voice:
        attributes = f" voice={quoteattr(voice)}{attributes}"
    document = f'<?xml version="1.0" encoding="UTF-8"?><Response><Say{attributes}>{text}</Say></Response>'
    if len(document) > MOST_TWIML:
        raise CannotSay(f"the call's document would have {len(document):,} characters, Twilio takes {MOST_TWIML:,}")
    return document


def _language(tag: str) -> str:
    if not tag:
        return ""
    if not _LANGUAGE.fullmatch(tag):
        raise CannotSay("the language is no tag like en-US")
    return _LANGUAGES.get(tag.lower(), tag)


def _voice(name: str, language: str) -> str:
    """Return the voice as Twilio writes it. A bare name is one of Polly's, as in Pinpoint."""
    if not name:
        known = _VOICES.get(language)
        return f"Polly.{known}" if known else ""
    if not _VOICE.fullmatch(name):
        raise CannotSay("the voice is no name like Joanna or Polly.Joanna-Neural")
    return name if "." in name or name in _OWN_VOICES else f"Polly.{name}"


def _plain(text: str) -> tuple[str, str]:
    if _NOT_XML.search(text):
        raise CannotSay("the text holds a character that cannot be spoken")
    return text, escape(text)


def _ssml(document: str) -> tuple[str, str]:
    """Return what is spoken, and the document without its root, rebuilt from elements that are known."""
    if len(document) > MOST_SSML:
        raise CannotSay(f"the SSML has more than {MOST_SSML:,} characters")
    if _NOT_XML.search(document):
        raise CannotSay("the SSML holds a character that XML does not allow")
    # A document type could define entities that unfold to gigabytes or name files; SSML needs none.
    if _DOCTYPE.search(document):
        raise CannotSay("the SSML must not hold a document type")
    try:
        root = ET.fromstring(document)  # noqa: S314 (no document type, so no entities)
    except ET.ParseError as error:
        raise CannotSay(f"the SSML is not well-formed: line {error.position[0]}, column {error.position[1]}") from None
    if _name(root.tag) != "speak":
        raise CannotSay("the SSML must have the root <speak>")
    try:
        return "".join(root.itertext()), "".join(_inside(root))
    except RecursionError:
        raise CannotSay("the SSML is nested too deeply") from None


def _inside(element: ET.Element) -> Iterator[str]:
    yield escape(element.text or "")
    for child in element:
        name = _name(child.tag)
        known = _ELEMENTS.get(name)
        if known is None:
            raise NotSpoken(f"ssml <{name[:40]}>")
        given = {("xml:lang" if key == _XML_LANG else key): value for key, value in child.attrib.items()}
        if strange := sorted(set(given) - known):
            raise NotSpoken(f"ssml <{name}> with {strange[0][:40]}")
        attributes = "".join(f" {key}={quoteattr(value)}" for key, value in given.items())
        inside = "".join(_inside(child))
        yield f"<{name}{attributes}>{inside}</{name}>" if inside else f"<{name}{attributes}/>"
        yield escape(child.tail or "")


def _name(tag: str) -> str:
    return tag.removeprefix(_SSML)
