"""Connections to push services: one client for each host, and the token that tells it who we are (VAPID, RFC 8292)."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_channel_webpush.encryption import point_of
from heliograph_channels.destinations import Destination, Network
from heliograph_channels.http_client import HttpClient, Pause
from heliograph_channels.jwt import base64url, signed

__all__ = ["Service", "Services"]

_MOST_SERVICES = 64
"""Clients kept: `*.notify.windows.com` alone has some dozen hosts, and a subscription may name any number."""
_LASTS = timedelta(hours=12)
"""RFC 8292 2 allows a day."""
_MARGIN = timedelta(hours=1)


class Service:
    """One push service."""

    def __init__(self, origin: str, destination: Destination, client: HttpClient) -> None:
        """Take the way to it."""
        self.origin = origin
        self.destination = destination
        self.client = client
        self.pause = Pause()
        self.calls = 0
        self._token = ""
        self._renew_at: datetime | None = None

    def authorization(self, key: ec.EllipticCurvePrivateKey, subject: str, now: datetime) -> str:
        """Return the header that says who we are; its token is kept until an hour before its end."""
        if self._renew_at is None or not self._renew_at - _LASTS <= now < self._renew_at:
            claims = {"aud": self.origin, "exp": int((now + _LASTS).timestamp()), "sub": subject}
            self._token = f"vapid t={signed(claims, key)}, k={base64url(point_of(key.public_key()))}"
            self._renew_at = now + _LASTS - _MARGIN
        return self._token


class Services:
    """The push services in use. One that was not used for longest gives way when there are too many."""

    def __init__(self, *, timeout: float, connections: int, tls: ssl.SSLContext, allowed: Sequence[Network]) -> None:
        """Connect with the first call to each."""
        self._timeout, self._connections, self._tls = timeout, connections, tls
        self._allowed = allowed
        self._kept: OrderedDict[str, Service] = OrderedDict()
        self.is_closed = False

    @contextmanager
    def use(self, endpoint: httpx.URL) -> Iterator[Service]:
        """Return the service of an endpoint for one call; as long as there is one, it is not given up."""
        origin = f"{endpoint.scheme}://{endpoint.netloc.decode()}"
        service = self._kept.get(origin)
        if service is None:
            destination = Destination(f"{origin}/", allowed=self._allowed, insecure_loopback=False)
            client = HttpClient(timeout=self._timeout, connections=self._connections, tls=self._tls)
            service = self._kept[origin] = Service(origin, destination, client)
        self._kept.move_to_end(origin)
        service.calls += 1
        try:
            yield service
        finally:
            service.calls -= 1

    async def tidy(self) -> None:
        """Close what is kept beyond the limit and not in use."""
        idle = [origin for origin, service in self._kept.items() if not service.calls]
        surplus = len(self._kept) - _MOST_SERVICES
        for origin in idle[: max(0, surplus)]:
            await self._kept.pop(origin).client.close()

    async def close(self) -> None:
        """Close the connections; calls under way fail. Safe to repeat."""
        self.is_closed = True
        while self._kept:
            await self._kept.popitem()[1].client.close()
