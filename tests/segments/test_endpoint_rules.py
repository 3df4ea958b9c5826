"""The rules of endpoints and users through gRPC, each at its limit and past it (pinpoint-1 2.3 to 2.6)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable

import grpc
import pytest
from sqlalchemy import text

from heliograph.segments.v1 import audience_pb2, endpoints_pb2, segments_pb2
from heliograph_kit.clock import SystemClock
from heliograph_kit.database import Database
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_segments.domain.endpoints import EndpointUpdate
from heliograph_segments.domain.vocabulary import Kind
from heliograph_segments.service.attributes import MAX_DENIED, Attributes
from heliograph_segments.service.endpoints import Endpoints
from heliograph_segments.service.writing import EndpointWriter, Limits
from tests.segments.builders import PARENT, an_endpoint_message, having, lists, rules_message
from tests.segments.conftest import Api

Message = endpoints_pb2.Endpoint
REMOVE = endpoints_pb2.RemoveAttributesRequest
ACTIVE = Message.STATUS_ACTIVE
INACTIVE = Message.STATUS_INACTIVE


async def write(api: Api, *endpoints: Message) -> endpoints_pb2.UpdateEndpointsResponse:
    return await api.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints))


async def read(api: Api, endpoint_id: str) -> Message:
    return await api.endpoints.GetEndpoint(endpoints_pb2.GetEndpointRequest(name=f"{PARENT}/endpoints/{endpoint_id}"))


async def statuses(api: Api, *ids: str) -> list[int]:
    return [(await read(api, id)).status for id in ids]


async def refused_fields(api: Api, *endpoints: Message) -> list[str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await write(api, *endpoints)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return [violation[0] for violation in violations_of(refused.value)]


def of_user(endpoint_id: str, user: str = "u1", **given: object) -> Message:
    return an_endpoint_message(endpoint_id, user=endpoints_pb2.EndpointUser(user_id=user), **given)


async def count(api: Api, attribute: str, *values: str) -> int:
    request = segments_pb2.CountSegmentRequest(parent=PARENT, rules=rules_message(having(attribute, *values)))
    return (await api.segments.CountSegment(request)).member_count


# Addresses


async def test_the_last_writer_of_an_address_has_it(api: Api) -> None:
    await write(api, an_endpoint_message("e1", address="ann@example.com"))
    await write(api, an_endpoint_message("e2", address="ann@example.com"))
    assert await statuses(api, "e1", "e2") == [INACTIVE, ACTIVE]
    await write(api, Message(endpoint_id="e1"))
    assert await statuses(api, "e1", "e2") == [ACTIVE, INACTIVE]


async def test_within_a_batch_the_last_has_the_address(api: Api) -> None:
    await write(api, *(an_endpoint_message(f"e{n}", address="ann@example.com") for n in range(3)))
    assert await statuses(api, "e0", "e1", "e2") == [INACTIVE, INACTIVE, ACTIVE]


async def test_two_endpoints_exchange_their_addresses(api: Api) -> None:
    await write(api, an_endpoint_message("e1", address="1"), an_endpoint_message("e2", address="2"))
    await write(api, Message(endpoint_id="e1", address="2"), Message(endpoint_id="e2", address="1"))
    assert await statuses(api, "e1", "e2") == [ACTIVE, ACTIVE]
    assert [(await read(api, id)).address for id in ("e1", "e2")] == ["2", "1"]


@pytest.mark.parametrize(
    "other",
    [
        {"channel_type": "CUSTOM", "address": "ann@example.com"},
        {"address": "bea@example.com"},
        {"address": "ann@example.com", "status": INACTIVE},
    ],
)
async def test_another_channel_address_or_status_takes_nothing(api: Api, other: dict[str, object]) -> None:
    await write(api, an_endpoint_message("e1", address="ann@example.com"))
    await write(api, an_endpoint_message("e2", **other))
    assert await statuses(api, "e1") == [ACTIVE]


async def test_whoever_loses_an_address_is_changed_in_the_index(api: Api) -> None:
    """The index hears of endpoints that somebody else's write changes."""
    await write(api, an_endpoint_message("e1", address="x", attributes=lists(tier=["gold"])))
    assert await count(api, "tier", "gold") == 1
    await write(api, an_endpoint_message("e2", address="x"))
    request = audience_pb2.VerifyAudienceRequest(project=PARENT)
    assert [found.difference_count async for found in api.audience.VerifyAudience(request)] == [0]


async def test_concurrent_writers_of_one_address_leave_one_active(api: Api) -> None:
    ids = [f"e{n}" for n in range(12)]
    await asyncio.gather(*(write(api, an_endpoint_message(id, address="x")) for id in ids))
    assert sorted(await statuses(api, *ids)).count(ACTIVE) == 1


