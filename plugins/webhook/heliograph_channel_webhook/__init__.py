"""Heliograph's webhook channel, and what its receivers need to check a call."""

from collections.abc import Sequence

from heliograph_channel_webhook.channel import WebhookChannel
from heliograph_channels import ChannelProvider, hookimpl
from heliograph_channels.signing import SIGNATURE, TIMESTAMP, sign, verify

__all__ = ["SIGNATURE", "TIMESTAMP", "WebhookChannel", "sign", "verify"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the webhook channel."""
    return [WebhookChannel()]
