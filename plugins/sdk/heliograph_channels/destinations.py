"""Where a call may go: https to public addresses, unless the settings say otherwise (reliability 6.4, SSRF).

For channels whose calls go where somebody else says: an address in settings, or one a browser handed over. Needs the
extra `http`.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import httpx

from heliograph_channels.http_client import Answer, HttpClient, NotSent

__all__ = ["Destination", "Forbidden", "Network", "network_problem", "url_problem"]

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_SHARED = IPv4Network("100.64.0.0/10")
_NAT64 = IPv6Network("64:ff9b::/96")
# Whatever else IPv6 has is not for the public: site-local, unique local, link-local, multicast, reserved, local NAT64.
_UNICAST = IPv6Network("2000::/3")
_ISATAP = (0x00005EFE, 0x02005EFE)
# A host whose last label is a number is an address to whoever resolves it (127.1, 0x7f000001, 2130706433, 0177.0.0.1).
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?")
_REMEMBERED_SECONDS = 10.0
_MOST_ADDRESSES = 20


class Forbidden(Exception):
    """The host has an address calls must not go to; the text says of what kind, and never which."""


def url_problem(url: str, *, insecure_loopback: bool) -> str | None:
    """Say what is wrong with an address that calls are to go to, or None. Looks nothing up."""
    if any(character <= " " or character in "\\\x7f" for character in url) or len(url) > 2048:
        return "must be an address of at most 2,048 characters without blanks and backslashes"
    try:
        split = urlsplit(url)
        if _misspelt(split.hostname or ""):
            return "must name its host, or write its address in the usual form"
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return "must be an https:// address"
    if parsed.scheme not in ("https", "http") or not parsed.host:
        return "must be an https:// address"
    if "@" in split.netloc:
        return "must not hold a user name or password"
    if parsed.scheme == "http" and not insecure_loopback:
        return "must begin with https:// (allow_insecure_loopback allows http:// to this machine)"
    if parsed.port is not None and parsed.port not in (80, 443) and not 1024 <= parsed.port <= 65535:
        return "must name the port 80, 443, or one from 1024 to 65535"
    return None


def network_problem(text: str) -> str | None:
    """Say what is wrong with a network that settings allow, or None."""
    try:
        ip_network(text)
    except ValueError:
        return "must be a network like 10.1.0.0/16"
    return None


class Destination:
    """A URL and the addresses it may resolve to. The address that was checked is the one connected to.

    A client keeps connections by address, so one that serves several names needs a client for each of them: two names
    with one address would share a connection, and with it a certificate.
    """

    def __init__(self, url: str, *, allowed: Sequence[Network], insecure_loopback: bool) -> None:
        """Take a URL that `url_problem` found good."""
        self.url = httpx.URL(url)
        self.host = self.url.raw_host.decode()
        """The host as it goes over the wire: a name in another script in its ASCII form."""
        self._allowed = tuple(allowed) + (_LOOPBACK if insecure_loopback else ())
        self._known: tuple[float, list[str]] | None = None

    async def addresses(self) -> list[str]:
        """Resolve the host (an answer is kept 10 s), check every address, and return them in the resolver's order.

        One address that is not allowed is enough to refuse all: a name that mixes them is an attack or a mistake.

        Raises:
            Forbidden: one of the addresses is private, local, reserved, or plain http leaves this machine.
            OSError: the name does not resolve.
        """
        loop = asyncio.get_running_loop()
        if self._known and loop.time() < self._known[0]:
            return self._known[1]
        port = self.url.port or (443 if self.url.scheme == "https" else 80)
        try:
            found = await loop.getaddrinfo(self.host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # a label that is empty or too long for the name service
            raise OSError("the name of the host cannot be looked up") from error
        addresses = [ip_address(str(item[4][0]).partition("%")[0]) for item in found]
        if not addresses:
            raise OSError("the host has no address")
        for address in addresses:
            self._check(address)
        unique = list(dict.fromkeys(map(str, addresses)))[:_MOST_ADDRESSES]
        self._known = (loop.time() + _REMEMBERED_SECONDS, unique)
        return unique

    async def call(
        self,
        client: HttpClient,
        method: str,
        *,
        target: str | httpx.URL | None = None,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        within: float,
    ) -> Answer:
        """Call the addresses that were checked, in the name of the host (Host and certificate), until one answers.

        `target` is another address at the same host and port. All of it takes at most `within` seconds, looking the name
        up included.

        Raises:
            Forbidden: the host has an address that must not be called.
            NotSent: the name does not resolve, or no address takes a connection.
            NoAnswer: one of them may have the call.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + within
        url = self.url if target is None else httpx.URL(target)
        if (url.scheme, url.netloc) != (self.url.scheme, self.url.netloc):
            raise Forbidden("the address belongs to another host")
        try:
            async with asyncio.timeout_at(ends):
                addresses = await self.addresses()
        except OSError as error:  # TimeoutError is one
            raise NotSent(f"{type(error).__name__}: {error}"[:300]) from error
        failure = NotSent("no time was left")
        for address in addresses:
            if loop.time() >= ends:
                break
            try:
                return await client.call(
                    method,
                    url.copy_with(host=address),
                    content=content,
                    headers={**(headers or {}), "Host": url.netloc.decode()},
                    extensions={"sni_hostname": self.host},
                    within=ends - loop.time(),
                )
            except NotSent as error:
                failure = error
        raise failure

    def _check(self, address: Address) -> None:
        if self.url.scheme == "http" and not any(address in network for network in _LOOPBACK):
            raise Forbidden("http:// is for this machine only")
        if any(address in network for network in self._allowed):
            return
        for meant in _meanings(address):
            if kind := _not_public(meant):
                raise Forbidden(f"the host has {kind} address (allow_networks may list its network)")


def _not_public(address: Address) -> str | None:
    """Say of what kind an address is that is not the public's, None for a public one."""
    if any(address in network for network in _LOOPBACK) or address.is_unspecified:
        return "a loopback"
    if address.is_link_local:
        return "a link-local"
    if address.is_multicast:
        return "a multicast"
    if isinstance(address, IPv4Address):
        if address in _SHARED:
            return "a carrier's shared"
        return None if address.is_global else "a private or reserved"
    return None if address in _UNICAST and address.is_global else "a private or reserved"


def _meanings(address: Address) -> list[Address]:
    """Return the addresses a packet to this one may reach: itself, or the IPv4 addresses hidden in it."""
    if isinstance(address, IPv4Address):
        return [address]
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped or address in _NAT64:
        return [low]
    if address.sixtofour:
        return [address.sixtofour]
    if address.teredo:
        return [address, *address.teredo]
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return [address, low]
    return [address]


def _misspelt(host: str) -> bool:
    """Tell whether a host is an address in a spelling that hides it: octal, hexadecimal, short, escaped, with a zone."""
    if "%" in host:
        return True
    if ":" in host or not _NUMERIC.fullmatch(host):
        return False
    try:
        IPv4Address(host)
    except ValueError:
        return True
    return False
