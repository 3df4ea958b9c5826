"""Durable consumers: batches to a handler, acknowledged after it returned, failures retried or given up by policy."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Literal

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from opentelemetry.trace import SpanKind, Status, StatusCode

from heliograph_kit.bus import Bus
from heliograph_kit.deadletters import DeadLetters
from heliograph_kit.deliveries import CannotEverWork, Delivery, Held, Retry, read
from heliograph_kit.errors import Unavailable
from heliograph_kit.outages import is_outage
from heliograph_kit.pulling import PullSubscription, Silent
from heliograph_kit.redelivery import OUTAGE, REDELIVERY
from heliograph_kit.streams import STREAMS, overlap, template_of
from heliograph_kit.telemetry import counter, extract, gauge, histogram, link_to, tracer

__all__ = ["CONSUMER_SERVICE", "CannotEverWork", "Consumer", "Delivery", "Handler", "Retry"]

_log = logging.getLogger(__name__)
_tracer = tracer(__name__)

CONSUMER_SERVICE = "heliograph-service"
"""Key in a consumer's metadata that says whose it is; the reconciler reads it."""

_LINGER = timedelta(seconds=5)
_REMEMBERED = 100_000
_CRASHES_PER_ATTEMPT = 20


Handler = Callable[[Sequence[Delivery]], Awaitable[None]]


