"""Endpoints and segments through gRPC on a real database and a real bus."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from heliograph.segments.v1 import endpoints_pb2, segments_pb2
from heliograph_kit.bus import Bus
from heliograph_kit.migrations import differences
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_segments.tables import metadata
from tests.segments.builders import PARENT, a_segment, an_endpoint_message, having, lists, rules_message
from tests.segments.conftest import Api


async def write(api: Api, *endpoints: endpoints_pb2.Endpoint) -> endpoints_pb2.UpdateEndpointsResponse:
    return await api.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints))


async def read(api: Api, endpoint_id: str) -> endpoints_pb2.Endpoint:
    return await api.endpoints.GetEndpoint(endpoints_pb2.GetEndpointRequest(name=f"{PARENT}/endpoints/{endpoint_id}"))


def test_migrations_build_what_the_tables_declare(database_of_segments: str) -> None:
    assert differences(database_of_segments, metadata) == []


async def test_an_endpoint_comes_back_as_it_was_written(api: Api) -> None:
    await write(
        api,
        an_endpoint_message(
            "Device/1",
            attributes=lists(ride=["Bus", "Tram"]),
            metrics={"score": 12.5},
            demographic=endpoints_pb2.Demographic(platform="ios", time_zone="Europe/Berlin"),
            location=endpoints_pb2.Location(city="Kiel", latitude=47.61, longitude=-122.33),
            user=endpoints_pb2.EndpointUser(user_id="u1", attributes=lists(first=["Ann"])),
        ),
    )
    endpoint = await read(api, "DEVICE/1")
    assert endpoint.endpoint_id == "Device/1"
    assert list(endpoint.attributes["ride"].values) == ["Bus", "Tram"]
    assert endpoint.metrics["score"] == 12.5
    assert endpoint.demographic.time_zone == "Europe/Berlin"
    assert (endpoint.location.latitude, endpoint.location.longitude) == (47.6, -122.3)
    assert endpoint.user.user_id == "u1"
    assert list(endpoint.user.attributes["first"].values) == ["Ann"]
    assert endpoint.status == endpoints_pb2.Endpoint.STATUS_ACTIVE
    assert endpoint.opt_out == endpoints_pb2.Endpoint.OPT_OUT_NONE
    assert 0 <= endpoint.cohort <= 99
    assert endpoint.ordinal == 1


async def test_an_update_changes_only_what_it_names_and_an_empty_list_removes(api: Api) -> None:
    await write(
        api,
        an_endpoint_message(
            "e1",
            attributes=lists(a=["1"], b=["2"]),
            metrics={"x": 1, "y": 2},
            demographic=endpoints_pb2.Demographic(make="Acme", model="M"),
            opt_out=endpoints_pb2.Endpoint.OPT_OUT_ALL,
            status=endpoints_pb2.Endpoint.STATUS_INACTIVE,
        ),
    )
    await write(
        api,
        endpoints_pb2.Endpoint(
            endpoint_id="E1",
            attributes=lists(a=[], c=["3"]),
            metrics={"y": 5},
            demographic=endpoints_pb2.Demographic(make="", platform="ios"),
        ),
    )
    endpoint = await read(api, "e1")
    assert {name: list(held.values) for name, held in endpoint.attributes.items()} == {"b": ["2"], "c": ["3"]}
    assert dict(endpoint.metrics) == {"x": 1, "y": 5}
    assert not endpoint.demographic.HasField("make")
    assert (endpoint.demographic.model, endpoint.demographic.platform) == ("M", "ios")
    assert endpoint.address == "e1@example.com"
    assert endpoint.opt_out == endpoints_pb2.Endpoint.OPT_OUT_ALL
    assert endpoint.status == endpoints_pb2.Endpoint.STATUS_ACTIVE  # any update activates


async def test_user_attributes_belong_to_all_endpoints_of_the_user(api: Api) -> None:
    user = endpoints_pb2.EndpointUser(user_id="u1", attributes=lists(first=["Ann"], age=["7"]))
    await write(api, an_endpoint_message("e1", user=user))
    await write(api, an_endpoint_message("e2", user=endpoints_pb2.EndpointUser(user_id="u1")))
    # Without naming the user: it is the endpoint's own.
    await write(
        api, an_endpoint_message("e2", user=endpoints_pb2.EndpointUser(attributes=lists(first=["Bea"], age=[])))
    )
    for endpoint_id in ("e1", "e2"):
        held = (await read(api, endpoint_id)).user.attributes
        assert {name: list(values.values) for name, values in held.items()} == {"first": ["Bea"]}


async def test_fewer_or_reordered_values_of_a_user_attribute_replace_the_old_ones(api: Api) -> None:
    for values in (["a", "b"], ["b", "a"], ["a"]):
        user = endpoints_pb2.EndpointUser(user_id="u1", attributes=lists(likes=values))
        await write(api, an_endpoint_message("e1", user=user, attributes=lists(likes=values)))
        endpoint = await read(api, "e1")
        assert list(endpoint.user.attributes["likes"].values) == values
        assert list(endpoint.attributes["likes"].values) == values


async def test_the_same_endpoint_twice_in_a_batch_is_applied_in_order(api: Api) -> None:
    done = await write(
        api,
        an_endpoint_message("e1", attributes=lists(a=["1"], b=["1"])),
        an_endpoint_message("E1", attributes=lists(a=["2"], b=[])),
    )
    assert (done.created_count, done.updated_count) == (1, 0)
    assert {name: list(held.values) for name, held in (await read(api, "e1")).attributes.items()} == {"a": ["2"]}


async def test_ordinals_are_not_given_again_after_a_deletion(api: Api) -> None:
    await write(api, an_endpoint_message("e1"), an_endpoint_message("e2"))
    cohort = (await read(api, "e2")).cohort
    deleted = await api.endpoints.DeleteEndpoint(endpoints_pb2.DeleteEndpointRequest(name=f"{PARENT}/endpoints/e2"))
    assert deleted.ordinal == 2
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await read(api, "e2")
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "ENDPOINT_NOT_FOUND")
    await write(api, an_endpoint_message("e2"))
    again = await read(api, "e2")
    assert again.ordinal == 3
    assert again.cohort == cohort


async def test_a_batch_with_bad_endpoints_names_all_violations_and_writes_nothing(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await write(
            api,
            an_endpoint_message("good"),
            an_endpoint_message("a$b", channel_type="PIGEON"),
            an_endpoint_message("e3", attributes=lists(a=["x" * 101]), metrics={"m": float("nan")}),
            an_endpoint_message("e4", user=endpoints_pb2.EndpointUser(user_id="", attributes=lists(a=["1"]))),
            an_endpoint_message("e5", location=endpoints_pb2.Location(latitude=91, longitude=0)),
        )
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert dict(violations_of(refused.value)) == {
        "endpoints[1].endpoint_id": "MALFORMED",
        "endpoints[1].channel_type": "UNKNOWN_VALUE",
        "endpoints[2].attributes[a].values[0]": "TOO_LONG",
        "endpoints[2].metrics[m]": "NOT_A_NUMBER",
        "endpoints[4].location.latitude": "OUT_OF_RANGE",
    }
    with pytest.raises(grpc.aio.AioRpcError):
        await read(api, "good")


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_holds_1_to_100_endpoints(api: Api, count: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await write(api, *(an_endpoint_message(f"e{number}") for number in range(count)))
    assert [field for field, _ in violations_of(refused.value)] == ["endpoints"]
    await write(api, *(an_endpoint_message(f"e{number}") for number in range(100)))


async def count(api: Api, **asked: object) -> int:
    request = segments_pb2.CountSegmentRequest(parent=PARENT, **asked)  # type: ignore[arg-type]  # one of the oneof
    return (await api.segments.CountSegment(request)).member_count


async def people(api: Api) -> None:
    await write(
        api,
        an_endpoint_message("e1", attributes=lists(plan=["gold"])),
        an_endpoint_message("e2", attributes=lists(plan=["silver"])),
        an_endpoint_message("e3"),
    )


async def test_a_segment_is_counted_stored_and_as_a_draft(api: Api) -> None:
    await people(api)
    segment = await api.segments.CreateSegment(a_segment(having("plan", "gold")))
    assert segment.version == 1
    assert await count(api, segment=segment.name) == 1
    assert await count(api, rules=rules_message(having("plan", "gold", operator="EXCLUSIVE"))) == 2
    assert await count(api, rules=segments_pb2.SegmentRules()) == 3
    sample = await api.segments.SampleSegment(segments_pb2.SampleSegmentRequest(parent=PARENT, segment=segment.name))
    assert [endpoint.endpoint_id for endpoint in sample.endpoints] == ["e1"]


async def test_an_update_adds_a_version_and_leaves_the_first_as_it_was(api: Api, bus: Bus) -> None:
    created = await api.segments.CreateSegment(a_segment(having("plan", "gold"), name="First"))
    changed = await api.segments.UpdateSegment(
        segments_pb2.UpdateSegmentRequest(
            segment=segments_pb2.Segment(name=created.name, display_name="Second", version=1),
            update_mask=FieldMask(paths=["display_name"]),
        )
    )
    assert (changed.version, changed.display_name, changed.rules) == (2, "Second", created.rules)
    first = await api.segments.GetSegment(segments_pb2.GetSegmentRequest(name=created.name, version=1))
    assert first.display_name == "First"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.segments.UpdateSegment(
            segments_pb2.UpdateSegmentRequest(
                segment=segments_pb2.Segment(name=created.name, display_name="x", version=1)
            )
        )
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.ABORTED, "CONFLICT")
    await api.segments.DeleteSegment(segments_pb2.DeleteSegmentRequest(name=created.name))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.segments.GetSegment(segments_pb2.GetSegmentRequest(name=created.name))
    assert reason_of(refused.value) == "SEGMENT_NOT_FOUND"


async def test_the_same_request_id_returns_the_first_answer_and_refuses_other_content(api: Api) -> None:
    request = a_segment(having("plan", "gold"))
    request.request_id = "r1"
    first = await api.segments.CreateSegment(request)
    assert await api.segments.CreateSegment(request) == first
    request.segment.display_name = "Other"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.segments.CreateSegment(request)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    listed = await api.segments.ListSegments(segments_pb2.ListSegmentsRequest(parent=PARENT))
    assert [segment.name for segment in listed.segments] == [first.name]


async def test_segments_are_listed_newest_first_in_pages(api: Api) -> None:
    names = [(await api.segments.CreateSegment(a_segment(name=f"S{n}"))).name for n in range(3)]
    first = await api.segments.ListSegments(segments_pb2.ListSegmentsRequest(parent=PARENT, page_size=2))
    rest = await api.segments.ListSegments(
        segments_pb2.ListSegmentsRequest(parent=PARENT, page_size=2, page_token=first.next_page_token)
    )
    assert [segment.name for segment in (*first.segments, *rest.segments)] == names[::-1]
    assert rest.next_page_token == ""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.segments.ListSegments(
            segments_pb2.ListSegmentsRequest(parent="projects/other", page_token=first.next_page_token)
        )
    assert reason_of(refused.value) == "PAGE_TOKEN_INVALID"


async def test_unknown_operators_and_broken_limits_are_named_by_their_paths(api: Api) -> None:
    request = a_segment(having("plan", "gold"), name="")
    dimensions = request.segment.rules.groups[0].dimensions[0]
    dimensions.attributes["plan"].operator = 99  # type: ignore[assignment]  # a newer client's operator
    dimensions.metrics["score"].value = 1
    dimensions.user_attributes["born"].CopyFrom(having("x", "soon", operator="BEFORE").attributes["x"])
    dimensions.location.gps_point.latitude = 91
    dimensions.recency.SetInParent()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.segments.CreateSegment(request)
    path = "segment.rules.groups[0].dimensions[0]"
    assert dict(violations_of(refused.value)) == {
        "segment.display_name": "REQUIRED",
        f"{path}.attributes[plan].operator": "UNKNOWN_VALUE",
        f"{path}.metrics[score].operator": "REQUIRED",
        f"{path}.user_attributes[born].values[0]": "MALFORMED",
        f"{path}.location.gps_point.latitude": "OUT_OF_RANGE",
        f"{path}.location.gps_point.range_kilometers": "OUT_OF_RANGE",
        f"{path}.recency.duration": "REQUIRED",
        f"{path}.recency.type": "REQUIRED",
    }


def built_on(*names: str, how: str = "ALL") -> segments_pb2.SegmentRules:
    group = segments_pb2.SegmentGroup(
        source_segments=[segments_pb2.SegmentReference(segment=name) for name in names],
        source_type=segments_pb2.Combination.Value(f"COMBINATION_{how}"),
    )
    return segments_pb2.SegmentRules(groups=[group])


async def test_a_segment_built_on_others_follows_them(api: Api) -> None:
    await people(api)
    gold = await api.segments.CreateSegment(a_segment(having("plan", "gold")))
    silver = await api.segments.CreateSegment(a_segment(having("plan", "silver")))
    assert await count(api, rules=built_on(gold.name, silver.name, how="ANY")) == 2
    assert await count(api, rules=built_on(gold.name, silver.name)) == 0
    assert await count(api, rules=built_on(gold.name, silver.name, how="NONE")) == 1
    await api.segments.UpdateSegment(
        segments_pb2.UpdateSegmentRequest(segment=segments_pb2.Segment(name=gold.name, rules=rules_message()))
    )
    assert await count(api, rules=built_on(gold.name)) == 3


async def test_a_segment_may_not_lead_back_to_itself_nor_be_built_on_a_missing_one(api: Api) -> None:
    base = await api.segments.CreateSegment(a_segment(having("plan", "gold")))
    request = a_segment()
    request.segment.rules.CopyFrom(built_on(base.name))
    child = await api.segments.CreateSegment(request)
    for target, reason in ((child.name, "SEGMENT_CYCLE"), (base.name, "SEGMENT_CYCLE")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await api.segments.UpdateSegment(
                segments_pb2.UpdateSegmentRequest(segment=segments_pb2.Segment(name=base.name, rules=built_on(target)))
            )
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert violations_of(refused.value) == [("segment.rules.groups[0].source_segments[0].segment", reason)]
    missing = f"{PARENT}/segments/{'0' * 32}"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await count(api, rules=built_on(missing, base.name, missing))
    assert violations_of(refused.value) == [
        ("rules.groups[0].source_segments[0].segment", "SOURCE_SEGMENT_MISSING"),
        ("rules.groups[0].source_segments[2].segment", "SOURCE_SEGMENT_MISSING"),
    ]
    await api.segments.DeleteSegment(segments_pb2.DeleteSegmentRequest(name=base.name))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await count(api, segment=child.name)
    assert (refused.value.code(), reason_of(refused.value)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "SOURCE_SEGMENT_MISSING",
    )


async def test_segments_of_another_project_are_not_seen(api: Api) -> None:
    mine = await api.segments.CreateSegment(a_segment())
    theirs = mine.name.replace("shop", "other")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.segments.GetSegment(segments_pb2.GetSegmentRequest(name=theirs))
    assert reason_of(refused.value) == "SEGMENT_NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await count(api, segment=theirs)
    assert [field for field, _ in violations_of(refused.value)] == ["segment"]
