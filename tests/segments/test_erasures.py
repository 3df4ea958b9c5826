"""Erasing a user: endpoints, snapshots, and the answers of the other services."""

from __future__ import annotations

from datetime import timedelta

import grpc
import pytest
from pyroaring import BitMap
from sqlalchemy import text

from heliograph.segments.v1 import audience_pb2, endpoints_pb2, erasures_pb2, events_pb2
from heliograph_kit.ids import new_id
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.runtime import Runtime
from heliograph_kit.streams import changes_subject
from heliograph_kit.testing import eventually
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.domain.erasures import ErasureState
from heliograph_segments.service.erasures import ErasureWorker
from heliograph_segments.store import erasures as store
from heliograph_segments.tables import mail
from tests.segments.builders import PARENT, a_segment, an_endpoint_message, lists
from tests.segments.conftest import Api

Service = Runtime[SegmentsSettings]
WAITING, COMPLETE = erasures_pb2.Erasure.STATE_WAITING, erasures_pb2.Erasure.STATE_COMPLETE


async def write(api: Api, **users: list[str]) -> None:
    """Write endpoints of users."""
    endpoints = [
        an_endpoint_message(each, user=endpoints_pb2.EndpointUser(user_id=user, attributes=lists(first=["Ann"])))
        for user, mine in users.items()
        for each in mine
    ]
    await api.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints))


async def erase(api: Api, user_id: str, request_id: str = "") -> erasures_pb2.Erasure:
    return await api.erasures.EraseUser(
        erasures_pb2.EraseUserRequest(parent=PARENT, user_id=user_id, request_id=request_id)
    )


async def reaches(api: Api, name: str, state: erasures_pb2.Erasure.State.ValueType) -> erasures_pb2.Erasure:
    async def look() -> erasures_pb2.Erasure | None:
        erasure = await api.erasures.GetErasure(erasures_pb2.GetErasureRequest(name=name))
        return erasure if erasure.state == state else None

    found = await eventually(look)
    assert found is not None
    return found


async def answer(service: Service, erasure: str, *others: str) -> None:
    async with service.database.transaction() as conn:
        for other in others:
            message = events_pb2.ErasureDone(erasure=erasure, service=other)
            subject = changes_subject(other, "shop", "erasure_done")
            await Outbox(mail).add(conn, Outgoing(subject, message, new_id(), "shop"))


async def asked(service: Service) -> list[events_pb2.UserErased]:
    async with service.database.transaction() as conn:
        statement = "SELECT payload FROM segments.outbox WHERE type LIKE '%UserErased' ORDER BY seq"
        return [events_pb2.UserErased.FromString(bytes(p)) for p in (await conn.execute(text(statement))).scalars()]


async def rows(service: Service, statement: str) -> list[tuple[object, ...]]:
    async with service.database.transaction() as conn:
        return [tuple(row) for row in await conn.execute(text(statement))]


async def test_an_erasure_is_complete_when_everybody_has_answered(service: Service, api: Api) -> None:
    await write(api, anna=["A1", "a2"], bob=["b1"])
    everybody = (await api.segments.CreateSegment(a_segment())).name
    for snapshot in ("s1", "s2"):
        await api.audience.FreezeSegment(audience_pb2.FreezeSegmentRequest(segment=everybody, snapshot_id=snapshot))
    begun = await erase(api, "anna")
    assert (begun.user_id, begun.endpoint_count) == ("anna", 2)
    assert await rows(service, "SELECT endpoint_id FROM segments.endpoints") == [("b1",)]
    assert await rows(service, "SELECT user_id FROM segments.users") == [("bob",)]
    waiting = await reaches(api, begun.name, WAITING)
    assert waiting.snapshot_count == 2
    assert list(waiting.waiting_for) == ["analytics", "journeys", "messaging"]
    for members, count in await rows(service, "SELECT members, member_count FROM segments.snapshots"):
        assert isinstance(members, bytes)
        assert (list(BitMap.deserialize(members)), count) == ([3], 1)
    [told] = await asked(service)
    assert (told.erasure, told.user_id) == (begun.name, "anna")
    assert (sorted(told.endpoint_ids), sorted(told.ordinals)) == (["A1", "a2"], [1, 2])

    await answer(service, begun.name, "journeys", "messaging", "journeys")

    async def one_left() -> bool:
        erasure = await api.erasures.GetErasure(erasures_pb2.GetErasureRequest(name=begun.name))
        return list(erasure.waiting_for) == ["analytics"]

    await eventually(one_left)
    await answer(service, begun.name, "analytics")
    done = await reaches(api, begun.name, COMPLETE)
    assert done.HasField("complete_time")
    assert (list(done.waiting_for), done.endpoint_count, done.snapshot_count) == ([], 2, 2)
    # What it was about is not kept longer than it is needed.
    assert await rows(service, "SELECT endpoint_ids, ordinals FROM segments.erasures") == [([], [])]


