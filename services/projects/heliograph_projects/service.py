"""The use cases over projects: check, then one transaction that holds the change, its audit entry and its event."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused, Violations
from heliograph_kit.outbox import Outbox
from heliograph_kit.paging import next_token, page_of
from heliograph_projects import events
from heliograph_projects.domain import Project, ProjectDraft, ProjectId, check_request_id
from heliograph_projects.errors import ProjectExists, ProjectNotFound
from heliograph_projects.store import Actor, Asked, AuditLog, Position, ProjectStore, RequestStore

REQUEST_IDS_KEPT = timedelta(days=7)
"""How long a request id is known; a repetition after that is a new request."""


class Projects:
    """Creates, reads and deletes projects."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock, new_id: Callable[[], str]) -> None:
        """Take what every use case needs."""
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._new_id = new_id
        self._store = ProjectStore()
        self._requests = RequestStore()
        self._audit = AuditLog()

    async def create(self, draft: ProjectDraft, asked: Asked) -> Project:
        """Store a project and announce it. Safe to repeat with the same request id.

        Raises:
            InvalidArgument: with everything that is wrong.
            ProjectExists: the chosen id was given before.
            RequestIdReused: the request id came before with other content.
        """
        violations = Violations()
        draft.check(violations.add)
        check_request_id(asked.request_id, violations.add)
        violations.check()

        async def work(conn: AsyncConnection) -> Project:
            now = self._clock.now()
            if asked.request_id:
                done = await self._requests.claim(conn, asked, now)
                if done is not None:
                    if done.fingerprint != asked.fingerprint:
                        raise RequestIdReused(asked.request_id)
                    return _remembered(done.answer)
            project = draft.finish(self._new_id(), now)
            if not await self._store.add(conn, project):
                raise ProjectExists(project.name)
            if asked.request_id:
                await self._requests.answer(conn, asked, _memory(project))
            details = {"display_name": project.display_name, "tags": dict(project.tags)}
            await self._audit.add(conn, now, asked.caller, "create_project", project.name, details)
            await self._outbox.add(conn, events.project_created(project))
            return project

        return await self._database.run(work)

    async def get(self, project: str) -> Project:
        """Return a project.

        Raises:
            ProjectNotFound: there is none, or it was deleted.
        """
        async with self._database.transaction() as conn:
            found = await self._store.get(conn, project)
        if found is None:
            raise ProjectNotFound(f"projects/{project}")
        return found

    async def page(self, size: int, token: str) -> tuple[list[Project], str]:
        """Return a page of projects, newest first, and the token of the next one (empty on the last).

        Raises:
            InvalidArgument: the size is negative or the token is not of this list.
        """
        page = page_of("ListProjects", size, token)
        async with self._database.transaction() as conn:
            rows = await self._store.page(conn, Position.read(page.after), page.size + 1)
        shown = rows[: page.size]
        return shown, next_token("ListProjects", Position.of(shown[-1])) if len(rows) > page.size else ""

    async def delete(self, project: str, actor: Actor) -> Project:
        """Delete a project and announce it; the other services drop what they hold of it.

        Raises:
            ProjectNotFound: there is none, or it was deleted before.
        """

        async def work(conn: AsyncConnection) -> Project:
            now = self._clock.now()
            gone = await self._store.delete(conn, project, now)
            if gone is None:
                raise ProjectNotFound(f"projects/{project}")
            details = {"display_name": gone.display_name}
            await self._audit.add(conn, now, actor, "delete_project", gone.name, details)
            await self._outbox.add(conn, events.project_deleted(gone))
            return gone

        return await self._database.run(work)

    async def forget_requests(self) -> int:
        """Drop request ids older than seven days; return how many. Safe to repeat."""
        async with self._database.transaction() as conn:
            return await self._requests.forget(conn, self._clock.now() - REQUEST_IDS_KEPT)


def _memory(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "display_name": project.display_name,
        "create_time": project.create_time.isoformat(),
        "tags": dict(project.tags),
    }


def _remembered(answer: Any) -> Project:
    created = datetime.fromisoformat(answer["create_time"])
    return Project(ProjectId(answer["id"]), answer["display_name"], created, answer["tags"])
