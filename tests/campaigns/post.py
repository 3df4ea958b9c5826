"""The other end of the bus: takes what campaigns dispatch, and says what became of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from heliograph.messaging.v1 import dispatch_pb2, events_pb2
from heliograph_kit.bus import Bus, BusMessage
from heliograph_kit.consumer import Consumer, Delivery
from heliograph_kit.ids import new_id
from heliograph_kit.streams import messages_subject

Outcome = str | tuple[str, str]
"""`ACCEPTED`, or with its reason: (`SKIPPED`, `ENDPOINT_OPT_OUT`)."""


@dataclass
class Post:
    """Everything that was dispatched, in the order it came."""

    bus: Bus
    accepting: bool = False
    """Whether each batch is answered at once: everybody ACCEPTED."""
    batches: list[dispatch_pb2.DispatchBatch] = field(default_factory=list)

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            batch = dispatch_pb2.DispatchBatch.FromString(delivery.payload)
            assert delivery.id == batch.batch_id
            self.batches.append(batch)
            if self.accepting:
                await self.accept(batch)

    def of(self, campaign: str) -> list[dispatch_pb2.DispatchBatch]:
        """Return the batches of a campaign, each once; one that came twice must be the same."""
        kept: dict[str, dispatch_pb2.DispatchBatch] = {}
        for batch in self.batches:
            if batch.source.name == campaign:
                assert kept.setdefault(batch.batch_id, batch) == batch
        return list(kept.values())

    def reached(self, campaign: str) -> Counter[str]:
        """Return how often each endpoint is in the batches of a campaign."""
        return Counter(id_ for batch in self.of(campaign) for id_ in batch.recipients.endpoint_ids)

    async def accept(self, batch: dispatch_pb2.DispatchBatch) -> None:
        """Say that everybody in a batch got the message."""
        counts: dict[Outcome, int] = {"ACCEPTED": len(batch.recipients.endpoint_ids)}
        await self.tell(batch.source, counts, id=f"accepted-{batch.batch_id}")

    async def tell(
        self, source: dispatch_pb2.MessageSource, counts: Mapping[Outcome, int], *, id: str = "", again: int = 0
    ) -> None:
        """Publish outcomes; `again` makes a repetition that the broker does not know for one."""
        batch = events_pb2.MessageEventBatch(
            project="/".join(source.name.split("/")[:2]),
            source=source,
            message_class=dispatch_pb2.MESSAGE_CLASS_CAMPAIGN,
            events=[event(outcome) for outcome, count in counts.items() for _ in range(count)],
        )
        await self.publish(batch, id=id, again=again)

    async def publish(self, batch: events_pb2.MessageEventBatch, *, id: str = "", again: int = 0) -> None:
        """Publish a batch of events."""
        id = id or new_id()
        project = batch.project.removeprefix("projects/")
        kind, payload = batch.DESCRIPTOR.full_name, batch.SerializeToString()
        subject = messages_subject(project)
        await self.bus.send(BusMessage(subject, payload, id, kind, project, publish_id=f"{id}#{again}"))


def event(outcome: Outcome) -> events_pb2.MessageEvent:
    """Return that something happened to some message."""
    kind, reason = (outcome, "") if isinstance(outcome, str) else outcome
    number = events_pb2.MessageEventType.Value(f"MESSAGE_EVENT_TYPE_{kind}")
    return events_pb2.MessageEvent(message_id=new_id(), type=number, reason=reason)


@asynccontextmanager
async def collecting(bus: Bus) -> AsyncIterator[Post]:
    """Take what is dispatched inside of the block."""
    post, stopping = Post(bus), asyncio.Event()
    consumer = Consumer(
        bus,
        service="messaging",
        stream="DISPATCH",
        durable="messaging-campaign",
        subjects=["dispatch.campaign.*"],
        handler=post.take,
    )
    task = asyncio.create_task(consumer.run(stopping))
    yield post
    stopping.set()
    await asyncio.wait_for(task, 10)
