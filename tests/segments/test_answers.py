"""What segments answer beyond a count: clauses, reasons, versions, groups inside of groups, who was frozen."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import pytest

from heliograph.segments.v1 import audience_pb2, endpoints_pb2, segments_pb2
from heliograph_kit.paging import next_token
from heliograph_kit.rpc import reason_of
from tests.segments.conftest import Api

PARENT = "projects/p1"
ANY = segments_pb2.COMBINATION_ANY
NONE = segments_pb2.COMBINATION_NONE
ALL = segments_pb2.COMBINATION_ALL


def having(name: str, *values: str) -> segments_pb2.SegmentDimensions:
    operator = segments_pb2.AttributeDimension.OPERATOR_INCLUSIVE
    return segments_pb2.SegmentDimensions(
        attributes={name: segments_pb2.AttributeDimension(operator=operator, values=values)}
    )


def group(
    *dimensions: segments_pb2.SegmentDimensions,
    type: segments_pb2.Combination.ValueType = ALL,
    groups: Sequence[segments_pb2.SegmentGroup] = (),
) -> segments_pb2.SegmentGroup:
    return segments_pb2.SegmentGroup(dimensions=dimensions, type=type, source_type=ALL, groups=groups)


def rules(*groups: segments_pb2.SegmentGroup) -> segments_pb2.SegmentRules:
    return segments_pb2.SegmentRules(include=ALL, groups=groups)


async def write(api: Api, **plans: str) -> None:
    endpoints = [
        endpoints_pb2.Endpoint(endpoint_id=name, attributes={"plan": endpoints_pb2.StringList(values=[plan])})
        for name, plan in plans.items()
    ]
    await api.endpoints.UpdateEndpoints(endpoints_pb2.UpdateEndpointsRequest(parent=PARENT, endpoints=endpoints))


async def count(api: Api, asked: segments_pb2.SegmentRules) -> segments_pb2.CountSegmentResponse:
    request = segments_pb2.CountSegmentRequest(parent=PARENT, rules=asked, with_clauses=True)
    return await api.segments.CountSegment(request)


async def test_every_clause_is_counted_alone_and_in_its_place(api: Api) -> None:
    await write(api, a="gold", b="gold", c="silver", d="bronze")
    metals = having("plan", "gold", "silver")
    asked = rules(group(metals, having("plan", "silver", "bronze")), group(having("plan", "gold"), type=NONE))
    answer = await count(api, asked)
    assert (answer.member_count, answer.total_count, answer.from_record) == (1, 4, False)
    counted = {clause.path: (clause.match_count, clause.remaining_count) for clause in answer.clauses}
    assert counted == {
        "groups[0]": (1, 1),
        "groups[0].dimensions[0]": (3, 3),
        "groups[0].dimensions[0].attributes[plan]": (3, 3),
        "groups[0].dimensions[1]": (2, 1),
        "groups[0].dimensions[1].attributes[plan]": (2, 2),
        "groups[1]": (2, 1),
        "groups[1].dimensions[0]": (2, 2),
        "groups[1].dimensions[0].attributes[plan]": (2, 2),
    }


async def test_groups_lie_inside_of_groups_to_any_depth_and_come_back_as_they_were(api: Api) -> None:
    await write(api, a="gold", b="silver", c="bronze")
    inner = group(having("plan", "gold"))
    for _ in range(20):
        inner = group(groups=[group(groups=[inner], type=NONE)], type=NONE)
    asked = rules(group(having("plan", "silver"), type=ANY, groups=[inner]))
    assert (await count(api, asked)).member_count == 2
    segment = segments_pb2.Segment(display_name="deep", rules=asked)
    made = await api.segments.CreateSegment(segments_pb2.CreateSegmentRequest(parent=PARENT, segment=segment))
    assert made.rules == asked
    again = await api.segments.CountSegment(segments_pb2.CountSegmentRequest(parent=PARENT, segment=made.name))
    assert again.member_count == 2


@pytest.mark.parametrize(("groups", "accepted"), [(99, True), (100, False)])
async def test_a_segment_has_at_most_100_groups_in_all(api: Api, groups: int, accepted: bool) -> None:
    asked = rules(group(having("plan", "gold"), groups=[group() for _ in range(groups)]))
    if accepted:
        await count(api, asked)
        return
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await count(api, asked)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_fault_deep_inside_is_named_with_its_path(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await count(api, rules(group(groups=[group(groups=[group(segments_pb2.SegmentDimensions())])])))
    details = str(refused.value.trailing_metadata())
    assert "rules.groups[0].groups[0].groups[0].dimensions[0]" in details


async def test_explain_tells_of_every_clause_whether_it_holds_and_why(api: Api) -> None:
    await write(api, a="gold", b="bronze")
    asked = rules(group(having("plan", "gold", "silver"), having("tier", "1"), type=ANY))
    answers = {}
    for name in ("a", "b"):
        request = segments_pb2.ExplainSegmentRequest(parent=PARENT, rules=asked, endpoint_id=name.upper())
        answers[name] = await api.segments.ExplainSegment(request)
    assert [answer.member for answer in answers.values()] == [True, False]
    told = {clause.path: (clause.matched, clause.because) for clause in answers["a"].clauses}
    assert told["groups[0].dimensions[0].attributes[plan]"] == (
        True,
        "plan is ['gold']; wanted INCLUSIVE ['gold', 'silver']",
    )
    assert told["groups[0].dimensions[1].attributes[tier]"] == (False, "tier is absent; wanted INCLUSIVE ['1']")
    request = segments_pb2.ExplainSegmentRequest(parent=PARENT, rules=asked, endpoint_id="nobody")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await api.segments.ExplainSegment(request)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_explain_says_of_a_group_without_conditions_that_everybody_is_meant(api: Api) -> None:
    await write(api, a="gold")
    request = segments_pb2.ExplainSegmentRequest(parent=PARENT, rules=rules(group(type=NONE)), endpoint_id="a")
    answer = await api.segments.ExplainSegment(request)
    assert answer.member
    assert [(clause.path, clause.matched, clause.because) for clause in answer.clauses] == [
        ("groups[0]", True, "everybody is meant")
    ]


async def test_versions_are_listed_newest_first_page_by_page(api: Api) -> None:
    segment = segments_pb2.Segment(display_name="first", rules=rules())
    made = await api.segments.CreateSegment(segments_pb2.CreateSegmentRequest(parent=PARENT, segment=segment))
    for name in ("second", "third"):
        changed = segments_pb2.Segment(name=made.name, display_name=name)
        await api.segments.UpdateSegment(segments_pb2.UpdateSegmentRequest(segment=changed))
    request = segments_pb2.ListSegmentVersionsRequest(parent=made.name, page_size=2)
    page = await api.segments.ListSegmentVersions(request)
    assert [(each.version, each.display_name) for each in page.segments] == [(3, "third"), (2, "second")]
    request.page_token = page.next_page_token
    page = await api.segments.ListSegmentVersions(request)
    assert [each.version for each in page.segments] == [1]
    assert not page.next_page_token
    call = f"ListSegmentVersions {made.name}"
    largest = segments_pb2.ListSegmentVersionsRequest(parent=made.name, page_token=next_token(call, (str(2**31 - 1),)))
    assert len((await api.segments.ListSegmentVersions(largest)).segments) == 3
    for forged in ((str(2**31),), ("9" * 5000,), ("0",), ("-1",), ("\u0663",), ("1", "1"), ()):
        request = segments_pb2.ListSegmentVersionsRequest(parent=made.name, page_token=next_token(call, forged))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await api.segments.ListSegmentVersions(request)
        assert (refused.value.code(), reason_of(refused.value)) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "PAGE_TOKEN_INVALID",
        )


async def test_a_snapshot_tells_who_was_in_it(api: Api) -> None:
    await write(api, a="gold", b="silver", c="gold")
    segment = segments_pb2.Segment(display_name="gold", rules=rules(group(having("plan", "gold"))))
    made = await api.segments.CreateSegment(segments_pb2.CreateSegmentRequest(parent=PARENT, segment=segment))
    freeze = audience_pb2.FreezeSegmentRequest(segment=made.name, snapshot_id="run-1")
    snapshot = await api.audience.FreezeSegment(freeze)
    await write(api, a="silver", b="gold")
    await api.endpoints.DeleteEndpoint(endpoints_pb2.DeleteEndpointRequest(name=f"{PARENT}/endpoints/c"))
    asked = audience_pb2.FilterMembersRequest(snapshot=snapshot.name, endpoint_ids=["A", "b", "c", "nobody"])
    assert list((await api.audience.FilterMembers(asked)).member_ids) == ["A"]


async def test_verify_answers_for_each_partition(api: Api) -> None:
    await write(api, a="gold", b="silver")
    stream = api.audience.VerifyAudience(audience_pb2.VerifyAudienceRequest(project=PARENT))
    [found] = [partition async for partition in stream]
    assert (found.loaded, found.endpoint_count, found.difference_count) == (True, 2, 0)
