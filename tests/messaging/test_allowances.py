"""What may be sent in a Pacific day: windows and arithmetic as tables, and counts that hold under concurrent workers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from heliograph.messaging.v1 import dispatch_pb2, messages_pb2, origination_pb2
from heliograph_channels.us_carriers import day_bucket
from heliograph_kit.clock import Clock, HurriedClock, ManualClock, SystemClock
from heliograph_kit.testing import eventually
from heliograph_messaging.domain.allowances import Allowance, Span, allowance_of, passing, window_of
from heliograph_messaging.domain.numbers import Number, Registration
from heliograph_messaging.domain.origination import Originations
from heliograph_messaging.pipeline.allowances import Allowances
from heliograph_messaging.pipeline.pacing import Granted, Pacing
from heliograph_messaging.store.allowances import AllowanceStore
from heliograph_messaging.store.turns import TurnStore
from tests.messaging.conftest import PARENT, PROJECT, Service, Started, a_batch
from tests.messaging.numbers import FREE, TEN, announce, name_of, opt_out
from tests.messaging.test_registrations import BORROWER, BRAND, NOW, USE_CASE, a_run, rows

unit, integration = pytest.mark.unit, pytest.mark.integration
S = messages_pb2.MessageStatus
DAY, WEEK, MONTH = Span.DAY, Span.WEEK, Span.MONTH
MIDNIGHT = datetime(2026, 6, 2, 7, tzinfo=UTC)


# So fast that no turn is ever waited for while the clock stands still.


def of_brand(parts_per_day: int, number: str = TEN, use_case: str = USE_CASE) -> Number:
    registration = Registration(brand=BRAND, parts_per_day=parts_per_day)
    return Number(number, "TEN_DLC", "READY", True, use_case, 1e12, registration=registration)


def toll_free(**registration: object) -> Number:
    return Number(FREE, "TOLL_FREE", "READY", True, "", 1e12, registration=Registration(**registration))  # type: ignore[arg-type]


# -- windows and arithmetic -----------------------------------------------------------------------------------------


@unit
@pytest.mark.parametrize(
    ("span", "now", "start", "hours"),
    [
        (DAY, "2026-06-01T12:00Z", "2026-06-01T07:00Z", 24),
        (DAY, "2026-06-01T06:59Z", "2026-05-31T07:00Z", 24),
        (DAY, "2026-06-01T07:00Z", "2026-06-01T07:00Z", 24),
        (DAY, "2026-01-01T07:59Z", "2025-12-31T08:00Z", 24),
        (DAY, "2026-03-08T20:00Z", "2026-03-08T08:00Z", 23),
        (DAY, "2026-11-01T20:00Z", "2026-11-01T07:00Z", 25),
        (WEEK, "2026-06-01T12:00Z", "2026-05-31T07:00Z", 168),
        (WEEK, "2026-05-31T07:00Z", "2026-05-31T07:00Z", 168),
        (WEEK, "2026-05-31T06:59Z", "2026-05-24T07:00Z", 168),
        (WEEK, "2026-03-09T12:00Z", "2026-03-08T08:00Z", 167),
        (MONTH, "2026-06-01T06:59Z", "2026-05-01T07:00Z", 31 * 24),
        (MONTH, "2026-11-15T12:00Z", "2026-11-01T07:00Z", 30 * 24 + 1),
        (MONTH, "2026-12-31T12:00Z", "2026-12-01T08:00Z", 31 * 24),
        (MONTH, "2026-02-01T12:00Z", "2026-02-01T08:00Z", 28 * 24),
    ],
)
def test_windows_begin_at_midnight_in_the_us_pacific(span: Span, now: str, start: str, hours: int) -> None:
    window = window_of(span, datetime.fromisoformat(now))
    assert window.start == datetime.fromisoformat(start)
    assert window.end - window.start == timedelta(hours=hours)


@unit
@pytest.mark.parametrize(
    ("parts_per_day", "share", "limit"),
    [(2000, 0.3, 6666), (3000, 0.3, 10_000), (2000, 1.0, 2000), (200_000, 0.25, 800_000), (1, 0.3, 3), (7, 0.7, 10)],
)
def test_a_day_takes_what_brings_the_carrier_that_counts_its_allowance(
    parts_per_day: int, share: float, limit: int
) -> None:
    assert day_bucket(parts_per_day, share) == limit


@unit
def test_brands_and_unregistered_toll_free_numbers_have_limits_and_nobody_else() -> None:
    brand = Allowance(BRAND, PROJECT, {DAY: 6666})
    assert allowance_of(of_brand(2000), 0.3) == brand
    assert allowance_of(of_brand(2000, "+12065550101", f"{PARENT}/useCases/other"), 0.3) == brand
    assert allowance_of(of_brand(0), 0.3) is None
    thresholds = {DAY: 500, WEEK: 1000, MONTH: 2000}
    assert allowance_of(toll_free(), 0.3) == Allowance(FREE, "", thresholds)
    assert allowance_of(toll_free(lent_by="projects/parent"), 0.3) == Allowance(FREE, "parent", thresholds)
    assert allowance_of(toll_free(toll_free=True), 0.3) is None
    assert allowance_of(Number("12345", "SHORT_CODE", "READY", True), 0.3) is None


@unit
@pytest.mark.parametrize(
    ("sizes", "limits", "used", "count", "until"),
    [
        ([1, 1, 1], {DAY: 3}, {}, 3, None),
        ([1, 1, 1], {DAY: 2}, {}, 2, MIDNIGHT),
        ([2, 2], {DAY: 3}, {}, 1, MIDNIGHT),
        ([1], {DAY: 3}, {DAY: 3}, 0, MIDNIGHT),
        ([1], {DAY: 3}, {DAY: 5}, 0, MIDNIGHT),
        ([1, 1], {DAY: 9, WEEK: 9, MONTH: 1}, {}, 1, datetime(2026, 7, 1, 7, tzinfo=UTC)),
        ([1], {DAY: 1, WEEK: 5}, {DAY: 1, WEEK: 5}, 0, datetime(2026, 6, 7, 7, tzinfo=UTC)),
        ([1], {DAY: 1, WEEK: 5}, {DAY: 1, WEEK: 4}, 0, MIDNIGHT),
        ([4, 1], {DAY: 3}, {}, 1, MIDNIGHT),
        ([4], {DAY: 3}, {DAY: 1}, 0, MIDNIGHT),
        ([], {DAY: 3}, {DAY: 3}, 0, None),
    ],
    ids=[
        "all fit", "the rest waits for the next day", "a message is never cut", "a day that is used up", "and more than that",
        "the month is the narrowest", "the longest that is full is waited for", "one that has room is not",
        "larger than a day: alone in a new one", "and not in a begun one", "nobody waits",
    ],
)  # fmt: skip
def test_what_still_fits(
    sizes: list[int], limits: dict[Span, int], used: dict[Span, int], count: int, until: datetime | None
) -> None:
    passed = passing(sizes, limits, used, NOW)
    assert (passed.count, passed.until) == (count, until)


@unit
@given(st.lists(st.integers(1, 6), max_size=30), st.integers(6, 60), st.integers(0, 80))
def test_a_limit_is_never_passed(sizes: list[int], limit: int, used: int) -> None:
    passed = passing(sizes, {DAY: limit}, {DAY: used}, NOW)
    assert sum(sizes[: passed.count]) <= max(0, limit - used)
    assert (passed.until is None) == (passed.count == len(sizes))


# -- counts ---------------------------------------------------------------------------------------------------------


def pacing_of(service: Service, share: float = 1.0, clock: Clock | None = None) -> Pacing:
    allowances = Allowances(AllowanceStore(), share=share)
    return Pacing(TurnStore(), allowances, clock or ManualClock(NOW))


async def used(service: Service) -> dict[str, int]:
    """Return the parts used by span."""
    async with service.runtime.database.transaction() as conn:
        found = await conn.execute(text("SELECT span, sum(used) AS used FROM messaging.allowances GROUP BY span"))
        return {row.span: int(row.used) for row in found}


@integration
async def test_eight_workers_together_let_exactly_the_days_allowance_pass(service: Service) -> None:
    """Owner and borrower, two use cases of one brand; every tenth batch is given back, as if its people were refused."""
    pacing, limit = pacing_of(service, 0.3), 333
    numbers = [of_brand(100), of_brand(100, "+12065550101", f"{PARENT}/useCases/other")]
    handed: list[int] = []

    async def worker(name: int) -> None:
        for batch in range(20):
            run = a_run(service.runtime.database, PROJECT if name % 2 else BORROWER, f"{name} {batch}")
            mine = numbers[(name + batch) % 2]
            granted = await pacing.take(run, rows(5, origination=mine.number), Originations(numbers))
            if (name + batch) % 10 == 0:
                assert await pacing.give_back(run) == bool(granted.rows)
                continue
            run.handed.update(row.position for row in granted.rows)
            assert not await pacing.give_back(run)
            handed.append(len(granted.rows))

    await asyncio.gather(*(worker(name) for name in range(8)))
    # What was given back at the very end may be left over: ask once more.
    last = await pacing.take(a_run(service.runtime.database, PROJECT, "last"), rows(50), Originations(numbers))
    assert last.wait_seconds == (MIDNIGHT - NOW).total_seconds()
    assert sum(handed) + len(last.rows) == limit
    assert await used(service) == {"DAY": limit}
    async with service.runtime.database.transaction() as conn:
        assert (await conn.execute(text("SELECT project, key FROM messaging.allowances"))).all() == [(PROJECT, BRAND)]


@integration
async def test_campaigns_wait_for_midnight_and_direct_sends_go_on_and_count(service: Service) -> None:
    clock = ManualClock(NOW)
    pacing, numbers = pacing_of(service, clock=clock), Originations([of_brand(10)])

    async def take(name: str, count: int, **how: bool) -> Granted:
        return await pacing.take(a_run(service.runtime.database, PROJECT, name, **how), rows(count), numbers)

    assert len((await take("first", 8)).rows) == 8
    assert len((await take("direct", 4, transactional=True)).rows) == 4
    waiting = await take("second", 2)
    assert (len(waiting.rows), waiting.wait_seconds) == (0, 19 * 3600)
    assert waiting.why == "what may be sent in this day is used up"
    assert await used(service) == {"DAY": 12}
    # A batch that expires before that is looked at then, to be told as expired.
    run = a_run(service.runtime.database, PROJECT, "third")
    run.batch.expire_time.FromDatetime(NOW + timedelta(minutes=5))
    assert (await pacing.take(run, rows(1), numbers)).wait_seconds == 300
    clock.advance(timedelta(hours=19))
    assert len((await take("second", 2)).rows) == 2
    # A hurried installation waits as much less.
    hurried = pacing_of(service, clock=HurriedClock(datetime.now(UTC), 60, SystemClock()))
    assert len((await hurried.take(a_run(service.runtime.database, PROJECT, "now"), rows(10), numbers)).rows) == 10
    rest = await hurried.take(a_run(service.runtime.database, PROJECT, "later"), rows(1), numbers)
    assert rest.wait_seconds is not None
    assert rest.wait_seconds <= 25 * 60


@integration
async def test_a_worker_that_dies_loses_what_it_was_granted_and_no_more(service: Service) -> None:
    pacing, numbers = pacing_of(service), Originations([of_brand(10)])
    assert len((await pacing.take(a_run(service.runtime.database, PROJECT, "dies"), rows(4), numbers)).rows) == 4
    # The batch comes again, and is counted again.
    assert len((await pacing.take(a_run(service.runtime.database, PROJECT, "dies"), rows(4), numbers)).rows) == 4
    assert len((await pacing.take(a_run(service.runtime.database, PROJECT, "other"), rows(4), numbers)).rows) == 2


@integration
async def test_an_unregistered_toll_free_number_keeps_to_its_day_its_week_and_its_month(service: Service) -> None:
    clock = ManualClock(datetime(2026, 6, 5, 19, tzinfo=UTC))  # a Friday noon
    pacing, numbers = pacing_of(service, clock=clock), Originations([toll_free()])
    got = []
    for day in range(5):
        run = a_run(service.runtime.database, PROJECT, f"day {day}")
        granted = await pacing.take(run, rows(700, origination=FREE), numbers)
        assert granted.wait_seconds is not None
        got.append((len(granted.rows), granted.wait_seconds / 3600))
        clock.advance(timedelta(days=1))
    # Friday and Saturday fill the week, Sunday and Monday the month.
    assert got == [(500, 12), (500, 12), (500, 12), (500, (30 - 8) * 24 + 12), (0, (30 - 9) * 24 + 12)]
    assert await used(service) == {"DAY": 2000, "WEEK": 2000, "MONTH": 2000}


# -- in the pipeline ------------------------------------------------------------------------------------------------


@integration
async def test_a_campaign_stops_at_the_days_allowance_and_what_expires_meanwhile_is_told(start: Started) -> None:
    service = await start(day_cap_share=1)
    await service.set_up("SMS")
    await announce(service, TEN, brand=BRAND, parts_per_day=5)
    batch = a_batch([f"+1206666{n:04}" for n in range(8)], channel="SMS", text="Hello")
    batch.expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=8))
    await service.dispatch(batch)
    await eventually(lambda: len(service.scripted.sent) == 5)
    direct = a_batch(["+12066669999"], run_id="direct", channel="SMS", text="Your code")
    direct.message_class = dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL
    await service.dispatch(direct)
    assert (await service.done(1, "direct")).accepted_count == 1
    assert (await service.status()).pending_count == 3
    found = await service.numbers.GetOrigination(origination_pb2.GetOriginationRequest(name=name_of(TEN)))
    assert (found.used_today, found.day_limit) == (6, 5)
    status = await service.done(8, within=30)
    assert (status.accepted_count, status.skipped_count) == (5, 3)
    assert {row.reason for row in await service.rows()} == {"", "EXPIRED"}


@integration
async def test_people_who_are_refused_at_the_door_take_nobodys_place(start: Started) -> None:
    service = await start(day_cap_share=1)
    await service.set_up("SMS")
    await announce(service, TEN, brand=BRAND, parts_per_day=5)
    people = [f"+1206666{n:04}" for n in range(8)]
    await opt_out(service, *people[:3])
    await service.dispatch(a_batch(people, channel="SMS", text="Hello"))
    status = await service.done(8)
    assert (status.accepted_count, status.skipped_count) == (5, 3)
    found = await service.numbers.GetOrigination(origination_pb2.GetOriginationRequest(name=name_of(TEN)))
    assert (found.used_today, found.day_limit) == (5, 5)


@integration
async def test_what_waits_for_a_day_goes_the_next_one(start: Started) -> None:
    """Days of four seconds."""
    service = await start(day_cap_share=1, clock_rate=21_600, clock_origin=datetime.now(UTC))
    await service.set_up("SMS")
    await announce(service, TEN, brand=BRAND, parts_per_day=5)
    await service.dispatch(a_batch([f"+1206666{n:04}" for n in range(12)], channel="SMS", text="Hello"))
    assert (await service.done(12, within=40)).accepted_count == 12
    async with service.runtime.database.transaction() as conn:
        days = (await conn.execute(text("SELECT used FROM messaging.allowances ORDER BY start_time"))).scalars().all()
    assert sum(days) == 12
    assert max(days) == 5
