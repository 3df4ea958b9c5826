"""What people write to our numbers: keywords are obeyed and answered, and two-way numbers tell what came in (pinpoint-2 2.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import dispatch_pb2, origination_pb2, two_way_pb2
from heliograph.segments.v1 import audience_pb2
from heliograph_channels import ReceiptKind, phone_problem
from heliograph_kit.clock import Clock
from heliograph_kit.ids import derived_id
from heliograph_kit.instants import timestamp
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_kit.streams import changes_subject, dispatch_subject
from heliograph_messaging.domain.keywords import Action, Keyword, Understood, understand
from heliograph_messaging.pipeline.page import MAX_RECIPIENTS
from heliograph_messaging.store.conversations import ConversationStore
from heliograph_messaging.store.keywords import NUMBER, POOL, KeywordStore, Owner
from heliograph_messaging.store.opt_outs import OptOutStore
from heliograph_messaging.store.originations import OriginationStore, StoredOrigination
from heliograph_messaging.store.receipts import NewReceipt, ReceiptStore

BY = "messaging"
_MAX_BODY = 1600
_EVENT_BYTES = 1024 * 1024


class InboundSms(Protocol):
    """A message as it is stored; with project and provider `inbound_id` is unique."""

    @property
    def inbound_id(self) -> str:
        """The provider's id."""
        ...

    @property
    def channel(self) -> str:
        """The kind of channel; only `SMS` means anything here."""
        ...

    @property
    def origination(self) -> str:
        """The person's address."""
        ...

    @property
    def destination(self) -> str:
        """Ours."""
        ...

    @property
    def body(self) -> str:
        """What the person wrote."""
        ...

    @property
    def time(self) -> datetime:
        """When, as the provider says."""
        ...


@dataclass(frozen=True)
class _Heard:
    """A message to one of our numbers, and what it means."""

    message: InboundSms
    number: StoredOrigination
    meant: Understood
    answers: str


