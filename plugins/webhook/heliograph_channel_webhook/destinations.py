"""Where a call may go: https to public addresses, unless the settings say otherwise (reliability 6.4, SSRF)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpx

__all__ = ["Destination", "Forbidden", "Network", "url_problem"]

Network = IPv4Network | IPv6Network
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_NAT64 = IPv6Network("64:ff9b::/96")
_REMEMBERED_SECONDS = 10.0


class Forbidden(Exception):
    """The host has an address calls must not go to."""


def url_problem(url: str, *, insecure_loopback: bool) -> str | None:
    """Say what is wrong with a webhook's URL, or None. Looks nothing up."""
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
    if parsed.scheme == "http" and not insecure_loopback:
        return "must begin with https:// (allow_insecure_loopback allows http:// to this machine)"
    if parsed.port is not None and parsed.port < 1024 and parsed.port not in (80, 443):
        return "must not name a port below 1024 other than 80 and 443"
    return None


class Destination:
    """A URL and the addresses it may resolve to. The address that was checked is the one connected to."""

    def __init__(self, url: str, *, allowed: Sequence[Network], insecure_loopback: bool) -> None:
        """Take a URL that `url_problem` found good."""
        self.url = httpx.URL(url)
        self._allowed = tuple(allowed) + (_LOOPBACK if insecure_loopback else ())
        self._known: tuple[float, str] | None = None

    async def address(self) -> str:
        """Resolve the host (an answer is kept 10 s), check every address, and return the first.

        Raises:
            Forbidden: one of the addresses is private, local, reserved, or plain http leaves this machine.
            OSError: the name does not resolve.
        """
        loop = asyncio.get_running_loop()
        if self._known and loop.time() < self._known[0]:
            return self._known[1]
        port = self.url.port or (443 if self.url.scheme == "https" else 80)
        found = await loop.getaddrinfo(self.url.host, port, type=socket.SOCK_STREAM)
        addresses = [ip_address(str(item[4][0]).partition("%")[0]) for item in found]
        if not addresses:
            raise OSError("the host has no address")
        for address in addresses:
            self._check(address)
        self._known = (loop.time() + _REMEMBERED_SECONDS, str(addresses[0]))
        return self._known[1]

    def _check(self, address: IPv4Address | IPv6Address) -> None:
        if self.url.scheme == "http" and not any(address in network for network in _LOOPBACK):
            raise Forbidden("http:// is for this machine only")
        if any(address in network for network in self._allowed):
            return
        if not all(inner.is_global and not inner.is_multicast for inner in _meanings(address)):
            raise Forbidden("the host has an address that is not public (allow_networks may list its network)")


def _meanings(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """Return the address, or the IPv4 addresses hidden in it by mapping or tunnelling."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address.sixtofour:
        return [address.sixtofour]
    if address.teredo:
        return [address, *address.teredo]
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]
