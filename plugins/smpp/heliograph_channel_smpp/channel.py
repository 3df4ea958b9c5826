"""The sms-smpp channel: what it is, and one project's sessions."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, cast

from heliograph_channel_smpp.composing import Style, compose
from heliograph_channel_smpp.inbound import Reassembly
from heliograph_channel_smpp.intake import Intake
from heliograph_channel_smpp.links import Account, Links, NoSession, Role
from heliograph_channel_smpp.pdu import Command
from heliograph_channel_smpp.session import NoAnswer, NotTaken
from heliograph_channel_smpp.settings import SCHEMA, reading_of, settings_problems, timing_of
from heliograph_channel_smpp.submission import Prepared, Submission
from heliograph_channel_smpp.tracking import Tracker
from heliograph_channels import (
    Capabilities,
    ChannelProvider,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Sender,
    SendResult,
    Unknown,
    with_defaults,
)

__all__ = ["SmppChannel", "SmppSender"]

_PATIENCE = 3.0
_HEALTH_SECONDS = 5.0


class SmppChannel(ChannelProvider):
    """Text messages over SMPP 3.4. The SMSC takes no idempotency key: what it did not answer is unknown."""

    name = "sms-smpp"
    kinds = frozenset({Kind.SMS})
    capabilities = Capabilities(batch_size=100, concurrency=16, receipts=True, inbound=True, listens=True)
    settings_schema = SCHEMA

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema and the rules between fields."""
        return settings_problems(settings)

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """A transmitter hears nothing, and receipts can be left out."""
        hears = settings.get("bind") != "transmitter"
        receipts = hears and settings.get("receipts") != "none"
        return Capabilities(batch_size=100, concurrency=16, receipts=receipts, inbound=hears, listens=hears)

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> SmppSender:
        """Read the certificates and begin to bind.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        return SmppSender(with_defaults(self.settings_schema, settings), context)


class SmppSender(Sender):
    """One project's sessions with its SMSC."""

    def __init__(self, settings: Mapping[str, object], context: ProviderContext) -> None:
        """Take complete settings and begin to bind.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        values = cast("Mapping[str, Any]", settings)
        self._account = Account(
            host=values["host"],
            port=values["port"],
            tls=ssl.create_default_context(cafile=values.get("ca_file")) if values["security"] == "tls" else None,
            system_id=values["system_id"],
            password=values["password"],
            system_type=values["system_type"],
            address_range=values["address_range"],
            connect_timeout=values["connect_timeout"],
            longest_pause=values["reconnect_seconds"],
            timing=timing_of(settings),
        )
        reading, tracker = reading_of(settings), Tracker()
        reassembly = Reassembly(most=values["reassembly_messages"], seconds=values["reassembly_seconds"])
        self._style = Style.of(settings)
        self._intake = Intake(context, reading, reassembly, tracker)
        self._links = Links(
            self._account,
            _roles(values["bind"], values["connections"]),
            incoming=self._intake.take,
            jitter=random.random,
            logger=context.logger,
        )
        self._submission = Submission(
            self._links,
            tracker,
            id_form=reading.response_id,
            throttling=frozenset(values["throttling_statuses"]),
            throttle_seconds=values["throttle_seconds"],
            part_patience=values["part_patience"],
        )
        self._at_once: int = values["connections"] * values["window"]
        self._intake.start()
        self._links.start()

    def __repr__(self) -> str:
        """Name the SMSC only."""
        return f"<SmppSender of {self._account!r}>"

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Write every message, then submit as many at once as the windows hold."""
        results: list[SendResult | None] = [None] * len(messages)
        waiting: list[tuple[int, Prepared]] = []
        for place, message in enumerate(messages):
            composed = compose(message, self._style)
            if isinstance(composed, Prepared):
                waiting.append((place, composed))
            else:
                results[place] = composed
        todo = iter(waiting)

        async def work() -> None:
            for place, prepared in todo:
                results[place] = await self._submission.send(prepared)

        workers = min(self._at_once, len(waiting))
        if workers == 1:
            await work()
        elif workers:
            await asyncio.gather(*(work() for _ in range(workers)))
        return [result if result is not None else Unknown("the batch was interrupted") for result in results]

    async def health(self) -> Health:
        """Ask the SMSC whether it is there (enquire_link); all connections have to be bound."""
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                session = self._links.bound()
                if session is None:  # it may be about to
                    session = await self._links.slot()
                    session.give_back()
                await session.request(Command.ENQUIRE_LINK)
        except NoSession as error:
            return Health(False, error.result.detail)
        except (NotTaken, NoAnswer) as error:
            return Health(False, str(error))
        except TimeoutError:
            return Health(False, f"no answer within {_HEALTH_SECONDS:g} s")
        bound = sum(link.session is not None for link in self._links.all)
        return Health(bound == len(self._links.all), f"{bound} of {len(self._links.all)} connections are bound")

    async def close(self) -> None:
        """Let answers come and store what came in, each for up to 3 s, then unbind."""
        await self._intake.close(_PATIENCE)
        await self._links.close(_PATIENCE)


def _roles(bind: str, connections: int) -> list[Role]:
    if bind == "transceiver":
        return ["transceiver"] * connections
    senders: list[Role] = ["transmitter"] * connections
    return [*senders, "receiver"] if bind == "pair" else senders
