"""Events of erased users are deleted, those that come late too, and it is answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc

from heliograph.analytics.v1 import analytics_pb2_grpc, events_pb2
from heliograph.segments.v1 import events_pb2 as segments_events_pb2
from heliograph_analytics.config import AnalyticsSettings
from heliograph_analytics.erasing import ERASURES
from heliograph_analytics.store import Arrived, EventStore
from heliograph_kit.bus import Bus
from heliograph_kit.ids import new_id
from heliograph_kit.runtime import Runtime
from heliograph_kit.streams import changes_subject, events_subject
from heliograph_kit.testing import eventually
from tests.analytics.conftest import PROJECT, an_event, until_stored

NOW = datetime.now(UTC).replace(microsecond=0)


async def put(bus: Bus, *events: events_pb2.Event, project: str = "shop") -> None:
    batch = events_pb2.EventBatch(project=f"projects/{project}", events=events)
    await bus.publish(
        events_subject(project),
        batch.SerializeToString(),
        id=new_id(),
        type=batch.DESCRIPTOR.full_name,
        project=project,
    )


async def erase(bus: Bus, id: str) -> None:
    asked = segments_events_pb2.UserErased(
        erasure=f"{PROJECT}/erasures/x1", user_id="anna", endpoint_ids=["Phone"], ordinals=[1]
    )
    asked.erase_time.FromDatetime(NOW)
    await bus.publish(
        changes_subject("segments", "shop", "user_erased"),
        asked.SerializeToString(),
        id=id,
        type=asked.DESCRIPTOR.full_name,
        project="shop",
    )


async def test_events_of_an_erased_user_are_deleted_and_late_ones_are_not_stored(
    service: Runtime[AnalyticsSettings], analytics_channel: grpc.aio.Channel
) -> None:
    stub = analytics_pb2_grpc.AnalyticsServiceStub(analytics_channel)
    bus, before = service.bus, NOW - timedelta(minutes=5)
    await put(
        bus,
        an_event("phone", at=before),
        an_event("PHONE", at=before),
        an_event("other", user="anna", at=before),
        an_event("e2", user="bob", at=before),
    )
    await put(bus, an_event("phone", user="anna", at=before), project="else")
    await until_stored(stub, 4)
    await until_stored(stub, 1, "projects/else")
    await erase(bus, "erased-1")

    async def only_bob() -> bool:
        return (await until_stored(stub, 0)).stored_count == 1

    await eventually(only_bob)
    await erase(bus, "erased-2")  # once more: nothing more to do
    await put(
        bus,
        an_event("phone", at=before),
        an_event("other", user="anna", at=NOW),
        # He came back as somebody new.
        an_event("phone", user="anna", at=NOW + timedelta(seconds=1)),
    )
    assert (await until_stored(stub, 2)).stored_count == 2
    assert (await until_stored(stub, 1, "projects/else")).stored_count == 1
    answer = await bus.jetstream.get_last_msg("CHANGES", changes_subject("analytics", "shop", "erasure_done"))
    told = segments_events_pb2.ErasureDone.FromString(answer.data or b"")
    assert (told.erasure, told.service) == (f"{PROJECT}/erasures/x1", "analytics")


async def test_the_store_says_that_it_has_applied_an_erasure(settings: AnalyticsSettings) -> None:
    store = EventStore(settings.event_store)
    try:
        await store.erase(ERASURES, Arrived("x1", NOW), "shop", endpoint_ids=[], user_id="anna", erased_at=NOW, now=NOW)
        assert await store.applied(["x1", "x2"]) == {"x1"}
    finally:
        await store.close()
