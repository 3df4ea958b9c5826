"""The simulator: contract, shares, fixed addresses, journal, receipts, speed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import pytest

from heliograph_channel_simulator import SimulatorChannel
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    Kind,
    OutgoingMessage,
    Receipt,
    ReceiptKind,
    Rejected,
    RejectReason,
    Sender,
    SmsContent,
    Unknown,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message, content_for

QUIET: dict[str, object] = {"delivered_share": 0}


class TestSimulatorEmail(ChannelContract):
    kind = Kind.EMAIL
    good_address = "ann@example.com"
    bad_addresses: ClassVar[Sequence[str]] = ("ann", "ann@", "Ann <ann@example.com>")

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return SimulatorChannel()

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"journal_path": str(tmp_path / "journal.jsonl"), "idempotent": True}


class TestSimulatorSms(TestSimulatorEmail):
    kind = Kind.SMS
    good_address = "+12065550100"
    bad_addresses = ("12065550100", "ann@example.com")

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {}


class TestSimulatorPush(TestSimulatorEmail):
    kind = Kind.PUSH
    good_address = "device-token"
    bad_addresses = ("a b",)


class TestSimulatorCustom(TestSimulatorEmail):
    kind = Kind.CUSTOM
    good_address = "anything"
    bad_addresses = ("a b",)


async def opened(settings: Mapping[str, object], recording: RecordingContext | None = None) -> Sender:
    assert list(SimulatorChannel().check_settings(settings)) == []
    return await SimulatorChannel().open(settings, (recording or RecordingContext()).context)


def messages(number: int, address: str = "ann@example.com") -> list[OutgoingMessage]:
    return [a_message(Kind.EMAIL, address, message_id=f"{index:032x}") for index in range(number)]


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_shares_are_kept_and_the_same_messages_fare_the_same() -> None:
    settings: dict[str, object] = {**QUIET, "reject_share": 0.2, "unknown_share": 0.1, "reject_retryable_share": 0.5}
    settings["reject_reasons"] = ["THROTTLED", "BLOCKED"]
    batch = messages(5000)
    runs = []
    for seed in ("one", "one", "two"):
        sender = await opened({**settings, "seed": seed})
        runs.append([*await sender.send_batch(batch[:1000]), *await sender.send_batch(batch[1000:])])
        await sender.close()
    kinds = [[type(result) for result in run] for run in runs]
    assert kinds[0] == kinds[1] != kinds[2]
    count = Counter(kinds[0])
    assert abs(count[Rejected] - 1000) < 120
    assert abs(count[Unknown] - 500) < 90
    rejected = [result for result in runs[0] if isinstance(result, Rejected)]
    assert {result.reason for result in rejected} == {RejectReason.THROTTLED, RejectReason.BLOCKED}
    assert 0.4 < sum(result.retryable for result in rejected) / len(rejected) < 0.6


async def test_chosen_by_address_a_person_always_fares_the_same() -> None:
    sender = await opened({**QUIET, "reject_share": 0.5, "choose_by": "address"})
    for address in ("a@example.com", "b@example.com", "c@example.com", "d@example.com"):
        assert len({type(result) for result in await sender.send_batch(messages(50, address))}) == 1
    await sender.close()


@pytest.mark.parametrize(
    ("name", "answer", "kinds"),
    [
        ("success", Accepted, ["DELIVERED"]),
        ("bounce", Accepted, ["BOUNCED"]),
        ("softbounce", Accepted, ["BOUNCED"]),
        ("suppressionlist", Accepted, ["BOUNCED"]),
        ("complaint", Accepted, ["COMPLAINED", "DELIVERED"]),
        ("complaint+label", Accepted, ["COMPLAINED", "DELIVERED"]),
        ("click", Accepted, ["CLICKED", "DELIVERED", "OPENED"]),
        ("optout", Accepted, ["DELIVERED", "OPTED_OUT"]),
        ("reject", Rejected, []),
        ("throttle", Rejected, []),
        ("unknown", Unknown, []),
        ("lost", Unknown, []),
    ],
)
async def test_simulator_addresses_have_fixed_outcomes(name: str, answer: type, kinds: list[str]) -> None:
    recording = RecordingContext()
    sender = await opened({"reject_share": 1.0}, recording)
    message = a_message(Kind.EMAIL, f"{name}@simulator.example.com")
    (result,) = await sender.send_batch([message])
    assert isinstance(result, answer)
    receipts = await recording.wait_for(lambda seen: len(seen) >= len(kinds))
    assert sorted(receipt.kind for receipt in receipts) == kinds
    assert all(receipt.message_id == message.message_id for receipt in receipts)
    if name.endswith("bounce"):
        assert receipts[0].permanent is (name == "bounce")
    await sender.close()


async def test_sms_simulator_numbers_succeed_and_fail_in_pairs() -> None:
    recording = RecordingContext()
    sender = await opened({"delivered_share": 0}, recording)
    batch = [a_message(Kind.SMS, number) for number in ("+14254147755", "+14254147167", "+12065550100")]
    assert all(isinstance(result, Accepted) for result in await sender.send_batch(batch))
    receipts = await recording.wait_for(lambda seen: len(seen) == 2)
    assert [(receipt.message_id, receipt.kind) for receipt in receipts] == [
        (batch[0].message_id, ReceiptKind.DELIVERED),
        (batch[1].message_id, ReceiptKind.FAILED),
    ]
    await sender.close()


async def test_the_journal_has_one_line_for_each_message_taken_and_none_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    sender = await opened({**QUIET, "journal_path": str(path)})
    names = ("success", "reject", "unknown", "lost")
    batch = [a_message(Kind.EMAIL, f"{name}@simulator.example.com", origination="me@example.com") for name in names]
    await sender.send_batch(batch)
    first, second = lines(path)
    assert (first["message_id"], first["answer"]) == (batch[0].message_id, "accepted")
    assert (second["message_id"], second["answer"]) == (batch[2].message_id, "unknown")
    assert (first["address"], first["kind"], first["origination"]) == (batch[0].address, "EMAIL", "me@example.com")
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    await sender.close()


async def test_a_batch_is_one_write_made_before_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    sender = await opened({**QUIET, "journal_path": str(path)})
    sizes: list[int] = []
    write = os.write

    def counted(descriptor: int, data: bytes) -> int:
        sizes.append(data.count(b"\n"))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", counted)
    await sender.send_batch(messages(300))
    monkeypatch.undo()
    assert sizes == [300]
    assert len(lines(path)) == 300
    await sender.close()


async def test_an_idempotent_simulator_knows_messages_from_before_and_from_others(tmp_path: Path) -> None:
    settings: dict[str, object] = {"journal_path": str(tmp_path / "j"), "idempotent": True}
    recording = RecordingContext()
    running = await opened(settings)
    first = await opened(settings)
    batch = messages(10)
    answers = await first.send_batch(batch)
    await first.close()
    assert await running.send_batch(batch) == answers
    later = await opened(settings, recording)
    assert await later.send_batch(batch) == answers
    assert await later.send_batch([*messages(11)]) == [*answers, Accepted(f"sim-{10:032x}")]
    assert Counter(line["message_id"] for line in lines(tmp_path / "j")) == {f"{n:032x}": 1 for n in range(11)}
    await recording.wait_for(lambda seen: len(seen) == 1)
    await running.close()
    await later.close()


async def test_without_idempotency_each_send_is_another_message(tmp_path: Path) -> None:
    sender = await opened({**QUIET, "journal_path": str(tmp_path / "j")})
    first, second = [await sender.send_batch(messages(1)) for _ in range(2)]
    assert first != second
    assert len(lines(tmp_path / "j")) == 2
    await sender.close()


async def test_asking_an_idempotent_simulator_again_settles_every_doubt(tmp_path: Path) -> None:
    settings: dict[str, object] = {
        **QUIET,
        "unknown_share": 1.0,
        "idempotent": True,
        "journal_path": str(tmp_path / "j"),
    }
    sender = await opened(settings)
    batch = messages(40)
    assert all(isinstance(result, Unknown) for result in await sender.send_batch(batch))
    assert 5 < len(lines(tmp_path / "j")) < 35
    assert all(isinstance(result, Accepted) for result in await sender.send_batch(batch))
    assert len(lines(tmp_path / "j")) == 40
    await sender.close()


def test_a_killed_sender_leaves_whole_lines_for_everything_it_was_told(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import asyncio, sys
        from heliograph_channel_simulator import SimulatorChannel
        from heliograph_channels import Kind
        from heliograph_channels.testing import RecordingContext, a_message
        async def main():
            settings = {"journal_path": sys.argv[1], "idempotent": True, "delivered_share": 0}
            sender = await SimulatorChannel().open(settings, RecordingContext().context)
            n = int(sys.argv[2])
            while True:
                batch = [a_message(Kind.SMS, "+12065550100", message_id=f"{n + i:032x}") for i in range(50)]
                n += 50
                await sender.send_batch(batch)
                print(n, flush=True)
        asyncio.run(main())
        """
    )
    path = tmp_path / "j"
    children = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(start)], stdout=subprocess.PIPE, text=True)
        for start in (0, 10**9)
    ]
    told = 0
    for child, start in zip(children, (0, 10**9), strict=True):
        assert child.stdout is not None
        for _ in range(20):
            last = int(child.stdout.readline())
        child.kill()
        rest, _ = child.communicate()
        numbers = [int(line) for line in rest.splitlines() if line.isdigit()]
        told += max([last, *numbers]) - start
    taken = Counter(line["message_id"] for line in lines(path))
    assert set(taken.values()) == {1}
    assert told <= len(taken) <= told + 100


