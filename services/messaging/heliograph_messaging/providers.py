"""Channel plugins in this process: the catalogue, and one opened sender for each channel of a project."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from heliograph_channels import (
    Capabilities,
    ChannelProvider,
    InboundMessage,
    PluginError,
    ProviderContext,
    Receipt,
    Sender,
)
from heliograph_kit.secretbox import SecretBox, SecretUnreadable
from heliograph_messaging.contained import capabilities_under, close_sender, open_sender
from heliograph_messaging.domain.breaker import Breaker
from heliograph_messaging.faults import PluginFault
from heliograph_messaging.isolation.catalogue import load
from heliograph_messaging.isolation.child import Limits
from heliograph_messaging.redaction import KNOWN, Secrets, watch
from heliograph_messaging.store.routes import Route

_log = logging.getLogger(__name__)

KINDS = ("CUSTOM", "EMAIL", "PUSH", "SMS", "VOICE")
"""The kinds of channel a project can set up."""

_LIMITS = Limits()
_REFUSED_SECONDS = 1.0

ReportTo = Callable[[str, str, Sequence[Receipt]], Awaitable[None]]
DeliverTo = Callable[[str, str, Sequence[InboundMessage]], Awaitable[None]]
_CALLS_END_SECONDS = 60


class CannotOpen(Exception):
    """A channel cannot be opened now; the text names the plugin and says why."""


def load_catalogue(
    enabled: Sequence[str] | None, isolated: Sequence[str] | None = None, limits: Limits = _LIMITS
) -> dict[str, ChannelProvider]:
    """Load the channel plugins; None loads every installed one. Those of strangers run in processes of their own.

    `isolated` and `limits` are explained at `isolation.catalogue.load`; what was loaded is closed by its `close`.

    Raises:
        PluginError: a plugin cannot be used; the text names it.
    """
    catalogue = load(enabled, isolated, limits)
    for name, provider in catalogue.items():
        _log.info("channel plugin %s carries %s", name, ", ".join(sorted(provider.kinds)))
    return catalogue


@dataclass
class OpenChannel:
    """An opened sender with what guards it.

    `slots` bounds the calls at the same time in this process; `secrets` must not show in what the plugin answers.
    """

    route: str
    provider: ChannelProvider
    capabilities: Capabilities
    sender: Sender
    version: int
    slots: asyncio.Semaphore
    breaker: Breaker
    secrets: Secrets = field(default_factory=Secrets)


class Senders:
    """Opens senders on first use and again when a channel's settings change."""

    def __init__(
        self,
        catalogue: Mapping[str, ChannelProvider],
        box: SecretBox,
        report: ReportTo,
        deliver: DeliverTo,
        *,
        public_url: str,
        now: Callable[[], datetime],
        open_timeout: timedelta,
        breaker: Callable[[], Breaker],
    ) -> None:
        """Take the plugins, the secrets' box, where receipts and people's messages go (project, provider, what came), where
        the gateway is reached from outside (empty: nowhere) and the product's clock.
        """
        self._catalogue = catalogue
        self._box = box
        self._report = report
        self._deliver = deliver
        self._public_url = public_url
        self._now = now
        self._open_timeout = open_timeout.total_seconds()
        self._breaker = breaker
        self._open: dict[tuple[str, str, str], OpenChannel] = {}
        self._refused: dict[tuple[str, str, str], tuple[int, float, str]] = {}
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def provider(self, name: str) -> ChannelProvider | None:
        """Return a plugin, None when it is not installed."""
        return self._catalogue.get(name)

    def present(self, route: Route) -> OpenChannel | None:
        """Return the sender that is open for a route in this process, None when there is none."""
        return self._open.get(route.key)

    async def capabilities(self, route: Route) -> Capabilities:
        """Return what a route can do as it is set up now, without opening it.

        Raises:
            CannotOpen: as `of`.
        """
        provider, secrets = self._look(route)
        try:
            return await capabilities_under(provider, {**route.settings, **secrets})
        except PluginFault as fault:
            raise CannotOpen(str(fault)) from fault

    def has(self, key: tuple[str, str, str], version: int) -> bool:
        """Tell whether a route is open as it is in this version, or in a later one."""
        present = self._open.get(key)
        return present is not None and present.version >= version

    def let_go(self, listening: Collection[tuple[str, str, str]]) -> None:
        """Close the open routes that hear by themselves and are none of these, once their calls had time to end."""
        for key, present in list(self._open.items()):
            if present.capabilities.listens and key not in listening:
                del self._open[key]
                self._retire(present)

    async def of(self, route: Route) -> OpenChannel:
        """Return the sender of a route as it is set up now.

        Raises:
            CannotOpen: the plugin is not installed, cannot be opened, or its secrets cannot be read.
        """
        key = route.key
        present = self._open.get(key)
        if present is not None and present.version == route.version:
            return present
        async with self._locks.setdefault(key, asyncio.Lock()):
            present = self._open.get(key)
            # A batch that read the settings a moment before another must not bring the old ones back.
            if present is not None and present.version >= route.version:
                return present
            # What could not be opened is not tried again by each of the batches that wait for it.
            version, until, refused = self._refused.get(key, (0, 0.0, ""))
            if version == route.version and time.monotonic() < until:
                raise CannotOpen(refused)
            try:
                opened = await self._open_one(route)
            except CannotOpen as error:
                self._refused[key] = (route.version, time.monotonic() + _REFUSED_SECONDS, str(error))
                raise
            self._open[key] = opened
            if present is not None:
                self._retire(present)
            return opened

    async def close(self) -> None:
        """Close all senders."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await asyncio.gather(*(self._close(channel, after=0) for channel in self._open.values()))
        self._open.clear()

    def _look(self, route: Route) -> tuple[ChannelProvider, dict[str, object]]:
        """Return the plugin and the secrets of a route."""
        provider = self._catalogue.get(route.provider)
        if provider is None:
            raise CannotOpen(f"the channel plugin {route.provider!r} is not installed")
        try:
            return provider, self._box.open(route.project, route.seal, route.secrets)
        except SecretUnreadable as error:
            raise CannotOpen(str(error)) from error

    def _retire(self, present: OpenChannel) -> None:
        task = asyncio.create_task(self._close(present, after=_CALLS_END_SECONDS))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _open_one(self, route: Route) -> OpenChannel:
        provider, secrets = self._look(route)

        async def deliver(messages: Sequence[InboundMessage]) -> None:
            await self._deliver(route.project, provider.name, messages)

        async def report(receipts: Sequence[Receipt]) -> None:
            await self._report(route.project, provider.name, receipts)

        logger = logging.getLogger(f"heliograph.channel.{provider.name}")
        KNOWN.learn(secrets.values())
        watch(logger)
        context = ProviderContext(
            project=route.project,
            report=report,
            logger=logger,
            now=self._now,
            deliver=deliver,
            webhook_url=webhook_url(self._public_url, *route.key),
        )
        settings = {**route.settings, **secrets}
        try:
            able, sender = await open_sender(provider, settings, context, seconds=self._open_timeout)
        except PluginFault as fault:
            raise CannotOpen(str(fault)) from fault
        return OpenChannel(
            route.route,
            provider,
            able,
            sender,
            route.version,
            asyncio.Semaphore(able.concurrency),
            self._breaker(),
            Secrets(secrets.values()),
        )

    async def _close(self, channel: OpenChannel, *, after: float) -> None:
        # Calls that are under way keep their sender until they are done.
        if after:
            await asyncio.sleep(after)
        await close_sender(channel.provider, channel.sender, seconds=10)


def webhook_url(public_url: str, project: str, kind: str, route: str = "") -> str:
    """Return where a provider calls for a route of a channel; empty when the installation is not reached from outside."""
    return "/".join((public_url, "hooks", project, kind.lower(), *([route] if route else ()))) if public_url else ""


__all__ = ["KINDS", "CannotOpen", "OpenChannel", "PluginError", "Senders", "load_catalogue", "webhook_url"]
