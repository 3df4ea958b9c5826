"""Caps, quiet time and suppressed addresses: pure tables, and the door on a real database."""

from __future__ import annotations

import collections
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from heliograph.common.v1 import limits_pb2
from heliograph.messaging.v1 import dispatch_pb2, messages_pb2
from heliograph_kit.testing import eventually
from heliograph_messaging.domain.caps import MAX_LIMIT, MAX_WINDOW, Cap, Scope, Touched, passed
from heliograph_messaging.domain.quiet import NoClockTime, QuietTime, clock_time
from heliograph_messaging.pipeline.page import BadPage
from heliograph_messaging.pipeline.policy import policy_of
from heliograph_messaging.store.touches import TouchStore
from tests.messaging.conftest import PARENT, PROJECT, Service, Started, a_batch

NOW = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
S = messages_pb2.MessageStatus
unit, integration = pytest.mark.unit, pytest.mark.integration


def ago(**delta: float) -> datetime:
    return NOW - timedelta(**delta)


@unit
@pytest.mark.parametrize(
    ("cap", "touched", "over"),
    [
        (Cap(Scope.PROJECT, 2, DAY), Touched(project=[ago(hours=1)]), False),
        (Cap(Scope.PROJECT, 2, DAY), Touched(project=[ago(hours=1), ago(hours=23)]), True),
        (Cap(Scope.PROJECT, 2, DAY), Touched(project=[ago(hours=1), ago(hours=24)]), False),
        (Cap(Scope.PROJECT, 2, DAY), Touched(project=[ago(hours=1), ago(hours=23.999)]), True),
        (Cap(Scope.PROJECT, 1, DAY), Touched(source=[ago(hours=1)], source_total=1), False),
        (Cap(Scope.SOURCE, 1, DAY), Touched(source=[ago(hours=1)], source_total=1), True),
        (Cap(Scope.SOURCE, 1, None), Touched(source=[ago(days=900)], source_total=1), True),
        (Cap(Scope.SOURCE, 100, None), Touched(source_total=99), False),
        (Cap(Scope.SOURCE, 100, None), Touched(source_total=100), True),
        (Cap(Scope.JOURNEYS, 1, 7 * DAY), Touched(project=[ago(days=1)], journeys=[]), False),
        (Cap(Scope.JOURNEYS, 1, 7 * DAY), Touched(journeys=[ago(days=6)]), True),
    ],
    ids=[
        "one below the limit", "at the limit", "a message of exactly a day ago is out", "a moment less is in",
        "a source's messages are not the project's", "a source's day", "a source's total has no window",
        "one below the greatest total", "the greatest total", "campaigns are not journeys", "journeys in a week",
    ],
)  # fmt: skip
def test_a_cap_is_passed_by_the_message_after_the_last_that_fits(cap: Cap, touched: Touched, over: bool) -> None:
    assert (passed([cap], touched, NOW) is not None) is over


@unit
def test_the_first_cap_that_is_passed_gives_the_reason() -> None:
    caps = [Cap(Scope.PROJECT, 5, DAY), Cap(Scope.SOURCE, 1, None), Cap(Scope.SOURCE, 1, 7 * DAY)]
    found = passed(caps, Touched(source=[ago(hours=1)], source_total=1), NOW)
    assert found is caps[1]
    assert [cap.reason(journey=False) for cap in caps] == ["DAILY_CAP", "CAMPAIGN_CAP", "TIMEFRAME_CAP"]
    assert caps[1].reason(journey=True) == "JOURNEY_CAP"


@unit
@given(st.lists(st.integers(0, 40 * 24), max_size=120), st.integers(1, 100), st.integers(1, 30 * 24))
def test_windows_count_like_a_plain_filter(hours: list[int], limit: int, window: int) -> None:
    times = [ago(hours=h) for h in hours]
    cap = Cap(Scope.PROJECT, limit, timedelta(hours=window))
    expected = len([h for h in hours if h < window]) >= limit
    assert (passed([cap], Touched(project=times), NOW) is not None) is expected


