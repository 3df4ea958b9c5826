"""Use cases over templates and their versions (pinpoint-1 6.1, 6.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused
from heliograph_kit.names import format_name
from heliograph_messaging.domain.handlebars import Compiled
from heliograph_messaging.errors import (
    TemplateExists,
    TemplateFull,
    TemplateNotFound,
    TemplateVersionActive,
    TemplateVersionNotLatest,
)
from heliograph_messaging.service.drafts import TemplateDraft, canonical, checked
from heliograph_messaging.store.channels import RequestStore
from heliograph_messaging.store.templates import Numbers, StoredTemplate, StoredVersion, TemplateStore

MAX_VERSIONS = 5_000


class UpdateMode(Enum):
    """What an update does to the versions."""

    ADD_AND_ACTIVATE = auto()
    OVERWRITE_LATEST = auto()
    ADD = auto()


class Templates:
    """Use cases over templates."""

    def __init__(
        self, database: Database, store: TemplateStore, requests: RequestStore, clock: Clock, ids: Callable[[], str]
    ) -> None:
        """Take the stores, the clock and what makes ids."""
        self._database = database
        self._store = store
        self._requests = requests
        self._clock = clock
        self._ids = ids

    async def create(
        self,
        project: str,
        draft: TemplateDraft,
        *,
        id: str,
        request_id: str,
        fingerprint: str,
        by: str,
    ) -> StoredTemplate:
        """Store a new template as version 1.

        Raises:
            InvalidArgument, TemplateDoesNotCompile: every violation of the draft.
            TemplateExists: the id is taken.
            RequestIdReused: the request id belongs to another request.
        """
        compiled = checked(draft, template_id=id, request_id=request_id)
        now, chosen = self._clock.now(), id or self._ids()
        template = StoredTemplate(
            project=project, id=chosen, kind=draft.kind, version=1, active_version=1, latest_version=1,
            incarnation=self._ids(), revision=0, description=draft.description, content=draft.content,
            lenient=draft.lenient, default_substitutions=canonical(draft.default_substitutions),
            variables=compiled.fields(), substitution_names=compiled.names(), create_time=now, update_time=now,
            updated_by=by,
        )  # fmt: skip
        async with self._database.transaction() as conn:
            if request_id:
                kept = await self._requests.keep(
                    conn, project, "CreateTemplate", request_id, fingerprint, chosen.encode(), now
                )
                if kept is not None:
                    if kept[0] != fingerprint:
                        raise RequestIdReused(request_id)
                    return await self._get(conn, project, kept[1].decode(), 1)
            if not await self._store.add(conn, template):
                raise TemplateExists(format_name(project, "templates", chosen))
        return template

    async def get(self, project: str, id: str, version: int = 0, *, deleted: bool = False) -> StoredTemplate:
        """Return a template, 0 being the active version; `deleted`: also what was deleted.

        Raises:
            TemplateNotFound: no such template or version.
        """
        async with self._database.transaction() as conn:
            return await self._get(conn, project, id, version, deleted=deleted)

    async def list(
        self, project: str, *, after: str | None, size: int, kind: str, prefix: str
    ) -> Sequence[StoredTemplate]:
        """Return templates with ids above `after`, by id; of one kind (empty: all), with ids that begin so."""
        async with self._database.transaction() as conn:
            return await self._store.list(conn, project, after=after, size=size, kind=kind, prefix=prefix)

    async def versions(self, project: str, id: str, *, before: int | None, size: int) -> Sequence[StoredVersion]:
        """Return versions with numbers below `before`, newest first.

        Raises:
            TemplateNotFound: no such template.
        """
        async with self._database.transaction() as conn:
            found = await self._store.versions(conn, project, id, before=before, size=size)
            if not found:
                await self._get(conn, project, id)
        return found

    async def update(
        self,
        project: str,
        id: str,
        change: Callable[[TemplateDraft], TemplateDraft],
        *,
        mode: UpdateMode,
        version: int,
        by: str,
    ) -> StoredTemplate:
        """Store what `change` makes of the active version or, in the other modes, of the latest. No change: nothing.

        `version`: the one that is meant to be overwritten; 0: whichever is the latest.

        Raises:
            TemplateNotFound: no such template.
            TemplateVersionNotLatest: `version` is not the latest.
            TemplateFull: there are 5,000 versions.
            InvalidArgument, TemplateDoesNotCompile: every violation of the result.
        """
        name = format_name(project, "templates", id)
        async with self._database.transaction() as conn:
            numbers = await self._lock(conn, project, id)
            if mode is UpdateMode.ADD_AND_ACTIVATE:
                present = await self._get(conn, project, id)
            else:
                present = await self._latest(conn, project, id)
            if version and version != present.version:
                raise TemplateVersionNotLatest(name, version, present.version)
            draft = change(_draft(present))
            if draft == _draft(present):
                return present
            compiled = checked(draft)
            template = _changed(present, draft, compiled, now=self._clock.now(), by=by)
            if mode is UpdateMode.OVERWRITE_LATEST:
                template = replace(template, revision=present.revision + 1)
                await self._store.overwrite(conn, template)
                return template
            if numbers.existing >= MAX_VERSIONS:
                raise TemplateFull(name, MAX_VERSIONS)
            number = numbers.last + 1
            active = number if mode is UpdateMode.ADD_AND_ACTIVATE else numbers.active
            template = replace(template, version=number, latest_version=number, active_version=active, revision=0)
            await self._store.add_version(conn, template)
        return template

    async def activate(self, project: str, id: str, version: int) -> StoredTemplate:
        """Make a version the active one, 0 being the latest; safe to repeat.

        Raises:
            TemplateNotFound: no such template or version.
        """
        async with self._database.transaction() as conn:
            await self._lock(conn, project, id)
            chosen = await (self._get(conn, project, id, version) if version else self._latest(conn, project, id))
            await self._store.activate(conn, project, id, chosen.version)
        return replace(chosen, active_version=chosen.version)

    async def delete(self, project: str, id: str) -> StoredTemplate:
        """Delete a template with all its versions and return it as it was.

        Raises:
            TemplateNotFound: no such template.
        """
        async with self._database.transaction() as conn:
            await self._lock(conn, project, id)
            template = await self._get(conn, project, id)
            await self._store.delete(conn, project, id, now=self._clock.now())
        return template

    async def delete_version(self, project: str, id: str, version: int) -> StoredTemplate:
        """Delete one version and return it as it was; with the only one the template goes.

        Raises:
            TemplateNotFound: no such template or version.
            TemplateVersionActive: it is the active one and there are others.
        """
        now = self._clock.now()
        async with self._database.transaction() as conn:
            numbers = await self._lock(conn, project, id)
            template = await self._get(conn, project, id, version)
            if numbers.existing == 1:
                await self._store.delete(conn, project, id, now=now)
            elif version == numbers.active:
                raise TemplateVersionActive(format_name(project, "templates", id), version)
            else:
                await self._store.delete_version(conn, project, id, version, now=now)
        return template

    async def _lock(self, conn: AsyncConnection, project: str, id: str) -> Numbers:
        numbers = await self._store.lock(conn, project, id)
        if numbers is None:
            raise TemplateNotFound(format_name(project, "templates", id))
        return numbers

    async def _get(
        self, conn: AsyncConnection, project: str, id: str, version: int = 0, *, deleted: bool = False
    ) -> StoredTemplate:
        template = await self._store.get(conn, project, id, version, deleted=deleted)
        if template is None:
            raise TemplateNotFound(format_name(project, "templates", id), version)
        return template

    async def _latest(self, conn: AsyncConnection, project: str, id: str) -> StoredTemplate:
        template = await self._store.latest(conn, project, id)
        if template is None:
            raise TemplateNotFound(format_name(project, "templates", id))
        return template


def _draft(template: StoredTemplate) -> TemplateDraft:
    return TemplateDraft(
        template.kind, template.description, template.content, dict(template.default_substitutions), template.lenient
    )


def _changed(
    present: StoredTemplate, draft: TemplateDraft, compiled: Compiled, *, now: datetime, by: str
) -> StoredTemplate:
    return replace(
        present,
        description=draft.description,
        content=draft.content,
        lenient=draft.lenient,
        default_substitutions=canonical(draft.default_substitutions),
        variables=compiled.fields(),
        substitution_names=compiled.names(),
        update_time=now,
        updated_by=by,
    )
