"""A channel whose plugin runs in another process, for the service a channel like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from heliograph_channels import Capabilities, ChannelProvider, Kind, Problem, ProviderContext, Sender
from heliograph_messaging.faults import Fault, PluginFault, tell
from heliograph_messaging.isolation import codec
from heliograph_messaging.isolation.codec import Garbled
from heliograph_messaging.isolation.process import PluginProcess, in_thread
from heliograph_messaging.isolation.sender import IsolatedSender

T = TypeVar("T")


class IsolatedChannel(ChannelProvider):
    """Describes the channel by what its process said at the start, and asks it for everything else.

    The methods of `ChannelProvider` block until the process answers, at most for the limit on checks; in an event loop
    the `ask_` methods do the same without blocking it.
    """

    def __init__(
        self,
        process: PluginProcess,
        name: str,
        kinds: frozenset[Kind],
        platforms: frozenset[str],
        capabilities: Capabilities,
        settings_schema: Mapping[str, object],
    ) -> None:
        """Take the process and the description."""
        self.process = process
        self.name = name
        self.kinds = kinds
        self.platforms = platforms
        self.capabilities = capabilities
        self.settings_schema = settings_schema

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Ask the plugin.

        Raises:
            PluginFault: it cannot be asked, or its check failed.
        """
        return self._ask_now(self._settings, dict(settings))

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Ask the plugin; raises as `check_settings`."""
        return self._ask_now(self._capabilities, dict(settings))

    def check_address(self, kind: Kind, address: str) -> str | None:
        """Ask the plugin; raises as `check_settings`."""
        return self.check_addresses(kind, [address])[0]

    def check_addresses(self, kind: Kind, addresses: Sequence[str]) -> Sequence[str | None]:
        """Ask the plugin about all of them at once; raises as `check_settings`."""
        return self._ask_now(self._addresses, kind, list(addresses))

    async def ask_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Do as `check_settings`."""
        return await self._ask(self._settings, dict(settings))

    async def ask_capabilities(self, settings: Mapping[str, object]) -> Capabilities:
        """Do as `capabilities_for`."""
        return await self._ask(self._capabilities, dict(settings))

    async def ask_addresses(self, kind: Kind, addresses: Sequence[str]) -> Sequence[str | None]:
        """Do as `check_addresses`."""
        return await self._ask(self._addresses, kind, list(addresses))

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> Sender:
        """Open a sender over there.

        Raises:
            PluginFault: the process cannot be started, or the plugin did not open.
        """
        listens = self.capabilities.listens
        sender = IsolatedSender(self.process, self.name, dict(settings), context, listens=listens)
        await sender.begin()
        return sender

    def _settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        return codec.problems(self.process.ask("settings", self.name, settings))

    def _capabilities(self, settings: Mapping[str, object]) -> Capabilities:
        return codec.capabilities(self.process.ask("capabilities", self.name, settings))

    def _addresses(self, kind: Kind, addresses: Sequence[str]) -> Sequence[str | None]:
        answer = self.process.ask("addresses", self.name, kind, addresses)
        problems, wrong = codec.address_problems(answer, len(addresses))
        if wrong:
            tell(self.name, Fault.RAISED, wrong)
        return problems

    def _ask_now(self, question: Callable[..., T], *about: object) -> T:
        try:
            return self.process.run(question, *about).result()
        except Garbled as error:
            raise self._garbled(error) from None

    async def _ask(self, question: Callable[..., T], *about: object) -> T:
        try:
            return await in_thread(self.process, question, *about)
        except Garbled as error:
            raise self._garbled(error) from None

    def _garbled(self, error: Garbled) -> PluginFault:
        return PluginFault(self.name, Fault.GARBLED, f"answered something else than {error}")
