"""What people send to us: taken from plugins, stored once, and told in the transaction that stores it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import events_pb2
from heliograph_channels import InboundMessage
from heliograph_kit.database import Database
from heliograph_kit.ids import derived_id
from heliograph_kit.instants import timestamp
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_kit.streams import changes_subject
from heliograph_kit.telemetry import counter
from heliograph_messaging.answers import Unsound, items, plain, type_name
from heliograph_messaging.faults import Fault, tell
from heliograph_messaging.pipeline.two_way import TwoWay
from heliograph_messaging.store.inbound import InboundRow, InboundStore

MAX_BODY = 100_000
MAX_MEDIA = 20
MAX_ATTRIBUTES = 50
_MAX_TEXT = 2000
_ID_LENGTH, _ADDRESS_LENGTH = 200, 320
_PAGE = 500
_EVENT_BYTES = 1024 * 1024


class Inbound:
    """Takes messages from people."""

    def __init__(self, database: Database, store: InboundStore, two_way: TwoWay, outbox: Outbox) -> None:
        """Take where they are kept and told, and what obeys texts to our numbers."""
        self._database = database
        self._store = store
        self._two_way = two_way
        self._outbox = outbox

    async def deliver(self, project: str, provider: str, messages: Sequence[InboundMessage]) -> None:
        """Store what a plugin hands over; returns when it is safe. Repetitions are dropped by `inbound_id`."""
        for start in range(0, len(messages), _PAGE):
            async with self._database.transaction() as conn:
                await self.store(conn, project, provider, messages[start : start + _PAGE])

    async def store(
        self, conn: AsyncConnection, project: str, provider: str, messages: Sequence[InboundMessage]
    ) -> None:
        """Store messages in the open transaction and process those that are new."""
        rows = [row for message in messages if (row := _stored(provider, message)) is not None]
        if not rows:
            return
        fresh = await self._store.add(conn, project, provider, rows)
        if fresh:
            await self.process(conn, project, provider, fresh)
            for row in fresh:
                counter("heliograph.messaging.inbound").add(1, {"heliograph.channel": row.channel})

    async def process(self, conn: AsyncConnection, project: str, provider: str, messages: Sequence[InboundRow]) -> None:
        """Do what follows from messages that were just stored, in the transaction that stores them: each comes here once.

        They are told on CHANGES, and texts to our numbers are obeyed and answered (pinpoint-2 2.4).
        """
        await self._two_way.handle_inbound(conn, project, provider, messages)
        await self._outbox.add(conn, *_told(project, provider, messages))


def _told(project: str, provider: str, messages: Sequence[InboundRow]) -> Iterator[Outgoing]:
    subject = changes_subject("messaging", project, "inbound_received")
    event, size = events_pb2.InboundReceived(project=f"projects/{project}", provider=provider), 0
    for row in messages:
        message = _event(row)
        if size and size + message.ByteSize() > _EVENT_BYTES:
            yield Outgoing(subject, event, _id_of(project, event), project)
            event, size = events_pb2.InboundReceived(project=f"projects/{project}", provider=provider), 0
        event.messages.append(message)
        size += message.ByteSize()
    yield Outgoing(subject, event, _id_of(project, event), project)


def _id_of(project: str, event: events_pb2.InboundReceived) -> str:
    return derived_id("inbound", project, event.provider, *sorted(one.inbound_id for one in event.messages))


def _event(row: InboundRow) -> events_pb2.InboundMessage:
    return events_pb2.InboundMessage(
        inbound_id=row.inbound_id,
        channel=row.channel,
        origination=row.origination,
        destination=row.destination,
        body=row.body,
        time=timestamp(row.time),
        media_urls=row.media_urls,
        attributes=row.attributes,
    )


def _stored(provider: str, message: object) -> InboundRow | None:
    """Return what is kept of a message, None when it is none; a plugin may hand over anything."""
    try:
        return _sound(message)
    except Unsound as error:
        tell(provider, Fault.WRONG_TYPE, f"handed over {error}")
    except Exception as error:  # a property of a class that is the plugin's may raise anything
        tell(provider, Fault.WRONG_TYPE, f"handed over a message that cannot be read ({type_name(error)})")
    return None


def _sound(message: object) -> InboundRow:
    if not isinstance(message, InboundMessage):
        raise Unsound(f"a {type_name(message)} instead of an inbound message")
    inbound_id = plain(message.inbound_id, _ID_LENGTH + 1)
    if not 1 <= len(inbound_id) <= _ID_LENGTH:
        raise Unsound("an inbound message without a usable inbound_id")
    if not isinstance(message.time, datetime) or message.time.tzinfo is None:
        raise Unsound("an inbound message without a time")
    time = datetime.astimezone(message.time, UTC)
    if not 1970 <= time.year < 9999:
        raise Unsound("an inbound message of no plausible time")
    pairs = list(message.attributes.items())[:MAX_ATTRIBUTES] if isinstance(message.attributes, Mapping) else []
    return InboundRow(
        inbound_id=inbound_id,
        channel=plain(message.kind, 40),
        origination=plain(message.origination, _ADDRESS_LENGTH),
        destination=plain(message.destination, _ADDRESS_LENGTH),
        body=plain(message.body, MAX_BODY),
        time=time,
        media_urls=[plain(url, _MAX_TEXT) for url in (items(message.media_urls) or [])[:MAX_MEDIA]],
        attributes={plain(name, 128): plain(value, _MAX_TEXT) for name, value in pairs},
    )