# Users


async def test_a_user_has_fifteen_endpoints_and_not_sixteen(api: Api) -> None:
    await write(api, *(of_user(f"e{n}") for n in range(15)))
    assert await refused_fields(api, of_user("e15")) == ["endpoints[0].user.user_id"]
    with pytest.raises(grpc.aio.AioRpcError):
        await read(api, "e15")
    # Those he has can still be written.
    await write(api, of_user("e3", attributes=lists(a=["1"])))


async def test_a_new_device_takes_the_place_of_the_one_written_longest_ago(api: Api) -> None:
    for n in range(15):
        await write(api, of_user(f"e{n}", channel_type="GCM"))
    await write(api, of_user("e0"))
    await write(api, of_user("new", channel_type="APNS"))
    gone = await read(api, "e1")
    assert (gone.status, gone.user.user_id) == (INACTIVE, "")
    kept = await read(api, "e0")
    assert (kept.status, kept.user.user_id) == (ACTIVE, "u1")


async def test_a_browser_is_a_device_with_the_longest_subscription_there_is(api: Api) -> None:
    # 2,048 characters of endpoint and the keys, all of them random: what compression would make room for is not there.
    keys = f'"keys":{{"p256dh":"{secrets.token_urlsafe(65)}","auth":"{secrets.token_urlsafe(16)}"}}'
    endpoint = f"https://push.example.com/{secrets.token_urlsafe(1536)}"[:2048]
    subscription = f'{{"endpoint":"{endpoint}","expirationTime":null,{keys}}}'
    for n in range(15):
        await write(api, of_user(f"e{n}", channel_type="WEB", address=subscription if n == 14 else f"{n}"))
    await write(api, of_user("new", channel_type="WEB", address="another"))
    assert await statuses(api, "e0", "e14", "new") == [INACTIVE, ACTIVE, ACTIVE]
    assert (await read(api, "e14")).address == subscription
    await write(api, an_endpoint_message("twin", channel_type="WEB", address=subscription))
    assert await statuses(api, "e14", "twin") == [INACTIVE, ACTIVE]


async def test_concurrent_writers_do_not_exceed_the_endpoints_of_a_user(api: Api) -> None:
    await write(api, *(of_user(f"e{n}") for n in range(13)))
    results = await asyncio.gather(*(write(api, of_user(f"n{n}")) for n in range(6)), return_exceptions=True)
    assert sum(isinstance(result, grpc.aio.AioRpcError) for result in results) == 4
    assert len(await endpoints_of(api, "u1")) == 15


async def endpoints_of(api: Api, user: str) -> list[str]:
    request = endpoints_pb2.GetUserEndpointsRequest(name=f"{PARENT}/users/{user}")
    return [each.endpoint_id for each in (await api.endpoints.GetUserEndpoints(request)).endpoints]


