"""API keys through gRPC: creation, roles, scope, revocation, and who a token belongs to."""

from __future__ import annotations

import asyncio
import hashlib

import grpc
import pytest
from pydantic import ValidationError
from sqlalchemy import func, select

from heliograph.common.v1 import access_pb2 as common_pb2
from heliograph.projects.v1 import access_pb2, access_pb2_grpc, projects_pb2, projects_pb2_grpc
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.runtime import Runtime, running
from heliograph_projects.config import ProjectsSettings
from heliograph_projects.main import PACKAGE, build
from heliograph_projects.tables import api_keys, audit_log, metadata
from tests.projects.conftest import ADMIN_TOKEN, OpenChannel

Stub = access_pb2_grpc.AccessServiceStub


@pytest.fixture
def access(call_as: OpenChannel) -> access_pb2_grpc.AccessServiceAsyncStub:
    """Keys as the bootstrap admin sees them."""
    return Stub(call_as(ADMIN_TOKEN))


def wish(
    *roles: common_pb2.Role.ValueType, projects: tuple[str, ...] = (), request_id: str = ""
) -> access_pb2.CreateApiKeyRequest:
    """Build a request for a key; without projects its scope is all of them."""
    key = access_pb2.ApiKey(display_name="k", roles=roles, projects=projects, all_projects=not projects)
    return access_pb2.CreateApiKeyRequest(api_key=key, request_id=request_id)


async def test_the_token_is_told_once_and_only_its_hash_is_kept(
    access: access_pb2_grpc.AccessServiceAsyncStub, service: Runtime[ProjectsSettings]
) -> None:
    made = await access.CreateApiKey(wish(common_pb2.ROLE_VIEWER))
    _, key, secret = made.token.split("_")
    assert made.api_key.name == f"apiKeys/{key}"
    assert len(secret) == 64
    async with service.database.transaction() as conn:
        row = (await conn.execute(select(api_keys).where(api_keys.c.id == key))).one()
        log = (await conn.execute(select(audit_log))).all()
    assert row.secret_hash == hashlib.sha256(secret.encode()).digest()
    assert secret not in repr(row) + repr(log)
    assert [entry.action for entry in log] == ["create_api_key", "create_api_key"]


async def test_other_services_learn_whose_key_it_is(
    access: access_pb2_grpc.AccessServiceAsyncStub, call_as: OpenChannel
) -> None:
    made = await access.CreateApiKey(wish(common_pb2.ROLE_SENDER))
    internal = Stub(call_as(None))
    answer = await internal.Authenticate(access_pb2.AuthenticateRequest(token=made.token))
    assert answer.api_key == made.api_key
    wrong = [
        made.token[:-1] + ("0" if made.token[-1] != "0" else "1"),
        "hg_" + "b" * 32 + "_" + "c" * 64,
        "",
        "x" * 999,
    ]
    for token in wrong:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await internal.Authenticate(access_pb2.AuthenticateRequest(token=token))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert reason_of(refused.value) == "KEY_INVALID"


