"""The bus: JetStream publishing with ids and trace context, request and reply, and what the server must know."""

from __future__ import annotations

import asyncio
import logging
import random
import time as monotonic_time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, ConsumerInfo, RetentionPolicy, StorageType, StreamConfig
from opentelemetry.trace import SpanKind

from heliograph_kit.clock import Clock, SystemClock
from heliograph_kit.errors import Unavailable
from heliograph_kit.redelivery import PUBLISH
from heliograph_kit.streams import DUPLICATE_WINDOW, STREAMS, Stream, project_of_subject, stream_of, template_of
from heliograph_kit.telemetry import counter, extract, inject, tracer

_log = logging.getLogger(__name__)
_tracer = tracer(__name__)

_ONE_TRY = 2.5
"""Seconds for one acknowledgement: ten times the slowest seen under load, and an unneeded second try is harmless."""

MESSAGE_ID = "Nats-Msg-Id"
_UNKNOWN_OUTCOME = (
    TimeoutError,
    nats.errors.TimeoutError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.StaleConnectionError,
    nats.errors.OutboundBufferLimitError,
    nats.js.errors.NoStreamResponseError,
    nats.js.errors.ServiceUnavailableError,
    nats.js.errors.ServerError,
)


@dataclass(frozen=True)
class BusMessage:
    """One message to publish.

    `id` is the producer's id (header ce-id, what consumers see and remember); `publish_id` the broker's duplicate key,
    different from `id` only when a message is driven again on purpose.
    """

    subject: str
    payload: bytes
    id: str
    type: str
    project: str = ""
    time: datetime | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    publish_id: str = ""


@dataclass(frozen=True)
class Published:
    """Where the broker put a message; `duplicate` when it already had one with that id."""

    stream: str
    sequence: int
    duplicate: bool


class PublishRefused(Exception):
    """The broker will never take this message (too large, or it has no such subject for us); retrying is pointless."""