async def test_the_endpoints_of_a_user_are_listed_and_deleted(api: Api) -> None:
    await write(api, of_user("e1", "u/1"), of_user("e2", "u/1"), of_user("e3", "u2"))
    assert await endpoints_of(api, "u/1") == ["e1", "e2"]
    name = f"{PARENT}/users/u/1"
    gone = await api.endpoints.DeleteUserEndpoints(endpoints_pb2.DeleteUserEndpointsRequest(name=name))
    assert [each.endpoint_id for each in gone.endpoints] == ["e1", "e2"]
    for call in (
        api.endpoints.GetUserEndpoints(endpoints_pb2.GetUserEndpointsRequest(name=name)),
        api.endpoints.DeleteUserEndpoints(endpoints_pb2.DeleteUserEndpointsRequest(name=name)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as missing:
            await call
        assert reason_of(missing.value) == "USER_NOT_FOUND"
    assert await endpoints_of(api, "u2") == ["e3"]


async def test_a_deleted_user_comes_back_without_his_attributes(api: Api) -> None:
    user = endpoints_pb2.EndpointUser(user_id="u1", attributes=lists(first=["Ann"]))
    await write(api, an_endpoint_message("e1", user=user))
    await api.endpoints.DeleteUserEndpoints(endpoints_pb2.DeleteUserEndpointsRequest(name=f"{PARENT}/users/u1"))
    await write(api, of_user("e2"))
    assert not (await read(api, "e2")).user.attributes


# Sizes


def large(bytes: int) -> dict[str, endpoints_pb2.StringList]:
    """Return attributes that are stored in so many bytes: 100 a value with its quotes, comma and blank."""
    names = {f"n{n:02}": ["v" * 96] * 50 for n in range(bytes // 5007)}
    # {"n00": ["...", "..."], ...}: nine bytes a name (`"n00": []`) and `, ` behind all but one.
    stored = 2 + sum(9 + 50 * 100 - 2 + 2 for _ in names) - (2 if names else 0)
    rest = bytes - stored - 2 - len('"zzz": [""]')
    values: list[str] = []
    while rest > 100:
        values.append("v" * 96)
        rest -= 100
    names["zzz"] = [*values, "v" * rest]
    return lists(**names)


async def test_an_endpoint_has_fifteen_kilobytes_and_not_a_byte_more(api: Api) -> None:
    limit = 15 * 1024 - 2 - 2  # the demographic and the location are empty documents
    await write(api, an_endpoint_message("e1", attributes=large(limit)))
    assert await refused_fields(api, an_endpoint_message("e2", attributes=large(limit + 1))) == [
        "endpoints[0].attributes"
    ]


async def test_many_small_updates_do_not_make_a_large_endpoint(api: Api) -> None:
    limit = 15 * 1024 - 2 - 2
    await write(api, an_endpoint_message("e1", attributes=large(limit)))
    assert await refused_fields(api, Message(endpoint_id="e1", attributes=lists(b=["1"]))) == [
        "endpoints[0].attributes"
    ]
    assert "b" not in (await read(api, "e1")).attributes


async def test_a_user_has_fifteen_kilobytes_and_not_a_byte_more(api: Api) -> None:
    def user(bytes: int) -> endpoints_pb2.EndpointUser:
        return endpoints_pb2.EndpointUser(user_id="u1", attributes=large(bytes))

    await write(api, an_endpoint_message("e1", user=user(15 * 1024)))
    refused = await refused_fields(api, an_endpoint_message("e2", user=user(15 * 1024 + 1)))
    assert refused == ["endpoints[0].user.attributes"]


# Names


@pytest.fixture
async def database(database_of_segments: str) -> AsyncIterator[Database]:
    opened = Database(database_of_segments, application_name="tests")
    yield opened
    await opened.close()


def named(*names: str) -> EndpointUpdate:
    return EndpointUpdate("e1", attributes={name: ["1"] for name in names})


async def test_a_project_has_250_names_of_all_kinds_and_not_251(api: Api) -> None:
    first = an_endpoint_message("e1", attributes=lists(**{f"a{n}": ["1"] for n in range(120)}))
    second = an_endpoint_message(
        "e2",
        metrics={f"m{n}": 1 for n in range(100)},
        user=endpoints_pb2.EndpointUser(user_id="u", attributes=lists(**{f"u{n}": ["1"] for n in range(30)})),
    )
    await write(api, first, second)
    assert await refused_fields(api, an_endpoint_message("e3", attributes=lists(new=["1"]))) == [
        "endpoints[0].attributes"
    ]
    await write(api, an_endpoint_message("e3", attributes=lists(a7=["2"])))
    # A kind of its own: a metric may be called like an attribute, and is a name of its own.
    assert await refused_fields(api, Message(endpoint_id="e3", metrics={"a7": 1})) == ["endpoints[0].attributes"]
    await api.endpoints.RemoveAttributes(REMOVE(parent=PARENT, kind=REMOVE.KIND_ENDPOINT_METRICS, patterns=["m99"]))
    await write(api, an_endpoint_message("e3", attributes=lists(new=["1"])))


async def test_concurrent_writers_do_not_exceed_the_names(database: Database) -> None:
    endpoints = Endpoints(database, EndpointWriter(SystemClock(), Limits(attribute_names=5)))
    updates = [EndpointUpdate(f"e{n}", attributes={f"a{n}": ["1"]}) for n in range(10)]
    results = await asyncio.gather(*(endpoints.update("p", [each]) for each in updates), return_exceptions=True)
    assert sum(isinstance(result, BaseException) for result in results) == 5
    assert (await Attributes(database, 5).names("p")).count == 5


async def test_removed_attributes_go_everywhere_and_do_not_come_back(api: Api) -> None:
    await write(api, an_endpoint_message("e1", attributes=lists(tier=["gold"], tint=["red"], size=["m"])))
    assert await count(api, "tier", "gold") == 1
    request = REMOVE(parent=PARENT, kind=REMOVE.KIND_ENDPOINT_ATTRIBUTES, patterns=["ti*", "Size"])
    assert (await api.endpoints.RemoveAttributes(request)).removed_names == ["tier", "tint"]
    await write(api, an_endpoint_message("e2", attributes=lists(tier=["gold"], other=["1"])))
    assert set((await read(api, "e2")).attributes) == {"other"}
    async with asyncio.timeout(20):
        while set((await read(api, "e1")).attributes) != {"size"}:
            await asyncio.sleep(0.05)
    assert await count(api, "tier", "gold") == 0
    names = await api.endpoints.GetAttributeNames(endpoints_pb2.GetAttributeNamesRequest(parent=PARENT))
    assert names == endpoints_pb2.AttributeNames(
        attributes=["other", "size"], denied_attributes=["ti*", "Size"], limit=250
    )
    allow = endpoints_pb2.AllowAttributesRequest(
        parent=PARENT, kind=REMOVE.KIND_ENDPOINT_ATTRIBUTES, patterns=["ti*", "unheard-of"]
    )
    async with asyncio.timeout(20):
        while True:
            try:
                allowed = await api.endpoints.AllowAttributes(allow)
                break
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.ABORTED  # noqa: PT017
                await asyncio.sleep(0.05)
    assert list(allowed.denied_attributes) == ["Size"]
    await write(api, an_endpoint_message("e2", attributes=lists(tier=["gold"])))
    assert await count(api, "tier", "gold") == 1


@pytest.mark.parametrize("kind", Kind)
async def test_values_of_every_kind_are_removed(database: Database, kind: Kind) -> None:
    endpoints = Endpoints(database, EndpointWriter(SystemClock(), Limits()))
    given = EndpointUpdate(
        "e1",
        attributes={"x": ["1"], "y": ["1"]},
        metrics={"x": 1, "y": 2},
        user_id="u",
        user_attributes={"x": ["1"], "y": ["1"]},
    )
    await endpoints.update("p", [given])
    attributes = Attributes(database, 250)
    assert await attributes.remove("p", kind, ["x"]) == ["x"]
    await drained(attributes)
    held = await endpoints.get("p", "e1")
    for other in Kind:
        assert set(getattr(held, other.value)) == ({"y"} if other is kind else {"x", "y"})


async def drained(attributes: Attributes) -> None:
    async with asyncio.timeout(20):
        while await attributes.remove_some():
            pass


async def test_a_removal_waits_for_a_writer_who_may_not_know_of_it(database: Database) -> None:
    writer = EndpointWriter(SystemClock(), Limits())
    endpoints = Endpoints(database, writer)
    await endpoints.update("p", [named("x")])
    attributes = Attributes(database, 250)
    async with database.transaction() as conn:
        await writer.write(conn, "p", [EndpointUpdate("e2", attributes={"x": ["2"]})], bulk=False)
        assert await attributes.remove("p", Kind.ATTRIBUTES, ["x"]) == ["x"]
        await drained(attributes)
    await drained(attributes)
    assert not (await endpoints.get("p", "e2")).attributes
    async with database.transaction() as conn:
        assert (await conn.execute(text("SELECT count(*) FROM segments.removals"))).scalar_one() == 0


def problems_of_remove(patterns: Iterable[str], kind: int = REMOVE.KIND_ENDPOINT_ATTRIBUTES) -> REMOVE:
    return REMOVE(parent=PARENT, kind=kind, patterns=patterns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (problems_of_remove([]), ["patterns"]),
        (problems_of_remove([f"p{n}" for n in range(MAX_DENIED + 1)]), ["patterns"]),
        (problems_of_remove(["", "x" * 51]), ["patterns[0]", "patterns[1]"]),
        (problems_of_remove(["x"], REMOVE.KIND_UNSPECIFIED), ["kind"]),
        (problems_of_remove(["x"], 77), ["kind"]),
    ],
)
async def test_unusable_removals_are_refused(api: Api, request_: REMOVE, fields: list[str]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.endpoints.RemoveAttributes(request_)
    assert [violation[0] for violation in violations_of(refused.value)] == fields


async def test_as_many_patterns_as_allowed_and_no_more(api: Api) -> None:
    await api.endpoints.RemoveAttributes(problems_of_remove([f"{n:03}" + "x" * 47 for n in range(MAX_DENIED)]))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.endpoints.RemoveAttributes(problems_of_remove(["one-more"]))
    assert [violation[0] for violation in violations_of(refused.value)] == ["patterns"]


# Streams


def batches(*sizes: int) -> list[endpoints_pb2.StreamEndpointsRequest]:
    return [
        endpoints_pb2.StreamEndpointsRequest(
            parent=PARENT, endpoints=[an_endpoint_message(f"s{place}-{n}") for n in range(size)]
        )
        for place, size in enumerate(sizes)
    ]


async def test_a_stream_writes_each_message(api: Api) -> None:
    written = await api.endpoints.StreamEndpoints(iter([*batches(1000, 3), *batches(1)]))
    assert (written.created_count, written.updated_count, written.batch_count) == (1003, 1, 3)
    assert (await read(api, "s0-999")).ordinal


async def test_a_malformed_message_ends_a_stream_and_what_came_before_stays(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.endpoints.StreamEndpoints(iter(batches(2, 1001)))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await read(api, "s0-1")).ordinal
    with pytest.raises(grpc.aio.AioRpcError):
        await read(api, "s1-0")
