"""What campaigns and journeys of a project inherit, through gRPC."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf import field_mask_pb2, json_format
from sqlalchemy import select

from heliograph.projects.v1 import projects_pb2, projects_pb2_grpc
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.runtime import Runtime
from heliograph_projects.config import ProjectsSettings
from heliograph_projects.tables import audit_log
from tests.projects.conftest import ADMIN_TOKEN, OpenChannel

pytestmark = pytest.mark.integration
Stub: TypeAlias = "projects_pb2_grpc.ProjectServiceAsyncStub"


@pytest.fixture
def projects(call_as: OpenChannel) -> Stub:
    return projects_pb2_grpc.ProjectServiceStub(call_as(ADMIN_TOKEN))


async def a_project(projects: Stub) -> str:
    made = await projects.CreateProject(
        projects_pb2.CreateProjectRequest(project=projects_pb2.Project(display_name="Shop"))
    )
    return f"{made.name}/settings"


async def put(projects: Stub, name: str, values: dict[str, Any], *mask: str) -> projects_pb2.ProjectSettings:
    settings = json_format.ParseDict({"name": name, **values}, projects_pb2.ProjectSettings())
    return await projects.UpdateProjectSettings(
        projects_pb2.UpdateProjectSettingsRequest(
            settings=settings, update_mask=field_mask_pb2.FieldMask(paths=list(mask))
        )
    )


async def test_settings_begin_without_limits_and_change_part_by_part(
    projects: Stub, service: Runtime[ProjectsSettings]
) -> None:
    name = await a_project(projects)
    first = await projects.GetProjectSettings(projects_pb2.GetProjectSettingsRequest(name=name))
    assert (first.campaign_limits.daily, first.journey_limits.total, first.HasField("quiet_time")) == (0, 0, False)
    assert not first.HasField("update_time")
    await put(projects, name, {"campaign_limits": {"daily": 100, "total": 3}})
    await put(projects, name, {"quiet_time": {"start": "22:00", "end": "07:00"}})
    await put(projects, name, {"journey_limits": {"timeframe": 100, "timeframe_days": 30, "daily": 1, "total": 100}})
    read = await projects.GetProjectSettings(projects_pb2.GetProjectSettingsRequest(name=name))
    assert (read.campaign_limits.daily, read.campaign_limits.total) == (100, 3)
    assert (read.quiet_time.start, read.quiet_time.end) == ("22:00", "07:00")
    assert (read.journey_limits.timeframe, read.journey_limits.timeframe_days) == (100, 30)
    cleared = await put(projects, name, {}, "quiet_time", "campaign_limits")
    assert not cleared.HasField("quiet_time")
    assert (cleared.campaign_limits.daily, cleared.journey_limits.daily) == (0, 1)
    assert not (await put(projects, name, {}, "*")).journey_limits.daily
    async with service.database.transaction() as conn:
        actions = (await conn.execute(select(audit_log.c.action).order_by(audit_log.c.sequence))).scalars().all()
    assert actions.count("update_settings") == 5


async def test_every_figure_out_of_range_is_told_and_nothing_changes(projects: Stub) -> None:
    name = await a_project(projects)
    wrong = {
        "campaign_limits": {"daily": 101, "total": -1},
        "journey_limits": {"daily": 101, "total": 101, "timeframe": 101, "timeframe_days": 31},
        "quiet_time": {"start": "7:00", "end": "24:00"},
    }
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await put(projects, name, wrong)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert {field for field, _ in violations_of(refused.value)} == {
        "settings.campaign_limits.daily", "settings.campaign_limits.total", "settings.journey_limits.daily",
        "settings.journey_limits.total", "settings.journey_limits.timeframe", "settings.journey_limits.timeframe_days",
        "settings.quiet_time.start", "settings.quiet_time.end",
    }  # fmt: skip
    for half in ({"timeframe": 1}, {"timeframe_days": 1}):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await put(projects, name, {"journey_limits": half})
        assert [field for field, _ in violations_of(refused.value)] == ["settings.journey_limits.timeframe_days"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await put(projects, name, {}, "update_time")
    assert [field for field, _ in violations_of(refused.value)] == ["update_mask"]
    read = await projects.GetProjectSettings(projects_pb2.GetProjectSettingsRequest(name=name))
    assert not read.HasField("update_time")


async def test_a_project_that_is_gone_has_no_settings(projects: Stub) -> None:
    name = "projects/nobody/settings"
    for call in (
        projects.GetProjectSettings(projects_pb2.GetProjectSettingsRequest(name=name)),
        put(projects, name, {"campaign_limits": {"daily": 1}}),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "PROJECT_NOT_FOUND")
