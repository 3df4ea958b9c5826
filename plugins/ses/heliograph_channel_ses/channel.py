"""The ses channel: calls of SendEmail, and the webhook that SNS calls."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import httpx

from heliograph_channel_ses.content import request_body
from heliograph_channel_ses.events import BadEvent, receipts_of
from heliograph_channel_ses.outcomes import outcome, words_of
from heliograph_channel_ses.settings import SCHEMA, endpoint_of, problems_between
from heliograph_channel_ses.sigv4 import Credentials, signed
from heliograph_channel_ses.sns import Fetch, FetchFailed, SnsVerifier, confirmation_url, parsed
from heliograph_channels import (
    Capabilities,
    ChannelProvider,
    Forged,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Received,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
    Unknown,
    WebhookRequest,
    with_defaults,
)

__all__ = ["SesChannel"]

_LARGEST_ANSWER = 256 * 1024
_SEND, _ACCOUNT = "/v2/email/outbound-emails", "/v2/email/account"
# What SES publishes once when an event destination is set up.
_GREETING = "Successfully validated SNS topic"


class SesChannel(ChannelProvider):
    """E-mail through Amazon SES. Acceptance means that SES took the message; events tell the rest."""

    name = "ses"
    kinds = frozenset({Kind.EMAIL})
    capabilities = Capabilities(batch_size=50, concurrency=8, receipts=True, webhook=True)
    settings_schema = SCHEMA

    def __init__(self, fetch: Fetch | None = None) -> None:
        """Take how to get certificates and confirm subscriptions; None = over https, which is right outside of tests."""
        self._fetch = fetch

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, the addresses and the endpoint."""
        return [*super().check_settings(settings), *problems_between(settings)]

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Promise receipts when there is a topic they come from."""
        return (
            self.capabilities
            if settings.get("topic_arn")
            else replace(self.capabilities, receipts=False, webhook=False)
        )

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> SesSender:
        """Connect with the first call."""
        return SesSender(with_defaults(self.settings_schema, settings), context, self._fetch)


class SesSender(Sender):
    """One project's account."""

    def __init__(self, settings: Mapping[str, object], context: ProviderContext, fetch: Fetch | None) -> None:
        """Take complete settings."""
        values = cast("Mapping[str, Any]", settings)
        self._region: str = values["region"]
        self._credentials = Credentials(values["access_key_id"], values["secret_access_key"], values["session_token"])
        self._endpoint = endpoint_of(self._region, values["endpoint_url"])
        self._from: str = values["from_address"]
        self._return_path: str = values["return_path"]
        self._configuration_set: str = values["configuration_set"]
        self._timeout = float(values["timeout"])
        self._slots = asyncio.Semaphore(values["connections"])
        self._context = context
        self._client = _client(self._timeout, values["connections"])
        self._topic_arn: str = values["topic_arn"]
        self._fetch = fetch or self._get
        self._verifier = SnsVerifier(self._topic_arn, self._fetch)

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Send each message with a call of its own, as many at once as there are connections."""
        return await asyncio.gather(*map(self._send, messages))

    async def health(self) -> Health:
        """Ask for the state of the account (GetAccount), the day's quota included."""
        if self._client.is_closed:
            return Health(False, "the channel is closed")
        try:
            async with asyncio.timeout(min(self._timeout, 10.0)):
                response = await self._client.send(self._request("GET", _ACCOUNT, b""))
        except (httpx.HTTPError, OSError, RuntimeError) as error:
            return Health(False, _words(error))
        return _account(response.status_code, response.headers, response.content)

    async def receive(self, request: WebhookRequest) -> Received:
        """Take what SNS delivers: events of the topic in the settings, and the question whether to subscribe to it.

        Raises:
            Forged: SNS did not sign it, or not for that topic, or more than an hour ago.
        """
        if not self._topic_arn:
            return Received(status=404, body=b"the settings name no topic")
        fields = parsed(request.body)
        if request.headers.get("x-amz-sns-message-type", "") != fields.get("Type", "none"):
            raise Forged("the call does not say what it is")
        try:
            await self._verifier.check(fields, self._context.now())
            if fields["Type"] == "SubscriptionConfirmation":
                await self._fetch(confirmation_url(self._topic_arn, fields.get("Token", "")))
                self._context.logger.info("the subscription of the webhook to the topic is confirmed")
                return Received()
        except FetchFailed as error:
            self._context.logger.warning("SNS does not answer: %s", error)
            return Received(status=503, body=b"try again")
        if fields["Type"] == "UnsubscribeConfirmation":
            self._context.logger.warning("the webhook is no longer subscribed to the topic: receipts stay away")
            return Received()
        try:
            return Received(receipts=receipts_of(fields.get("Message", ""), self._context.now()))
        except BadEvent as error:
            if fields.get("Message", "").startswith(_GREETING):
                return Received()
            return Received(status=400, body=str(error).encode())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(self, message: OutgoingMessage) -> SendResult:
        body = request_body(
            message,
            default_from=self._from,
            return_path=self._return_path,
            configuration_set=self._configuration_set,
        )
        if not isinstance(body, bytes):
            return body
        async with self._slots:
            if self._client.is_closed:
                return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="the channel is closed")
            return await self._call(body, message.address)

    async def _call(self, body: bytes, recipient: str) -> SendResult:
        sent = False

        async def trace(event: str, _: Mapping[str, object]) -> None:
            nonlocal sent
            sent = sent or event.endswith("send_request_headers.started")

        request = self._request("POST", _SEND, body)
        request.extensions = {**request.extensions, "trace": trace}
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.send(request, stream=True)
                try:
                    answer = await _answer(response)
                    return outcome(response.status_code, response.headers, answer, recipient=recipient)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: closed while the call was under way
            if sent:
                return Unknown(f"the message was handed over, and then: {_words(error)}")
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=_words(error))

    def _request(self, method: str, path: str, body: bytes) -> httpx.Request:
        url = self._endpoint + path
        headers = signed(
            method,
            url,
            {"Content-Type": "application/json"} if body else {},
            body,
            credentials=self._credentials,
            region=self._region,
            service="ses",
            now=self._context.now(),
        )
        return self._client.build_request(method, url, content=body or None, headers=headers)

    async def _get(self, url: str) -> bytes:
        try:
            async with asyncio.timeout(10), _client(10, 1) as client, client.stream("GET", url) as response:
                body = await _body(response)
        except (httpx.HTTPError, OSError) as error:
            raise FetchFailed(_words(error)) from None
        if response.status_code != 200:
            raise FetchFailed(f"{response.url.host} answered {response.status_code}")
        return body


