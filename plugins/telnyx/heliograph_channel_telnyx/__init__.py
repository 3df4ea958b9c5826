"""Heliograph's channel over Telnyx: text messages."""

from collections.abc import Sequence

from heliograph_channel_telnyx.channel import TelnyxSms
from heliograph_channels import ChannelProvider, hookimpl

__all__ = ["TelnyxSms"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the channel."""
    return [TelnyxSms()]
