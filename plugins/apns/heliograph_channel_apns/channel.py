"""The channel `push-apns`: its settings, and the calls that send (Apple: "Sending notification requests to APNs")."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast
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
from heliograph_channels.http_client import Answer, NoAnswer, NotSent, Pause
from heliograph_channels.jwt import signing_key

__all__ = ["ApnsPush"]

_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){32,100}")
_PLATFORMS = frozenset({"APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX"})
_NOBODY = "0" * 64
_STEADY = ("apns-topic", "apns-push-type", "apns-priority")


class ApnsPush(ChannelProvider):
    """Notifications for Apple's devices, over one HTTP/2 connection per environment."""

    name = "push-apns"
    kinds = frozenset({Kind.PUSH})
    platforms = _PLATFORMS
    capabilities = Capabilities(batch_size=BATCH, concurrency=5)
    settings_schema = SCHEMA

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, the keys and the addresses."""
        return [*super().check_settings(settings), *problems(settings)]

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Let as many batches go at once as there are streams for."""
        streams = settings.get("streams", 500)
        return Capabilities(batch_size=BATCH, concurrency=max(1, streams // BATCH) if isinstance(streams, int) else 5)

    def check_address(self, kind: Kind, address: str) -> str | None:
        """Refuse what is no device token: 32 to 100 bytes in hexadecimal digits."""
        if problem := super().check_address(kind, address):
            return problem
        return None if _TOKEN.fullmatch(address) else "is no device token: 64 to 200 hexadecimal digits"

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> ApnsSender:
        """Connect with the first message.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        return ApnsSender(with_defaults(self.settings_schema, settings), context)


class ApnsSender(Sender):
    """One app."""

    def __init__(self, settings: Mapping[str, object], context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        values = cast(Mapping[str, Any], settings)
        self._bundle: str = values["bundle_id"]
        self._context = context
        self._pause = Pause()
        self._tokens: ProviderTokens | None = None
        if values.get("token_key") and (key := signing_key(values["token_key"])):
            self._tokens = ProviderTokens(values["team_id"], values["key_id"], key)
        tls = tls_context(settings)
        self._production, self._sandbox = (
            Link(
                urlsplit(values[name]).hostname or "",
                urlsplit(values[name]).port or 443,
                tls,
                timeout=float(values["timeout"]),
                most_streams=values["streams"],
            )
            for name in ("base_url", "sandbox_url")
        )

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Make one call per message, all at once; each answer is its own message's."""
        return await asyncio.gather(*map(self._send, messages))

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

    async def _send(self, message: OutgoingMessage) -> SendResult:
        content = message.content
        if not isinstance(content, PushContent):
            return Unsupported(type(content).__name__)
        if message.platform and message.platform not in _PLATFORMS:
            return Unsupported(f"platform {message.platform[:40]}")
        if not _TOKEN.fullmatch(message.address):
            return _refused(RejectReason.INVALID_ADDRESS, "the address is no device token")
        now = self._context.now()
        voip = message.platform.startswith("APNS_VOIP")
        built = notification_of(content, voip=voip, bundle_id=self._bundle, now=int(now.timestamp()))
        if isinstance(built, str):
            return _refused(RejectReason.INVALID_CONTENT, built)
        link = self._sandbox if message.platform.endswith("_SANDBOX") else self._production
        if (until := self._pause.ends(now)) and not link.is_closed:
            detail = f"Apple asked to be left alone until {until:%H:%M:%S} UTC"
            return Rejected(RejectReason.THROTTLED, retryable=True, detail=detail)
        apns_id = str(uuid.UUID(message.message_id))
        headers = (*built.headers, ("apns-id", apns_id))
        try:
            answer = await self._call(link, message.address, headers, built.payload)
        except NotSent as error:
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=str(error))
        except NoAnswer as error:
            return Unknown(str(error))
        if answer.status == 503:  # a 429 is about one device, and holds nobody else back
            self._pause.note(answer, self._context.now())
        return outcome(answer, apns_id, own_topic=built.own_topic)

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


def _refused(reason: RejectReason, detail: str) -> Rejected:
    return Rejected(reason, retryable=False, detail=detail)
