"""What a caller may ask, and everything that is refused: status, reason, and that nothing is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from heliograph.campaigns.v1 import campaigns_pb2 as pb
from heliograph.campaigns.v1 import campaigns_pb2_grpc, events_pb2
from heliograph.common.v1 import limits_pb2
from heliograph.messaging.v1 import dispatch_pb2
from heliograph.projects.v1 import projects_pb2
from heliograph_campaigns.domain import Campaign, CampaignState, Content, Draft
from heliograph_campaigns.tables import metadata
from heliograph_kit import migrations
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.testing import eventually
from heliograph_kit.testing.fixtures import INTERNAL_SECRET
from tests.campaigns.builders import SEGMENT, SHOP, a_campaign, a_request, at, content, treatments
from tests.campaigns.conftest import Service, Start
from tests.campaigns.crowd import Crowd
from tests.campaigns.post import Post

Status = grpc.StatusCode
POOL = f"{SHOP}/pools/main"


def tomorrow() -> pb.Schedule:
    return at(datetime.now(UTC) + timedelta(days=1))


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), reason_of(caught.value)


async def violations(call: Awaitable[object]) -> set[tuple[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is Status.INVALID_ARGUMENT
    return set(violations_of(caught.value))


async def nothing_stored(service: Service) -> bool:
    tables = ("campaigns", "campaign_versions", "runs", "outbox")
    counts = [(await service.rows(f"SELECT count(*) FROM campaigns.{table}"))[0][0] for table in tables]
    return counts == [0] * len(tables)


async def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_stored(idle: Service) -> None:
    request = a_request(
        display_name="",
        description="x" * 1_001,
        segment="projects/other/segments/everybody",
        segment_version=-1,
        channel="PIGEON",
        content=content("projects/other/templates/hello", template_version=-1),
        additional_treatments=[
            pb.Treatment(size_percent=0, content=content("")),
            pb.Treatment(size_percent=80, content=content(f"{SHOP}/templates/a/b")),
            pb.Treatment(size_percent=10, content=content(email_subject="Hi")),
        ],
        holdout_percent=30,
        schedule=at(datetime.now(UTC) - timedelta(seconds=1)),
        tags={"aws:x": "1"},
    )
    assert await violations(idle.stub.CreateCampaign(request)) == {
        ("campaign.display_name", "INVALID_LENGTH"),
        ("campaign.description", "INVALID_LENGTH"),
        ("campaign.segment", "INVALID_NAME"),
        ("campaign.segment_version", "OUT_OF_RANGE"),
        ("campaign.channel", "UNKNOWN_CHANNEL"),
        ("campaign.content.template", "INVALID_NAME"),
        ("campaign.content.template_version", "OUT_OF_RANGE"),
        ("campaign.additional_treatments[0].size_percent", "OUT_OF_RANGE"),
        ("campaign.additional_treatments[0].content", "CONTENT_MISSING"),
        ("campaign.additional_treatments[1].content.template", "INVALID_NAME"),
        ("campaign.additional_treatments[2].content", "CONTENT_AMBIGUOUS"),
        ("campaign.additional_treatments[2].content.email_subject", "CONTENT_CHANNEL_MISMATCH"),
        ("campaign.additional_treatments", "SHARES_EXCEED_100"),
        ("campaign.schedule.start_time", "OUT_OF_RANGE"),
        ("campaign.tags[aws:x]", "INVALID_TAG"),
    }
    assert await nothing_stored(idle)


# Tables and not parameters: a fresh service for each row would cost more than all the rows.
IMPOSSIBLE: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "no segment": ({"segment": ""}, ("segment", "INVALID_NAME")),
    "a blank in a name": ({"segment": f"{SHOP}/segments/a b"}, ("segment", "INVALID_NAME")),
    "no id in a name": ({"segment": f"{SHOP}/segments/"}, ("segment", "INVALID_NAME")),
    "not a segment": ({"segment": f"{SHOP}/templates/x"}, ("segment", "INVALID_NAME")),
    "a sixth treatment": (
        {"additional_treatments": treatments(20, 20, 20, 20, 20)},
        ("additional_treatments", "TOO_MANY"),
    ),
    "a bare pool id": (
        {"channel": "SMS", "content": content("", sms_body="hi", origination_pool="main")},
        ("content.origination_pool", "INVALID_NAME"),
    ),
    "a pool of another project": (
        {"channel": "SMS", "content": content("", sms_body="hi", origination_pool="projects/other/pools/main")},
        ("content.origination_pool", "INVALID_NAME"),
    ),
    "a short code of 2 digits": (
        {"channel": "SMS", "content": content("", sms_body="hi", origination_number="12")},
        ("content.origination_number", "INVALID_NUMBER"),
    ),
    "a short code of 9 digits": (
        {"channel": "SMS", "content": content("", sms_body="hi", origination_number="123456789")},
        ("content.origination_number", "INVALID_NUMBER"),
    ),
    "a pool and nothing to say": (
        {"channel": "SMS", "content": content("", origination_pool=POOL)},
        ("content", "CONTENT_MISSING"),
    ),
    "a negative holdout": ({"holdout_percent": -1}, ("holdout_percent", "OUT_OF_RANGE")),
    "101 percent": (
        {"additional_treatments": treatments(50), "holdout_percent": 51},
        ("additional_treatments", "SHARES_EXCEED_100"),
    ),
    "more than a year ahead": (
        {"schedule": at(datetime.now(UTC) + timedelta(days=366))},
        ("schedule.start_time", "OUT_OF_RANGE"),
    ),
}


async def test_a_campaign_that_cannot_be_is_refused(idle: Service) -> None:
    for case, (changes, (field, reason)) in IMPOSSIBLE.items():
        assert await violations(idle.create(**changes)) == {(f"campaign.{field}", reason)}, case
    assert await nothing_stored(idle)


MISSING: dict[str, tuple[dict[str, Any], str]] = {
    "no such segment": ({"segment": f"{SHOP}/segments/none"}, "SEGMENT_UNUSABLE"),
    "no such version of the segment": ({"segment_version": 2}, "SEGMENT_UNUSABLE"),
    "no such template": ({"content": content(f"{SHOP}/templates/none")}, "TEMPLATE_UNUSABLE"),
    "no such version of the template": ({"content": content(template_version=4)}, "TEMPLATE_UNUSABLE"),
    "another channel": ({"content": content(f"{SHOP}/templates/text")}, "TEMPLATE_UNUSABLE"),
    "another channel in a treatment": (
        {"additional_treatments": [pb.Treatment(size_percent=1, content=content(f"{SHOP}/templates/text"))]},
        "TEMPLATE_UNUSABLE",
    ),
}


MISSING["no such pool"] = (
    {"channel": "SMS", "content": content("", sms_body="hi", origination_pool=f"{SHOP}/pools/none")},
    "POOL_UNUSABLE",
)
MISSING["no such pool in a treatment"] = (
    {
        "channel": "SMS",
        "content": content("", sms_body="hi", origination_pool=POOL),
        "additional_treatments": [
            pb.Treatment(size_percent=1, content=content("", sms_body="hi", origination_pool=f"{SHOP}/pools/none"))
        ],
    },
    "POOL_UNUSABLE",
)


async def test_sms_of_a_campaign_name_pools_and_short_codes(idle: Service, post: Post, start: Start) -> None:
    treatment = pb.Treatment(size_percent=50, content=content("", sms_body="yo", origination_number="12345"))
    made = await idle.create(
        channel="SMS",
        content=content("", sms_body="hi", origination_pool=POOL),
        additional_treatments=[treatment],
    )
    assert (await idle.get(made.name)).content.origination_pool == POOL
    assert made.additional_treatments[0].content.origination_number == "12345"
    await start("worker")
    await eventually(lambda: sum(len(batch.recipients.ordinals) for batch in post.of(made.name)) == 200)
    said = {
        (batch.source.treatment_id, batch.content.origination_pool, batch.content.origination_number)
        for batch in post.of(made.name)
    }
    assert said == {("0", POOL, ""), ("1", "", "12345")}


async def test_what_a_campaign_refers_to_must_exist(idle: Service) -> None:
    for case, (changes, reason) in MISSING.items():
        assert await refused(idle.create(**changes)) == (Status.FAILED_PRECONDITION, reason), case
    assert await nothing_stored(idle)


async def test_a_peer_that_is_away_is_told_as_such_and_nothing_is_stored(idle: Service, crowd: Crowd) -> None:
    crowd.away = True
    # A client that does not try again by itself, as ours do.
    token = ("authorization", f"Bearer {InternalTokens(INTERNAL_SECRET).issue('tests')}")
    async with grpc.aio.insecure_channel(idle.runtime.address) as opened:
        call = campaigns_pb2_grpc.CampaignServiceStub(opened).CreateCampaign(a_request(), metadata=[token])
        assert (await refused(call))[0] is Status.UNAVAILABLE
    assert await nothing_stored(idle)


async def test_names_and_request_ids_are_looked_at_first(idle: Service) -> None:
    bad_parent = pb.CreateCampaignRequest(parent="shop", campaign=a_campaign())
    assert await violations(idle.stub.CreateCampaign(bad_parent)) == {("parent", "INVALID_NAME")}
    assert await violations(idle.create(request_id="x" * 65)) == {("request_id", "INVALID_LENGTH")}
    assert await violations(idle.get(f"{SHOP}/segments/x")) == {("name", "INVALID_NAME")}
    assert await nothing_stored(idle)


async def test_a_campaign_comes_back_as_it_was_written(idle: Service) -> None:
    schedule = tomorrow()
    written = a_campaign(
        description="All of it",
        additional_treatments=treatments(20, 10),
        holdout_percent=5,
        schedule=schedule,
        tags={"team": "growth"},
    )
    made = await idle.stub.CreateCampaign(pb.CreateCampaignRequest(parent=SHOP, campaign=written))
    assert made == await idle.get(made.name)
    assert (made.state, made.version, made.segment_version) == (pb.Campaign.STATE_SCHEDULED, 1, 1)
    assert [t.treatment_id for t in made.additional_treatments] == ["1", "2"]
    assert made.etag
    for field in (
        "display_name",
        "description",
        "segment",
        "channel",
        "content",
        "holdout_percent",
        "schedule",
        "tags",
    ):
        assert getattr(made, field) == getattr(written, field)


async def test_a_campaign_inherits_what_the_project_says_when_it_is_created(
    service: Service, crowd: Crowd, post: Post
) -> None:
    crowd.settings = projects_pb2.ProjectSettings(
        campaign_limits=limits_pb2.CampaignLimits(daily=4, total=3),
        quiet_time=limits_pb2.QuietTime(start="22:00", end="07:00"),
    )
    made = await service.create(limits=limits_pb2.CampaignLimits(total=1), paused=True)
    crowd.settings = projects_pb2.ProjectSettings(campaign_limits=limits_pb2.CampaignLimits(daily=99))
    assert (made.limits.daily, made.limits.total) == (0, 1)
    assert (made.inherited_limits.daily, made.inherited_limits.total) == (4, 3)
    changed = await service.stub.UpdateCampaign(
        pb.UpdateCampaignRequest(
            campaign=pb.Campaign(name=made.name, quiet_time=limits_pb2.QuietTime(start="12:00", end="13:00")),
            update_mask=FieldMask(paths=["quiet_time"]),
        )
    )
    assert changed.inherited_limits == made.inherited_limits
    await service.stub.ResumeCampaign(pb.ResumeCampaignRequest(name=made.name))
    await eventually(lambda: post.of(made.name))
    told = post.of(made.name)[0].policy
    assert [(cap.scope, cap.limit, cap.window.seconds) for cap in told.caps] == [
        (dispatch_pb2.CAP_SCOPE_PROJECT, 4, 86_400),
        (dispatch_pb2.CAP_SCOPE_SOURCE, 1, 0),
    ]
    assert (told.quiet_time.start, told.quiet_time.end) == ("12:00", "13:00")
    batches = post.of(made.name)
    project = made.name.partition("/campaigns/")[0]
    assert [batch.snapshot for batch in batches] == [f"{project}/snapshots/{batch.source.run_id}" for batch in batches]


async def test_a_repeated_request_gets_the_first_answer(idle: Service) -> None:
    request = a_request("one", schedule=tomorrow())
    first = await idle.stub.CreateCampaign(request)
    assert await idle.stub.CreateCampaign(request) == first
    request.campaign.display_name = "Other news"
    assert await refused(idle.stub.CreateCampaign(request)) == (Status.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    elsewhere = pb.CreateCampaignRequest(parent="projects/other", campaign=request.campaign, request_id="one")
    assert (await violations(idle.stub.CreateCampaign(elsewhere))) >= {("campaign.segment", "INVALID_NAME")}
    assert await idle.rows("SELECT count(*) FROM campaigns.campaigns") == [(1,)]


async def test_twenty_twins_of_a_request_make_one_campaign(idle: Service) -> None:
    request = a_request("twins", schedule=tomorrow())
    answers = await asyncio.gather(*(idle.stub.CreateCampaign(request) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert await idle.rows("SELECT count(*) FROM campaigns.campaign_versions") == [(1,)]
    assert await idle.rows("SELECT count(*) FROM campaigns.outbox") == [(1,)]


async def test_twenty_requests_under_one_id_that_differ_make_one_campaign(idle: Service) -> None:
    calls = (idle.stub.CreateCampaign(a_request("mixed", display_name=f"News {n}")) for n in range(20))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [(error.code(), reason_of(error)) for error in failed] == [(Status.ALREADY_EXISTS, "REQUEST_ID_REUSED")] * 19
    assert await idle.rows("SELECT count(*) FROM campaigns.campaigns") == [(1,)]


async def test_lists_come_in_pages_newest_first_without_what_was_deleted(idle: Service) -> None:
    made = [(await idle.create(schedule=tomorrow())).name for _ in range(6)]
    await idle.stub.DeleteCampaign(pb.DeleteCampaignRequest(name=made.pop(2)))
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListCampaignsRequest(parent=SHOP, page_size=2, page_token=token)
        page = await idle.stub.ListCampaigns(request)
        seen += [campaign.name for campaign in page.campaigns]
        token = page.next_page_token or ""
        if not token:
            break
        last = token
    assert seen == made[::-1]
    for parent, bad in ((SHOP, "abc"), ("projects/other", last)):
        request = pb.ListCampaignsRequest(parent=parent, page_token=bad)
        assert (await refused(idle.stub.ListCampaigns(request)))[1] == "PAGE_TOKEN_INVALID"
    runs = pb.ListRunsRequest(parent=made[0], page_token=last)
    assert (await refused(idle.stub.ListRuns(runs)))[1] == "PAGE_TOKEN_INVALID"
    negative = pb.ListCampaignsRequest(parent=SHOP, page_size=-1)
    assert await violations(idle.stub.ListCampaigns(negative)) == {("page_size", "OUT_OF_RANGE")}


async def change(service: Service, campaign: pb.Campaign, *paths: str, **fields: Any) -> pb.Campaign:
    wanted = pb.Campaign(name=campaign.name, **fields)
    mask = FieldMask(paths=paths) if paths else None
    return await service.stub.UpdateCampaign(pb.UpdateCampaignRequest(campaign=wanted, update_mask=mask))


async def test_an_update_changes_what_its_mask_names(idle: Service) -> None:
    first = await idle.create(schedule=tomorrow(), description="Old", holdout_percent=5)
    named = await change(idle, first, "description", display_name="Not named")
    assert (named.description, named.display_name, named.version) == ("", "News", 2)
    unmasked = await change(idle, first, display_name="Newer")
    assert (unmasked.display_name, unmasked.holdout_percent, unmasked.version) == ("Newer", 5, 3)
    every = await change(idle, first, "*", **fields_of(a_campaign(display_name="All", schedule=tomorrow())))
    assert (every.display_name, every.holdout_percent, every.version) == ("All", 0, 4)
    assert len({first.etag, named.etag, unmasked.etag, every.etag}) == 4
    assert every == await idle.get(first.name)
    assert await idle.rows("SELECT version FROM campaigns.campaign_versions ORDER BY 1") == [(1,), (2,), (3,), (4,)]


def fields_of(campaign: pb.Campaign) -> dict[str, Any]:
    return {descriptor.name: value for descriptor, value in campaign.ListFields()}


async def test_another_segment_is_taken_in_its_latest_version(idle: Service, crowd: Crowd) -> None:
    crowd.versions[SEGMENT] = 3
    crowd.segments[f"{SHOP}/segments/few"] = ["e1"]
    campaign = await idle.create(schedule=tomorrow())
    assert campaign.segment_version == 3
    moved = await change(idle, campaign, "segment", segment=f"{SHOP}/segments/few")
    assert moved.segment_version == 1


async def test_a_mask_with_unknown_paths_is_refused_with_each_of_them(idle: Service) -> None:
    campaign = await idle.create(schedule=tomorrow())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await change(idle, campaign, "state", "content.template", "display_name", display_name="x")
    assert violations_of(caught.value) == [("update_mask", "UNKNOWN_FIELD")] * 2
    assert await idle.get(campaign.name) == campaign


async def test_an_update_is_checked_like_a_new_campaign(idle: Service) -> None:
    campaign = await idle.create(schedule=tomorrow())
    past = at(datetime.now(UTC) - timedelta(hours=1))
    found = await violations(change(idle, campaign, display_name="x" * 129, schedule=past))
    assert found == {("campaign.display_name", "INVALID_LENGTH"), ("campaign.schedule.start_time", "OUT_OF_RANGE")}
    gone = change(idle, campaign, segment=f"{SHOP}/segments/none")
    assert await refused(gone) == (Status.FAILED_PRECONDITION, "SEGMENT_UNUSABLE")
    assert await idle.get(campaign.name) == campaign


async def test_a_stale_etag_is_refused_and_of_twenty_writers_with_one_etag_one_wins(idle: Service) -> None:
    campaign = await idle.create(schedule=tomorrow())
    calls = (change(idle, campaign, display_name=f"By {n}", etag=campaign.etag) for n in range(20))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [(error.code(), reason_of(error)) for error in failed] == [(Status.ABORTED, "CONFLICT")] * 19
    assert (await idle.get(campaign.name)).version == 2


async def test_states_that_do_not_allow_a_call_refuse_it(idle: Service) -> None:
    campaign = await idle.create(schedule=tomorrow())
    pause = pb.PauseCampaignRequest(name=campaign.name)
    resume = pb.ResumeCampaignRequest(name=campaign.name)
    delete = pb.DeleteCampaignRequest(name=campaign.name)
    assert await refused(idle.stub.ResumeCampaign(resume)) == (Status.FAILED_PRECONDITION, "CAMPAIGN_NOT_RESUMABLE")
    paused = await idle.stub.PauseCampaign(pause)
    assert (paused.state, paused.paused) == (pb.Campaign.STATE_PAUSED, True)
    assert await refused(idle.stub.PauseCampaign(pause)) == (Status.FAILED_PRECONDITION, "CAMPAIGN_NOT_PAUSABLE")
    assert (await change(idle, campaign, display_name="While paused")).state == pb.Campaign.STATE_PAUSED
    assert (await idle.stub.ResumeCampaign(resume)).state == pb.Campaign.STATE_SCHEDULED
    assert (await idle.stub.DeleteCampaign(delete)).state == pb.Campaign.STATE_DELETED
    calls: tuple[Awaitable[object], ...] = (
        idle.stub.DeleteCampaign(delete),
        idle.stub.PauseCampaign(pause),
        idle.stub.ResumeCampaign(resume),
        idle.get(campaign.name),
        idle.runs(campaign.name),
        change(idle, campaign, display_name="x"),
    )
    for call in calls:
        assert await refused(call) == (Status.NOT_FOUND, "CAMPAIGN_NOT_FOUND")


async def test_a_campaign_that_began_is_neither_changed_nor_paused_nor_resumed(idle: Service) -> None:
    campaign = await idle.create(schedule=tomorrow())
    for state in ("EXECUTING", "COMPLETED", "INVALID"):
        async with idle.runtime.database.transaction() as conn:
            await conn.exec_driver_sql(f"UPDATE campaigns.campaigns SET state = '{state}'")
        calls: dict[str, Awaitable[object]] = {
            "CAMPAIGN_NOT_EDITABLE": change(idle, campaign, display_name="x"),
            "CAMPAIGN_NOT_PAUSABLE": idle.stub.PauseCampaign(pb.PauseCampaignRequest(name=campaign.name)),
            "CAMPAIGN_NOT_RESUMABLE": idle.stub.ResumeCampaign(pb.ResumeCampaignRequest(name=campaign.name)),
        }
        for reason, call in calls.items():
            assert await refused(call) == (Status.FAILED_PRECONDITION, reason), state
    deleted = await idle.stub.DeleteCampaign(pb.DeleteCampaignRequest(name=campaign.name))
    assert deleted.state == pb.Campaign.STATE_DELETED


async def test_every_change_is_announced_with_the_segment_and_a_greater_revision(idle: Service) -> None:
    campaign = await idle.create(schedule=tomorrow())
    await idle.stub.PauseCampaign(pb.PauseCampaignRequest(name=campaign.name))
    changed = a_campaign(name=campaign.name, display_name="Other")
    await idle.stub.UpdateCampaign(
        pb.UpdateCampaignRequest(campaign=changed, update_mask=FieldMask(paths=["display_name"]))
    )
    await idle.stub.ResumeCampaign(pb.ResumeCampaignRequest(name=campaign.name))
    await idle.stub.DeleteCampaign(pb.DeleteCampaignRequest(name=campaign.name))
    rows = await idle.rows("SELECT payload FROM campaigns.outbox WHERE type LIKE '%CampaignUpdated' ORDER BY seq")
    told = [events_pb2.CampaignUpdated.FromString(bytes(row[0])) for row in rows]
    assert [each.state for each in told] == ["SCHEDULED", "PAUSED", "PAUSED", "SCHEDULED", "DELETED"]
    assert {tuple(each.segments) for each in told} == {(SEGMENT,)}
    revisions = [each.revision for each in told]
    assert revisions == sorted(set(revisions))


def test_of_two_changes_the_second_is_later_also_when_the_clock_stands_or_goes_back() -> None:
    now = datetime(2026, 3, 4, tzinfo=UTC)
    draft = Draft(display_name="x", segment=SEGMENT, channel="EMAIL", content=Content())
    campaign = Campaign("shop", "c1", draft, CampaignState.PAUSED, "", 1, now, now)
    assert campaign.changed_at(now) == campaign.changed_at(now - timedelta(hours=1)) == now + timedelta(microseconds=1)
    assert campaign.changed_at(now + timedelta(seconds=1)) == now + timedelta(seconds=1)


def test_the_migrations_build_what_the_tables_declare(values: dict[str, Any]) -> None:
    assert migrations.differences(values["database_url"], metadata) == []
