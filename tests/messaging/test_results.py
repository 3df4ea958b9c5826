"""The table of pinpoint-2 1.6: what the caller of a direct send is told."""

from __future__ import annotations

import pytest

from heliograph_messaging.domain.outcomes import REASONS
from heliograph_messaging.domain.results import Delivery, refused, result_of


@pytest.mark.parametrize(
    ("status", "reason", "accepted", "delivery", "code"),
    [
        ("CLAIMED", "", False, "QUEUED", 202),
        ("CLAIMED", "TRANSIENT_FAILURE", False, "QUEUED", 202),
        ("DISPATCHING", "", False, "QUEUED", 202),
        ("ACCEPTED", "", True, "SUCCESSFUL", 200),
        ("DELIVERED", "", True, "SUCCESSFUL", 200),
        ("FAILED", "FAILURE_PERMANENT", True, "SUCCESSFUL", 200),
        ("FAILED", "FAILURE_PERMANENT", False, "PERMANENT_FAILURE", 400),
        ("FAILED", "UNSUPPORTED_CHANNEL", False, "PERMANENT_FAILURE", 400),
        ("FAILED", "TRANSIENT_FAILURE", False, "TEMPORARY_FAILURE", 500),
        ("FAILED", "THROTTLED", False, "THROTTLED", 429),
        ("FAILED", "ENDPOINT_OPT_OUT", False, "OPT_OUT", 200),
        ("IN_DOUBT", "UNKNOWN", False, "UNKNOWN_FAILURE", 500),
        ("SKIPPED", "ENDPOINT_OPT_OUT", False, "OPT_OUT", 200),
        ("SKIPPED", "DUPLICATE_ADDRESS", False, "DUPLICATE", 200),
        ("SKIPPED", "SUPPRESSED", False, "PERMANENT_FAILURE", 400),
        ("SKIPPED", "EXPIRED", False, "TEMPORARY_FAILURE", 500),
        ("SKIPPED", "ENDPOINT_ERASED", False, "PERMANENT_FAILURE", 404),
        ("SKIPPED", "ENDPOINT_INACTIVE", False, "PERMANENT_FAILURE", 400),
    ],
    ids=lambda value: str(value),
)
def test_each_end_of_a_message_has_its_result(
    status: str, reason: str, accepted: bool, delivery: str, code: int
) -> None:
    result = result_of("m1", status, reason, "words", accepted=accepted)
    assert (result.delivery, result.code) == (delivery, code)
    if delivery == "SUCCESSFUL":
        assert (result.reason, result.words) == ("", "MessageId: m1")
    else:
        assert result.reason == reason
        assert "words" in result.words


def test_every_reason_that_messaging_writes_has_a_result() -> None:
    for reason in REASONS:
        result = refused(reason, "")
        assert result.delivery not in (Delivery.QUEUED, Delivery.SUCCESSFUL)
        assert result.code in (200, 400, 404, 429, 500)