class Consumer:
    """One durable consumer of one service."""

    def __init__(
        self,
        bus: Bus,
        *,
        service: str,
        stream: str,
        durable: str | None,
        subjects: Sequence[str],
        handler: Handler,
        batch: int = 20,
        concurrency: int = 1,
        ack_wait: timedelta = timedelta(seconds=30),
        max_attempts: int = 10,
        start: Literal["new", "all"] = "all",
        max_ack_pending: int | None = None,
        on_dead: Callable[[Delivery, str], Awaitable[None]] | None = None,
        silence: timedelta = timedelta(seconds=30),
        counts_crashes: bool = True,
    ) -> None:
        """Describe the consumer; `run` declares and works it.

        Args:
            bus: the connection.
            service: whose dead letters failures become.
            stream: a name of `streams.STREAMS`.
            durable: the consumer's name, never derived from a host or pod; None for a consumer that lives and dies
                with this process (caches).
            subjects: filters; those of two consumers of a work queue must not overlap.
            handler: gets 1 to `batch` deliveries; returning acknowledges all of them. Raising makes each be tried
                alone, so it must be safe to repeat for any subset: dedupe with `Inbox` in the transaction.
            batch: most deliveries in one call.
            concurrency: calls at the same time in this process.
            ack_wait: the broker gives a message to somebody else when nothing was heard of it for so long; it is
                renewed every third of it while the handler works, whatever time that takes.
            max_attempts: failures in this process before a message becomes a dead letter. An outage of a dependency
                (`outages.is_outage`) and `Retry` do not count.
            start: "all" begins a new durable at the stream's first message, "new" at what comes from now on.
            max_ack_pending: most unacknowledged messages over all processes; by default room for 16 processes.
            on_dead: called before a message is given up (see `Inbox.burial`).
            silence: with messages waiting and none delivered for so long, the subscription is made anew.
            counts_crashes: a message that was delivered very often without an outcome is given up. False where many
                deliveries are ordinary (the handler answers `Retry` for hours) and the handler counts for itself.
        """
        if stream not in STREAMS:
            raise ValueError(f"stream {stream!r} is not declared in heliograph_kit.streams")
        strangers = [s for s in subjects if not any(overlap(f, s) for f in STREAMS[stream].subjects)]
        if not subjects or strangers:
            raise ValueError(f"stream {stream} does not carry {', '.join(strangers) or 'an empty list of subjects'}")
        if batch < 1 or concurrency < 1 or max_attempts < 1:
            raise ValueError("batch, concurrency and max_attempts are at least 1")
        self.service = service
        self.stream = stream
        self.durable = durable
        self.subjects = tuple(subjects)
        self.on_dead = on_dead
        self.silent_subscriptions = 0
        self._bus = bus
        self._handler = handler
        self._batch = batch
        self._concurrency = concurrency
        self._ack_wait = ack_wait
        self._max_attempts = max_attempts
        self._start = start
        self._max_ack_pending = max_ack_pending or max(1000, batch * concurrency * 16)
        self._silence = silence
        self._counts_crashes = counts_crashes
        self._name = durable or ""
        self._letters = DeadLetters(bus, service)
        # By message id. Deliveries counted by the broker include crashes and Retry; these are the failures alone.
        self._failures: OrderedDict[str, int] = OrderedDict()
        self._excused: OrderedDict[str, int] = OrderedDict()
        self._labels = {"messaging.destination.name": stream, "messaging.consumer.group.name": durable or "ephemeral"}

    async def declare(self) -> None:
        """Create the stream and the consumer at the broker, or bring them up to date; safe to repeat."""
        await self._bus.ensure_streams(self.stream, "DEAD")
        config = ConsumerConfig(
            durable_name=self.durable,
            description=f"{self.service}: {', '.join(self.subjects)}",
            deliver_policy=DeliverPolicy.ALL if self._start == "all" else DeliverPolicy.NEW,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._ack_wait.total_seconds(),
            # A limit here would make the message leave the consumer without a word; we count and give up ourselves.
            max_deliver=-1,
            max_ack_pending=self._max_ack_pending,
            filter_subjects=list(self.subjects) if len(self.subjects) > 1 else None,
            filter_subject=self.subjects[0] if len(self.subjects) == 1 else None,
            metadata={CONSUMER_SERVICE: self.service},
            inactive_threshold=None if self.durable else 300,
        )
        if self.durable is not None:
            # Where a durable began is its past; declaring another start later would be refused.
            try:
                present = (await self._bus.jetstream.consumer_info(self.stream, self.durable)).config
                config.deliver_policy = present.deliver_policy
            except nats.js.errors.NotFoundError:
                pass
        info = await self._bus.ensure_consumer(self.stream, config)
        self._name = info.name

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until told to stop: no more is fetched then, what is in hand is finished and acknowledged."""
        await self._declared(stopping)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(self._work(stopping))

    async def _declared(self, stopping: asyncio.Event) -> None:
        attempt = 1
        while not stopping.is_set():
            try:
                await self.declare()
                return
            except (Unavailable, TimeoutError, nats.js.errors.ServiceUnavailableError) as error:
                _log.warning("consumer %s cannot be declared yet: %s", self.durable, error)
            await pause(OUTAGE.delay(attempt, random.random()), stopping)  # noqa: S311
            attempt += 1

    async def _work(self, stopping: asyncio.Event) -> None:
        troubles = 0
        async for messages in self._incoming(stopping, lambda: self._batch):
            troubles = troubles + 1 if await self._handle(messages) else 0
            if troubles:
                await pause(OUTAGE.delay(troubles, random.random()), stopping)  # noqa: S311

    async def _incoming(self, stopping: asyncio.Event, size: Callable[[], int]) -> AsyncIterator[Sequence[Msg]]:
        """Yield what the broker hands out, at most `size()` at a time, until told to stop; renew what breaks."""
        subscription = await PullSubscription.open(self._bus, self.stream, self._name)
        stop = asyncio.create_task(stopping.wait())
        last_delivery = time.monotonic()
        troubles = 0
        try:
            while not stopping.is_set():
                fetch = asyncio.create_task(subscription.fetch(size(), _LINGER))
                try:
                    await asyncio.wait((fetch, stop), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not fetch.done():
                        # What it has taken already is delivered again after ack_wait, to whoever is there then.
                        fetch.cancel()
                        await asyncio.gather(fetch, return_exceptions=True)
                if fetch.cancelled():
                    break
                error = fetch.exception()
                messages = fetch.result() if error is None else []
                if messages:
                    yield messages
                    last_delivery, troubles = time.monotonic(), 0
                elif isinstance(error, (Silent, TimeoutError, nats.errors.Error)):
                    troubles += 1
                    subscription = await self._renewed(subscription, stopping)
                    await pause(OUTAGE.delay(troubles, random.random()), stopping)  # noqa: S311
                elif error is not None:
                    raise error
                elif time.monotonic() - last_delivery > self._silence.total_seconds():
                    last_delivery = time.monotonic()
                    if await self._is_waiting():
                        self.silent_subscriptions += 1
                        _log.warning("consumer %s: messages wait but none comes, subscribing anew", self._name)
                        subscription = await self._renewed(subscription, stopping)
        finally:
            stop.cancel()
            await subscription.close()

    async def _renewed(self, subscription: PullSubscription, stopping: asyncio.Event) -> PullSubscription:
        # The consumer, even the whole stream, may have been deleted: declare both before asking again.
        await subscription.close()
        await self._declared(stopping)
        return await PullSubscription.open(self._bus, self.stream, self._name)

    async def _is_waiting(self) -> bool:
        try:
            info = await self._bus.jetstream.consumer_info(self.stream, self._name)
        except (TimeoutError, nats.errors.Error):
            return True
        gauge("heliograph.consumer.lag").set(info.num_pending or 0, self._labels)
        return bool(info.num_pending) and (info.num_ack_pending or 0) < self._max_ack_pending

    # -- one batch --------------------------------------------------------------------------------------------------

    async def _handle(self, messages: Sequence[Msg]) -> bool:
        """Work off one batch; return whether a dependency was away."""
        held = [Held(message, read(message, self.stream, self._excused)) for message in messages]
        counter("messaging.client.consumed.messages").add(len(held), {"messaging.system": "nats", **self._labels})
        again = sum(1 for one in held if one.delivery.attempt > 1)
        if again:
            counter("heliograph.consumer.redelivered").add(again, self._labels)
        away = False
        async with self._kept_alive(held):
            # What came back may be what killed the process last time: it is not tried in company.
            fresh = [one for one in held if one.delivery.attempt == 1]
            alone = [one for one in held if one.delivery.attempt > 1]
            if len(fresh) > 1:
                if await self._try(fresh) is not None:
                    alone = fresh + alone
                else:
                    await self._settle(fresh)
            else:
                alone = fresh + alone
            for one in alone:
                away |= await self._handle_alone(one)
        return away

    async def _handle_alone(self, one: Held) -> bool:
        if self._counts_crashes and one.delivery.attempt > _CRASHES_PER_ATTEMPT * self._max_attempts:
            await self._give_up(one, "NO_OUTCOME", f"delivered {one.delivery.attempt} times without an outcome")
            return False
        error = await self._try([one])
        if error is None:
            await self._settle([one])
        elif isinstance(error, CannotEverWork):
            await self._give_up(one, "CANNOT_EVER_WORK", str(error))
        elif isinstance(error, Retry):
            excused = counted(self._excused, one.delivery.id)
            await self._later(one, error.delay or REDELIVERY.delay(excused, random.random()))  # noqa: S311
        elif is_outage(error):
            excused = counted(self._excused, one.delivery.id)
            _log.warning("consumer %s: a dependency is away: %s", self._name, error)
            await self._later(one, OUTAGE.delay(excused, random.random()))  # noqa: S311
            return True
        else:
            failures = counted(self._failures, one.delivery.id)
            _log.error("consumer %s: attempt %d at %s failed", self._name, failures, one.delivery.id, exc_info=error)
            if failures >= self._max_attempts:
                await self._give_up(one, "ATTEMPTS_USED_UP", f"{type(error).__name__}: {error}")
            else:
                await self._later(one, REDELIVERY.delay(failures, random.random()))  # noqa: S311
        return False

    async def _try(self, held: Sequence[Held]) -> Exception | None:
        deliveries = [one.delivery for one in held]
        template = template_of(deliveries[0].subject)
        attributes: dict[str, str | int] = {
            "messaging.system": "nats",
            "messaging.operation.type": "process",
            "messaging.destination.template": template,
            "messaging.batch.message_count": len(deliveries),
            **self._labels,
        }
        single = deliveries[0] if len(deliveries) == 1 else None
        links = [] if single else [link for d in deliveries if (link := link_to(d.headers)) is not None]
        parent = extract(single.headers if single else {})
        began = time.monotonic()
        failure: Exception | None = None
        with _tracer.start_as_current_span(
            f"process {template}", context=parent, kind=SpanKind.CONSUMER, attributes=attributes, links=links
        ) as span:
            try:
                await self._handler(deliveries)
            except Exception as error:
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                failure = error
        outcome = {"error.type": type(failure).__name__} if failure else {}
        histogram("messaging.process.duration").record(
            time.monotonic() - began, {"messaging.system": "nats", **self._labels, **outcome}
        )
        return failure

    async def _settle(self, held: Sequence[Held]) -> None:
        for one in held:
            self._forget(one)
            await answered(one.message.ack())

    async def _later(self, one: Held, delay: timedelta) -> None:
        await answered(one.message.nak(delay=max(delay.total_seconds(), 0.001)))

    async def _give_up(self, one: Held, reason: str, detail: str) -> None:
        delivery = one.delivery
        _log.error("consumer %s gives up %s: %s: %s", self._name, delivery.id, reason, detail)
        try:
            await self._letters.add(
                consumer=self.durable or self.service,
                id=delivery.id,
                type=delivery.type,
                subject=delivery.subject,
                project=delivery.project,
                payload=delivery.payload,
                headers=delivery.headers,
                reason=reason,
                detail=detail,
                attempt=delivery.attempt,
            )
            if self.on_dead is not None:
                await self.on_dead(delivery, reason)
        except Exception:
            # Not written down means not given up: it comes again.
            _log.exception("dead letter %s could not be stored", delivery.id)
            await self._later(one, OUTAGE.longest)
            return
        counter("heliograph.consumer.dead").add(1, {**self._labels, "heliograph.reason": reason})
        self._forget(one)
        await answered(one.message.term())

    def _forget(self, one: Held) -> None:
        self._failures.pop(one.delivery.id, None)
        self._excused.pop(one.delivery.id, None)

    @asynccontextmanager
    async def _kept_alive(self, held: Sequence[Held]) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(self._ack_wait.total_seconds() / 3)
                for one in held:
                    if not one.message.is_acked:
                        await answered(one.message.in_progress())

        heartbeat = asyncio.create_task(renew())
        try:
            yield
        finally:
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)


def counted(counts: OrderedDict[str, int], key: str) -> int:
    """Count a key up and return its count; the oldest of 100,000 keys is forgotten."""
    counts[key] = counts.get(key, 0) + 1
    counts.move_to_end(key)
    while len(counts) > _REMEMBERED:
        counts.popitem(last=False)
    return counts[key]


async def answered(answer: Awaitable[None]) -> None:
    """Send an acknowledgement."""
    # An acknowledgement that cannot be sent means one more delivery, which the inbox drops; nothing else to do.
    try:
        await answer
    except nats.errors.Error as error:
        _log.warning("acknowledgement was not sent: %s", error)


async def pause(delay: timedelta, stopping: asyncio.Event) -> None:
    """Wait, but not when told to stop."""
    try:
        await asyncio.wait_for(stopping.wait(), delay.total_seconds())
    except TimeoutError:
        return
