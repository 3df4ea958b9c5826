"""What others announce and campaigns act on: outcomes of messages, deleted segments and projects."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from google.protobuf.message import DecodeError

from heliograph.messaging.v1 import dispatch_pb2, events_pb2
from heliograph.segments.v1 import events_pb2 as segment_events_pb2
from heliograph_campaigns.runner import complete
from heliograph_campaigns.service import Campaigns
from heliograph_campaigns.store import CampaignStore, FunnelKey
from heliograph_kit.clock import Clock
from heliograph_kit.consumer import CannotEverWork, Delivery
from heliograph_kit.database import Database
from heliograph_kit.inbox import Inbox
from heliograph_kit.outbox import Outbox

OUTCOMES_CONSUMER = "campaigns-messages"
CHANGES_CONSUMER = "campaigns-changes"
_PREFIX = "MESSAGE_EVENT_TYPE_"


class Outcomes:
    """Counts what became of a run's messages, and completes the run with its last outcome."""

    def __init__(
        self,
        *,
        database: Database,
        store: CampaignStore,
        outbox: Outbox,
        inbox: Inbox,
        clock: Clock,
        wake_relay: Callable[[], None],
    ) -> None:
        """Take the parts."""
        self._database = database
        self._store = store
        self._outbox = outbox
        self._inbox = inbox
        self._clock = clock
        self._wake_relay = wake_relay

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Count a batch of deliveries; each is counted once, however often it comes.

        Raises:
            CannotEverWork: a payload that is no MessageEventBatch.
        """
        by_project: dict[str, list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            by_project[delivery.project].append(delivery)
        for project, mine in by_project.items():
            await self._count(project, {delivery.id: counted(delivery.payload) for delivery in mine})

    async def _count(self, project: str, counts: dict[str, Counter[FunnelKey]]) -> None:
        now = self._clock.now()
        async with self._database.transaction() as conn:
            # The runs are locked before anything is counted: see CampaignStore.complete_runs.
            run_ids = sorted({key[0] for counter in counts.values() for key in counter})
            known = await self._store.lock_runs(conn, project, run_ids) if run_ids else set()
            new = await self._inbox.first_seen(conn, OUTCOMES_CONSUMER, sorted(counts))
            more: Counter[FunnelKey] = Counter()
            for delivery_id in new:
                more.update({key: n for key, n in counts[delivery_id].items() if key[0] in known})
            if more:
                await self._store.add_to_funnel(conn, project, more)
                await complete(conn, self._store, self._outbox, project, sorted(known), now)
        self._wake_relay()


def counted(payload: bytes) -> Counter[FunnelKey]:
    """Count the events of one batch of campaign messages by run, treatment, outcome and reason.

    Raises:
        CannotEverWork: the payload is no MessageEventBatch.
    """
    try:
        batch = events_pb2.MessageEventBatch.FromString(payload)
    except DecodeError as error:
        raise CannotEverWork(f"not a MessageEventBatch: {error}") from error
    if batch.message_class != dispatch_pb2.MESSAGE_CLASS_CAMPAIGN:
        return Counter()
    run_id, treatment = batch.source.run_id, batch.source.treatment_id
    return Counter(
        (
            run_id,
            treatment,
            events_pb2.MessageEventType.Name(event.type).removeprefix(_PREFIX),
            event.reason,
        )
        for event in batch.events
    )


class Changes:
    """Ends campaigns whose segment or project is gone."""

    def __init__(
        self,
        *,
        database: Database,
        store: CampaignStore,
        inbox: Inbox,
        campaigns: Campaigns,
    ) -> None:
        """Take the parts."""
        self._database = database
        self._store = store
        self._inbox = inbox
        self._campaigns = campaigns

    async def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Act on each announcement once.

        Raises:
            CannotEverWork: a payload that is no SegmentDeleted.
        """
        for delivery in deliveries:
            async with self._database.transaction() as conn:
                if not await self._inbox.first_seen(conn, CHANGES_CONSUMER, [delivery.id]):
                    continue
                if delivery.subject.endswith(".project_deleted"):
                    await self._store.drop_project(conn, delivery.project)
                elif delivery.subject.endswith(".segment_deleted"):
                    try:
                        gone = segment_events_pb2.SegmentDeleted.FromString(delivery.payload)
                    except DecodeError as error:
                        raise CannotEverWork(f"not a SegmentDeleted: {error}") from error
                    await self._campaigns.segment_deleted(conn, gone.segment)
