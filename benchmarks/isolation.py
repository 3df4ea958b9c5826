"""What it costs that a plugin runs in a process of its own: the simulator's `send_batch` inside and outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.figures import Figure, figure
from benchmarks.letters import HTML
from heliograph_channels import ChannelProvider, EmailContent, Kind, OutgoingMessage, ProviderContext, Receipt
from heliograph_kit.ids import derived_id
from heliograph_messaging.isolation import catalogue
from heliograph_messaging.isolation.child import Limits

BATCH = 100
BATCHES = 400
AT_ONCE = 4


async def figures() -> list[Figure]:
    """Return the rates of both, for batches of 100 messages with 3 kB of HTML, four under way."""
    outside = catalogue.load(["simulator"], ["*"], Limits())
    inside = catalogue.load(["simulator"], ["none"], Limits())
    try:
        alone = await _rate(inside["simulator"])
        apart = await _rate(outside["simulator"])
    finally:
        await catalogue.close(outside)
    return [
        figure(
            "send_batch of 100 messages of 3 kB to a plugin in a process of its own, simulator", apart, "messages/s",
            bare=alone, against="the same plugin in this process",
        )
    ]  # fmt: skip


async def _rate(provider: ChannelProvider) -> float:
    sender = await provider.open({"delivered_share": 0}, ProviderContext("bench", _nobody))
    batches = [_batch(number) for number in range(AT_ONCE)]
    await asyncio.gather(*(sender.send_batch(batch) for batch in batches))

    async def some(batch: Sequence[OutgoingMessage]) -> None:
        for _ in range(BATCHES // AT_ONCE):
            results = await sender.send_batch(batch)
            if len(results) != BATCH:
                raise RuntimeError("results are missing")

    began = time.perf_counter()
    await asyncio.gather(*(some(batch) for batch in batches))
    seconds = time.perf_counter() - began
    await sender.close()
    return BATCH * BATCHES / seconds


def _batch(number: int) -> list[OutgoingMessage]:
    return [
        OutgoingMessage(
            derived_id(str(number), str(index)), Kind.EMAIL, f"person{number}-{index}@example.com",
            EmailContent(f"News for {index}", HTML.replace("{{Address}}", str(index))), "campaign",
            "shop@example.com", {"run_id": "r", "endpoint_id": f"e{index}"},
        )
        for index in range(BATCH)
    ]  # fmt: skip


async def _nobody(_: Sequence[Receipt]) -> None:
    """Take receipts of which there are none."""
