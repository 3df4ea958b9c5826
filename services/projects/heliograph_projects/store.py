"""What the projects service keeps in PostgreSQL. Every method runs in the transaction of the connection it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_projects.domain import ApiKey, KeyId, KeyRole, Project, ProjectId
from heliograph_projects.tables import api_keys, audit_log, projects, requests

_KEYS_LOCK = 0x68656C696F01
"""Advisory lock of everything that decides by looking at all keys."""


@dataclass(frozen=True)
class Actor:
    """Who does something: kind `key` or `service`, and the id."""

    kind: str
    id: str


@dataclass(frozen=True)
class Position:
    """A row in the order newest first: its creation and its id."""

    create_time: datetime
    id: str

    @classmethod
    def read(cls, after: tuple[str, ...] | None) -> Position | None:
        """Return the position a page token holds."""
        return None if after is None else cls(datetime.fromisoformat(after[0]), after[1])

    @classmethod
    def of(cls, row: Project | ApiKey) -> tuple[str, str]:
        """Return what a page token holds of a row."""
        return row.create_time.isoformat(), row.id


@dataclass(frozen=True)
class Asked:
    """A request that wants to be answered alike when it comes again."""

    caller: Actor
    method: str
    request_id: str
    fingerprint: str


@dataclass(frozen=True)
class Answered:
    """What was answered to the request id before, and what the request looked like then."""

    fingerprint: str
    answer: Mapping[str, Any]


class ProjectStore:
    """Projects by id."""

    async def add(self, conn: AsyncConnection, project: Project) -> bool:
        """Store a project; False when its id was given before. Two at once: one of them is told False."""
        row = {
            "id": project.id,
            "display_name": project.display_name,
            "tags": dict(project.tags),
            "create_time": project.create_time,
        }
        statement = upsert(projects).values(row).on_conflict_do_nothing().returning(projects.c.id)
        return (await conn.execute(statement)).first() is not None

    async def get(self, conn: AsyncConnection, project: str) -> Project | None:
        """Return a project that was not deleted."""
        statement = select(projects).where(projects.c.id == project, projects.c.delete_time.is_(None))
        row = (await conn.execute(statement)).first()
        return None if row is None else _project(row)

    async def existing(self, conn: AsyncConnection, ids: Sequence[str]) -> set[str]:
        """Return which of the ids are projects that were not deleted."""
        statement = select(projects.c.id).where(projects.c.id.in_(list(ids)), projects.c.delete_time.is_(None))
        return set((await conn.execute(statement)).scalars())

    async def page(self, conn: AsyncConnection, after: Position | None, limit: int) -> list[Project]:
        """Return projects newest first, behind a position."""
        statement = select(projects).where(projects.c.delete_time.is_(None))
        if after is not None:
            key = tuple_(projects.c.create_time, projects.c.id)
            statement = statement.where(key < tuple_(literal(after.create_time), literal(after.id)))
        statement = statement.order_by(projects.c.create_time.desc(), projects.c.id.desc()).limit(limit)
        return [_project(row) for row in await conn.execute(statement)]

    async def delete(self, conn: AsyncConnection, project: str, now: datetime) -> Project | None:
        """Mark a project as deleted and return it; None when there is none. Two at once: one of them gets None."""
        statement = (
            update(projects)
            .where(projects.c.id == project, projects.c.delete_time.is_(None))
            .values(delete_time=now)
            .returning(*projects.c)
        )
        row = (await conn.execute(statement)).first()
        return None if row is None else _project(row)


class KeyStore:
    """API keys by id; secrets only as hashes."""

    async def lock(self, conn: AsyncConnection) -> None:
        """Let this transaction alone decide about the set of keys until it ends."""
        await conn.execute(select(func.pg_advisory_xact_lock(_KEYS_LOCK)))

    async def add(self, conn: AsyncConnection, key: ApiKey, secret_hash: bytes) -> None:
        """Store a new key."""
        await conn.execute(
            insert(api_keys).values(
                id=key.id,
                secret_hash=secret_hash,
                display_name=key.display_name,
                roles=[role.value for role in key.roles],
                projects=list(key.projects),
                all_projects=key.all_projects,
                create_time=key.create_time,
            )
        )

    async def get(self, conn: AsyncConnection, key: str) -> tuple[ApiKey, bytes] | None:
        """Return a key, revoked or not, and the hash of its secret."""
        row = (await conn.execute(select(api_keys).where(api_keys.c.id == key))).first()
        return None if row is None else (_key(row), row.secret_hash)

    async def any(self, conn: AsyncConnection) -> bool:
        """Tell whether a key was ever stored."""
        return (await conn.execute(select(api_keys.c.id).limit(1))).first() is not None

    async def page(self, conn: AsyncConnection, after: Position | None, limit: int) -> list[ApiKey]:
        """Return keys newest first, behind a position, revoked ones included."""
        statement = select(api_keys)
        if after is not None:
            key = tuple_(api_keys.c.create_time, api_keys.c.id)
            statement = statement.where(key < tuple_(literal(after.create_time), literal(after.id)))
        statement = statement.order_by(api_keys.c.create_time.desc(), api_keys.c.id.desc()).limit(limit)
        return [_key(row) for row in await conn.execute(statement)]

    async def managers(self, conn: AsyncConnection) -> set[str]:
        """Return the ids of the keys that may manage keys now."""
        statement = select(api_keys.c.id).where(
            api_keys.c.revoke_time.is_(None),
            api_keys.c.all_projects,
            api_keys.c.roles.contains([KeyRole.ADMIN.value]),
        )
        return set((await conn.execute(statement)).scalars())

    async def revoke(self, conn: AsyncConnection, key: str, now: datetime) -> None:
        """Mark a key as revoked; the first time stays."""
        statement = update(api_keys).where(api_keys.c.id == key, api_keys.c.revoke_time.is_(None))
        await conn.execute(statement.values(revoke_time=now))


class RequestStore:
    """What was answered to request ids."""

    async def claim(self, conn: AsyncConnection, asked: Asked, now: datetime) -> Answered | None:
        """Take a request id for this transaction; return what was answered to it before, None when it is new.

        A second transaction with the same id waits here until the first one has ended.
        """
        key = {"caller": _caller(asked), "method": asked.method, "request_id": asked.request_id}
        statement = (
            upsert(requests)
            .values(**key, fingerprint=asked.fingerprint, create_time=now)
            .on_conflict_do_nothing()
            .returning(requests.c.method)
        )
        if (await conn.execute(statement)).first() is not None:
            return None
        found = select(requests.c.fingerprint, requests.c.answer).filter_by(**key)
        row = (await conn.execute(found)).one()
        return Answered(row.fingerprint, row.answer or {})

    async def answer(self, conn: AsyncConnection, asked: Asked, answer: Mapping[str, Any]) -> None:
        """Note the answer to a request id claimed in this transaction."""
        statement = update(requests).where(
            requests.c.caller == _caller(asked),
            requests.c.method == asked.method,
            requests.c.request_id == asked.request_id,
        )
        await conn.execute(statement.values(answer=dict(answer)))

    async def forget(self, conn: AsyncConnection, before: datetime) -> int:
        """Drop request ids older than an instant; return how many."""
        return (await conn.execute(delete(requests).where(requests.c.create_time < before))).rowcount


class AuditLog:
    """Who did what, and when. Rows are only ever added."""

    async def add(
        self, conn: AsyncConnection, now: datetime, actor: Actor, action: str, resource: str, details: Mapping[str, Any]
    ) -> None:
        """Note a change in the transaction that makes it. The details must hold no secret."""
        await conn.execute(
            insert(audit_log).values(
                time=now,
                actor_kind=actor.kind,
                actor=actor.id,
                action=action,
                resource=resource,
                details=dict(details),
            )
        )


def _caller(asked: Asked) -> str:
    return f"{asked.caller.kind}:{asked.caller.id}"


def _project(row: Row[Any]) -> Project:
    return Project(ProjectId(row.id), row.display_name, row.create_time, row.tags)


def _key(row: Row[Any]) -> ApiKey:
    roles = tuple(KeyRole(role) for role in row.roles)
    return ApiKey(
        KeyId(row.id), row.display_name, roles, tuple(row.projects), row.all_projects, row.create_time, row.revoke_time
    )
