"""Erased users leave every journey, whatever is being done with them at the time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from sqlalchemy import text

from heliograph.journeys.v1 import events_pb2 as journey_events_pb2
from heliograph.journeys.v1 import journeys_pb2 as pb
from heliograph.segments.v1 import audience_pb2
from heliograph.segments.v1 import events_pb2 as segments_events_pb2
from heliograph_journeys.config import JourneysSettings
from heliograph_journeys.crowd import Crowd
from heliograph_journeys.erasing import Erasing
from heliograph_journeys.sender import ChunkLost, Sender
from heliograph_journeys.store import JourneyStore
from heliograph_journeys.tables import mail
from heliograph_journeys.working import Tables
from heliograph_kit.bus import Bus
from heliograph_kit.clock import ManualClock
from heliograph_kit.consumer import Delivery
from heliograph_kit.inbox import Inbox
from heliograph_kit.runtime import Runtime
from heliograph_kit.streams import changes_subject
from heliograph_kit.testing import eventually
from heliograph_kit.working import Bell
from tests.journeys.conftest import Mailroom, waiting_at
from tests.journeys.peer import Peer
from tests.journeys.story import PARENT, Stub, passed, published


async def test_an_erased_user_leaves_from_wherever_he_is_and_nothing_is_known_of_him(
    journeys: Stub, mailroom: Mailroom, bus: Bus, clock: ManualClock, service: Runtime[JourneysSettings]
) -> None:
    _, run = await published(journeys)
    inside = await passed(journeys, run)
    await waiting_at(journeys, run, pause=inside)
    listed = await journeys.ListParticipants(pb.ListParticipantsRequest(parent=run, state=pb.Participant.STATE_ACTIVE))
    gone = [participant.endpoint_id for participant in listed.participants[:2]]
    async with service.database.transaction() as conn:
        statement = "SELECT ordinal FROM journeys.participants WHERE endpoint_id = ANY(:ids)"
        ordinals = list((await conn.execute(text(statement), {"ids": gone})).scalars())
    erasure = f"{PARENT}/erasures/x1"
    asked = segments_events_pb2.UserErased(erasure=erasure, user_id="u1", endpoint_ids=gone, ordinals=ordinals)
    for number in range(2):
        await bus.publish(
            changes_subject("segments", "shop", "user_erased"),
            asked.SerializeToString(),
            id=f"erased-{number}",
            type=asked.DESCRIPTOR.full_name,
            project="shop",
        )
    metrics = await waiting_at(journeys, run, pause=inside - 2)
    assert metrics.exited_counts["ERASED"] == 2
    assert {s.activity_id: dict(s.left_counts) for s in metrics.steps}["pause"] == {"ERASED": 2}

    async def answered() -> list[bytes]:
        async with service.database.transaction() as conn:
            done = "SELECT payload FROM journeys.outbox WHERE type LIKE '%ErasureDone'"
            found = list((await conn.execute(text(done))).scalars())
            return found if len(found) == 2 else []

    # Asked twice, answered twice: the first answer may have been lost.
    payloads = await eventually(answered)
    assert {segments_events_pb2.ErasureDone.FromString(bytes(each)).service for each in payloads} == {"journeys"}
    async with service.database.transaction() as conn:
        for table in ("participants", "members"):
            count = f"SELECT count(*) FROM journeys.{table} WHERE endpoint_id = ANY(:ids)"
            assert (await conn.execute(text(count), {"ids": gone})).scalar_one() == 0
        taken = await conn.execute(text("SELECT payload FROM journeys.outbox WHERE type LIKE '%StepTaken'"))
        steps = [journey_events_pb2.StepTaken.FromString(bytes(each)) for each in taken.scalars()]
    assert [list(step.endpoint_ids) for step in steps if step.outcome == "ERASED"] == [["", ""]]
    clock.advance(timedelta(days=1))
    await waiting_at(journeys, run, opened=inside - 2)
    clock.advance(timedelta(hours=12))
    await eventually(lambda: len(mailroom.sent("again")) == inside - 2)
    assert not set(mailroom.sent("again")) & set(gone)


def erasing_of(service: Runtime[JourneysSettings], clock: ManualClock) -> Erasing:
    return Erasing(
        database=service.database,
        store=JourneyStore(),
        crowd=Crowd(),
        outbox=service.outbox,
        inbox=Inbox(mail),
        clock=clock,
        tables=Tables(),
        bell=Bell(),
    )


async def test_a_set_that_is_being_handed_over_loses_the_erased_and_is_taken_again(
    journeys: Stub, clock: ManualClock, service: Runtime[JourneysSettings], peer: Peer
) -> None:
    """Who holds it would write them back as if nobody had left."""
    peer.reading.clear()
    try:
        _, run = await published(journeys)
        inside = await passed(journeys, run)
        async with service.database.transaction() as conn:
            statement = "SELECT endpoint_ids, ordinals FROM journeys.chunks WHERE lease_token > 0 ORDER BY chunk_id"

            async def held() -> Any:
                return (await conn.execute(text(statement))).first()

            chunk = await eventually(held)
        await erasing_of(service, clock).handle([_erased(clock, chunk.endpoint_ids[0], chunk.ordinals[0])])
    finally:
        peer.reading.set()
    metrics = await waiting_at(journeys, run, pause=inside - 1)
    assert metrics.exited_counts["ERASED"] == 1


@pytest.mark.parametrize("page_size", [2])
async def test_a_lost_set_holds_up_none_that_were_taken_beside_it(
    journeys: Stub, clock: ManualClock, service: Runtime[JourneysSettings], peer: Peer
) -> None:
    """They were to wait for the end of a lease that nobody used any more."""
    peer.reading.clear()
    try:
        _, run = await published(journeys)
        await passed(journeys, run)
        store, crowd, tables = JourneyStore(), Crowd(), Tables()
        async with service.database.transaction() as conn:
            (stored,) = await store.with_chunks(conn)

        class Late:
            """Reads recipients while one of them is being erased."""

            asked: ClassVar[list[str]] = []

            async def template_in_use(self, name: str, version: int) -> None:
                return None

            async def read(self, project: str, endpoint_ids: Sequence[str], fields: object) -> audience_pb2.MemberPage:
                self.asked.extend(endpoint_ids)
                if self.asked[0] == endpoint_ids[0]:
                    async with service.database.transaction() as conn:
                        ordinals = await crowd.ordinals_of(conn, stored, endpoint_ids[:1])
                    await erasing_of(service, clock).handle(
                        [_erased(clock, endpoint_ids[0], ordinals[endpoint_ids[0]])]
                    )
                return audience_pb2.MemberPage(endpoint_ids=endpoint_ids)

        sender = Sender(
            database=service.database,
            store=store,
            crowd=crowd,
            outbox=service.outbox,
            recipients=Late(),
            clock=clock,
            tables=tables,
            bell=Bell(),
            lease=timedelta(minutes=10),
            poll_seconds=1,
        )
        with pytest.raises(ChunkLost):
            await sender.send(stored)
        assert 4 <= len(Late.asked) <= 8  # four sets, none of them empty
        async with service.database.transaction() as conn:
            statement = "SELECT count(*) FROM journeys.chunks WHERE lease_until > clock_timestamp() + interval '1 min'"
            assert (await conn.execute(text(statement))).scalar_one() == 0
    finally:
        peer.reading.set()


def _erased(clock: ManualClock, endpoint_id: str, ordinal: int) -> Delivery:
    asked = segments_events_pb2.UserErased(
        erasure=f"{PARENT}/erasures/x1", endpoint_ids=[endpoint_id], ordinals=[ordinal]
    )
    subject = changes_subject("segments", "shop", "user_erased")
    return Delivery("x1", "", subject, "shop", asked.SerializeToString(), 1, clock.now(), {})