def _client(timeout: float, connections: int) -> httpx.AsyncClient:
    # trust_env would send the messages through a proxy of the environment. SES closes what is idle for a minute.
    return httpx.AsyncClient(
        verify=ssl.create_default_context(),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(timeout),
        headers={"User-Agent": "Heliograph", "Accept-Encoding": "identity"},
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=20.0),
    )


async def _answer(response: httpx.Response) -> bytes:
    """Read the answer to a message; the status alone says that it is taken, even if the connection breaks now."""
    try:
        return await _body(response)
    except httpx.HTTPError:
        if response.status_code != 200:
            raise
        return b""


async def _body(response: httpx.Response) -> bytes:
    """Read an answer, at most 256 KiB of it: no answer of SES or SNS is longer."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.aiter_raw():
        pieces.append(piece)
        size += len(piece)
        if size > _LARGEST_ANSWER:
            break
    return b"".join(pieces)


def _account(status: int, headers: Mapping[str, str], body: bytes) -> Health:
    try:
        told = json.loads(body)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    if status == 403 and "AccessDenied" in headers.get("x-amzn-errortype", ""):
        return Health(True, "SES knows the access key; it may not ask for the state of the account (ses:GetAccount)")
    if status != 200:
        return Health(False, f"SES answered {status} {words_of(told)}".strip())
    quota = told.get("SendQuota")
    quota = quota if isinstance(quota, dict) else {}
    most, used = quota.get("Max24HourSend", -1), quota.get("SentLast24Hours", 0)
    detail = f"{used:g} of {most:g} messages of the day are sent" if isinstance(most, int | float) and most >= 0 else ""
    if told.get("SendingEnabled") is False:
        return Health(False, "sending is paused for this account")
    if told.get("EnforcementStatus") == "SHUTDOWN":
        return Health(False, "the account is suspended")
    return Health(not (isinstance(most, int | float) and 0 <= most <= used), detail)


def _words(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
