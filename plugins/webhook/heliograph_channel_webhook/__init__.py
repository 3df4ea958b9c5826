"""Heliograph's webhook channel, and what its receivers need to check a call."""

from collections.abc import Sequence

from heliograph_channel_webhook.channel import WebhookChannel
from heliograph_channel_webhook.signing import SIGNATURE, TIMESTAMP, sign, verify
from heliograph_channels import ChannelProvider, hookimpl

__all__ = ["SIGNATURE", "TIMESTAMP", "WebhookChannel", "sign", "verify"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the webhook channel."""
    return [WebhookChannel()]