async def test_authenticating_is_for_services_only(access: access_pb2_grpc.AccessServiceAsyncStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await access.Authenticate(access_pb2.AuthenticateRequest(token=ADMIN_TOKEN))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_revoked_key_is_refused_at_once(
    access: access_pb2_grpc.AccessServiceAsyncStub, call_as: OpenChannel
) -> None:
    made = await access.CreateApiKey(wish(common_pb2.ROLE_VIEWER))
    projects = projects_pb2_grpc.ProjectServiceStub(call_as(made.token))
    await projects.ListProjects(projects_pb2.ListProjectsRequest())
    revoked = await access.RevokeApiKey(access_pb2.RevokeApiKeyRequest(name=made.api_key.name))
    again = await access.RevokeApiKey(access_pb2.RevokeApiKeyRequest(name=made.api_key.name))
    assert revoked == again
    assert revoked.HasField("revoke_time")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await projects.ListProjects(projects_pb2.ListProjectsRequest())
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason_of(refused.value) == "KEY_REVOKED"


async def test_a_key_is_held_to_its_role_and_its_projects(
    access: access_pb2_grpc.AccessServiceAsyncStub, call_as: OpenChannel
) -> None:
    admin = projects_pb2_grpc.ProjectServiceStub(call_as(ADMIN_TOKEN))
    for project in ("mine", "other"):
        draft = projects_pb2.Project(display_name=project)
        await admin.CreateProject(projects_pb2.CreateProjectRequest(project=draft, project_id=project))
    made = await access.CreateApiKey(wish(common_pb2.ROLE_VIEWER, projects=("projects/mine",)))
    assert list(made.api_key.projects) == ["projects/mine"]
    viewer = projects_pb2_grpc.ProjectServiceStub(call_as(made.token))
    assert (await viewer.GetProject(projects_pb2.GetProjectRequest(name="projects/mine"))).display_name == "mine"
    for other in ("projects/other", "projects/nowhere"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await viewer.GetProject(projects_pb2.GetProjectRequest(name=other))
        assert reason_of(refused.value) == "PROJECT_NOT_ALLOWED"
    for call in (
        viewer.DeleteProject(projects_pb2.DeleteProjectRequest(name="projects/mine")),
        viewer.ListProjects(projects_pb2.ListProjectsRequest()),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(("key", "reason"), [(ADMIN_TOKEN[:-1] + "6", "KEY_INVALID"), ("nonsense", "KEY_INVALID")])
async def test_a_wrong_key_is_refused(call_as: OpenChannel, key: str, reason: str) -> None:
    projects = projects_pb2_grpc.ProjectServiceStub(call_as(key))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await projects.ListProjects(projects_pb2.ListProjectsRequest())
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert reason_of(refused.value) == reason


async def test_the_last_key_that_manages_keys_cannot_be_revoked(
    access: access_pb2_grpc.AccessServiceAsyncStub, call_as: OpenChannel
) -> None:
    bootstrap = access_pb2.RevokeApiKeyRequest(name="apiKeys/" + "a" * 32)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await access.RevokeApiKey(bootstrap)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(refused.value) == "LAST_ADMIN_KEY"
    made = await access.CreateApiKey(wish(common_pb2.ROLE_ADMIN))
    # Both at once: whichever comes second is the last one by then.
    other = Stub(call_as(None))
    results = await asyncio.gather(
        other.RevokeApiKey(bootstrap),
        other.RevokeApiKey(access_pb2.RevokeApiKeyRequest(name=made.api_key.name)),
        return_exceptions=True,
    )
    assert sorted(isinstance(result, grpc.aio.AioRpcError) for result in results) == [False, True]


async def test_an_unknown_or_misspelt_key_name_is_told(access: access_pb2_grpc.AccessServiceAsyncStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await access.RevokeApiKey(access_pb2.RevokeApiKeyRequest(name="apiKeys/" + "b" * 32))
    assert reason_of(refused.value) == "API_KEY_NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await access.RevokeApiKey(access_pb2.RevokeApiKeyRequest(name="keys/1"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_repeated_creation_is_refused_because_the_secret_is_not_kept(
    access: access_pb2_grpc.AccessServiceAsyncStub,
) -> None:
    made = await access.CreateApiKey(wish(common_pb2.ROLE_VIEWER, request_id="r"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await access.CreateApiKey(wish(common_pb2.ROLE_VIEWER, request_id="r"))
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason_of(refused.value) == "API_KEY_EXISTS"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await access.CreateApiKey(wish(common_pb2.ROLE_EDITOR, request_id="r"))
    assert reason_of(refused.value) == "REQUEST_ID_REUSED"
    listed = await access.ListApiKeys(access_pb2.ListApiKeysRequest(page_size=1))
    assert [key.name for key in listed.api_keys] == [made.api_key.name]
    rest = await access.ListApiKeys(access_pb2.ListApiKeysRequest(page_token=listed.next_page_token))
    assert [key.display_name for key in rest.api_keys] == ["bootstrap"]


async def test_everything_wrong_with_a_key_is_told_at_once(access: access_pb2_grpc.AccessServiceAsyncStub) -> None:
    key = access_pb2.ApiKey(
        display_name="", roles=[common_pb2.ROLE_INTERNAL], projects=["projects/none", "nonsense"], all_projects=True
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await access.CreateApiKey(access_pb2.CreateApiKeyRequest(api_key=key))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [field for field, _ in violations_of(refused.value)] == [
        "api_key.display_name",
        "api_key.roles",
        "api_key.projects",
        "api_key.projects[0]",
        "api_key.projects[1]",
    ]


async def test_the_bootstrap_key_is_stored_once_and_only_on_an_empty_installation(
    settings: ProjectsSettings, service: Runtime[ProjectsSettings]
) -> None:
    other = settings.with_values(bootstrap_key="hg_" + "b" * 32 + "_" + "6" * 64)
    for each in (settings, other):
        async with running(each, build, package=PACKAGE, metadata=metadata):
            pass
    async with service.database.transaction() as conn:
        assert (await conn.execute(select(func.count()).select_from(api_keys))).scalar_one() == 1


def test_a_malformed_bootstrap_key_stops_the_start_and_is_not_shown() -> None:
    with pytest.raises(ValidationError) as refused:
        ProjectsSettings.model_validate({"internal_secret": "s" * 32, "bootstrap_key": "canary-secret"})
    assert "bootstrap_key" in str(refused.value)
    assert "canary-secret" not in str(refused.value)
