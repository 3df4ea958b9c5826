"""Receipts: taken from plugins and from tracked links at once, applied to the ledger by a worker, told on MESSAGES.

Late and repeated ones do no harm, nor do those of messages that nobody knows: they are given up after a day. Whoever opts
out through a link of ours is opted out at segments, which owns endpoints; what a provider reports as an opt-out is told
only, as it may concern one number or one list (pinpoint-2 2.4).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import dispatch_pb2, events_pb2
from heliograph_channels import Receipt
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.ids import derived_id
from heliograph_kit.instants import timestamp
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_kit.streams import messages_subject
from heliograph_kit.telemetry import counter
from heliograph_messaging.answers import ID_LENGTH, Unsound, plain, type_name
from heliograph_messaging.domain.outcomes import DETAIL_LENGTH, after_receipt
from heliograph_messaging.events import CLASS_OF_NAME, OF_RECEIPT, UNSUBSCRIBED
from heliograph_messaging.faults import Fault, tell
from heliograph_messaging.pipeline import extras
from heliograph_messaging.pipeline.marks import EndpointMarks
from heliograph_messaging.pipeline.suppressed import suppress
from heliograph_messaging.store.marks import NewMark
from heliograph_messaging.store.receipts import PAGE, NewReceipt, PendingReceipt, ReceiptStore
from heliograph_messaging.store.suppressions import SuppressionStore

_log = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{32}")
_IDLE_SECONDS = 1.0
_ID_LENGTH = 200
_GIVE_UP_EVERY = 600


class Receipts:
    """Takes receipts and applies them."""

    def __init__(
        self,
        database: Database,
        store: ReceiptStore,
        suppressions: SuppressionStore,
        marks: EndpointMarks,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        """Take where they are kept and told, the list that bounces and complaints feed, and what tells of opt-outs."""
        self._database = database
        self._store = store
        self._suppressions = suppressions
        self._marks = marks
        self._outbox = outbox
        self._clock = clock
        self._woken = asyncio.Event()

    async def report(self, project: str, provider: str, receipts: Sequence[Receipt]) -> None:
        """Store what a plugin reports; returns when it is safe. Repetitions are dropped by `receipt_id`."""
        for start in range(0, len(receipts), PAGE):
            async with self._database.transaction() as conn:
                await self.store(conn, project, provider, receipts[start : start + PAGE])
        self.wake()

    async def store(self, conn: AsyncConnection, project: str, provider: str, receipts: Sequence[Receipt]) -> None:
        """Store what a plugin reports in the open transaction; call `wake` after it commits."""
        new = [stored for receipt in receipts if (stored := _stored(provider, receipt)) is not None]
        await self.store_rows(conn, project, provider, new)

    async def store_rows(
        self, conn: AsyncConnection, project: str, provider: str, receipts: Sequence[NewReceipt]
    ) -> None:
        """Store receipts that are known to be in order."""
        for start in range(0, len(receipts), PAGE):
            await self._store.store(conn, project, provider, receipts[start : start + PAGE])

    def wake(self) -> None:
        """Let the worker of this process look at once."""
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Apply receipts until told to stop."""
        rounds = 0
        while not stopping.is_set():
            self._woken.clear()
            if await self.apply_page() == PAGE:
                continue
            rounds += 1
            if rounds % _GIVE_UP_EVERY == 0:
                async with self._database.transaction() as conn:
                    if lost := await self._store.give_up(conn):
                        _log.warning("%d receipts found no message within a day", lost)
            try:
                await asyncio.wait_for(self._woken.wait(), _IDLE_SECONDS)
            except TimeoutError:
                continue
            # Receipts come in bursts: a short pause makes pages of them.
            await asyncio.sleep(0.05)

    async def apply_page(self) -> int:
        """Apply up to 1,000 receipts in one transaction and return how many there were."""
        now = self._clock.now()
        async with self._database.transaction() as conn:
            pending = await self._store.pending(conn)
            if not pending:
                return 0
            await self._store.applied(conn, pending)
            await self._store.mark(conn, _changes(pending), now=now)
            await suppress(conn, self._suppressions, pending, now=now)
            await self._opt_out(conn, pending)
            await self._outbox.add(conn, *_told(pending))
        for one in pending:
            labels = {"heliograph.channel": one.channel, "heliograph.outcome": one.kind}
            counter("heliograph.messaging.receipts").add(1, labels)
        return len(pending)

    async def _opt_out(self, conn: AsyncConnection, pending: Sequence[PendingReceipt]) -> None:
        """Opt out whoever did it through our links. An address without an endpoint belongs to nobody who could be."""
        marks: dict[str, list[NewMark]] = {}
        for one in pending:
            if one.kind == UNSUBSCRIBED and one.endpoint_id:
                mark = NewMark(f"{one.provider} {one.receipt_id}", "OPTED_OUT", one.endpoint_id, one.address)
                marks.setdefault(one.project, []).append(mark)
        for project, noted in marks.items():
            await self._marks.note(conn, project, noted)


