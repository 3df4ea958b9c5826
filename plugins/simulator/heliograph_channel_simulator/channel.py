"""The simulator channel: every kind of message, no network."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from heliograph_channel_simulator.carriers import CARRIER_SETTINGS, CarrierRules, Counts, carrier_problems
from heliograph_channel_simulator.journal import Journal
from heliograph_channel_simulator.ledger import CarrierLedger
from heliograph_channel_simulator.receipts import Postman
from heliograph_channel_simulator.script import Answer, Fate, Follow, Script
from heliograph_channels import (
    SIMULATOR_NUMBERS,
    Accepted,
    Capabilities,
    ChannelProvider,
    CustomContent,
    EmailContent,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    PushContent,
    ReceiptKind,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
    SmsContent,
    Unknown,
    Unsupported,
    VoiceContent,
    address_problem,
)
from heliograph_channels.parts import measure

__all__ = ["SimulatorChannel"]

_CONTENT = {
    Kind.EMAIL: (EmailContent,),
    Kind.SMS: (SmsContent,),
    Kind.PUSH: (PushContent,),
    Kind.VOICE: (VoiceContent,),
    Kind.CUSTOM: (CustomContent,),
    Kind.IN_APP: (CustomContent,),
}
_CLOSED = Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="the channel is closed")


def _share(description: str, default: float = 0.0) -> dict[str, object]:
    return {"type": "number", "minimum": 0, "maximum": 1, "default": default, "description": description}


def _seconds(description: str) -> dict[str, object]:
    return {"type": "number", "minimum": 0, "default": 0, "description": description + " Seconds."}


SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "seed": {"type": "string", "default": "heliograph", "description": "Another seed deals other outcomes."},
        "choose_by": {
            "type": "string",
            "enum": ["message", "address"],
            "default": "message",
            "description": "Whether a message's id or its address decides: by address, a person always fares the same.",
        },
        "reject_share": _share("Share of all messages that are rejected."),
        "reject_reasons": {
            "type": "array",
            "items": {"type": "string", "enum": [str(reason) for reason in RejectReason]},
            "minItems": 1,
            "default": ["INVALID_ADDRESS"],
            "description": "Reasons the rejected messages get, in equal shares.",
        },
        "reject_retryable_share": _share("Share of the rejected messages that may be sent again."),
        "unknown_share": _share("Share of all messages whose answer gets lost."),
        "unknown_arrived_share": _share("Share of those that did arrive.", 0.5),
        "delivered_share": _share("Share of the arrived messages that are delivered.", 1.0),
        "bounced_share": _share("Share of the arrived messages that bounce."),
        "soft_bounce_share": _share("Share of the bounces that are soft."),
        "complained_share": _share("Share of the delivered messages that are complained about."),
        "opened_share": _share("Share of the delivered messages that are opened."),
        "clicked_share": _share("Share of the opened messages in which a link is clicked."),
        "opted_out_share": _share("Share of the delivered messages answered by opting out."),
        "delivered_delay": _seconds("From the send to the delivery."),
        "bounced_delay": _seconds("From the send to the bounce."),
        "complained_delay": _seconds("From the delivery to the complaint."),
        "opened_delay": _seconds("From the delivery to the opening."),
        "clicked_delay": _seconds("From the opening to the click."),
        "opted_out_delay": _seconds("From the delivery to the opt-out."),
        "latency": _seconds("How long the answer to a batch takes."),
        "idempotent": {
            "type": "boolean",
            "default": False,
            "description": "Whether a message id sent a second time is answered as the first time and not taken twice.",
        },
        "journal_path": {
            "type": "string",
            "minLength": 1,
            "description": "File that gets one JSON line for every message the simulated provider took.",
        },
        **CARRIER_SETTINGS,
    },
}


class SimulatorChannel(ChannelProvider):
    """Accepts, rejects and reports as its settings say. Nothing leaves the process."""

    name = "simulator"
    kinds = frozenset(Kind)
    capabilities = Capabilities(batch_size=1000, concurrency=64, idempotency_key=False, receipts=True)
    settings_schema = SCHEMA

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Promise idempotency when the settings ask for it."""
        return replace(self.capabilities, idempotency_key=bool(settings.get("idempotent", False)))

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, that shares of one whole do not sum to more than 1, and that carriers do not contradict themselves."""
        problems = list(super().check_settings(settings))
        if not problems:
            for first, second, default in (
                ("reject_share", "unknown_share", 0.0),
                ("delivered_share", "bounced_share", 1.0),
            ):
                total = cast(float, settings.get(first, default)) + cast(float, settings.get(second, 0.0))
                if total > 1:
                    problems.append(Problem(second, f"together with {first} must be at most 1"))
            problems += carrier_problems(settings)
        return problems

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> SimulatorSender:
        """Open the journal, if there is one; otherwise nothing can fail."""
        return SimulatorSender(settings, context)


class SimulatorSender(Sender):
    """One project's simulated provider account."""

    def __init__(self, settings: Mapping[str, object], context: ProviderContext) -> None:
        """Open the journal named in checked settings, and what the carriers count in beside it.

        Raises:
            OSError: one of them cannot be opened.
        """
        self._script = Script.of(settings)
        self._plain = self._script.plain_fate() if self._script.is_plain else None
        self._latency = cast(float, settings.get("latency", 0.0))
        self._idempotent = bool(settings.get("idempotent", False))
        path = settings.get("journal_path")
        self._journal = Journal(Path(str(path)), remember=self._idempotent) if path else None
        self._carriers = CarrierRules.of(settings)
        self._ledger = CarrierLedger(Path(f"{path}.carriers") if path and self._carriers else None)
        self._known: set[str] = set()  # without a journal, idempotent lasts as long as the sender
        self._lost: set[str] = set()
        self._now = context.now
        self._postman = Postman(context)
        self._run = f"{time.time_ns():x}"
        self._number = itertools.count()
        self._closed = False

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Decide every message by the script, write the journal, then answer."""
        if self._latency:
            await asyncio.sleep(self._latency)
        if self._closed:
            return [_CLOSED] * len(messages)
        with self._ledger.exclusive() as counts:
            if self._journal is None:
                return self._take(messages, self._known, counts)
            with self._journal.exclusive() as known:
                return self._take(messages, known, counts)

    async def health(self) -> Health:
        """Be well until closed."""
        return Health(not self._closed, "closed" if self._closed else "simulated")

    async def close(self) -> None:
        """Stop reporting receipts (those not yet due are dropped) and close the journal."""
        self._closed = True
        await self._postman.close()
        if self._journal is not None:
            self._journal.close()
        self._ledger.close()

    def _take(self, messages: Sequence[OutgoingMessage], known: set[str], counts: Counts) -> list[SendResult]:
        results: list[SendResult] = []
        taken: list[tuple[OutgoingMessage, str]] = []
        arrived: list[tuple[str, str, tuple[Follow, ...]]] = []
        for message in messages:
            message_id = message.message_id
            if self._idempotent and message_id in known:
                results.append(Accepted(f"sim-{message_id}"))
                continue
            fate = self._fate(message)
            if isinstance(fate, Unsupported | Rejected):
                results.append(fate)
                continue
            provider_id = f"sim-{message_id}"
            if not self._idempotent:  # such a provider makes a new message, with a new id, each time it is asked
                provider_id += f"-{self._run}-{next(self._number)}"
            if fate.answer is Answer.REJECT:
                results.append(Rejected(fate.reason, fate.retryable, "rejected (simulated)"))
                continue
            results.append(Accepted(provider_id) if fate.answer is Answer.ACCEPT else Unknown("no answer (simulated)"))
            if fate.arrived:
                taken.append((message, fate.answer.value))
                if self._idempotent:
                    known.add(message_id)
                if follows := self._follows(message, fate, counts):
                    arrived.append((message_id, provider_id, follows))
        if taken and self._journal is not None:
            self._journal.append(taken, self._now())
        if arrived:
            self._postman.expect(arrived)
        return results

    def _follows(self, message: OutgoingMessage, fate: Fate, counts: Counts) -> tuple[Follow, ...]:
        """Let the recipient's carrier have its say in what follows; simulator numbers have none."""
        content = message.content
        if self._carriers is None or not isinstance(content, SmsContent) or message.address in SIMULATOR_NUMBERS:
            return fate.follows
        refusal = self._carriers.refusal(
            counts,
            origination=message.origination,
            number=message.address,
            body=content.body,
            parts=max(1, measure(content.body).parts),
            now=self._now(),
        )
        if refusal is None:
            return fate.follows
        return (Follow(ReceiptKind.FAILED, self._script.bounced_delay, permanent=False, detail=refusal),)

    def _fate(self, message: OutgoingMessage) -> Fate | Unsupported | Rejected:
        if not isinstance(message.content, _CONTENT[message.kind]):
            return Unsupported(f"{type(message.content).__name__} over {message.kind}")
        if problem := address_problem(message.kind, message.address):
            return Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail=f"the address {problem}")
        fate = self._script.fixed_fate(message.address) or self._plain or self._script.fate(message)
        if fate.answer is Answer.UNKNOWN and not fate.arrived and self._idempotent:
            # Asked a second time, an idempotent provider must settle the matter, or nobody could.
            if message.message_id in self._lost:
                return Fate(Answer.ACCEPT, follows=self._script.plain_fate().follows)
            self._lost.add(message.message_id)
        return fate
