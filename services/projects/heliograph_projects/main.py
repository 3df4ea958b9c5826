"""The program heliograph-projects: wires the service and runs it."""

from __future__ import annotations

import asyncio
import logging
import secrets

from heliograph.projects.v1 import access_pb2_grpc, projects_pb2_grpc
from heliograph_kit.ids import new_id
from heliograph_kit.runtime import Runtime, run_service
from heliograph_projects.access import Access
from heliograph_projects.authenticator import OwnAuthenticator
from heliograph_projects.config import ProjectsSettings
from heliograph_projects.service import Projects
from heliograph_projects.servicer import AccessServicer, ProjectServicer
from heliograph_projects.settings import Settings
from heliograph_projects.tables import mail, metadata

PACKAGE = "heliograph_projects"
_HOUR_SECONDS = 3600

log = logging.getLogger(__name__)


def new_secret() -> str:
    """Return 256 random bits as 64 hexadecimal digits, so that a double click selects a whole token."""
    return secrets.token_hex(32)


async def build(runtime: Runtime[ProjectsSettings]) -> None:
    """Wire the service, top to bottom."""
    runtime.use_mail(mail)
    projects = Projects(runtime.database, runtime.outbox, runtime.clock, new_id)
    access = Access(runtime.database, runtime.clock, new_id, new_secret)
    # Keys are checked in our own tables: a call to ourselves would wait for the server that is being built here.
    runtime.authenticator = OwnAuthenticator(access)
    if (bootstrap := runtime.settings.bootstrap_key) is not None:
        stored = await access.bootstrap(bootstrap.get_secret_value())
        if stored is not None:
            log.info("stored the first key of this installation: %s", stored.name)
    runtime.add_servicer(
        projects_pb2_grpc.add_ProjectServiceServicer_to_server,
        ProjectServicer(projects, Settings(runtime.database, runtime.clock)),
        "heliograph.projects.v1.ProjectService",
    )
    runtime.add_servicer(
        access_pb2_grpc.add_AccessServiceServicer_to_server,
        AccessServicer(access),
        "heliograph.projects.v1.AccessService",
    )

    async def forget_requests(stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await projects.forget_requests()
            try:
                await asyncio.wait_for(stopping.wait(), _HOUR_SECONDS)
            except TimeoutError:
                continue

    runtime.add_worker("forget old request ids", forget_requests)


def main() -> None:
    """Be the console command."""
    run_service(ProjectsSettings, build, package=PACKAGE, metadata=metadata)


if __name__ == "__main__":
    main()
