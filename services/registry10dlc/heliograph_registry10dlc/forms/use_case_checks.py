"""What the fields of a use case say together, and beside its brand (pinpoint-2 4.5). Pure.

The registry reads them by hand weeks later and then refuses; here it takes a moment and costs no fee.
"""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_registry10dlc.domain import Complain
from heliograph_registry10dlc.wording.holes import beside_holes
from heliograph_registry10dlc.wording.links import Link, domain_of, find_links, host_of
from heliograph_registry10dlc.wording.names import names_brand
from heliograph_registry10dlc.wording.phones import digits_of, find_phones
from heliograph_registry10dlc.wording.phrases import tells_a_contact, tells_that_messages_end

_U = "campaignUseCase."
USE_CASE = f"{_U}useCase"
LINK, LINK_SAMPLE, PHONE = f"{_U}embeddedLink", f"{_U}embeddedLinkSample", f"{_U}embeddedPhone"
LENDING, AGE_GATE = f"{_U}directLending", f"{_U}ageGated"
SAMPLES = tuple(f"messageSamples.messageSample{number}" for number in range(1, 6))
OPT_IN, HELP, STOP = (f"campaignInfo.{name}" for name in ("optInMessage", "helpMessage", "stopMessage"))
_NO_SHORTENERS = (*SAMPLES, "campaignInfo.optInWorkflow", OPT_IN, LINK_SAMPLE)
FEWEST_BESIDE_HOLES = 20
"""Characters of a sample besides its holes, so that it shows what is sent (pinpoint-2 4.5)."""


def check_use_case(values: Mapping[str, str], brand: Mapping[str, str] | None, complain: Complain) -> None:
    """Tell what does not go together; what is missing is told elsewhere. Without a brand nothing is held against one."""
    _check_links(values, brand or {}, complain)
    _check_phones(values, brand or {}, complain)
    for path, sample in given_samples(values):
        if brand and not names_brand(sample, brand):
            complain(path, "must name the company or what it does business as", "BRAND_NOT_NAMED")
        if len(beside_holes(sample)) < FEWEST_BESIDE_HOLES <= len(sample):
            words = f"must have {FEWEST_BESIDE_HOLES} characters besides what varies"
            complain(path, words, "TOO_LITTLE_FIXED_TEXT")
    if (reply := values.get(HELP, "")) and not tells_a_contact(reply):
        complain(HELP, "must tell a phone number, a mail address or a website", "CONTACT_MISSING")
    if (reply := values.get(STOP, "")) and not tells_that_messages_end(reply):
        complain(STOP, "must say that messages end, as in: you get no more messages", "END_NOT_TOLD")
    if brand and values.get(USE_CASE) == "CHARITY" and brand.get("companyInfo.legalType") != "NON_PROFIT":
        words = "CHARITY is for registered 501(c)(3) charities: the brand must be NON_PROFIT"
        complain(USE_CASE, words, "CHARITY_NEEDS_NON_PROFIT")


def given_samples(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the paths and texts of the samples that are there."""
    return [(path, values[path]) for path in SAMPLES if values.get(path, "").strip()]


def undeclared_phones(text: str, brand: Mapping[str, str]) -> list[str]:
    """Return the phone numbers in a text that are not the brand's support number."""
    support = digits_of(brand.get("contactInfo.supportPhoneNumber", ""))
    return [phone.text for phone in find_phones(text) if phone.digits != support]


def _check_links(values: Mapping[str, str], brand: Mapping[str, str], complain: Complain) -> None:
    for path in _NO_SHORTENERS:
        hosts = dict.fromkeys(link.host for link in find_links(values.get(path, "")) if link.public_shortener)
        if hosts:
            words = f"public link shorteners are not accepted ({', '.join(hosts)}); use a domain of your own"
            complain(path, words, "PUBLIC_SHORTENER")
    with_links = [path for path, sample in given_samples(values) if find_links(sample)]
    named = ", ".join(path.partition(".")[2] for path in with_links)
    if with_links and values.get(LINK) == "No":
        complain(LINK, f"must be Yes: there are links in {named}", "LINK_NOT_DECLARED")
    # With Yes its own condition asks for a sample.
    sample = values.get(LINK_SAMPLE, "")
    asked = bool(with_links) or values.get(LINK) == "Yes"
    if with_links and not sample and values.get(LINK) != "Yes":
        complain(LINK_SAMPLE, f"is required: there are links in {named}", "REQUIRED")
    shown = {link.host for link in find_links(sample)}
    if sample and not shown:
        complain(LINK_SAMPLE, "must hold a link as it will be sent", "LINK_MISSING")
    hidden = dict.fromkeys(link.host for link in _own_short_links(values, brand) if link.host not in shown)
    if hidden and (sample or not asked):
        words = f"must show a link of {', '.join(hidden)}: a shortener of your own needs a sample"
        complain(LINK_SAMPLE, words, "SHORT_LINK_SAMPLE_MISSING")


def _own_short_links(values: Mapping[str, str], brand: Mapping[str, str]) -> list[Link]:
    """Return the links that look made by a shortener of the brand's own, off its website (S132, S133)."""
    website = domain_of(host_of(brand.get("contactInfo.website", "")))
    sent = (*(sample for _, sample in given_samples(values)), values.get(OPT_IN, ""))
    return [
        link
        for text in sent
        for link in find_links(text)
        if link.looks_short and not link.public_shortener and domain_of(link.host) != website
    ]


def _check_phones(values: Mapping[str, str], brand: Mapping[str, str], complain: Complain) -> None:
    numbers = dict.fromkeys(
        number for _, sample in given_samples(values) for number in undeclared_phones(sample, brand)
    )
    if numbers and values.get(PHONE) == "No":
        words = f"must be Yes: samples hold {', '.join(numbers)}, which is not the brand's support number"
        complain(PHONE, words, "PHONE_NOT_DECLARED")
