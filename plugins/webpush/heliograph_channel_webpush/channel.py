"""The channel `webpush`: its settings, and the calls that send (RFC 8030)."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any, cast

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_channel_webpush.content import headers_of, text_of
from heliograph_channel_webpush.encryption import encrypted
from heliograph_channel_webpush.services import Service, Services
from heliograph_channel_webpush.settings import BATCH, SCHEMA, HostList, problems, vapid_key
from heliograph_channel_webpush.subscriptions import Subscription, subscription_of
from heliograph_channels import (
    Accepted,
    Capabilities,
    ChannelProvider,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    PushContent,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
    Unknown,
    Unsupported,
    with_defaults,
)
from heliograph_channels.destinations import Forbidden
from heliograph_channels.http_client import Answer, NoAnswer, NotSent, refusal

__all__ = ["WebPush", "outcome"]

_ID = re.compile(r"[!-~]{1,200}")


class WebPush(ChannelProvider):
    """Notifications for browsers, through whichever push service each of them uses."""

    name = "webpush"
    kinds = frozenset({Kind.PUSH})
    platforms = frozenset({"WEB"})
    capabilities = Capabilities(batch_size=BATCH, concurrency=2)
    settings_schema = SCHEMA

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, the keys, the hosts and the networks."""
        return [*super().check_settings(settings), *problems(settings)]

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Let as many batches go at once as there are connections for."""
        connections = settings.get("connections", 100)
        return Capabilities(
            batch_size=BATCH, concurrency=max(1, connections // BATCH) if isinstance(connections, int) else 2
        )

    def check_address(self, kind: Kind, address: str) -> str | None:
        """Refuse what is no subscription. Whether its host is one of `hosts` shows when a message is sent."""
        if problem := super().check_address(kind, address):
            return problem
        subscription = subscription_of(address)
        return subscription if isinstance(subscription, str) else None

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> WebPushSender:
        """Connect with the first message.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        return WebPushSender(with_defaults(self.settings_schema, settings), context)


class WebPushSender(Sender):
    """One site."""

    def __init__(self, settings: Mapping[str, object], context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
            ValueError: the key is none; `check_settings` says so first.
        """
        values = cast(Mapping[str, Any], settings)
        key = vapid_key(values["vapid_private_key"])
        if key is None:
            raise ValueError("vapid_private_key is no key")
        self._key = key
        self._subject: str = values["subject"]
        self._life: int = values["time_to_live_seconds"]
        self._hosts = HostList(values["hosts"])
        self._timeout = float(values["timeout"])
        self._context = context
        self._room = asyncio.Semaphore(values["connections"])
        self._services = Services(
            timeout=self._timeout,
            connections=values["connections"],
            tls=ssl.create_default_context(cafile=values.get("ca_file")),
            allowed=[ip_network(network) for network in values["allow_networks"]],
        )

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Make one call per message, all at once; each answer is its own message's."""
        results = await asyncio.gather(*map(self._send, messages))
        await self._services.tidy()
        return results

    async def health(self) -> Health:
        """Say whether the channel is open: there is no push service to ask, each browser has its own."""
        if self._services.is_closed:
            return Health(False, "the channel is closed")
        return Health(True, "ready; each browser's push service is met with its first message")

    async def close(self) -> None:
        """Close the connections. Safe to repeat."""
        await self._services.close()

    async def _send(self, message: OutgoingMessage) -> SendResult:
        content = message.content
        if not isinstance(content, PushContent):
            return Unsupported(type(content).__name__)
        subscription = subscription_of(message.address)
        if isinstance(subscription, str):
            return _refused(RejectReason.INVALID_ADDRESS, f"the address {subscription}")
        endpoint = httpx.URL(subscription.endpoint)
        if not self._hosts.allows(endpoint.raw_host.decode(), endpoint.port or 443):
            return _refused(
                RejectReason.INVALID_ADDRESS, "the address is at a host that the setting hosts does not list"
            )
        text = text_of(content, message.message_class)
        headers = headers_of(content, self._life)
        for problem in (text, headers):
            if isinstance(problem, str):
                return _refused(RejectReason.INVALID_CONTENT, problem)
        assert isinstance(text, bytes)
        assert isinstance(headers, dict)
        if self._services.is_closed:
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="the channel is closed")
        async with self._room:
            with self._services.use(endpoint) as service:
                return await self._post(service, endpoint, subscription, text, headers, message.message_id)

    async def _post(
        self,
        service: Service,
        endpoint: httpx.URL,
        subscription: Subscription,
        text: bytes,
        headers: Mapping[str, str],
        message_id: str,
    ) -> SendResult:
        now = self._context.now()
        if until := service.pause.ends(now):
            detail = f"the push service asked to be left alone until {until:%H:%M:%S} UTC"
            return Rejected(RejectReason.THROTTLED, retryable=True, detail=detail)
        body = encrypted(
            text,
            receiver=subscription.p256dh,
            auth=subscription.auth,
            sender=ec.generate_private_key(ec.SECP256R1()),
            salt=os.urandom(16),
        )
        try:
            answer = await service.destination.call(
                service.client,
                "POST",
                target=endpoint,
                content=body,
                headers={
                    **headers,
                    "Content-Type": "application/octet-stream",
                    "Content-Encoding": "aes128gcm",
                    "Authorization": service.authorization(self._key, self._subject, now),
                },
                within=self._timeout,
            )
        except Forbidden as error:
            return _refused(RejectReason.INVALID_ADDRESS, str(error))
        except NotSent as error:
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=str(error))
        except NoAnswer as error:
            return Unknown(str(error))
        service.pause.note(answer, self._context.now())
        return outcome(answer, message_id)


def outcome(answer: Answer, message_id: str) -> SendResult:
    """Say what an answer to a message means (RFC 8030 5, 7.3 and 8.4). The status is the word of every push service.

    201 (and 200, 202, which some give): accepted. The id is the end of `Location`, which names the message there; our own
    where there is none.
    """
    if answer.status in (200, 201, 202):
        id = answer.headers.get("location", "").rstrip("/").rpartition("/")[2]
        return Accepted(id if _ID.fullmatch(id) else message_id)
    words = _words(answer)
    if answer.status in (404, 410):
        detail = f"the subscription is gone ({answer.status}{': ' if words else ''}{words})"
        return _refused(RejectReason.ADDRESS_GONE, detail)
    return refusal(answer.status, words)


def _words(answer: Answer) -> str:
    """Return the service's own words, in JSON or, with an error of ours, as plain text."""
    told = answer.json()
    for name in ("message", "reason", "error"):
        if isinstance(told.get(name), str):
            return str(told[name])[:200]
    if 400 <= answer.status < 500 and answer.headers.get("content-type", "").startswith("text/plain"):
        return "".join(filter(str.isprintable, answer.body[:200].decode(errors="replace")))
    return ""


def _refused(reason: RejectReason, detail: str) -> Rejected:
    return Rejected(reason, retryable=False, detail=detail)
