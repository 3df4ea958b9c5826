"""Projects through gRPC, on a real database and a real bus."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from sqlalchemy import select

from heliograph.projects.v1 import events_pb2, projects_pb2, projects_pb2_grpc
from heliograph_kit.consumer import Consumer, Delivery
from heliograph_kit.migrations import differences
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.runtime import Runtime
from heliograph_kit.testing import eventually
from heliograph_projects.config import ProjectsSettings
from heliograph_projects.tables import audit_log, metadata
from tests.projects.conftest import ADMIN_TOKEN, OpenChannel

Stub = projects_pb2_grpc.ProjectServiceStub


@pytest.fixture
def projects(call_as: OpenChannel) -> projects_pb2_grpc.ProjectServiceAsyncStub:
    """Projects as the bootstrap admin sees them."""
    return Stub(call_as(ADMIN_TOKEN))


def creation(display_name: str = "Shop", **fields: str) -> projects_pb2.CreateProjectRequest:
    """Build a request that creates a project."""
    return projects_pb2.CreateProjectRequest(project=projects_pb2.Project(display_name=display_name), **fields)


async def test_a_project_is_created_read_listed_and_deleted(
    projects: projects_pb2_grpc.ProjectServiceAsyncStub,
) -> None:
    wish = projects_pb2.Project(display_name="Shop", tags={"team": "growth"})
    created = await projects.CreateProject(projects_pb2.CreateProjectRequest(project=wish))
    assert len(created.name.removeprefix("projects/")) == 32
    assert created.tags == {"team": "growth"}
    assert await projects.GetProject(projects_pb2.GetProjectRequest(name=created.name)) == created
    listed = await projects.ListProjects(projects_pb2.ListProjectsRequest())
    assert list(listed.projects) == [created]
    assert await projects.DeleteProject(projects_pb2.DeleteProjectRequest(name=created.name)) == created
    for call in (
        projects.GetProject(projects_pb2.GetProjectRequest(name=created.name)),
        projects.DeleteProject(projects_pb2.DeleteProjectRequest(name=created.name)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert reason_of(refused.value) == "PROJECT_NOT_FOUND"


async def test_the_same_request_id_gives_the_same_project_and_another_content_is_refused(
    projects: projects_pb2_grpc.ProjectServiceAsyncStub,
) -> None:
    first, *others = await asyncio.gather(*(projects.CreateProject(creation(request_id="r1")) for _ in range(8)))
    assert all(other == first for other in others)
    assert len((await projects.ListProjects(projects_pb2.ListProjectsRequest())).projects) == 1
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await projects.CreateProject(creation("Other", request_id="r1"))
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    assert reason_of(refused.value) == "REQUEST_ID_REUSED"


async def test_an_id_is_given_once_even_after_its_project_was_deleted(
    projects: projects_pb2_grpc.ProjectServiceAsyncStub,
) -> None:
    name = (await projects.CreateProject(creation(project_id="shop"))).name
    assert name == "projects/shop"
    for _ in range(2):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await projects.CreateProject(creation(project_id="shop"))
        assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
        assert reason_of(refused.value) == "PROJECT_EXISTS"
        if (await projects.ListProjects(projects_pb2.ListProjectsRequest())).projects:
            await projects.DeleteProject(projects_pb2.DeleteProjectRequest(name=name))


async def test_everything_wrong_with_a_request_is_told_at_once(
    projects: projects_pb2_grpc.ProjectServiceAsyncStub,
) -> None:
    wish = projects_pb2.Project(display_name="x" * 65, tags={"aws:x": "v" * 257})
    request = projects_pb2.CreateProjectRequest(project=wish, project_id="UPPER", request_id="r" * 65)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await projects.CreateProject(request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    fields = [field for field, _ in violations_of(refused.value)]
    assert fields == [
        "project.display_name",
        "project_id",
        "project.tags[aws:x]",
        "project.tags[aws:x]",
        "request_id",
    ]
    assert not (await projects.ListProjects(projects_pb2.ListProjectsRequest())).projects


async def test_pages_are_newest_first_and_cover_every_project_once(
    projects: projects_pb2_grpc.ProjectServiceAsyncStub,
) -> None:
    names = [(await projects.CreateProject(creation(f"p{n}"))).name for n in range(7)]
    seen: list[str] = []
    token = ""
    while True:
        page = await projects.ListProjects(projects_pb2.ListProjectsRequest(page_size=3, page_token=token))
        seen += [project.name for project in page.projects]
        token = page.next_page_token
        if not token:
            break
    assert seen == names[::-1]


@pytest.mark.parametrize("token", ["!", "AAAA", "bm90IGEgdG9rZW4"])
async def test_a_damaged_page_token_is_refused(projects: projects_pb2_grpc.ProjectServiceAsyncStub, token: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await projects.ListProjects(projects_pb2.ListProjectsRequest(page_token=token))
    assert reason_of(refused.value) == "PAGE_TOKEN_INVALID"


async def test_a_negative_page_size_is_refused(projects: projects_pb2_grpc.ProjectServiceAsyncStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await projects.ListProjects(projects_pb2.ListProjectsRequest(page_size=-1))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_every_change_is_in_the_audit_log_with_who_did_it(
    projects: projects_pb2_grpc.ProjectServiceAsyncStub, service: Runtime[ProjectsSettings]
) -> None:
    name = (await projects.CreateProject(creation(request_id="r1"))).name
    await projects.CreateProject(creation(request_id="r1"))
    await projects.DeleteProject(projects_pb2.DeleteProjectRequest(name=name))
    async with service.database.transaction() as conn:
        rows = (await conn.execute(select(audit_log).where(audit_log.c.resource == name))).all()
    assert [(row.actor_kind, row.actor, row.action) for row in rows] == [
        ("key", "a" * 32, "create_project"),
        ("key", "a" * 32, "delete_project"),
    ]


async def test_creation_and_deletion_are_announced(
    projects: projects_pb2_grpc.ProjectServiceAsyncStub, service: Runtime[ProjectsSettings]
) -> None:
    heard: list[Delivery] = []

    async def hear(deliveries: object) -> None:
        heard.extend(deliveries)  # type: ignore[arg-type]

    subjects = ["changes.projects.*.project_created", "changes.projects.*.project_deleted"]
    consumer = Consumer(
        service.bus, service="tests", stream="CHANGES", durable=None, subjects=subjects, handler=hear, start="all"
    )
    stopping = asyncio.Event()
    task = asyncio.create_task(consumer.run(stopping))
    name = (await projects.CreateProject(creation(project_id="shop"))).name
    await projects.DeleteProject(projects_pb2.DeleteProjectRequest(name=name))
    await eventually(lambda: len(heard) >= 2)
    stopping.set()
    await task
    assert [delivery.subject.rsplit(".")[-1] for delivery in heard] == ["project_created", "project_deleted"]
    assert events_pb2.ProjectCreated.FromString(heard[0].payload).project == name
    assert events_pb2.ProjectDeleted.FromString(heard[1].payload).project == name


async def test_migrations_build_what_the_tables_declare(settings: ProjectsSettings) -> None:
    assert settings.database_url is not None
    assert differences(settings.database_url.get_secret_value(), metadata) == []