async def test_a_repeated_request_finds_the_first_erasure_and_a_new_one_erases_again(
    service: Service, api: Api
) -> None:
    await write(api, anna=["a1"])
    first = await erase(api, "anna", "r1")
    await write(api, anna=["a2"])
    assert (await erase(api, "anna", "r1")).name == first.name
    assert await rows(service, "SELECT endpoint_id FROM segments.endpoints") == [("a2",)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await erase(api, "bob", "r1")
    assert reason_of(refused.value) == "REQUEST_ID_REUSED"
    second = await erase(api, "anna")
    nobody = await erase(api, "nobody")
    assert [second.endpoint_count, nobody.endpoint_count] == [1, 0]
    for each in (first, second, nobody):
        await reaches(api, each.name, WAITING)
    assert [list(told.endpoint_ids) for told in sorted(await asked(service), key=lambda told: told.erasure)] == [
        ["a1"],
        ["a2"],
        [],
    ]
    page = await api.erasures.ListErasures(erasures_pb2.ListErasuresRequest(parent=PARENT, page_size=2))
    assert [each.name for each in page.erasures] == [nobody.name, second.name]
    rest = await api.erasures.ListErasures(
        erasures_pb2.ListErasuresRequest(parent=PARENT, page_size=2, page_token=page.next_page_token)
    )
    assert ([each.name for each in rest.erasures], rest.next_page_token) == ([first.name], "")


async def test_who_does_not_answer_is_asked_again_under_another_id(service: Service, api: Api) -> None:
    await write(api, anna=["a1"])
    begun = await erase(api, "anna")
    await reaches(api, begun.name, WAITING)
    worker = ErasureWorker(service.database, service.outbox)
    assert await worker.ask_again() == 0
    assert await worker.ask_again(timedelta(0)) == 1
    first, second = await asked(service)
    assert first == second
    await answer(service, begun.name, "analytics", "journeys", "messaging")
    await reaches(api, begun.name, COMPLETE)
    assert await worker.ask_again(timedelta(0)) == 0


async def test_what_cannot_be_erased_is_refused(api: Api) -> None:
    for user_id, reason in (("", "REQUIRED"), ("x" * 129, "TOO_LONG")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await erase(api, user_id, "r" * 65)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert set(violations_of(refused.value)) == {("user_id", reason), ("request_id", "TOO_LONG")}
    assert (await erase(api, "x" * 128)).user_id == "x" * 128
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.erasures.GetErasure(erasures_pb2.GetErasureRequest(name=f"{PARENT}/erasures/none"))
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "ERASURE_NOT_FOUND")


async def test_a_worker_that_dies_in_between_is_followed_and_one_that_lost_its_lease_changes_nothing(
    service: Service, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(api, anna=["a1"], bob=["b1"])
    everybody = (await api.segments.CreateSegment(a_segment())).name
    for snapshot in ("s1", "s2", "s3"):
        await api.audience.FreezeSegment(audience_pb2.FreezeSegmentRequest(segment=everybody, snapshot_id=snapshot))
    # The worker of the service finds nothing: the test is the worker.
    lease = store.lease

    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(store, "lease", nothing)
    begun = await erase(api, "anna")
    async with service.database.transaction() as conn:
        first = await lease(conn, timedelta(0))
    assert first is not None
    worker = ErasureWorker(service.database, service.outbox)
    assert await worker._step(first, "") == "s1"
    async with service.database.transaction() as conn:
        await conn.execute(text("UPDATE segments.erasures SET lease_until = clock_timestamp() - interval '1 second'"))
        second = await lease(conn, timedelta(seconds=15))
    assert second is not None
    assert second.erasure.snapshot_done == "s1"
    with pytest.raises(store.LeaseLost):
        await worker._step(first, "s1")
    done: str | None = second.erasure.snapshot_done
    while done is not None:
        done = await worker._step(second, done)
    ended = await reaches(api, begun.name, WAITING)
    assert ended.snapshot_count == 3
    assert len(await asked(service)) == 1
    async with service.database.transaction() as conn:
        erasure = await store.get(conn, "shop", begun.name.rpartition("/")[2])
    assert erasure is not None
    assert erasure.state is ErasureState.WAITING
