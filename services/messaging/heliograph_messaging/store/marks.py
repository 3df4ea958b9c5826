"""What segments is still to be told of endpoints: kept until it has answered, taken by one worker at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.store.arrays import text_array

MarkKind = Literal["OPTED_OUT", "ADDRESS_GONE", "ADDRESS_REPLACED"]


class NewMark(NamedTuple):
    """What was learnt of an endpoint; `cause` is what it was learnt from, unique in the project, at most 300 characters."""

    cause: str
    kind: MarkKind
    endpoint_id: str
    address: str = ""
    new_address: str = ""


class TakenMark(NamedTuple):
    """A mark of a project that is to be told."""

    project: str
    mark: NewMark


_ADD = text(
    """INSERT INTO messaging.endpoint_marks (project, cause, kind, endpoint_id, address, new_address)
    SELECT :project, cause, kind, endpoint_id, address, new_address
    FROM unnest(CAST(:causes AS text[]), CAST(:kinds AS text[]), CAST(:endpoint_ids AS text[]),
        CAST(:addresses AS text[]), CAST(:new_addresses AS text[]))
        AS new (cause, kind, endpoint_id, address, new_address)
    ORDER BY cause, kind
    ON CONFLICT DO NOTHING"""
)
_TAKE = text(
    """WITH due AS (SELECT project, cause, kind FROM messaging.endpoint_marks
        WHERE taken_until < clock_timestamp() ORDER BY taken_until, noted_at LIMIT :size FOR UPDATE SKIP LOCKED)
    UPDATE messaging.endpoint_marks AS m SET taken_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM due WHERE m.project = due.project AND m.cause = due.cause AND m.kind = due.kind
    RETURNING m.project, m.cause, m.kind, m.endpoint_id, m.address, m.new_address, m.noted_at"""
)
_DONE = text(
    """DELETE FROM messaging.endpoint_marks AS m
    USING unnest(CAST(:causes AS text[]), CAST(:kinds AS text[])) AS x (cause, kind)
    WHERE m.project = :project AND m.cause = x.cause AND m.kind = x.kind"""
)


class MarkStore:
    """Keeps marks until they are told."""

    async def add(self, conn: AsyncConnection, project: str, marks: Sequence[NewMark]) -> None:
        """Keep marks; those of a cause that is kept already change nothing."""
        await conn.execute(
            _ADD,
            {
                "project": project,
                **_keys(marks),
                "endpoint_ids": text_array([one.endpoint_id for one in marks]),
                "addresses": text_array([one.address for one in marks]),
                "new_addresses": text_array([one.new_address for one in marks]),
            },
        )

    async def take(self, conn: AsyncConnection, *, size: int, seconds: float) -> list[TakenMark]:
        """Take up to `size` marks, of any project, for so many seconds; oldest first."""
        rows = (await conn.execute(_TAKE, {"size": size, "seconds": seconds})).all()
        return [TakenMark(row[0], NewMark(*row[1:6])) for row in sorted(rows, key=lambda row: row.noted_at)]

    async def done(self, conn: AsyncConnection, project: str, marks: Sequence[NewMark]) -> None:
        """Forget marks that were told."""
        await conn.execute(_DONE, {"project": project, **_keys(marks)})


def _keys(marks: Sequence[NewMark]) -> dict[str, str]:
    return {"causes": text_array([one.cause for one in marks]), "kinds": text_array([one.kind for one in marks])}