async def test_receipts_come_after_their_delays_in_order_and_in_batches() -> None:
    recording = RecordingContext()
    sender = await opened({"opened_share": 1, "delivered_delay": 0.05, "opened_delay": 0.1}, recording)
    start = time.monotonic()
    await sender.send_batch(messages(600))
    await sender.send_batch(messages(1, "bounce@simulator.example.com"))
    receipts = await recording.wait_for(lambda seen: len(seen) == 1201)
    assert time.monotonic() - start >= 0.15
    assert receipts[0].kind is ReceiptKind.BOUNCED
    assert [receipt.kind for receipt in receipts[1:601]] == [ReceiptKind.DELIVERED] * 600
    assert max(recording.reports) == 500
    assert len({receipt.receipt_id for receipt in receipts}) == 1201
    await sender.close()


async def test_refused_reports_are_repeated_with_the_same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph_channel_simulator.receipts._RETRY_SECONDS", 0.01)
    recording = RecordingContext(failures=2)
    sender = await opened({}, recording)
    await sender.send_batch(messages(3))
    receipts = await recording.wait_for(lambda seen: len(seen) == 3)
    assert [receipt.receipt_id for receipt in receipts] == [f"{n:032x}-delivered" for n in range(3)]
    await sender.close()


async def test_closing_finishes_the_report_under_way_and_drops_what_is_not_due() -> None:
    started, finished = asyncio.Event(), asyncio.Event()

    async def slow(receipts: Sequence[Receipt]) -> None:
        started.set()
        await asyncio.sleep(0.05)
        finished.set()

    recording = RecordingContext()
    object.__setattr__(recording.context, "report", slow)
    sender = await opened({"opened_share": 1, "opened_delay": 3600}, recording)
    await sender.send_batch(messages(1))
    await started.wait()
    await asyncio.wait_for(sender.close(), 2)
    assert finished.is_set()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "simulator receipts"]


