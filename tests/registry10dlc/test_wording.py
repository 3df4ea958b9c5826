"""What is read out of texts: links, phone numbers, names, phrases, holes."""

from __future__ import annotations

import time

import pytest

from heliograph_messaging.domain import findings
from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.forms import FORMS
from heliograph_registry10dlc.wording.data import read
from heliograph_registry10dlc.wording.holes import beside_holes, foreign_holes, has_holes
from heliograph_registry10dlc.wording.links import SHORTENERS, domain_of, find_links, host_of
from heliograph_registry10dlc.wording.names import names_brand
from heliograph_registry10dlc.wording.phones import find_phones
from heliograph_registry10dlc.wording.phrases import tells_a_contact, tells_opt_out, tells_that_messages_end
from heliograph_registry10dlc.wording.words import plain_words

pytestmark = pytest.mark.unit


# The words of pinpoint-2 4.7 that are about what a text says.
CAUSES = {
    "RESTRICTED_CANNABIS", "RESTRICTED_GUNS_AMMO", "RESTRICTED_SHAFT", "RESTRICTED_GAMBLING", "RESTRICTED_HATE",
    "RESTRICTED_ALCOHOL_NO_AGE_GATE", "RESTRICTED_TOBACCO_VAPE_NO_AGE_GATE", "PROHIBITED_HIGH_RISK_FINANCIAL",
    "PROHIBITED_LEAD_GENERATION_AFFILIATE_OTHER",
}  # fmt: skip


def test_the_public_shorteners_are_those_of_the_reference_and_those_messaging_warns_of() -> None:
    assert set(read("hosts")["shorteners"]["pinpoint-2 4.5"]) == {
        "bit.ly", "tinyurl.com", "goo.gl", "t.co", "ow.ly", "is.gd", "buff.ly",
    }  # fmt: skip
    assert SHORTENERS == findings.SHORTENERS


def test_the_words_of_restricted_contents_are_told_apart() -> None:
    content = read("content")
    topics = [*content["age_gated"], *content["restricted"]]
    assert {topic["cause"] for topic in topics} == CAUSES
    phrases = [plain_words(phrase) for topic in topics for phrase in topic["phrases"]]
    phrases += [plain_words(phrase) for phrase in content["lending"]]
    assert all(phrases)
    assert len(set(phrases)) == len(phrases)
    assert set(content["recurring_use_cases"]) < set(FORMS[Kind.USE_CASE]["campaignUseCase.useCase"].values)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("see https://www.example.com/a?b=c.", ["example.com"]),
        ("see HTTP://EXAMPLE.COM", ["example.com"]),
        ("see example.com, example.org/x and www.example.travel", ["example.com", "example.org", "example.travel"]),
        ("bit.ly/x t.co", ["bit.ly", "t.co"]),
        ("(https://bit.ly/x)", ["bit.ly"]),
        ("https://bit.ly@example.com/x", ["example.com"]),
        ("https://bit.ly:8080/x", ["bit.ly"]),
        ("https://bit.ly./x", ["bit.ly"]),
        ("https://\uff42\uff49\uff54\uff0e\uff4c\uff59/x", ["bit.ly"]),
        ("https://{{host}}/x", [""]),
        ("https://{{shop}}.example.com/x", ["example.com"]),
        ("https://example.com/{{code}}", ["example.com"]),
        ("example.com/{#var}", ["example.com"]),
        ("help@example.com and first.last@mail.example.com", []),
        ("St.Louis, 3.50 a.m. e.g. Thanks.Come by.", []),
        ("version 1.2/3 costs $4.99/month", []),
        ("", []),
    ],
)
def test_links(text: str, hosts: list[str]) -> None:
    assert [link.host for link in find_links(text)] == hosts


@pytest.mark.parametrize(
    ("text", "public"),
    [
        *((host, True) for host in sorted(SHORTENERS)),
        ("https://www.bit.ly", True),
        ("BIT.LY/X", True),
        ("https://shop.bit.ly/x", True),
        ("rabbit.ly.example.com", False),
        ("https://rabbit.ly/x", False),
        ("https://bit.ly.example.com/x", False),
        ("https://example.com/?to=bit.ly", False),
        ("https://notT.co/x", False),
    ],
)
def test_public_shorteners(text: str, public: bool) -> None:
    (link,) = find_links(text)
    assert link.public_shortener is public


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("exrc.co/Ab1", True),
        ("https://abcdefg.co/abcdefghijkl", True),
        ("https://abcdefgh.co/abc", False),
        ("https://exrc.co/abcdefghijklm", False),
        ("exrc.co/{#var}", True),
        ("https://exrc.co", False),
        ("https://exrc.co/a/b", False),
        ("https://go.exrc.co/Ab1", False),
    ],
)
def test_what_looks_short(text: str, short: bool) -> None:
    (link,) = find_links(text)
    assert link.looks_short is short


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.com", "example.com"),
        ("www.example.com", "example.com"),
        ("a.b.example.com", "example.com"),
        ("shop.example.co.uk", "example.co.uk"),
        ("example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("shop.example.de", "example.de"),
        ("", ""),
    ],
)
def test_domains(host: str, domain: str) -> None:
    assert domain_of(host) == domain


