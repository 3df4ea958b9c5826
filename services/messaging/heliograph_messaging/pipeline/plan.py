"""What is to be done with each recipient of a batch: a ledger row, and a rendered message for those who get one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, cast

from heliograph.messaging.v1 import dispatch_pb2
from heliograph_channels import (
    SIMULATOR_NUMBERS,
    Content,
    CustomContent,
    EmailContent,
    Kind,
    MessageClass,
    OutgoingMessage,
    PushContent,
    SmsContent,
)
from heliograph_channels.parts import measure
from heliograph_kit.ids import derived_id, derived_ids
from heliograph_messaging.content import Prepared
from heliograph_messaging.domain.countries import Prices
from heliograph_messaging.domain.filled import CannotSend, one_click
from heliograph_messaging.domain.handlebars import Occasion
from heliograph_messaging.domain.links import Rewriting
from heliograph_messaging.domain.origination import Choice, Originations
from heliograph_messaging.domain.outcomes import DETAIL_LENGTH, Status
from heliograph_messaging.domain.recipients import Recipients, same_address, skip_reasons
from heliograph_messaging.domain.tracking import Signer
from heliograph_messaging.events import CLASSES
from heliograph_messaging.pipeline.lanes import Lane, Lanes
from heliograph_messaging.pipeline.page import Values
from heliograph_messaging.pipeline.rendering import Rendering, correlation, owner_of
from heliograph_messaging.pipeline.simulated import ROUTE, leaves
from heliograph_messaging.regions import country_of
from heliograph_messaging.store.records import Row

_PORTION = 50
"""Recipients decided about between two rests: half a millisecond of work."""


@dataclass(frozen=True)
class Problem:
    """Why nothing of a batch can be sent: a reason of pinpoint-1 4.5 and words for people."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Setup:
    """How a batch is sent: content, ways out, sender address and numbers, as they are when it is worked on.

    `rewriting` puts tracked links into each e-mail; None: they stay as they are. `signer` makes the address where the
    recipient of an e-mail opts out; None when the installation is not reached from outside.
    """

    content: Prepared
    lanes: Lanes
    from_address: str
    originations: Originations | None
    prices: Prices = field(default_factory=Prices)
    honour_opt_out: bool = False
    """Whether direct sends, too, pass over endpoints that opted out."""
    rewriting: Rewriting | None = None
    signer: Signer | None = None


@dataclass(frozen=True)
class Plan:
    """One row for each recipient, and by position messages and ways out of those with status CLAIMED."""

    rows: Sequence[Row]
    messages: Mapping[int, OutgoingMessage]
    lanes: Mapping[int, Lane]


def message_id(run_id: str, activity_id: str, recipient: str, occurrence: int) -> str:
    """Return the id of one message; `recipient` is an endpoint id, or what stands in for it."""
    return derived_id(run_id, activity_id, recipient, str(occurrence))


def message_ids(batch: dispatch_pb2.DispatchBatch, recipients: Recipients) -> list[str]:
    """Return the ids of a batch's messages: the same each time for the same run, activity, endpoint and occurrence.

    A bare address of a direct send stands in for the endpoint it does not have.
    """
    source = batch.source
    # An e-mail address is never a number; what any other channel calls an address may be both.
    bare = "address" if batch.channel in ("EMAIL", "SMS") else f"address:{batch.channel}"
    who = (
        endpoint_id or f"{bare}:{address}"
        for endpoint_id, address in zip(recipients.endpoint_ids, recipients.addresses, strict=True)
    )
    return derived_ids((source.run_id, source.activity_id), who, (str(batch.occurrence),))


def addresses_to_check(
    batch: dispatch_pb2.DispatchBatch,
    recipients: Recipients,
    setup: Setup,
    *,
    now: datetime,
    erased: frozenset[int] = frozenset(),
) -> list[tuple[Lane, dict[int, str]]]:
    """Return by lane and position the addresses that plugins are to be asked about. Pure.

    None of anybody who gets nothing anyway; and a plugin that is away is asked when it is there again.
    """
    gone, push = _positions(batch, erased), batch.channel == Kind.PUSH
    asked: dict[str, tuple[Lane, dict[int, str]]] = {}
    for position, skip in enumerate(_skips(batch, recipients, now, honour_opt_out=setup.honour_opt_out)):
        if skip or position in gone:
            continue
        lane = setup.lanes.of(recipients.channels[position] if push else "")
        if lane is not None and lane.opened is not None:
            asked.setdefault(lane.route, (lane, {}))[1][position] = recipients.addresses[position]
    return list(asked.values())


