"""Tests a plugin author inherits. Needs the extra: `heliograph-channel-sdk[testing]`.

Assertions in the contract classes are rewritten by pytest, so a failing one shows its values.
"""

import pytest

pytest.register_assert_rewrite(
    "heliograph_channels.testing.channels",
    "heliograph_channels.testing.registrars",
    "heliograph_channels.testing.webhooks",
)

from heliograph_channels.testing.builders import RecordingContext, a_message, content_for  # noqa: E402
from heliograph_channels.testing.channels import ChannelContract  # noqa: E402
from heliograph_channels.testing.registrars import RegistrarContract  # noqa: E402
from heliograph_channels.testing.webhooks import WebhookContract  # noqa: E402

__all__ = ["ChannelContract", "RecordingContext", "RegistrarContract", "WebhookContract", "a_message", "content_for"]
