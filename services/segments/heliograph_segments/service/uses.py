"""Which campaigns and journeys use a segment: followed on CHANGES, told to people.

Deleting a segment that is used stays allowed (pinpoint-1 3.1); its uses are what a person looks at before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from google.protobuf.message import DecodeError

from heliograph.campaigns.v1 import events_pb2 as campaign_events_pb2
from heliograph.journeys.v1 import events_pb2 as journey_events_pb2
from heliograph_kit.bus import Bus
from heliograph_kit.consumer import CannotEverWork, Consumer, Delivery
from heliograph_kit.database import Database
from heliograph_kit.inbox import Inbox
from heliograph_kit.names import parse_name
from heliograph_segments.domain.uses import Use, UseKind, reached
from heliograph_segments.errors import SegmentNotFound
from heliograph_segments.store import segments as segment_store
from heliograph_segments.store import uses as store

USES = "segments-uses"


class Uses:
    """Remembers who uses segments, and tells it."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        """Take the record, and what remembers the messages that were applied."""
        self._database = database
        self._inbox = inbox

    def consumer(self, bus: Bus) -> Consumer:
        """Return the consumer to run."""
        return Consumer(
            bus,
            service="segments",
            stream="CHANGES",
            durable=USES,
            subjects=["changes.campaigns.*.campaign_updated", "changes.journeys.*.journey_updated"],
            handler=self.apply,
            batch=100,
            on_dead=self._inbox.burial(self._database, USES),
        )

    async def apply(self, deliveries: Sequence[Delivery]) -> None:
        """Store the latest state of each campaign and journey; safe to repeat and in any order.

        Raises:
            CannotEverWork: a payload is no announcement.
        """
        uses = {delivery.id: _use(delivery) for delivery in deliveries}
        async with self._database.transaction() as conn:
            fresh = await self._inbox.first_seen(conn, USES, list(uses))
            # In one order, so that two workers cannot lock the same rows crosswise.
            for use in sorted((uses[id] for id in fresh), key=lambda use: (use.project, use.kind, use.user_id)):
                await store.put(conn, use)

    async def page(self, project: str, segment_id: str, count: int, after: tuple[str, str] | None) -> Sequence[Use]:
        """Return up to `count` uses of a segment behind a position (kind, id).

        Of the segments they name only those are told that are the segment or are built on it.

        Raises:
            SegmentNotFound: there is no such segment.
        """
        async with self._database.transaction() as conn:
            if await segment_store.get(conn, project, segment_id) is None:
                raise SegmentNotFound(project, segment_id)
            named = await store.named(conn, project)
            library = await store.library_of(conn, project, named)
            leading = {name for name in named if segment_id in reached([name], library)}
            found = await store.page(conn, project, leading, count, after)
        return [replace(use, segment_ids=tuple(name for name in use.segment_ids if name in leading)) for use in found]


def _use(delivery: Delivery) -> Use:
    try:
        if delivery.subject.startswith("changes.campaigns."):
            campaign = campaign_events_pb2.CampaignUpdated.FromString(delivery.payload)
            return _read(UseKind.CAMPAIGN, campaign.campaign, campaign)
        journey = journey_events_pb2.JourneyUpdated.FromString(delivery.payload)
        return _read(UseKind.JOURNEY, journey.journey, journey)
    except (DecodeError, ValueError) as error:
        raise CannotEverWork(f"no announcement of a campaign or journey: {error}") from error


_COLLECTIONS = {UseKind.CAMPAIGN: "campaigns", UseKind.JOURNEY: "journeys"}


def _read(
    kind: UseKind, name: str, message: campaign_events_pb2.CampaignUpdated | journey_events_pb2.JourneyUpdated
) -> Use:
    user = parse_name(name, _COLLECTIONS[kind])
    segment_ids = (parse_name(segment, "segments").id for segment in message.segments)
    return Use(user.project, kind, user.id, message.revision, message.state, tuple(dict.fromkeys(segment_ids)))
