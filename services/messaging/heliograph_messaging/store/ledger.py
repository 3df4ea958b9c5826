"""The ledger: batches under lease, chunks with intent and outcome, one row for each message.

Everything of a batch is written in bulk. The order of writes is what makes a crash harmless: the intent of a chunk is
committed before the provider is called, its outcome and the events about it in one transaction after. A worker whose
lease was taken over cannot write any more: every write checks its fencing token.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.telemetry import trace_id
from heliograph_messaging.store.arrays import plain_array, text_array
from heliograph_messaging.store.records import BatchKey, Finished, Held, Lease, NewBatch, OpenRow, Row, Settled


class LeaseLost(Exception):
    """Another worker took the batch over; nothing was written."""


_ACQUIRE = text(
    """INSERT INTO messaging.batches AS b (project, batch_id, message_class, source_name, run_id, treatment_id,
        activity_id, channel, template, template_version, trace_id, create_time, extras, lease_token, lease_until)
    VALUES (:project, CAST(:batch AS uuid), :message_class, :source_name, :run_id, :treatment_id, :activity_id, :channel,
        :template, :template_version, :trace_id, :create_time, CAST(:extras AS jsonb), 1, clock_timestamp() + make_interval(secs => :lease))
    ON CONFLICT (project, batch_id) DO UPDATE
        SET lease_token = b.lease_token + 1, lease_until = clock_timestamp() + make_interval(secs => :lease),
            crash_count = b.crash_count + 1
        WHERE b.finish_time IS NULL AND b.lease_until <= clock_timestamp()
    RETURNING lease_token, claimed, provider, template_version, crash_count,
        extract(epoch FROM clock_timestamp() - progress_at)::double precision AS age"""
)
_STANDING = text(
    """SELECT finish_time IS NOT NULL AS finished,
        extract(epoch FROM lease_until - clock_timestamp())::double precision AS seconds
    FROM messaging.batches WHERE project = :project AND batch_id = CAST(:batch AS uuid)"""
)
_CLAIM_BATCH = text(
    """UPDATE messaging.batches SET claimed = true, provider = :provider, template_version = :template_version,
        lease_until = clock_timestamp() + make_interval(secs => :lease)
    WHERE project = :project AND batch_id = CAST(:batch AS uuid) AND lease_token = :token AND finish_time IS NULL"""
)
_INSERT = text(
    """INSERT INTO messaging.messages (project, message_id, batch_id, position, endpoint_id, user_id, address,
        address_key, status, reason, detail, origination, use_case, part_count, chunk, create_time, update_time,
        direct_recipient)
    SELECT :project, message_id, CAST(:batch AS uuid), position, endpoint_id, user_id, address,
        nullif(address_key, '')::uuid, status, reason, detail, origination, use_case, part_count, chunk, :now, :now,
        left(CASE WHEN :direct THEN coalesce(nullif(endpoint_id, ''), nullif(address, '')) END, 600)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:positions AS smallint[]), CAST(:endpoint_ids AS text[]),
        CAST(:user_ids AS text[]), CAST(:addresses AS text[]), CAST(:address_keys AS text[]), CAST(:statuses AS text[]),
        CAST(:reasons AS text[]), CAST(:details AS text[]), CAST(:originations AS text[]), CAST(:use_cases AS text[]),
        CAST(:part_counts AS smallint[]), CAST(:chunks AS integer[]))
        AS new (message_id, position, endpoint_id, user_id, address, address_key, status, reason, detail, origination,
            use_case, part_count, chunk)
    ON CONFLICT DO NOTHING RETURNING position"""
)
_INTEND = text(
    """INSERT INTO messaging.chunks AS c (project, batch_id, chunk, state, lease_token, message_count, provider, route,
        start_time)
    SELECT project, batch_id, :chunk, 'DISPATCHING', lease_token, :count, :provider, :route, :now FROM messaging.batches
    WHERE project = :project AND batch_id = CAST(:batch AS uuid) AND lease_token = :token AND finish_time IS NULL
    FOR UPDATE"""
)
# Every update of messages names their batch, which they never leave. By their ids alone the planner, who has no statistics of
# a table that has just begun to grow, reads all messages of the project for each chunk: 60,000 doubled the cost of one.
# A message that comes again may leave from another number than the one it was claimed with.
_MOVE = text(
    """UPDATE messaging.messages AS m SET chunk = :chunk, update_time = :now, origination = x.origination,
        use_case = x.use_case, part_count = x.part_count,
        earlier_chunks = CASE WHEN m.chunk IS NULL THEN m.earlier_chunks
            ELSE coalesce(m.earlier_chunks, '{}') || m.chunk END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:originations AS text[]), CAST(:use_cases AS text[]),
        CAST(:part_counts AS smallint[])) AS x (message_id, origination, use_case, part_count)
    WHERE m.project = :project AND m.batch_id = CAST(:batch AS uuid) AND m.message_id = x.message_id"""
)
_GUARD = text(
    """UPDATE messaging.batches SET lease_until = clock_timestamp() + make_interval(secs => :lease),
        progress_at = clock_timestamp(), finish_time = CASE WHEN :finished THEN CAST(:now AS timestamptz) END
    WHERE project = :project AND batch_id = CAST(:batch AS uuid) AND lease_token = :token AND finish_time IS NULL"""
)
_HOLD = text(
    """SELECT 1 FROM messaging.batches
    WHERE project = :project AND batch_id = CAST(:batch AS uuid) AND lease_token = :token AND finish_time IS NULL
    FOR UPDATE"""
)
_SETTLE = text(
    """UPDATE messaging.messages AS m SET status = x.status, reason = x.reason, detail = x.detail,
        provider_message_id = x.provider_id, failed_attempts = x.failed, update_time = :now,
        chunk = CASE WHEN x.status = 'CLAIMED' THEN NULL ELSE m.chunk END,
        earlier_chunks = CASE WHEN x.status = 'CLAIMED' THEN coalesce(m.earlier_chunks, '{}') || m.chunk
            ELSE m.earlier_chunks END,
        accept_time = CASE WHEN x.status = 'ACCEPTED' THEN CAST(:now AS timestamptz) END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:reasons AS text[]), CAST(:details AS text[]),
        CAST(:provider_ids AS text[]), CAST(:failed AS smallint[]))
        AS x (message_id, status, reason, detail, provider_id, failed)
    WHERE m.project = :project AND m.batch_id = CAST(:batch AS uuid)
        AND m.message_id = x.message_id AND m.status = 'CLAIMED'"""
)
_REFUSE = text(
    """UPDATE messaging.messages AS m SET status = 'SKIPPED', reason = x.reason, detail = x.detail, update_time = :now,
        chunk = NULL, origination = '', use_case = '', part_count = 0,
        earlier_chunks = CASE WHEN EXISTS (SELECT FROM messaging.chunks c WHERE c.project = m.project
            AND c.batch_id = m.batch_id AND c.chunk = m.chunk) THEN coalesce(m.earlier_chunks, '{}') || m.chunk
            ELSE m.earlier_chunks END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:reasons AS text[]), CAST(:details AS text[])) AS x (message_id, reason, detail)
    WHERE m.project = :project AND m.batch_id = CAST(:batch AS uuid)
        AND m.message_id = x.message_id AND m.status = 'CLAIMED'"""
)
_END_CHUNK = text(
    """UPDATE messaging.chunks SET state = :state, end_time = :now
    WHERE project = :project AND batch_id = CAST(:batch AS uuid) AND chunk = ANY(CAST(:chunks AS integer[]))
    AND state = 'DISPATCHING'"""
)
_PROVIDER_IDS = text(
    """INSERT INTO messaging.provider_messages (project, provider, provider_message_id, message_id)
    SELECT :project, :provider, provider_id, message_id
    FROM unnest(CAST(:ids AS uuid[]), CAST(:provider_ids AS text[])) AS x (message_id, provider_id)
    ON CONFLICT DO NOTHING"""
)
_OPEN_ROWS = text(
    """SELECT m.message_id, m.position, m.failed_attempts, m.chunk, coalesce(c.state = 'DISPATCHING', false) AS in_flight,
        coalesce(c.provider, '') AS provider, coalesce(c.route, '') AS route, m.origination, m.use_case, m.part_count
    FROM messaging.messages m
    LEFT JOIN messaging.chunks c ON c.project = m.project AND c.batch_id = m.batch_id AND c.chunk = m.chunk
    WHERE m.project = :project AND m.batch_id = CAST(:batch AS uuid) AND m.status = 'CLAIMED' ORDER BY m.position"""
)
_LAST_CHUNK = text(
    """SELECT greatest(coalesce((SELECT max(chunk) FROM messaging.chunks
            WHERE project = :project AND batch_id = CAST(:batch AS uuid)), -1),
        coalesce((SELECT max(chunk) FROM messaging.messages
            WHERE project = :project AND batch_id = CAST(:batch AS uuid)), -1))"""
)
_RELEASE = text(
    """UPDATE messaging.batches SET lease_until = clock_timestamp(), crash_count = -1,
        progress_at = CASE WHEN :paced > 0 THEN clock_timestamp() + make_interval(secs => :paced) ELSE progress_at END
    WHERE project = :project AND batch_id = CAST(:batch AS uuid) AND lease_token = :token AND finish_time IS NULL"""
)
_RENEW = text(
    """UPDATE messaging.batches AS b SET lease_until = clock_timestamp() + make_interval(secs => :lease)
    FROM unnest(CAST(:projects AS text[]), CAST(:batches AS uuid[]), CAST(:tokens AS bigint[])) AS x (project, id, token)
    WHERE b.project = x.project AND b.batch_id = x.id AND b.lease_token = x.token AND b.finish_time IS NULL
    RETURNING b.project, b.batch_id"""
)


class Ledger:
    """Writes of the pipeline. `lease_seconds` is how long a lease lives without being renewed."""

    def __init__(self, *, lease_seconds: float) -> None:
        """Take the length of leases."""
        self.lease_seconds = lease_seconds

    async def acquire(self, conn: AsyncConnection, batch: NewBatch) -> Lease | Held | Finished:
        """Take the lease of a batch; a batch seen for the first time is recorded."""
        row = (
            await conn.execute(
                _ACQUIRE,
                {
                    **batch.key.parameters(),
                    "message_class": batch.message_class,
                    "source_name": batch.source_name,
                    "run_id": batch.run_id,
                    "treatment_id": batch.treatment_id,
                    "activity_id": batch.activity_id,
                    "channel": batch.channel,
                    "template": batch.template,
                    "template_version": batch.template_version,
                    "trace_id": trace_id(),
                    "create_time": batch.create_time,
                    "extras": batch.extras or None,
                    "lease": self.lease_seconds,
                },
            )
        ).one_or_none()
        if row is not None:
            return Lease(
                batch.key, row.lease_token, row.claimed, row.provider, row.template_version, row.age, row.crash_count
            )
        standing = (await conn.execute(_STANDING, batch.key.parameters())).one()
        return Finished() if standing.finished else Held(max(0.0, standing.seconds))

    async def claim(
        self, conn: AsyncConnection, lease: Lease, *, provider: str, template_version: int, now: datetime
    ) -> None:
        """Pin provider and template version of the batch.

        Raises:
            LeaseLost: another worker took the batch over.
        """
        done = await conn.execute(
            _CLAIM_BATCH,
            {
                **lease.key.parameters(),
                "token": lease.token,
                "provider": provider,
                "template_version": template_version,
                "lease": self.lease_seconds,
            },
        )
        if not done.rowcount:
            raise LeaseLost

    async def insert(
        self, conn: AsyncConnection, key: BatchKey, rows: Sequence[Row], *, now: datetime, direct: bool = False
    ) -> set[int]:
        """Insert rows and return the positions that got in; `direct`: they are of a direct send.

        The others were not inserted: the message exists, or the address is used up (in this run, or by another row of
        these).
        """
        if not rows:
            return set()
        found = await conn.execute(
            _INSERT,
            {
                **key.parameters(),
                "now": now,
                "direct": direct,
                "ids": plain_array([row.message_id for row in rows]),
                "positions": plain_array([row.position for row in rows]),
                "endpoint_ids": text_array([row.endpoint_id for row in rows]),
                "user_ids": text_array([row.user_id for row in rows]),
                "addresses": text_array([row.address for row in rows]),
                "address_keys": text_array([row.address_key for row in rows]),
                "statuses": text_array([row.status for row in rows]),
                "reasons": text_array([row.reason for row in rows]),
                "details": text_array([row.detail for row in rows]),
                "originations": text_array([row.origination for row in rows]),
                "use_cases": text_array([row.use_case for row in rows]),
                "part_counts": plain_array([row.part_count for row in rows]),
                "chunks": plain_array([row.chunk for row in rows]),
            },
        )
        return set(found.scalars())

    async def intend(
        self,
        conn: AsyncConnection,
        lease: Lease,
        chunk: int,
        rows: Sequence[Row],
        *,
        provider: str,
        route: str,
        now: datetime,
        move: bool,
    ) -> None:
        """Write down that these messages are about to be handed to the provider of a route as one chunk.

        `move`: the rows were in another chunk before, or in none.

        Raises:
            LeaseLost: another worker took the batch over.
        """
        parameters = {**lease.key.parameters(), "chunk": chunk, "now": now}
        to = {"token": lease.token, "count": len(rows), "provider": provider, "route": route}
        done = await conn.execute(_INTEND, {**parameters, **to})
        if not done.rowcount:
            raise LeaseLost
        if move:
            await conn.execute(
                _MOVE,
                {
                    **parameters,
                    "ids": plain_array([row.message_id for row in rows]),
                    "originations": text_array([row.origination for row in rows]),
                    "use_cases": text_array([row.use_case for row in rows]),
                    "part_counts": plain_array([row.part_count for row in rows]),
                },
            )

    async def refuse(self, conn: AsyncConnection, key: BatchKey, rows: Sequence[Row], *, now: datetime) -> None:
        """Write down that these claimed rows are skipped, for the reasons they carry."""
        await conn.execute(
            _REFUSE,
            {
                **key.parameters(),
                "now": now,
                "ids": plain_array([row.message_id for row in rows]),
                "reasons": text_array([row.reason for row in rows]),
                "details": text_array([row.detail for row in rows]),
            },
        )

    async def settle(
        self,
        conn: AsyncConnection,
        lease: Lease,
        settled: Sequence[Settled],
        *,
        chunks: Sequence[int],
        state: str,
        now: datetime,
        finished: bool,
    ) -> None:
        """Write down what became of messages and end their chunks; `finished` ends the batch as well.

        Raises:
            LeaseLost: another worker took the batch over.
        """
        await self.guard(conn, lease, now=now, finished=finished)
        if settled:
            await conn.execute(
                _SETTLE,
                {
                    **lease.key.parameters(),
                    "now": now,
                    "ids": plain_array([one.message_id for one in settled]),
                    "statuses": text_array([one.outcome.status for one in settled]),
                    "reasons": text_array([one.outcome.reason for one in settled]),
                    "details": text_array([one.outcome.detail for one in settled]),
                    "provider_ids": text_array([one.outcome.provider_message_id for one in settled]),
                    "failed": plain_array([one.failed_attempts for one in settled]),
                },
            )
        if chunks:
            parameters = {**lease.key.parameters(), "chunks": plain_array(chunks), "state": state, "now": now}
            await conn.execute(_END_CHUNK, parameters)

    async def hold(self, conn: AsyncConnection, lease: Lease) -> None:
        """Keep other transactions of the batch waiting until this one ends.

        Raises:
            LeaseLost: another worker took the batch over.
        """
        held = await conn.execute(_HOLD, {**lease.key.parameters(), "token": lease.token})
        if held.one_or_none() is None:
            raise LeaseLost

    async def guard(self, conn: AsyncConnection, lease: Lease, *, now: datetime, finished: bool) -> None:
        """Renew the lease inside a transaction, and end the batch when it is finished.

        Raises:
            LeaseLost: another worker took the batch over.
        """
        parameters = {**lease.key.parameters(), "token": lease.token, "now": now, "finished": finished}
        if not (await conn.execute(_GUARD, {**parameters, "lease": self.lease_seconds})).rowcount:
            raise LeaseLost

    async def note_provider_ids(
        self, conn: AsyncConnection, project: str, provider: str, settled: Sequence[Settled]
    ) -> None:
        """Remember the provider's own ids, so that receipts that only carry these find their message."""
        known = [one for one in settled if one.outcome.provider_message_id not in ("", one.message_id)]
        if known:
            await conn.execute(
                _PROVIDER_IDS,
                {
                    "project": project,
                    "provider": provider,
                    "ids": plain_array([one.message_id for one in known]),
                    "provider_ids": text_array([one.outcome.provider_message_id for one in known]),
                },
            )

    async def open_rows(self, conn: AsyncConnection, key: BatchKey) -> list[OpenRow]:
        """Return the rows of a batch that are not done, by position."""
        rows = await conn.execute(_OPEN_ROWS, key.parameters())
        return [
            OpenRow(
                row.message_id.hex,
                row.position,
                row.failed_attempts,
                row.chunk,
                row.in_flight,
                row.provider,
                row.route,
                row.origination,
                row.use_case,
                row.part_count,
            )
            for row in rows
        ]

    async def next_chunk(self, conn: AsyncConnection, key: BatchKey) -> int:
        """Return the first chunk number that was never used in this batch."""
        return int((await conn.execute(_LAST_CHUNK, key.parameters())).scalar_one()) + 1

    async def release(self, conn: AsyncConnection, lease: Lease, *, paced_seconds: float = 0.0) -> None:
        """Give the lease back, so that the batch can be taken at once; without effect when it is lost or done.

        `paced_seconds`: for so long it waits for its number. Its age counts from then on, as its provider has had no chance.
        """
        await conn.execute(_RELEASE, {**lease.key.parameters(), "token": lease.token, "paced": paced_seconds})

    async def renew(self, conn: AsyncConnection, leases: Sequence[Lease]) -> set[BatchKey]:
        """Renew many leases at once and return the batches that are still ours."""
        rows = await conn.execute(
            _RENEW,
            {
                "lease": self.lease_seconds,
                "projects": text_array([lease.key.project for lease in leases]),
                "batches": plain_array([lease.key.batch_id for lease in leases]),
                "tokens": plain_array([lease.token for lease in leases]),
            },
        )
        return {BatchKey(row.project, row.batch_id.hex) for row in rows}
