"""What can go wrong, one class for each reason (heliograph.common.v1.ErrorReason 500 to 599)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from heliograph_kit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Violation


class TemplateNotFound(NotFound):
    """No such template, or no such version."""

    reason: ClassVar[str] = "TEMPLATE_NOT_FOUND"

    def __init__(self, name: str, version: int = 0) -> None:
        """Take the name asked for and the version (0: the active one)."""
        told = f"there is no template {name}" + (f" with version {version}" if version else "")
        super().__init__(told, resource_type="template", resource=name)


class TemplateExists(AlreadyExists):
    """A template of that id exists."""

    reason: ClassVar[str] = "TEMPLATE_ALREADY_EXISTS"

    def __init__(self, name: str) -> None:
        """Take the name that is taken."""
        super().__init__(f"{name} exists; update it, or choose another id", resource_type="template", resource=name)


class TemplateDoesNotCompile(InvalidArgument):
    """Parts of the template have mistakes; one violation each, with line and column."""

    reason: ClassVar[str] = "TEMPLATE_DOES_NOT_COMPILE"

    def __init__(self, violations: Sequence[Violation]) -> None:
        """Take every violation of the template."""
        super().__init__(violations, _first(violations, "the template does not compile"))


class TemplateVersionActive(FailedPrecondition):
    """The active version cannot go while there are others."""

    reason: ClassVar[str] = "TEMPLATE_VERSION_ACTIVE"

    def __init__(self, name: str, version: int) -> None:
        """Take the template's name and its active version."""
        super().__init__(
            f"version {version} of {name} is active; make another version the active one first", subject=name
        )


class TemplateVersionNotLatest(FailedPrecondition):
    """Only the latest version can be overwritten."""

    reason: ClassVar[str] = "TEMPLATE_VERSION_NOT_LATEST"

    def __init__(self, name: str, version: int, latest: int) -> None:
        """Take the template's name, the version asked for and the latest one."""
        super().__init__(f"version {version} of {name} is not the latest, which is {latest}", subject=name)


class TemplateFull(FailedPrecondition):
    """The template has as many versions as it may have."""

    reason: ClassVar[str] = "TEMPLATE_FULL"

    def __init__(self, name: str, most: int) -> None:
        """Take the template's name and how many versions it may have."""
        super().__init__(f"{name} has {most:,} versions; delete some, or overwrite the latest", subject=name)


class EndpointNotFound(NotFound):
    """No such endpoint to preview for."""

    reason: ClassVar[str] = "ENDPOINT_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the name asked for."""
        super().__init__(f"there is no {name}", resource_type="endpoint", resource=name)


class ChannelNotFound(NotFound):
    """The channel was never set up."""

    reason: ClassVar[str] = "CHANNEL_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the name asked for."""
        super().__init__(f"{name} is not set up", resource_type="channel", resource=name)


class RouteNotFound(NotFound):
    """The channel has no such route."""

    reason: ClassVar[str] = "ROUTE_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the name asked for."""
        super().__init__(f"there is no route {name}", resource_type="route", resource=name)


class TooManyRoutes(FailedPrecondition):
    """The channel has as many routes as it may have."""

    reason: ClassVar[str] = "TOO_MANY_ROUTES"

    def __init__(self, channel: str, most: int) -> None:
        """Take the channel's name and how many it may have."""
        super().__init__(f"{channel} has {most} routes, the most there can be; delete one first", subject=channel)


class ChannelNotUsable(FailedPrecondition):
    """Nothing can be sent on the channel as it is."""

    reason: ClassVar[str] = "CHANNEL_NOT_USABLE"

    def __init__(self, name: str, why: str) -> None:
        """Take the channel's name and what is wrong."""
        super().__init__(f"{name} {why}", subject=name)


class ProviderUnknown(InvalidArgument):
    """No such plugin is installed, or it does not carry this kind."""

    reason: ClassVar[str] = "PROVIDER_UNKNOWN"

    def __init__(self, provider: str, why: str, *, field: str) -> None:
        """Take the provider's name, what is wrong with it, and the field that names it."""
        super().__init__([Violation(field, why, self.reason)], f"provider {provider!r} {why}")


class ChannelSettingsInvalid(InvalidArgument):
    """The plugin refuses the settings; one violation for each problem."""

    reason: ClassVar[str] = "CHANNEL_SETTINGS_INVALID"

    def __init__(self, violations: Sequence[Violation]) -> None:
        """Take every problem the plugin found."""
        super().__init__(violations, _first(violations, "the settings are not valid"))


class AddressInvalid(InvalidArgument):
    """One or more recipients have addresses the channel can never send to."""

    reason: ClassVar[str] = "ADDRESS_INVALID"

    def __init__(self, violations: Sequence[Violation]) -> None:
        """Take a violation for each bad address."""
        super().__init__(violations, _first(violations, "an address is not valid"))


class MessageNotFound(NotFound):
    """No such message in the ledger."""

    reason: ClassVar[str] = "MESSAGE_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the name asked for."""
        super().__init__(f"the ledger has no {name}", resource_type="message", resource=name)


class LinkInvalid(NotFound):
    """The token of a link is forged, expired, or of another kind; the same words for each, so that nothing can be learnt."""

    reason: ClassVar[str] = "LINK_INVALID"

    def __init__(self) -> None:
        """Say nothing about the token."""
        super().__init__("there is no such link", resource_type="link", resource="")


def _first(violations: Sequence[Violation], otherwise: str) -> str:
    if not violations:
        return otherwise
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return f"{violations[0].field}: {violations[0].description}{more}"
