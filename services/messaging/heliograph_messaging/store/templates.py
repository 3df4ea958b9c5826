"""Templates and their versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.tables import template_versions, templates


@dataclass(frozen=True)
class StoredTemplate:
    """One template at one version. `kind` is EMAIL or SMS; the texts that do not belong to it are empty."""

    project: str
    id: str
    kind: str
    version: int
    active_version: int
    incarnation: str
    description: str
    subject: str
    html: str
    text: str
    body: str
    default_substitutions: Mapping[str, str]
    variables: Sequence[str]
    substitution_names: Sequence[str]
    create_time: datetime
    update_time: datetime
    updated_by: str


_VERSION_COLUMNS = (
    "project", "id", "version", "incarnation", "description", "subject", "html", "text", "body",
    "default_substitutions", "variables", "substitution_names", "update_time", "updated_by",
)  # fmt: skip
_JOINED = select(template_versions, templates.c.kind, templates.c.active_version, templates.c.create_time).join_from(
    templates,
    template_versions,
    (template_versions.c.project == templates.c.project) & (template_versions.c.id == templates.c.id),
)


class TemplateStore:
    """Reads and writes templates."""

    async def get(self, conn: AsyncConnection, project: str, id: str, version: int = 0) -> StoredTemplate | None:
        """Return a template at a version, 0 being the active one; None when there is no such thing."""
        query = _JOINED.where(
            templates.c.project == project,
            templates.c.id == id,
            template_versions.c.version == (version or templates.c.active_version),
        )
        row = (await conn.execute(query)).one_or_none()
        return None if row is None else _template(row)

    async def lock(self, conn: AsyncConnection, project: str, id: str) -> int | None:
        """Keep others from adding versions until the transaction ends; return the latest version."""
        query = (
            select(templates.c.latest_version)
            .where(templates.c.project == project, templates.c.id == id)
            .with_for_update()
        )
        return (await conn.execute(query)).scalar_one_or_none()

    async def add(self, conn: AsyncConnection, template: StoredTemplate) -> bool:
        """Add a new template with its first version; False when the id is taken."""
        statement = insert(templates).values(
            project=template.project,
            id=template.id,
            kind=template.kind,
            active_version=template.active_version,
            latest_version=template.version,
            create_time=template.create_time,
        )
        added = await conn.execute(statement.on_conflict_do_nothing().returning(templates.c.id))
        if added.one_or_none() is None:
            return False
        await self._add_version(conn, template)
        return True

    async def add_version(self, conn: AsyncConnection, template: StoredTemplate) -> None:
        """Add a version and make it the latest and the active one."""
        await self._add_version(conn, template)
        await conn.execute(
            update(templates)
            .where(templates.c.project == template.project, templates.c.id == template.id)
            .values(latest_version=template.version, active_version=template.active_version)
        )

    async def list(self, conn: AsyncConnection, project: str, *, after: str | None, size: int) -> list[StoredTemplate]:
        """Return up to `size` templates at their active versions with ids above `after`, by id."""
        query = (
            _JOINED.where(templates.c.project == project, template_versions.c.version == templates.c.active_version)
            .order_by(templates.c.id)
            .limit(size)
        )
        if after is not None:
            query = query.where(templates.c.id > after)
        return [_template(row) for row in await conn.execute(query)]

    async def delete(self, conn: AsyncConnection, project: str, id: str) -> None:
        """Delete a template with all its versions."""
        for table in (template_versions, templates):
            await conn.execute(delete(table).where(table.c.project == project, table.c.id == id))

    async def _add_version(self, conn: AsyncConnection, template: StoredTemplate) -> None:
        values = {name: getattr(template, name) for name in _VERSION_COLUMNS}
        values["default_substitutions"] = dict(template.default_substitutions)
        await conn.execute(insert(template_versions).values(**values))


def _template(row: Row[Any]) -> StoredTemplate:
    values = {name: getattr(row, name) for name in _VERSION_COLUMNS}
    return StoredTemplate(**values, kind=row.kind, active_version=row.active_version, create_time=row.create_time)
