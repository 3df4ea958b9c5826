"""Snapshots, member pages, activity and erasure, through gRPC and the bus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from heliograph.analytics.v1 import events_pb2 as analytics_events_pb2
from heliograph.projects.v1 import events_pb2 as projects_events_pb2
from heliograph.segments.v1 import audience_pb2, endpoints_pb2, segments_pb2
from heliograph_kit.bus import Bus
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.runtime import Runtime
from heliograph_kit.streams import changes_subject, events_subject
from heliograph_kit.testing import eventually
from heliograph_segments.config import SegmentsSettings
from heliograph_segments.service import audience as audience_module
from tests.segments.builders import PARENT, a_segment, an_endpoint_message, having, lists
from tests.segments.conftest import Api


async def write(api: Api, *endpoints: endpoints_pb2.Endpoint) -> None:
    await api.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints))


async def frozen(api: Api, segment: str, snapshot_id: str = "run-1", version: int = 0) -> audience_pb2.Snapshot:
    request = audience_pb2.FreezeSegmentRequest(segment=segment, snapshot_id=snapshot_id, segment_version=version)
    return await api.audience.FreezeSegment(request)


async def pages(api: Api, snapshot: str, *fields: str, after: int = 0, size: int = 0) -> list[audience_pb2.MemberPage]:
    request = audience_pb2.StreamMembersRequest(snapshot=snapshot, after_ordinal=after, page_size=size, fields=fields)
    return [page async for page in api.audience.StreamMembers(request)]


async def test_a_snapshot_keeps_who_was_in_the_segment(api: Api) -> None:
    await write(api, *(an_endpoint_message(f"e{n}", attributes=lists(plan=["gold"])) for n in range(7)))
    segment = await api.segments.CreateSegment(a_segment(having("plan", "gold")))
    snapshot = await frozen(api, segment.name)
    assert (snapshot.member_count, snapshot.segment_version) == (7, 1)
    await write(api, an_endpoint_message("late", attributes=lists(plan=["gold"])))
    await write(api, an_endpoint_message("e3", attributes=lists(plan=["silver"])))
    assert await frozen(api, segment.name) == snapshot
    assert await api.audience.GetSnapshot(audience_pb2.GetSnapshotRequest(name=snapshot.name)) == snapshot
    first = await pages(api, snapshot.name, size=3)
    assert [list(page.ordinals) for page in first] == [[1, 2, 3], [4, 5, 6], [7]]
    assert first == await pages(api, snapshot.name, size=3)
    assert await pages(api, snapshot.name, size=3, after=3) == first[1:]
    assert await pages(api, snapshot.name, after=7) == []
    assert (await frozen(api, segment.name, "run-2")).member_count == 7


async def test_a_snapshot_id_belongs_to_one_segment(api: Api) -> None:
    one = await api.segments.CreateSegment(a_segment(having("plan", "gold")))
    other = await api.segments.CreateSegment(a_segment())
    snapshot = await frozen(api, one.name)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await frozen(api, other.name)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.ALREADY_EXISTS, "SNAPSHOT_ID_TAKEN")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await frozen(api, one.name, "Bad Id")
    assert violations_of(refused.value) == [("snapshot_id", "MALFORMED")]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await frozen(api, one.name, "run-3", version=9)
    assert reason_of(refused.value) == "SEGMENT_NOT_FOUND"
    # A deleted segment leaves its snapshots.
    await api.segments.DeleteSegment(segments_pb2.DeleteSegmentRequest(name=one.name))
    assert await frozen(api, one.name) == snapshot
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pages(api, f"{PARENT}/snapshots/nothing")
    assert reason_of(refused.value) == "SNAPSHOT_NOT_FOUND"


async def test_pages_carry_the_fields_asked_for_as_columns(api: Api) -> None:
    await write(
        api,
        an_endpoint_message(
            "e1",
            attributes=lists(plan=["gold"], tags=["a", "b"]),
            metrics={"score": 3, "tiny": 1e-300, "huge": 1e300},
            demographic=endpoints_pb2.Demographic(platform="ios", time_zone="Europe/Berlin"),
            location=endpoints_pb2.Location(latitude=47.6, longitude=8.5),
            user=endpoints_pb2.EndpointUser(user_id="u1", attributes=lists(first=["Ann"])),
        ),
        an_endpoint_message(
            "e2",
            attributes=lists(plan=["silver"]),
            metrics={"score": 2.5},
            opt_out=endpoints_pb2.Endpoint.OPT_OUT_ALL,
            status=endpoints_pb2.Endpoint.STATUS_INACTIVE,
        ),
        an_endpoint_message("gone"),
    )
    segment = await api.segments.CreateSegment(a_segment())
    snapshot = await frozen(api, segment.name)
    await api.endpoints.DeleteEndpoint(endpoints_pb2.DeleteEndpointRequest(name=f"{PARENT}/endpoints/gone"))
    (page,) = await pages(
        api,
        snapshot.name,
        "Attributes.plan",
        "Attributes.tags",
        "Metrics.score",
        "Metrics.tiny",
        "Metrics.huge",
        "User.UserAttributes.first",
        "User.UserId",
        "Demographic.Platform",
        "Location.Latitude",
        "Address",
    )
    assert list(page.ordinals) == [1, 2]
    assert list(page.endpoint_ids) == ["e1", "e2"]
    assert list(page.user_ids) == ["u1", ""]
    assert list(page.channels) == ["EMAIL", "EMAIL"]
    assert list(page.opted_out) == [False, True]
    assert list(page.inactive) == [False, True]
    assert list(page.time_zones) == ["Europe/Berlin", ""]
    assert {column.path: (list(column.values), list(column.counts)) for column in page.columns} == {
        "Attributes.plan": (["gold", "silver"], []),
        "Attributes.tags": (["a", "b"], [2, 0]),
        "Metrics.score": (["3", "2.5"], []),
        "Metrics.tiny": (["1e-300"], [1, 0]),
        "Metrics.huge": (["1e+300"], [1, 0]),
        "User.UserAttributes.first": (["Ann"], [1, 0]),
        "User.UserId": (["u1"], [1, 0]),
        "Demographic.Platform": (["ios"], [1, 0]),
        "Location.Latitude": (["47.6"], [1, 0]),
        "Address": (["e1@example.com", "e2@example.com"], []),
    }
    read = await api.audience.ReadEndpoints(
        audience_pb2.ReadEndpointsRequest(project=PARENT, endpoint_ids=["E2", "gone", "e1"], fields=["Attributes.plan"])
    )
    assert list(read.endpoint_ids) == ["e2", "e1"]
    assert list(read.columns[0].values) == ["silver", "gold"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pages(api, snapshot.name, "Attributes.plan", "Colour", "Metrics.", size=1001)
    assert dict(violations_of(refused.value)) == {
        "fields[1]": "UNKNOWN_FIELD",
        "fields[2]": "UNKNOWN_FIELD",
        "page_size": "OUT_OF_RANGE",
    }


async def test_the_endpoints_of_many_users_come_user_by_user_and_the_oldest_first(api: Api) -> None:
    def of(user: str, first: str) -> endpoints_pb2.EndpointUser:
        return endpoints_pb2.EndpointUser(user_id=user, attributes=lists(first=[first]))

    await write(api, an_endpoint_message("z", user=of("ann", "Ann")), an_endpoint_message("y", user=of("bob", "Bob")))
    await write(api, an_endpoint_message("a", user=of("ann", "Ann")), an_endpoint_message("nobody"))
    ask = audience_pb2.ReadUserEndpointsRequest
    read = await api.audience.ReadUserEndpoints(
        ask(project=PARENT, user_ids=["bob", "gone", "ann", "", "bob"], fields=["User.UserAttributes.first"])
    )
    assert (list(read.endpoint_ids), list(read.user_ids)) == (["y", "z", "a"], ["bob", "ann", "ann"])
    assert list(read.columns[0].values) == ["Bob", "Ann", "Ann"]
    assert not (await api.audience.ReadUserEndpoints(ask(project=PARENT, user_ids=["gone"]))).endpoint_ids
    hundred = [f"u{number}" for number in range(100)]
    assert not (await api.audience.ReadUserEndpoints(ask(project=PARENT, user_ids=hundred))).endpoint_ids
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.audience.ReadUserEndpoints(ask(project=PARENT, user_ids=[*hundred, "one more"], fields=["Colour"]))
    assert dict(violations_of(refused.value)) == {"user_ids": "TOO_MANY", "fields[0]": "UNKNOWN_FIELD"}


# Whatever separates, escapes, ends or looks like nothing somewhere; only NUL cannot be kept.
AWKWARD = (
    "", " ", "\t", "\n", "\r\n", "\\", "\\N", "\\x00", "\\000", "\x01", "\x1e", "\x1f", "\x7f", "\x85", "\u2028", "\ufeff",
    "null", "NULL", '"', "'", ",", "{}", "{1,2}", "[]", "%s", "%(wanted)s", ":project", "é", "e\u0301", "ß", "名前", "🙂", "\U0010ffff",
    "a\tb", "\x1f\x1f", "x" * 40,
)  # fmt: skip


async def test_pages_carry_any_text_unchanged(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience_module, "_READ_AT_ONCE", 4)
    texts = {f"é🙂'\\{n}": text for n, text in enumerate(AWKWARD)}
    users = {name: text and f"{text}{name}" for name, text in texts.items()}
    await write(
        api,
        *(
            an_endpoint_message(
                name,
                channel_type="CUSTOM" if text else "",
                address=users[name],
                demographic=endpoints_pb2.Demographic(time_zone=text),
                attributes=lists(held=[text, text]),
                user=endpoints_pb2.EndpointUser(user_id=users[name]),
            )
            for name, text in texts.items()
        ),
    )
    gone = list(texts)[7]
    await api.endpoints.DeleteEndpoint(endpoints_pb2.DeleteEndpointRequest(name=f"{PARENT}/endpoints/{gone}"))
    del texts[gone]
    segment = await api.segments.CreateSegment(a_segment())
    snapshot = await frozen(api, segment.name)
    fields = ("Attributes.held", "Address")
    streamed = await pages(api, snapshot.name, *fields, size=2)
    assert {len(page.ordinals) for page in streamed} <= {1, 2}
    backwards = audience_pb2.ReadEndpointsRequest(project=PARENT, endpoint_ids=list(texts)[::-1], fields=fields)
    for read, expected in (
        (streamed, list(texts)),
        ([await api.audience.ReadEndpoints(backwards)], list(texts)[::-1]),
    ):
        assert [name for page in read for name in page.endpoint_ids] == expected
        assert [user for page in read for user in page.user_ids] == [users[name] for name in expected]
        assert [address for page in read for address in page.addresses] == [users[name] for name in expected]
        assert [zone for page in read for zone in page.time_zones] == [texts[name] for name in expected]
        assert [channel for page in read for channel in page.channels] == [
            "CUSTOM" if texts[name] else "" for name in expected
        ]
        held, addresses = ([value for page in read for value in page.columns[place].values] for place in (0, 1))
        assert held == [texts[name] for name in expected for _ in range(2)]
        assert addresses == [users[name] for name in expected if users[name]]


def stamped(instant: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(instant)
    return message


async def last_active(api: Api, endpoint_id: str) -> datetime:
    name = f"{PARENT}/endpoints/{endpoint_id}"
    endpoint = await api.endpoints.GetEndpoint(endpoints_pb2.GetEndpointRequest(name=name))
    return endpoint.last_active_time.ToDatetime(UTC)


async def test_events_move_the_last_activity_and_never_back(
    api: Api, service: Runtime[SegmentsSettings], bus: Bus
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    long_ago = stamped(now - timedelta(days=40))
    await write(api, *(an_endpoint_message(each, effective_time=long_ago) for each in ("e1", "e2", "e3")))
    times = {"E1": now - timedelta(days=3), "e2": now + timedelta(days=9), "e3": now - timedelta(days=50)}
    batch = analytics_events_pb2.EventBatch(
        project=PARENT,
        receive_time=stamped(now),
        events=[
            analytics_events_pb2.Event(event_id=each, endpoint_id=each, event_time=stamped(time))
            for each, time in (*times.items(), ("unknown", now))
        ],
    )
    kind = batch.DESCRIPTOR.full_name
    await bus.publish(events_subject("shop"), batch.SerializeToString(), id="b1", type=kind, project="shop")

    async def moved() -> bool:
        return await last_active(api, "e1") == now - timedelta(days=3)

    await eventually(moved)
    assert await last_active(api, "e2") == now  # a clock that is ahead
    assert await last_active(api, "e3") == now - timedelta(days=40)
    recent = segments_pb2.SegmentDimensions(
        recency=segments_pb2.RecencyDimension(
            duration=segments_pb2.RecencyDimension.DURATION_DAY_7, type=segments_pb2.RecencyDimension.TYPE_ACTIVE
        )
    )
    counted = await api.segments.CountSegment(
        segments_pb2.CountSegmentRequest(
            parent=PARENT, rules=segments_pb2.SegmentRules(groups=[segments_pb2.SegmentGroup(dimensions=[recent])])
        )
    )
    assert (counted.member_count, counted.total_count) == (2, 3)


async def test_a_deleted_project_is_erased_and_others_are_not(api: Api, bus: Bus) -> None:
    await write(api, an_endpoint_message("e1", user=endpoints_pb2.EndpointUser(user_id="u1")))
    await api.segments.CreateSegment(a_segment())
    other = endpoints_pb2.UpdateEndpointsRequest(parent="projects/other", endpoints=[an_endpoint_message("e1")])
    await api.endpoints.UpdateEndpoints(other)
    message = projects_events_pb2.ProjectDeleted(project=PARENT)
    await bus.publish(
        changes_subject("projects", "shop", "project_deleted"),
        message.SerializeToString(),
        id="d1",
        type=message.DESCRIPTOR.full_name,
        project="shop",
    )

    async def nothing_left() -> bool:
        listed = await api.segments.ListSegments(segments_pb2.ListSegmentsRequest(parent=PARENT))
        everybody = segments_pb2.CountSegmentRequest(parent=PARENT, rules=segments_pb2.SegmentRules())
        return not listed.segments and (await api.segments.CountSegment(everybody)).total_count == 0

    await eventually(nothing_left)
    everybody = segments_pb2.CountSegmentRequest(parent="projects/other", rules=segments_pb2.SegmentRules())
    assert (await api.segments.CountSegment(everybody)).total_count == 1
