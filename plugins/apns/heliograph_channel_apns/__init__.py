"""Heliograph's channel over Apple's push service."""

from collections.abc import Sequence

from heliograph_channel_apns.channel import ApnsPush
from heliograph_channels import ChannelProvider, hookimpl

__all__ = ["ApnsPush"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the channel."""
    return [ApnsPush()]
