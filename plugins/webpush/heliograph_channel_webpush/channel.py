"""The channel `webpush`: its settings, and the calls that send (RFC 8030)."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from ipaddress import ip_network

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
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    PushContent,
    Rejected,
    RejectReason,
    SendResult,
)
from heliograph_channels.calls import CallProvider, CallSender, Values, refused
from heliograph_channels.destinations import Forbidden
from heliograph_channels.http_client import Answer, refusal

__all__ = ["WebPush", "outcome"]

_ID = re.compile(r"[!-~]{1,200}")


class WebPush(CallProvider):
    """Notifications for browsers, through whichever push service each of them uses."""

    name = "webpush"
    kinds = frozenset({Kind.PUSH})
    platforms = frozenset({"WEB"})
    capabilities = Capabilities(batch_size=BATCH, concurrency=2)
    settings_schema = SCHEMA

    def further_problems(self, settings: Mapping[str, object]) -> Iterable[Problem]:
        """Check the keys, the hosts and the networks."""
        return problems(settings)

    def further_address_problem(self, address: str) -> str | None:
        """Refuse what is no subscription. Whether its host is one of `hosts` shows when a message is sent."""
        subscription = subscription_of(address)
        return subscription if isinstance(subscription, str) else None

    def sender(self, settings: Values, context: ProviderContext) -> WebPushSender:
        """Open the site."""
        return WebPushSender(settings, context)


class WebPushSender(CallSender[PushContent]):
    """One site."""

    takes = PushContent
    provider = "the push service"

    def __init__(self, settings: Values, context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
            ValueError: the key is none; `check_settings` says so first.
        """
        super().__init__(context)
        key = vapid_key(settings["vapid_private_key"])
        if key is None:
            raise ValueError("vapid_private_key is no key")
        self._key = key
        self._subject: str = settings["subject"]
        self._life: int = settings["time_to_live_seconds"]
        self._hosts = HostList(settings["hosts"])
        self._timeout = float(settings["timeout"])
        self._room = asyncio.Semaphore(settings["connections"])
        self._services = Services(
            timeout=self._timeout,
            connections=settings["connections"],
            tls=ssl.create_default_context(cafile=settings.get("ca_file")),
            allowed=[ip_network(network) for network in settings["allow_networks"]],
        )

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._services.is_closed

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Make one call per message, all at once, and give up the services that are too many."""
        results = await super().send_batch(messages)
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

    async def send(self, message: OutgoingMessage, content: PushContent) -> SendResult:
        """Send it to the push service of its subscription."""
        subscription = subscription_of(message.address)
        if isinstance(subscription, str):
            return refused(RejectReason.INVALID_ADDRESS, f"the address {subscription}")
        endpoint = httpx.URL(subscription.endpoint)
        if not self._hosts.allows(endpoint.raw_host.decode(), endpoint.port or 443):
            return refused(
                RejectReason.INVALID_ADDRESS, "the address is at a host that the setting hosts does not list"
            )
        text = text_of(content, message.message_class)
        headers = headers_of(content, self._life)
        for problem in (text, headers):
            if isinstance(problem, str):
                return refused(RejectReason.INVALID_CONTENT, problem)
        assert isinstance(text, bytes)
        assert isinstance(headers, dict)
        if self.is_closed:
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="the channel is closed")
        async with self._room:
            with self._services.use(endpoint) as service:
                return await self.exchange(
                    partial(self._post, service, endpoint, subscription, text, headers),
                    partial(outcome, message_id=message.message_id),
                    pause=service.pause,
                )

    async def _post(
        self,
        service: Service,
        endpoint: httpx.URL,
        subscription: Subscription,
        text: bytes,
        headers: Mapping[str, str],
    ) -> Answer | Rejected:
        body = encrypted(
            text,
            receiver=subscription.p256dh,
            auth=subscription.auth,
            sender=ec.generate_private_key(ec.SECP256R1()),
            salt=os.urandom(16),
        )
        try:
            return await service.destination.call(
                service.client,
                "POST",
                target=endpoint,
                content=body,
                headers={
                    **headers,
                    "Content-Type": "application/octet-stream",
                    "Content-Encoding": "aes128gcm",
                    "Authorization": service.authorization(self._key, self._subject, self._context.now()),
                },
                within=self._timeout,
            )
        except Forbidden as error:
            return refused(RejectReason.INVALID_ADDRESS, str(error))


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
        return refused(RejectReason.ADDRESS_GONE, detail)
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
