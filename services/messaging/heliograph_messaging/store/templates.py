"""Templates and their versions. What is deleted stays for the messages that use it, and is found by nobody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.domain.contents import Content, from_json, to_json
from heliograph_messaging.tables import template_versions, templates


@dataclass(frozen=True)
class StoredTemplate:
    """One template at one version. `latest_version` is the highest there is; `kind` names the class of `content`."""

    project: str
    id: str
    kind: str
    version: int
    active_version: int
    latest_version: int
    incarnation: str
    revision: int
    description: str
    content: Content
    lenient: bool
    default_substitutions: Mapping[str, str]
    variables: Sequence[str]
    substitution_names: Sequence[str]
    create_time: datetime
    update_time: datetime
    updated_by: str


@dataclass(frozen=True)
class StoredVersion:
    """One version without its content."""

    version: int
    description: str
    default_substitutions: Mapping[str, str]
    lenient: bool
    active: bool
    revision: int
    create_time: datetime
    update_time: datetime
    updated_by: str


class Numbers(NamedTuple):
    """Where the versions of a template stand: the last number given, the active version, and how many there are."""

    last: int
    active: int
    existing: int


_TEXTS = ("subject", "html", "text", "body")
"""Members of contents that have columns of their own: the code of before the others reads and writes these."""
_PLAIN = (
    "project", "id", "version", "incarnation", "revision", "description", "lenient", "default_substitutions",
    "variables", "substitution_names", "update_time", "updated_by",
)  # fmt: skip
_others = template_versions.alias()
_LATEST = (
    select(func.max(_others.c.version))
    .where(_others.c.project == templates.c.project, _others.c.id == templates.c.id, _others.c.delete_time.is_(None))
    .scalar_subquery()
    .label("latest")
)
_JOINED = select(
    template_versions,
    templates.c.kind,
    templates.c.active_version,
    templates.c.create_time.label("template_create_time"),
    _LATEST,
).join_from(
    templates,
    template_versions,
    (template_versions.c.project == templates.c.project) & (template_versions.c.id == templates.c.id),
)


class TemplateStore:
    """Reads and writes templates."""

    async def get(
        self, conn: AsyncConnection, project: str, id: str, version: int = 0, *, deleted: bool = False
    ) -> StoredTemplate | None:
        """Return a template at a version, 0 being the active one; None when there is no such thing.

        `deleted`: also what was deleted, for messages that use it already.
        """
        query = _JOINED.where(
            templates.c.project == project,
            templates.c.id == id,
            template_versions.c.version == (version or templates.c.active_version),
        )
        row = (await conn.execute(query if deleted else _present(query))).one_or_none()
        return None if row is None else _template(row)

    async def latest(self, conn: AsyncConnection, project: str, id: str) -> StoredTemplate | None:
        """Return a template at its highest version; None when there is none."""
        query = _JOINED.where(templates.c.project == project, templates.c.id == id)
        query = _present(query).order_by(template_versions.c.version.desc()).limit(1)
        row = (await conn.execute(query)).one_or_none()
        return None if row is None else _template(row)

    async def lock(self, conn: AsyncConnection, project: str, id: str) -> Numbers | None:
        """Keep others from changing the versions until the transaction ends; None when there is no such template."""
        query = select(templates.c.latest_version, templates.c.active_version).where(
            templates.c.project == project, templates.c.id == id, templates.c.delete_time.is_(None)
        )
        row = (await conn.execute(query.with_for_update())).one_or_none()
        if row is None:
            return None
        count = select(func.count()).where(_of(project, id), template_versions.c.delete_time.is_(None))
        return Numbers(row.latest_version, row.active_version, (await conn.execute(count)).scalar_one())

    async def add(self, conn: AsyncConnection, template: StoredTemplate) -> bool:
        """Add a new template with its first version; False when the id is taken."""
        project, id = template.project, template.id
        gone = delete(templates).where(
            templates.c.project == project, templates.c.id == id, templates.c.delete_time.is_not(None)
        )
        if (await conn.execute(gone.returning(templates.c.id))).one_or_none() is not None:
            await conn.execute(delete(template_versions).where(_of(project, id)))
        statement = insert(templates).values(
            project=project,
            id=id,
            kind=template.kind,
            active_version=template.active_version,
            latest_version=template.version,
            create_time=template.create_time,
        )
        added = await conn.execute(statement.on_conflict_do_nothing().returning(templates.c.id))
        if added.one_or_none() is None:
            return False
        await self._insert(conn, template)
        return True

    async def add_version(self, conn: AsyncConnection, template: StoredTemplate) -> None:
        """Add a version, and note the active one."""
        await self._insert(conn, template)
        await self._set(
            conn, template.project, template.id, latest_version=template.version, active_version=template.active_version
        )

    async def overwrite(self, conn: AsyncConnection, template: StoredTemplate) -> None:
        """Replace what a version says."""
        values = {name: value for name, value in _values(template).items() if name not in ("project", "id", "version")}
        at = _of(template.project, template.id) & (template_versions.c.version == template.version)
        # What was added before versions could be overwritten knows its beginning only as the time of its last change.
        begun = func.coalesce(template_versions.c.create_time, template_versions.c.update_time)
        await conn.execute(update(template_versions).where(at).values(**values, create_time=begun))

    async def activate(self, conn: AsyncConnection, project: str, id: str, version: int) -> None:
        """Make a version the active one."""
        await self._set(conn, project, id, active_version=version)

    async def versions(
        self, conn: AsyncConnection, project: str, id: str, *, before: int | None, size: int
    ) -> list[StoredVersion]:
        """Return up to `size` versions with numbers below `before`, newest first."""
        table = template_versions.c
        query = (
            select(
                table.version,
                table.description,
                table.default_substitutions,
                table.lenient,
                (table.version == templates.c.active_version).label("active"),
                table.revision,
                func.coalesce(table.create_time, table.update_time).label("create_time"),
                table.update_time,
                table.updated_by,
            )
            .join_from(
                templates, template_versions, (table.project == templates.c.project) & (table.id == templates.c.id)
            )
            .where(templates.c.project == project, templates.c.id == id)
        )
        if before is not None:
            query = query.where(table.version < before)
        rows = await conn.execute(_present(query).order_by(table.version.desc()).limit(size))
        return [StoredVersion(**row._mapping) for row in rows]

    async def delete(self, conn: AsyncConnection, project: str, id: str, *, now: datetime) -> None:
        """Delete a template with all its versions."""
        await self._set(conn, project, id, delete_time=now)

    async def delete_version(
        self, conn: AsyncConnection, project: str, id: str, version: int, *, now: datetime
    ) -> None:
        """Delete one version."""
        at = _of(project, id) & (template_versions.c.version == version)
        await conn.execute(update(template_versions).where(at).values(delete_time=now))

    async def _insert(self, conn: AsyncConnection, template: StoredTemplate) -> None:
        values = _values(template) | {"create_time": template.update_time}
        await conn.execute(insert(template_versions).values(**values))

    async def _set(self, conn: AsyncConnection, project: str, id: str, **values: object) -> None:
        at = (templates.c.project == project) & (templates.c.id == id)
        await conn.execute(update(templates).where(at).values(**values))

    async def list(
        self, conn: AsyncConnection, project: str, *, after: str | None, size: int, kind: str = "", prefix: str = ""
    ) -> list[StoredTemplate]:
        """Return up to `size` templates at their active versions with ids above `after`, by id."""
        query = _present(
            _JOINED.where(templates.c.project == project, template_versions.c.version == templates.c.active_version)
        )
        if after is not None:
            query = query.where(templates.c.id > after)
        if kind:
            query = query.where(templates.c.kind == kind)
        if prefix:
            query = query.where(templates.c.id.startswith(prefix, autoescape=True))
        return [_template(row) for row in await conn.execute(query.order_by(templates.c.id).limit(size))]


def _of(project: str, id: str) -> Any:
    return (template_versions.c.project == project) & (template_versions.c.id == id)


def _present(query: Select[Any]) -> Select[Any]:
    return query.where(templates.c.delete_time.is_(None), template_versions.c.delete_time.is_(None))


def _values(template: StoredTemplate) -> dict[str, Any]:
    """Return the columns of a version."""
    content = to_json(template.content)
    # A voice body is no SMS body, and in-app contents have members of these names further down.
    own = _TEXTS if template.kind in ("EMAIL", "SMS") else ()
    values = {name: getattr(template, name) for name in _PLAIN}
    values |= {name: content.pop(name, "") if name in own else "" for name in _TEXTS}
    values |= {"content": content, "default_substitutions": dict(template.default_substitutions)}
    return values | {"variables": list(template.variables), "substitution_names": list(template.substitution_names)}


def _template(row: Row[Any]) -> StoredTemplate:
    values = {name: getattr(row, name) for name in _PLAIN}
    texts = {name: text for name in _TEXTS if (text := getattr(row, name))}
    return StoredTemplate(
        **values,
        kind=row.kind,
        active_version=row.active_version,
        latest_version=row.latest,
        content=from_json(row.kind, {**row.content, **texts}),
        create_time=row.template_create_time,
    )
