"""What the SMSC brings: receipts and messages of people, answered only when Heliograph has stored them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from heliograph_channel_smpp.inbound import Fragment, Reassembly, Whole, read_inbound
from heliograph_channel_smpp.pdu import Command, Malformed, Pdu, ShortMessage
from heliograph_channel_smpp.receipts import Reading, Told, is_receipt, read_receipt
from heliograph_channel_smpp.session import Session
from heliograph_channel_smpp.statuses import Status
from heliograph_channel_smpp.tracking import Tracker
from heliograph_channels import InboundMessage, Kind, ProviderContext, Receipt

__all__ = ["Intake"]

_PAGE = 500
_MOST_WAITING = 5_000
# How long a receipt may wait for the answer that tells whose it is, in seconds: SMSCs wait for us as well.
_EARLY_SECONDS = 10.0
_REPEATED_WITHIN = 600.0
_MOST_REMEMBERED = 10_000
_ATTEMPTS = 5


@dataclass(slots=True, eq=False)
class _Item:
    """One thing that came in. Without a `session` nobody waits for an answer."""

    session: Session | None
    pdu: Pdu | None
    told: Told | None = None
    whole: Whole | None = None
    fragment: Fragment | None = None
    queued: bool = False
    attempts: int = 0

    def answer(self, status: int) -> None:
        if self.session is not None and self.pdu is not None:
            self.session.answer(self.pdu, status)


class Intake:
    """Hands over what comes in, in the order it came, in pages of up to 500.

    What Heliograph does not store is answered ESME_RX_T_APPN, and the SMSC brings it again. Parts of a long text that wait
    for the others are the exception: an SMSC may send the next one only after the answer to the one before.
    """

    def __init__(self, context: ProviderContext, reading: Reading, reassembly: Reassembly, tracker: Tracker) -> None:
        """Do nothing yet."""
        self._context = context
        self._reading = reading
        self._reassembly = reassembly
        self._tracker = tracker
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Item] = deque()
        self._woken = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ids = _Ids()
        self._sweeper: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to hand over."""
        self._task = asyncio.create_task(self._work())

    def take(self, session: Session, pdu: Pdu) -> None:
        """Take a deliver_sm or data_sm. It is answered later, over the same session."""
        if self._closed or len(self._queue) + self._tracker.waiting >= _MOST_WAITING:
            session.answer(pdu, Status.ESME_RX_T_APPN)
            return
        try:
            read = ShortMessage.decode_data if pdu.command == Command.DATA_SM else ShortMessage.decode
            message = read(pdu.body)
        except Malformed as error:
            self._context.logger.warning("the SMSC brought a message that cannot be read: %s", error)
            session.answer(pdu, Status.ESME_RINVCMDLEN)
            return
        if is_receipt(message):
            self._take_receipt(session, pdu, message)
        elif message.esm_class & 0x3C in (0, 0x08, 0x10):
            self._take_inbound(session, pdu, message)
        else:  # intermediate notifications and what SMPP reserves: no news
            session.answer(pdu, Status.ESME_ROK)

    async def close(self, patience: float) -> None:
        """Hand over what there is, incomplete texts included, for up to `patience` seconds, and stop."""
        self._closed = True
        self._tracker.release_all()
        self._sweep(everything=True)
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._task is None:
            return
        try:
            async with asyncio.timeout(patience):
                await self._idle.wait()
        except TimeoutError:
            self._context.logger.warning("%d receipts and messages were not stored in time", len(self._queue))
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    def _take_receipt(self, session: Session, pdu: Pdu, message: ShortMessage) -> None:
        told = read_receipt(message, self._reading)
        if told is None:
            # Bringing it again would not make it better.
            self._context.logger.warning("the SMSC brought a receipt that names no message or no state")
            session.answer(pdu, Status.ESME_ROK)
            return
        item = _Item(session, pdu, told)

        def go_on() -> None:
            self._put(item)

        if self._tracker.wait(told.provider_message_id, go_on):
            self._loop.call_later(_EARLY_SECONDS, go_on)
        else:
            self._put(item)

    def _take_inbound(self, session: Session, pdu: Pdu, message: ShortMessage) -> None:
        fragment = read_inbound(message, self._reading.default_alphabet)
        whole = self._reassembly.add(fragment, self._loop.time())
        if whole is None:
            session.answer(pdu, Status.ESME_ROK)
            self._sweep()
        else:
            self._put(_Item(session, pdu, whole=whole, fragment=fragment))

    def _put(self, item: _Item) -> None:
        if item.queued:
            return
        item.queued = True
        self._queue.append(item)
        self._idle.clear()
        self._woken.set()

    async def _work(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._queue:
                page = [self._queue.popleft() for _ in range(min(_PAGE, len(self._queue)))]
                await self._hand_receipts([item for item in page if item.told is not None])
                await self._hand_messages([item for item in page if item.whole is not None])
            self._idle.set()

    async def _hand_receipts(self, items: list[_Item]) -> None:
        if not items:
            return
        now = self._context.now()
        found = [self._tracker.receipt(item.told, now) for item in items if item.told is not None]
        receipts: list[Receipt] = [receipt for receipt in found if receipt is not None]
        status = Status.ESME_ROK
        if receipts:
            try:
                await self._context.report(receipts)
            except Exception as error:
                status = Status.ESME_RX_T_APPN
                self._context.logger.warning("%d receipts were not stored: %s", len(receipts), type(error).__name__)
        for item, receipt in zip(items, found, strict=True):
            item.answer(Status.ESME_ROK if receipt is None else status)

    async def _hand_messages(self, items: list[_Item]) -> None:
        if not items:
            return
        now = self._context.now()
        wholes = [item.whole for item in items if item.whole is not None]
        ids = [self._ids.of(whole.digest, self._loop.time(), now) for whole in wholes]
        messages = [
            InboundMessage(id, Kind.SMS, whole.origination, whole.destination, whole.body, now, (), whole.attributes)
            for id, whole in zip(ids, wholes, strict=True)
        ]
        try:
            await self._context.deliver(messages)
        except Exception as error:
            self._context.logger.warning("%d messages were not stored: %s", len(messages), type(error).__name__)
            for id, item, whole in zip(ids, items, wholes, strict=True):
                self._ids.remember(whole.digest, id, None, self._loop.time())
                if item.fragment is not None:
                    self._reassembly.refused(item.fragment)
                item.answer(Status.ESME_RX_T_APPN)
                self._try_again(item)
            return
        for id, item, whole in zip(ids, items, wholes, strict=True):
            self._ids.remember(whole.digest, id, item.session, self._loop.time())
            if item.fragment is not None:
                self._reassembly.done(item.fragment)
            item.answer(Status.ESME_ROK)

    def _try_again(self, item: _Item) -> None:
        """Of what nobody will bring again, try a few times."""
        if item.session is not None or self._closed:
            return
        item.attempts += 1
        if item.attempts >= _ATTEMPTS:
            self._context.logger.error("an incomplete message is lost after %d attempts to store it", item.attempts)
            return
        item.queued = False
        self._loop.call_later(2.0**item.attempts, self._put, item)

    def _sweep(self, *, everything: bool = False) -> None:
        for whole in self._reassembly.overdue(self._loop.time(), everything=everything):
            self._put(_Item(None, None, whole=whole))
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._sweeper = self._loop.call_later(1.0, self._sweep) if len(self._reassembly) and not self._closed else None


class _Ids:
    """Names for inbound messages, as SMPP has none: the same when the SMSC brings one again, another for the next.

    A message comes again when it was refused, or when its answer may have been lost with the session it went over.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[str, Callable[[], bool], float]] = OrderedDict()
        self._count = 0

    def of(self, digest: str, clock: float, now: datetime) -> str:
        """Return the id of the message with this digest at `clock` (seconds of the loop), `now` by the calendar."""
        known = self._known.get(digest)
        if known is not None and clock - known[2] < _REPEATED_WITHIN and known[1]():
            return known[0]
        self._count += 1
        seed = f"{digest} {now.isoformat()} {self._count}"
        return hashlib.blake2b(seed.encode(), digest_size=16).hexdigest()

    def remember(self, digest: str, id: str, session: Session | None, clock: float) -> None:
        """Remember the id. With a session the message was stored and is answered there; without, it was refused."""
        self._known[digest] = (id, (lambda: session.lost is not None) if session else lambda: True, clock)
        self._known.move_to_end(digest)
        while len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
