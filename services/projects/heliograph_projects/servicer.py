"""The gRPC face of the projects service: parse, call, translate."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import grpc
from google.protobuf.message import Message

from heliograph.common.v1 import access_pb2 as common_pb2
from heliograph.common.v1 import limits_pb2
from heliograph.projects.v1 import access_pb2, access_pb2_grpc, projects_pb2, projects_pb2_grpc
from heliograph_kit.auth import current_principal
from heliograph_kit.errors import Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import InvalidName, parse_pattern
from heliograph_kit.rpc import fingerprint
from heliograph_projects.access import Access
from heliograph_projects.domain import ApiKey, ApiKeyDraft, KeyRole, Project, ProjectDraft
from heliograph_projects.service import Projects
from heliograph_projects.settings import CampaignLimits, JourneyLimits, ProjectSettings, QuietTime, Settings
from heliograph_projects.store import Actor, Asked

Context = grpc.aio.ServicerContext[Any, Any]

_KEY_NAME = re.compile(r"apiKeys/([0-9a-f]{32})")
_ROLES = {common_pb2.Role.Value(f"ROLE_{role.value}"): role for role in KeyRole}


class ProjectServicer(projects_pb2_grpc.ProjectServiceServicer):
    """Projects over gRPC."""

    def __init__(self, projects: Projects, settings: Settings) -> None:
        """Take the use cases."""
        self._projects = projects
        self._settings = settings

    async def CreateProject(self, request: projects_pb2.CreateProjectRequest, context: Context) -> projects_pb2.Project:
        """Create a project."""
        wish = request.project
        draft = ProjectDraft(wish.display_name, dict(wish.tags), request.project_id)
        return project_to_proto(await self._projects.create(draft, _asked("CreateProject", request)))

    async def GetProject(self, request: projects_pb2.GetProjectRequest, context: Context) -> projects_pb2.Project:
        """Return a project."""
        return project_to_proto(await self._projects.get(_project_id(request.name)))

    async def ListProjects(
        self, request: projects_pb2.ListProjectsRequest, context: Context
    ) -> projects_pb2.ListProjectsResponse:
        """Return a page of projects."""
        page, token = await self._projects.page(request.page_size, request.page_token)
        return projects_pb2.ListProjectsResponse(projects=map(project_to_proto, page), next_page_token=token)

    async def DeleteProject(self, request: projects_pb2.DeleteProjectRequest, context: Context) -> projects_pb2.Project:
        """Delete a project."""
        return project_to_proto(await self._projects.delete(_project_id(request.name), _actor()))

    async def GetProjectSettings(
        self, request: projects_pb2.GetProjectSettingsRequest, context: Context
    ) -> projects_pb2.ProjectSettings:
        """Return what campaigns and journeys inherit."""
        project = _settings_of(request.name)
        return settings_to_proto(project, await self._settings.get(project))

    async def UpdateProjectSettings(
        self, request: projects_pb2.UpdateProjectSettingsRequest, context: Context
    ) -> projects_pb2.ProjectSettings:
        """Change what campaigns and journeys inherit."""
        project = _settings_of(request.settings.name, field="settings.name")
        changed = await self._settings.update(project, _settings_change(request), _actor())
        return settings_to_proto(project, changed)


class AccessServicer(access_pb2_grpc.AccessServiceServicer):
    """API keys over gRPC."""

    def __init__(self, access: Access) -> None:
        """Take the use cases."""
        self._access = access

    async def CreateApiKey(
        self, request: access_pb2.CreateApiKeyRequest, context: Context
    ) -> access_pb2.CreateApiKeyResponse:
        """Create a key and tell its secret, once."""
        key, token = await self._access.create(draft_from_proto(request.api_key), _asked("CreateApiKey", request))
        return access_pb2.CreateApiKeyResponse(api_key=key_to_proto(key), token=token)

    async def ListApiKeys(
        self, request: access_pb2.ListApiKeysRequest, context: Context
    ) -> access_pb2.ListApiKeysResponse:
        """Return a page of keys."""
        page, token = await self._access.page(request.page_size, request.page_token)
        return access_pb2.ListApiKeysResponse(api_keys=map(key_to_proto, page), next_page_token=token)

    async def RevokeApiKey(self, request: access_pb2.RevokeApiKeyRequest, context: Context) -> access_pb2.ApiKey:
        """Revoke a key."""
        found = _KEY_NAME.fullmatch(request.name)
        if found is None:
            raise InvalidName("name", "apiKeys/{key}")
        return key_to_proto(await self._access.revoke(found[1], _actor()))

    async def Authenticate(
        self, request: access_pb2.AuthenticateRequest, context: Context
    ) -> access_pb2.AuthenticateResponse:
        """Tell whose key a token is."""
        return access_pb2.AuthenticateResponse(api_key=key_to_proto(await self._access.authenticate(request.token)))


def project_to_proto(project: Project) -> projects_pb2.Project:
    """Return a project as it travels."""
    return projects_pb2.Project(
        name=project.name,
        display_name=project.display_name,
        create_time=timestamp(project.create_time),
        tags=project.tags,
    )


def settings_to_proto(project: str, settings: ProjectSettings) -> projects_pb2.ProjectSettings:
    """Return settings as they travel."""
    return projects_pb2.ProjectSettings(
        name=f"projects/{project}/settings",
        campaign_limits=limits_pb2.CampaignLimits(**asdict(settings.campaign_limits)),
        journey_limits=limits_pb2.JourneyLimits(**asdict(settings.journey_limits)),
        quiet_time=limits_pb2.QuietTime(**asdict(settings.quiet_time)) if settings.quiet_time else None,
        update_time=timestamp(settings.update_time),
    )


def _settings_change(
    request: projects_pb2.UpdateProjectSettingsRequest,
) -> Callable[[ProjectSettings], ProjectSettings]:
    wish, mask = request.settings, set(request.update_mask.paths)
    known = {"campaign_limits", "journey_limits", "quiet_time"}
    violations = Violations()
    for path in sorted(mask - known - {"*"}):
        violations.add("update_mask", f"{path} cannot be updated", "INVALID_ARGUMENT")
    violations.check()
    if "*" in mask:
        mask = known
    mask = mask or known & {field.name for field, _ in wish.ListFields()}
    campaigns, journeys = wish.campaign_limits, wish.journey_limits
    values: dict[str, Any] = {
        "campaign_limits": CampaignLimits(campaigns.daily, campaigns.total),
        "journey_limits": JourneyLimits(journeys.daily, journeys.total, journeys.timeframe, journeys.timeframe_days),
        "quiet_time": QuietTime(wish.quiet_time.start, wish.quiet_time.end) if wish.HasField("quiet_time") else None,
    }
    return lambda before: replace(before, **{name: values[name] for name in mask})


def _settings_of(name: str, *, field: str = "name") -> str:
    return parse_pattern(name, "projects/{project}/settings", field=field)["project"]


def key_to_proto(key: ApiKey) -> access_pb2.ApiKey:
    """Return a key as it travels; its secret is not in it."""
    return access_pb2.ApiKey(
        name=key.name,
        display_name=key.display_name,
        roles=[common_pb2.Role.Value(f"ROLE_{role.value}") for role in key.roles],
        projects=[f"projects/{project}" for project in key.projects],
        all_projects=key.all_projects,
        create_time=timestamp(key.create_time),
        revoke_time=timestamp(key.revoke_time),
    )


def draft_from_proto(wish: access_pb2.ApiKey) -> ApiKeyDraft:
    """Read a wished key. What is no project name stays as it is: no project is called so, and that is reported."""
    roles = [_ROLES[number] for number in wish.roles if number in _ROLES]
    return ApiKeyDraft(
        display_name=wish.display_name,
        roles=roles,
        projects=[name.removeprefix("projects/") if name.startswith("projects/") else "" for name in wish.projects],
        all_projects=wish.all_projects,
        unknown_roles=len(wish.roles) - len(roles),
    )


def _project_id(name: str) -> str:
    return parse_pattern(name, "projects/{project}")["project"]


def _actor() -> Actor:
    principal = current_principal()
    return Actor(principal.kind, principal.id)


def _asked(method: str, request: Message) -> Asked:
    request_id: str = getattr(request, "request_id")  # noqa: B009 - every creating request has one
    return Asked(_actor(), method, request_id, fingerprint(request))