class Responder:
    """A running answer to requests on one subject."""

    def __init__(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Take what ends it."""
        self._stop = stop

    async def close(self) -> None:
        """Stop answering."""
        await self._stop()


class Bus:
    """One connection to NATS, kept for ever: it reconnects until it is closed."""

    def __init__(self, client: Client, *, name: str, replicas: int, clock: Clock) -> None:
        """Use `Bus.connect` or `Bus.open`."""
        self.client = client
        self.jetstream = client.jetstream(timeout=5)
        self.name = name
        self.replicas = replicas
        self._clock = clock

    @classmethod
    def connect(
        cls, url: str, *, name: str, replicas: int = 1, clock: Clock | None = None
    ) -> AbstractAsyncContextManager[Self]:
        """Connect, close when the block is left. See `open`."""
        return cls._connected(url, name=name, replicas=replicas, clock=clock)

    @classmethod
    @asynccontextmanager
    async def _connected(cls, url: str, *, name: str, replicas: int, clock: Clock | None) -> AsyncIterator[Self]:
        bus = await cls.open(url, name=name, replicas=replicas, clock=clock)
        try:
            yield bus
        finally:
            await bus.close()

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        name: str,
        replicas: int = 1,
        clock: Clock | None = None,
        first_connect: timedelta = timedelta(seconds=30),
    ) -> Self:
        """Connect; several servers are separated by commas. `name` is the service, used as ce-source.

        `replicas` is what streams are declared with (HELIOGRAPH_NATS_REPLICAS: 1 on a laptop, 3 in a cluster).

        Raises:
            Unavailable: no server answered within `first_connect`.
        """
        try:
            client = await asyncio.wait_for(cls._dial(url, name), first_connect.total_seconds())
        except (TimeoutError, OSError, nats.errors.Error) as error:
            raise Unavailable("the message bus did not answer") from error
        return cls(client, name=name, replicas=replicas, clock=clock or SystemClock())

    @staticmethod
    async def _dial(url: str, name: str) -> Client:
        # Without error_cb each failed dial prints a traceback and permission errors are invisible.
        async def error_cb(error: Exception) -> None:
            _log.warning("bus connection: %s", error or type(error).__name__)

        async def disconnected_cb() -> None:
            if not client.is_closed:
                _log.warning("bus connection lost, reconnecting")

        async def reconnected_cb() -> None:
            _log.info("bus connection is back")

        # The defaults give up for good after 60 tries and notice a dead link only after minutes.
        client = Client()
        options: dict[str, Any] = {
            "servers": [part.strip() for part in url.split(",")],
            "name": name,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.25,
            "connect_timeout": 5,
            "ping_interval": 20,
            "max_outstanding_pings": 2,
            "pending_size": 32 * 1024 * 1024,
            "error_cb": error_cb,
            "disconnected_cb": disconnected_cb,
            "reconnected_cb": reconnected_cb,
        }
        await client.connect(**options)
        return client

    @property
    def connected(self) -> bool:
        """Whether the connection stands right now; readiness shows it."""
        return bool(self.client.is_connected)

    async def ping(self) -> None:
        """Go to the server and back within 2 s.

        Raises:
            Unavailable: the connection is down.
        """
        if not self.connected:
            raise Unavailable("the message bus is not connected")
        try:
            await self.client.flush(timeout=2)
        except (TimeoutError, OSError, nats.errors.Error) as error:
            raise Unavailable("the message bus does not answer") from error

    async def close(self) -> None:
        """Send what is buffered and close; safe to repeat."""
        if self.client.is_closed:
            return
        try:
            if self.client.is_connected:
                await self.client.flush(timeout=5)
        except (TimeoutError, OSError, nats.errors.Error) as error:
            _log.warning("bus closed before everything was sent: %s", error)
        await self.client.close()

    # -- publishing -------------------------------------------------------------------------------------------------

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        id: str,
        type: str,
        project: str = "",
        headers: Mapping[str, str] | None = None,
        time: datetime | None = None,
        within: timedelta = timedelta(seconds=10),
    ) -> Published:
        """Publish one message and wait until the stream has it. Safe to repeat with the same id for two minutes.

        A timeout of the broker means "unknown", so the same id is sent again until `within` is over.

        Raises:
            Unavailable: no acknowledgement came; the message may have been stored all the same.
            PublishRefused: the broker will never take it.
        """
        project = project or project_of_subject(subject)
        return await self.send(BusMessage(subject, payload, id, type, project, time, headers or {}), within=within)

    async def publish_many(
        self, messages: Sequence[BusMessage], *, in_flight: int = 256, within: timedelta = timedelta(seconds=10)
    ) -> list[Published | Exception]:
        """Publish at once, at most `in_flight` unacknowledged; return per message its place or what went wrong."""
        gate = asyncio.Semaphore(in_flight)

        async def one(message: BusMessage) -> Published | Exception:
            async with gate:
                try:
                    return await self.send(message, within=within)
                except (Unavailable, PublishRefused) as error:
                    return error

        return list(await asyncio.gather(*(one(message) for message in messages)))

    async def send(self, message: BusMessage, *, within: timedelta = timedelta(seconds=10)) -> Published:
        """Publish a message that is already put together; like `publish`."""
        template = template_of(message.subject)
        attributes = {
            "messaging.system": "nats",
            "messaging.operation.type": "send",
            "messaging.destination.template": template,
            "messaging.message.id": message.id,
        }
        # A message that waited in the outbox carries the context of the transaction that wrote it.
        parent = extract(message.headers) if "traceparent" in message.headers else None
        with _tracer.start_as_current_span(
            f"send {template}", context=parent, kind=SpanKind.PRODUCER, attributes=attributes
        ):
            headers = {
                **message.headers,
                MESSAGE_ID: message.publish_id or message.id,
                "ce-specversion": "1.0",
                "ce-id": message.id,
                "ce-type": message.type,
                "ce-source": f"/heliograph/{self.name}",
                "ce-time": (message.time or self._clock.now()).astimezone(UTC).isoformat(),
                "ce-project": message.project,
            }
            inject(headers)
            sent = {"messaging.system": "nats", "messaging.destination.template": template}
            try:
                published = await self._until_stored(message.subject, message.payload, headers, within)
            except (Unavailable, PublishRefused) as error:
                counter("messaging.client.sent.messages").add(1, {**sent, "error.type": type(error).__name__})
                raise
            counter("messaging.client.sent.messages").add(1, sent)
            return published

    async def _until_stored(
        self, subject: str, payload: bytes, headers: dict[str, str], within: timedelta
    ) -> Published:
        deadline = monotonic_time.monotonic() + within.total_seconds()
        attempt = 1
        while True:
            left = deadline - monotonic_time.monotonic()
            try:
                ack = await self.jetstream.publish(
                    subject, payload, timeout=max(0.05, min(_ONE_TRY, left)), headers=headers
                )
                return Published(ack.stream, ack.seq, bool(ack.duplicate))
            except _UNKNOWN_OUTCOME as error:
                pause = PUBLISH.delay(attempt, random.random()).total_seconds()  # noqa: S311
                if monotonic_time.monotonic() + pause >= deadline:
                    raise Unavailable("the message bus did not confirm the message in time") from error
                await asyncio.sleep(pause)
                if isinstance(error, nats.js.errors.NoStreamResponseError):
                    await self._declare_again(subject)
                attempt += 1
            except nats.errors.ConnectionClosedError as error:
                raise Unavailable("the connection to the message bus is closed") from error
            except (nats.errors.MaxPayloadError, nats.js.errors.APIError) as error:
                raise PublishRefused(str(error)) from error

    async def _declare_again(self, subject: str) -> None:
        # Nobody stores this subject: the stream's leader is moving, or somebody deleted the stream. Declaring it is
        # right for both, and what was in a deleted stream comes back through the reconciler.
        if (stream := stream_of(subject)) is not None:
            try:
                await self.ensure_stream(stream)
            except (Unavailable, TimeoutError, nats.errors.Error) as error:
                _log.warning("stream %s could not be declared: %s", stream.name, error)

    # -- request and reply ------------------------------------------------------------------------------------------

    async def request(self, subject: str, payload: bytes, *, timeout: timedelta = timedelta(seconds=5)) -> bytes:
        """Ask whoever answers on this subject; core NATS, nothing is stored.

        Raises:
            Unavailable: nobody listens, or no answer came in time.
        """
        with _tracer.start_as_current_span(f"request {template_of(subject)}", kind=SpanKind.CLIENT):
            headers: dict[str, str] = {"ce-source": f"/heliograph/{self.name}"}
            inject(headers)
            try:
                reply = await self.client.request(subject, payload, timeout=timeout.total_seconds(), headers=headers)
            except (TimeoutError, nats.errors.Error) as error:
                raise Unavailable(f"nobody answered on {template_of(subject)}") from error
            if reply.headers and "error" in reply.headers:
                raise Unavailable(f"the answer on {template_of(subject)} failed")
            return bytes(reply.data)

    async def respond(self, subject: str, handler: Callable[[bytes], Awaitable[bytes]], *, queue: str) -> Responder:
        """Answer requests on a subject; of all processes with the same queue name one gets each request.

        A handler that raises is logged here and seen as Unavailable by the asker.
        """

        async def answer(message: Msg) -> None:
            name = f"respond {template_of(subject)}"
            with _tracer.start_as_current_span(name, context=extract(message.headers or {}), kind=SpanKind.SERVER):
                try:
                    await message.respond(await handler(message.data))
                except Exception:
                    _log.exception("answering on %s failed", subject)
                    await self.client.publish(message.reply, b"", headers={"error": "failed"})

        subscription = await self.client.subscribe(subject, queue=queue, cb=answer)
        return Responder(subscription.unsubscribe)

    # -- what the server must know ----------------------------------------------------------------------------------

    async def ensure_streams(self, *names: str) -> None:
        """Create the named streams (all when none is named), or bring their settings up to date; safe to repeat."""
        for name in names or tuple(STREAMS):
            await self.ensure_stream(STREAMS[name])

    async def ensure_stream(self, stream: Stream) -> None:
        """Create one stream or bring its settings up to date.

        The number of replicas is set at creation only: scaling a stream up or down while it runs can lose
        acknowledged messages (reliability.md section 3), so that is left to an operator.
        """
        config = StreamConfig(
            name=stream.name,
            description=stream.description,
            subjects=list(stream.subjects),
            retention=RetentionPolicy.WORK_QUEUE if stream.work_queue else RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            max_age=stream.max_age.total_seconds(),
            duplicate_window=DUPLICATE_WINDOW.total_seconds(),
            num_replicas=self.replicas,
        )
        for attempt in range(1, 6):
            try:
                try:
                    present = (await self.jetstream.stream_info(stream.name)).config
                except nats.js.errors.NotFoundError:
                    await self.jetstream.add_stream(config)
                    return
                config.num_replicas = present.num_replicas
                if _differs(present, config):
                    await self.jetstream.update_stream(config)
                return
            except _UNKNOWN_OUTCOME as error:
                if attempt == 5:
                    raise Unavailable(f"the message bus did not declare stream {stream.name}") from error
                await asyncio.sleep(PUBLISH.delay(attempt, random.random()).total_seconds())  # noqa: S311

    async def ensure_consumer(self, stream: str, config: ConsumerConfig) -> ConsumerInfo:
        """Create a consumer or bring its settings up to date; the stream is declared too when it is gone."""
        try:
            return await self.jetstream.add_consumer(stream, config)
        except nats.js.errors.NotFoundError:
            await self.ensure_streams(stream)
            return await self.jetstream.add_consumer(stream, config)


def _differs(present: StreamConfig, wanted: StreamConfig) -> bool:
    return any(
        getattr(present, name) != getattr(wanted, name)
        for name in ("subjects", "max_age", "duplicate_window", "description")
    )