@unit
@pytest.mark.parametrize(
    ("start", "end", "zone", "now", "quiet"),
    [
        ("22:00", "07:00", "America/New_York", "2026-03-08T03:00:00Z", True),
        ("22:00", "07:00", "America/New_York", "2026-03-08T02:59:59Z", False),
        ("22:00", "07:00", "America/New_York", "2026-03-08T11:00:59Z", True),
        ("22:00", "07:00", "America/New_York", "2026-03-08T11:01:00Z", False),
        ("09:00", "17:00", "Asia/Kathmandu", "2026-03-08T03:15:00Z", True),
        ("09:00", "17:00", "Asia/Kathmandu", "2026-03-08T03:14:59Z", False),
        ("12:00", "12:00", "UTC", "2026-03-08T12:00:59Z", True),
        ("12:00", "12:00", "UTC", "2026-03-08T12:01:00Z", False),
        ("00:00", "23:59", "", "2026-03-08T12:00:00Z", False),
        ("00:00", "23:59", "Mars/Olympus", "2026-03-08T12:00:00Z", False),
        ("00:00", "23:59", "../../etc/passwd", "2026-03-08T12:00:00Z", False),
        ("00:00", "23:59", "Australia/Lord_Howe", "2026-03-08T12:00:00Z", True),
    ],
    ids=[
        "over midnight: the start is inside", "a second before is not", "the minute of the end is inside, in summer time",
        "the next is not", "by the quarter of an hour", "before it", "one minute", "after it",
        "no zone", "no such zone", "no zone at all", "the whole day",
    ],
)  # fmt: skip
def test_quiet_time_is_the_recipients_own(start: str, end: str, zone: str, now: str, quiet: bool) -> None:
    instant = datetime.fromisoformat(now)
    assert QuietTime(clock_time(start), clock_time(end)).holds(zone, instant) is quiet


@unit
@pytest.mark.parametrize("text_", ["24:00", "9:00", "09:60", "", "09:00 ", "0900", "\u0660\u0669:\u0660\u0660"])
def test_what_is_no_time_of_day_is_refused(text_: str) -> None:
    with pytest.raises(NoClockTime):
        clock_time(text_)


def a_cap(scope: dispatch_pb2.CapScope.ValueType, limit: int, window: timedelta | None = DAY) -> dispatch_pb2.Cap:
    cap = dispatch_pb2.Cap(scope=scope, limit=limit)
    if window is not None:
        cap.window.FromTimedelta(window)
    return cap


SOURCE, WHOLE, JOURNEYS = (
    dispatch_pb2.CAP_SCOPE_SOURCE,
    dispatch_pb2.CAP_SCOPE_PROJECT,
    dispatch_pb2.CAP_SCOPE_JOURNEYS,
)


def capped(
    people: range, caps: list[dispatch_pb2.Cap], *, run_id: str = "run1", campaign: str = "c1", **more: Any
) -> dispatch_pb2.DispatchBatch:
    """Return a batch to people by ordinal, each with an address of their own."""
    batch = a_batch(
        [f"p{n}@example.com" for n in people], run_id=run_id, endpoint_ids=[f"e{n}" for n in people], **more
    )
    batch.source.name = f"{PARENT}/campaigns/{campaign}"
    batch.recipients.ordinals.extend(people)
    batch.policy.caps.extend(caps)
    return batch


@unit
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b.policy.caps.extend([a_cap(WHOLE, 1)] * 6), "at most 5 caps"),
        (lambda b: b.policy.caps.append(a_cap(WHOLE, 0)), "limit of 1 to 100"),
        (lambda b: b.policy.caps.append(a_cap(WHOLE, MAX_LIMIT + 1)), "limit of 1 to 100"),
        (lambda b: b.policy.caps.append(dispatch_pb2.Cap(limit=1, window=Duration(seconds=5))), "needs a scope"),
        (lambda b: b.policy.caps.append(a_cap(WHOLE, 1, None)), "counts one source only"),
        (lambda b: b.policy.caps.append(a_cap(WHOLE, 1, MAX_WINDOW + timedelta(seconds=1))), "30 days"),
        (lambda b: b.policy.caps.append(a_cap(WHOLE, 1, timedelta(0))), "1 second"),
        (lambda b: b.policy.quiet_time.MergeFrom(limits_pb2.QuietTime(start="9:00", end="10:00")), "HH:MM"),
        (lambda b: b.recipients.ordinals.pop(), "ordinals"),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_obeyed_is_refused_whole(change: Any, words: str) -> None:
    batch = capped(range(2), [a_cap(SOURCE, MAX_LIMIT, None), a_cap(WHOLE, 1, MAX_WINDOW)])
    policy_of(batch)
    change(batch)
    with pytest.raises(BadPage, match=words):
        policy_of(batch)


