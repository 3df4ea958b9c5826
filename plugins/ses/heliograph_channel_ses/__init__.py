"""Heliograph's e-mail channel over Amazon SES."""

from collections.abc import Sequence

from heliograph_channel_ses.channel import SesChannel
from heliograph_channels import ChannelProvider, hookimpl

__all__ = ["SesChannel"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the ses channel."""
    return [SesChannel()]
