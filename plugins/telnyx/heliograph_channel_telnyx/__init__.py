"""Heliograph's plugin for Telnyx: a channel of text messages, and a 10DLC registrar."""

from collections.abc import Sequence

from heliograph_channel_telnyx.channel import TelnyxSms
from heliograph_channel_telnyx.registrar import TelnyxRegistrar
from heliograph_channels import ChannelProvider, Registrar, hookimpl

__all__ = ["TelnyxRegistrar", "TelnyxSms"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the channel."""
    return [TelnyxSms()]


@hookimpl
def heliograph_registrars() -> Sequence[Registrar]:
    """Offer the registrar."""
    return [TelnyxRegistrar()]