def _stored(provider: str, receipt: Receipt) -> NewReceipt | None:
    try:
        return _sound(receipt)
    except Unsound as error:
        tell(provider, Fault.WRONG_TYPE, f"reported {error}")
    except Exception as error:  # a property of a class that is the plugin's may raise anything
        tell(provider, Fault.WRONG_TYPE, f"reported a receipt that cannot be read ({type_name(error)})")
    return None


def _sound(receipt: Receipt) -> NewReceipt:
    """Return a receipt as it can be stored and applied: one that cannot would hold up all that come after it."""
    if not isinstance(receipt, Receipt):
        raise Unsound(f"a {type_name(receipt)} instead of a receipt")
    receipt_id, message_id = plain(receipt.receipt_id, _ID_LENGTH + 1), plain(receipt.message_id, 100)
    provider_id = plain(receipt.provider_message_id, ID_LENGTH)
    if not 1 <= len(receipt_id) <= _ID_LENGTH:
        raise Unsound("a receipt without a usable receipt_id")
    if message_id and not _ID.fullmatch(message_id):
        raise Unsound(f"a receipt for {len(message_id)} characters that are no message id")
    if not message_id and not provider_id:
        raise Unsound("a receipt for no message")
    kind = plain(receipt.kind, 40)
    if kind not in OF_RECEIPT or kind == UNSUBSCRIBED:  # that one is ours to say
        raise Unsound("a receipt of a kind that does not exist")
    if not isinstance(receipt.time, datetime) or receipt.time.tzinfo is None:
        raise Unsound("a receipt without a time")
    time = datetime.astimezone(receipt.time, UTC)
    if not 1970 <= time.year < 9999:
        raise Unsound("a receipt of no plausible time")
    told = receipt.attributes if isinstance(receipt.attributes, Mapping) else {}
    return NewReceipt(
        receipt_id, kind, time, message_id, provider_id,
        plain(receipt.detail, DETAIL_LENGTH), receipt.permanent is not False, plain(told.get("link", ""), 2000),
        carrier=plain(told.get("carrier", ""), 100),
    )  # fmt: skip


def _changes(pending: Sequence[PendingReceipt]) -> list[tuple[str, str, str, str, str]]:
    """Fold the receipts, oldest first, into one change for each message whose status moves."""
    status: dict[tuple[str, str], str] = {}
    changed: dict[tuple[str, str], tuple[str, str, str, str, str]] = {}
    for one in pending:
        key = (one.project, one.message_id)
        outcome = after_receipt(status.get(key, one.status), one.kind, permanent=one.permanent, detail=one.detail)
        if outcome is not None:
            status[key] = outcome.status
            changed[key] = (*key, str(outcome.status), outcome.reason, outcome.detail)
    return list(changed.values())


def _told(pending: Sequence[PendingReceipt]) -> list[Outgoing]:
    batches: dict[tuple[str, str], list[PendingReceipt]] = {}
    for one in pending:
        batches.setdefault((one.project, one.batch_id), []).append(one)
    told = []
    for (project, batch_id), receipts in batches.items():
        first = receipts[0]
        told_by_caller = extras.read(first.extras)
        message = events_pb2.MessageEventBatch(
            project=f"projects/{project}",
            source=dispatch_pb2.MessageSource(
                name=first.source_name, run_id=first.run_id, treatment_id=first.treatment_id,
                activity_id=first.activity_id,
            ),
            channel=first.channel,
            message_class=CLASS_OF_NAME[first.message_class],
            template=first.template,
            template_version=first.template_version,
            context=told_by_caller.context,
            caller_trace_id=told_by_caller.caller_trace_id,
            events=[_event(one) for one in receipts],
        )  # fmt: skip
        id = derived_id("receipts", batch_id, *sorted(f"{one.provider} {one.receipt_id}" for one in receipts))
        told.append(Outgoing(messages_subject(project), message, id, project))
    return told


def _event(one: PendingReceipt) -> events_pb2.MessageEvent:
    return events_pb2.MessageEvent(
        message_id=one.message_id,
        type=OF_RECEIPT[one.kind],
        endpoint_id=one.endpoint_id,
        user_id=one.user_id,
        reason="" if one.kind not in ("BOUNCED", "FAILED") else _bounce_reason(permanent=one.permanent),
        detail=one.detail,
        time=timestamp(one.time),
        origination=one.origination,
        part_count=one.part_count,
        ten_dlc_registration_id=one.use_case,
        link=one.link,
        user_agent=one.user_agent,
        ip_address=one.ip_address,
        carrier=one.carrier,
    )


def _bounce_reason(*, permanent: bool) -> str:
    return "FAILURE_PERMANENT" if permanent else "TRANSIENT_FAILURE"
