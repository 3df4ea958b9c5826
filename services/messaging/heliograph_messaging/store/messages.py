"""Reading the ledger: one message, the messages of a run, the counts of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.store.arrays import plain_array, text_array


@dataclass(frozen=True)
class LedgerMessage:
    """A row of the ledger with what its batch says."""

    project: str
    message_id: str
    status: str
    reason: str
    detail: str
    source_name: str
    run_id: str
    treatment_id: str
    activity_id: str
    message_class: str
    channel: str
    provider: str
    template: str
    template_version: int
    trace_id: str
    endpoint_id: str
    user_id: str
    address: str
    origination: str
    use_case: str
    part_count: int
    cost: int
    provider_message_id: str
    failed_attempts: int
    create_time: datetime
    update_time: datetime
    accept_time: datetime | None
    route: str
    batch_id: str
    extras: Mapping[str, Any] | None


@dataclass(frozen=True)
class StoredAttempt:
    """One call of a provider that a message was part of. `state` is DISPATCHING, DONE or LOST."""

    state: str
    provider: str
    route: str
    start_time: datetime
    end_time: datetime | None
    messages: int


@dataclass(frozen=True)
class StoredOutcome:
    """Where a message stands; `accepted`: the provider took it at some time."""

    status: str
    reason: str
    detail: str
    accepted: bool


@dataclass(frozen=True)
class StoredReceipt:
    """What a provider reported of a message."""

    kind: str
    time: datetime
    detail: str
    link: str
    permanent: bool


@dataclass(frozen=True)
class Count:
    """Messages of a run that share status, reason, treatment and activity."""

    status: str
    reason: str
    treatment_id: str
    activity_id: str
    messages: int
    accepted: int
    parts: int
    cost: int


_STATUS = "CASE WHEN m.status = 'CLAIMED' AND c.state = 'DISPATCHING' THEN 'DISPATCHING' ELSE m.status END"
_JOINED = f"""SELECT m.project, m.message_id, {_STATUS} AS status, m.reason, m.detail, b.source_name, b.run_id,
        b.treatment_id, b.activity_id, b.message_class, b.channel, coalesce(nullif(c.provider, ''), b.provider) AS provider,
        b.template, b.template_version,
        b.trace_id, m.endpoint_id, m.user_id, m.address, m.origination, m.use_case, m.part_count,
        coalesce(m.cost, 0) AS cost, m.provider_message_id, m.failed_attempts, m.create_time, m.update_time, m.accept_time,
        coalesce(c.route, '') AS route, m.batch_id, b.extras
    FROM messaging.messages m
    JOIN messaging.batches b ON b.project = m.project AND b.batch_id = m.batch_id
    LEFT JOIN messaging.chunks c ON c.project = m.project AND c.batch_id = m.batch_id AND c.chunk = m.chunk
    WHERE m.project = :project"""  # noqa: S608
_ONE = text(f"{_JOINED} AND m.message_id = CAST(:id AS uuid)")
_OF_RUN = text(
    f"""{_JOINED} AND b.run_id = :run AND m.message_id > CAST(:after AS uuid)
    AND (:status = '' OR {_STATUS} = :status) ORDER BY m.message_id LIMIT :size"""
)
# Rows of before the cut at 600 characters hold the whole recipient.
_TO_ONE = text(
    f"""{_JOINED} AND m.message_id IN (SELECT unnest(CAST(:ids AS uuid[])) UNION ALL
        SELECT d.message_id FROM messaging.messages d WHERE d.project = :project
            AND d.direct_recipient IN (left(:recipient, 600), :recipient)
            AND d.create_time <= CAST(:before AS timestamptz))
    AND m.endpoint_id = :endpoint AND (:endpoint <> '' OR m.address = :recipient) AND (m.create_time, m.message_id) < (CAST(:before AS timestamptz), CAST(:id AS uuid))
    AND (:status = '' OR {_STATUS} = :status) ORDER BY m.create_time DESC, m.message_id DESC LIMIT :size"""  # noqa: S608
)
# Skips from run to run instead of reading all batches: there is one for every 500 messages.
_RUNS = text(
    """WITH RECURSIVE runs AS (
        (SELECT run_id, activity_id FROM messaging.batches WHERE project = :project AND message_class <> 'transactional'
            ORDER BY run_id, activity_id LIMIT 1)
        UNION ALL
        SELECT n.run_id, n.activity_id FROM runs r CROSS JOIN LATERAL (
            SELECT run_id, activity_id FROM messaging.batches WHERE project = :project
                AND message_class <> 'transactional' AND (run_id, activity_id) > (r.run_id, r.activity_id)
            ORDER BY run_id, activity_id LIMIT 1) n)
    SELECT run_id, activity_id FROM runs"""
)
_THERE = text(
    """SELECT message_id FROM messaging.messages
    WHERE project = :project AND message_id = ANY(CAST(:ids AS uuid[]))"""
)
_ATTEMPTS = text(
    """SELECT c.state, c.provider, c.route, c.start_time, c.end_time, c.message_count AS messages
    FROM messaging.messages m
    JOIN messaging.chunks c ON c.project = m.project AND c.batch_id = m.batch_id
        AND (c.chunk = m.chunk OR c.chunk = ANY(m.earlier_chunks))
    WHERE m.project = :project AND m.message_id = CAST(:id AS uuid) ORDER BY c.start_time, c.chunk"""
)
_OUTCOMES = text(
    """SELECT m.project, m.message_id, m.status, m.reason, m.detail, m.accept_time IS NOT NULL AS accepted
    FROM unnest(CAST(:projects AS text[]), CAST(:ids AS uuid[])) AS asked (project, id)
    JOIN messaging.messages m ON m.project = asked.project AND m.message_id = asked.id"""
)
_COUNTS = text(
    f"""SELECT {_STATUS} AS status, m.reason, b.treatment_id, b.activity_id, count(*) AS messages,
        count(m.accept_time) AS accepted, coalesce(sum(m.part_count) FILTER (WHERE m.accept_time IS NOT NULL), 0) AS parts,
        coalesce(sum(m.cost), 0) AS cost
    FROM messaging.batches b
    JOIN messaging.messages m ON m.project = b.project AND m.batch_id = b.batch_id
    LEFT JOIN messaging.chunks c ON c.project = m.project AND c.batch_id = m.batch_id AND c.chunk = m.chunk
    WHERE b.project = :project AND b.run_id = :run
        AND (:treatment = '' OR b.treatment_id = :treatment) AND (:activity = '' OR b.activity_id = :activity)
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"""  # noqa: S608
)
_RECEIPTS = text(
    """SELECT kind, time, detail, link, permanent FROM messaging.receipts
    WHERE project = :project AND message_id = CAST(:id AS uuid) AND state <> 'PENDING' ORDER BY time, receipt_id"""
)
_FIRST = "0" * 32


class MessageStore:
    """Reads messages."""

    async def get(self, conn: AsyncConnection, project: str, message_id: str) -> LedgerMessage | None:
        """Return one message, None when the ledger has none of that id (32 hexadecimal digits)."""
        row = (await conn.execute(_ONE, {"project": project, "id": message_id})).one_or_none()
        return None if row is None else _message(row)

    async def receipts(self, conn: AsyncConnection, project: str, message_id: str) -> list[StoredReceipt]:
        """Return what the provider reported of a message, oldest first."""
        rows = await conn.execute(_RECEIPTS, {"project": project, "id": message_id})
        return [StoredReceipt(row.kind, row.time, row.detail, row.link, row.permanent) for row in rows]

    async def attempts(self, conn: AsyncConnection, project: str, message_id: str) -> list[StoredAttempt]:
        """Return the calls of providers that a message was part of, oldest first."""
        rows = await conn.execute(_ATTEMPTS, {"project": project, "id": message_id})
        return [StoredAttempt(**row._mapping) for row in rows]

    async def outcomes(
        self, conn: AsyncConnection, messages: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], StoredOutcome]:
        """Return where messages stand, by (project, message id); those that the ledger does not have yet are missing."""
        projects, ids = zip(*messages, strict=True)
        rows = await conn.execute(_OUTCOMES, {"projects": text_array(projects), "ids": plain_array(ids)})
        return {
            (row.project, row.message_id.hex): StoredOutcome(row.status, row.reason, row.detail, row.accepted)
            for row in rows
        }

    async def runs(self, conn: AsyncConnection, project: str) -> list[tuple[str, str]]:
        """Return the run and the activity of everything that campaigns and journeys of a project ever sent."""
        return [(row.run_id, row.activity_id) for row in await conn.execute(_RUNS, {"project": project})]

    async def there(self, conn: AsyncConnection, project: str, ids: Sequence[str]) -> set[str]:
        """Return those of the ids that the ledger has a message of."""
        rows = await conn.execute(_THERE, {"project": project, "ids": plain_array(ids)})
        return {id.hex for id in rows.scalars()}

    async def to_one(
        self,
        conn: AsyncConnection,
        project: str,
        *,
        endpoint_id: str,
        address: str,
        ids: Sequence[str],
        status: str,
        before: tuple[datetime, str] | None,
        size: int,
    ) -> Sequence[LedgerMessage]:
        """Return up to `size` of the direct messages to an endpoint or a bare address and of these ids, the latest first.

        `before`: the time and the id of the last one that was seen.
        """
        instant, id = (before[0].isoformat(), before[1]) if before else ("infinity", _FIRST)
        parameters = {
            "project": project, "endpoint": endpoint_id, "recipient": endpoint_id or address, "ids": plain_array(ids),
            "status": status, "before": instant, "id": id, "size": size,
        }  # fmt: skip
        return [_message(row) for row in await conn.execute(_TO_ONE, parameters)]

    async def of_run(
        self, conn: AsyncConnection, project: str, run_id: str, *, status: str, after: str | None, size: int
    ) -> Sequence[LedgerMessage]:
        """Return up to `size` messages of a run with ids above `after`, by id; `status` empty: of every status."""
        parameters = {"project": project, "run": run_id, "status": status, "after": after or _FIRST, "size": size}
        return [_message(row) for row in await conn.execute(_OF_RUN, parameters)]

    async def counts(
        self, conn: AsyncConnection, project: str, run_id: str, *, treatment_id: str, activity_id: str
    ) -> list[Count]:
        """Count the messages of a run; an empty treatment or activity does not narrow it down."""
        parameters = {"project": project, "run": run_id, "treatment": treatment_id, "activity": activity_id}
        return [
            Count(**{**row._mapping, "parts": int(row.parts), "cost": int(row.cost)})
            for row in await conn.execute(_COUNTS, parameters)
        ]


def _message(row: Row[Any]) -> LedgerMessage:
    values = dict(row._mapping)
    return LedgerMessage(**{**values, "message_id": row.message_id.hex, "batch_id": row.batch_id.hex})