async def make_plan(
    batch: dispatch_pb2.DispatchBatch,
    recipients: Recipients,
    setup: Setup | Problem,
    *,
    now: datetime,
    rest: Callable[[], Awaitable[None]],
    erased: frozenset[int] = frozenset(),
    patient: bool = True,
    bad_addresses: Mapping[int, str] | None = None,
) -> Plan:
    """Decide about every recipient of a batch, `erased` ordinals among them. Pure, but for its rests.

    `patient`: recipients whose provider is away wait for it; otherwise they fail. `bad_addresses` is what plugins say
    against those of `addresses_to_check`, by position. `rest` is awaited between portions of about a millisecond.
    """
    planner = _Planner(batch, recipients, setup, now, patient=patient, bad_addresses=bad_addresses or {})
    gone = _positions(batch, erased)
    rows: list[Row] = []
    for start in range(0, len(recipients), _PORTION):
        await rest()
        rows += [
            planner.erased(position) if position in gone else planner.row(position)
            for position in range(start, min(start + _PORTION, len(recipients)))
        ]
    return Plan(rows, planner.messages, planner.lanes)


def _positions(batch: dispatch_pb2.DispatchBatch, erased: frozenset[int]) -> set[int]:
    return {position for position, ordinal in enumerate(batch.recipients.ordinals) if ordinal in erased}


def _skips(
    batch: dispatch_pb2.DispatchBatch, recipients: Recipients, now: datetime, *, honour_opt_out: bool = False
) -> Sequence[str]:
    expires = batch.expire_time.ToDatetime(UTC) if batch.HasField("expire_time") else None
    reaches_opted_out = batch.message_class == dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL and not honour_opt_out
    return skip_reasons(
        recipients, channel=batch.channel, transactional=reaches_opted_out, expire_time=expires, now=now
    )


