"""Access tokens for Google's APIs, made of the service account's key (RFC 7523; "OAuth 2.0 for service accounts")."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from heliograph_channel_fcm.settings import ServiceAccount
from heliograph_channels import ProviderContext, Rejected, RejectReason
from heliograph_channels.http_client import Answer, HttpClient, NoAnswer, NotSent, refusal
from heliograph_channels.jwt import signed

__all__ = ["AccessTokens"]

_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_SECONDS = 3600
_MARGIN = timedelta(minutes=5)
"""A token is renewed this long before its end: a call that is slow, or a clock that is off, still has a good one."""
_PAUSE = timedelta(seconds=10)
"""After a renewal that failed while the token is still good, the next is not tried sooner."""
_TOKEN = re.compile(r"[!-~]{1,8192}")


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    renew_at: datetime
    ends_at: datetime


class AccessTokens:
    """The token of one service account: kept until it nears its end, then renewed by one task for all who wait."""

    def __init__(self, account: ServiceAccount, url: str, client: HttpClient, context: ProviderContext) -> None:
        """Take where tokens come from; ask for the first when it is needed."""
        self._account = account
        self._url = url
        self._client = client
        self._context = context
        self._token: _Token | None = None
        self._not_before: datetime | None = None
        self._renewal: asyncio.Task[_Token | Rejected] | None = None

    async def get(self, *, refused: str = "") -> str | Rejected:
        """Return a good token, or why there is none: no message was sent then.

        `refused` is a token that Google no longer takes; another is asked for unless it is there already. May be
        cancelled at any time; the renewal goes on for the others.
        """
        now = self._context.now()
        token = self._token
        usable = token is not None and token.text != refused and now < token.ends_at
        if token is not None and usable and (now < token.renew_at or (self._not_before and now < self._not_before)):
            return token.text
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().create_task(self._renew())
            self._renewal.add_done_callback(self._renewed)
        if token is not None and usable:
            return token.text
        renewed = await asyncio.shield(self._renewal)
        return renewed if isinstance(renewed, Rejected) else renewed.text

    async def close(self) -> None:
        """Wait for a renewal under way; close the client first, which ends it."""
        if self._renewal is not None:
            await asyncio.gather(self._renewal, return_exceptions=True)

    def _renewed(self, task: asyncio.Task[_Token | Rejected]) -> None:
        self._renewal = None
        if task.cancelled() or task.exception() is not None:
            return
        outcome = task.result()
        if isinstance(outcome, _Token):
            self._token, self._not_before = outcome, None
        else:
            self._not_before = self._context.now() + _PAUSE
            self._context.logger.warning("no access token from Google: %s", outcome.detail)

    async def _renew(self) -> _Token | Rejected:
        now = self._context.now()
        issued = int(now.timestamp())
        claims = {
            "iss": self._account.email,
            "scope": _SCOPE,
            "aud": self._url,
            "iat": issued,
            "exp": issued + _ASSERTION_SECONDS,
        }
        assertion = signed(claims, self._account.key, key_id=self._account.key_id)
        form = urlencode({"grant_type": _GRANT, "assertion": assertion}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        try:
            answer = await self._client.call("POST", self._url, content=form, headers=headers)
        except (NotSent, NoAnswer) as error:  # nothing is in doubt: a token carries no message
            return _away(str(error))
        return _understood(answer, now)


def _understood(answer: Answer, now: datetime) -> _Token | Rejected:
    told = answer.json()
    if answer.status == 200:
        text, seconds = told.get("access_token"), told.get("expires_in")
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            return _away("the token's answer holds no token")
        if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= 86400:
            seconds = _ASSERTION_SECONDS
        lasts = timedelta(seconds=seconds)
        return _Token(text, now + lasts - min(_MARGIN, lasts / 2), now + lasts)
    error, more = told.get("error"), told.get("error_description")
    words = ": ".join(word for word in (error, more) if isinstance(word, str))
    if answer.status in (400, 401, 403):
        return Rejected(
            RejectReason.CREDENTIALS, retryable=False, detail=f"no access token: {words or answer.status}"[:500]
        )
    judged = refusal(answer.status, words)
    if isinstance(judged, Rejected) and judged.reason is RejectReason.THROTTLED:
        return Rejected(RejectReason.THROTTLED, retryable=True, detail=f"no access token: {judged.detail}"[:500])
    return _away(judged.detail)


def _away(detail: str) -> Rejected:
    return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=f"no access token: {detail}"[:500])
