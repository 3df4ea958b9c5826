"""Heliograph's channel to browsers: Web Push."""

from collections.abc import Sequence

from heliograph_channel_webpush.channel import WebPush
from heliograph_channels import ChannelProvider, hookimpl

__all__ = ["WebPush"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the channel."""
    return [WebPush()]
