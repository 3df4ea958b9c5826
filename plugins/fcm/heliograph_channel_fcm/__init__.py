"""Heliograph's channel over Firebase Cloud Messaging: notifications for Android."""

from collections.abc import Sequence

from heliograph_channel_fcm.channel import FcmPush
from heliograph_channels import ChannelProvider, hookimpl

__all__ = ["FcmPush"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the channel."""
    return [FcmPush()]
