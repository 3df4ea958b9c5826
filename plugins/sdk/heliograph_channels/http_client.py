"""Calls of a provider's HTTP API: bounded in every direction, and honest about what the provider may have.

Needs the extra `http` (`heliograph-channel-sdk[http]`). Nothing else in the SDK imports this module, so a channel with a
protocol of its own installs no HTTP library.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from heliograph_channels.results import Rejected, RejectReason, Unknown

__all__ = ["Answer", "HttpClient", "NoAnswer", "NotSent", "Pause", "base_url_problem", "refusal"]

LARGEST_ANSWER = 1024 * 1024
_CONNECT_SECONDS = 5.0
_LONGEST_PAUSE = timedelta(minutes=5)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_BY_STATUS = {
    401: RejectReason.CREDENTIALS,
    402: RejectReason.QUOTA_EXCEEDED,
    403: RejectReason.CREDENTIALS,
    408: RejectReason.UNAVAILABLE,
    413: RejectReason.INVALID_CONTENT,
    429: RejectReason.THROTTLED,
    503: RejectReason.UNAVAILABLE,
}


class NotSent(Exception):
    """The call certainly did not reach the provider: no connection, no TLS, no time left before the first byte."""


class NoAnswer(Exception):
    """The call was sent, in whole or in part, and no status came back: the provider may have acted on it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and what came with it.

    `body` is empty and `complete` False when the body was larger than allowed, packed, or broken off: the status counts
    all the same. Names of `headers` are in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    complete: bool = True

    @property
    def is_json(self) -> bool:
        """Whether the answer calls itself JSON."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower().endswith("json")

    def json(self) -> dict[str, object]:
        """Return the body as a JSON object; an empty one when it is anything else."""
        try:
            parsed = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return parsed if isinstance(parsed, dict) else {}


class HttpClient:
    """Connections to one provider, kept between calls.

    No redirects, no cookies, no proxies or passwords from the environment, no packed answers (they could unpack to
    anything). One event loop; any number of calls at once, of which `connections` are under way.
    """

    def __init__(
        self,
        *,
        timeout: float,
        connections: int,
        ca_file: str | None = None,
        tls: ssl.SSLContext | None = None,
        largest_answer: int = LARGEST_ANSWER,
    ) -> None:
        """Connect with the first call. `timeout`: most seconds a call may take, its answer included.

        `ca_file` is a PEM file of the authorities to trust instead of the system's. `tls` is a context to use instead,
        for whoever has many clients: each would read the authorities anew.

        Raises:
            OSError: `ca_file` cannot be read or holds no certificate.
        """
        self._timeout = timeout
        self._largest = largest_answer
        self._client = httpx.AsyncClient(
            verify=tls or ssl.create_default_context(cafile=ca_file),
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # Who takes no connection in 5 s will not; another address of the same name may.
            timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS)),
            # An idle connection that the provider is about to close looks like a lost answer: do not keep it for long.
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=5.0
            ),
        )

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._client.is_closed

    async def call(
        self,
        method: str,
        url: str | httpx.URL,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, object] | None = None,
        within: float | None = None,
    ) -> Answer:
        """Make one call and return its answer, whatever the status. May be cancelled at any time.

        `extensions` are httpx's (`sni_hostname`). `within` are fewer seconds than `timeout`, for this call alone.

        Raises:
            NotSent: the provider has nothing of it; the text says why.
            NoAnswer: the provider may have it.
        """
        if self._client.is_closed:
            raise NotSent("the channel is closed")
        sent = False

        async def trace(event: str, _: Mapping[str, object]) -> None:
            nonlocal sent
            sent = sent or event.endswith("send_request_headers.started")

        request = self._client.build_request(
            method,
            url,
            content=content,
            headers={"Accept-Encoding": "identity", "User-Agent": "Heliograph", **(headers or {})},
            extensions={**(extensions or {}), "trace": trace},
        )
        seconds = self._timeout if within is None else min(within, self._timeout)
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._client.send(request, stream=True)
        except (httpx.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: closed while the call was under way
            if sent:
                raise NoAnswer(f"the call was sent, and then: {_words(error)}") from error
            raise NotSent(_words(error)) from error
        try:
            body = await self._read(response, deadline)
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, body or b"", complete=body is not None)

    async def close(self) -> None:
        """Close the connections; calls under way fail. Safe to repeat."""
        await self._client.aclose()

    async def _read(self, response: httpx.Response, deadline: float) -> bytes | None:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            return None
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout_at(deadline):
                async for piece in response.aiter_raw():
                    size += len(piece)
                    if size > self._largest:
                        return None
                    pieces.append(piece)
        except (httpx.HTTPError, OSError, RuntimeError):
            return None  # the status was there: it says what became of the call
        return b"".join(pieces)


class Pause:
    """How long a provider asked to be left alone (`Retry-After`). Times are those of the context's clock."""

    def __init__(self) -> None:
        """Begin without a pause."""
        self._until: datetime | None = None

    def note(self, answer: Answer, now: datetime) -> None:
        """Remember what a 429 or 503 asks for: seconds or a date (RFC 9110 10.2.3), at most 5 minutes are believed."""
        if answer.status not in (429, 503):
            return
        wanted = _retry_after(answer.headers.get("retry-after", ""), now)
        if wanted > timedelta():
            self._until = now + min(wanted, _LONGEST_PAUSE)

    def ends(self, now: datetime) -> datetime | None:
        """Return when the pause that is on ends; None when there is none."""
        if self._until is not None and now >= self._until:
            self._until = None
        return self._until


def refusal(status: int, words: str = "") -> Rejected | Unknown:
    """Say what an answer that is no success means, by its status alone; `words` are the provider's own, if it used any.

    A 5xx in the provider's own words is its word that the message was not taken. Without them it may come from something
    in between that lost the provider's answer: only 503 is clear then.
    """
    detail = f"the call was answered {status}"
    if words:
        detail += f": {words}"
    elif 300 <= status < 400:
        detail += " (redirects are not followed)"
    if reason := _BY_STATUS.get(status):
        return Rejected(reason, retryable=status in (408, 429, 503), detail=detail[:500])
    if status < 500:
        return Rejected(RejectReason.REFUSED, retryable=False, detail=detail[:500])
    if words:
        return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=detail[:500])
    return Unknown(detail)


def base_url_problem(url: str) -> str | None:
    """Say what is wrong with the address of a provider's API in settings, or None: https, or http to this machine."""
    if any(character <= " " or character == "\x7f" for character in url) or len(url) > 2048:
        return "must be an address of at most 2,048 characters without blanks"
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return "must be an https:// address"
    if parsed.scheme not in ("https", "http") or not parsed.host:
        return "must be an https:// address"
    if parsed.userinfo:
        return "must not hold a user name or password"
    if parsed.query or parsed.fragment:
        return "must not hold a query or a fragment"
    if parsed.scheme == "http" and parsed.host not in _LOOPBACK:
        return "must begin with https:// (http:// goes to this machine only, for trials)"
    return None


def _retry_after(text: str, now: datetime) -> timedelta:
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return timedelta(seconds=int(text))
    try:
        return parsedate_to_datetime(text) - now
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return timedelta()


def _words(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
