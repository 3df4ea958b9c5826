"""The simulated carriers: what they refuse, on which day, and that processes count together."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from heliograph_channel_simulator import SimulatorChannel
from heliograph_channel_simulator.carriers import CarrierRules, Counts
from heliograph_channel_simulator.ledger import CarrierLedger
from heliograph_channels import Accepted, Kind, OutgoingMessage, ReceiptKind, Sender, SmsContent
from heliograph_channels.testing import RecordingContext, a_message
from heliograph_channels.us_carriers import Carrier

NUMBER = "+12065550100"
EVENING = datetime(2026, 11, 28, 7, 59, 59, tzinfo=UTC)  # a second before midnight in Los Angeles
SECOND = timedelta(seconds=1)


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = EVENING) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


def a_cap(brand: str = "acme", use_case: str = "news", **more: Any) -> dict[str, Any]:
    return {"brand": brand, "use_case": use_case, **more}


def settings(*caps: Mapping[str, Any], **more: Any) -> dict[str, object]:
    return {"carrier_caps": list(caps), **more}


def texts(count: int, *, carrier: str = "T_MOBILE", origination: str = NUMBER, parts: int = 1) -> list[OutgoingMessage]:
    body = f"carrier:{carrier} ".ljust(160 if parts == 1 else 153 * parts, ".")
    return [
        a_message(Kind.SMS, f"+1206555{index:04}", content=SmsContent(body), origination=origination)
        for index in range(count)
    ]


async def opened(given: Mapping[str, object], recording: RecordingContext, clock: Clock) -> Sender:
    assert list(SimulatorChannel().check_settings(given)) == []
    return await SimulatorChannel().open(given, replace(recording.context, now=clock.now))


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def fates(
    given: Mapping[str, object], clock: Clock, *batches: list[OutgoingMessage], step: timedelta
) -> list[str]:
    """Send batches, a step apart, and return what became of each message, in order."""
    recording = RecordingContext()
    sender = await opened(given, recording, clock)
    for batch in batches:
        assert all(isinstance(result, Accepted) for result in await sender.send_batch(batch))
        clock.time += step
    sent = [message for batch in batches for message in batch]
    receipts = await recording.wait_for(lambda seen: len(seen) == len(sent))
    await sender.close()
    told = {receipt.message_id: receipt for receipt in receipts}
    assert all(receipt.kind in (ReceiptKind.DELIVERED, ReceiptKind.FAILED) for receipt in receipts)
    return [
        "" if told[message.message_id].kind is ReceiptKind.DELIVERED else told[message.message_id].detail
        for message in sent
    ]


async def test_above_the_days_cap_a_message_is_accepted_and_then_fails() -> None:
    given = settings(a_cap(parts_per_day={"T_MOBILE": 5}))
    # Two seconds apart: the third batch belongs to the next Pacific day.
    batches = [texts(4), texts(3), texts(6)]
    got = await fates(given, Clock(EVENING - 2 * SECOND), *batches, step=2 * SECOND)
    told = "CARRIER_BLOCKED (simulated): T_MOBILE takes 5 parts a day of the brand acme"
    assert got == [""] * 4 + ["", told, told] + [""] * 5 + [told]


async def test_a_refusal_by_a_carrier_may_be_over_another_day() -> None:
    recording = RecordingContext()
    sender = await opened(settings(a_cap(parts_per_day={"T_MOBILE": 0})), recording, Clock())
    await sender.send_batch(texts(1))
    (receipt,) = await recording.wait_for(lambda seen: len(seen) == 1)
    assert (receipt.kind, receipt.permanent) == (ReceiptKind.FAILED, False)
    assert receipt.detail.startswith("CARRIER_BLOCKED")
    await sender.close()


async def test_parts_count_a_message_is_refused_whole_and_what_is_refused_does_not_count() -> None:
    given = settings(a_cap(parts_per_day={"T_MOBILE": 7}))
    got = await fates(given, Clock(), [*texts(3, parts=3), *texts(2)], step=SECOND)
    assert [bool(detail) for detail in got] == [False, False, True, False, True]


async def test_the_day_is_the_brands_and_the_second_the_use_cases() -> None:
    caps = [
        a_cap(
            "acme", "news", originations=["+12065550001"], parts_per_day={"T_MOBILE": 3}, parts_per_second={"ATT": 1}
        ),
        a_cap(
            "acme", "care", originations=["+12065550002"], parts_per_day={"T_MOBILE": 3}, parts_per_second={"ATT": 1}
        ),
        a_cap("other", "more", parts_per_day={"T_MOBILE": 3}),
    ]
    of = ["+12065550001", "+12065550002", NUMBER]
    day = [message for number in of for message in texts(2, origination=number)]
    second = [message for number in of for message in texts(2, carrier="ATT", origination=number)]
    got = await fates(settings(*caps, carrier_burst=0), Clock(), [*day, *second], step=SECOND)
    assert [bool(detail) for detail in got[:6]] == [False, False, False, True, False, False]
    assert [bool(detail) for detail in got[6:]] == [False, True, False, True, False, False]


async def test_a_limit_a_second_lets_a_burst_through_and_then_its_rate() -> None:
    given = settings(a_cap(parts_per_second={"ATT": 4}), carrier_burst=2)
    batches = [texts(20, carrier="ATT") for _ in range(3)]
    got = await fates(given, Clock(), *batches, step=2 * SECOND)
    # At once: what two seconds hold, and the one that uses them up; then what two seconds bring.
    assert [sum(not detail for detail in got[at : at + 20]) for at in (0, 20, 40)] == [9, 8, 8]
    assert got[9] == "CARRIER_BLOCKED (simulated): ATT takes 4 parts a second of the use case news"


async def test_other_carriers_other_countries_other_kinds_and_simulator_numbers_are_not_concerned() -> None:
    given = settings(a_cap(originations=[NUMBER], parts_per_day={"T_MOBILE": 0}))
    free = [
        *texts(1, carrier="VERIZON"), *texts(1, origination="+12065550999"),
        a_message(Kind.SMS, "+41791234567", content=SmsContent("carrier:T_MOBILE"), origination=NUMBER),
        a_message(Kind.SMS, "+14254147755", content=SmsContent("carrier:T_MOBILE"), origination=NUMBER),
        a_message(Kind.EMAIL, "ann@example.com", origination=NUMBER),
    ]  # fmt: skip
    got = await fates(given, Clock(), [*free, *texts(1)], step=SECOND)
    assert [bool(detail) for detail in got] == [False] * 5 + [True]


async def test_without_caps_carriers_take_everything_and_no_file_is_made(tmp_path: Path) -> None:
    got = await fates({"journal_path": str(tmp_path / "j")}, Clock(), texts(50), step=SECOND)
    assert set(got) == {""}
    assert names_in(tmp_path) == ["j"]


def test_a_numbers_carrier_is_its_own_and_numbers_are_spread_by_the_shares() -> None:
    rules = CarrierRules.of(settings(a_cap(), carrier_prefixes=[
        {"prefix": "+1206", "carrier": "ATT"}, {"prefix": "+1206555", "carrier": "OTHER"},
    ]))  # fmt: skip
    assert rules is not None
    assert rules.carrier_of("+12065550100", "Hello") is Carrier.OTHER
    assert rules.carrier_of("+12061550100", "Hello") is Carrier.ATT
    assert rules.carrier_of("+12061550100", "Hello carrier:VERIZON") is Carrier.VERIZON
    assert rules.carrier_of("+12061550100", "Hello carrier:NOBODY") is Carrier.ATT
    assert rules.carrier_of("+447700900123", "carrier:ATT") is None
    numbers = [f"+1303{index:07}" for index in range(20_000)]
    carriers = [rules.carrier_of(number, "") for number in numbers]
    assert carriers == [rules.carrier_of(number, "") for number in numbers]
    spread = Counter(carriers)
    for carrier, share in {"ATT": 0.28, "T_MOBILE": 0.30, "VERIZON": 0.36, "OTHER": 0.06}.items():
        assert abs(spread[Carrier(carrier)] / 20_000 - share) < 0.015


def test_memory_does_not_grow_with_messages_or_days() -> None:
    rules = CarrierRules.of(settings(a_cap(parts_per_day={"T_MOBILE": 10}, parts_per_second={"ATT": 1000})))
    assert rules is not None
    counts = Counts()
    for index in range(4000):
        now = EVENING + index * timedelta(hours=6)
        rules.refusal(counts, origination="", number=f"+1303{index:07}", body="", parts=1, now=now)
    assert (len(counts.days), len(counts.used_until)) == (1, 1)


def test_a_clock_that_lags_behind_does_not_bring_yesterday_back() -> None:
    rules = CarrierRules.of(settings(a_cap(parts_per_day={"T_MOBILE": 1})))
    assert rules is not None
    counts = Counts()
    at = [EVENING, EVENING + SECOND, EVENING, EVENING + SECOND]
    got = [
        rules.refusal(counts, origination="", number=NUMBER, body="carrier:T_MOBILE", parts=1, now=now) is None
        for now in at
    ]
    assert got == [True, True, False, False]


async def test_senders_that_share_a_journal_count_together_and_others_do_not(tmp_path: Path) -> None:
    given = settings(a_cap(parts_per_day={"T_MOBILE": 5}, parts_per_second={"ATT": 100}))
    for more, failed in (({"journal_path": str(tmp_path / "j")}, [0, 1, 3]), ({}, [0, 0, 0])):
        got = []
        for _ in range(3):
            batch = [*texts(3), *texts(1, carrier="ATT")]
            got.append(sum(bool(detail) for detail in await fates({**given, **more}, Clock(), batch, step=SECOND)))
        assert got == failed


async def test_a_message_known_already_does_not_count_again(tmp_path: Path) -> None:
    given = settings(a_cap(parts_per_day={"T_MOBILE": 2}), idempotent=True, journal_path=str(tmp_path / "j"))
    recording, clock = RecordingContext(), Clock()
    sender = await opened(given, recording, clock)
    first = texts(1)
    assert await sender.send_batch(first) == await sender.send_batch(first)
    await sender.send_batch(texts(2)[1:])
    receipts = await recording.wait_for(lambda seen: len(seen) == 2)
    assert {receipt.kind for receipt in receipts} == {ReceiptKind.DELIVERED}
    await sender.close()


def worker(path: str, count: int) -> None:
    """Send in a process of its own, one message at a time."""

    async def send() -> None:
        given = settings(a_cap(parts_per_day={"T_MOBILE": 100}), journal_path=path, delivered_share=0)
        sender = await SimulatorChannel().open(given, replace(RecordingContext().context, now=Clock().now))
        for message in texts(count):
            await sender.send_batch([message])
        await sender.close()

    asyncio.run(send())


def test_worker_processes_count_together(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=worker, args=(str(tmp_path / "j"), 40)) for _ in range(3)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(60)
    assert [process.exitcode for process in workers] == [0, 0, 0]
    assert json.loads((tmp_path / "j.carriers").read_text())["days"] == {"acme\nT_MOBILE": ["2026-11-27", 100]}


def test_a_longer_line_that_was_there_before_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "carriers"
    path.write_text(json.dumps({"days": {"a": ["2026-11-27", 3]}, "used_until": {}}) + "\nrest of what was longer")
    ledger = CarrierLedger(path)
    with ledger.exclusive() as counts:
        assert counts.days == {"a": ("2026-11-27", 3)}
        counts.used_until["b"] = EVENING
    ledger.close()
    ledger.close()
    assert path.read_text().count("\n") == 1
    again = CarrierLedger(path)
    with again.exclusive() as counts:
        assert counts == Counts({"a": ("2026-11-27", 3)}, {"b": EVENING})
    again.close()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (settings({"brand": "acme"}), "carrier_caps[0].use_case"),
        (settings(a_cap(parts_per_day={"SPRINT": 1})), "carrier_caps[0].parts_per_day.SPRINT"),
        (settings(a_cap(parts_per_second={"ATT": 0})), "carrier_caps[0].parts_per_second.ATT"),
        (settings(a_cap(), a_cap(use_case="care")), "carrier_caps[1].originations"),
        (
            settings(a_cap(originations=[NUMBER]), a_cap(use_case="care", originations=[NUMBER])),
            "carrier_caps[1].originations",
        ),
        (settings(a_cap(), a_cap(originations=[NUMBER])), "carrier_caps[1].use_case"),
        (
            settings(a_cap(parts_per_day={"T_MOBILE": 1}), a_cap(use_case="care", originations=[NUMBER])),
            "carrier_caps[1].parts_per_day",
        ),
        (settings(carrier_shares={"ATT": 1, "T_MOBILE": 1, "VERIZON": 0, "OTHER": 0}), "carrier_shares"),
        (settings(carrier_shares={"ATT": 1}), "carrier_shares.T_MOBILE"),
        (settings(carrier_prefixes=[{"prefix": "+44", "carrier": "ATT"}]), "carrier_prefixes[0].prefix"),
        (settings(carrier_prefixes=[{"prefix": "+1", "carrier": "SPRINT"}]), "carrier_prefixes[0].carrier"),
        (settings(carrier_burst=-1), "carrier_burst"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(given: Mapping[str, object], field: str) -> None:
    assert field in [problem.field for problem in SimulatorChannel().check_settings(given)]
