"""Checks texts before they are sent against what was registered for their use case (pinpoint-2 4.5 and 4.7). Pure.

What carriers refuse by what a message holds (public shorteners, undeclared links) is serious. All else is worth a look: words have
other meanings, and only a person knows what a text is about.

A link that the platform makes to count clicks is judged by its own host, as the recipient and the carrier see it: the domain for
links has to be registered like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from heliograph_registry10dlc.forms.use_case_checks import (
    AGE_GATE,
    LENDING,
    LINK,
    LINK_SAMPLE,
    PHONE,
    USE_CASE,
    given_samples,
    undeclared_phones,
)
from heliograph_registry10dlc.wording.data import read
from heliograph_registry10dlc.wording.likeness import Outline, likeness, outline_of
from heliograph_registry10dlc.wording.links import domain_of, find_links
from heliograph_registry10dlc.wording.names import names_brand, names_of
from heliograph_registry10dlc.wording.phrases import tells_opt_out
from heliograph_registry10dlc.wording.words import Phrases

_DATA = read("content")
_RECURRING = frozenset(_DATA["recurring_use_cases"])
_AGE_GATED = [(entry["cause"], entry["topic"], Phrases(entry["phrases"])) for entry in _DATA["age_gated"]]
_RESTRICTED = [(entry["cause"], entry["topic"], Phrases(entry["phrases"])) for entry in _DATA["restricted"]]
_LENDING = Phrases(_DATA["lending"])
_SUB_USE_CASES = "campaignUseCase.subUseCases"
_REGISTERED_LINKS = (LINK_SAMPLE, "campaignInfo.termsAndConditionsLink", "campaignInfo.privacyPolicyLink")

LIKE = 0.4
"""From this likeness on a text is of the kind of a sample. Messages of one kind in other words come to 0.5 and more, texts about
something else to 0.35 at most (a table in the tests measures both). It is nearer to the others on purpose: a reviewer compares
loosely, and findings too many are what makes people stop reading them."""


@dataclass(frozen=True)
class ContentFinding:
    """Something about one of the texts. `excerpt` are its words that it is about; empty: all of it."""

    body_index: int
    reason: str
    serious: bool
    description: str
    excerpt: str = ""


def findings(
    bodies: Sequence[str], use_case_fields: Mapping[str, str], brand_fields: Mapping[str, str]
) -> list[ContentFinding]:
    """Return what is found in the texts, by text, serious ones first. Texts may hold `{{...}}`."""
    registered = _Registered(use_case_fields, brand_fields)
    return [
        finding
        for index, body in enumerate(bodies)
        for finding in sorted(registered.look_at(index, body), key=lambda finding: not finding.serious)
    ]


def asks_for_opt_out(use_case_fields: Mapping[str, str]) -> bool:
    """Tell whether messages of a use case say how to stop them.

    Those that come again and again do: news, offers, polls, notices to the public. A code, a delivery, an alert or an answer
    of support was asked for or concerns one matter; the reply to STOP holds for them, but carriers do not ask for the words in
    each message, and in a one-time code they would be in the way. MIXED and LOW_VOLUME are what they are made of; what
    is not told is taken to come again.
    """
    use_case = use_case_fields.get(USE_CASE, "")
    parts = {part.strip() for part in use_case_fields.get(_SUB_USE_CASES, "").split(",") if part.strip()}
    if use_case in ("MIXED", "LOW_VOLUME", ""):
        return not parts or bool(parts & _RECURRING)
    return use_case in _RECURRING


class _Registered:
    """What was registered, made ready to compare texts with."""

    def __init__(self, use_case: Mapping[str, str], brand: Mapping[str, str]) -> None:
        self._use_case = use_case
        self._brand = brand
        self._brand_words = frozenset(word for name in names_of(brand) for word in name)
        # A sample without a telling word, such as `How are you?`, is like nothing, not even like itself.
        outlines = (self._outline(sample) for _, sample in given_samples(use_case))
        self._samples = [outline for outline in outlines if outline.words]
        texts = (*(use_case.get(path, "") for path in _REGISTERED_LINKS), brand.get("contactInfo.website", ""))
        shown = (*texts, *(sample for _, sample in given_samples(use_case)))
        self._domains = {domain_of(link.host) for text in shown for link in find_links(text) if link.host}

    def look_at(self, index: int, body: str) -> Iterator[ContentFinding]:
        """Yield everything about one text."""
        yield from self._links(index, body)
        yield from self._phones(index, body)
        if not names_brand(body, self._brand):
            words = "does not name the company or what it does business as; recipients do not know who writes"
            yield ContentFinding(index, "BRAND_NOT_NAMED", serious=False, description=words)
        if asks_for_opt_out(self._use_case) and not tells_opt_out(body):
            words = "does not say how to stop, as in: Reply STOP to end"
            yield ContentFinding(index, "NO_OPT_OUT_WORDING", serious=False, description=words)
        yield from self._words(index, body)
        if self._samples and self._likeness(body) < LIKE:
            words = "is like none of the registered samples; carriers filter what was not registered"
            yield ContentFinding(index, "UNLIKE_SAMPLES", serious=False, description=words)

    def _links(self, index: int, body: str) -> Iterator[ContentFinding]:
        links = find_links(body)
        for link in links:
            if link.public_shortener:
                words = f"{link.host} is a public link shortener, which carriers refuse; use a domain of your own"
                yield ContentFinding(index, "PUBLIC_SHORTENER", True, words, link.text)
            elif not link.host:
                words = "the host of this link varies, so nobody can tell whether it is registered; write the host out"
                yield ContentFinding(index, "LINK_HOST_NOT_REGISTERED", False, words, link.text)
            elif domain_of(link.host) not in self._domains:
                words = f"{link.host} is neither the brand's website nor in the sample link or a sample"
                yield ContentFinding(index, "LINK_HOST_NOT_REGISTERED", False, words, link.text)
        if links and self._use_case.get(LINK) != "Yes":
            words = "holds a link, and the use case was registered without links"
            yield ContentFinding(index, "LINK_NOT_DECLARED", True, words, links[0].text)

    def _phones(self, index: int, body: str) -> Iterator[ContentFinding]:
        if self._use_case.get(PHONE) != "Yes" and (numbers := undeclared_phones(body, self._brand)):
            words = "holds a phone number besides the brand's support number, and the use case was registered without"
            yield ContentFinding(index, "PHONE_NOT_DECLARED", False, words, numbers[0])

    def _words(self, index: int, body: str) -> Iterator[ContentFinding]:
        if self._use_case.get(AGE_GATE) != "Yes":
            for cause, topic, phrases in _AGE_GATED:
                if excerpt := phrases.first_in(body):
                    words = f"is about {topic}, and the use case was registered without an age gate ({cause})"
                    yield ContentFinding(index, "AGE_GATE_MISSING", False, words, excerpt)
        for cause, topic, phrases in _RESTRICTED:
            if excerpt := phrases.first_in(body):
                words = f"looks like {topic}, which carriers do not take ({cause})"
                yield ContentFinding(index, "RESTRICTED_CONTENT", False, words, excerpt)
        if self._use_case.get(LENDING) != "Yes" and (excerpt := _LENDING.first_in(body)):
            words = "looks like an offer of loans, and the use case was registered without lending"
            yield ContentFinding(index, "LENDING_NOT_DECLARED", False, words, excerpt)

    def _likeness(self, body: str) -> float:
        outline = self._outline(body)
        return max(likeness(outline, sample) for sample in self._samples)

    def _outline(self, text: str) -> Outline:
        return outline_of(text, self._brand_words)
