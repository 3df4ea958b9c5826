"""Numbers keep to their rate: the turns of batches as a pure game, and in the real pipeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import text

from heliograph.messaging.v1 import dispatch_pb2
from heliograph.registry10dlc.v1 import events_pb2 as registry_pb2
from heliograph_kit.clock import HurriedClock, ManualClock, SystemClock, real_seconds
from heliograph_kit.ids import derived_id
from heliograph_kit.streams import changes_subject
from heliograph_kit.testing import eventually
from heliograph_messaging.domain.numbers import Number
from heliograph_messaging.domain.pacing import SLICE, Turn, fitting, take
from heliograph_messaging.store.ledger import Ledger
from heliograph_messaging.store.records import BatchKey, Lease, NewBatch
from tests.messaging.conftest import PARENT, PROJECT, Service, Started, a_batch

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
NUMBER = "+12065550100"
unit, integration = pytest.mark.unit, pytest.mark.integration


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@unit
@pytest.mark.parametrize(
    ("wanted", "largest", "held", "free", "rate", "parts", "ahead", "free_after"),
    [
        (1, 1, None, -60, 1.0, 1, None, 1),
        (2, 1, None, 0, 1.0, 2, None, 2),
        (5, 1, None, 0, 1.0, 2, (2, 2), 4),
        (5, 1, None, 7, 1.0, 0, (7, 2), 9),
        (3, 1, (3, 2), 9, 1.0, 0, (3, 2), 9),
        (3, 1, (-1, 2), 9, 1.0, 2, (9, 1), 10),
        (3, 1, (-1, 2), -5, 1.0, 3, None, 1),
        (10, 4, None, 0, 0.2, 4, (20, 4), 40),
        (500, 1, None, 0, 75.0, 150, (2, 150), 4),
    ],
    ids=[
        "a free number takes one at once", "as many as go into one turn", "the rest comes with the next turn",
        "a busy number is waited for", "a turn that lies ahead is kept", "a turn that has come is used, the rest waits",
        "a turn that has come and a free number", "a turn is never smaller than the largest message",
        "a fast number takes many at once",
    ],
)  # fmt: skip
def test_turns(
    wanted: int, largest: int, held: tuple[float, int] | None, free: float, rate: float, parts: int,
    ahead: tuple[float, int] | None, free_after: float,
) -> None:  # fmt: skip
    taken = take(
        wanted=wanted, largest=largest, held=Turn(at(held[0]), held[1]) if held else None, free_at=at(free), rate=rate,
        now=NOW,
    )  # fmt: skip
    assert (taken.parts, taken.ahead) == (parts, Turn(at(ahead[0]), ahead[1]) if ahead else None)
    assert taken.free_at == at(free_after)


@unit
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.floats(0.1, 200),
    st.lists(st.floats(0, 3), max_size=40),
)
def test_batches_together_never_pass_the_rate_and_all_of_them_end(
    wants: list[int], rate: float, naps: list[float]
) -> None:
    """Each batch comes when its turn has come, or a little later; at every instant sent <= a burst + rate x time."""
    now, free_at, sent = NOW, NOW, 0
    left, held = dict(enumerate(wants)), dict.fromkeys(range(len(wants)), None)  # type: dict[int, int], dict[int, Turn | None]
    delays = iter(naps)
    burst = max(1, int(rate * SLICE.total_seconds()))
    visits = 0
    while left:
        visits += 1
        assert visits < 10_000
        batch = min(left, key=lambda one: held[one].start if held[one] else NOW)  # type: ignore[union-attr]
        turn = held[batch]
        now = max(now, turn.start if turn else NOW) + timedelta(seconds=next(delays, 0.0))
        taken = take(wanted=left[batch], largest=1, held=turn, free_at=free_at, rate=rate, now=now)
        free_at, held[batch] = taken.free_at, taken.ahead
        used = min(taken.parts, left[batch])
        sent += used
        left[batch] -= used
        # Turns that were not used in time may be used together: one of each batch at the most.
        assert sent <= burst * (len(wants) + 1) + rate * (now - NOW).total_seconds() + 1e-6
        if not left[batch]:
            del left[batch]


@unit
@given(st.lists(st.integers(1, 10), min_size=1, max_size=60), st.floats(0.2, 100))
@example([3, 3, 3], 4.0)
def test_messages_of_any_sizes_all_go(sizes: list[int], rate: float) -> None:
    """With every turn at least one message goes, though the parts left of a turn are lost."""
    now, free_at, held = NOW, NOW, None
    for _ in range(len(sizes) + 1):
        taken = take(wanted=sum(sizes), largest=max(sizes), held=held, free_at=free_at, rate=rate, now=now)
        sizes = sizes[fitting(sizes, taken.parts) :]
        if not sizes:
            return
        assert taken.ahead is not None
        now, free_at, held = taken.ahead.start, taken.free_at, taken.ahead
    raise AssertionError(f"{len(sizes)} messages never go")


@unit
@pytest.mark.parametrize(
    ("sizes", "parts", "count"), [([1, 1, 1], 2, 2), ([3, 1], 2, 0), ([2, 2], 4, 2), ([], 5, 0), ([2, 2], 3, 1)]
)
def test_messages_are_never_cut(sizes: list[int], parts: int, count: int) -> None:
    assert fitting(sizes, parts) == count


@unit
def test_numbers_of_one_use_case_share_its_rate_and_others_have_that_of_their_kind() -> None:
    shared = [Number(f"+1206555010{n}", "TEN_DLC", "READY", True, "uc", 75.0).throughput for n in range(2)]
    assert shared[0] == shared[1]
    assert [Number("+1", kind, "READY", True).throughput.parts_per_second for kind in (
        "SHORT_CODE", "TEN_DLC", "TOLL_FREE", "LONG_CODE",
    )] == [100, 1, 3, 10]  # fmt: skip


@unit
def test_a_hurried_clock_waits_less() -> None:
    assert real_seconds(HurriedClock(NOW, 60, SystemClock()), timedelta(minutes=1)) == 1
    assert real_seconds(ManualClock(NOW), timedelta(minutes=1)) == 60


async def register(service: Service, rate: float) -> None:
    number = registry_pb2.NumberUpdated(
        number=NUMBER, kind="TEN_DLC", state="READY", sms_capable=True, use_case=f"{PARENT}/useCases/u1",
        parts_per_second=rate, revision=1,
    )  # fmt: skip
    await service.runtime.bus.publish(
        changes_subject("registry10dlc", PROJECT, "number_updated"), number.SerializeToString(), id="n1", type="number"
    )

    async def known() -> bool:
        async with service.runtime.database.transaction() as conn:
            return bool((await conn.execute(text("SELECT count(*) FROM messaging.numbers"))).scalar_one())

    await eventually(known)


def texts(count: int, **more: Any) -> dispatch_pb2.DispatchBatch:
    return a_batch([f"+1206666{n:04}" for n in range(count)], channel="SMS", text="Hello", **more)


@integration
async def test_two_workers_share_what_a_number_may_send_and_send_everything_once(start: Started) -> None:
    service = await start()
    await start()
    await service.set_up("SMS")
    await register(service, 20)
    for page in range(3):
        batch = texts(40, page=page)
        batch.recipients.addresses[:] = [f"+1206666{page}{n:03}" for n in range(40)]
        await service.dispatch(batch)
    assert (await service.done(120, within=30)).accepted_count == 120
    assert len({message.address for message in service.scripted.sent}) == len(service.scripted.sent) == 120
    async with service.runtime.database.transaction() as conn:
        booked = (
            await conn.execute(
                text(
                    "SELECT extract(epoch FROM c.free_at - min(b.create_time))::float8 FROM messaging.calendars c, "
                    "messaging.batches b GROUP BY c.free_at"
                )
            )
        ).scalar_one()
        assert not (await conn.execute(text("SELECT count(*) FROM messaging.turns"))).scalar_one()
    # 120 parts at 20 a second fill six seconds of the number's time.
    assert booked >= 6


@integration
async def test_a_direct_send_does_not_wait_behind_a_campaign(service: Service) -> None:
    await service.set_up("SMS")
    await register(service, 2)
    await service.dispatch(texts(40))
    await eventually(lambda: service.scripted.calls)
    direct = texts(1, run_id="direct", message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL)
    await service.dispatch(direct)
    assert (await service.done(1, "direct")).accepted_count == 1
    assert (await service.status()).pending_count > 20


@integration
async def test_a_batch_that_waits_for_its_number_does_not_grow_old_meanwhile(service: Service) -> None:
    """It would meet a provider that is away for a moment after a night of waiting with no patience left."""
    ledger = Ledger(lease_seconds=3)
    new = NewBatch(
        BatchKey(PROJECT, derived_id("b")), "campaign", f"{PARENT}/campaigns/c", "r", "0", "", "SMS", "", 0, NOW
    )
    async with service.runtime.database.transaction() as conn:
        first = await ledger.acquire(conn, new)
        assert isinstance(first, Lease)
        await conn.execute(text("UPDATE messaging.batches SET progress_at = clock_timestamp() - interval '1 hour'"))
        await ledger.release(conn, first)
        second = await ledger.acquire(conn, new)
        assert isinstance(second, Lease)
        assert second.age_seconds >= 3600
        await ledger.release(conn, second, paced_seconds=1800)
        third = await ledger.acquire(conn, new)
        assert isinstance(third, Lease)
        assert -1800 <= third.age_seconds < -1700