def test_hosts_of_addresses() -> None:
    assert host_of("a@Example.com") == "example.com"
    assert host_of("https://www.example.com/x@y") == "example.com"
    assert host_of("nothing") == ""


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("call 206-555-0199.", ["12065550199"]),
        ("call (206) 555-0199 or 206.555.0198", ["12065550199", "12065550198"]),
        ("call 2065550199", ["12065550199"]),
        ("call +1 206 555 0199", ["12065550199"]),
        ("call 1-800-GO-FEDEX", ["18004633339"]),
        ("call +44 20 7946 0958", ["442079460958"]),
        ("order #2065550199, $2065550199", []),
        ("your code is 123456, valid 10 minutes", []),
        ("on 2026-11-27 at 10:00", []),
        ("https://example.com/2065550199", []),
        ("20655501991234", []),
        ("{{User.phone}}", []),
    ],
)
def test_phone_numbers(text: str, digits: list[str]) -> None:
    assert [phone.digits for phone in find_phones(text)] == digits


def brand(name: str, dba: str = "") -> dict[str, str]:
    return {"companyInfo.companyName": name, "contactInfo.dbaName": dba}


@pytest.mark.parametrize(
    ("text", "company", "named"),
    [
        ("Acme: your order ships", brand("Acme Record Distribution LLC"), True),
        ("ACME RECORDS: sale", brand("Acme Records, Inc."), True),
        ("AcmeRecords: sale", brand("Acme Records, Inc."), True),
        ("Acme's sale", brand("Acme Records, Inc."), True),
        ("Acmeology: sale", brand("Acme Records, Inc."), False),
        ("The Shop: sale", brand("Holding 17 GmbH", "The Shop"), True),
        ("Café Zürich: Angebot", brand("CAFE ZURICH AG"), True),
        ("Johnson and Sons: sale", brand("Johnson & Sons Ltd"), True),
        ("First of all: sale", brand("First National Bank of Springfield"), False),
        ("First National Bank: sale", brand("First National Bank of Springfield"), True),
        ("HP: sale", brand("HP Inc"), True),
        ("PHP: sale", brand("HP Inc"), False),
        ("Record Shop: sale", brand("Other Inc", "Record Shop (Score:90)"), True),
        ("acme.com/sale has it", brand("Acme.com Inc"), True),
        ("We have a sale", brand("Acme"), False),
        ("We have a sale", brand("", ""), True),
        ("{{Brand}} has a sale", brand("Acme"), False),
    ],
)
def test_brand_names(text: str, company: dict[str, str], named: bool) -> None:
    assert names_brand(text, company) is named


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("News! Reply STOP to end", True),
        ("News! Text QUIT to leave", True),
        ('Reply with "stop"', True),
        ("Txt HELP for help or STOP", True),
        ("STOP=end", True),
        ("STOP2END", True),
        ("Stop to opt-out", True),
        ("Unsubscribe: example.com/u", True),
        ("Responda ALTO para salir", True),
        ("Répondez ARRÊT", True),
        ("STOP paying too much", False),
        ("Sale at the END OF SEASON", False),
        ("Cancel your plan any time", False),
        ("We never stop. Come by!", False),
        ("", False),
    ],
)
def test_opt_out_wording(text: str, told: bool) -> None:
    assert tells_opt_out(text) is told


def test_the_end_of_messages_and_contacts() -> None:
    assert tells_that_messages_end("You have been unsubscribed.")
    assert tells_that_messages_end("You'll get no more messages")
    assert tells_that_messages_end("Ya no recibirás mensajes")
    assert not tells_that_messages_end("Thank you for your message")
    assert tells_a_contact("mail help@example.com")
    assert tells_a_contact("see example.com/help")
    assert tells_a_contact("call 206-555-0199")
    assert not tells_a_contact("we call you back in 20 minutes")


def test_holes() -> None:
    assert beside_holes("Hi {#var}, code {{Attributes.code}}{{{raw}}}") == "Hi , code"
    assert has_holes("Hi {#var}")
    assert not has_holes("Hi {var}")
    assert foreign_holes("Hi [name], {{a}} {#var} {#other} <b c> XXXX") == [
        "[name]",
        "{{a}}",
        "{#other}",
        "<b c>",
        "XXXX",
    ]


@pytest.mark.parametrize(
    "piece",
    [
        "{",
        "{{",
        "{#",
        "a",
        "a.",
        "a-",
        "a@",
        ".",
        "-",
        "1",
        "1-",
        "+",
        "(",
        "http://",
        "STOP ",
        "é",
        "\ufffc",
        "[a",
        "<a",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    text = (piece * 4096)[:4096]
    begun = time.process_time()
    find_links(text)
    find_phones(text)
    tells_opt_out(text)
    tells_that_messages_end(text)
    tells_a_contact(text)
    foreign_holes(text)
    names_brand(text, brand("Acme Record Distribution"))
    assert time.process_time() - begun < 2
