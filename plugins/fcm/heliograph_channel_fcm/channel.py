"""The channel `push-fcm`: its settings, and the calls that send (FCM HTTP v1, `projects.messages.send`)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from functools import partial

from heliograph_channel_fcm.codes import error_of, outcome, wants_another_token
from heliograph_channel_fcm.content import message_of
from heliograph_channel_fcm.settings import BATCH, SCHEMA, ServiceAccount, problems, service_account
from heliograph_channel_fcm.tokens import AccessTokens
from heliograph_channels import (
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
from heliograph_channels.http_client import Answer, HttpClient, NoAnswer, NotSent

__all__ = ["FcmPush"]

_TOKEN = re.compile(r"[A-Za-z0-9_:.%+/=-]{1,4096}")
_HEALTH = {"validate_only": True, "message": {"topic": "heliograph-health", "data": {"health": "1"}}}


class FcmPush(CallProvider):
    """Notifications for Android through Firebase Cloud Messaging."""

    name = "push-fcm"
    kinds = frozenset({Kind.PUSH})
    platforms = frozenset({"GCM"})
    capabilities = Capabilities(batch_size=BATCH, concurrency=2)
    settings_schema = SCHEMA

    def further_problems(self, settings: Mapping[str, object]) -> Iterable[Problem]:
        """Check the service account and the addresses."""
        return problems(settings)

    def further_address_problem(self, address: str) -> str | None:
        """Refuse what is no registration token."""
        return None if _TOKEN.fullmatch(address) else "holds a character that no registration token has"

    def sender(self, settings: Values, context: ProviderContext) -> FcmSender:
        """Open the project of Firebase."""
        return FcmSender(settings, context)


class FcmSender(CallSender[PushContent]):
    """One project of Firebase."""

    takes = PushContent
    provider = "FCM"

    def __init__(self, settings: Values, context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
            ValueError: the service account is none; `check_settings` says so first.
        """
        super().__init__(context)
        account = service_account(str(settings["service_account"]))
        if not isinstance(account, ServiceAccount):
            raise ValueError(f"service_account {account}")
        self._url = f"{str(settings['base_url']).rstrip('/')}/v1/projects/{account.project}/messages:send"
        self._shown_by = str(settings["shown_by"])
        self._click_action = str(settings.get("click_action") or "")
        self._timeout = float(settings["timeout"])
        self._client = HttpClient(
            timeout=self._timeout, connections=settings["connections"], ca_file=settings.get("ca_file")
        )
        self._tokens = AccessTokens(account, str(settings.get("token_url") or account.token_url), self._client, context)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._client.is_closed

    async def send(self, message: OutgoingMessage, content: PushContent) -> SendResult:
        """Send it (FCM's `projects.messages.send`)."""
        if not _TOKEN.fullmatch(message.address):
            return refused(RejectReason.INVALID_ADDRESS, "the address is no registration token")
        built = message_of(content, message.message_class, shown_by=self._shown_by, click_action=self._click_action)
        if isinstance(built, str):
            return refused(RejectReason.INVALID_CONTENT, built)
        body = {"message": {"token": message.address, **built}}
        return await self.exchange(
            lambda: self._call(json.dumps(body, separators=(",", ":")).encode()),
            partial(outcome, message_id=message.message_id),
        )

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
