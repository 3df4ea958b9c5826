"""A channel to copy. It appends every message to a file, as one line of JSON."""

from collections.abc import Sequence

from heliograph_channel_template.channel import TemplateChannel
from heliograph_channels import ChannelProvider, hookimpl

__all__ = ["TemplateChannel"]


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    """Offer the template channel."""
    return [TemplateChannel()]
