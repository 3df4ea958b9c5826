"""The hooks a plugin may implement. A hook hands over objects; the objects do the work."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from heliograph_channels.providers import ChannelProvider
from heliograph_channels.registrars import Registrar

__all__ = ["CHANNELS", "REGISTRARS", "hookimpl"]

CHANNELS = "heliograph.channels"
"""Entry point group of plugins that implement `heliograph_channels`."""
REGISTRARS = "heliograph.registrars"
"""Entry point group of plugins that implement `heliograph_registrars`."""

hookspec = pluggy.HookspecMarker("heliograph")
hookimpl = pluggy.HookimplMarker("heliograph")
"""Marks a plugin's function as the implementation of the hook with the same name."""


@hookspec
def heliograph_channels() -> Sequence[ChannelProvider]:  # type: ignore[empty-body]
    """Return the channels this plugin offers. Called once, at start; does no input or output."""


@hookspec
def heliograph_registrars() -> Sequence[Registrar]:  # type: ignore[empty-body]
    """Return the registrars this plugin offers. Called once, at start; does no input or output."""
