"""The pure rules: which events are taken, what messages are called as events, which key figures exist."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from heliograph_analytics.domain import clipped_range, names_of, refusal
from heliograph_analytics.kpis import KPIS, find
from tests.analytics.conftest import an_event

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, None, id="a good event"),
        pytest.param({"kind": ""}, "MISSING", id="no type"),
        pytest.param({"kind": "t" * 64}, None, id="the longest type"),
        pytest.param({"kind": "t" * 65}, "TOO_LONG", id="a longer type"),
        pytest.param({"kind": "_email.send"}, "RESERVED_TYPE", id="a type the server makes"),
        pytest.param({"kind": "_campaign.send"}, "RESERVED_TYPE", id="another one"),
        pytest.param({"kind": "_campaign.opened_notification"}, None, id="a type of the app's SDK"),
        pytest.param({"kind": "_session.start"}, None, id="a session"),
        pytest.param({"endpoint": ""}, "MISSING", id="no endpoint"),
        pytest.param({"endpoint": "e" * 65}, "TOO_LONG", id="a long endpoint"),
        pytest.param({"attributes": {f"a{n}": "" for n in range(40)}}, None, id="40 keys"),
        pytest.param(
            {"attributes": {f"a{n}": "" for n in range(40)}, "metrics": {"m": 1.0}}, "TOO_MANY_KEYS", id="41 keys"
        ),
        pytest.param({"attributes": {"a" * 50: "v" * 200}}, None, id="the longest key and value"),
        pytest.param({"attributes": {"a" * 51: ""}}, "TOO_LONG", id="a longer key"),
        pytest.param({"attributes": {"a": "v" * 201}}, "TOO_LONG", id="a longer value"),
        pytest.param({"metrics": {"m": float("nan")}}, "NOT_FINITE", id="not a number"),
        pytest.param({"metrics": {"m": float("inf")}}, "NOT_FINITE", id="infinite"),
    ],
)
def test_events_are_held_to_their_limits(changes: dict[str, object], reason: str | None) -> None:
    event = an_event(**changes)  # type: ignore[arg-type]
    found = refusal(event, event.event_time.seconds)
    assert (found.reason if found else None) == reason


def test_an_event_needs_an_id_and_a_time() -> None:
    event = an_event()
    assert refusal(event, None) is not None
    assert refusal(event, -1) is not None
    event.event_id = ""
    found = refusal(event, 1)
    assert found is not None
    assert found.field == "event_id"


@pytest.mark.parametrize(
    ("outcome", "reason", "channel", "source", "types"),
    [
        ("ACCEPTED", "", "EMAIL", "campaigns", ["_campaign.send", "_email.send"]),
        ("ACCEPTED", "", "SMS", "journeys", ["_journey.send", "_SMS.BUFFERED"]),
        ("ACCEPTED", "", "EMAIL", "", ["_email.send"]),
        ("ACCEPTED", "", "PUSH", "", ["_message.accepted"]),
        ("FAILED", "ADDRESS_MALFORMED", "EMAIL", "campaigns", ["_campaign.send", "_email.rejected"]),
        ("FAILED", "RENDERING_FAILED", "EMAIL", "", ["_email.rendering_failure"]),
        ("SKIPPED", "DAILY_CAP", "EMAIL", "campaigns", ["_campaign.send"]),
        ("SKIPPED", "ENDPOINT_OPT_OUT", "EMAIL", "campaigns", ["_message.skipped"]),
        ("IN_DOUBT", "", "SMS", "campaigns", ["_campaign.send"]),
        ("DELIVERED", "", "SMS", "campaigns", ["_SMS.SUCCESS"]),
        ("BOUNCED", "", "EMAIL", "", ["_email.hardbounce"]),
        ("BOUNCED", "TRANSIENT_FAILURE", "EMAIL", "", ["_email.softbounce"]),
        ("OPENED", "", "PUSH", "journeys", ["_journey.opened_notification"]),
        ("CLICKED", "", "EMAIL", "", ["_email.click"]),
        ("OPTED_OUT", "", "SMS", "", ["_SMS.OPTOUT"]),
    ],
)
def test_a_message_event_has_the_names_of_the_reference(
    outcome: str, reason: str, channel: str, source: str, types: list[str]
) -> None:
    assert [named.event_type for named in names_of(outcome, reason, channel, source)] == types


@pytest.mark.parametrize(
    ("outcome", "detail", "status"),
    [
        ("FAILED", "", "UNKNOWN"),
        ("FAILED", "the provider is away", "UNKNOWN"),
        ("FAILED", "CARRIER_BLOCKED (simulated): T_MOBILE takes 2,000 parts a day", "CARRIER_BLOCKED"),
        ("FAILED", "INVALID (simulated)", "INVALID"),
        ("FAILED", "INVALID_MESSAGE", "INVALID_MESSAGE"),
        ("FAILED", "BLOCKED: a list", "BLOCKED"),
        ("FAILED", "BLOCKEd", "UNKNOWN"),
        ("FAILED", "SOMETHING_ELSE: happened", "UNKNOWN"),
        ("FAILED", "SUCCESSFUL", "UNKNOWN"),
        ("BOUNCED", "", "UNREACHABLE"),
        ("BOUNCED", "CARRIER_UNREACHABLE: no cell", "CARRIER_UNREACHABLE"),
        ("DELIVERED", "CARRIER_BLOCKED", "DELIVERED"),
        ("FAILED", "NO_ORIGINATION_IDENTITY_AVAILABLE_TO_SEND: no number", "NO_ORIGINATION_IDENTITY_AVAILABLE_TO_SEND"),
        ("FAILED", "the text is too long", "UNKNOWN"),
        ("FAILED", "INVALIDATED", "UNKNOWN"),
        ("BOUNCED", "CARRIER_BLOCKED", "CARRIER_BLOCKED"),
        ("BOUNCED", "failed: INVALID (simulated)", "INVALID"),
        ("BOUNCED", "error 30007", "UNREACHABLE"),
        ("ACCEPTED", "SPAM", "SUCCESSFUL"),
        ("DELIVERED", "", "DELIVERED"),
    ],
)
def test_the_record_status_of_an_sms_is_the_word_that_its_detail_begins_with(
    outcome: str, detail: str, status: str
) -> None:
    assert names_of(outcome, "", "SMS", "", detail)[-1].status == status


@pytest.mark.parametrize(
    "name",
    [
        "successful-delivery-rate",
        "successful-delivery-rate-grouped-by-date",
        "email-open-rate-grouped-by-campaign",
        "unique-deliveries-grouped-by-date",
        "successful-deliveries-grouped-by-campaign",
        "push-open-rate-grouped-by-campaign",
        "txn-emails-sent",
        "txn-emails-complaint-rate-grouped-by-date",
        "txn-emails-with-complaints",
        "txn-sms-delivered-by-parts",
        "txn-sms-error-distribution",
        "sms-failed-grouped-by-record-status",
        "sms-sent-grouped-by-ten-dlc-registration",
    ],
)
def test_pinpoints_names_of_projects_exist(name: str) -> None:
    assert find(name, "project", ()) is not None


def test_a_grouping_may_be_in_the_name_or_beside_it() -> None:
    assert find("unique-deliveries-grouped-by-date", "campaign", ()) == find("unique-deliveries", "campaign", ["date"])
    assert find("unique-deliveries", "journey", ()) is None
    assert find("unique-deliveries-grouped-by-reason", "campaign", ()) is None
    assert find("nonsense", "project", ()) is None


def test_value_keys_are_the_names_without_hyphens() -> None:
    assert KPIS["txn-sms-sent"].value_key == "TxnSmsSent"
    assert KPIS["unique-deliveries"].value_key == "UniqueDeliveries"


def test_absent_bounds_are_31_days_from_the_other_and_not_in_the_future() -> None:
    month = timedelta(days=31)
    assert clipped_range(None, None, NOW) == (NOW - month, NOW)
    assert clipped_range(NOW - timedelta(days=2), None, NOW) == (NOW - timedelta(days=2), NOW)
    assert clipped_range(NOW - 2 * month, None, NOW) == (NOW - 2 * month, NOW - month)
    assert clipped_range(None, NOW - month, NOW) == (NOW - 2 * month, NOW - month)
