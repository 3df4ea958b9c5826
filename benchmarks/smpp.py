"""Figures of the sms-smpp channel alone: submitting to an SMSC in another process, and taking its receipts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence

from benchmarks.figures import Figure, figure
from benchmarks.parts import bare, bare_result
from heliograph_channel_smpp import SmppChannel
from heliograph_channel_smpp.pdu import Address, ShortMessage
from heliograph_channel_smpp.receipts import Reading, read_receipt
from heliograph_channels import Accepted, Kind, OutgoingMessage, ProviderContext, Receipt, Sender, SmsContent

MESSAGES = 20_000
ROUNDS = 3
WINDOW = 50
_BATCH, _BATCHES_AT_ONCE = 100, 16
_SETTINGS = {"host": "127.0.0.1", "security": "none", "system_id": "bench", "from": "+12065550199"}


async def measure() -> list[Figure]:
    """Return the figures of this area."""
    with bare("smsc") as port:
        least = max([float(await bare_result("smsc", port, str(MESSAGES), str(WINDOW))) for _ in range(ROUNDS)])
        single = await _rate(int(port), "x" * 100, WINDOW, MESSAGES)
        narrow = await _rate(int(port), "x" * 100, 1, MESSAGES // 10)
        parts = await _rate(int(port), "x" * 459, WINDOW, MESSAGES // 4)
    receipts = _receipts()
    against = f"a bare client through a window of {WINDOW}, ids kept"
    return [
        figure(
            f"messages of one part through a window of {WINDOW}, one connection, the channel alone", single,
            "messages/s", bare=least, against=against,
        ),
        figure("the same through a window of 1", narrow, "messages/s", bare=least, against=against),
        figure("parts of messages of three parts", 3 * parts, "parts/s", bare=least, against=against),
        figure("receipts read from their octets", receipts, "receipts/s", bare=single, against="messages sent in the same time"),
    ]  # fmt: skip


async def _rate(port: int, text: str, window: int, count: int) -> float:
    """Send in batches as the pipeline does, several at once; the best of a few rounds, in messages a second."""
    settings = {**_SETTINGS, "port": port, "window": window}
    sender = await SmppChannel().open(settings, ProviderContext("bench", _nowhere))
    batches = [[_message(start + place, text) for place in range(_BATCH)] for start in range(0, count, _BATCH)]
    best = 0.0
    try:
        for _ in range(ROUNDS):
            waiting = iter(batches)
            start = time.perf_counter()
            await asyncio.gather(*(_work(sender, waiting) for _ in range(_BATCHES_AT_ONCE)))
            best = max(best, count / (time.perf_counter() - start))
    finally:
        await sender.close()
    return best


async def _work(sender: Sender, batches: Iterator[list[OutgoingMessage]]) -> None:
    for batch in batches:
        results = await sender.send_batch(batch)
        if not all(isinstance(result, Accepted) for result in results):
            raise AssertionError("the sink refused a message")


def _message(number: int, text: str) -> OutgoingMessage:
    return OutgoingMessage(f"{number:032x}", Kind.SMS, "+12065550100", SmsContent(body=text), "campaign")


def _receipts() -> float:
    text = "id:{} sub:001 dlvrd:001 submit date:2611270411 done date:2611270412 stat:DELIVRD err:000 text:Hello"
    ours, theirs = Address(1, 1, "12065550199"), Address(1, 1, "12065550100")
    bodies = [ShortMessage(theirs, ours, text.format(n).encode(), esm_class=4).encode() for n in range(1000)]
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for body in bodies:
            read_receipt(ShortMessage.decode(body), Reading())
        best = min(best, time.perf_counter() - start)
    return len(bodies) / best


async def _nowhere(receipts: Sequence[Receipt]) -> None:
    """There are no receipts."""
