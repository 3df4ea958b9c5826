"""Which campaigns and journeys use a segment, as they announce it over the bus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import permutations
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from sqlalchemy import text

from heliograph.campaigns.v1 import events_pb2 as campaign_events_pb2
from heliograph.journeys.v1 import events_pb2 as journey_events_pb2
from heliograph.segments.v1 import segments_pb2
from heliograph_kit.ids import new_id
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.runtime import Runtime
from heliograph_kit.streams import changes_subject
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.tables import mail
from tests.segments.builders import PARENT, a_segment, having
from tests.segments.conftest import Api

Service = Runtime[SegmentsSettings]
Eventually = Callable[..., Awaitable[Any]]


def campaign(id: str, state: str, revision: int, *segments: str) -> Outgoing:
    message = campaign_events_pb2.CampaignUpdated(
        campaign=f"{PARENT}/campaigns/{id}", state=state, segments=segments, revision=revision
    )
    return _announced("campaigns", "campaign_updated", message)


def journey(id: str, state: str, revision: int, *segments: str) -> Outgoing:
    message = journey_events_pb2.JourneyUpdated(
        journey=f"{PARENT}/journeys/{id}", state=state, segments=segments, revision=revision
    )
    return _announced("journeys", "journey_updated", message)


def _announced(service: str, kind: str, message: Message) -> Outgoing:
    return Outgoing(changes_subject(service, "shop", kind), message, new_id(), "shop")


async def announce(service: Service, *announcements: Outgoing) -> None:
    """Put announcements on the bus, as another service would, in the order given."""
    async with service.database.transaction() as conn:
        await Outbox(mail).add(conn, *announcements)


async def uses(api: Api, segment: str, **given: Any) -> segments_pb2.ListSegmentUsesResponse:
    return await api.segments.ListSegmentUses(segments_pb2.ListSegmentUsesRequest(parent=segment, **given))


async def users(api: Api, segment: str) -> dict[str, str]:
    return {use.name.removeprefix(f"{PARENT}/"): use.state for use in (await uses(api, segment)).uses}


async def heard(service: Service) -> int:
    async with service.database.transaction() as conn:
        statement = text("SELECT count(*) FROM segments.inbox WHERE consumer = 'segments-uses'")
        return int((await conn.execute(statement)).scalar_one())


def built_on(*segments: str) -> segments_pb2.CreateSegmentRequest:
    request = a_segment()
    sources = [segments_pb2.SegmentReference(segment=segment) for segment in segments]
    request.segment.rules.groups[0].source_segments.extend(sources)
    return request


async def test_campaigns_and_journeys_that_have_not_ended_use_a_segment(
    service: Service, api: Api, eventually: Eventually
) -> None:
    gold = (await api.segments.CreateSegment(a_segment(having("plan", "gold")))).name
    other = (await api.segments.CreateSegment(a_segment(having("plan", "silver")))).name
    announcements = [campaign(f"c-{state}", state, 1, gold) for state in campaign_events_states()]
    announcements += [journey(f"j-{state}", state, 1, gold) for state in journey_states()]
    await announce(service, *announcements, campaign("c-other", "SCHEDULED", 1, other))

    async def all_heard() -> bool:
        return await heard(service) == len(announcements) + 1

    await eventually(all_heard)
    assert await users(api, gold) == {
        "campaigns/c-EXECUTING": "EXECUTING",
        "campaigns/c-PAUSED": "PAUSED",
        "campaigns/c-SCHEDULED": "SCHEDULED",
        "journeys/j-ACTIVE": "ACTIVE",
        "journeys/j-CLOSED": "CLOSED",
        "journeys/j-DRAFT": "DRAFT",
    }
    assert {use.kind for use in (await uses(api, other)).uses} == {segments_pb2.SegmentUse.KIND_CAMPAIGN}
    await api.segments.DeleteSegment(segments_pb2.DeleteSegmentRequest(name=gold))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await uses(api, gold)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "SEGMENT_NOT_FOUND")


def campaign_events_states() -> list[str]:
    return ["SCHEDULED", "EXECUTING", "PAUSED", "COMPLETED", "DELETED", "INVALID"]


def journey_states() -> list[str]:
    return ["DRAFT", "ACTIVE", "CLOSED", "COMPLETED", "CANCELLED", "DELETED"]


async def test_whatever_the_order_of_announcements_the_latest_one_counts(
    service: Service, api: Api, eventually: Eventually
) -> None:
    gold = (await api.segments.CreateSegment(a_segment(having("plan", "gold")))).name
    silver = (await api.segments.CreateSegment(a_segment(having("plan", "silver")))).name
    told = [(1, "SCHEDULED", gold), (2, "PAUSED", silver), (3, "EXECUTING", silver), (0, "SCHEDULED", gold)]
    orders = list(permutations(told))
    for number, order in enumerate(orders):
        await announce(service, *[campaign(f"c{number}", state, at, segment) for at, state, segment in order])
        # One that ended does not come back by what is late.
        ended = [(9, "COMPLETED", gold), *order]
        await announce(service, *[campaign(f"d{number}", state, at, segment) for at, state, segment in ended])

    async def all_heard() -> bool:
        return await heard(service) == len(orders) * 9

    await eventually(all_heard)
    assert await users(api, gold) == {}
    assert await users(api, silver) == {f"campaigns/c{number}": "EXECUTING" for number in range(len(orders))}


async def test_a_segment_is_also_used_through_those_built_on_it(
    service: Service, api: Api, eventually: Eventually
) -> None:
    base = (await api.segments.CreateSegment(a_segment(having("plan", "gold")))).name
    middle = (await api.segments.CreateSegment(built_on(base))).name
    outer = (await api.segments.CreateSegment(built_on(middle))).name
    await announce(service, journey("j1", "ACTIVE", 4, outer), campaign("c1", "SCHEDULED", 1, base))

    async def both() -> bool:
        return len(await users(api, base)) == 2

    await eventually(both)
    first = await uses(api, base, page_size=1)
    assert [(use.name, list(use.segments)) for use in first.uses] == [(f"{PARENT}/campaigns/c1", [base])]
    second = await uses(api, base, page_size=1, page_token=first.next_page_token)
    assert [(use.name, list(use.segments)) for use in second.uses] == [(f"{PARENT}/journeys/j1", [outer])]
    assert second.next_page_token == ""
    assert await users(api, middle) == {"journeys/j1": "ACTIVE"}
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await uses(api, middle, page_size=1, page_token=first.next_page_token)
    assert violations_of(refused.value) == [("page_token", "PAGE_TOKEN_INVALID")]
