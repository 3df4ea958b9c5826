"""Heliograph's e-mail channel over SMTP."""

from collections.abc import Sequence

from heliograph_channel_smtp.channel import SmtpChannel
from heliograph_channels import ChannelProvider, hookimpl

__all__ = ["SmtpChannel"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the smtp channel."""
    return [SmtpChannel()]
