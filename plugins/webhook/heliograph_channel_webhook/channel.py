"""The webhook channel: calls, their attempts, and what they lead to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, cast

from heliograph_channel_webhook.attempts import combined, of_status, pause_after
from heliograph_channel_webhook.payload import MOST_ENDPOINTS, Call, answers, endpoint_json, grouped
from heliograph_channel_webhook.settings import SCHEMA, problems
from heliograph_channels import (
    Accepted,
    Capabilities,
    ChannelProvider,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
    Unknown,
    with_defaults,
)
from heliograph_channels.destinations import Destination, Forbidden
from heliograph_channels.http_client import Answer, HttpClient, NoAnswer, NotSent, Pause
from heliograph_channels.signing import SIGNATURE, TIMESTAMP, sign

__all__ = ["ACCOUNT_HEADER", "WebhookChannel"]

ACCOUNT_HEADER = "x-amz-pinpoint-accountid"
"""What the answer to HEAD holds, in Pinpoint's words (pinpoint-1 4.8)."""
_CONNECTIONS = 16
_SHORTEST = 0.5
_HEALTH_SECONDS = 10.0

Sleep = Callable[[float], Awaitable[None]]


class WebhookChannel(ChannelProvider):
    """Calls a URL with up to 50 recipients at a time, in the shape of Pinpoint's custom channel."""

    name = "webhook"
    kinds = frozenset({Kind.CUSTOM})
    capabilities = Capabilities(batch_size=MOST_ENDPOINTS, concurrency=8)
    settings_schema = SCHEMA

    def __init__(self, *, sleep: Sleep = asyncio.sleep, jitter: Callable[[], float] = random.random) -> None:
        """Take how to wait between attempts, and the chance that spreads them."""
        self._sleep = sleep
        self._jitter = jitter

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Promise idempotency when the operator says that the receiver keeps it."""
        return replace(self.capabilities, idempotency_key=settings.get("idempotent_receiver") is True)

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, the URL and the networks."""
        return [*super().check_settings(settings), *problems(settings)]

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> WebhookSender:
        """Read the certificates; connect with the first call.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        return WebhookSender(with_defaults(self.settings_schema, settings), context, self._sleep, self._jitter)


class WebhookSender(Sender):
    """One project's receiver."""

    def __init__(
        self, settings: Mapping[str, object], context: ProviderContext, sleep: Sleep, jitter: Callable[[], float]
    ) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        values = cast(Mapping[str, Any], settings)
        self._secret: str = values["secret"]
        self._timeout, self._patience = float(values["timeout"]), float(values["patience"])
        self._attempts: int = values["attempts"]
        self._account: str = values.get("account_id", "")
        self._known = not self._account
        self._destination = Destination(
            values["url"],
            allowed=[ip_network(network) for network in values["allow_networks"]],
            insecure_loopback=values["allow_insecure_loopback"],
        )
        self._context = context
        self._sleep = sleep
        self._jitter = jitter
        self._client = HttpClient(timeout=self._timeout, connections=_CONNECTIONS, ca_file=values.get("ca_file"))

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Make as few calls as the messages allow; what one call is answered counts for all its messages."""
        results: list[SendResult] = [Unknown()] * len(messages)
        ready: list[tuple[int, OutgoingMessage, str, str]] = []
        for place, message in enumerate(messages):
            endpoint = endpoint_json(message)
            if isinstance(endpoint, tuple):
                ready.append((place, message, *endpoint))
            else:
                results[place] = endpoint
        calls = grouped(self._context.project, ready)
        stranger = await self._stranger() if calls else None
        if stranger is not None:
            for call in calls:
                for place in call.places.values():
                    results[place] = stranger
            return results
        for call, answered in zip(calls, await asyncio.gather(*map(self._call, calls)), strict=True):
            for key, place in call.places.items():
                results[place] = answered[key]
        return results

    async def health(self) -> Health:
        """Ask the receiver with HEAD: below 500 it is there, and with `account_id` it must name the account."""
        if self._client.is_closed:
            return Health(False, "the channel is closed")
        try:
            answer = await self._ask("HEAD", b"", {}, _HEALTH_SECONDS)
        except (NotSent, NoAnswer, Forbidden) as error:
            return Health(False, str(error))
        if self._account and not self._names_account(answer):
            return Health(False, f"HEAD was answered {answer.status} without the account_id of the settings")
        return Health(answer.status < 500, f"HEAD was answered {answer.status}")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _stranger(self) -> Rejected | None:
        """Make the handshake before the first call, if it is wanted; return why the receiver may get none."""
        if self._known:
            return None
        try:
            answer = await self._ask("HEAD", b"", {}, _HEALTH_SECONDS)
        except Forbidden as error:
            return Rejected(RejectReason.REFUSED, retryable=False, detail=str(error))
        except (NotSent, NoAnswer) as error:  # nothing is in doubt: a HEAD carries no message
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=str(error))
        self._known = self._names_account(answer)
        if self._known:
            return None
        detail = f"HEAD was answered {answer.status} without the account_id of the settings"
        away = answer.status == 429 or answer.status >= 500
        return Rejected(RejectReason.UNAVAILABLE if away else RejectReason.REFUSED, retryable=away, detail=detail)

    def _names_account(self, answer: Answer) -> bool:
        return answer.headers.get(ACCOUNT_HEADER, "") == self._account

    async def _call(self, call: Call) -> dict[str, SendResult]:
        outcome, body = await self._post(call)
        if not isinstance(outcome, Accepted):
            return dict.fromkeys(call.messages, outcome)
        told = answers(body)
        return {key: Accepted(message.message_id, told.get(key, {})) for key, message in call.messages.items()}

    async def _post(self, call: Call) -> tuple[SendResult, bytes]:
        """Make up to three attempts with the same body and batch id, within the patience of the settings."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._patience
        content = call.body()
        outcomes: list[SendResult] = []
        while True:
            pause = Pause()
            outcome, body = await self._attempt(call.batch_id, content, ends - loop.time(), pause)
            outcomes.append(outcome)
            final = isinstance(outcome, Accepted) or (isinstance(outcome, Rejected) and not outcome.retryable)
            if final or len(outcomes) == self._attempts or self._client.is_closed:
                return combined(outcomes), body
            now = self._context.now()
            asked = ((pause.ends(now) or now) - now).total_seconds()
            wait = pause_after(len(outcomes), self._jitter(), asked)
            if loop.time() + wait + _SHORTEST > ends:
                return combined(outcomes), body
            await self._sleep(wait)

    async def _attempt(self, batch_id: str, content: bytes, within: float, pause: Pause) -> tuple[SendResult, bytes]:
        timestamp = int(self._context.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": batch_id,
            "X-Pinpoint-Batch-Id": batch_id,
            TIMESTAMP: str(timestamp),
            SIGNATURE: sign(self._secret, timestamp, content),
        }
        try:
            answer = await self._ask("POST", content, headers, within)
        except Forbidden as error:
            return Rejected(RejectReason.REFUSED, retryable=False, detail=str(error)), b""
        except NotSent as error:
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=str(error)), b""
        except NoAnswer as error:
            return Unknown(str(error)), b""
        pause.note(answer, self._context.now())
        return of_status(answer.status), answer.body

    async def _ask(self, method: str, content: bytes, headers: Mapping[str, str], within: float) -> Answer:
        """Make one call; all of it takes no longer than one attempt may, and no longer than `within` seconds.

        Raises:
            Forbidden: the host has an address that must not be called.
            NotSent: the name does not resolve, or no address takes a connection.
            NoAnswer: one of them may have the call.
        """
        within = min(within, self._timeout)
        return await self._destination.call(self._client, method, content=content, headers=headers, within=within)
