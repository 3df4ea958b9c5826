"""A worker with one bug switched on: `SEEDED_BUG=<name> python -m tests.chaos.seeded`.

Each is of a kind that peers have had (reliability section 4), put in from outside so that no switch is in the product.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.sql.elements import TextClause

from heliograph_kit.consumer import Consumer, Delivery
from heliograph_kit.deliveries import Held
from heliograph_kit.ids import derived_id
from heliograph_messaging import main
from heliograph_messaging.pipeline import plan
from heliograph_messaging.pipeline.calls import Calls
from heliograph_messaging.pipeline.door import Door
from heliograph_messaging.pipeline.leases import Hold, Leases
from heliograph_messaging.pipeline.worker import Pipeline
from heliograph_messaging.store import ledger
from heliograph_messaging.store.records import Lease

_TAKEN = "AND lease_token = :token"


def ack_before_commit() -> None:
    """Acknowledge a batch when it is fetched, and work on it afterwards."""
    handle = Pipeline.handle
    at_work: set[asyncio.Task[None]] = set()

    async def acknowledged(self: Pipeline, deliveries: Sequence[Delivery], *, consumer: str) -> None:
        async def later() -> None:
            with contextlib.suppress(Exception):
                await handle(self, deliveries, consumer=consumer)

        task = asyncio.create_task(later())
        at_work.add(task)
        task.add_done_callback(at_work.discard)

    Pipeline.handle = acknowledged  # type: ignore[method-assign]


def cursor_at_fetch() -> None:
    """Mark a batch as finished before it is sent (P1)."""
    _edit("_GUARD", " AND finish_time IS NULL", "")
    _edit("_GUARD", "CASE WHEN :finished THEN CAST(:now AS timestamptz) END", "CAST(:now AS timestamptz)")
    _edit("_INTEND", " AND finish_time IS NULL", "")
    send = Calls.send

    async def marked(self: Calls, run: Any, *arguments: Any, **more: Any) -> None:
        async with run.database.transaction() as conn:
            await self.finish(conn, run)
        await send(self, run, *arguments, **more)

    Calls.send = marked  # type: ignore[method-assign]


def no_fencing() -> None:
    """Let leases run out under a slow send, and let whoever lost one write all the same (P7)."""
    for name in ("_GUARD", "_INTEND", "_CLAIM_BATCH"):
        _edit(name, _TAKEN, "AND :token > 0")
    _edit("_GUARD", " AND finish_time IS NULL", "")
    _edit("_SETTLE", " AND m.status = 'CLAIMED'", "")
    Hold.remaining = lambda self, margin: 60.0  # type: ignore[method-assign]

    async def never(self: Leases) -> None:
        await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def silent(self: Consumer, held: Sequence[Held]) -> AsyncIterator[None]:
        yield

    Leases.keep_alive = never  # type: ignore[method-assign]
    # The broker holds a message back from others as long as it hears of it; peers without fencing have no such word.
    Consumer._kept_alive = silent  # type: ignore[method-assign]


def dedupe_off() -> None:
    """Give messages of a batch that comes again other ids than before (P4)."""
    acquire, ids_of = ledger.Ledger.acquire, plan.message_ids
    tokens: dict[str, int] = {}

    async def noted(self: ledger.Ledger, conn: Any, batch: Any) -> Any:
        lease = await acquire(self, conn, batch)
        if isinstance(lease, Lease):
            tokens[batch.key.batch_id] = lease.token
            return Lease(lease.key, lease.token, False, lease.provider, lease.template_version, 0.0, 0)
        return lease

    def salted(batch: Any, recipients: Any) -> list[str]:
        token = tokens.get(batch.batch_id, 1)
        ids: list[str] = ids_of(batch, recipients)
        return ids if token == 1 else [derived_id(one, str(token)) for one in ids]

    ledger.Ledger.acquire = noted  # type: ignore[method-assign]
    plan.message_ids = salted
    _edit("_INSERT", "nullif(address_key, '')::uuid", "NULL::uuid")


def opt_out_only_at_planning() -> None:
    """Believe that nobody opts out, complains or bounces between planning and sending."""

    async def open_door(self: Door, conn: Any, passing: Any) -> dict[int, Any]:
        return {}

    Door.refuse = open_door  # type: ignore[method-assign]


BUGS: Mapping[str, Callable[[], None]] = {
    "ack before commit": ack_before_commit,
    "cursor at fetch": cursor_at_fetch,
    "no fencing": no_fencing,
    "dedupe off": dedupe_off,
    "opt-out only at planning": opt_out_only_at_planning,
}


def _edit(name: str, old: str, new: str) -> None:
    """Change a statement of the ledger; one that reads differently by now must not pass for a bug switched on."""
    statement: TextClause = getattr(ledger, name)
    if old not in statement.text:
        raise LookupError(f"{name} does not hold {old!r}")
    setattr(ledger, name, text(statement.text.replace(old, new)))


if __name__ == "__main__":
    BUGS[os.environ["SEEDED_BUG"]]()
    main.main()
