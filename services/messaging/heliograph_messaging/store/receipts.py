"""Receipts: stored once as they come, applied to the ledger afterwards, in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.store.arrays import plain_array, text_array

PAGE = 1000


@dataclass(frozen=True)
class NewReceipt:
    """A receipt as a plugin reported it; one of the two ids is not empty."""

    receipt_id: str
    kind: str
    time: datetime
    message_id: str
    provider_message_id: str
    detail: str
    permanent: bool
    link: str
    user_agent: str = ""
    ip_address: str = ""
    carrier: str = ""


@dataclass(frozen=True)
class PendingReceipt:
    """A receipt that is to be applied, with its message; `batch_id` is the batch the message came in."""

    project: str
    provider: str
    receipt_id: str
    kind: str
    time: datetime
    detail: str
    permanent: bool
    link: str
    user_agent: str
    ip_address: str
    carrier: str
    message_id: str
    batch_id: str
    endpoint_id: str
    user_id: str
    address: str
    origination: str
    use_case: str
    part_count: int
    status: str
    channel: str
    message_class: str
    source_name: str
    run_id: str
    treatment_id: str
    activity_id: str
    template: str
    template_version: int
    extras: Mapping[str, Any] | None


_STORE = text(
    """INSERT INTO messaging.receipts (project, provider, receipt_id, kind, time, message_id, provider_message_id,
        detail, permanent, link, user_agent, ip_address, carrier, state)
    SELECT :project, :provider, receipt_id, kind, CAST(time AS timestamptz), nullif(message_id, '')::uuid,
        provider_message_id, detail, permanent, link, user_agent, ip_address, carrier, 'PENDING'
    FROM unnest(CAST(:receipt_ids AS text[]), CAST(:kinds AS text[]), CAST(:times AS text[]),
        CAST(:message_ids AS text[]), CAST(:provider_ids AS text[]), CAST(:details AS text[]),
        CAST(:permanents AS boolean[]), CAST(:links AS text[]), CAST(:user_agents AS text[]),
        CAST(:ip_addresses AS text[]), CAST(:carriers AS text[]))
        AS new (receipt_id, kind, time, message_id, provider_message_id, detail, permanent, link, user_agent, ip_address,
            carrier)
    ORDER BY receipt_id
    ON CONFLICT DO NOTHING"""
)
# Of a message that is of nobody any more, as its user was erased, nothing comes back that would tell of him.
# A receipt may overtake the outcome of its own message: those wait until the outcome is written.
_RESOLVE = text(
    """WITH page AS (
        SELECT r.project, r.provider, r.receipt_id, r.kind, r.time, r.detail, r.permanent, r.link,
            r.user_agent, r.ip_address, r.carrier, coalesce(r.message_id, p.message_id) AS message_id
        FROM messaging.receipts r
        LEFT JOIN messaging.provider_messages p ON r.message_id IS NULL AND p.project = r.project
            AND p.provider = r.provider AND p.provider_message_id = r.provider_message_id
        WHERE r.state = 'PENDING' AND EXISTS (SELECT FROM messaging.messages m WHERE m.project = r.project
            AND m.message_id = coalesce(r.message_id, p.message_id) AND m.status <> 'CLAIMED')
        ORDER BY r.received_at LIMIT :size FOR UPDATE OF r SKIP LOCKED)
    SELECT page.project, page.provider, page.receipt_id, page.kind, page.time, page.permanent, page.message_id,
        CASE WHEN m.address <> '' THEN page.detail ELSE '' END AS detail,
        CASE WHEN m.address <> '' THEN page.link ELSE '' END AS link,
        CASE WHEN m.address <> '' THEN page.user_agent ELSE '' END AS user_agent,
        CASE WHEN m.address <> '' THEN page.ip_address ELSE '' END AS ip_address, page.carrier, m.batch_id, m.endpoint_id,
        m.user_id, m.address, m.origination, m.use_case, m.part_count, m.status, b.channel, b.message_class,
        b.source_name, b.run_id, b.treatment_id, b.activity_id, b.template, b.template_version, b.extras
    FROM page JOIN messaging.messages m ON m.project = page.project AND m.message_id = page.message_id
    JOIN messaging.batches b ON b.project = m.project AND b.batch_id = m.batch_id
    ORDER BY page.time"""
)
_APPLIED = text(
    """UPDATE messaging.receipts AS r SET state = 'APPLIED', message_id = x.message_id, detail = x.detail, link = x.link,
        user_agent = x.user_agent, ip_address = x.ip_address
    FROM unnest(CAST(:projects AS text[]), CAST(:providers AS text[]), CAST(:receipt_ids AS text[]),
        CAST(:ids AS uuid[]), CAST(:details AS text[]), CAST(:links AS text[]), CAST(:user_agents AS text[]),
        CAST(:ip_addresses AS text[])) AS x (project, provider, receipt_id, message_id, detail, link, user_agent, ip_address)
    WHERE r.project = x.project AND r.provider = x.provider AND r.receipt_id = x.receipt_id"""
)
_MARK = text(
    """UPDATE messaging.messages AS m SET status = x.status, reason = x.reason, detail = x.detail, update_time = :now,
        accept_time = coalesce(m.accept_time, :now)
    FROM unnest(CAST(:projects AS text[]), CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:reasons AS text[]),
        CAST(:details AS text[])) AS x (project, message_id, status, reason, detail)
    WHERE m.project = x.project AND m.message_id = x.message_id AND m.status <> 'CLAIMED'"""
)
_GIVE_UP = text(
    """UPDATE messaging.receipts SET state = 'UNMATCHED'
    WHERE state = 'PENDING' AND received_at < clock_timestamp() - interval '24 hours'"""
)


class ReceiptStore:
    """Writes receipts and what follows from them."""

    async def store(self, conn: AsyncConnection, project: str, provider: str, receipts: Sequence[NewReceipt]) -> None:
        """Store receipts; those whose id is known already change nothing."""
        await conn.execute(
            _STORE,
            {
                "project": project,
                "provider": provider,
                "receipt_ids": text_array([one.receipt_id for one in receipts]),
                "kinds": text_array([one.kind for one in receipts]),
                "times": text_array([one.time.isoformat() for one in receipts]),
                "message_ids": text_array([one.message_id for one in receipts]),
                "provider_ids": text_array([one.provider_message_id for one in receipts]),
                "details": text_array([one.detail for one in receipts]),
                "permanents": plain_array([one.permanent for one in receipts]),
                "links": text_array([one.link for one in receipts]),
                "user_agents": text_array([one.user_agent for one in receipts]),
                "ip_addresses": text_array([one.ip_address for one in receipts]),
                "carriers": text_array([one.carrier for one in receipts]),
            },
        )

    async def pending(self, conn: AsyncConnection) -> list[PendingReceipt]:
        """Lock up to 1,000 receipts whose messages have an outcome, and return them by time."""
        rows = await conn.execute(_RESOLVE, {"size": PAGE})
        return [
            PendingReceipt(**{**row._mapping, "message_id": row.message_id.hex, "batch_id": row.batch_id.hex})
            for row in rows
        ]

    async def applied(self, conn: AsyncConnection, receipts: Sequence[PendingReceipt]) -> None:
        """Note that these are applied."""
        await conn.execute(
            _APPLIED,
            {
                "projects": text_array([one.project for one in receipts]),
                "providers": text_array([one.provider for one in receipts]),
                "receipt_ids": text_array([one.receipt_id for one in receipts]),
                "ids": plain_array([one.message_id for one in receipts]),
                "details": text_array([one.detail for one in receipts]),
                "links": text_array([one.link for one in receipts]),
                "user_agents": text_array([one.user_agent for one in receipts]),
                "ip_addresses": text_array([one.ip_address for one in receipts]),
            },
        )

    async def mark(
        self, conn: AsyncConnection, changes: Sequence[tuple[str, str, str, str, str]], *, now: datetime
    ) -> None:
        """Set (project, message id, status, reason, detail) of messages that have an outcome."""
        if not changes:
            return
        projects, ids, statuses, reasons, details = zip(*changes, strict=True)
        await conn.execute(
            _MARK,
            {
                "now": now,
                "projects": text_array(projects),
                "ids": plain_array(ids),
                "statuses": text_array(statuses),
                "reasons": text_array(reasons),
                "details": text_array(details),
            },
        )

    async def give_up(self, conn: AsyncConnection) -> int:
        """Give up receipts that found no message within a day; return how many."""
        return (await conn.execute(_GIVE_UP)).rowcount
