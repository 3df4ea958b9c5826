"""What a draft must not hold, and what a review finds; each limit at its end and past it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heliograph_journeys.domain.checking import check, review
from heliograph_journeys.domain.journey import (
    EVENT_BITS,
    Activity,
    Branch,
    ConditionalSplit,
    Doing,
    Draft,
    Holdout,
    Message,
    MessageEvent,
    Nothing,
    RandomSplit,
    Wait,
)
from tests.journeys.builders import a_draft, a_message, a_random, a_split, a_wait, the_story


def found_in(draft: Draft) -> set[tuple[str, str]]:
    return {(finding.field, finding.reason) for finding in check(draft, "shop")}


def errors_of(draft: Draft) -> set[tuple[str, str]]:
    return {(finding.field, finding.reason) for finding in review(draft, "shop") if finding.error}


def test_the_story_passes_the_review() -> None:
    assert errors_of(a_draft()) == set()


def test_an_empty_draft_can_be_stored_and_not_published() -> None:
    draft = Draft("New")
    assert found_in(draft) == set()
    assert errors_of(draft) == {
        ("start_condition.segment.segment", "START_CONDITION_MISSING"),
        ("activities", "NO_ACTIVITIES"),
    }


def a_chain(length: int) -> Draft:
    return a_draft({f"a{i}": a_wait(f"a{i + 1}" if i + 1 < length else "") for i in range(length)})


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        pytest.param(replace(a_draft(), display_name="x" * 150), None, id="a name of 150 characters"),
        pytest.param(replace(a_draft(), display_name="x" * 151), "OUT_OF_RANGE", id="a name of 151 characters"),
        pytest.param(replace(a_draft(), display_name=""), "OUT_OF_RANGE", id="no name"),
        pytest.param(replace(a_draft(), description="x" * 1000), None, id="a description of 1,000 characters"),
        pytest.param(replace(a_draft(), description="x" * 1001), "TOO_LONG", id="a description of 1,001 characters"),
        pytest.param(replace(a_draft(), segment_version=-1), "OUT_OF_RANGE", id="a negative segment version"),
        pytest.param(replace(a_draft(), segment="projects/other/segments/s"), "INVALID_NAME", id="a segment elsewhere"),
        pytest.param(replace(a_draft(), start_activity="gone"), "UNKNOWN_ACTIVITY", id="an unknown start"),
        pytest.param(a_chain(40), None, id="40 activities"),
        pytest.param(a_chain(41), "TOO_MANY_ACTIVITIES", id="41 activities"),
        pytest.param(a_draft({"a" * 100: a_wait()}), None, id="an id of 100 characters"),
        pytest.param(a_draft({"a" * 101: a_wait()}), "INVALID_ID", id="an id of 101 characters"),
        pytest.param(a_draft({"a-b": a_wait()}), "INVALID_ID", id="an id with a hyphen"),
        pytest.param(a_draft({"": a_wait()}), "INVALID_ID", id="an empty id"),
    ],
)
def test_limits_of_a_journey(draft: Draft, reason: str | None) -> None:
    assert {found for _, found in found_in(draft)} == ({reason} if reason else set())


@pytest.mark.parametrize(
    ("doing", "field", "reason"),
    [
        pytest.param(Nothing(), "", "ACTIVITY_TYPE_MISSING", id="does nothing"),
        pytest.param(a_message("gone"), ".message.next_activity", "UNKNOWN_ACTIVITY", id="leads nowhere"),
        pytest.param(a_message(channel="FAX"), ".message.channel", "UNKNOWN_CHANNEL", id="unknown channel"),
        pytest.param(a_message(template="welcome"), ".message.template", "INVALID_NAME", id="a bare template id"),
        pytest.param(
            a_message(template="projects/other/templates/t"),
            ".message.template",
            "INVALID_NAME",
            id="a strange template",
        ),
        pytest.param(
            Message("EMAIL", template_version=-1), ".message.template_version", "OUT_OF_RANGE", id="version -1"
        ),
        pytest.param(Message("EMAIL", from_address="x" * 320), None, None, id="a sender of 320 characters"),
        pytest.param(
            Message("EMAIL", from_address="x" * 321), ".message.from_address", "TOO_LONG", id="321 characters"
        ),
        pytest.param(Message("SMS", origination_number="+15550100"), None, None, id="a number"),
        pytest.param(
            Message("SMS", origination_number="2065550100"),
            ".message.origination_number",
            "INVALID_NUMBER",
            id="no plus",
        ),
        pytest.param(Message("SMS", origination_number="123"), None, None, id="a short code of 3 digits"),
        pytest.param(Message("SMS", origination_number="12345678"), None, None, id="a short code of 8 digits"),
        pytest.param(
            Message("SMS", origination_number="12"), ".message.origination_number", "INVALID_NUMBER", id="2 digits"
        ),
        pytest.param(
            Message("SMS", origination_number="123456789"),
            ".message.origination_number",
            "INVALID_NUMBER",
            id="9 digits",
        ),
        pytest.param(Message("SMS", origination_pool="projects/shop/pools/main"), None, None, id="a pool"),
        pytest.param(
            Message("SMS", origination_pool="main"), ".message.origination_pool", "INVALID_NAME", id="a bare pool id"
        ),
        pytest.param(
            Message("SMS", origination_pool="projects/other/pools/main"),
            ".message.origination_pool",
            "INVALID_NAME",
            id="a strange pool",
        ),
        pytest.param(Wait(wait_for=timedelta(days=365)), None, None, id="365 days"),
        pytest.param(Wait(wait_for=timedelta(days=365, microseconds=1)), ".wait.wait_for", "OUT_OF_RANGE", id="longer"),
        pytest.param(Wait(wait_for=timedelta()), ".wait.wait_for", "OUT_OF_RANGE", id="no time"),
        pytest.param(Wait(wait_for=timedelta(microseconds=1)), None, None, id="a moment"),
        pytest.param(Wait(wait_until=datetime(2000, 1, 1, tzinfo=UTC)), None, None, id="an instant in the past"),
        pytest.param(Holdout(0), None, None, id="holdout 0"),
        pytest.param(Holdout(100), None, None, id="holdout 100"),
        pytest.param(Holdout(-1), ".holdout.percentage", "OUT_OF_RANGE", id="holdout -1"),
        pytest.param(Holdout(101), ".holdout.percentage", "OUT_OF_RANGE", id="holdout 101"),
        pytest.param(RandomSplit((Branch(100),)), ".random_split.branches", "OUT_OF_RANGE", id="one branch"),
        pytest.param(RandomSplit((Branch(1), Branch(99))), None, None, id="two branches, 1 and 99"),
        pytest.param(RandomSplit((Branch(20),) * 5), None, None, id="five branches"),
        pytest.param(
            RandomSplit((*(Branch(15),) * 4, Branch(20), Branch(20))),
            ".random_split.branches",
            "OUT_OF_RANGE",
            id="six branches",
        ),
        pytest.param(RandomSplit((Branch(50), Branch(49))), ".random_split.branches", "SUM_NOT_100", id="a sum of 99"),
        pytest.param(RandomSplit((Branch(50), Branch(51))), ".random_split.branches", "SUM_NOT_100", id="a sum of 101"),
        pytest.param(
            RandomSplit((Branch(0), Branch(50), Branch(50))),
            ".random_split.branches[0].percentage",
            "OUT_OF_RANGE",
            id="an empty branch",
        ),
        pytest.param(a_split(of="hello", hours=24 * 365), None, None, id="evaluated after 365 days"),
        pytest.param(a_split(hours=0), None, None, id="evaluated at once"),
        pytest.param(
            a_split(hours=24 * 365 + 1), ".conditional_split.evaluation_wait_for", "OUT_OF_RANGE", id="evaluated later"
        ),
        pytest.param(ConditionalSplit((MessageEvent("hello", "OPENED"),) * 10), None, None, id="10 conditions"),
        pytest.param(
            ConditionalSplit((MessageEvent("hello", "OPENED"),) * 11),
            ".conditional_split.conditions",
            "TOO_MANY_CONDITIONS",
            id="11 conditions",
        ),
        pytest.param(
            ConditionalSplit((None,)), ".conditional_split.conditions[0]", "CONDITION_MISSING", id="an empty condition"
        ),
        pytest.param(
            a_split(of="gone"),
            ".conditional_split.conditions[0].message_event.message_activity",
            "UNKNOWN_ACTIVITY",
            id="about nothing",
        ),
        pytest.param(
            a_split(of="rest"),
            ".conditional_split.conditions[0].message_event.message_activity",
            "NOT_A_MESSAGE",
            id="about a wait",
        ),
        pytest.param(
            a_split(event="YAWNED"),
            ".conditional_split.conditions[0].message_event.event",
            "UNKNOWN_EVENT",
            id="an unknown event",
        ),
        pytest.param(
            a_split(of="text"),
            ".conditional_split.conditions[0].message_event.event",
            "EVENT_NOT_OF_CHANNEL",
            id="an SMS is not opened",
        ),
        pytest.param(a_split(of="text", event="DELIVERED"), None, None, id="an SMS is delivered"),
    ],
)
def test_limits_of_an_activity(doing: Doing, field: str | None, reason: str | None) -> None:
    others: dict[str, Doing] = {"hello": a_message(), "text": a_message(channel="SMS"), "rest": a_wait()}
    found = found_in(a_draft({"it": doing, **others}))
    assert found == ({(f"activities[it]{field}", reason)} if reason else set())


def test_activities_in_a_circle_are_all_named() -> None:
    draft = a_draft({"in": a_wait("a"), "a": a_wait("b"), "b": a_random(a=50, end=50)})
    assert found_in(draft) == {("activities[a]", "CYCLE"), ("activities[b]", "CYCLE")}


def test_an_activity_that_leads_to_itself_is_a_circle() -> None:
    assert found_in(a_draft({"a": a_wait("a")})) == {("activities[a]", "CYCLE")}


def test_all_errors_come_at_once() -> None:
    draft = a_draft(
        {"a": a_message("gone", channel="FAX"), "b": Holdout(101), "c d": a_random(end=60)}, segment="buyers"
    )
    assert found_in(replace(draft, display_name="")) == {
        ("display_name", "OUT_OF_RANGE"),
        ("start_condition.segment.segment", "INVALID_NAME"),
        ("activities[a].message.next_activity", "UNKNOWN_ACTIVITY"),
        ("activities[a].message.channel", "UNKNOWN_CHANNEL"),
        ("activities[b].holdout.percentage", "OUT_OF_RANGE"),
        ("activities[c d]", "INVALID_ID"),
        ("activities[c d].random_split.branches", "OUT_OF_RANGE"),
        ("activities[c d].random_split.branches", "SUM_NOT_100"),
    }


def test_the_review_finds_what_is_missing() -> None:
    draft = a_draft(
        {
            "a": Message("EMAIL", next="b"),
            "b": Wait(next="c"),
            "c": ConditionalSplit(),
            "lost": a_wait(),
        }
    )
    assert errors_of(draft) == {
        ("activities[a].message.template", "TEMPLATE_MISSING"),
        ("activities[b].wait", "WAIT_MISSING"),
        ("activities[c].conditional_split.conditions", "NO_CONDITIONS"),
        ("activities[c].conditional_split", "NO_WAY_OUT"),
        ("activities[lost]", "UNREACHABLE"),
    }


def test_a_split_may_only_ask_about_messages_that_lie_before_it() -> None:
    draft = a_draft({"asks": a_split("hello", of="hello"), "hello": a_message()})
    field = "activities[asks].conditional_split.conditions[0].message_event.message_activity"
    assert errors_of(draft) == {(field, "MESSAGE_NOT_BEFORE_SPLIT")}


def test_recommendations_do_not_block() -> None:
    asks = replace(a_split(yes=""), evaluation_wait_for=None, no="bye")
    draft = a_draft({"hello": a_message("second"), "second": a_message("asks"), "asks": asks, "bye": a_wait()})
    found = review(draft, "shop")
    assert [finding.error for finding in found] == [False] * 3
    assert {finding.reason for finding in found} == {"MESSAGES_IN_A_ROW", "NO_EVALUATION_TIME", "EMPTY_BRANCH"}


def test_every_event_of_an_email_can_be_asked_about() -> None:
    for event in EVENT_BITS:
        doings = the_story() | {"opened": a_split("thanks", "again", event=event)}
        assert errors_of(a_draft(doings)) == set()


def test_the_description_of_an_activity_has_a_limit() -> None:
    for length, reasons in ((1000, set()), (1001, {"TOO_LONG"})):
        draft = replace(a_draft(), activities={"a": Activity(a_wait(), "x" * length)}, start_activity="a")
        assert {reason for _, reason in found_in(draft)} == reasons
