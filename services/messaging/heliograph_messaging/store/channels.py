"""Channels, numbers, and the answers of requests that may come again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_messaging.domain.numbers import Number
from heliograph_messaging.tables import channels, metadata, numbers, requests


@dataclass(frozen=True)
class StoredChannel:
    """How one kind of message leaves a project. `secrets` is sealed; `settings` holds none."""

    project: str
    kind: str
    provider: str
    settings: Mapping[str, object]
    secrets: bytes
    secret_names: Sequence[str]
    from_address: str
    enabled: bool
    version: int
    create_time: datetime
    update_time: datetime
    updated_by: str
    open_tracking: bool | None = None
    click_tracking: bool | None = None
    """Whether e-mail tells of opens and clicks; None: as the installation does it."""


_COLUMNS = tuple(column.name for column in channels.columns)


class ChannelStore:
    """Reads and writes channels."""

    async def get(self, conn: AsyncConnection, project: str, kind: str, *, lock: bool = False) -> StoredChannel | None:
        """Return a channel, None when it was never set up."""
        query = select(channels).where(channels.c.project == project, channels.c.kind == kind)
        row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
        return None if row is None else _channel(row)

    async def list(self, conn: AsyncConnection, project: str, *, after: str | None, size: int) -> list[StoredChannel]:
        """Return up to `size` channels of kinds above `after`, by kind."""
        query = select(channels).where(channels.c.project == project).order_by(channels.c.kind).limit(size)
        if after is not None:
            query = query.where(channels.c.kind > after)
        return [_channel(row) for row in await conn.execute(query)]

    async def put(self, conn: AsyncConnection, channel: StoredChannel) -> bool:
        """Write a channel; False when somebody else wrote the same version first."""
        values = {name: getattr(channel, name) for name in _COLUMNS} | {"settings": dict(channel.settings)}
        statement = insert(channels).values(**values)
        changed = {
            name: statement.excluded[name] for name in _COLUMNS if name not in ("project", "kind", "create_time")
        }
        done = await conn.execute(
            statement.on_conflict_do_update(
                index_elements=["project", "kind"],
                set_=changed,
                where=channels.c.version == channel.version - 1,
            ).returning(channels.c.version)
        )
        return done.one_or_none() is not None


class NumberStore:
    """The projection of numbers that the 10DLC registry announces."""

    async def put(self, conn: AsyncConnection, project: str, number: Number, *, revision: int) -> None:
        """Take over what was announced, unless a later revision was announced before."""
        registration = number.registration
        told = {
            "kind": number.kind,
            "state": number.state,
            "sms_capable": number.sms_capable,
            "use_case": number.use_case,
            "parts_per_second": number.parts_per_second,
            "brand": registration.brand,
            "parts_per_day": registration.parts_per_day,
            "registered_message_type": registration.message_type,
            "help_reply": registration.help_reply,
            "stop_reply": registration.stop_reply,
            "lent_by": registration.lent_by,
            "toll_free_registered": registration.toll_free,
            "voice_capable": number.voice_capable,
            "revision": revision,
        }
        statement = insert(numbers).values(project=project, number=number.number, **told)
        await conn.execute(
            statement.on_conflict_do_update(
                index_elements=["project", "number"],
                set_={name: statement.excluded[name] for name in told},
                where=numbers.c.revision < revision,
            )
        )


_KEEP = (
    "INSERT INTO messaging.requests (project, method, request_id, fingerprint, answer, create_time) "
    "VALUES (:project, :method, :request_id, :fingerprint, :answer, :create_time) ON CONFLICT DO NOTHING"
)


class RequestStore:
    """Answers kept by request id: the same request again gets the first answer."""

    async def keep(
        self, conn: AsyncConnection, project: str, method: str, request_id: str, fingerprint: str, answer: bytes,
        now: datetime,
    ) -> tuple[str, bytes] | None:  # fmt: skip
        """Keep an answer; when the id was used before, return that request's fingerprint and answer instead."""
        statement = insert(requests).values(
            project=project, method=method, request_id=request_id, fingerprint=fingerprint, answer=answer,
            create_time=now,
        )  # fmt: skip
        added = await conn.execute(statement.on_conflict_do_nothing().returning(requests.c.request_id))
        if added.one_or_none() is not None:
            return None
        return await self.find(conn, project, method, request_id)

    async def keep_with(
        self, conn: AsyncConnection, outbox: Outbox, project: str, method: str, request_id: str, fingerprint: str,
        answer: bytes, now: datetime, messages: Sequence[Outgoing],
    ) -> bool:  # fmt: skip
        """Keep an answer and store messages in one statement; False, and nothing is stored, when the id was used before."""
        given = {
            "project": project, "method": method, "request_id": request_id, "fingerprint": fingerprint,
            "answer": answer, "create_time": now,
        }  # fmt: skip
        return await outbox.add_with(conn, _KEEP, given, *messages)

    async def find(self, conn: AsyncConnection, project: str, method: str, request_id: str) -> tuple[str, bytes] | None:
        """Return fingerprint and answer of a request, None when the id is new."""
        query = select(requests.c.fingerprint, requests.c.answer).where(
            requests.c.project == project, requests.c.method == method, requests.c.request_id == request_id
        )
        row = (await conn.execute(query)).one_or_none()
        return None if row is None else (row.fingerprint, bytes(row.answer))


async def forget_project(conn: AsyncConnection, project: str) -> None:
    """Delete everything of a project but its mail; numbers that it lent to others cannot be sent from any more."""
    await conn.execute(
        update(numbers).where(numbers.c.lent_by == f"projects/{project}").values(state="RELEASED", sms_capable=False)
    )
    for table in metadata.sorted_tables:
        if table.name not in ("outbox", "inbox") and "project" in table.c:
            await conn.execute(_delete(table, project))


def _delete(table: Table, project: str) -> Any:
    return delete(table).where(table.c.project == project)


def _channel(row: Row[Any]) -> StoredChannel:
    values = {name: getattr(row, name) for name in _COLUMNS}
    return StoredChannel(**{**values, "secrets": bytes(row.secrets)})
