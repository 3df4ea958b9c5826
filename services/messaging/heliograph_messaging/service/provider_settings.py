"""A plugin's settings as somebody gives them: checked by the plugin, parted into what is shown and what is sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from heliograph_channels import ChannelProvider, Kind, secret_fields, with_defaults
from heliograph_kit.errors import Unavailable, Violation
from heliograph_kit.names import format_name
from heliograph_kit.secretbox import SecretBox, SecretUnreadable
from heliograph_messaging.contained import settings_problems
from heliograph_messaging.errors import ChannelNotUsable, ChannelSettingsInvalid, ProviderUnknown
from heliograph_messaging.faults import Fault, PluginFault


class Stored(Protocol):
    """What is stored of a provider's settings, for a channel or one of its routes."""

    @property
    def provider(self) -> str:
        """The plugin."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """The settings without secrets."""
        ...

    @property
    def secrets(self) -> bytes:
        """The secrets, sealed."""
        ...

    @property
    def secret_names(self) -> Sequence[str]:
        """The names of the secrets."""
        ...


class ProviderSettings:
    """Checks settings and seals their secrets."""

    def __init__(self, catalogue: Mapping[str, ChannelProvider], box: SecretBox) -> None:
        """Take the installed plugins and the secrets' box."""
        self.catalogue = catalogue
        self._box = box

    def provider(self, kind: str, name: str, *, field: str) -> ChannelProvider:
        """Return the plugin of that name; `field` holds the name, for the violation.

        Raises:
            ProviderUnknown: it is not installed, or does not carry this kind.
        """
        installed = ", ".join(sorted(self.catalogue)) or "none"
        if not name:
            raise ProviderUnknown(name, f"is required; installed are {installed}", field=field)
        provider = self.catalogue.get(name)
        if provider is None:
            raise ProviderUnknown(name, f"is not installed; installed are {installed}", field=field)
        if Kind(kind) not in provider.kinds:
            carried = ", ".join(sorted(provider.kinds))
            raise ProviderUnknown(name, f"does not carry {kind}, only {carried}", field=field)
        return provider

    async def settle(
        self,
        project: str,
        seal: str,
        provider: ChannelProvider,
        given: Mapping[str, object] | None,
        present: Stored | None,
        *,
        field: str,
    ) -> tuple[dict[str, object], list[str], bytes]:
        """Return the settings without secrets, the secrets' names, and the secrets sealed.

        `given` None keeps what is stored. Secrets left out keep their values as long as the provider stays the same.

        Raises:
            ChannelSettingsInvalid: the plugin refuses them; one violation each, below `field`.
            ChannelNotUsable: the plugin does not say whether they are good.
            Unavailable: its process is being started again.
            SecretKeyMissing: there are secrets and no key to store them under.
        """
        same = present is not None and present.provider == provider.name
        if given is None and present is not None and same:
            new: dict[str, object] = dict(present.settings)
        else:
            new = dict(given or {})
        names = secret_fields(provider.settings_schema)
        secrets = {name: new.pop(name) for name in names if name in new}
        kept: dict[str, object] = {}
        if present is not None and same and set(present.secret_names) - set(secrets):
            try:
                kept = self._box.open(project, seal, present.secrets)
            except SecretUnreadable:
                kept = {}  # a new key: the plugin's check says which secrets are needed again
        secrets = {**{name: value for name, value in kept.items() if name in names}, **secrets}
        complete = with_defaults(provider.settings_schema, {**new, **secrets})
        try:
            problems = await settings_problems(provider, complete)
        except PluginFault as fault:
            if fault.fault is Fault.NOT_RUNNING:
                raise Unavailable(str(fault)) from None
            name = format_name(project, "channels", seal.partition("/")[0])
            raise ChannelNotUsable(name, f"cannot be set up: {fault}") from None
        if problems:
            raise ChannelSettingsInvalid(
                [
                    Violation(
                        ".".join(part for part in (field, problem.field) if part),
                        problem.description,
                        ChannelSettingsInvalid.reason,
                    )
                    for problem in problems
                ]
            )
        plain = {name: value for name, value in complete.items() if name not in names}
        return plain, sorted(secrets), self._box.seal(project, seal, secrets)
