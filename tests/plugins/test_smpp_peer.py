"""The sms-smpp channel against an SMSC that others wrote: the npm package `smpp` (0.5.1, MIT)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from heliograph_channel_smpp import SmppChannel
from heliograph_channels import Accepted, Kind, ReceiptKind, Rejected, RejectReason, Sender, SmsContent, Unknown
from heliograph_channels.testing import RecordingContext, a_message
from tests.plugins.smpp_smsc import settings_for

SOURCE = Path(__file__).parent / "smpp_peer"
FOLDER = Path(__file__).parents[2] / "build" / "smpp-peer"


@pytest.fixture(scope="module")
def installed() -> Path:
    """The folder with the package, installed once as long as its lock is the same."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    lock = (SOURCE / "package-lock.json").read_bytes()
    done = FOLDER / "installed"
    if not done.exists() or done.read_bytes() != lock:
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.copytree(SOURCE, FOLDER)
        ran = subprocess.run(("npm", "ci"), cwd=FOLDER, capture_output=True, text=True, timeout=150, check=False)
        assert ran.returncode == 0, ran.stderr[-4000:]
        done.write_bytes(lock)
    shutil.copy(SOURCE / "server.js", FOLDER)
    return FOLDER


@dataclass
class Peer:
    """The process, and what it told."""

    port: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    kill: Callable[[], None] = lambda: None

    async def read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.told.append(json.loads(line))
            self.changed.set()
        self.ended.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def having(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.told if name in one]


@pytest_asyncio.fixture
async def peer(installed: Path) -> AsyncIterator[Peer]:
    process = await asyncio.create_subprocess_exec("node", "server.js", cwd=installed, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    peer = Peer(kill=process.kill)
    reading = asyncio.create_task(peer.read(process.stdout))
    try:
        await peer.until(lambda: bool(peer.told))
        peer.port = peer.told[0]["port"]
        yield peer
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading
    assert peer.having("error") == []


@contextlib.asynccontextmanager
async def sender_of(peer: Peer, recording: RecordingContext, **changes: object) -> AsyncIterator[Sender]:
    sender = await SmppChannel().open(settings_for(peer.port, **changes), recording.context)
    try:
        yield sender
    finally:
        await sender.close()


TEXTS = [
    pytest.param("Hello @£$¥ èéùìò ÄÖÑÜ§ äöñüà ΔΦΓΛΩΠΨΣΘΞ ÆæßÉ", 0, 1, id="GSM"),
    pytest.param("^{}\\[~]|€", 0, 1, id="extension"),
    pytest.param("façade 😀 あ", 8, 1, id="UCS-2"),
    pytest.param("x€" * 150, 0, 3, id="long GSM"),
    pytest.param("あ😀" * 60, 8, 3, id="long UCS-2"),
]


@pytest.mark.parametrize("concatenation", ["udh8", "udh16", "sar", "payload"])
@pytest.mark.parametrize(("text", "coding", "parts"), TEXTS)
async def test_texts_arrive_as_they_were_sent_and_are_delivered(
    peer: Peer, text: str, coding: int, parts: int, concatenation: str
) -> None:
    recording = RecordingContext()
    message = a_message(Kind.SMS, "+12065550100", content=SmsContent(body=text))
    async with sender_of(peer, recording, concatenation=concatenation) as sender:
        (result,) = await sender.send_batch([message])
        count = 1 if concatenation == "payload" else parts
        assert result == Accepted(f"peer-{count}")
        (receipt,) = await recording.wait_for(lambda receipts: len(receipts) == 1)
        await peer.until(lambda: len(peer.having("answered")) == count)
    await peer.until(lambda: bool(peer.having("unbind")))
    arrived = peer.having("text")
    assert "".join(one["text"] for one in arrived) == text
    assert {one["coding"] for one in arrived} == {coding}
    assert {(one["to"], one["from"], one["ton"]) for one in arrived} == {("12065550100", "12065550199", 1)}
    assert receipt.kind is ReceiptKind.DELIVERED
    assert {one["answered"] for one in peer.having("answered")} == {0}
    if concatenation == "sar" and count > 1:
        assert [one["total"] for one in arrived] == [count] * count


async def test_a_long_answer_is_put_together(peer: Peer) -> None:
    recording = RecordingContext()
    async with sender_of(peer, recording) as sender:
        await sender.send_batch([a_message(Kind.SMS, "+12065550177")])
        (inbound,) = await recording.wait_for_inbound(1)
    assert (inbound.body, inbound.origination) == ("Grüße {1} und €2", "+12065550177")


async def test_throttling_is_told_apart(peer: Peer) -> None:
    async with sender_of(peer, RecordingContext()) as sender:
        good, bad = a_message(Kind.SMS, "+12065550100"), a_message(Kind.SMS, "+12065550166")
        results = await sender.send_batch([bad, good])
    assert isinstance(results[0], Rejected)
    assert (results[0].reason, results[0].retryable) == (RejectReason.THROTTLED, True)
    assert isinstance(results[1], Accepted)


async def test_a_peer_that_is_killed_leaves_no_message_without_a_fate(peer: Peer) -> None:
    async with sender_of(peer, RecordingContext(), window=50) as sender:
        batch = [a_message(Kind.SMS, f"+1206555{number:04}") for number in range(5000)]
        sending = asyncio.gather(*(sender.send_batch(batch[start : start + 100]) for start in range(0, 5000, 100)))
        await peer.until(lambda: len(peer.having("to")) > 500)
        peer.kill()
        results = [result for results in await sending for result in results]
        await peer.ended.wait()
    seen = {one["to"] for one in peer.having("to")}
    fates = {message.address.removeprefix("+"): result for message, result in zip(batch, results, strict=True)}
    assert 500 < len(seen) < 5000
    for number, result in fates.items():
        if isinstance(result, Accepted):
            assert number in seen
        elif isinstance(result, Rejected):
            assert number not in seen, "not taken means not written"
            assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert sum(isinstance(result, Unknown) for result in fates.values()) <= 50


async def test_a_wrong_password_is_credentials(peer: Peer) -> None:
    async with sender_of(peer, RecordingContext(), password="wr0ng") as sender:
        (result,) = await sender.send_batch([a_message(Kind.SMS, "+12065550100")])
        assert not (await sender.health()).ok
    assert isinstance(result, Rejected)
    assert result.reason is RejectReason.CREDENTIALS


async def test_a_pair_of_connections_sends_and_hears(peer: Peer) -> None:
    """The package sends receipts over the session of the submit; a transmitter answers them all the same."""
    recording = RecordingContext()
    async with sender_of(peer, recording, bind="pair", window=20) as sender:
        results = await sender.send_batch([a_message(Kind.SMS, "+12065550100") for _ in range(100)])
        assert all(isinstance(result, Accepted) for result in results)
        await recording.wait_for(lambda receipts: len(receipts) == 100)
    assert {one["bind"] for one in peer.having("bind")} == {"bind_transmitter", "bind_receiver"}
