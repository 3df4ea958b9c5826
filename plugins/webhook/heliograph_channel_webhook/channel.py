"""The webhook channel: settings, calls, and what an answer means."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any, cast

import httpx

from heliograph_channel_webhook.destinations import Destination, Forbidden, url_problem
from heliograph_channel_webhook.payload import MOST_ENDPOINTS, Call, answers, endpoint_json, grouped
from heliograph_channel_webhook.signing import SIGNATURE, TIMESTAMP, sign
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

__all__ = ["WebhookChannel"]

_LARGEST_ANSWER = 1024 * 1024
_REASONS = {
    401: RejectReason.CREDENTIALS,
    403: RejectReason.CREDENTIALS,
    413: RejectReason.INVALID_CONTENT,
    429: RejectReason.THROTTLED,
}

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["url", "secret"],
    "properties": {
        "url": {"type": "string", "description": "Where the calls go: an https:// address."},
        "secret": {
            "type": "string",
            "minLength": 16,
            "maxLength": 500,
            "writeOnly": True,
            "description": "Key of the signature; the receiver knows it, too.",
        },
        "timeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 60,
            "default": 15,
            "description": "Most seconds one call may take, answer included.",
        },
        "idempotent_receiver": {
            "type": "boolean",
            "default": False,
            "description": "Whether the receiver drops message ids it has seen, so that calls in doubt may be repeated.",
        },
        "allow_networks": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "Private networks (like 10.1.0.0/16) that calls may go to. Public addresses always may.",
        },
        "allow_insecure_loopback": {
            "type": "boolean",
            "default": False,
            "description": "Whether calls may go to this machine, also by http://. For trials.",
        },
        "ca_file": {
            "type": "string",
            "minLength": 1,
            "description": "PEM file of the authorities to trust instead of the system's.",
        },
    },
}


class WebhookChannel(ChannelProvider):
    """Calls a URL with up to 50 recipients at a time, in the shape of Pinpoint's custom channel."""

    name = "webhook"
    kinds = frozenset({Kind.CUSTOM})
    capabilities = Capabilities(batch_size=MOST_ENDPOINTS, concurrency=8)
    settings_schema = SCHEMA

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Promise idempotency when the operator says that the receiver keeps it."""
        return replace(self.capabilities, idempotency_key=settings.get("idempotent_receiver") is True)

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, the URL and the networks."""
        problems = list(super().check_settings(settings))
        url = settings.get("url")
        if isinstance(url, str):
            loopback = settings.get("allow_insecure_loopback") is True
            if problem := url_problem(url, insecure_loopback=loopback):
                problems.append(Problem("url", problem))
        networks = settings.get("allow_networks")
        for index, network in enumerate(networks if isinstance(networks, list | tuple) else ()):
            if isinstance(network, str) and not _is_network(network):
                problems.append(Problem(f"allow_networks[{index}]", "must be a network like 10.1.0.0/16"))
        return problems

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> WebhookSender:
        """Read the certificates; connect with the first call.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        return WebhookSender(with_defaults(self.settings_schema, settings), context)


class WebhookSender(Sender):
    """One project's receiver."""

    def __init__(self, settings: Mapping[str, object], context: ProviderContext) -> None:
        """Take complete settings."""
        values = cast(Mapping[str, Any], settings)
        self._secret: str = values["secret"]
        self._timeout = float(values["timeout"])
        self._destination = Destination(
            values["url"],
            allowed=[ip_network(network) for network in values["allow_networks"]],
            insecure_loopback=values["allow_insecure_loopback"],
        )
        self._context = context
        # trust_env would let a proxy of the environment resolve the name again, past our check.
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=values.get("ca_file")),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(self._timeout),
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=5.0),
        )

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
        for call, answered in zip(calls, await asyncio.gather(*map(self._call, calls)), strict=True):
            for key, place in call.places.items():
                results[place] = answered[key]
        return results

    async def health(self) -> Health:
        """Ask the receiver with HEAD; any answer below 500 will do."""
        if self._client.is_closed:
            return Health(False, "the channel is closed")
        try:
            async with asyncio.timeout(min(self._timeout, 10.0)):
                response = await self._client.send(await self._request("HEAD", b"", {}))
        except (httpx.HTTPError, OSError, Forbidden) as error:
            return Health(False, _words(error))
        return Health(response.status_code < 500, f"HEAD was answered {response.status_code}")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _call(self, call: Call) -> dict[str, SendResult]:
        outcome, body = await self._post(call)
        if not isinstance(outcome, Accepted):
            return dict.fromkeys(call.messages, outcome)
        told = answers(body)
        return {key: Accepted(message.message_id, told.get(key, {})) for key, message in call.messages.items()}

    async def _post(self, call: Call) -> tuple[SendResult, bytes]:
        if self._client.is_closed:
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="the channel is closed"), b""
        body = call.body()
        timestamp = int(self._context.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",  # a packed answer could unpack to anything
            "User-Agent": "Heliograph",
            "Idempotency-Key": call.batch_id,
            "X-Pinpoint-Batch-Id": call.batch_id,
            TIMESTAMP: str(timestamp),
            SIGNATURE: sign(self._secret, timestamp, body),
        }
        sent = False

        async def trace(event: str, _: Mapping[str, object]) -> None:
            nonlocal sent
            sent = sent or event.endswith("send_request_headers.started")

        try:
            async with asyncio.timeout(self._timeout):
                request = await self._request("POST", body, headers)
                request.extensions = {**request.extensions, "trace": trace}
                response = await self._client.send(request, stream=True)
        except Forbidden as error:
            return Rejected(RejectReason.REFUSED, retryable=False, detail=str(error)), b""
        except (httpx.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: closed while the call was under way
            if sent:
                return Unknown(f"the call was sent, and then: {_words(error)}"), b""
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=_words(error)), b""
        try:
            return _outcome(response.status_code), await self._read(response)
        finally:
            await response.aclose()

    async def _request(self, method: str, body: bytes, headers: Mapping[str, str]) -> httpx.Request:
        """Build a request to the address that was checked, in the name of the host (Host and certificate)."""
        url = self._destination.url
        target = url.copy_with(host=await self._destination.address())
        named = {**headers, "Host": url.netloc.decode()}
        request = self._client.build_request(method, target, content=body, headers=named)
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        return request

    async def _read(self, response: httpx.Response) -> bytes:
        """Read the answer's body, if it is of use: success, not packed, at most 1 MiB, and soon."""
        if not response.is_success or "content-encoding" in response.headers:
            return b""
        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(self._timeout):
                async for piece in response.aiter_raw():
                    pieces.append(piece)
                    if sum(map(len, pieces)) > _LARGEST_ANSWER:
                        return b""
        except (httpx.HTTPError, OSError):
            return b""  # the status said that the messages are taken
        return b"".join(pieces)


def _outcome(status: int) -> SendResult:
    if 200 <= status < 300:
        return Accepted("call")
    detail = f"the call was answered {status}" + (" (redirects are not followed)" if 300 <= status < 400 else "")
    if status >= 500:
        return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=detail)
    return Rejected(_REASONS.get(status, RejectReason.REFUSED), retryable=status == 429, detail=detail)


def _words(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True
