"""SMS parts, regions, recipient checks, outcomes and the breaker: pure rules, tables and properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_channels.parts import GSM_BASIC, GSM_EXTENDED, measure
from heliograph_messaging.domain.breaker import Breaker
from heliograph_messaging.domain.outcomes import REASONS, RetryPolicy, Status, after_receipt, rejected, unknown
from heliograph_messaging.domain.recipients import Recipients, same_address, skip_reasons
from heliograph_messaging.regions import is_us

pytestmark = pytest.mark.unit
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "encoding", "parts"),
    [
        ("", "GSM-7", 0), ("a" * 160, "GSM-7", 1), ("a" * 161, "GSM-7", 2), ("a" * 306, "GSM-7", 2),
        ("a" * 307, "GSM-7", 3), ("a" * 1600, "GSM-7", 11), ("€" * 80, "GSM-7", 1), ("€" * 81, "GSM-7", 2),
        ("あ" * 70, "UCS-2", 1), ("あ" * 71, "UCS-2", 2), ("あ" * 134, "UCS-2", 2), ("あ" * 135, "UCS-2", 3),
        ("😀" * 35, "UCS-2", 1), ("😀" * 36, "UCS-2", 2), ("a" * 129 + "\u2019", "UCS-2", 2), ("a" * 129 + "'", "GSM-7", 1),
        ("ç" * 3, "UCS-2", 1), ("a" * 152 + "€" + "a" * 152, "GSM-7", 3),
    ],
)  # fmt: skip
def test_parts_follow_the_vectors_of_the_reference(body: str, encoding: str, parts: int) -> None:
    size = measure(body)
    assert (size.encoding, size.parts) == (encoding, parts)


@pytest.mark.parametrize(
    ("body", "too_long"),
    [("a" * 1600, False), ("a" * 1601, True), ("あ" * 630, False), ("あ" * 631, True), ("😀" * 316, True)],
)
def test_the_longest_sms_fits_and_one_more_character_does_not(body: str, too_long: bool) -> None:
    assert measure(body).too_long is too_long


@given(st.text(alphabet=GSM_BASIC + GSM_EXTENDED, max_size=700))
def test_gsm_parts_are_those_of_packing_pairs_whole(body: str) -> None:
    septets = [2 if character in GSM_EXTENDED else 1 for character in body]
    assert measure(body).parts == packed(septets, 160, 153)


@given(st.text(alphabet="あ😀é", min_size=1, max_size=300))
def test_ucs2_parts_are_those_of_packing_pairs_whole(body: str) -> None:
    units = [2 if character == "😀" else 1 for character in body]
    if "あ" in body or "😀" in body:
        assert measure(body).parts == packed(units, 70, 67)


def packed(sizes: list[int], single: int, each: int) -> int:
    if sum(sizes) <= single:
        return 1 if sizes else 0
    parts, room = 1, each
    for size in sizes:
        if size > room:
            parts, room = parts + 1, each
        room -= size
    return parts


@pytest.mark.parametrize(
    ("address", "us"),
    [("+12065550100", True), ("+15551234567", True), ("+17875550100", True), ("+14165550100", False),
     ("+18765550100", False), ("+442071838750", False), ("+4915112345678", False)],
)  # fmt: skip
def test_a_plus_one_number_counts_as_us_unless_its_area_code_is_elsewhere(address: str, us: bool) -> None:
    assert is_us(address) is us


def test_the_reason_is_the_first_that_applies_in_the_order_of_the_reference() -> None:
    page = Recipients(
        ["e"] * 7, [""] * 7, ["EMAIL", "EMAIL", "EMAIL", "", "SMS", "EMAIL", "EMAIL"],
        ["a", "a", "", "a", "a", "a", ""], [True, False, False, False, False, False, True],
        [True, True, False, False, False, False, False],
    )  # fmt: skip
    wanted = [
        "ENDPOINT_OPT_OUT", "ENDPOINT_INACTIVE", "ENDPOINT_MISSING_ADDRESS", "ENDPOINT_MISSING_CHANNEL",
        "ENDPOINT_CHANNEL_MISMATCH", "", "ENDPOINT_OPT_OUT",
    ]  # fmt: skip
    assert skip_reasons(page, channel="EMAIL", transactional=False, expire_time=None, now=NOW) == wanted
    direct = skip_reasons(page, channel="EMAIL", transactional=True, expire_time=NOW, now=NOW)
    assert direct == ["ENDPOINT_INACTIVE", *wanted[1:5], "EXPIRED", "ENDPOINT_MISSING_ADDRESS"]


def test_addresses_are_equal_without_the_case_of_the_domain() -> None:
    assert same_address("EMAIL", "Ann@Example.COM") == "Ann@example.com"
    assert same_address("EMAIL", "ann@example.com") != same_address("EMAIL", "Ann@example.com")
    assert same_address("CUSTOM", "https://X/Y") == "https://X/Y"


@given(st.integers(1, 19), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_within_their_bounds_and_end(failed: int, jitter: float) -> None:
    policy = RetryPolicy(20, timedelta(seconds=1), timedelta(seconds=60))
    pause = policy.delay(failed, jitter)
    assert pause is not None
    assert timedelta(seconds=0.5) <= pause <= timedelta(seconds=60)
    assert policy.delay(20, jitter) is None


@pytest.mark.parametrize(
    ("reason", "retryable", "failed", "status", "ledger_reason"),
    [
        ("THROTTLED", True, 1, Status.CLAIMED, "THROTTLED"),
        ("THROTTLED", True, 5, Status.FAILED, "THROTTLED"),
        ("UNAVAILABLE", True, 5, Status.FAILED, "TRANSIENT_FAILURE"),
        ("INVALID_ADDRESS", False, 1, Status.FAILED, "FAILURE_PERMANENT"),
        ("OPTED_OUT", False, 1, Status.FAILED, "ENDPOINT_OPT_OUT"),
    ],
)
def test_a_rejection_is_tried_again_within_the_policy(
    reason: str, retryable: bool, failed: int, status: Status, ledger_reason: str
) -> None:
    outcome = rejected(reason, retryable=retryable, detail="d" * 900, failed=failed, policy=RetryPolicy())
    assert (outcome.status, outcome.reason) == (status, ledger_reason)
    assert outcome.reason in REASONS
    assert len(outcome.detail) <= 500


@given(st.booleans(), st.booleans(), st.integers(1, 9))
def test_a_campaign_message_of_unknown_fate_is_never_sent_twice_without_idempotency(
    idempotent: bool, transactional: bool, failed: int
) -> None:
    outcome = unknown("x", idempotent=idempotent, transactional=transactional, failed=failed, policy=RetryPolicy())
    again = outcome.status is Status.CLAIMED
    assert again == ((idempotent or transactional) and failed < 5)


@given(st.lists(st.sampled_from(["DELIVERED", "BOUNCED", "OPENED", "COMPLAINED"])), st.booleans())
def test_receipts_in_any_order_end_in_the_same_status(kinds: list[str], in_doubt: bool) -> None:
    def end(order: list[str]) -> str:
        status: str = Status.IN_DOUBT if in_doubt else Status.ACCEPTED
        for kind in order:
            moved = after_receipt(status, kind, permanent=True, detail="")
            status = moved.status if moved else status
        return status

    assert end(kinds) == end(kinds[::-1])


def test_the_breaker_opens_after_failures_in_a_row_lets_one_call_try_and_closes_on_success() -> None:
    breaker = Breaker(threshold=2, pause=timedelta(seconds=2))
    breaker.failed(0)
    breaker.succeeded()
    breaker.failed(1)
    assert breaker.wait(1) == 0
    breaker.failed(1)
    assert breaker.wait(1) == 2
    assert breaker.wait(3.5) == 0
    assert breaker.wait(3.6) > 0
    breaker.failed(4)
    assert breaker.wait(4) == 4
    assert breaker.wait(9) == 0
    breaker.succeeded()
    assert breaker.wait(9) == 0
    assert breaker.wait(9) == 0
