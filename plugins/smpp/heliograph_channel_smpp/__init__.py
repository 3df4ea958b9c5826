"""Heliograph's SMS channel over SMPP 3.4."""

from collections.abc import Sequence

from heliograph_channel_smpp.channel import SmppChannel
from heliograph_channels import ChannelProvider, hookimpl

__all__ = ["SmppChannel"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the sms-smpp channel."""
    return [SmppChannel()]