class TwoWay:
    """Does what follows from messages to our numbers."""

    def __init__(
        self,
        originations: OriginationStore,
        keywords: KeywordStore,
        opt_outs: OptOutStore,
        conversations: ConversationStore,
        receipts: ReceiptStore,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        """Take the stores, where answers and announcements go, and the clock."""
        self._originations = originations
        self._keywords = keywords
        self._opt_outs = opt_outs
        self._conversations = conversations
        self._receipts = receipts
        self._outbox = outbox
        self._clock = clock

    async def handle_inbound(
        self, conn: AsyncConnection, project: str, provider: str, messages: Sequence[InboundSms]
    ) -> None:
        """Do what follows from messages that were just stored, in the transaction that stores them.

        Whoever calls this drops repetitions; what is answered and announced has ids of the inbound ones all the same. Messages of
        other channels and to numbers that are not the project's mean nothing.
        """
        heard = await self._heard(conn, project, messages)
        if not heard:
            return
        await self._obey(conn, project, provider, heard)
        now = self._clock.now()
        await self._answer(conn, project, provider, heard, now)
        await self._outbox.add(conn, *_told(project, provider, heard))

    async def _heard(self, conn: AsyncConnection, project: str, messages: Sequence[InboundSms]) -> list[_Heard]:
        sms = [message for message in messages if message.channel == "SMS"]
        if not sms:
            return []
        numbers = await self._originations.some(conn, project, sorted({message.destination for message in sms}))
        ours = [message for message in sms if message.destination in numbers]
        if not ours:
            return []
        owners = {name: _owner(stored) for name, stored in numbers.items()}
        keywords = await self._keywords.of_many(conn, project, sorted(set(owners.values())))
        pairs = [(message.destination, message.origination) for message in ours]
        last = await self._conversations.last(conn, project, pairs, now=self._clock.now())
        return [
            _Heard(
                message,
                numbers[message.destination],
                _meaning(message, numbers[message.destination], keywords[owners[message.destination]]),
                last.get(place, ""),
            )
            for place, message in enumerate(ours)
        ]

    async def _obey(self, conn: AsyncConnection, project: str, provider: str, heard: Sequence[_Heard]) -> None:
        """Opt out and in, in the order in which it was written."""
        ordered = sorted(
            (one for one in heard if one.meant.action in (Action.OPT_OUT, Action.OPT_IN)),
            key=lambda one: one.message.time,
        )
        final: dict[str, dict[str, _Heard]] = {}
        for one in ordered:
            final.setdefault(one.number.settings.setup.opt_out_list, {})[one.message.origination] = one
        # In one order everywhere: each list is held until the transaction ends.
        for name in sorted(final):
            last = final[name].items()
            out = {person: one.message.time for person, one in last if one.meant.action is Action.OPT_OUT}
            back = {person: one.message.time for person, one in last if one.meant.action is Action.OPT_IN}
            if out:
                await self._opt_outs.opt_out(conn, project, name, out, by=BY, end_user=True, clock=self._clock)
            if back:
                await self._opt_outs.opt_in(conn, project, name, back)
        left = [one for one in ordered if one.meant.action is Action.OPT_OUT and one.answers]
        if left:
            # As a receipt of the message that was answered, so that its campaign or journey learns of it.
            await self._receipts.store(conn, project, provider, [_opted_out(one) for one in left])

    async def _answer(
        self, conn: AsyncConnection, project: str, provider: str, heard: Sequence[_Heard], now: datetime
    ) -> None:
        """Send the replies that keywords have, through the pipeline, each once."""
        wanted = [one for one in heard if one.meant.reply and not phone_problem(one.message.origination)]
        if not wanted:
            return
        # A number of ours never answers another: that would be a talk without an end.
        ours = await self._originations.ours(conn, sorted({one.message.origination for one in wanted}))
        asked = {_asked(one): one for one in reversed(wanted) if one.message.origination not in ours}
        if not asked:
            return
        granted = await self._conversations.may_reply(conn, project, [*asked], now=now)
        alike: dict[tuple[str, str], list[_Heard]] = {}
        for number, person, keyword in sorted(granted):
            alike.setdefault((number, keyword), []).append(asked[number, person, keyword])
        subject = dispatch_subject("transactional", project)
        batches = [
            _reply(project, provider, group[start : start + MAX_RECIPIENTS])
            for group in alike.values()
            for start in range(0, len(group), MAX_RECIPIENTS)
        ]
        await self._outbox.add(conn, *(Outgoing(subject, batch, batch.batch_id, project) for batch in batches))


def _owner(number: StoredOrigination) -> Owner:
    pool = number.settings.pool
    return Owner(POOL, pool) if pool else Owner(NUMBER, number.number)


def _meaning(message: InboundSms, number: StoredOrigination, keywords: Mapping[str, Keyword]) -> Understood:
    setup = number.settings.setup
    return understand(
        message.body,
        # Where the owner looks after opt-outs, only what he set up is answered.
        keywords=keywords if setup.self_managed_opt_outs else {**number.registered_keywords, **keywords},
        toll_free=number.kind == "TOLL_FREE",
        self_managed=setup.self_managed_opt_outs,
    )


def _asked(one: _Heard) -> tuple[str, str, str]:
    return one.message.destination, one.message.origination, one.meant.keyword


def _opted_out(one: _Heard) -> NewReceipt:
    return NewReceipt(
        derived_id("opted out", one.message.inbound_id), str(ReceiptKind.OPTED_OUT), one.message.time, one.answers, "",
        one.meant.keyword, True, "",
    )  # fmt: skip


def _reply(project: str, provider: str, alike: Sequence[_Heard]) -> dispatch_pb2.DispatchBatch:
    """Return the answer to a keyword of one number as a batch to all who sent it; the same for the same inbound messages."""
    first = alike[0]
    run_id = derived_id("automatic reply", project, provider, *sorted(one.message.inbound_id for one in alike))
    return dispatch_pb2.DispatchBatch(
        batch_id=derived_id("batch", run_id),
        project=f"projects/{project}",
        message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL,
        source=dispatch_pb2.MessageSource(run_id=run_id),
        channel="SMS",
        # A reply is no template: what looks like a variable in it is text.
        content=dispatch_pb2.MessageContent(sms_body="{{{reply}}}", origination_number=first.message.destination),
        recipients=audience_pb2.MemberPage(
            channels=["SMS"] * len(alike), addresses=[one.message.origination for one in alike]
        ),
        substitutions={"reply": first.meant.reply},
        automatic_reply=True,
    )


def _told(project: str, provider: str, heard: Sequence[_Heard]) -> list[Outgoing]:
    events: list[two_way_pb2.TwoWayReceived] = []
    size = _EVENT_BYTES
    for one in heard:
        if not one.number.settings.setup.two_way:
            continue
        event = _event(one)
        size += event.ByteSize()
        if size > _EVENT_BYTES:
            events.append(two_way_pb2.TwoWayReceived(project=f"projects/{project}", provider=provider))
            size = event.ByteSize()
        events[-1].messages.append(event)
    subject = changes_subject("messaging", project, "two_way_received")
    return [
        Outgoing(
            subject,
            event,
            derived_id("two way", project, provider, *(m.inbound_message_id for m in event.messages)),
            project,
        )
        for event in events
    ]


def _event(one: _Heard) -> two_way_pb2.TwoWayMessage:
    action = origination_pb2.KEYWORD_ACTION_UNSPECIFIED
    if one.meant.action is not None:
        action = origination_pb2.KeywordAction.Value(f"KEYWORD_ACTION_{one.meant.action}")
    return two_way_pb2.TwoWayMessage(
        inbound_message_id=one.message.inbound_id,
        origination_number=one.message.origination,
        destination_number=one.message.destination,
        message_keyword=one.meant.keyword,
        keyword_action=action,
        message_body=one.message.body[:_MAX_BODY],
        previous_published_message_id=one.answers,
        time=timestamp(one.message.time),
        ten_dlc_registration_id=one.number.use_case,
    )
