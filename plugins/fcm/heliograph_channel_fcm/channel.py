"""The channel `push-fcm`: its settings, and the calls that send (FCM HTTP v1, `projects.messages.send`)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from heliograph_channel_fcm.codes import error_of, outcome, wants_another_token
from heliograph_channel_fcm.content import message_of
from heliograph_channel_fcm.settings import BATCH, SCHEMA, ServiceAccount, problems, service_account
from heliograph_channel_fcm.tokens import AccessTokens
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
from heliograph_channels.http_client import Answer, HttpClient, NoAnswer, NotSent, Pause

__all__ = ["FcmPush"]

_TOKEN = re.compile(r"[A-Za-z0-9_:.%+/=-]{1,4096}")
_HEALTH = {"validate_only": True, "message": {"topic": "heliograph-health", "data": {"health": "1"}}}


class FcmPush(ChannelProvider):
    """Notifications for Android through Firebase Cloud Messaging."""

    name = "push-fcm"
    kinds = frozenset({Kind.PUSH})
    platforms = frozenset({"GCM"})
    capabilities = Capabilities(batch_size=BATCH, concurrency=2)
    settings_schema = SCHEMA

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, the service account and the addresses."""
        return [*super().check_settings(settings), *problems(settings)]

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Let as many batches go at once as there are connections for."""
        connections = settings.get("connections", 100)
        return Capabilities(
            batch_size=BATCH, concurrency=max(1, connections // BATCH) if isinstance(connections, int) else 2
        )

    def check_address(self, kind: Kind, address: str) -> str | None:
        """Refuse what is no registration token."""
        if problem := super().check_address(kind, address):
            return problem
        return None if _TOKEN.fullmatch(address) else "holds a character that no registration token has"

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> FcmSender:
        """Connect with the first message.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        return FcmSender(with_defaults(self.settings_schema, settings), context)


class FcmSender(Sender):
    """One project of Firebase."""

    def __init__(self, settings: Mapping[str, object], context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
            ValueError: the service account is none; `check_settings` says so first.
        """
        values = cast(Mapping[str, Any], settings)
        account = service_account(str(values["service_account"]))
        if not isinstance(account, ServiceAccount):
            raise ValueError(f"service_account {account}")
        self._url = f"{str(values['base_url']).rstrip('/')}/v1/projects/{account.project}/messages:send"
        self._shown_by = str(values["shown_by"])
        self._click_action = str(values.get("click_action") or "")
        self._context = context
        self._pause = Pause()
        self._timeout = float(values["timeout"])
        self._client = HttpClient(
            timeout=self._timeout, connections=values["connections"], ca_file=values.get("ca_file")
        )
        self._tokens = AccessTokens(account, str(values.get("token_url") or account.token_url), self._client, context)

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Make one call per message, all at once; each answer is its own message's."""
        return await asyncio.gather(*map(self._send, messages))

    async def health(self) -> Health:
        """Have FCM check a message without sending it: that needs the key, the project and the right to send."""
        try:
            answer = await self._call(json.dumps(_HEALTH).encode())
        except (NotSent, NoAnswer) as error:
            return Health(False, str(error))
        if isinstance(answer, Rejected):
            return Health(False, answer.detail)
        if answer.status == 200 and "name" in answer.json():
            return Health(True, "FCM would take a message")
        return Health(False, f"FCM answered {answer.status} {error_of(answer.json()) or ''}".rstrip())

    async def close(self) -> None:
        """Close the connections. Safe to repeat."""
        await self._client.close()
        await self._tokens.close()

    async def _send(self, message: OutgoingMessage) -> SendResult:
        content = message.content
        if not isinstance(content, PushContent):
            return Unsupported(type(content).__name__)
        if not _TOKEN.fullmatch(message.address):
            detail = "the address is no registration token"
            return Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail=detail)
        built = message_of(content, message.message_class, shown_by=self._shown_by, click_action=self._click_action)
        if isinstance(built, str):
            return Rejected(RejectReason.INVALID_CONTENT, retryable=False, detail=built)
        if (until := self._pause.ends(self._context.now())) and not self._client.is_closed:
            detail = f"FCM asked to be left alone until {until:%H:%M:%S} UTC"
            return Rejected(RejectReason.THROTTLED, retryable=True, detail=detail)
        body = {"message": {"token": message.address, **built}}
        try:
            answer = await self._call(json.dumps(body, separators=(",", ":")).encode())
        except NotSent as error:
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=str(error))
        except NoAnswer as error:
            return Unknown(str(error))
        if isinstance(answer, Rejected):
            return answer
        self._pause.note(answer, self._context.now())
        return outcome(answer, message.message_id)

    async def _call(self, content: bytes) -> Answer | Rejected:
        """Make one call; a second one with another access token when the first was refused for its token.

        All of it, asking for tokens included, takes no longer than one call may.

        Raises:
            NotSent: FCM has nothing of it.
            NoAnswer: FCM may have it.
        """
        ends = asyncio.get_running_loop().time() + self._timeout
        token = await self._token(ends)
        if isinstance(token, Rejected):
            return token
        answer = await self._post(content, token, ends)
        if not wants_another_token(answer):
            return answer
        token = await self._token(ends, refused=token)
        return token if isinstance(token, Rejected) else await self._post(content, token, ends)

    async def _token(self, ends: float, *, refused: str = "") -> str | Rejected:
        try:
            async with asyncio.timeout_at(ends):
                return await self._tokens.get(refused=refused)
        except TimeoutError as error:
            raise NotSent("no access token came in time") from error

    async def _post(self, content: bytes, token: str, ends: float) -> Answer:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
        within = ends - asyncio.get_running_loop().time()
        return await self._client.call("POST", self._url, content=content, headers=headers, within=within)