@integration
async def test_caps_count_targets_of_the_project_the_source_and_journeys(service: Service) -> None:
    await service.set_up("EMAIL")
    daily, total, weekly = a_cap(WHOLE, 3), a_cap(SOURCE, 1, None), a_cap(JOURNEYS, 1, 7 * DAY)
    journey = dispatch_pb2.MESSAGE_CLASS_JOURNEY
    steps: list[tuple[dict[str, Any], str]] = [
        ({"campaign": "c1", "caps": [daily, total]}, ""),
        ({"campaign": "c1", "caps": [daily, total]}, "CAMPAIGN_CAP"),
        ({"campaign": "c2", "caps": []}, ""),
        ({"campaign": "c3", "caps": [weekly], "message_class": journey}, ""),
        ({"campaign": "c3", "caps": [weekly], "message_class": journey}, "TIMEFRAME_CAP"),
        ({"campaign": "c4", "caps": [daily]}, "DAILY_CAP"),
        ({"campaign": "c5", "caps": [a_cap(WHOLE, 4)]}, ""),
    ]
    for number, (how, reason) in enumerate(steps):
        run = f"run{number}"
        await service.dispatch(capped(range(3), run_id=run, **how))
        await service.done(3, run)
        assert {row.reason for row in await service.rows(run)} == {reason}, f"step {number}"


@integration
async def test_who_is_refused_before_the_caps_does_not_count_and_who_is_in_quiet_time_does(service: Service) -> None:
    await service.set_up("EMAIL")
    cap = a_cap(SOURCE, 1, None)
    first = capped(range(3), [cap])
    first.recipients.opted_out[0] = True
    first.policy.quiet_time.MergeFrom(limits_pb2.QuietTime(start="00:00", end="23:59"))
    first.recipients.time_zones.extend(["Europe/Berlin", "Europe/Berlin", ""])
    await service.dispatch(first)
    await service.done(3)
    assert [row.reason for row in await service.rows()] == ["ENDPOINT_OPT_OUT", "QUIET_TIME", ""]
    await service.dispatch(capped(range(3), [cap], run_id="run2"))
    await service.done(3, "run2")
    assert [row.reason for row in await service.rows("run2")] == ["", "CAMPAIGN_CAP", "CAMPAIGN_CAP"]


@integration
async def test_a_cap_holds_exactly_while_eight_workers_send_at_the_same_time(start: Started) -> None:
    service = await start(campaign_concurrency=4)
    await start(campaign_concurrency=4)
    await service.set_up("EMAIL")
    people, campaigns, limit = 40, 12, 3
    for number in range(campaigns):
        # Half of them meet the same people in another order.
        order = range(people) if number % 2 else range(people - 1, -1, -1)
        await service.dispatch(capped(order, [a_cap(WHOLE, limit)], run_id=f"run{number}", campaign=f"c{number}"))
    for number in range(campaigns):
        await service.done(people, f"run{number}", within=60)
    sent = collections.Counter(message.address for message in service.scripted.sent)
    assert len(sent) == people
    assert set(sent.values()) == {limit}


@integration
async def test_a_batch_that_comes_again_counts_nobody_twice(service: Service) -> None:
    await service.set_up("EMAIL", idempotent=True)
    service.scripted.hang = True
    await service.dispatch(capped(range(5), [a_cap(SOURCE, 2, None)]))
    await eventually(lambda: service.scripted.calls)
    async with service.runtime.database.transaction() as conn:
        await conn.execute(text("UPDATE messaging.batches SET lease_token = lease_token + 1, lease_until = now()"))
    service.scripted.hang = False
    service.scripted.release.set()
    assert (await service.done(5, within=20)).accepted_count == 5
    await service.dispatch(capped(range(5), [a_cap(SOURCE, 2, None)], run_id="run2"))
    assert (await service.done(5, "run2")).accepted_count == 5


@integration
async def test_only_the_last_hundred_instants_are_kept(service: Service) -> None:
    store, now = TouchStore(), datetime.now(UTC)
    async with service.runtime.database.transaction() as conn:
        for number in range(MAX_LIMIT + 5):
            await store.lock(conn, PROJECT, "c1", [1])
            await store.note(conn, PROJECT, "c1", [1], journey=False, now=now + timedelta(seconds=number))
        touched = (await store.lock(conn, PROJECT, "c1", [1]))[1]
    assert (len(touched.project), len(touched.source), touched.source_total) == (MAX_LIMIT, MAX_LIMIT, MAX_LIMIT + 5)
    assert touched.source[-1] == now + timedelta(seconds=MAX_LIMIT + 4)
    async with service.runtime.database.transaction() as conn:
        assert await store.forget(conn, now + timedelta(days=30)) == 0
        assert await store.forget(conn, now + timedelta(days=32)) == 1
