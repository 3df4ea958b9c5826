"""The channel `push-apns`: its settings, and the calls that send (Apple: "Sending notification requests to APNs")."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from urllib.parse import urlsplit

from hpack import NeverIndexedHeaderTuple

from heliograph_channel_apns.codes import is_expired_token, outcome, reason_of
from heliograph_channel_apns.connection import Header
from heliograph_channel_apns.content import notification_of
from heliograph_channel_apns.link import Link
from heliograph_channel_apns.settings import BATCH, SCHEMA, problems, tls_context
from heliograph_channel_apns.tokens import ProviderTokens
from heliograph_channels import (
    Capabilities,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    PushContent,
    RejectReason,
    SendResult,
    Unsupported,
)
from heliograph_channels.calls import CallProvider, CallSender, Values, refused
from heliograph_channels.http_client import Answer, NoAnswer, NotSent
from heliograph_channels.jwt import signing_key

__all__ = ["ApnsPush"]

_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){32,100}")
_PLATFORMS = frozenset({"APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX"})
_NOBODY = "0" * 64
_STEADY = ("apns-topic", "apns-push-type", "apns-priority")


class ApnsPush(CallProvider):
    """Notifications for Apple's devices, over one HTTP/2 connection per environment."""

    name = "push-apns"
    kinds = frozenset({Kind.PUSH})
    platforms = _PLATFORMS
    room = "streams"
    capabilities = Capabilities(batch_size=BATCH, concurrency=5)
    settings_schema = SCHEMA

    def further_problems(self, settings: Mapping[str, object]) -> Iterable[Problem]:
        """Check the keys and the addresses."""
        return problems(settings)

    def further_address_problem(self, address: str) -> str | None:
        """Refuse what is no device token: 32 to 100 bytes in hexadecimal digits."""
        return None if _TOKEN.fullmatch(address) else "is no device token: 64 to 200 hexadecimal digits"

    def sender(self, settings: Values, context: ProviderContext) -> ApnsSender:
        """Open the app."""
        return ApnsSender(settings, context)


class ApnsSender(CallSender[PushContent]):
    """One app."""

    takes = PushContent
    provider = "Apple"
    holds_back = frozenset({503})  # a 429 is about one device, and holds nobody else back

    def __init__(self, settings: Values, context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        super().__init__(context)
        self._bundle: str = settings["bundle_id"]
        self._tokens: ProviderTokens | None = None
        if settings.get("token_key") and (key := signing_key(settings["token_key"])):
            self._tokens = ProviderTokens(settings["team_id"], settings["key_id"], key)
        tls = tls_context(settings)
        self._production, self._sandbox = (
            Link(
                urlsplit(settings[name]).hostname or "",
                urlsplit(settings[name]).port or 443,
                tls,
                timeout=float(settings["timeout"]),
                most_streams=settings["streams"],
            )
            for name in ("base_url", "sandbox_url")
        )

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._production.is_closed

    async def send(self, message: OutgoingMessage, content: PushContent) -> SendResult:
        """Send it to the environment of its platform."""
        if message.platform and message.platform not in _PLATFORMS:
            return Unsupported(f"platform {message.platform[:40]}")
        if not _TOKEN.fullmatch(message.address):
            return refused(RejectReason.INVALID_ADDRESS, "the address is no device token")
        voip = message.platform.startswith("APNS_VOIP")
        now = int(self._context.now().timestamp())
        built = notification_of(content, voip=voip, bundle_id=self._bundle, now=now)
        if isinstance(built, str):
            return refused(RejectReason.INVALID_CONTENT, built)
        link = self._sandbox if message.platform.endswith("_SANDBOX") else self._production
        apns_id = str(uuid.UUID(message.message_id))
        headers = (*built.headers, ("apns-id", apns_id))
        return await self.exchange(
            lambda: self._call(link, message.address, headers, built.payload),
            partial(outcome, apns_id=apns_id, own_topic=built.own_topic),
        )

    async def health(self) -> Health:
        """Send to a token that no device has: that Apple finds it bad means that it found everything else good."""
        content = PushContent(title="health", body="health")
        built = notification_of(content, voip=False, bundle_id=self._bundle, now=0)
        assert not isinstance(built, str)
        headers = (*built.headers, ("apns-id", str(uuid.uuid4())))
        detail = ""
        for link in (self._production, self._sandbox):
            try:
                answer = await self._call(link, _NOBODY, headers, built.payload)
            except (NotSent, NoAnswer) as error:
                return Health(False, str(error))
            reason = reason_of(answer)
            if reason in ("BadDeviceToken", "Unregistered", "DeviceTokenNotForTopic") or answer.status == 200:
                return Health(True, "Apple would take a message")
            detail = f"Apple answered {answer.status} {reason}".rstrip()
            if reason != "BadEnvironmentKeyIdInToken":
                break  # only a key for the sandbox alone makes it worth asking there
        return Health(False, detail)

    async def close(self) -> None:
        """Close the connections. Safe to repeat."""
        await asyncio.gather(self._production.close(), self._sandbox.close())

    async def _call(self, link: Link, token: str, headers: Sequence[tuple[str, str]], payload: bytes) -> Answer:
        """Make one call; a second one with another provider token when the first was refused for its age.

        Both together take no longer than one call may.

        Raises:
            NotSent: Apple has nothing of it.
            NoAnswer: Apple may have it.
        """
        ends = link.deadline()
        ours = self._tokens.current(self._context.now()) if self._tokens else ""
        answer = await link.call(_request(link, token, headers, ours), payload, ends=ends)
        if self._tokens is None or not is_expired_token(answer):
            return answer
        another = self._tokens.instead_of(ours, self._context.now())
        if another is None:
            return answer
        return await link.call(_request(link, token, headers, another), payload, ends=ends)


def _request(link: Link, token: str, headers: Sequence[tuple[str, str]], provider_token: str) -> list[Header]:
    """Return the header fields. What differs from call to call is kept out of the table that compresses the rest."""
    fields: list[Header] = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", link.authority),
        NeverIndexedHeaderTuple(":path", f"/3/device/{token}"),
        ("content-type", "application/json"),
        ("user-agent", "Heliograph"),
    ]
    if provider_token:
        fields.append(("authorization", f"bearer {provider_token}"))
    for name, value in headers:
        fields.append((name, value) if name in _STEADY else NeverIndexedHeaderTuple(name, value))
    return fields