async def test_shares_of_one_whole_may_not_exceed_it() -> None:
    problems = SimulatorChannel().check_settings({"reject_share": 0.7, "unknown_share": 0.4, "bounced_share": 0.1})
    assert [problem.field for problem in problems] == ["unknown_share", "bounced_share"]


async def test_idempotency_is_promised_when_the_settings_ask_for_it() -> None:
    channel = SimulatorChannel()
    assert not channel.capabilities_for({}).idempotency_key
    assert channel.capabilities_for({"idempotent": True}).idempotency_key


async def test_latency_is_per_batch() -> None:
    sender = await opened({**QUIET, "latency": 0.05})
    start = time.monotonic()
    await asyncio.gather(*(sender.send_batch(messages(10)) for _ in range(10)))
    assert 0.05 <= time.monotonic() - start < 0.5
    await sender.close()


@pytest.mark.parametrize("settings", [{}, {"reject_share": 0.01}, {"idempotent": True, "journal_path": "j"}])
async def test_thirty_thousand_sends_a_second(settings: dict[str, object], tmp_path: Path) -> None:
    if "journal_path" in settings:
        settings = {**settings, "journal_path": str(tmp_path / "j")}
    sender = await opened({**QUIET, **settings})
    content = content_for(Kind.SMS)
    best = 0.0
    for turn in range(5):
        batches = [
            [OutgoingMessage(f"{turn:08x}{n:012x}{i:012x}", Kind.SMS, "+12065550100", content) for i in range(500)]
            for n in range(10)
        ]
        start = time.process_time()  # other processes share the machine
        for batch in batches:
            await sender.send_batch(batch)
        best = max(best, 5000 / (time.process_time() - start))
    await sender.close()
    print(f"simulator {settings}: {best:,.0f} sends/s")
    assert best >= 30_000


def test_sms_content_is_the_only_content_for_sms() -> None:
    assert isinstance(content_for(Kind.SMS), SmsContent)
