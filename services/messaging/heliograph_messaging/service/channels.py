"""Use cases over channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from heliograph_channels import ChannelProvider, email_problem, phone_problem
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Aborted, Violations
from heliograph_kit.names import format_name
from heliograph_messaging.errors import ChannelNotFound
from heliograph_messaging.providers import KINDS
from heliograph_messaging.service.provider_settings import ProviderSettings
from heliograph_messaging.store.channels import ChannelStore, StoredChannel

MAX_FROM_ADDRESS = 320
TRIES = 5
"""How often a change is made again over what somebody else wrote meanwhile."""
T = TypeVar("T")


@dataclass(frozen=True)
class ChannelChange:
    """What a caller changes; None leaves a field as it is. `settings` replaces all but the secrets left out."""

    provider: str | None = None
    settings: Mapping[str, object] | None = None
    from_address: str | None = None
    enabled: bool | None = None
    tracking: Mapping[str, bool | None] = field(default_factory=dict)
    """`open_tracking` and `click_tracking` as far as they are changed; None: as the installation does it."""


class Channels:
    """Use cases over channels."""

    def __init__(
        self,
        database: Database,
        store: ChannelStore,
        settings: ProviderSettings,
        clock: Clock,
    ) -> None:
        """Take the store, what checks plugins' settings, and the clock."""
        self._database = database
        self._store = store
        self._settings = settings
        self._clock = clock

    def providers(self) -> Sequence[ChannelProvider]:
        """Return the installed plugins, by name."""
        catalogue = self._settings.catalogue
        return [catalogue[name] for name in sorted(catalogue)]

    async def get(self, project: str, kind: str) -> StoredChannel:
        """Return a channel.

        Raises:
            ChannelNotFound: it was never set up.
        """
        async with self._database.transaction() as conn:
            channel = await self._store.get(conn, project, kind)
        if channel is None:
            raise ChannelNotFound(format_name(project, "channels", kind))
        return channel

    async def list(self, project: str, *, after: str | None, size: int) -> Sequence[StoredChannel]:
        """Return channels of kinds above `after`, by kind."""
        async with self._database.transaction() as conn:
            return await self._store.list(conn, project, after=after, size=size)

    async def update(self, project: str, kind: str, change: ChannelChange, *, by: str) -> StoredChannel:
        """Set a channel up or change it.

        Raises:
            InvalidArgument: no such kind, or a bad sender address.
            ProviderUnknown, ChannelSettingsInvalid: as the plugin says.
            SecretKeyMissing: there are secrets and no key to store them under.
            Aborted: others changed it each time it was about to be written.
        """
        found = Violations()
        if kind not in KINDS:
            found.add("channel.name", f"must end in one of {', '.join(KINDS)}", "INVALID_ARGUMENT")
        _check_from(kind, change.from_address or "", found)
        for name, value in change.tracking.items():
            if value is not None and kind != "EMAIL":
                found.add(f"channel.{name}", "is for the channel EMAIL only", "INVALID_ARGUMENT")
        found.check()
        for _ in range(TRIES):
            async with self._database.transaction() as conn:
                present = await self._store.get(conn, project, kind)
            # A plugin may take seconds to look at them: nobody's connection and no lock waits for it.
            channel = await self._changed(project, kind, change, present, by=by)
            async with self._database.transaction() as conn:
                current = await self._store.get(conn, project, kind, lock=True)
                if _version(current) == _version(present) and await self._store.put(conn, channel):
                    return channel
        raise Aborted("the channel is being changed by somebody else; read it and try again")

    async def _changed(
        self, project: str, kind: str, change: ChannelChange, present: StoredChannel | None, *, by: str
    ) -> StoredChannel:
        chosen = change.provider or (present.provider if present else "")
        provider = self._settings.provider(kind, chosen, field="channel.provider")
        settings, names, sealed = await self._settings.settle(
            project, kind, provider, change.settings, present, field="channel.settings"
        )
        now = self._clock.now()
        return StoredChannel(
            project=project,
            kind=kind,
            provider=provider.name,
            settings=settings,
            secrets=sealed,
            secret_names=names,
            from_address=_first(change.from_address, present.from_address if present else ""),
            enabled=_first(change.enabled, present.enabled if present else False),
            version=present.version + 1 if present else 1,
            create_time=present.create_time if present else now,
            update_time=now,
            updated_by=by,
            open_tracking=change.tracking.get("open_tracking", present.open_tracking if present else None),
            click_tracking=change.tracking.get("click_tracking", present.click_tracking if present else None),
        )

    async def disable(self, project: str, kind: str, *, by: str) -> StoredChannel:
        """Switch a channel off; safe to repeat.

        Raises:
            ChannelNotFound: it was never set up.
        """
        async with self._database.transaction() as conn:
            present = await self._store.get(conn, project, kind, lock=True)
            if present is None:
                raise ChannelNotFound(format_name(project, "channels", kind))
            if not present.enabled:
                return present
            channel = replace(
                present, enabled=False, version=present.version + 1, update_time=self._clock.now(), updated_by=by
            )
            await self._store.put(conn, channel)
        return channel


def _version(channel: StoredChannel | None) -> int:
    return channel.version if channel else 0


def _first(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def _check_from(kind: str, address: str, found: Violations) -> None:
    field = "channel.from_address"
    if len(address) > MAX_FROM_ADDRESS or any(ord(character) < 32 for character in address):
        found.add(field, f"must be one line of at most {MAX_FROM_ADDRESS} characters", "INVALID_ARGUMENT")
    elif address and kind == "EMAIL" and (problem := email_problem(bare_address(address))):
        found.add(field, f"{problem}; write a@b.example or Name <a@b.example>", "ADDRESS_INVALID")
    elif address and kind == "VOICE" and (problem := phone_problem(address)):
        found.add(field, problem, "ADDRESS_INVALID")


def bare_address(address: str) -> str:
    """Return what stands between the angle brackets of `Name <a@b>`, or the whole."""
    _, bracket, rest = address.rpartition("<")
    return rest.removesuffix(">").strip() if bracket and address.endswith(">") else address.strip()
