"""Keys, roles and projects: who is refused, and how."""

from __future__ import annotations

from collections.abc import Awaitable

import grpc
import pytest

from heliograph.campaigns.v1 import campaigns_pb2
from heliograph.common.v1 import access_pb2
from heliograph.messaging.v1 import channels_pb2, templates_pb2
from heliograph.projects.v1 import access_pb2 as keys_pb2
from heliograph.projects.v1 import projects_pb2
from heliograph.segments.v1 import segments_pb2
from heliograph_kit.rpc import reason_of
from heliograph_kit.testing import eventually
from heliograph_suite.demo.stage import Clients
from tests.acceptance.conftest import RunningSuite
from tests.acceptance.story import a_project

pytestmark = pytest.mark.acceptance


async def refusals(clients: Clients, project: str) -> set[tuple[str, str]]:
    """Try one reading call on every service; returns code and reason of each refusal."""
    calls: list[Awaitable[object]] = [
        clients.projects.GetProject(projects_pb2.GetProjectRequest(name=project)),
        clients.segments.ListSegments(segments_pb2.ListSegmentsRequest(parent=project)),
        clients.campaigns.ListCampaigns(campaigns_pb2.ListCampaignsRequest(parent=project)),
        clients.templates.ListTemplates(templates_pb2.ListTemplatesRequest(parent=project)),
        clients.channels.ListChannels(channels_pb2.ListChannelsRequest(parent=project)),
    ]
    found: set[tuple[str, str]] = set()
    for call in calls:
        try:
            await call
            found.add(("OK", ""))
        except grpc.aio.AioRpcError as error:
            found.add((error.code().name, reason_of(error)))
    return found


async def key_for(clients: Clients, project: str, role: int) -> keys_pb2.CreateApiKeyResponse:
    key = keys_pb2.ApiKey(display_name="test", roles=[role], projects=[project])  # type: ignore[list-item]
    return await clients.access.CreateApiKey(keys_pb2.CreateApiKeyRequest(api_key=key))


async def test_every_service_refuses_keys_alike(suite: RunningSuite, clients: Clients) -> None:
    mine, other = await a_project(clients, "mine"), await a_project(clients, "other")
    viewer = await key_for(clients, mine, access_pb2.ROLE_VIEWER)

    async def with_key(key: str, project: str) -> set[tuple[str, str]]:
        opened = Clients(suite.installation, key)
        try:
            return await refusals(opened, project)
        finally:
            await opened.close()

    assert await with_key(viewer.token, mine) == {("OK", "")}
    assert await with_key("", mine) == {("UNAUTHENTICATED", "KEY_MISSING")}
    wrong_secret = viewer.token[:-1] + ("a" if viewer.token[-1] != "a" else "b")
    assert await with_key(wrong_secret, mine) == {("UNAUTHENTICATED", "KEY_INVALID")}
    assert await with_key("hg_nobody_nothing", mine) == {("UNAUTHENTICATED", "KEY_INVALID")}
    # The same answer whether the project exists or not: tenants never see each other.
    assert await with_key(viewer.token, other) == {("PERMISSION_DENIED", "PROJECT_NOT_ALLOWED")}
    assert await with_key(viewer.token, "projects/nowhere") == {("PERMISSION_DENIED", "PROJECT_NOT_ALLOWED")}
    await clients.access.RevokeApiKey(keys_pb2.RevokeApiKeyRequest(name=viewer.api_key.name))

    async def refused_everywhere() -> bool:
        return await with_key(viewer.token, mine) == {("UNAUTHENTICATED", "KEY_REVOKED")}

    await eventually(refused_everywhere, within=10, every=0.5)


async def test_a_reader_changes_nothing(suite: RunningSuite, clients: Clients) -> None:
    project = await a_project(clients, "read-only")
    viewer = await key_for(clients, project, access_pb2.ROLE_VIEWER)
    reader = Clients(suite.installation, viewer.token)
    try:
        segment = segments_pb2.Segment(display_name="x", rules=segments_pb2.SegmentRules())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await reader.segments.CreateSegment(segments_pb2.CreateSegmentRequest(parent=project, segment=segment))
        assert (caught.value.code(), reason_of(caught.value)) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "ROLE_NOT_ALLOWED",
        )
    finally:
        await reader.close()
    assert not (await clients.segments.ListSegments(segments_pb2.ListSegmentsRequest(parent=project))).segments


async def test_a_request_over_the_size_limit_is_refused(clients: Clients) -> None:
    project = await a_project(clients, "large")
    email = templates_pb2.EmailTemplate(subject="x", html="x" * (5 * 1024 * 1024))
    template = templates_pb2.Template(kind=templates_pb2.TEMPLATE_KIND_EMAIL, email=email)
    request = templates_pb2.CreateTemplateRequest(parent=project, template_id="large", template=template)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await clients.templates.CreateTemplate(request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    listed = await clients.templates.ListTemplates(templates_pb2.ListTemplatesRequest(parent=project))
    assert not listed.templates


async def test_a_campaign_on_nothing_is_refused(clients: Clients) -> None:
    project = await a_project(clients, "nothing")

    async def refusal(segment: str, template: str) -> tuple[str, str]:
        campaign = campaigns_pb2.Campaign(display_name="x", segment=segment, channel="EMAIL")
        campaign.content.template = template
        request = campaigns_pb2.CreateCampaignRequest(parent=project, campaign=campaign)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await clients.campaigns.CreateCampaign(request)
        return caught.value.code().name, reason_of(caught.value)

    missing_template = await refusal(f"{project}/segments/none", f"{project}/templates/none")
    assert missing_template == ("FAILED_PRECONDITION", "TEMPLATE_UNUSABLE")
    email = templates_pb2.EmailTemplate(subject="x", text="x")
    template = templates_pb2.Template(kind=templates_pb2.TEMPLATE_KIND_EMAIL, email=email)
    await clients.templates.CreateTemplate(
        templates_pb2.CreateTemplateRequest(parent=project, template_id="t", template=template)
    )
    missing_segment = await refusal(f"{project}/segments/none", f"{project}/templates/t")
    assert missing_segment == ("FAILED_PRECONDITION", "SEGMENT_UNUSABLE")
    foreign = await refusal("projects/elsewhere/segments/s", f"{project}/templates/t")
    assert foreign == ("INVALID_ARGUMENT", "INVALID_ARGUMENT")
    listed = await clients.campaigns.ListCampaigns(campaigns_pb2.ListCampaignsRequest(parent=project))
    assert not listed.campaigns
