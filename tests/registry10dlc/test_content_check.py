"""Texts before a send against what was registered: each finding, with and without its cause."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.registry10dlc.v1 import launch_pb2
from heliograph_kit.errors import InvalidArgument
from heliograph_registry10dlc import forms
from heliograph_registry10dlc.content_check import LIKE, asks_for_opt_out, findings
from heliograph_registry10dlc.content_protos import check_content
from heliograph_registry10dlc.domain import Kind, Registration, State
from heliograph_registry10dlc.wording.likeness import likeness, outline_of
from tests.registry10dlc.papers import BRAND, USE_CASE

pytestmark = pytest.mark.unit
U = "campaignUseCase."
SAMPLE = "messageSamples.messageSample"
LINKS = {f"{U}embeddedLink": "Yes", f"{U}embeddedLinkSample": "https://exrc.co/Ab1"}
FITS = "Example Records: new arrivals this week for you. Reply STOP to end"


def found(body: str, use_case: dict[str, str] | None = None) -> set[tuple[str, bool, str]]:
    """Return reason, seriousness and excerpt of what is found in one text."""
    values = {**USE_CASE, **(use_case or {})}
    all_of_them = findings([body], values, BRAND)
    assert all(finding.description and finding.body_index == 0 for finding in all_of_them)
    assert [f.serious for f in all_of_them] == sorted((f.serious for f in all_of_them), reverse=True)
    return {(finding.reason, finding.serious, finding.excerpt) for finding in all_of_them}


@pytest.mark.parametrize(
    ("body", "use_case", "expected"),
    [
        (FITS, {}, set()),
        (FITS.replace("for you", "for {{User.UserAttributes.first}}"), {}, set()),
        # Links.
        (
            f"{FITS} https://bit.ly/x",
            {},
            {("PUBLIC_SHORTENER", True, "https://bit.ly/x"), ("LINK_NOT_DECLARED", True, "https://bit.ly/x")},
        ),
        (f"{FITS} BIT.LY/X", LINKS, {("PUBLIC_SHORTENER", True, "BIT.LY/X")}),
        (f"{FITS} https://rabbit.ly.example.com/x", LINKS, set()),
        (f"{FITS} https://records.example.com/new", {}, {("LINK_NOT_DECLARED", True, "https://records.example.com/new")}),
        (f"{FITS} https://records.example.com/new", LINKS, set()),
        (f"{FITS} https://track.example.com/t/{{{{id}}}}", LINKS, set()),
        (f"{FITS} exrc.co/{{{{id}}}}", LINKS, set()),
        (f"{FITS} https://other.net/x", LINKS, {("LINK_HOST_NOT_REGISTERED", False, "https://other.net/x")}),
        # The platform's own link counts as its host.
        (
            f"{FITS} https://links.heliograph.net/t/abc",
            LINKS,
            {("LINK_HOST_NOT_REGISTERED", False, "https://links.heliograph.net/t/abc")},
        ),
        (
            f"{FITS} https://links.heliograph.net/t/abc",
            {**LINKS, f"{U}embeddedLinkSample": "https://links.heliograph.net/t/xyz"},
            set(),
        ),
        (f"{FITS} https://{{{{host}}}}/x", LINKS, {("LINK_HOST_NOT_REGISTERED", False, "https://{…}/x")}),
        # Phone numbers.
        (f"{FITS}, call (206) 555-0199", {}, {("PHONE_NOT_DECLARED", False, "(206) 555-0199")}),
        (f"{FITS}, call (206) 555-0100", {}, set()),
        (f"{FITS}, call (206) 555-0199", {f"{U}embeddedPhone": "Yes"}, set()),
        # Brand and opt-out.
        (FITS.replace("Example Records", "We"), {}, {("BRAND_NOT_NAMED", False, "")}),
        (FITS.partition(". Reply")[0], {}, {("NO_OPT_OUT_WORDING", False, "")}),
        (FITS.partition(". Reply")[0], {f"{U}useCase": "DELIVERY_NOTIFICATION"}, set()),
        # Words.
        (f"{FITS}, with a glass of Wine", {}, {("AGE_GATE_MISSING", False, "Wine")}),
        (f"{FITS}, with a glass of Wine", {f"{U}ageGated": "Yes"}, set()),
        (f"{FITS}, E-Cigs too", {}, {("AGE_GATE_MISSING", False, "E-Cigs")}),
        (f"{FITS} in the wineshop", {}, set()),
        (f"{FITS}, CBD too", {}, {("RESTRICTED_CONTENT", False, "CBD")}),
        (f"{FITS}, and ammo", {f"{U}ageGated": "Yes"}, {("RESTRICTED_CONTENT", False, "ammo")}),
        (f"{FITS} at the Casino", {}, {("RESTRICTED_CONTENT", False, "Casino")}),
        (f"{FITS}, ask for a loan", {}, {("LENDING_NOT_DECLARED", False, "loan")}),
        (f"{FITS}, ask for a loan", {f"{U}directLending": "Yes"}, set()),
        # Likeness.
        ("Example Records: vote for the song of the year. Reply STOP to end", {}, {("UNLIKE_SAMPLES", False, "")}),
        (
            "Example Records: vote for the song of the year. Reply STOP to end",
            {f"{SAMPLE}2": "Example Records: vote for {#var} of the year, text A or B"},
            set(),
        ),
        ("Example Records: {{text}} Reply STOP to end", {}, {("UNLIKE_SAMPLES", False, "")}),
    ],
)  # fmt: skip
def test_findings(body: str, use_case: dict[str, str], expected: set[tuple[str, bool, str]]) -> None:
    assert found(body, use_case) == expected


@pytest.mark.parametrize("use_case", forms.FORMS[Kind.USE_CASE][f"{U}useCase"].values)
def test_which_use_cases_are_asked_for_opt_out_wording(use_case: str) -> None:
    again = {"MARKETING", "HIGHER_EDUCATION", "POLLING_VOTING", "PUBLIC_SERVICE_ANNOUNCEMENT", "CHARITY"}
    assert asks_for_opt_out({f"{U}useCase": use_case}) is (use_case in again | {"MIXED", "LOW_VOLUME"})


@pytest.mark.parametrize(
    ("parts", "asked"),
    [
        ("FRAUD_ALERT, SECURITY_ALERT", False),
        ("FRAUD_ALERT,MARKETING", True),
        ("", True),
        ("TWO_FACTOR_AUTHENTICATION", False),
    ],
)
def test_a_mixture_is_what_it_is_made_of(parts: str, asked: bool) -> None:
    assert asks_for_opt_out({f"{U}useCase": "MIXED", f"{U}subUseCases": parts}) is asked


SAME = [
    ("new arrivals this week for you", "a new album by {{artist}} has arrived this week. Reply STOP to end"),
    ("Your verification code is {#var}.", "{{code}} is your verification code. Do not share it."),
    ("hi {#var}, your order {#var} ships {#var}", "hi {{first}}, your order {{order}} ships tomorrow"),
    ("your appointment with {#var} is on {#var} at {#var}. Reply C to confirm.", "reminder of your appointment on {{date}}. Reply C to confirm or call us."),
    ("20% off all vinyl this weekend! Shop at https://records.example.com. Reply STOP to opt out", "30% off all CDs this weekend only! See https://records.example.com/cds. Reply STOP to end"),
    ("we noticed a suspicious charge of ${#var} at {#var}. Reply YES if it was you", "was a charge of $123.45 at Shoe Store you? Reply YES or NO"),
    ("your package was delivered at {#var}. Track it: {#var}", "your package {{n}} is out for delivery today. Track: {{url}}"),
    ("your code is 123456", "your code is 987654"),
]  # fmt: skip
OTHER = [
    ("new arrivals this week for you", "your verification code is {{code}}"),
    ("Your verification code is {#var}.", "20% off all vinyl this weekend! Reply STOP to opt out"),
    ("hi {#var}, your order {#var} ships {#var}", "order now, all shoes half price today only! Reply STOP to end"),
    ("your appointment with {#var} is on {#var}. Reply C to confirm.", "hi {{first}}, we miss you! Come back and take $10 off your next order. Reply STOP to end"),
    ("we noticed a suspicious charge of ${#var} at {#var}. Reply YES if it was you", "get a personal loan with low rates today. Reply YES or NO"),
    ("your package was delivered at {#var}. Track it: {#var}", "vote for the song of the year, text A or B now"),
    ("your code is {#var}", "{{text}}"),
    ("20% off all vinyl this weekend! Reply STOP to opt out", "thanks for your purchase. How did we do? Answer 1 to 5"),
]  # fmt: skip


@pytest.mark.parametrize(("sample", "body"), SAME)
def test_messages_of_one_kind_are_well_above_the_threshold(sample: str, body: str) -> None:
    assert likeness(outline_of(sample), outline_of(body)) >= 0.5 > LIKE


@pytest.mark.parametrize(("sample", "body"), OTHER)
def test_texts_about_something_else_are_below_the_threshold(sample: str, body: str) -> None:
    assert likeness(outline_of(sample), outline_of(body)) <= 0.35 < LIKE


WORDS = st.text("abcdefghij", min_size=4, max_size=8)


@settings(deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=12), st.lists(WORDS, max_size=12))
def test_likeness_is_a_measure(one: list[str], other: list[str]) -> None:
    a, b = outline_of(" ".join(one)), outline_of(" ".join(other))
    assert likeness(a, b) == likeness(b, a)
    assert 0 <= likeness(a, b) <= 1
    assert likeness(a, a) == 1
    assert (likeness(a, b) == 0) == (not set(one) & set(other))


@settings(deadline=None)
@given(st.lists(WORDS, min_size=3, max_size=12), st.data())
def test_a_sample_with_its_holes_filled_is_wholly_like_itself(words: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(words)))
    filling = data.draw(st.lists(st.text("klmnop", min_size=4, max_size=8), min_size=1, max_size=3))
    sample = " ".join([*words[:place], "{#var}", *words[place:]])
    body = " ".join([*words[:place], *filling, *words[place:]])
    assert likeness(outline_of(sample), outline_of(body)) == 1


def test_without_samples_nothing_is_unlike_them() -> None:
    assert found(FITS.replace("new arrivals", "votes"), {f"{SAMPLE}1": ""}) == set()
    assert found(FITS.replace("new arrivals", "votes"), {f"{SAMPLE}1": "Example: how are you?"}) == set()


def test_each_text_has_its_own_findings() -> None:
    all_of_them = findings([FITS, "bit.ly/x", FITS], USE_CASE, BRAND)
    assert {finding.body_index for finding in all_of_them} == {1}
    assert [finding.reason for finding in all_of_them][:2] == ["PUBLIC_SHORTENER", "LINK_NOT_DECLARED"]


@pytest.mark.parametrize(
    "piece", ["a ", "{", "{{", "{{a}}", "a.", "word ", "1", "https://a.co/b ", "new arrivals week "]
)
def test_ten_texts_at_their_longest_take_a_moment(piece: str) -> None:
    bodies = [(piece * 1600)[:1600]] * 10
    use_case = {**USE_CASE, **{f"{SAMPLE}{n}": (piece * 1024)[:1024] for n in range(1, 6)}}
    begun = time.process_time()
    findings(bodies, use_case, BRAND)
    assert time.process_time() - begun < 2


def registration(kind: Kind, fields: dict[str, str]) -> Registration:
    now = datetime(2026, 11, 27, tzinfo=UTC)
    return Registration("shop", "r1", kind, State.DRAFT, fields, now, now)


def answer(*bodies: str) -> launch_pb2.CheckContentResponse:
    request = launch_pb2.CheckContentRequest(parent="projects/shop", bodies=bodies)
    return check_content(request, registration(Kind.USE_CASE, USE_CASE), registration(Kind.BRAND, BRAND))


def test_the_answer_of_the_service() -> None:
    assert answer(FITS) == launch_pb2.CheckContentResponse()
    (finding,) = answer(FITS, f"{FITS}, CBD too").findings
    assert (finding.body_index, finding.reason, finding.serious, finding.excerpt) == (
        1,
        "RESTRICTED_CONTENT",
        False,
        "CBD",
    )
    assert "RESTRICTED_CANNABIS" in finding.description


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ([], [("bodies", "OUT_OF_RANGE")]),
        ([FITS] * 11, [("bodies", "OUT_OF_RANGE")]),
        ([FITS, ""], [("bodies[1]", "INVALID_LENGTH")]),
        (["x" * 1601, "", *[FITS] * 9], [("bodies", "OUT_OF_RANGE"), ("bodies[0]", "INVALID_LENGTH"), ("bodies[1]", "INVALID_LENGTH")]),
    ],
)  # fmt: skip
def test_what_is_not_one_to_ten_texts_is_refused(bodies: list[str], expected: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        answer(*bodies)
    assert [(violation.field, violation.reason) for violation in caught.value.violations] == expected


def test_texts_at_the_limits_are_taken() -> None:
    assert len({finding.body_index for finding in answer(*["x" * 1600] * 9, "x").findings}) == 10