class _Planner:
    def __init__(
        self,
        batch: dispatch_pb2.DispatchBatch,
        recipients: Recipients,
        setup: Setup | Problem,
        now: datetime,
        *,
        patient: bool,
        bad_addresses: Mapping[int, str],
    ) -> None:
        self._recipients = recipients
        self._bad_addresses = bad_addresses
        self._patient = patient
        self._now = now
        self._setup = setup
        self._channel = batch.channel
        self.messages: dict[int, OutgoingMessage] = {}
        self.lanes: dict[int, Lane] = {}
        self._ids = message_ids(batch, recipients)
        honour = isinstance(setup, Setup) and setup.honour_opt_out
        self._skips = _skips(batch, recipients, now, honour_opt_out=honour)
        source = batch.source
        self._scope = (source.run_id, source.activity_id, str(batch.occurrence), batch.channel)
        self._address_keys = derived_ids(
            self._scope, [same_address(batch.channel, address) for address in recipients.addresses]
        )
        self._class = cast(MessageClass, CLASSES[batch.message_class])
        self._attributes = {
            "source": source.name, "run_id": source.run_id, "treatment_id": source.treatment_id,
            "activity_id": source.activity_id, **owner_of(source),
        }  # fmt: skip
        if batch.caller_trace_id:
            self._attributes["trace_id"] = batch.caller_trace_id
        self._attributes.update((f"context.{name}", value) for name, value in batch.context.items())
        self._correlation = correlation(source)
        if isinstance(setup, Setup):
            self._kind = Kind(batch.channel)
            self._leaves_from = Choice(setup.from_address)
            values = Values(batch, recipients, setup.content.defaults)
            # One for each kind of device among the recipients of a notification, else the same for all.
            self._renderings: dict[str, Rendering | None]
            if self._kind is Kind.PUSH:
                devices = {one: setup.content.on(one) for one in set(recipients.channels)}
                self._renderings = {
                    one: None if content is None else Rendering(content, values) for one, content in devices.items()
                }
            else:
                self._renderings = dict.fromkeys(recipients.channels, Rendering(setup.content, values))
            self._paths = [column.path for column in batch.recipients.columns] if self._kind is Kind.CUSTOM else []
            self._custom = [values.column_of(path) for path in self._paths]

    def row(self, position: int) -> Row:
        """Return the row of one recipient, and note its message."""
        if skip := self._skips[position]:
            return self._closed(position, Status.SKIPPED, skip, "")
        setup = self._setup
        if isinstance(setup, Problem):
            return self._closed(position, Status.FAILED, setup.reason, setup.detail)
        address = self._recipients.addresses[position]
        platform = self._recipients.channels[position] if self._kind is Kind.PUSH else ""
        country = country_of(address) if setup.originations is not None else ""
        choice = self._leaves_from
        if setup.originations is not None:
            choice = setup.originations.choose(address, country=country, simulated=address in SIMULATOR_NUMBERS)
        lane = setup.lanes.of(platform) if choice.route is None else setup.lanes.named(choice.route)
        if lane is not None and self._kind is Kind.SMS and leaves(lane, address):
            lane = setup.lanes.named(ROUTE)
        if lane is None or lane.provider is None:
            told = lane.away if lane is not None else f"no provider of this channel reaches {platform}"
            return self._closed(position, Status.FAILED, "UNSUPPORTED_CHANNEL", told)
        if lane.opened is None and not self._patient:
            return self._closed(position, Status.FAILED, "TRANSIENT_FAILURE", lane.away)
        if bad := self._bad_addresses.get(position):
            return self._failed(position, f"the address {bad}", choice)
        try:
            content = self._content(position, setup)
        except CannotSend as problem:
            return self._failed(position, str(problem), choice)
        parts = 0
        if isinstance(content, SmsContent):
            size = measure(content.body)
            if size.too_long or not size.parts:
                words = f"the text is {'too long' if size.parts else 'empty'} for an SMS"
                return self._failed(position, words, choice)
            parts = size.parts
            content = _of_type(content, choice.message_type)
        if choice.problem:
            return self._failed(position, choice.problem, choice)
        cost = setup.prices.of(country, parts) if parts else 0
        endpoint_id, message_id = self._recipients.endpoint_ids[position], self._ids[position]
        self.lanes[position] = lane
        self.messages[position] = OutgoingMessage(
            message_id, self._kind, address, content, self._class, choice.origination,
            {**self._attributes, "endpoint_id": endpoint_id}, platform,
        )  # fmt: skip
        return Row(
            message_id, position, endpoint_id, self._recipients.user_ids[position], address,
            self._address_keys[position],
            Status.CLAIMED, "", "", choice.origination, choice.use_case, parts, None, cost,
        )  # fmt: skip

    def _content(self, position: int, setup: Setup) -> Content:
        """Return what one recipient is told.

        Raises:
            CannotSend: nothing can be told him; the text says why.
        """
        rendering = self._renderings[self._recipients.channels[position]]
        if rendering is None:
            raise CannotSend(f"there is nothing to say to endpoints of {self._recipients.channels[position]}")
        content = rendering.content(position, Occasion(self._now, self._ids[position]))
        if isinstance(content, PushContent):
            return replace(content, correlation=self._correlation)
        if isinstance(content, CustomContent):
            return replace(content, endpoint=self._endpoint(position))
        return _linked(content, setup, self._ids[position]) if isinstance(content, EmailContent) else content

    def erased(self, position: int) -> Row:
        """Return the row of somebody whose user was erased: it is counted, and says nothing of him."""
        return Row(
            self._ids[position], position, "", "", "", "", Status.SKIPPED, "ENDPOINT_ERASED", "", "", "", 0, None
        )

    def _failed(self, position: int, detail: str, choice: Choice) -> Row:
        # It left from nowhere, but whoever looks after the use case it would have left under wants to know of it.
        return self._closed(position, Status.FAILED, "FAILURE_PERMANENT", detail)._replace(use_case=choice.use_case)

    def _closed(self, position: int, status: Status, reason: str, detail: str) -> Row:
        page = self._recipients
        return Row(
            self._ids[position], position, page.endpoint_ids[position], page.user_ids[position],
            page.addresses[position], "", status, reason, detail[:DETAIL_LENGTH], "", "", 0, None,
        )  # fmt: skip

    def _endpoint(self, position: int) -> dict[str, object]:
        page = self._recipients
        fields: dict[str, object] = {
            "Id": page.endpoint_ids[position],
            "Address": page.addresses[position],
            "ChannelType": page.channels[position],
            "User": {"UserId": page.user_ids[position]},
        }
        for path, column in zip(self._paths, self._custom, strict=True):
            if column[position]:
                fields[path] = list(column[position])
        return fields


def _of_type(content: SmsContent, message_type: str) -> SmsContent:
    """Return the content as the number carries it."""
    kind = cast(Literal["TRANSACTIONAL", "PROMOTIONAL"], message_type)
    return content if content.message_type == kind else replace(content, message_type=kind)


def _linked(content: EmailContent, setup: Setup, message_id: str) -> EmailContent:
    """Return an e-mail with the links that lead back to its message."""
    if setup.rewriting is not None and content.html:
        content = replace(content, html=setup.rewriting.html(content.html, message_id))
    if setup.content.one_click and setup.signer is not None:
        link = one_click(setup.signer.unsubscribe_url(message_id))
        content = replace(content, headers={**content.headers, **link})
    return content
